"""The frames on screen at given times."""

import numpy as np

from keras_longvideo.video.decode import decode_frames
from keras_longvideo.video.packets import read_packets
from keras_longvideo.video.resize import Resizer
from keras_longvideo.video.resize import check_image_size


def frames_at(path, times, image_size=None):
    """Reads the frames on screen at given times.

    The frame at a time is the last one whose display began by then; before
    the first frame it is the first, past the end it is the last. Files round
    the times of their frames (Matroska and WebM to milliseconds), so a time
    that falls short of a frame's by less than such a unit means that frame.

    Only what is needed is decoded, yet the pixels are those of a decoding in
    full.

    Args:
        path: String or path object, the video file.
        times: Sequence of floats, in seconds from the video's first frame. In
            any order, with repetitions if wanted.
        image_size: Tuple of ints `(height, width)` in pixels. Frames are
            scaled to cover it and cropped at the centre (see
            `resize_frames`). Defaults to `None`, the video's own size, in
            square pixels.

    Returns:
        uint8 array of shape `(len(times), height, width, 3)`, RGB, turned as
        the file says that it is to be displayed. A file that says that it is
        to be mirrored (EXIF orientations 2, 4, 5 and 7 of images) is turned
        only.

    Raises:
        VideoError: If the file is missing, empty, truncated or no video, or
            if one of the frames cannot be decoded.
        ValueError: If `times` or `image_size` is not as described.

    Example:

    ```python
    import os
    import tempfile

    import numpy as np

    from keras_longvideo.video import frames_at
    from keras_longvideo.video import write_video

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clip.mp4")
        write_video(path, np.zeros((20, 48, 64, 3), "uint8"), fps=10)
        frames = frames_at(path, [1.5, 0.2], image_size=(32, 32))
    print(frames.shape)  # (2, 32, 32, 3)
    ```
    """
    times = _check_times(times)
    if image_size is not None:
        image_size = check_image_size(image_size)
    return read_frames(read_packets(path), times, image_size)


def read_frames(table, times, image_size):
    """`frames_at` for a file whose packet table is known."""
    from av.video.reformatter import VideoReformatter

    shown = table.shown_at(times)
    # A video may change its size midway: the first frame's is kept.
    height, width = image_size or table.display_size
    frames = np.empty((len(times), height, width, 3), np.uint8)
    reformatter = VideoReformatter()
    resize = Resizer((height, width), table.pixel_size)

    def keep(tick, frame):
        rgb = reformatter.reformat(frame, format="rgb24", threads=1)
        image = rgb.to_ndarray()
        frames[shown == tick] = resize(np.rot90(image, -table.rotation // 90))

    decode_frames(table, set(shown.tolist()), keep)
    return frames


def _check_times(times):
    try:
        array = np.asarray(times, dtype=np.float64)
    except (TypeError, ValueError):
        array = None
    if array is None or array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(
            "`times` must be a sequence of finite numbers (seconds), but it is "
            f"{times!r}."
        )
    return array
