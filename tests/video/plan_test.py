import pytest

from keras_longvideo.video.plan import Segment
from keras_longvideo.video.plan import plan_segments

pytestmark = pytest.mark.backend_free


def plan(pts, keys, wanted):
    is_key = [position in keys for position in range(len(pts))]
    return plan_segments(pts, is_key, wanted)


def test_reads_from_the_key_frame_up_to_the_wanted_frame():
    pts = list(range(30))
    assert plan(pts, [0, 10, 20], [13]) == [Segment(10, 13)]


def test_jumps_over_groups_without_a_wanted_frame():
    pts = list(range(40))
    segments = plan(pts, [0, 10, 20, 30], [32, 3, 1])
    assert segments == [Segment(0, 3), Segment(30, 32)]


def test_reads_on_where_the_next_group_follows_at_once():
    pts = list(range(30))
    segments = plan(pts, [0, 10, 20], [4, 9, 12])
    assert segments == [Segment(0, 12)]


def test_a_frame_shown_before_its_key_frame_needs_the_group_before():
    # Packets 6 and 7 follow the key frame at 5 but are shown before it.
    pts = [0, 1, 2, 3, 4, 7, 5, 6, 8, 9]
    assert plan(pts, [0, 5], [6]) == [Segment(0, 7)]
    assert plan(pts, [0, 5], [8]) == [Segment(5, 8)]


def test_without_a_key_frame_reading_starts_at_the_front():
    assert plan([0, 1, 2, 3], [], [2]) == [Segment(0, 2)]
    assert plan([0, 1, 2, 3], [3], [2]) == [Segment(0, 2)]


def test_nothing_wanted_nothing_read():
    assert plan([0, 1, 2], [0], []) == []
