"""One stream of batches out of several data sets."""

import functools

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from keras_longvideo.data import mix_datasets
from keras_longvideo.data import read_manifest
from keras_longvideo.data import video_text_dataset

pytestmark = pytest.mark.backend_free


def numbers(start, length):
    """A data set of `length` batches: one number each, counted on."""
    return tf.data.Dataset.range(start, start + length).batch(1)


def draw(dataset, num_batches):
    return [int(x[0]) for x in dataset.take(num_batches).as_numpy_iterator()]


def batches(shape, dtype="uint8", name="pixel_values"):
    return tf.data.Dataset.from_tensors({name: tf.zeros(shape, dtype)})


@pytest.mark.parametrize("ratios", [[3, 1], [0.75, 0.25], [1, 1, 2]])
def test_batches_come_by_ratio(ratios):
    datasets = [numbers(100 * i, 3) for i in range(len(ratios))]
    drawn = draw(mix_datasets(datasets, ratios), 2000)
    received = np.bincount(np.array(drawn) // 100) / 2000
    expected = np.array(ratios) / sum(ratios)
    # Four standard deviations.
    deviation = np.sqrt(expected * (1 - expected) / 2000)
    assert (abs(received - expected) < 4 * deviation).all()
    # They are mixed, not one after the other.
    assert len({x // 100 for x in drawn[:20]}) == len(ratios)


def test_each_data_set_keeps_its_order_and_begins_again():
    drawn = draw(mix_datasets([numbers(0, 2), numbers(100, 5)], [1, 1]), 40)
    small = [x for x in drawn if x < 100]
    large = [x for x in drawn if x >= 100]
    assert len(small) > 4 and len(large) > 5
    assert small == [i % 2 for i in range(len(small))]
    assert large == [100 + i % 5 for i in range(len(large))]


def test_the_seed_tells_the_draws():
    def mix(**kwargs):
        return mix_datasets([numbers(0, 1), numbers(1, 1)], [1, 1], **kwargs)

    assert draw(mix(), 40) == draw(mix(seed=0), 40)
    assert draw(mix(), 40) != draw(mix(seed=1), 40)
    mixed = mix()
    # Each pass is the same stream, so that a run can be gone on with.
    assert draw(mixed, 40) == draw(mixed, 40)


@pytest.mark.parametrize("skip_batches", [1, 7, 1030])
def test_going_on_where_it_was(skip_batches):
    begun = []

    def source(i, skip_batches):
        begun.append(skip_batches)
        stream = numbers(0, 1000).repeat()
        return stream.skip(skip_batches).map(lambda x: 2 * x + i)

    def mix(skip_batches):
        datasets = [
            functools.partial(source, 0),
            numbers(0, 3),
            functools.partial(source, 1),
        ]
        return mix_datasets(datasets, [1, 3, 2], 5, skip_batches=skip_batches)

    expected = draw(mix(0), skip_batches + 30)
    assert begun == [0, 0]
    assert draw(mix(skip_batches), 30) == expected[skip_batches:]
    # Each begins after what was drawn of it, and reads none of that again.
    counts = np.bincount(
        [x % 2 for x in _of_sources(skip_batches)], minlength=2
    )
    assert begun[2:] == counts.tolist()


def _of_sources(num_batches):
    """The first draws that `test_going_on_where_it_was` makes of functions."""
    datasets = [numbers(0, 1), numbers(9, 1), numbers(1, 1)]
    drawn = draw(mix_datasets(datasets, [1, 3, 2], 5), num_batches)
    return [x for x in drawn if x != 9]


def test_files_go_on_where_they_were(make_set):
    manifest = make_set(6)
    sources = [
        functools.partial(
            video_text_dataset,
            manifest,
            batch_size,
            num_frames,
            image_size=(16, 24),
            group_size=2,
            repeat=True,
        )
        for batch_size, num_frames in ((4, 1), (2, 3))
    ]
    whole = list(mix_datasets(sources, [1, 2]).take(16))
    rest = mix_datasets(sources, [1, 2], skip_batches=9).take(7)
    for batch, expected in zip(rest, whole[9:], strict=True):
        for name, value in expected.items():
            np.testing.assert_array_equal(batch[name], value)


def test_a_function_makes_a_data_set_without_end():
    with pytest.raises(ValueError, match=r"datasets\[1\], .* one of 3 batches"):
        mix_datasets(
            [numbers(0, 3), lambda skip_batches: numbers(0, 3)], [1, 1]
        )


def test_it_never_ends():
    mixed = mix_datasets([numbers(0, 1), numbers(1, 1).repeat()], [1, 1])
    assert mixed.cardinality() == tf.data.INFINITE_CARDINALITY


def test_batches_of_other_shapes_stay_as_they_are():
    shapes = [(4, 1, 16, 16, 3), (4, 8, 16, 16, 3), (2, 8, 32, 16, 3)]
    mixed = mix_datasets([batches(shape) for shape in shapes], [1, 1, 1])
    assert mixed.element_spec == {
        "pixel_values": tf.TensorSpec((None, None, None, 16, 3), tf.uint8)
    }
    received = {x["pixel_values"].shape for x in mixed.take(30)}
    assert received == {tf.TensorShape(shape) for shape in shapes}
    mixed = mix_datasets([batches(shape) for shape in shapes[:2]], [1, 1])
    spec = mixed.element_spec["pixel_values"]
    assert spec.shape == (4, None, 16, 16, 3)


def test_images_and_videos_of_files(make_set, tmp_path):
    lines = ["image,caption"]
    for i in range(3):
        image = np.full((40, 40, 3), 60 * i, "uint8")
        PIL.Image.fromarray(image).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i}")
    (tmp_path / "images.csv").write_text("\n".join(lines))
    images = read_manifest(tmp_path / "images.csv")
    mixed = mix_datasets(
        [
            # Of a video, the frame in the middle.
            video_text_dataset(images, 3, 1, image_size=(16, 24)),
            video_text_dataset(make_set(4), 2, 1, image_size=(16, 24)),
            video_text_dataset(make_set(4), 2, 3, image_size=(16, 24)),
        ],
        [1, 1, 1],
    )
    shapes = set()
    for batch in mixed.take(20):
        pixels = batch["pixel_values"].numpy()
        shapes.add((len(pixels), pixels.shape[1]))
        mask = batch["frame_mask"].numpy()
        assert mask.shape == pixels.shape[:2]
        assert mask[:, :1].all()
        for clip, caption in zip(
            pixels, batch["captions"].numpy(), strict=True
        ):
            number = int(caption.split()[0])
            gray = 60 * number if len(pixels) == 3 else 20 + 20 * number
            np.testing.assert_allclose(clip[0], gray, atol=3)
    assert shapes == {(3, 1), (2, 1), (2, 3)}


def test_an_unreadable_image_is_named_or_left_out(tmp_path):
    paths = [str(tmp_path / f"{i}.jpg") for i in range(3)]
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")
    for path in paths:
        PIL.Image.fromarray(pixels).save(path)
    data = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(data[: len(data) // 2])
    manifest = {"videos": paths, "captions": [["a"], ["b"], ["c"]]}

    def dataset(**kwargs):
        return mix_datasets(
            [video_text_dataset(manifest, 2, 1, image_size=(16, 16), **kwargs)],
            [1],
        )

    with pytest.raises(tf.errors.OpError, match=f"Cannot read .*{paths[1]}"):
        list(dataset().take(5))
    skipped = []
    with pytest.warns(UserWarning, match="Left out 1 of 3"):
        list(dataset(skipped=skipped).take(5))
    assert [path for path, _ in skipped] == [paths[1]]


@pytest.mark.parametrize(
    "ratios, message",
    [
        ([1], r"same length.* 2 datasets and ratios=\[1\]"),
        ([1, 0], r"`ratios\[1\]` must be a positive number.*=0"),
        ([-1, 1], r"`ratios\[0\]` must be a positive number.*=-1"),
        ([1, float("nan")], r"`ratios\[1\]` must be a positive number.*nan"),
        ([1, "2"], r"`ratios\[1\]` must be a positive number.*'2'"),
    ],
)
def test_bad_ratios(ratios, message):
    with pytest.raises(ValueError, match=message):
        mix_datasets([numbers(0, 1), numbers(1, 1)], ratios)


@pytest.mark.parametrize(
    "other",
    [
        batches((4, 8, 16, 16, 3), name="videos"),
        batches((4, 8, 16, 16, 3), dtype="float32"),
        batches((8, 16, 16, 3)),
    ],
)
def test_batches_that_do_not_go_together(other):
    images = batches((4, 1, 16, 16, 3))
    with pytest.raises(
        ValueError,
        match=r"same keys, dtypes and numbers of axes.*datasets\[0\] with .*"
        r"'pixel_values': 'uint8, 5 axes'.* and datasets\[2\] with ",
    ):
        mix_datasets([images, images, other], [1, 1, 1])


def test_data_sets_without_a_batch():
    with pytest.raises(ValueError, match=r"datasets\[1\], which is empty"):
        mix_datasets([numbers(0, 1), numbers(0, 0)], [1, 1])
    with pytest.raises(ValueError, match="at least 1.* 0 datasets"):
        mix_datasets([], [])
    # One that turns out to be empty ends the stream.
    empty = numbers(0, 3).filter(lambda x: x[0] > 9)
    assert len(list(mix_datasets([numbers(0, 1), empty], [1, 1]))) < 50


def test_a_seed_is_an_int():
    with pytest.raises(ValueError, match="`seed` must be an int.*=0.5"):
        mix_datasets([numbers(0, 1)], [1], seed=0.5)
