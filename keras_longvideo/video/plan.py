"""Which packets to decode for the frames that are wanted.

A stretch of packets from one key frame up to the next is a group: decoding
can start at each group's key frame, and nowhere else. Groups without a wanted
frame are jumped over.
"""

import bisect
import dataclasses


@dataclasses.dataclass(frozen=True)
class Segment:
    """Packets to decode in a row, counted in the order of decoding.

    Attributes:
        start: Int, the first packet, a key frame (or the file's first).
        stop: Int, the last packet; the segment includes it.
    """

    start: int
    stop: int


def plan_segments(pts, is_key, wanted):
    """Plans the least decoding that gives the frames at `wanted`.

    Args:
        pts: List of ints, when the frame of each packet is shown, in the
            order of decoding. No two are the same.
        is_key: List of bools in the same order, whether a packet is a key
            frame.
        wanted: Iterable of those `pts` whose frames are wanted.

    Returns:
        List of `Segment`s in ascending order that neither overlap nor touch.
    """
    position_of = {value: position for position, value in enumerate(pts)}
    keys = [position for position, key in enumerate(is_key) if key]
    segments = []
    for stop in sorted(position_of[value] for value in wanted):
        start = _start(pts, keys, stop)
        if segments and start <= segments[-1].stop + 1:
            segments[-1] = Segment(segments[-1].start, stop)
        else:
            segments.append(Segment(start, stop))
    return segments


def _start(pts, keys, position):
    """The key frame at which to begin in order to decode `position`."""
    group = bisect.bisect_right(keys, position) - 1
    # A frame that follows its key frame in the file but is shown before it
    # (an open group) may build on the group before as well.
    if group >= 0 and pts[position] < pts[keys[group]]:
        group -= 1
    return keys[group] if group >= 0 else 0
