"""The wording of captions."""

import numpy as np
import pytest

from keras_longvideo.data.rendering import SPLITS
from keras_longvideo.data.wording import WORDS
from keras_longvideo.data.wording import Meaning
from keras_longvideo.data.wording import draw_wordings
from keras_longvideo.data.wording import name_thing

pytestmark = pytest.mark.backend_free


def test_a_thing_goes_by_several_names():
    assert name_thing("red", "circle") == (
        "a red circle",
        "a red disc",
        "a circle that is red",
        "a disc that is red",
    )
    assert name_thing("purple", "star", "small")[:2] == (
        "a small purple star",
        "a small violet star",
    )


def test_the_plainest_wording_comes_first_and_others_differ():
    meaning = Meaning("then", (name_thing("red", "star"), ("a white moon",)))
    assert str(meaning) == "a red star then a white moon"
    # Two names of the first thing in five sentences.
    wordings = draw_wordings(meaning, 8, np.random.default_rng(0))
    assert wordings[0] == str(meaning)
    assert len(set(wordings)) == 8
    assert set(wordings) <= {
        sentence.format(star)
        for star in ("a red star", "a star that is red")
        for sentence in (
            "{0} then a white moon",
            "first {0} then a white moon",
            "{0} before a white moon",
            "a white moon after {0}",
        )
    }


def wordings_of(split, held_out, count=3):
    """Many wordings of every meaning: a dict of sets."""
    rng = np.random.default_rng(0)
    found = {}
    for kind in SPLITS[split].recipes(held_out):
        for recipe in kind:
            for scene in SPLITS[split].stage(
                recipe, SPLITS[split].min_frames, rng
            ):
                meaning = scene.meaning
                found[str(meaning)] = {
                    meaning.draw_wording(rng) for _ in range(count)
                }
    return found


@pytest.mark.parametrize("split", ["spatial", "temporal", "long"])
def test_captions_draw_on_a_small_vocabulary(split):
    assert len(WORDS) < 150
    used = {
        held_out: {
            word
            for wordings in wordings_of(split, held_out).values()
            for wording in wordings
            for word in wording.split()
        }
        for held_out in (False, True)
    }
    assert used[True] <= used[False] <= set(WORDS)


def test_every_word_is_used():
    used = {
        word
        for split in ("spatial", "temporal", "long")
        for wordings in wordings_of(split, held_out=False).values()
        for wording in wordings
        for word in wording.split()
    }
    assert used == set(WORDS)


def test_no_wording_has_two_meanings():
    seen = {}
    for split in ("spatial", "temporal", "long"):
        for held_out in (False, True):
            found = wordings_of(split, held_out, count=6)
            for meaning, wordings in found.items():
                for wording in wordings:
                    assert seen.setdefault(wording, meaning) == meaning
