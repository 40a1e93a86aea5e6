"""Stages from end to end."""

import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest

import keras_longvideo
from keras_longvideo import data
from keras_longvideo.training import NonFiniteError
from keras_longvideo.training import Source
from keras_longvideo.training import pretrain
from keras_longvideo.training import pretraining
from keras_longvideo.training.run_log import read_log

WORKER = pathlib.Path(__file__).with_name("pretrain_worker.py")
# For runs of which only the end counts.
QUICK = {"warmup_steps": 0, "checkpoint_every": 1, "held_out": {}}
# What depends on the clock.
TIMES = {"seconds", "examples_per_second"}


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """A run with moving averages and LoRA, made once."""
    output = tmp_path_factory.mktemp("runs") / "run"
    stage = tiny.stage(ema_momentum=0.5, adapt={"lora_rank": 2})
    results = pretrain(stage, output, progress=False)
    return types.SimpleNamespace(stage=stage, output=output, results=results)


def timeless(rows):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def assert_same_run(output, expected):
    rows, wanted = (
        timeless(read_log(pathlib.Path(folder) / "log.csv"))
        for folder in (output, expected)
    )
    assert [set(row) for row in rows] == [set(row) for row in wanted]
    for row, other in zip(rows, wanted, strict=True):
        for name, value in row.items():
            assert value == pytest.approx(other[name], rel=1e-5), name


def test_what_a_run_leaves(finished, manifest):
    names = {path.name for path in finished.output.iterdir()}
    assert names >= {"stage.json", "log.csv", "preset", "results.json"}
    assert len(list(finished.output.glob("events.out.tfevents.*"))) == 1
    assert not list(finished.output.rglob("*.partial"))
    kept = sorted(p.name for p in (finished.output / "checkpoints").iterdir())
    assert kept == ["step_00000006.npz", "step_00000007.npz"]
    picture = (finished.output / "curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG")

    rows = read_log(finished.output / "log.csv")
    assert [row["step"] for row in rows] == [2, 4, 6, 7]
    measured = ["set/text_to_video/recall@1" in row for row in rows]
    assert measured == [False, True, False, True]
    assert set(rows[0]) == TIMES | {
        *("step", "loss", "temperature", "gradient_norm", "learning_rate")
    }
    assert all(row["loss"] > 0 and row["gradient_norm"] > 0 for row in rows)
    assert rows[0]["temperature"] == pytest.approx(0.07, rel=0.05)
    # The rate of step 2, half of the warm-up, and of step 6: a cosine of five
    # steps, three of which are done.
    assert rows[0]["learning_rate"] == pytest.approx(0.005)
    expected = 0.005 * (1 + np.cos(np.pi * 3 / 5))
    assert rows[2]["learning_rate"] == pytest.approx(expected, rel=1e-5)

    results = {"steps": 7, **{k: v for k, v in rows[-1].items() if k != "step"}}
    assert finished.results == results
    # The preset is what was measured last: moving averages, LoRA merged.
    retriever = keras_longvideo.from_preset(finished.output / "preset")
    assert retriever.backbone.lora_rank is None
    pairs = data.read_manifest(manifest)
    pairs["captions"] = [several[0] for several in pairs["captions"]]
    metrics = retriever.evaluate(pairs, verbose=0)
    for name, value in metrics.items():
        assert results[f"set/{name}"] == value


def test_a_finished_run_is_not_run_again(finished, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", None)
    # Nor are its sets missed.
    monkeypatch.setattr(pretraining, "check_paths", None)
    again = pretrain(finished.stage, finished.output, progress=False)
    assert again == finished.results


def test_a_folder_of_another_stage(finished):
    other = dataclasses.replace(finished.stage, learning_rate=3e-3)
    with pytest.raises(ValueError, match=r"\['learning_rate'\] were \[0.01\]"):
        pretrain(other, finished.output, progress=False)


def test_results_of_another_stage_do_not_count(tiny, tmp_path, monkeypatch):
    output = tmp_path / "run"
    first = tiny.stage(steps=1, **QUICK)
    pretrain(first, output, progress=False)
    # All of it was taken away but the results.
    shutil.rmtree(output / "preset")
    shutil.rmtree(output / "checkpoints")
    second = dataclasses.replace(first, learning_rate=2e-2)

    def stop(*args):
        raise KeyboardInterrupt

    # As if killed with the preset written and the results not.
    monkeypatch.setattr(pretraining, "draw_curves", stop)
    with pytest.raises(KeyboardInterrupt):
        pretrain(second, output, progress=False)
    monkeypatch.undo()
    assert (output / "preset" / "config.json").exists()
    results = pretrain(second, output, progress=False)
    assert results["learning_rate"] == pytest.approx(2e-2)


def test_a_folder_of_a_stage_that_never_began(tiny, tmp_path):
    output = tmp_path / "run"
    # A slip of the pen claims no folder: it is mended, and started again.
    with pytest.raises(ValueError, match="no_such_argument"):
        wrong = tiny.stage(backbone={"no_such_argument": 1})
        pretrain(wrong, output, progress=False)
    results = pretrain(tiny.stage(steps=1, **QUICK), output, progress=False)
    assert results["steps"] == 1
    with pytest.raises(ValueError, match="holds the run of another stage"):
        pretrain(wrong, output, progress=False)


def test_a_preset_that_was_deleted_is_saved_again(finished, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(finished.output, output)
    shutil.rmtree(output / "preset")
    results = pretrain(finished.stage, output, progress=False)
    assert results == finished.results
    keras_longvideo.from_preset(output / "preset")


def test_two_processes_in_one_folder(finished, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    output = tmp_path / "run"
    shutil.copytree(finished.output, output)
    with open(output / "lock", "w") as file:
        # A lock is that of an open file: this one is as another process's.
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process is training"):
            pretrain(finished.stage, output, progress=False)
    assert pretrain(finished.stage, output, progress=False) == finished.results


def test_float16_is_refused(tiny, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(ValueError, match="such as 'mixed_bfloat16'"):
            pretrain(tiny.stage(), tmp_path / "run", progress=False)
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_set_that_is_not_there(tiny, tmp_path):
    missing = tiny.stage(train=(Source("nowhere/*.tfrecord", 4),))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pretrain(missing, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    missing = tiny.stage(held_out={"set": tmp_path / "nowhere.jsonl"})
    with pytest.raises(FileNotFoundError, match="nowhere.jsonl"):
        pretrain(missing, tmp_path / "run", progress=False)


def test_data_that_changed_since_a_run_began(tiny, manifest, tmp_path):
    path = tmp_path / "set.jsonl"
    data.write_manifest(path, *data.read_manifest(manifest).values())
    lines = path.read_text()
    train = (Source(str(path), 4, num_frames=2),)
    stage = tiny.stage(train=train, steps=1, **QUICK)
    output = tmp_path / "run"
    results = pretrain(stage, output, progress=False)
    path.write_text(lines.replace("red", "scarlet"))
    # A run that is done is.
    assert pretrain(stage, output, progress=False) == results
    (output / "results.json").unlink()
    with pytest.raises(ValueError, match="set.jsonl'] changed since the run"):
        pretrain(stage, output, progress=False)
    path.write_text(lines)
    pretrain(stage, output, progress=False)


def test_words_are_learned_anew_until_a_run_has_begun(
    tiny, manifest, tmp_path, monkeypatch
):
    path = pathlib.Path(shutil.copy(manifest, tmp_path / "set.jsonl"))
    stage = tiny.stage(
        preset="image_vivit_tiny",
        backbone={"image_shape": (16, 16, 3), "num_layers": 1},
        train=(Source(str(path), 4, num_frames=1),),
        **QUICK,
    )

    def fail(*args):
        raise RuntimeError("a video is broken")

    monkeypatch.setattr(pretraining, "_fit", fail)
    for word in ("ball", "zebra"):
        path.write_text(path.read_text().replace("ball", word))
        with pytest.raises(RuntimeError, match="a video is broken"):
            pretrain(stage, tmp_path / "run", progress=False)
    words = (tmp_path / "run" / "vocabulary.txt").read_text().split()
    assert "zebra" in words and "ball" not in words


def test_a_torn_checkpoint_costs_steps_and_nothing_else(finished, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(finished.output, output)
    (output / "results.json").unlink()
    torn = output / "checkpoints" / "step_00000007.npz"
    torn.write_bytes(torn.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="step_00000007.npz is broken"):
        results = pretrain(finished.stage, output, progress=False)
    assert results["loss"] == pytest.approx(finished.results["loss"], rel=1e-5)
    assert_same_run(output, finished.output)


def test_what_is_not_finite_stops_the_run(tiny, tmp_path):
    # After one step, weights are close to the largest float32.
    stage = tiny.stage(
        learning_rate=1e38,
        warmup_steps=0,
        checkpoint_every=1,
        train=tiny.stage().train[:1],
        held_out={},
    )
    output = tmp_path / "run"
    with pytest.raises(NonFiniteError, match="went wrong in step 2") as found:
        pretrain(stage, output, progress=False)
    assert isinstance(found.value, FloatingPointError)
    assert found.value.step == 2
    good = output / "checkpoints" / "step_00000001.npz"
    assert found.value.checkpoint == good and str(good) in str(found.value)
    assert list(good.parent.iterdir()) == [good]
    with np.load(good) as arrays:
        assert all(np.isfinite(x).all() for x in arrays.values())
    assert [row["step"] for row in read_log(output / "log.csv")] == [1]


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(tiny, tmp_path):
    """Killed in the middle of a checkpoint, then at any moment."""
    stage = tiny.stage(steps=40, log_every=1)
    pretrain(stage, tmp_path / "whole", progress=False)
    output = tmp_path / "killed"
    # As the tests of this process are compiled.
    environment = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

    def start(fatal):
        command = [sys.executable, str(WORKER), stage.to_json(), str(output)]
        return subprocess.Popen([*command, str(fatal)], env=environment)

    assert start(fatal=3).wait() == -signal.SIGKILL
    names = sorted(p.name for p in (output / "checkpoints").iterdir())
    assert names == [
        "step_00000002.npz",
        "step_00000004.npz",
        "step_00000006.partial",
    ]
    process = start(fatal=0)
    while len(read_log(output / "log.csv")) < 10 and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.random() / 2)
    process.kill()
    process.wait()
    results = pretrain(stage, output, progress=False)
    expected = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert results["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert_same_run(output, tmp_path / "whole")
