"""Runs the examples as a reader would, only with less to do."""

import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def run_example():
    """Runs an example with flags; returns what it printed."""

    def run(name, *arguments):
        process = subprocess.run(
            [sys.executable, EXAMPLES / name, *map(str, arguments)],
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr[-3000:]
        return process.stdout

    return run


@pytest.fixture(scope="session")
def trained():
    """The name of the preset that examples start from."""
    return "short_vivit_tiny_shapes"


@pytest.fixture(scope="session")
def search_demo(trained, run_example, tmp_path_factory):
    """The output folder and the text of a tiny run of the first example."""
    folder = tmp_path_factory.mktemp("demo")
    text = run_example(
        "text_to_video_search.py",
        f"--output={folder}",
        "--num_videos=32",
        "--num_held_out=8",
        "--epochs=1",
    )
    return folder, text
