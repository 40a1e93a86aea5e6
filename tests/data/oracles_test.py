"""Oracles' scores, worked out by hand on tiny sets."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_longvideo.data import rendering
from keras_longvideo.data.oracles import score_frames
from keras_longvideo.data.oracles import score_sixteen
from keras_longvideo.data.oracles import see
from keras_longvideo.data.oracles import see_sixteen

pytestmark = pytest.mark.backend_free


def film(*glimpses, order=None):
    """As much of a scene as an oracle looks at."""
    order = np.arange(len(glimpses)) if order is None else np.array(order)
    return SimpleNamespace(glimpses=glimpses, order=order)


def scores(*films):
    return score_frames([see(each) for each in films])


def test_an_oracle_tells_apart_what_it_sees_differently():
    assert scores(film("a", "a"), film("b", "b")) == {
        "single_frame": 1.0,
        "shuffled_frames": 1.0,
    }


def test_frames_in_no_order_do_not_tell_a_video_from_its_reverse():
    twins = film("a", "b"), film("a", "b", order=[1, 0])
    assert scores(*twins) == {"single_frame": 0.5, "shuffled_frames": 0.5}
    # A third video is known by all its frames, and by the one that it alone
    # has. The twins have one frame that it does not share.
    assert scores(*twins, film("a", "c")) == {
        "single_frame": round((1 / 2 + 1 / 2 + 1) / 3, 4),
        "shuffled_frames": round((1 / 2 + 1 / 2 + 1) / 3, 4),
    }


def test_a_single_frame_tells_less_than_all():
    # Any frame of the first three is in another of them as well.
    assert scores(film("a", "b"), film("b", "c"), film("c", "a")) == {
        "single_frame": 0.5,
        "shuffled_frames": 1.0,
    }


def test_how_often_something_shows_counts_where_all_frames_are_seen():
    assert scores(film("a", "a", None), film("a", None, None)) == {
        "single_frame": 0.5,
        "shuffled_frames": 1.0,
    }


def test_sixteen_frames_are_the_middles_of_sixteen_parts():
    # 64 frames: parts of 4, of which the third frame is seen.
    frames = [None] * 64
    frames[2], frames[4], frames[62] = "first", "missed", "last"
    assert see_sixteen(film(*frames)) == ("first", "last")
    order = np.arange(64)[::-1]
    assert see_sixteen(film(*frames, order=order)) == ()
    frames[1], frames[61] = "new last", "new first"
    assert see_sixteen(film(*frames, order=order)) == ("new first", "new last")


def test_sixteen_frames_take_what_shows_most_of_what_is_possible():
    forwards = {(), ("a",), ("b",), ("a", "b")}
    backwards = {(), ("a",), ("b",), ("b", "a")}
    # Both show all.
    seen = [("a", "b"), ("b", "a")]
    assert score_sixteen(seen, [forwards, backwards]) == 1.0
    # Neither shows the order.
    assert score_sixteen([("a",), ("b",)], [forwards, backwards]) == 0.5
    assert score_sixteen([(), ()], [forwards, backwards]) == 0.5
    # One shows all, so the other is known by not being that; but the first
    # caption would be content with either, were it not shown in full.
    assert score_sixteen([("a", "b"), ("a",)], [forwards, backwards]) == 1.0
    # Where nothing is to be seen, a video that shows something is taken.
    assert score_sixteen([(), ("a",)], [forwards, backwards]) == 0.5


@pytest.mark.parametrize(
    ("split", "least", "most"),
    [
        ("spatial", (1.0, 1.0), (1.0, 1.0)),
        ("temporal", (0.3, 0.4), (0.5, 0.5)),
        ("long", (0.02, 0.3), (0.25, 0.5)),
    ],
)
def test_held_out_sets_need_what_their_cards_say(split, least, most):
    card = rendering._make_card(split, 200, 0, None, (64, 64), None, True)
    scenes = [
        scene for i in range(100) for scene, _ in rendering._stage(card, i)
    ]
    found = scores(*scenes)
    for name, low, high in zip(found, least, most, strict=True):
        assert low <= found[name] <= high
