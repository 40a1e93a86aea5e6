"""Open a file's video stream, and turn PyAV's errors into `VideoError`."""

import contextlib
import os

from keras_longvideo.video.errors import VideoError
from keras_longvideo.video.truncation import is_truncated

# Images of which FFmpeg by default paints what is missing, a JPEG's in grey.
# Of other kinds it refuses those by itself, and with the option sound ones too.
_MENDED = ("mjpeg", "png", "webp")


@contextlib.contextmanager
def open_video(path):
    """Opens `path` and yields its container and its first video stream.

    Any error of PyAV inside the `with` block leaves it as a `VideoError`.
    """
    import av

    _check_file(path)
    try:
        container = av.open(
            # An absolute path is never mistaken for a URL ("12:30.mp4").
            os.path.abspath(path),
            # A playlist that poses as a video must not reach the network.
            options={"protocol_whitelist": "file"},
            **_metadata_arguments(),
        )
    except av.FFmpegError as error:
        raise VideoError(
            path, f"it is no video, or a damaged one ({error.strerror})"
        ) from error
    with container:
        stream = _video_stream(path, container)
        # Whoever reads many files reads them side by side: more threads for
        # each would only get in one another's way.
        stream.codec_context.thread_count = 1
        if is_image(container) and stream.codec.canonical_name in _MENDED:
            stream.codec_context.options = {"err_detect": "explode"}
        try:
            yield container, stream
        except av.FFmpegError as error:
            raise VideoError(
                path,
                "it is truncated or damaged, or of a kind that cannot be "
                f"decoded ({error.strerror})",
            ) from error


def _metadata_arguments():
    """Has PyAV overlook broken titles and tags: the picture is what counts."""
    import av

    # From 19 on it does so by itself, and takes no such argument.
    is_strict = int(av.__version__.split(".")[0]) < 19
    return {"metadata_errors": "ignore"} if is_strict else {}


def demux(container, stream):
    """Yields the stream's packets that hold something."""
    import av

    try:
        for packet in container.demux(stream):
            # The end of the file comes as an empty packet.
            if packet.size > 0:
                yield packet
    except IndexError as error:
        # PyAV has no place for a stream that turns up midway.
        raise av.InvalidDataError(0, "a new stream begins midway") from error


def _check_file(path):
    if not os.path.exists(path):
        raise VideoError(path, "the file does not exist")
    if not os.path.isfile(path):
        raise VideoError(path, "it is not a file")
    if os.path.getsize(path) == 0:
        raise VideoError(path, "the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise VideoError(path, "the file may not be read (permissions)")
    if is_truncated(path):
        raise VideoError(path, "it is truncated: its end is missing")


def is_image(container):
    """Whether the file is an image, which FFmpeg takes for one frame."""
    name = container.format.name
    return name == "image2" or name.endswith("_pipe")


def _video_stream(path, container):
    from av.stream import Disposition

    # FFmpeg would render a text file as pictures of a terminal.
    if container.format.name == "tty":
        raise VideoError(path, "it is a text file, not a video")
    for stream in container.streams.video:
        # The cover picture of a song is no video.
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise VideoError(path, "its codec is not supported")
            return stream
    raise VideoError(path, "it has no video stream")
