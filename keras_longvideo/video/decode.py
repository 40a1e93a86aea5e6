"""Decode wanted frames: by seeking where possible, else all in a row."""

import collections

from keras_longvideo.video.container import demux
from keras_longvideo.video.container import open_video
from keras_longvideo.video.errors import VideoError
from keras_longvideo.video.plan import plan_segments

# Codecs in which a frame marked as no reference is needed by no other frame
# whatsoever, so that it may be left out.
_SKIPPABLE = ("h264", "mpeg1video", "mpeg2video", "mpeg4")


def decode_frames(table, wanted, handle):
    """Decodes the frames shown at the ticks `wanted`.

    Args:
        table: The file's `PacketTable`.
        wanted: Set of ints out of `table.ticks`.
        handle: Function called with a tick and its frame, in no given order.
            A tick may come twice; the last call counts.

    Raises:
        VideoError: If the file does not give those frames.
    """
    if not (table.can_seek and _decode_planned(table, wanted, handle)):
        _decode_in_full(table, wanted, handle)


def _decode_planned(table, wanted, handle):
    """Seeks and decodes as planned; False if not every frame came of it."""
    missing = set(wanted)
    try:
        with open_video(table.path) as (container, stream):
            for segment in plan_segments(table.pts, table.is_key, wanted):
                packets = _read_segment(container, stream, table, segment)
                for frame in _decode_packets(stream, packets, wanted):
                    if frame.is_corrupt:
                        return False
                    if frame.pts in missing:
                        missing.remove(frame.pts)
                        handle(frame.pts, frame)
    except VideoError:
        return False
    return not missing


def _read_segment(container, stream, table, segment):
    """Yields the packets of `segment`, from wherever the seek led."""
    first, last = table.pts[segment.start], table.pts[segment.stop]
    if segment.start > 0:
        container.seek(table.seek_to[segment.start], stream=stream)
    is_inside = False
    for packet in demux(container, stream):
        # A seek may well end up a few packets early.
        is_inside = is_inside or packet.pts == first
        if is_inside:
            yield packet
            if packet.pts == last:
                return


def _decode_packets(stream, packets, wanted=None):
    """Yields the frames of `packets`: all, or at least those at `wanted`."""
    context = stream.codec_context
    can_skip = wanted is not None and context.codec.canonical_name in _SKIPPABLE
    for packet in packets:
        is_needed = not can_skip or packet.pts in wanted
        context.skip_frame = "DEFAULT" if is_needed else "NONREF"
        yield from context.decode(packet)
    # The decoder holds some frames back to put them in order of display.
    yield from context.decode(None)


def _decode_in_full(table, wanted, handle):
    """Decodes from the start, and gives each tick the frame on screen then.

    Some packets hold no frame of their own; at their time the frame before is
    still on screen. What the decoder could only mend is not given.
    """
    waiting = collections.deque(sorted(wanted))
    on_screen, tick, is_damaged = None, None, False

    def show():
        if is_damaged:
            seconds = float((tick - int(table.ticks[0])) * table.tick)
            raise VideoError(
                table.path,
                f"it is damaged: its frame at {seconds:g} seconds cannot be "
                "decoded whole",
            )
        handle(waiting.popleft(), on_screen)

    with open_video(table.path) as (container, stream):
        frames = _decode_packets(stream, demux(container, stream))
        for count, frame in enumerate(frames):
            next_tick = frame.pts if table.has_pts else count
            while tick is not None and waiting and waiting[0] < next_tick:
                show()
            if not waiting:
                return
            on_screen, tick = frame, next_tick
            # Up to the next key frame, frames build on the damaged one.
            is_damaged = frame.is_corrupt or (
                is_damaged and not frame.key_frame
            )
    # The very last packet may be one of those that hold no frame.
    if tick is None or (waiting[-1] > tick and sum(table.ticks > tick) > 1):
        raise VideoError(
            table.path, "it is truncated: its last frames cannot be decoded"
        )
    while waiting:
        show()
