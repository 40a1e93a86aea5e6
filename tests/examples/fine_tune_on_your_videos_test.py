"""Tuning a trained preset on clips and a csv file."""

import re

import numpy as np
import pytest

import keras_longvideo
from keras_longvideo import data
from keras_longvideo.video import write_video

pytestmark = [pytest.mark.slow, pytest.mark.backend_free]


def scores(text):
    """Recall before and after, and chance, of captions and of videos."""
    found = re.findall(
        r"^(?:text to video|video to text) +([\d.]+)% +([\d.]+)% +([\d.]+)%$",
        text,
        re.MULTILINE,
    )
    assert len(found) == 2
    return np.array(found, float)


def test_real_footage(trained, run_example, tmp_path):
    text = run_example(
        "fine_tune_on_your_videos.py", f"--output={tmp_path}", "--epochs=2"
    )
    assert "54 videos for training, 9 held out" in text
    np.testing.assert_allclose(scores(text)[:, 2], 11.1)
    assert re.search(r"^\d+ new words, such as: [a-z]+ ", text, re.MULTILINE)
    assert float(re.search(r"scores differ by (\S+)", text)[1]) < 1e-5

    train, held_out = (
        data.read_manifest(tmp_path / "footage" / f"{name}.csv")
        for name in ("train", "held_out")
    )
    assert all(len(captions) == 2 for captions in train["captions"])
    assert not set(sum(held_out["captions"], [])) & set(
        sum(train["captions"], [])
    )
    known = keras_longvideo.from_preset(trained)
    tuned = keras_longvideo.from_preset(tmp_path / "tuned_on_footage")
    old, new = (
        x.preprocessor.tokenizer.get_vocabulary() for x in (known, tuned)
    )
    assert new[: len(old)] == old
    assert "rabbit" in new[len(old) :]
    assert "[UNK]" not in [
        tuned.preprocessor.tokenizer.id_to_token(int(i))
        for caption in sum(held_out["captions"], [])
        for i in np.array(tuned.preprocessor.tokenizer(caption))
    ]


def test_own_csv(trained, run_example, tmp_path):
    rows = ["video,caption"]
    for number in range(10):
        level = 25 * number
        frames = np.full((8, 48, 64, 3), level, np.uint8)
        write_video(tmp_path / f"{number}.mp4", frames, fps=8)
        # Longer than the preset's captions, and different at the end alone.
        beginning = "A film, of which all there is " * 4
        rows.append(f'{number}.mp4,"{beginning}is of level {level}."')
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    text = run_example(
        "fine_tune_on_your_videos.py",
        f"--csv={tmp_path / 'mine.csv'}",
        f"--output={tmp_path}",
        "--query=a dark film",
        "--epochs=1",
    )
    assert "8 videos for training, 2 held out" in text
    np.testing.assert_allclose(scores(text)[:, 2], 50.0)
    assert 'Search for "a dark film"' in text
    tuned = keras_longvideo.from_preset(tmp_path / "tuned_on_footage")
    captions = data.read_manifest(tmp_path / "mine.csv")["captions"]
    tokens = np.array(
        tuned.preprocessor.tokenize(sum(captions[:8], []))["token_ids"]
    )
    assert len(np.unique(tokens, axis=0)) == 8
    unknown = tuned.preprocessor.tokenizer.token_to_id("[UNK]")
    assert unknown not in tokens


def test_a_batch_of_one(run_example, tmp_path):
    for name in ("train", "held_out"):
        (tmp_path / f"{name}.csv").write_text("video,caption\na.mp4,a\n")
    write_video(tmp_path / "a.mp4", np.zeros((8, 48, 64, 3), np.uint8), fps=8)
    with pytest.raises(AssertionError, match="at least 2 videos.*: 1 videos"):
        run_example(
            "fine_tune_on_your_videos.py",
            f"--csv={tmp_path / 'train.csv'}",
            f"--held_out_csv={tmp_path / 'held_out.csv'}",
        )


def test_held_out_videos_alone(run_example):
    with pytest.raises(AssertionError, match="--held_out_csv needs --csv"):
        run_example("fine_tune_on_your_videos.py", "--held_out_csv=a.csv")


def test_too_few_videos(run_example, tmp_path):
    (tmp_path / "two.csv").write_text("video,caption\na.mp4,a\nb.mp4,b\n")
    for name in ("a", "b"):
        frames = np.zeros((8, 48, 64, 3), np.uint8)
        write_video(tmp_path / f"{name}.mp4", frames, fps=8)
    with pytest.raises(AssertionError, match="at least 3 videos.*: 2 videos"):
        run_example(
            "fine_tune_on_your_videos.py", f"--csv={tmp_path / 'two.csv'}"
        )
