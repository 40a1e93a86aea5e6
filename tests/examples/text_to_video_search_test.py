"""The demo keeps its promises, whatever its model has learned."""

import re

import numpy as np
import pytest
from matplotlib import pyplot as plt

import keras_longvideo

pytestmark = [pytest.mark.slow, pytest.mark.backend_free]


def test_demo_measures_recall_beside_chance(search_demo):
    _, text = search_demo
    for name, chance in (
        ("spatial", "12.5%"),
        ("temporal", "12.5%"),
        ("reversed twins", "50.0%"),
    ):
        assert re.search(rf"^{name} +[\d.]+% +{chance}$", text, re.MULTILINE)


def test_demo_learns_new_words(search_demo):
    _, text = search_demo
    for name in ("spatial", "temporal"):
        for words in ("known", "new"):
            assert re.search(
                rf"^{name}, {words} words +[\d.]+% +[\d.]+% +12.5%$",
                text,
                re.MULTILINE,
            )
    assert 'Search for "a golden tile moves to the left"' in text


def test_demo_draws_what_it_found(search_demo):
    folder, _ = search_demo
    picture = plt.imread(folder / "search.png")
    # Frames in colour, not an empty canvas.
    assert np.ptp(picture[..., :3], axis=-1).max() > 0.3


def test_demo_scores_the_same_after_loading(search_demo):
    folder, text = search_demo
    before, after = (
        np.array(re.search(f"^{when}: (.*)$", text, re.MULTILINE)[1].split())
        for when in ("before", "after")
    )
    assert len(before) == 5
    np.testing.assert_allclose(
        before.astype(float), after.astype(float), atol=1e-5
    )
    saved = keras_longvideo.from_preset(folder / "preset")
    # It was frozen for the tuning alone.
    assert saved.backbone.trainable
    assert saved.backbone.trainable_variables


def test_demo_encodes_a_real_video(search_demo):
    _, text = search_demo
    assert "bikes.mp4, 640x272, 250 frames, 10 s" in text
    assert "shape (256,)" in text
