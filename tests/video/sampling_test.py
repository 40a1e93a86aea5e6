from fractions import Fraction

import numpy as np
import pytest

from keras_longvideo.video import frames_at
from keras_longvideo.video import sample_frames

pytestmark = pytest.mark.backend_free


@pytest.fixture
def path(tmp_path, encode):
    """A clip of 4.2 seconds: 105 numbered frames at 25 FPS."""
    return encode(tmp_path / "a.mp4", range(105))


# Arguments, the times to be sampled, the numbers of the frames there.
CASES = [
    ({}, [0, 1, 2, 3, 4], [0, 25, 50, 75, 100]),
    ({"fps": 0.5}, [0, 2, 4], [0, 50, 100]),
    ({"fps": 2, "end": 1.6}, [0, 0.5, 1, 1.5], [0, 12, 25, 37]),
    # The end itself does not belong to the window.
    ({"end": 3.0}, [0, 1, 2], [0, 25, 50]),
    ({"start": 1.2, "end": 3.4}, [1.2, 2.2, 3.2], [30, 55, 80]),
    ({"start": 4.1}, [4.1], [102]),
    # A window past the end is clipped to the video.
    ({"start": 3.0, "end": 60.0}, [3, 4], [75, 100]),
    # Shorter than a period, yet a frame is read.
    ({"fps": 0.01}, [0], [0]),
    # As many as asked for, so the rate stands.
    ({"num_frames": 5}, [0, 1, 2, 3, 4], [0, 25, 50, 75, 100]),
    ({"num_frames": 9}, [0, 1, 2, 3, 4], [0, 25, 50, 75, 100]),
    # Too many: the middles of three parts of 1.4 seconds.
    ({"num_frames": 3}, [0.7, 2.1, 3.5], [17, 52, 87]),
    ({"num_frames": 1}, [2.1], [52]),
    ({"fps": None, "num_frames": 2}, [1.05, 3.15], [26, 78]),
    (
        {"fps": None, "num_frames": 2, "start": 1.0, "end": 2.0},
        [1.25, 1.75],
        [31, 43],
    ),
    # More than the clip has: frames come again.
    (
        {"fps": 100.0, "end": 0.06},
        [0, 0.01, 0.02, 0.03, 0.04, 0.05],
        [0, 0, 0, 0, 1, 1],
    ),
]


@pytest.mark.parametrize(("arguments", "times", "numbers"), CASES)
def test_samples_the_right_frames(path, number_of, arguments, times, numbers):
    sampled = sample_frames(path, **arguments)
    assert sampled.times.dtype == np.float64
    np.testing.assert_allclose(sampled.times, times, atol=1e-9)
    assert [number_of(image) for image in sampled.frames] == numbers


def test_gives_what_frames_at_gives(path, naive_frames_at):
    frames, times = sample_frames(path, fps=3.0, num_frames=8)
    np.testing.assert_array_equal(frames, naive_frames_at(path, times))
    small, _ = sample_frames(path, fps=3.0, num_frames=8, image_size=(20, 20))
    np.testing.assert_array_equal(small, frames_at(path, times, (20, 20)))


def test_frames_at_a_whole_second_of_a_long_clip(tmp_path, encode, number_of):
    path = encode(tmp_path / "a.mp4", range(1500), keyframe_interval=250)
    sampled = sample_frames(path, fps=1.0)
    numbers = [number_of(image) for image in sampled.frames]
    assert numbers == list(range(0, 1500, 25))


@pytest.mark.parametrize(
    ("name", "rate", "first"),
    [
        # Whole milliseconds: frame 1 of 24 a second begins at 42 of them.
        ("a.mkv", Fraction(24), 0),
        ("a.mkv", Fraction(30), 0),
        ("a.webm", Fraction(24), 0),
        # 3753.75 ticks a frame.
        ("a.ts", Fraction(24000, 1001), 0),
        # The first frame's time is rounded down, and others' up.
        ("a.mkv", Fraction(24000, 1001), 2),
        # Each tick is a frame.
        ("a.avi", Fraction(24), 0),
    ],
)
def test_at_a_videos_own_rate_every_frame_comes_once(
    tmp_path, encode, number_of, name, rate, first
):
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(name[1:], "libx264")
    path = encode(
        tmp_path / name,
        range(first, first + 48),
        codec=codec,
        time_base=1 / rate,
        options={"cpu-used": "8"} if name == "a.webm" else {},
    )
    sampled = sample_frames(path, fps=float(rate))
    assert [number_of(image) for image in sampled.frames] == list(range(48))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"fps": 0}, "`fps`.*0"),
        ({"fps": -1.0}, "`fps`.*-1.0"),
        ({"fps": "1"}, "`fps`.*'1'"),
        ({"fps": float("inf")}, "`fps`.*inf"),
        ({"fps": None}, "`num_frames`"),
        ({"num_frames": 0}, "`num_frames`.*0"),
        ({"num_frames": 2.5}, "`num_frames`.*2.5"),
        ({"start": -0.5}, "`start`.*-0.5"),
        ({"start": float("nan")}, "`start`.*nan"),
        ({"start": 4.2}, "`start`.*4.2 seconds"),
        ({"start": 60.0, "end": 70.0}, "`start`.*4.2 seconds.*60.0"),
        ({"start": 2.0, "end": 2.0}, "`end`.*2.0"),
        ({"end": 0.0}, "`end`.*0.0"),
        ({"image_size": (0, 32)}, "`image_size`"),
    ],
)
def test_bad_arguments_are_named(path, arguments, match):
    with pytest.raises(ValueError, match=match):
        sample_frames(path, **arguments)
