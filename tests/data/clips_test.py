"""Decoding lists of videos, and windows of one, into arrays."""

import pathlib
import time

import numpy as np
import pytest

from keras_longvideo.data import clips
from keras_longvideo.data import decode_videos
from keras_longvideo.data import decode_windows
from keras_longvideo.data import video_windows
from keras_longvideo.video import VideoError
from keras_longvideo.video import sample_frames
from keras_longvideo.video import write_video

pytestmark = pytest.mark.backend_free

SMALL = {"image_size": (16, 24), "progress": False}


@pytest.fixture
def long_video(tmp_path):
    """100 frames of 10 a second, each brighter than the one before."""
    path = tmp_path / "long.mp4"
    gray = np.linspace(10, 240, 100).astype(np.uint8)
    frames = np.broadcast_to(gray[:, None, None, None], (100, 16, 24, 3))
    write_video(path, frames, fps=10, keyframe_interval=20)
    return str(path)


def test_clips_are_sampled_and_padded(make_video):
    paths = [make_video("long.mp4", 50, 50), make_video("short.mp4", 20, 200)]
    pixel_values, frame_mask = decode_videos(paths, num_frames=3, **SMALL)
    assert pixel_values.shape == (2, 3, 16, 24, 3)
    assert pixel_values.dtype == np.uint8
    assert frame_mask.dtype == bool
    assert frame_mask.tolist() == [[True, True, True], [True, True, False]]
    np.testing.assert_allclose(pixel_values[0], 50, atol=3)
    np.testing.assert_allclose(pixel_values[1, :2], 200, atol=3)
    assert not pixel_values[1, 2].any()


def test_without_fps_frames_are_spread_over_the_video(long_video):
    (clip,), _ = decode_videos([long_video], num_frames=4, fps=None, **SMALL)
    wanted = sample_frames(
        long_video, fps=None, num_frames=4, image_size=(16, 24)
    )
    np.testing.assert_array_equal(clip, wanted.frames)


def test_no_videos_make_an_empty_array():
    pixel_values, frame_mask = decode_videos([], num_frames=3, **SMALL)
    assert pixel_values.shape == (0, 3, 16, 24, 3)
    assert frame_mask.shape == (0, 3)


@pytest.mark.parametrize("path", ["a.mp4", pathlib.Path("a.mp4")])
def test_one_path_is_no_list_of_them(path):
    with pytest.raises(ValueError, match="`paths` must be a list.*a.mp4"):
        decode_videos(path, skipped=[], **SMALL)


def test_an_unreadable_video_raises(make_video, tmp_path):
    (tmp_path / "empty.mp4").touch()
    paths = [make_video("a.mp4"), str(tmp_path / "empty.mp4")]
    with pytest.raises(VideoError, match="empty.mp4.*0 bytes"):
        decode_videos(paths, **SMALL)


def test_an_error_does_not_wait_for_the_rest(monkeypatch):
    decoded = []

    def fail_first(path, *_):
        if path == "0":
            raise VideoError(path, "it is bad")
        time.sleep(0.01)
        decoded.append(path)
        return np.zeros((16, 16, 24, 3)), np.ones(16)

    monkeypatch.setattr(clips, "load_clip", fail_first)
    with pytest.raises(VideoError):
        decode_videos([str(number) for number in range(999)], **SMALL)
    assert len(decoded) < 100


def test_unreadable_videos_are_left_out_and_reported(make_video):
    paths = [
        "no1.mp4",
        make_video("a.mp4", gray=50),
        "no2.mp4",
        make_video("b.mp4", gray=200),
    ]
    skipped = []
    pixel_values, frame_mask = decode_videos(paths, skipped=skipped, **SMALL)
    reason = "the file does not exist"
    assert skipped == [("no1.mp4", reason), ("no2.mp4", reason)]
    assert frame_mask.sum(axis=1).tolist() == [2, 2]
    np.testing.assert_allclose(pixel_values[0, 0], 50, atol=3)
    np.testing.assert_allclose(pixel_values[1, 0], 200, atol=3)


def test_progress_is_shown_if_wanted(make_video, capsys):
    decode_videos([make_video("a.mp4")], image_size=(16, 16))
    assert "1/1" in capsys.readouterr().err
    decode_videos([make_video("b.mp4")], **SMALL)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_frames": 0}, "`num_frames` must be an int of at least 1.*=0"),
        (
            {"num_frames": None},
            "`num_frames` must be an int of at least 1.*=None",
        ),
        ({"fps": 0}, "`fps` must be a positive number.*=0"),
        ({"fps": "fast"}, "`fps` must be a positive number.*='fast'"),
        ({"image_size": (0, 8)}, r"`image_size` must be .*\(0, 8\)"),
        ({"image_size": 64}, "`image_size` must be .*64"),
    ],
)
def test_arguments_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        decode_videos([], **change)
    with pytest.raises(ValueError, match=message):
        decode_windows("a.mp4", [], **change)


@pytest.mark.parametrize(
    ("arguments", "windows"),
    [
        ((10, 4, 4), [(0, 4), (4, 8), (6, 10)]),
        ((8, 4, 4), [(0, 4), (4, 8)]),
        ((8, 4, None), [(0, 4), (4, 8)]),
        ((7, 4, 2), [(0, 4), (2, 6), (3, 7)]),
        ((3, 4, 2), [(0, 3)]),
        ((4, 4, 1), [(0, 4)]),
    ],
)
def test_windows(arguments, windows):
    assert video_windows(*arguments) == windows


def test_rounding_makes_no_extra_window():
    # Ten times 0.1 is a little less than 1 as a float; 0.1 * 3 a little more.
    assert len(video_windows(sum([0.1] * 10), 0.1)) == 10
    assert len(video_windows(0.1 * 3, 0.1)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4), "`duration` must be a positive number.*=0"),
        ((float("nan"), 4), "`duration` must be .*=nan"),
        ((8, -1), "`window` must be .*=-1"),
        ((8, 4, 0), "`stride` must be .*=0"),
        ((8, 4, 5), "`stride` must be at most `window`.*=5"),
    ],
)
def test_windows_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        video_windows(*arguments)


@pytest.mark.parametrize("fps", [None, 2.0])
def test_windows_are_decoded_as_if_one_by_one(long_video, fps):
    windows = [*video_windows(10, window=2.5, stride=0.7), (9.5, 12.0)]
    assert len(windows) > clips._WINDOWS_AT_ONCE
    pixel_values, frame_mask = decode_windows(
        long_video, windows, num_frames=4, fps=fps, **SMALL
    )
    assert pixel_values.shape == (len(windows), 4, 16, 24, 3)
    for row, (start, end) in enumerate(windows):
        wanted, _ = sample_frames(long_video, fps, 4, start, end, (16, 24))
        assert frame_mask[row].sum() == len(wanted)
        np.testing.assert_array_equal(
            pixel_values[row][frame_mask[row]], wanted
        )
        assert not pixel_values[row][~frame_mask[row]].any()


@pytest.mark.parametrize(
    ("name", "passes"),
    # H.264 in AVI cannot be seeked: each call decodes from the start.
    [("a.mp4", 3), ("a.avi", 1)],
)
def test_windows_cost_few_passes_over_the_file(
    make_video, opened, name, passes
):
    path = make_video(name)
    windows = video_windows(2.0, window=0.4, stride=0.1)
    assert len(windows) == 2 * clips._WINDOWS_AT_ONCE + 1
    opened.clear()
    pixel_values, _ = decode_windows(path, windows, num_frames=2, **SMALL)
    # One more, to find the frames.
    assert len(opened) == 1 + passes
    np.testing.assert_allclose(pixel_values[:, 0], 128, atol=3)


def test_no_windows_make_an_empty_array(make_video):
    path = make_video("a.avi")
    pixel_values, frame_mask = decode_windows(path, [], num_frames=2, **SMALL)
    assert pixel_values.shape == (0, 2, 16, 24, 3)
    assert frame_mask.shape == (0, 2)


@pytest.mark.parametrize("window", [(3, 3), (-1, 2), (10, 12)])
def test_windows_outside_the_video(long_video, window):
    with pytest.raises(ValueError, match="`windows` must .* 10 seconds"):
        decode_windows(long_video, [window], **SMALL)


def test_windows_of_an_unreadable_video():
    with pytest.raises(VideoError, match="does not exist"):
        decode_windows("no.mp4", [(0, 1)], **SMALL)
