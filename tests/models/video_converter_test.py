import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_longvideo.models import VideoConverter
from keras_longvideo.video import VideoError
from keras_longvideo.video import write_video


def ramp(frames, size=(16, 16), step=10):
    """A clip whose frame `i` is of grey `i * step`."""
    grey = np.arange(frames) * step
    return np.broadcast_to(
        grey[:, None, None, None], (frames, *size, 3)
    ).astype("uint8")


def greys(clip):
    """The grey of each frame, at its centre."""
    height, width = clip.shape[-3:-1]
    return clip[..., height // 2, width // 2, 0].astype(int).tolist()


def test_one_array_has_no_batch_axis():
    clip = VideoConverter(4, (16, 16))(ramp(4))
    assert set(clip) == {"pixel_values", "frame_mask"}
    np.testing.assert_array_equal(clip["pixel_values"], ramp(4))
    assert clip["pixel_values"].dtype == np.uint8
    assert clip["frame_mask"].tolist() == [True] * 4


def test_a_batch_as_one_array():
    batch = np.stack([ramp(4), ramp(4, step=20)])
    clips = VideoConverter(4, (16, 16))(batch)
    np.testing.assert_array_equal(clips["pixel_values"], batch)
    assert clips["frame_mask"].shape == (2, 4)


def test_a_batch_of_one_keeps_its_axis():
    clips = VideoConverter(4, (16, 16))([ramp(4)])
    assert clips["pixel_values"].shape == (1, 4, 16, 16, 3)
    assert clips["frame_mask"].shape == (1, 4)


def test_tensors_of_the_backend():
    clip = VideoConverter(4, (16, 16))(keras.ops.convert_to_tensor(ramp(4)))
    np.testing.assert_array_equal(clip["pixel_values"], ramp(4))


def test_short_videos_are_padded_at_their_end():
    clip = VideoConverter(5, (16, 16))(ramp(3))
    assert greys(clip["pixel_values"]) == [0, 10, 20, 0, 0]
    assert clip["frame_mask"].tolist() == [True, True, True, False, False]
    assert not clip["pixel_values"][3:].any()


@pytest.mark.parametrize(
    "frames, kept",
    # The frame at the middle of each quarter.
    [(8, [1, 3, 5, 7]), (5, [0, 1, 3, 4]), (12, [1, 4, 7, 10])],
)
def test_of_too_many_frames_evenly_spread_ones_are_kept(frames, kept):
    clip = VideoConverter(4, (16, 16))(ramp(frames))
    assert greys(clip["pixel_values"]) == [10 * i for i in kept]
    assert clip["frame_mask"].all()


def test_unequal_lengths_and_sizes():
    videos = [ramp(2), ramp(9, (32, 48)), ramp(4, (24, 16))]
    clips = VideoConverter(4, (16, 16))(videos)
    assert clips["pixel_values"].shape == (3, 4, 16, 16, 3)
    assert clips["frame_mask"].sum(axis=1).tolist() == [2, 4, 4]
    assert greys(clips["pixel_values"][1]) == [10, 30, 50, 70]


def test_pictures_are_covered_and_cropped_at_the_centre():
    # Thirds side by side: black, white, black. The middle one is square.
    frame = np.zeros((1, 16, 48, 3), "uint8")
    frame[:, :, 16:32] = 255
    clip = VideoConverter(1, (16, 16))(frame)
    np.testing.assert_array_equal(
        clip["pixel_values"], np.full((1, 16, 16, 3), 255)
    )


def test_floats_pass_through():
    video = np.random.default_rng(0).normal(size=(3, 16, 16, 3))
    clip = VideoConverter(4, (16, 16))(video.astype("float32"))
    assert clip["pixel_values"].dtype == np.float32
    np.testing.assert_array_equal(
        clip["pixel_values"][:3], video.astype("float32")
    )


@pytest.mark.parametrize("kind", [str, lambda path: path, np.array])
def test_files(kind, tmp_path):
    path = tmp_path / "ramp.mp4"
    write_video(path, ramp(8, step=20), fps=10)
    videos = [kind(str(path)) if kind is not str else str(path)]
    if kind is np.array:
        videos = np.array([str(path)])
    clips = VideoConverter(4, (16, 16), fps=5)(videos)
    # 0.8 seconds at 5 a second are frames 0, 2, 4 and 6, give or take one.
    received = np.array(greys(clips["pixel_values"][0]))
    assert clips["frame_mask"].tolist() == [[True] * 4]
    assert np.abs(np.diff(received) - 40).max() <= 8
    alone = VideoConverter(4, (16, 16), fps=5)(path)
    np.testing.assert_array_equal(
        alone["pixel_values"], clips["pixel_values"][0]
    )


def test_a_file_longer_than_the_clip_is_spread_over_all_of_it(tmp_path):
    path = str(tmp_path / "ramp.mp4")
    write_video(path, ramp(12, step=20), fps=10)
    clip = VideoConverter(4, (16, 16), fps=10)(path)
    received = np.array(greys(clip["pixel_values"]))
    assert clip["frame_mask"].all()
    assert np.abs(np.diff(received) - 60).max() <= 8
    np.testing.assert_array_equal(
        VideoConverter(4, (16, 16), fps=None)(path)["pixel_values"],
        clip["pixel_values"],
    )


def test_files_in_a_tf_data_pipeline(video_files):
    convert = VideoConverter(6, (16, 16), fps=10)
    dataset = tf.data.Dataset.from_tensor_slices(video_files).batch(2)
    received = list(dataset.map(convert).as_numpy_iterator())
    expected = convert(video_files)
    for name in ("pixel_values", "frame_mask"):
        np.testing.assert_array_equal(
            np.concatenate([batch[name] for batch in received]),
            expected[name],
        )
    element = dataset.map(convert).element_spec["pixel_values"]
    assert element.shape.as_list() == [None, 6, 16, 16, 3]


def test_one_file_in_a_tf_data_pipeline(video_files):
    convert = VideoConverter(4, (16, 16), fps=10)
    dataset = tf.data.Dataset.from_tensor_slices(video_files[:1]).map(convert)
    (received,) = dataset.as_numpy_iterator()
    expected = convert(video_files[0])
    np.testing.assert_array_equal(
        received["pixel_values"], expected["pixel_values"]
    )
    assert received["frame_mask"].tolist() == expected["frame_mask"].tolist()


def test_arrays_in_a_tf_data_pipeline():
    convert = VideoConverter(4, (16, 16))
    batch = np.stack([ramp(4), ramp(4, step=20)])
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(2).map(convert)
    (received,) = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(received["pixel_values"], batch)
    assert received["frame_mask"].all()
    (alone,) = (
        tf.data.Dataset.from_tensor_slices(batch[:1])
        .map(convert)
        .as_numpy_iterator()
    )
    np.testing.assert_array_equal(alone["pixel_values"], batch[0])
    assert alone["frame_mask"].tolist() == [True] * 4


@pytest.mark.parametrize("shape", [(3, 16, 16), (9, 24, 32), (4, 8, 16)])
def test_other_arrays_in_a_tf_data_pipeline(shape):
    convert = VideoConverter(4, (16, 16))
    video = ramp(shape[0], shape[1:])
    expected = convert([video, 255 - video])
    dataset = tf.data.Dataset.from_tensor_slices([video, 255 - video])
    for mapped in (
        dataset.batch(2).map(convert),
        dataset.map(convert).batch(2),
    ):
        (received,) = mapped.as_numpy_iterator()
        for name in ("pixel_values", "frame_mask"):
            np.testing.assert_array_equal(received[name], expected[name])
        spec = mapped.element_spec
        assert spec["pixel_values"].shape.as_list() == [None, 4, 16, 16, 3]
        assert spec["frame_mask"].shape.as_list() == [None, 4]
    with pytest.raises(ValueError, match="Inside a tf.data pipeline"):
        tf.data.Dataset.from_tensor_slices(video[0]).map(convert)


def test_config_round_trip():
    convert = VideoConverter(4, [16, 24], fps=None, name="convert")
    clone = VideoConverter.from_config(convert.get_config())
    assert clone.get_config() == convert.get_config()
    assert clone.image_size == (16, 24)
    assert clone.fps is None
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(convert)
    )
    assert isinstance(again, VideoConverter)


CLIP = np.zeros((4, 16, 16, 3), "uint8")


@pytest.mark.parametrize(
    "videos, message",
    [
        ([], "at least one video"),
        (np.zeros((0, 4, 16, 16, 3), "uint8"), "at least one video"),
        (np.zeros((4, 16, 16), "uint8"), "A video must be a path or an array"),
        ([np.zeros((16, 16, 3), "uint8")], r"of shape \(16, 16, 3\)"),
        (np.zeros((0, 16, 16, 3), "uint8"), "A video must be"),
        (np.zeros((2, 9, 9, 3), "float32"), "Only uint8 pictures are resized"),
        (
            [CLIP, CLIP.astype("float32")],
            r"all uint8 or all float.*\['uint8', 'float32'\]",
        ),
        ([CLIP.astype("int64")], r"all uint8 or all float.*\['int64'\]"),
        ([CLIP, "a.mp4"], "all paths or all arrays.*a path at 1"),
    ],
)
def test_arrays_that_do_not_fit(videos, message):
    with pytest.raises(ValueError, match=message):
        VideoConverter(4, (16, 16))(videos)


def test_files_that_cannot_be_read(tmp_path, video_files):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    convert = VideoConverter(4, (16, 16))
    for path in (str(tmp_path / "missing.mp4"), str(broken)):
        with pytest.raises(VideoError, match=path):
            convert([video_files[0], path])
