"""Choose the times at which a video is sampled, and read its frames there."""

import math
from typing import NamedTuple

import numpy as np

from keras_longvideo.video.frames import read_frames
from keras_longvideo.video.packets import read_packets
from keras_longvideo.video.resize import check_image_size

# Part of a frame by which rounding may push a time past the window's end.
_SLACK = 1e-6


class SampledFrames(NamedTuple):
    """What `sample_frames` reads.

    Attributes:
        frames: uint8 array of shape `(num_frames, height, width, 3)`, RGB.
        times: float64 array of shape `(num_frames,)`, the times that were
            sampled, in seconds from the video's first frame. `frames[i]` is
            on screen at `times[i]`.
    """

    frames: np.ndarray
    times: np.ndarray


def sample_frames(
    path, fps=1.0, num_frames=None, start=0.0, end=None, image_size=None
):
    """Reads frames at a steady rate, or a fixed number of them.

    At the rate of `fps` the times are `start`, `start + 1 / fps` and so on
    below `end`. Where that makes more than `num_frames`, or where `fps` is
    `None`, the window is cut into `num_frames` equal parts and the middle of
    each is taken instead: a long video is sampled more sparsely, never cut
    off. At least one frame is read, however short the window.

    Args:
        path: String or path object, the video file.
        fps: Float, frames to read a second, or `None` to read `num_frames`
            whatever the length. May exceed the video's own rate, which
            repeats frames. Defaults to `1.0`.
        num_frames: Int, the most frames to read. Defaults to `None`, no
            bound.
        start: Float, where the window begins, in seconds from the video's
            first frame. Defaults to `0.0`.
        end: Float, where the window ends, in seconds. Defaults to `None`, the
            end of the video, as does an end past it.
        image_size: Tuple of ints `(height, width)` in pixels. Frames are
            scaled to cover it and cropped at the centre (see
            `resize_frames`). Defaults to `None`, the video's own size.

    Returns:
        A `SampledFrames` of `frames` and `times`.

    Raises:
        VideoError: If the file is missing, empty, truncated or no video, or
            if one of the frames cannot be decoded.
        ValueError: If an argument is out of its range, among them a window
            that begins past the end of the video.

    Example:

    ```python
    import os
    import tempfile

    import numpy as np

    from keras_longvideo.video import sample_frames
    from keras_longvideo.video import write_video

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clip.mp4")
        write_video(path, np.zeros((40, 48, 64, 3), "uint8"), fps=10)
        frames, times = sample_frames(path, fps=1.0)
        print(frames.shape, times)  # (4, 48, 64, 3) [0. 1. 2. 3.]
        frames, times = sample_frames(path, num_frames=2)
        print(frames.shape, times)  # (2, 48, 64, 3) [1. 3.]
    ```
    """
    _check_arguments(fps, num_frames, start, end)
    if image_size is not None:
        image_size = check_image_size(image_size)
    table = read_packets(path)
    if start >= table.duration:
        raise ValueError(
            f"`start` must lie within the video, which lasts "
            f"{table.duration:g} seconds, but it is {start!r}: {path}."
        )
    end = table.duration if end is None else min(end, table.duration)
    times = sample_times(fps, num_frames, start, end)
    return SampledFrames(read_frames(table, times, image_size), times)


def sample_times(fps, num_frames, start, end):
    """The times in seconds to sample from `start` up to below `end`."""
    if fps is not None:
        count = max(math.ceil((end - start) * fps - _SLACK), 1)
        if num_frames is None or count <= num_frames:
            return start + np.arange(count) / fps
    return start + (np.arange(num_frames) + 0.5) * (end - start) / num_frames


def _check_arguments(fps, num_frames, start, end):
    if fps is None and num_frames is None:
        raise ValueError("With `fps=None`, `num_frames` must be given.")
    if fps is not None and not (_is_number(fps) and fps > 0):
        raise ValueError(
            f"`fps` must be a positive number or None, but it is {fps!r}."
        )
    if num_frames is not None and not (
        isinstance(num_frames, int | np.integer) and num_frames > 0
    ):
        raise ValueError(
            "`num_frames` must be a positive int or None, but it is "
            f"{num_frames!r}."
        )
    if not (_is_number(start) and start >= 0):
        raise ValueError(
            "`start` must be a number of seconds, 0 or more, but it is "
            f"{start!r}."
        )
    if end is not None and not (_is_number(end) and end > start):
        raise ValueError(
            f"`end` must be a number of seconds past `start` ({start!r}) or "
            f"None, but it is {end!r}."
        )


def _is_number(value):
    return isinstance(
        value, int | float | np.integer | np.floating
    ) and math.isfinite(value)
