"""Fine-tuning a classifier on a folder."""

import re

import keras
import numpy as np
import pytest

import keras_longvideo
from keras_longvideo.video import write_video

pytestmark = [pytest.mark.slow, pytest.mark.backend_free]


def test_rendered_folder(trained, run_example, tmp_path):
    text = run_example(
        "video_classification.py",
        f"--output={tmp_path}",
        "--num_videos=60",
        "--epochs=1",
    )
    assert "6 labels" in text
    assert f"Starting from {trained}\n" in text
    assert re.search(r"Held-out accuracy: [\d.]+% \(chance 16.7%\)", text)
    assert _difference_after_loading(text) < 1e-4
    saved = keras_longvideo.from_preset(str(tmp_path / "classifier"))
    assert saved.labels == sorted(
        path.name for path in (tmp_path / "labelled").iterdir()
    )


def test_own_folder_from_scratch(run_example, tmp_path):
    # As a notebook leaves them.
    (tmp_path / "mine" / ".ipynb_checkpoints").mkdir(parents=True)
    for label, gray in (("dark", 40), ("light", 200)):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for number in range(10):
            frames = np.full((8, 32, 48, 3), gray + number, np.uint8)
            write_video(
                tmp_path / "mine" / label / f"{number}.MP4", frames, fps=8
            )
    (tmp_path / "mine" / "dark" / "notes.txt").write_text("mine")
    text = run_example(
        "video_classification.py",
        f"--folder={tmp_path / 'mine'}",
        "--preset=short_vivit_tiny",
        "--from_scratch",
        f"--output={tmp_path}",
        "--epochs=2",
    )
    assert "Left out 1 files that are no" in text
    assert "2 labels, 16 videos for training, 4 held out" in text
    assert "without its weights" in text
    assert _difference_after_loading(text) < 1e-4
    saved = keras_longvideo.from_preset(str(tmp_path / "classifier"))
    assert isinstance(saved, keras.Model)
    assert saved.num_classes == 2


def test_a_folder_without_labels(run_example, tmp_path):
    write_video(tmp_path / "a.mp4", np.zeros((8, 32, 48, 3), np.uint8), fps=8)
    with pytest.raises(AssertionError, match="a folder of videos for each"):
        run_example("video_classification.py", f"--folder={tmp_path}")


def test_a_single_video(run_example, tmp_path):
    (tmp_path / "dark").mkdir()
    (tmp_path / "dark" / "a.mp4").touch()
    with pytest.raises(AssertionError, match="at least 2 videos"):
        run_example("video_classification.py", f"--folder={tmp_path}")


def test_stray_arguments(run_example):
    with pytest.raises(AssertionError, match=r"Unexpected.*\['my_videos'\]"):
        run_example("video_classification.py", "--folder", "a", "my_videos")


def _difference_after_loading(text):
    return float(re.search(r"logits differ by (\S+)", text)[1])
