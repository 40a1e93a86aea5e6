"""A file's table of packets: when each frame is shown, where reading starts.

Headers lie about lengths and counts, so the table comes from the packets
themselves. Reading them all without decoding costs little.
"""

import dataclasses
import fractions

import numpy as np

from keras_longvideo.video.container import demux
from keras_longvideo.video.container import is_image
from keras_longvideo.video.container import open_video
from keras_longvideo.video.errors import VideoError

# Seconds a frame lasts where nothing in the file says so.
_DEFAULT_FRAME_DURATION = fractions.Fraction(1, 25)
# Part of a tick for the rounding of floats: `7 / 30` is not 7/30.
_FLOAT_SLACK = 1e-3
# Ticks that a frame must last for one tick to be small beside it.
_FINE_TICKS = 4


@dataclasses.dataclass(frozen=True)
class PacketTable:
    """What the packets of a video say, without a frame decoded.

    Attributes:
        path: The file.
        codec: String, the codec's name, such as `"h264"`.
        height: Int, the height of a frame as stored.
        width: Int, the width of a frame as stored.
        pixel_aspect: Float, how wide a stored pixel is to be displayed, as a
            multiple of its height.
        rotation: Int, the degrees clockwise by which to turn a frame for
            display: 0, 90, 180 or 270.
        tick: Fraction, the length in seconds of the unit of all times here.
        ticks: Int array, when each frame is shown, ascending.
        end_tick: Int, when the last frame's display ends.
        pts: List in the order of decoding: when each packet's frame is
            shown, with hidden frames, `None` where the file does not say.
        seek_to: List in the same order: the time to seek to for each packet.
        is_key: List in the same order: whether decoding can start there.
    """

    path: str
    codec: str
    height: int
    width: int
    pixel_aspect: float
    rotation: int
    tick: fractions.Fraction
    ticks: np.ndarray
    end_tick: int
    pts: list
    seek_to: list
    is_key: list

    @property
    def duration(self):
        """Seconds from the first frame's start to the last one's end."""
        return float((self.end_tick - int(self.ticks[0])) * self.tick)

    @property
    def display_size(self):
        """(height, width) of a frame in square pixels, after its rotation."""
        # A few columns of narrow pixels may be less than one square one.
        width = max(round(self.width * self.pixel_aspect), 1)
        return self._turned(self.height, width)

    @property
    def pixel_size(self):
        """(height, width) of a stored pixel after its rotation."""
        return self._turned(1.0, self.pixel_aspect)

    def _turned(self, height, width):
        if self.rotation in (90, 270):
            return width, height
        return height, width

    @property
    def has_pts(self):
        """Whether the file itself says when every frame is shown."""
        return None not in self.pts

    @property
    def can_seek(self):
        """Whether frames can be found without decoding from the start."""
        return self.has_pts and len(set(self.pts)) == len(self.pts)

    @property
    def _slack(self):
        """Ticks by which a time may precede a frame and still mean it.

        A file rounds the times of all frames to its ticks, the first frame's
        among them, so one may come almost a tick later than its rate says.
        Where a tick is about a frame (AVI), nothing is rounded.
        """
        length = (self.end_tick - int(self.ticks[0])) / len(self.ticks)
        return 1 - _FLOAT_SLACK if length >= _FINE_TICKS else _FLOAT_SLACK

    def shown_at(self, times):
        """The tick of the frame on screen at each of `times`, in seconds."""
        wanted = np.floor(times / float(self.tick) + self._slack)
        index = np.searchsorted(self.ticks, wanted + self.ticks[0], "right") - 1
        return self.ticks[np.maximum(index, 0)]


def read_packets(path):
    """Reads the packet table of the video at `path`."""
    first_frame = None
    packets = []
    with open_video(path) as (container, stream):
        for packet in demux(container, stream):
            packets.append(_Packet.of(packet, container.format.name))
            # Only a decoded frame tells how it is to be turned.
            if first_frame is None:
                first_frame = next(iter(packet.decode()), None)
        if first_frame is None:
            first_frame = next(iter(stream.codec_context.decode(None)), None)
        codec = stream.codec.canonical_name
        time_base = stream.time_base
        frame_rate = stream.average_rate or stream.guessed_rate
        pixel_aspect = _pixel_aspect(container, stream)
    if first_frame is None:
        raise VideoError(path, "not one frame of it can be decoded")
    if packets[-1].is_cut:
        raise VideoError(path, "it is truncated: its last frame is cut short")
    shown = [packet for packet in packets if packet.is_shown]
    if any(packet.pts is None for packet in packets):
        tick, ticks, end_tick = _times_by_rate(shown, frame_rate)
    else:
        tick, ticks, end_tick = _times_by_pts(shown, time_base, frame_rate)
    return PacketTable(
        path=path,
        codec=codec,
        height=first_frame.height,
        width=first_frame.width,
        pixel_aspect=pixel_aspect,
        # FFmpeg counts counterclockwise.
        rotation=round(-first_frame.rotation / 90) * 90 % 360,
        tick=tick,
        ticks=ticks,
        end_tick=end_tick,
        pts=[packet.pts for packet in packets],
        seek_to=[packet.seek_to for packet in packets],
        is_key=[packet.is_key for packet in packets],
    )


@dataclasses.dataclass(frozen=True)
class _Packet:
    pts: int | None
    seek_to: int | None
    duration: int
    is_key: bool
    # An edit list hides frames that are there only to decode others.
    is_shown: bool
    is_cut: bool

    @classmethod
    def of(cls, packet, container):
        return cls(
            pts=None if _pts_is_guessed(packet, container) else packet.pts,
            # FFmpeg searches an MPEG transport stream, which has no index,
            # for the time of decoding; elsewhere for the time of display.
            seek_to=packet.dts if container == "mpegts" else packet.pts,
            duration=packet.duration or 0,
            is_key=packet.is_keyframe,
            is_shown=not packet.is_discard,
            is_cut=packet.is_corrupt,
        )


def _pixel_aspect(container, stream):
    """Width by height of a stored pixel; 1 where the file makes no sense."""
    aspect = stream.sample_aspect_ratio
    # An image's is that of its printer's dots, which no viewer follows.
    if is_image(container) or aspect is None or not 0.1 <= aspect <= 10:
        return 1.0
    return float(aspect)


def _pts_is_guessed(packet, container):
    """Whether the time of display is only the place in the file.

    AVI stores no times, and FFmpeg counts packets as if frames were shown in
    the order of decoding, which these codecs change.
    """
    codec = packet.stream.codec.canonical_name
    return container == "avi" and codec in ("h264", "hevc")


def _times_by_pts(shown, time_base, frame_rate):
    """The ticks of frames whose packets say when they are shown."""
    ticks = np.sort(np.array([packet.pts for packet in shown], dtype=np.int64))
    last = max(shown, key=lambda packet: packet.pts)
    if last.duration:
        duration = last.duration
    elif len(ticks) > 1:
        duration = round(float(np.median(np.diff(ticks))))
    else:
        duration = round(_frame_duration(frame_rate) / time_base)
    return time_base, ticks, int(ticks[-1]) + max(duration, 1)


def _times_by_rate(shown, frame_rate):
    """The ticks of frames that follow one another at a constant rate."""
    ticks = np.arange(len(shown), dtype=np.int64)
    return _frame_duration(frame_rate), ticks, len(shown)


def _frame_duration(frame_rate):
    return 1 / frame_rate if frame_rate else _DEFAULT_FRAME_DURATION
