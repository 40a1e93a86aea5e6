"""From an image-text model to a search engine for videos."""

import re

import pytest

import keras_longvideo

pytestmark = [pytest.mark.slow, pytest.mark.backend_free]


def test_offline(run_example, tmp_path):
    text = run_example(
        "search_from_image_text.py",
        f"--output={tmp_path}",
        "--attention=joint",
        "--num_videos=32",
        "--num_held_out=8",
        "--epochs=1",
    )
    assert "loss 'sigmoid'" in text
    for when in ("Before", "After"):
        assert re.search(
            rf"{when} tuning: Recall@5 [\d.]+% \(chance 62.5%\)", text
        )
    assert float(re.search(r"texts differ by (\S+)", text)[1]) < 1e-5
    saved = keras_longvideo.from_preset(tmp_path / "search_from_image_text")
    assert saved.backbone.attention == "joint"
    assert saved.backbone.pooling == "map"
