"""Write frames to a video file, or one to an image file."""

import fractions
import pathlib

import numpy as np

from keras_longvideo.video.resize import check_frames
from keras_longvideo.video.whole_file import whole_file

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
        fps: Number (int, float or Fraction), frames shown a second. As slow
            as `1 / 3600`, a frame an hour, where container and codec take it
            (MP4, Matroska, WebM and AVI do).
        codec: String, the name of FFmpeg's encoder, such as `"libx264"`,
            `"libvpx-vp9"` (for `.webm`) or `"mpeg2video"` (for `.mpg`).
            Defaults to `"libx264"`.
        keyframe_interval: Int, the most frames from one key frame to the
            next. Short intervals make seeking quick and files large. Defaults
            to `None`, the encoder's choice.
        options: Dictionary of strings, passed on to the encoder, such as
            `{"crf": "18"}`. Defaults to `None`.

    Raises:
        ValueError: If an argument is not as described, or if container,
            codec and rate do not go together.
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
    try:
        with whole_file(path) as unfinished:
            _encode(unfinished, frames, rate, codec, keyframe_interval, options)
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise ValueError(
            f"Cannot write `path` {path} with `codec` {codec!r} at `fps` "
            f"{fps!r}: {error}."
        ) from error


def write_image(path, image):
    """Writes an image to a PNG file, which keeps every pixel as it is.

    The file appears under its name when it is complete, and replaces one that
    was there.

    Args:
        path: String or path object that ends in `.png`.
        image: uint8 array of shape `(height, width, 3)`, RGB.

    Raises:
        ValueError: If an argument is not as described.
        FileNotFoundError: If the folder of `path` does not exist.

    Example:

    ```python
    import os
    import tempfile

    import numpy as np

    from keras_longvideo.video import write_image

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "picture.png")
        write_image(path, np.zeros((48, 64, 3), "uint8"))
        print(os.listdir(folder))  # ['picture.png']
    ```
    """
    import av

    path = pathlib.Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"`path` must end in '.png', but it is {path}.")
    if not isinstance(image, np.ndarray) or image.ndim != 3:
        raise ValueError(
            "`image` must be a NumPy array of shape (height, width, 3), but "
            f"it is {getattr(image, 'shape', type(image).__name__)}."
        )
    check_frames(image[None])
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt = "rgb24"
    # An encoder needs one, though a picture has no time.
    encoder.time_base = fractions.Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    with whole_file(path) as unfinished:
        unfinished.write_bytes(b"".join(map(bytes, packets)))


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
        rate = fractions.Fraction(fps)
    except (TypeError, ValueError, OverflowError):
        rate = 0
    if rate <= 0:
        raise ValueError(f"`fps` must be a positive number, but it is {fps!r}.")
    # A float is not 30000/1001, nor 1/3600: what is near and simple is meant.
    if rate < 1:
        return 1 / (1 / rate).limit_denominator(1001)
    return rate.limit_denominator(1001)
