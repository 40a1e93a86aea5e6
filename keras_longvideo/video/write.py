"""Write frames to a video file."""

import fractions
import os
import pathlib
import uuid

from keras_longvideo.video.resize import check_frames

# Encoders that cannot halve the colour of an odd number of pixels.
_EVEN_ONLY = ("h264", "hevc")


def write_video(
    path, frames, fps, codec="libx264", keyframe_interval=None, options=None
):
    """Writes frames to a video file.

    The file appears under its name when it is complete, and replaces one that
    was there; an error leaves neither half a file nor a changed one.

    An odd height or width is kept. H.264 and HEVC then store colour at full
    resolution (`yuv444p`, which some browsers do not play), as they can halve
    only even sizes. Everything else is stored as `yuv420p`.

    Args:
        path: String or path object. The suffix picks the container: `.mp4`,
            `.mkv`, `.webm`, `.avi`, `.mpg` and so on.
        frames: uint8 array of shape `(num_frames, height, width, 3)`, RGB,
            with at least one frame.
        fps: Number (int, float or Fraction), frames shown a second.
        codec: String, the name of FFmpeg's encoder, such as `"libx264"`,
            `"libvpx-vp9"` (for `.webm`) or `"mpeg2video"` (for `.mpg`).
            Defaults to `"libx264"`.
        keyframe_interval: Int, the most frames from one key frame to the
            next. Short intervals make seeking quick and files large. Defaults
            to `None`, the encoder's choice.
        options: Dictionary of strings, passed on to the encoder, such as
            `{"crf": "18"}`. Defaults to `None`.

    Raises:
        ValueError: If an argument is not as described, or if container and
            codec do not go together.
        FileNotFoundError: If the folder of `path` does not exist.

    Example:

    ```python
    import os
    import tempfile

    import numpy as np

    from keras_longvideo.video import write_video

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clip.mp4")
        write_video(path, np.zeros((20, 48, 64, 3), "uint8"), fps=10)
        print(os.listdir(folder))  # ['clip.mp4']
    ```
    """
    import av

    path = pathlib.Path(path)
    check_frames(frames)
    rate = _check_rate(fps)
    if len(frames) == 0:
        raise ValueError("`frames` must hold at least one frame, but has none.")
    if keyframe_interval is not None and keyframe_interval < 1:
        raise ValueError(
            "`keyframe_interval` must be a positive int or None, but it is "
            f"{keyframe_interval!r}."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"The folder of `path` does not exist: {path.parent}."
        )
    # The same suffix, for it picks the container; the same folder, so that
    # the renaming is at once.
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        _encode(unfinished, frames, rate, codec, keyframe_interval, options)
        os.replace(unfinished, path)
    except (av.FFmpegError, ValueError) as error:
        raise ValueError(
            f"Cannot write `path` {path} with `codec` {codec!r} at `fps` "
            f"{fps!r}: {error}."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _encode(path, frames, rate, codec, keyframe_interval, options):
    import av

    with av.open(str(path.absolute()), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = _pixel_format(stream)
        if keyframe_interval is not None:
            stream.codec_context.gop_size = keyframe_interval
        for image in frames:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pixel_format(stream):
    is_odd = stream.height % 2 or stream.width % 2
    if is_odd and stream.codec.canonical_name in _EVEN_ONLY:
        return "yuv444p"
    return "yuv420p"


def _check_rate(fps):
    try:
        rate = fractions.Fraction(fps).limit_denominator(1001)
    except (TypeError, ValueError, OverflowError):
        rate = 0
    if rate <= 0:
        raise ValueError(f"`fps` must be a positive number, but it is {fps!r}.")
    return rate
