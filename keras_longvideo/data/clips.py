"""Decodes many videos, or many windows of one, into arrays of one shape."""

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from keras_longvideo.data.checks import check_clip
from keras_longvideo.data.checks import check_positive
from keras_longvideo.video import VideoError
from keras_longvideo.video import sample_frames
from keras_longvideo.video.frames import read_frames
from keras_longvideo.video.packets import read_packets
from keras_longvideo.video.sampling import sample_times

# Windows of one file that are decoded in a row: enough to share frames, few
# enough for all cores and a lively progress bar.
_WINDOWS_AT_ONCE = 8


def decode_videos(
    paths,
    num_frames=16,
    fps=1.0,
    image_size=(256, 256),
    progress=True,
    skipped=None,
):
    """Decodes a list of videos on many threads.

    Frames are sampled at `fps`, and evenly over the whole video where that
    would make more than `num_frames`. A video with fewer frames is padded at
    the end with zeros. All clips are held in memory at once.

    Args:
        paths: List of video paths.
        num_frames: Int, frames in a clip. Defaults to `16`.
        fps: Float, frames to read a second, or `None` to spread `num_frames`
            evenly over each video. Defaults to `1.0`.
        image_size: Tuple of ints `(height, width)` in pixels. Defaults to
            `(256, 256)`.
        progress: Bool, whether to show a progress bar. Defaults to `True`.
        skipped: List to which `(path, reason)` is appended for each video
            that cannot be read, which then has no row in the result. With a
            new list, the rows belong to the `paths` that are not in it; see
            the example. Defaults to `None`: the first such video raises.

    Returns:
        Tuple `(pixel_values, frame_mask)`: a uint8 array of shape
        `(num_videos, num_frames, height, width, 3)`, and a bool array of
        shape `(num_videos, num_frames)` that is `False` where a frame is
        padding. Rows are in the order of `paths`.

    Raises:
        VideoError: If a video cannot be read and `skipped` is `None`.
        ValueError: If an argument is out of range, or `paths` is one path.

    Example:

    ```python
    import numpy as np

    from keras_longvideo.data import decode_videos
    from keras_longvideo.video import write_video

    write_video("a.mp4", np.zeros((30, 64, 64, 3), "uint8"), fps=10)

    paths = ["a.mp4", "missing.mp4"]
    skipped = []
    pixel_values, frame_mask = decode_videos(
        paths, num_frames=4, image_size=(32, 32), skipped=skipped
    )
    assert pixel_values.shape == (1, 4, 32, 32, 3)
    assert frame_mask.tolist() == [[True, True, True, False]]

    unreadable = dict(skipped)
    kept = [path for path in paths if path not in unreadable]
    assert kept == ["a.mp4"]
    ```
    """
    # Which else were read letter by letter.
    if isinstance(paths, str | os.PathLike):
        raise ValueError(
            "`paths` must be a list of paths of videos. "
            f"Received: paths={paths!r}"
        )
    # Of a table's column `paths[i]` need not be the one that comes i-th.
    paths = list(paths)
    num_frames, fps, image_size = check_clip(num_frames, fps, image_size)
    pixel_values = np.empty((len(paths), num_frames, *image_size, 3), np.uint8)
    frame_mask = np.empty((len(paths), num_frames), bool)

    def decode(row):
        try:
            pixel_values[row], frame_mask[row] = load_clip(
                paths[row], num_frames, fps, image_size
            )
        except VideoError as error:
            if skipped is None:
                raise
            return error.reason

    reasons = run_threads(decode, range(len(paths)), progress, "video")
    kept = [row for row, reason in enumerate(reasons) if reason is None]
    if len(kept) == len(paths):
        return pixel_values, frame_mask
    skipped.extend(
        (path, reason)
        for path, reason in zip(paths, reasons, strict=True)
        if reason is not None
    )
    return pixel_values[kept], frame_mask[kept]


def decode_windows(
    path,
    windows,
    num_frames=16,
    fps=1.0,
    image_size=(256, 256),
    progress=True,
):
    """Decodes windows of one long video, each as a clip of its own.

    Only the frames that are sampled, and those that they build on, are
    decoded, and a frame that several windows share is decoded about once.

    Args:
        path: Path of the video.
        windows: List of `(start, end)` in seconds, as of `video_windows`.
        num_frames: Int, frames in a clip. Defaults to `16`.
        fps: Float, frames to read a second, or `None` to spread `num_frames`
            evenly over each window. Defaults to `1.0`.
        image_size: Tuple of ints `(height, width)` in pixels. Defaults to
            `(256, 256)`.
        progress: Bool, whether to show a progress bar. Defaults to `True`.

    Returns:
        Tuple `(pixel_values, frame_mask)`: a uint8 array of shape
        `(num_windows, num_frames, height, width, 3)`, and a bool array of
        shape `(num_windows, num_frames)` that is `False` where a frame is
        padding. Rows are in the order of `windows`.

    Raises:
        VideoError: If the video cannot be read.
        ValueError: If an argument is out of range, or a window is empty or
            begins outside the video.

    Example:

    ```python
    import numpy as np

    from keras_longvideo.data import decode_windows
    from keras_longvideo.data import video_windows
    from keras_longvideo.video import probe
    from keras_longvideo.video import write_video

    write_video("long.mp4", np.zeros((200, 64, 64, 3), "uint8"), fps=10)

    windows = video_windows(probe("long.mp4").duration, window=8, stride=8)
    assert windows == [(0.0, 8.0), (8.0, 16.0), (12.0, 20.0)]
    pixel_values, frame_mask = decode_windows(
        "long.mp4", windows, num_frames=8, image_size=(32, 32)
    )
    assert pixel_values.shape == (3, 8, 32, 32, 3)
    assert frame_mask.all()
    ```
    """
    num_frames, fps, image_size = check_clip(num_frames, fps, image_size)
    # Once: a long file is large.
    table = read_packets(path)
    duration = table.duration
    for start, end in windows:
        if not 0 <= start < min(end, duration):
            raise ValueError(
                "Each of `windows` must be (start, end) with start < end, and "
                f"begin within the video's {duration:g} seconds. "
                f"Received: {(start, end)} for {path}"
            )
    times = [
        sample_times(fps, num_frames, start, min(end, duration))
        for start, end in windows
    ]
    shape = (len(windows), num_frames)
    pixel_values = np.empty((*shape, *image_size, 3), np.uint8)
    frame_mask = np.empty(shape, bool)

    # Each part of a file that cannot be seeked is decoded from its start.
    at_once = _WINDOWS_AT_ONCE if table.can_seek else max(len(windows), 1)

    def decode(first):
        rows = range(first, min(first + at_once, len(windows)))
        frames = read_frames(
            table, np.concatenate([times[row] for row in rows]), image_size
        )
        for row in rows:
            clip, frames = np.split(frames, [len(times[row])])
            pixel_values[row], frame_mask[row] = pad_clip(clip, num_frames)

    firsts = range(0, len(windows), at_once)
    run_threads(decode, firsts, progress, "part")
    return pixel_values, frame_mask


def video_windows(duration, window, stride=None):
    """Covers a video with windows of equal length.

    Windows begin every `stride` seconds; the last one is moved back so that
    it ends where the video ends. A video shorter than `window` gives one
    window, the whole of it.

    Args:
        duration: Float, the video's length in seconds.
        window: Float, the length of a window in seconds.
        stride: Float, seconds from the start of a window to the start of the
            next, at most `window` so that nothing is left out. Defaults to
            `None`, which means `window`: no overlap.

    Returns:
        List of tuples `(start, end)` in seconds, in ascending order.

    Raises:
        ValueError: If an argument is not positive, or `stride` exceeds
            `window`.

    Example:

    ```python
    from keras_longvideo.data import video_windows

    assert video_windows(10.0, window=4, stride=4) == [
        (0.0, 4.0),
        (4.0, 8.0),
        (6.0, 10.0),
    ]
    assert video_windows(3.0, window=4) == [(0.0, 3.0)]
    ```
    """
    duration = check_positive("duration", duration)
    window = check_positive("window", window)
    stride = window if stride is None else check_positive("stride", stride)
    if stride > window:
        raise ValueError(
            "`stride` must be at most `window`, or parts of the video are "
            f"left out. Received: stride={stride:g}, window={window:g}"
        )
    last = max(duration - window, 0.0)
    # Rounding must not make two windows of what is one.
    count = math.ceil(last / stride - 1e-6)
    starts = [index * stride for index in range(count)]
    windows = [(start, start + window) for start in starts]
    return [*windows, (last, duration)]


def load_clip(path, num_frames, fps, image_size):
    """Reads one video as a clip, as `decode_videos` does.

    Returns:
        Tuple `(pixel_values, frame_mask)` of shapes
        `(num_frames, height, width, 3)` and `(num_frames,)`.
    """
    sampled = sample_frames(path, fps, num_frames, image_size=image_size)
    return pad_clip(sampled.frames, num_frames)


def pad_clip(frames, num_frames):
    """Pads frames at the end with zeros.

    Args:
        frames: uint8 array `(at most num_frames, height, width, 3)`.
        num_frames: Int, frames to pad to.

    Returns:
        Tuple `(pixel_values, frame_mask)` of shapes
        `(num_frames, height, width, 3)` and `(num_frames,)`.
    """
    padding = num_frames - len(frames)
    pixel_values = np.pad(frames, [(0, padding), (0, 0), (0, 0), (0, 0)])
    return pixel_values, np.arange(num_frames) < len(frames)


def run_threads(function, items, progress, unit, num_threads=None):
    """Calls `function` on each of `items`; returns its results in order."""
    pool = ThreadPoolExecutor(num_threads or os.cpu_count())
    try:
        # Decoding leaves Python to itself, so threads do run side by side.
        return list(
            tqdm(
                pool.map(function, items),
                desc="Decoding",
                total=len(items),
                unit=unit,
                disable=not progress,
            )
        )
    finally:
        # After an error, what has not begun is not worth waiting for.
        pool.shutdown(cancel_futures=True)
