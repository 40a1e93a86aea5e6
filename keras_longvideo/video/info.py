"""What a video file is, found without decoding it."""

import dataclasses

from keras_longvideo.video.packets import read_packets


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What `probe` finds out about a video.

    Attributes:
        path: The file, as it was given.
        width: Int, square pixels across as displayed (after `rotation`). Of
            a video that stores squeezed pixels (DVD, broadcasts), that is
            another number than is stored.
        height: Int, square pixels down as displayed (after `rotation`).
        num_frames: Int, how many frames there are.
        duration: Float, seconds from the start of the first frame to the end
            of the last.
        fps: Float, frames a second on average, `num_frames / duration`.
        codec: String, the codec's name, such as `"h264"`.
        rotation: Int, the degrees clockwise by which the stored frames are
            turned for display: 0, 90, 180 or 270.
    """

    path: str
    width: int
    height: int
    num_frames: int
    duration: float
    fps: float
    codec: str
    rotation: int


def probe(path):
    """Reads a video's size, length and rate.

    Count and length are taken from the video's packets, not from the file's
    header, which may be wrong. Of the frames only the first is decoded. MPEG
    transport and program streams (`.ts`, `.mpg`) do not say how long they
    are: one that was cut off is a shorter video.

    Args:
        path: String or path object, the video file.

    Returns:
        A `VideoInfo`.

    Raises:
        VideoError: If the file is missing, empty, truncated or no video.

    Example:

    ```python
    import os
    import tempfile

    import numpy as np

    from keras_longvideo.video import probe
    from keras_longvideo.video import write_video

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clip.mp4")
        write_video(path, np.zeros((20, 48, 64, 3), "uint8"), fps=10)
        info = probe(path)
    print(info.num_frames, info.duration, info.height, info.width)
    ```
    """
    table = read_packets(path)
    height, width = table.display_size
    num_frames = len(table.ticks)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        num_frames=num_frames,
        duration=table.duration,
        fps=num_frames / table.duration,
        codec=table.codec,
        rotation=table.rotation,
    )
