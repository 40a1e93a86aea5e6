import importlib.util
import json
import pathlib
import subprocess
import sys

import keras
import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
BACKEND = keras.backend.backend()
HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_TRANSFORMERS = importlib.util.find_spec("transformers") is not None


def run(tool, tmp_path, *flags):
    """Runs a tool as a user does: what it prints, and its JSON file."""
    files = (tmp_path / "figures.json", tmp_path / "picture.png")
    done = subprocess.run(
        [
            sys.executable,
            str(TOOLS / tool),
            f"--json={files[0]}",
            f"--plot={files[1]}",
            "--repeats=2",
            *flags,
        ],
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    assert files[1].read_bytes().startswith(b"\x89PNG")
    return done.stdout, json.loads(files[0].read_text())


@pytest.mark.skipif(BACKEND != "jax", reason="compares on JAX, once")
def test_attention_beside_others(tmp_path):
    text, report = run(
        "benchmark_attention.py",
        tmp_path,
        "--tokens=300",
        "--heads=2",
        "--backward",
    )
    names = [result["name"] for result in report["results"]]
    expected = ["chunked", "direct", "keras"] + ["sdpa"] * HAS_TORCH
    assert names == expected
    for result in report["results"]:
        assert result["name"] in text
        assert result["seconds"] > 0 and len(result["all_seconds"]) == 2
        assert result["least_ratio"] <= result["times_chunked"]
    assert "splash is left out: " in text
    assert ("sdpa is left out: " in text) == (not HAS_TORCH)


def test_encoders_beside_one_another(tmp_path):
    text, results = run(
        "benchmark_encoder.py",
        tmp_path,
        "--num_frames=4",
        "--image_size=32",
        "--batch_size=3",
        "--num_layers=2",
        "--hidden_dim=16",
        "--num_heads=2",
        "--lora_rank=2",
    )
    count = 3 if HAS_TORCH and HAS_TRANSFORMERS else 2
    assert ("Left out: " in text) == (count == 2)
    assert [r["mode"] for r in results] == ["forward"] * count + [
        "train"
    ] * count
    # transformers adds a class token to the same tubelets.
    assert {r["tokens"] for r in results} <= {8, 9}
    for result in results:
        assert result["encoder"] in text
        assert result["seconds"] > 0 and len(result["ratios"]) == 2
