"""The batches that training is fed, and what happens to bad videos."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from keras_longvideo.data import pipeline
from keras_longvideo.data import video_text_dataset
from keras_longvideo.data import write_manifest

pytestmark = pytest.mark.backend_free

SMALL = {"num_frames": 3, "image_size": (16, 24)}


def captions_of(batch):
    return [caption.decode() for caption in batch["captions"].numpy()]


def epoch(dataset):
    """One epoch's captions: a list of batches."""
    return [captions_of(batch) for batch in dataset]


def numbers(captions):
    """The numbers of the videos that captions belong to."""
    return [int(caption.split()[0]) for batch in captions for caption in batch]


@pytest.fixture
def bad_set(make_set, tmp_path):
    """Six videos of which 1 is missing and 4 is no video."""
    manifest = make_set(6)
    manifest["videos"][1] = str(tmp_path / "missing.mp4")
    manifest["videos"][4] = str(tmp_path / "text.mp4")
    (tmp_path / "text.mp4").write_text("no video at all")
    return manifest


def test_batches_have_static_shapes(make_set):
    dataset = video_text_dataset(make_set(5), 2, **SMALL)
    assert dataset.element_spec == {
        "pixel_values": tf.TensorSpec((2, 3, 16, 24, 3), tf.uint8),
        "frame_mask": tf.TensorSpec((2, 3), tf.bool),
        "captions": tf.TensorSpec((2,), tf.string),
    }
    assert len(dataset) == len(list(dataset)) == 2


def test_the_last_batch_may_be_kept(make_set):
    dataset = video_text_dataset(make_set(5), 2, drop_remainder=False, **SMALL)
    assert len(dataset) == 3
    assert [len(batch["captions"]) for batch in dataset] == [2, 2, 1]
    assert dataset.element_spec["captions"].shape == (None,)


def test_clips_go_with_their_captions_and_are_padded(make_set):
    for batch in video_text_dataset(make_set(4), 2, **SMALL):
        gray = [20 + 20 * number for number in numbers([captions_of(batch)])]
        for clip, mask, value in zip(
            batch["pixel_values"].numpy(),
            batch["frame_mask"].numpy(),
            gray,
            strict=True,
        ):
            assert mask.tolist() == [True, True, False]
            np.testing.assert_allclose(clip[:2], value, atol=3)
            assert not clip[2].any()


@pytest.mark.parametrize("cache", [False, True])
def test_each_epoch_has_a_new_order_and_new_captions(make_set, cache):
    dataset = video_text_dataset(make_set(8), 4, cache=cache, **SMALL)
    epochs = [epoch(dataset) for _ in range(6)]
    orders = [numbers(captions) for captions in epochs]
    for order in orders:
        assert sorted(order) == list(range(8))
    assert len(set(map(tuple, orders))) == 6
    of_first = {
        caption
        for captions in epochs
        for batch in captions
        for caption in batch
        if caption.startswith("0")
    }
    assert len(of_first) > 1


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_same_seed_gives_the_same_epochs(make_set, shuffle):
    manifest = make_set(6)

    def two_epochs(seed):
        dataset = video_text_dataset(
            manifest, 2, shuffle=shuffle, seed=seed, **SMALL
        )
        return [epoch(dataset), epoch(dataset)]

    assert two_epochs(seed=1) == two_epochs(seed=1)
    assert two_epochs(seed=1) != two_epochs(seed=2)


def test_without_shuffling_the_order_is_the_manifests(make_set):
    dataset = video_text_dataset(make_set(6), 2, shuffle=False, **SMALL)
    for _ in range(2):
        assert numbers(epoch(dataset)) == list(range(6))


def test_repeating_never_puts_a_video_twice_in_a_batch(make_set):
    dataset = video_text_dataset(make_set(5), 4, repeat=True, **SMALL)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    batches = epoch(dataset.take(10))
    assert len(batches) == 10
    for batch in batches:
        assert len(set(numbers([batch]))) == 4


@pytest.mark.parametrize("shares", [[[0, 1], [2, 3]], [[0, 2], [3], [1]]])
def test_processes_make_parts_of_the_same_batches(make_set, shares):
    manifest, seed = make_set(10), {"seed": 7, **SMALL}
    whole = video_text_dataset(manifest, 4, **seed)
    parts = [video_text_dataset(manifest, 4, rows=r, **seed) for r in shares]
    for part, rows in zip(parts, shares, strict=True):
        assert len(part) == len(whole) == 2
        spec = part.element_spec["pixel_values"]
        assert spec.shape == (len(rows), 3, 16, 24, 3)
    for _ in range(2):
        for batch, *received in zip(whole, *parts, strict=True):
            for name, expected in batch.items():
                for part, rows in zip(received, shares, strict=True):
                    np.testing.assert_array_equal(
                        part[name], expected.numpy()[rows]
                    )


def test_a_part_of_each_batch_is_all_that_is_decoded(make_set, monkeypatch):
    decoded = []
    load_clip = pipeline.load_clip
    monkeypatch.setattr(
        pipeline,
        "load_clip",
        lambda path, *args: decoded.append(path) or load_clip(path, *args),
    )
    manifest = make_set(6)
    dataset = video_text_dataset(
        manifest, 4, rows=[1, 2], shuffle=False, **SMALL
    )
    assert numbers(epoch(dataset)) == [1, 2]
    assert sorted(decoded) == manifest["videos"][1:3]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": []}, "`rows` must be ints from 0 to 3.*rows=\\[\\]"),
        ({"rows": [3, 4]}, "`rows` must be ints from 0 to 3.*rows=\\[3, 4\\]"),
        ({"drop_remainder": False}, "`drop_remainder` must be True"),
        ({"skipped": []}, "`skipped` None. Received: .*skipped=\\[\\]"),
    ],
)
def test_parts_of_batches_that_do_not_fit(make_set, change, message):
    with pytest.raises(ValueError, match=message):
        video_text_dataset(make_set(5), 4, **{"rows": [0], **change})


@pytest.mark.parametrize("shuffle", [False, True])
def test_groups_stay_together(make_set, shuffle):
    dataset = video_text_dataset(
        make_set(12), 4, shuffle=shuffle, group_size=2, **SMALL
    )
    epochs = [epoch(dataset) for _ in range(4)]
    orders = [numbers(captions) for captions in epochs]
    for order in orders:
        assert sorted(order) == list(range(12))
        assert [x + 1 for x in order[::2]] == order[1::2]
        assert all(x % 2 == 0 for x in order[::2])
    assert len(set(map(tuple, orders))) == (4 if shuffle else 1)


def test_a_group_with_an_unreadable_video_is_left_out(bad_set):
    skipped = []
    dataset = video_text_dataset(
        bad_set, 2, group_size=2, skipped=skipped, **SMALL
    )
    with pytest.warns(UserWarning, match="Left out 1 of 6"):
        assert sorted(numbers(epoch(dataset))) == [2, 3]
    assert len(skipped) == 2
    dataset = video_text_dataset(
        bad_set, 6, group_size=3, skipped=[], drop_remainder=False, **SMALL
    )
    with (
        pytest.warns(UserWarning, match="Left out"),
        pytest.raises(tf.errors.OpError, match="0 of 6 videos.* their group"),
    ):
        list(dataset)


@pytest.mark.parametrize(
    "options",
    [
        {"repeat": True},
        {"repeat": True, "group_size": 2, "shuffle": False},
        {"repeat": True, "group_size": 2, "cache": True, "seed": 3},
        {"repeat": True, "rows": [1, 3]},
        {"repeat": True, "drop_remainder": False},
    ],
)
@pytest.mark.parametrize("skip_batches", [1, 2, 3, 8])
def test_going_on_where_a_run_was(make_set, options, skip_batches):
    manifest = make_set(10)  # Two or three batches an epoch.
    options = {**options, **SMALL}
    whole = video_text_dataset(manifest, 4, **options)
    rest = video_text_dataset(manifest, 4, skip_batches=skip_batches, **options)
    assert rest.cardinality() == tf.data.INFINITE_CARDINALITY
    # Each pass over a set that repeats is the same stream.
    for _ in range(2):
        for batch, expected in zip(
            rest.take(5), whole.skip(skip_batches).take(5), strict=True
        ):
            for name, value in expected.items():
                np.testing.assert_array_equal(batch[name], value)


def test_going_on_epoch_by_epoch(make_set):
    manifest = make_set(6)
    whole = video_text_dataset(manifest, 2, **SMALL)
    epochs = [epoch(whole) for _ in range(4)]
    after_two = video_text_dataset(manifest, 2, skip_batches=6, **SMALL)
    assert len(after_two) == 3
    assert [epoch(after_two), epoch(after_two)] == epochs[2:]
    within = video_text_dataset(manifest, 2, skip_batches=4, **SMALL)
    assert within.cardinality() == tf.data.UNKNOWN_CARDINALITY
    assert [epoch(within), epoch(within)] == [epochs[1][1:], epochs[2]]


def test_batches_that_are_left_out_are_not_decoded(make_set, monkeypatch):
    decoded = []
    load_clip = pipeline.load_clip
    monkeypatch.setattr(
        pipeline,
        "load_clip",
        lambda path, *args: decoded.append(path) or load_clip(path, *args),
    )
    manifest = make_set(6)
    dataset = video_text_dataset(
        manifest, 2, shuffle=False, skip_batches=2, **SMALL
    )
    assert numbers(epoch(dataset)) == [4, 5]
    assert sorted(decoded) == manifest["videos"][4:]


def test_a_cache_decodes_each_video_once(make_set, monkeypatch):
    decoded = []

    def load_clip(path, *arguments):
        decoded.append(path)
        return original(path, *arguments)

    def clips_by_number(dataset):
        return {
            caption[0]: clip
            for batch in dataset
            for caption, clip in zip(
                captions_of(batch), batch["pixel_values"].numpy(), strict=True
            )
        }

    original = pipeline.load_clip
    monkeypatch.setattr(pipeline, "load_clip", load_clip)
    manifest = make_set(4)
    dataset = video_text_dataset(manifest, 2, cache=True, **SMALL)
    first, again = clips_by_number(dataset), clips_by_number(dataset)
    assert sorted(decoded) == manifest["videos"]
    assert len(first) == 4
    for number, clip in first.items():
        np.testing.assert_array_equal(again[number], clip)


def test_a_manifest_file(make_set, tmp_path):
    manifest = make_set(2)
    path = tmp_path / "set.jsonl"
    write_manifest(path, manifest["videos"], manifest["captions"])
    dataset = video_text_dataset(path, 1, **SMALL)
    assert sorted(numbers(epoch(dataset))) == [0, 1]


def test_an_unreadable_video_is_named_with_the_reason(bad_set):
    dataset = video_text_dataset(bad_set, 2, shuffle=False, **SMALL)
    with pytest.raises(tf.errors.OpError) as raised:
        list(dataset)
    assert (
        f"Cannot read video {bad_set['videos'][1]}: the file does not exist"
    ) in str(raised.value)


@pytest.mark.parametrize("cache", [False, True])
def test_unreadable_videos_are_left_out_reported_and_warned_of(bad_set, cache):
    skipped = []
    dataset = video_text_dataset(
        bad_set, 2, cache=cache, skipped=skipped, **SMALL
    )
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    with pytest.warns(UserWarning, match="Left out 1 of 6 .*Cannot") as caught:
        assert sorted(numbers(epoch(dataset))) == [0, 2, 3, 5]
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sorted(numbers(epoch(dataset))) == [0, 2, 3, 5]
    reasons = dict(skipped)
    assert len(skipped) == len(reasons) == 2
    assert reasons[bad_set["videos"][1]] == "the file does not exist"
    assert bad_set["videos"][4] in reasons


def test_missing_files_of_a_manifest_raise_at_once_or_are_skipped(
    bad_set, tmp_path
):
    path = tmp_path / "set.jsonl"
    write_manifest(path, bad_set["videos"], bad_set["captions"])
    with pytest.raises(FileNotFoundError, match="missing.mp4"):
        video_text_dataset(path, 2, **SMALL)
    skipped = []
    with pytest.warns(UserWarning, match="Left out"):
        epoch(video_text_dataset(path, 2, skipped=skipped, **SMALL))
    assert len(skipped) == 2


@pytest.mark.parametrize(
    ("batch_size", "drop_remainder"), [(5, True), (1, False)]
)
def test_too_few_readable_videos_raise(bad_set, batch_size, drop_remainder):
    if not drop_remainder:
        bad_set["videos"] = [f"missing{number}.mp4" for number in range(6)]
    dataset = video_text_dataset(
        bad_set,
        batch_size,
        drop_remainder=drop_remainder,
        skipped=[],
        **SMALL,
    )
    with (
        pytest.warns(UserWarning, match="Left out"),
        pytest.raises(tf.errors.OpError, match="Only . of 6 videos can be"),
    ):
        list(dataset)


def test_progress_counts_the_first_decoding(make_set, capsys):
    dataset = video_text_dataset(make_set(3), 1, progress=True, **SMALL)
    list(dataset)
    assert "3/3" in capsys.readouterr().err
    list(dataset)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be an int of at least 1.*=0"),
        ({"batch_size": True}, "`batch_size` must be an int .*=True"),
        ({"batch_size": 4}, "holds 3 videos, too few .*=4"),
        ({"seed": -1}, "`seed` must be an int of at least 0.*=-1"),
        ({"group_size": 0}, "`group_size` must be .*=0"),
        ({"group_size": 3}, "must divide `batch_size`, which is 2.*=3"),
        ({"group_size": 2}, "`group_size` must divide.* videos.* 3.*=2"),
        ({"skip_batches": -1}, "`skip_batches` must be .*=-1"),
        ({"skip_batches": 1, "skipped": []}, "`skipped` must be None.*=1"),
        ({"num_frames": 0}, "`num_frames` must be .*=0"),
        ({"image_size": (8,)}, r"`image_size` must be .*\(8,\)"),
        ({"num_parallel_calls": 0}, "`num_parallel_calls` must be .*=0"),
        ({"manifest": {"videos": []}}, "columns 'videos' and 'captions'"),
        ({"manifest": {"videos": ["a"], "captions": [[]]}}, "Entry 0"),
    ],
)
def test_arguments_out_of_range(change, message):
    manifest = {"videos": ["a", "b", "c"], "captions": [["d"]] * 3}
    arguments = {"manifest": manifest, "batch_size": 2} | change
    with pytest.raises(ValueError, match=message):
        video_text_dataset(**arguments)
