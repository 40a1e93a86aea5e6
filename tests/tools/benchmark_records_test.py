"""How fast clips are read: the tool runs, and its figures are plausible."""

import json
import pathlib
import subprocess
import sys

import pytest

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "benchmark_records.py"


@pytest.mark.slow
def test_figures_of_both_sources(tmp_path):
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            sys.executable,
            str(TOOL),
            "--clip_frames=4",
            "--clip_size=32",
            "--videos=4",
            "--video_size=40,60",
            "--steps=2",
            f"--figures_file={figures}",
        ],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert not done.returncode, done.stderr[-3000:]
    rows = json.loads(figures.read_text())
    assert [row["source"] for row in rows] == ["videos", "records"]
    for row in rows:
        assert row["source"] in done.stdout
        assert row["frames_a_second_of_a_core"] > 0
        assert 0 <= row["waited_seconds"] <= row["step_seconds"]
