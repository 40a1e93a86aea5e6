"""Videos whose frames carry their number, and a naive reader to compare."""

from fractions import Fraction

import av
import numpy as np
import pytest

_BITS = 12
_ROWS, _COLUMNS = 3, 4


def _picture(number, height=48, width=64):
    """An RGB image that shows `number` as a grid of bright and dark blocks."""
    bits = np.array([(number >> bit) & 1 for bit in range(_BITS)])
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    grid = bits.reshape(_ROWS, _COLUMNS)[rows][:, columns]
    # The noise keeps encoders from coding a frame as a copy of another.
    noise = np.random.default_rng(number).integers(0, 40, (height, width))
    image = 50 + 120 * grid + noise
    return np.stack([image, 230 - image, image], axis=-1).astype(np.uint8)


def _number(image):
    """The number that an image made by `_picture` shows."""
    height, width = image.shape[:2]
    number = 0
    for bit in range(_BITS):
        row, column = divmod(bit, _COLUMNS)
        y = (2 * row + 1) * height // (2 * _ROWS)
        x = (2 * column + 1) * width // (2 * _COLUMNS)
        block = image[y - 2 : y + 3, x - 2 : x + 3, 0]
        number |= int(block.mean() > 130) << bit
    return number


def _encode(
    path,
    pts,
    codec="libx264",
    time_base=Fraction(1, 25),
    keyframe_interval=30,
    size=(48, 64),
    pixel_format="yuv420p",
    options=None,
    pixel_aspect=None,
):
    """Writes frames numbered 0, 1, ... that are shown at `pts`."""
    with av.open(str(path), "w") as container:
        rate = Fraction(25) if codec == "mpeg2video" else 1 / time_base
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = keyframe_interval
        stream.codec_context.time_base = time_base
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for number, when in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(_picture(number, *size), "rgb24")
            frame.pts = when
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _decode_all(path):
    """Every frame's time in seconds from the first one, and its pixels.

    The third value is the time by which a frame may come late for rounding.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        images = [frame.to_ndarray(format="rgb24") for frame in decoded]
        if decoded[0].pts is None:
            tick = 1 / stream.average_rate
            ticks = list(range(len(images)))
        else:
            tick = stream.time_base
            ticks = [frame.pts - decoded[0].pts for frame in decoded]
        # Almost a tick, unless a tick is about a frame.
        slack = 0.999 * tick if ticks[-1] >= 4 * len(ticks) else 0
    return [count * tick for count in ticks], images, slack


def _naive_frames_at(path, times):
    """What `frames_at` should give, by decoding everything."""
    return _on_screen(_decode_all(path), times)


def _on_screen(decoded, times):
    """Of the result of `_decode_all`, the images on screen at `times`."""
    starts, images, slack = decoded
    chosen = []
    for time in times:
        latest = time + slack + 1e-7
        begun = [i for i, start in enumerate(starts) if start <= latest]
        chosen.append(images[begun[-1] if begun else 0])
    return np.stack(chosen)


def _patch_box(path, name, offset, data):
    """Overwrites bytes of an MP4 file, `offset` past the box name `name`."""
    content = bytearray(path.read_bytes())
    start = content.index(name) + len(name) + offset
    content[start : start + len(data)] = data
    path.write_bytes(content)


def _turn(path, degrees):
    """Makes an MP4 file say that it is to be turned clockwise."""
    one = 1 << 16
    cosine = {90: 0, 180: -one, 270: 0}[degrees]
    sine = {90: one, 180: 0, 270: -one}[degrees]
    matrix = [cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 30]
    data = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    _patch_box(path, b"tkhd", 40, data)


def _index_first(path):
    """Rewrites an MP4 file with its index before the frames."""
    rewritten = path.with_name("index_first.mp4")
    options = {"movflags": "faststart"}
    with (
        av.open(str(path)) as source,
        av.open(str(rewritten), "w", options=options) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size > 0:
                packet.stream = stream
                target.mux(packet)
    return rewritten


@pytest.fixture
def picture():
    return _picture


@pytest.fixture
def number_of():
    return _number


@pytest.fixture
def encode():
    return _encode


@pytest.fixture
def decode_all():
    return _decode_all


@pytest.fixture
def on_screen():
    return _on_screen


@pytest.fixture
def naive_frames_at():
    return _naive_frames_at


@pytest.fixture
def patch_box():
    return _patch_box


@pytest.fixture
def turn():
    return _turn


@pytest.fixture
def index_first():
    return _index_first
