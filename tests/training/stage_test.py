"""Stages tell what is wrong with them before anything runs."""

import json

import numpy as np
import pytest

from keras_longvideo.training import Source

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"batch_size": 1}, "`batch_size` must be an int of at least 2"),
        ({"num_frames": 0}, "`num_frames` must be an int of at least 1"),
        ({"ratio": 0.0}, "`ratio` must be a positive number"),
        ({"fps": -1.0}, "`fps` must be a positive number"),
        ({"group_size": 3}, "`group_size` must divide `batch_size`"),
        ({"path": "*.tfrecord", "cache": "clips"}, "`cache` must be a bool"),
    ],
)
def test_sources(overrides, message):
    with pytest.raises(ValueError, match=message):
        Source(**{"path": "a.jsonl", "batch_size": 4, **overrides})


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"train": ()}, "`train` must be a tuple"),
        ({"train": ("a.jsonl",)}, "`train` must be a tuple"),
        ({"train": Source("a.jsonl", 4)}, "`train` must be a tuple"),
        ({"held_out": ["a.jsonl"]}, "`held_out` must be a dict"),
        ({"backbone": None}, "`backbone` must be a dict"),
        ({"num_frames": 0}, "`num_frames` must be an int of at least 1"),
        ({"microbatch_size": 0}, "`microbatch_size` must be an int"),
        ({"image_size": 64}, "`image_size` must be a pair"),
        ({"fps": -1.0}, "`fps` must be a positive number"),
        ({"beta_2": None}, r"`beta_2` must be in \[0, 1\)"),
        ({"ema_momentum": "x"}, r"`ema_momentum` must be in \[0, 1\)"),
        ({"steps": 0}, "`steps` must be an int"),
        ({"steps": 2.0}, "`steps` must be an int"),
        ({"warmup_steps": 7}, "`warmup_steps` must be below `steps`"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be a positive"),
        ({"weight_decay": -1}, "`weight_decay` must be a number of at least 0"),
        ({"beta_2": 1.0}, r"`beta_2` must be in \[0, 1\)"),
        ({"ema_momentum": 1.0}, r"`ema_momentum` must be in \[0, 1\)"),
        ({"captioning": -1.0}, "`captioning` must be a number of at least 0"),
        (
            {"captioning": 1.0, "microbatch_size": 2},
            "`microbatch_size` must be None",
        ),
        ({"microbatch_size": 3}, "`microbatch_size` must divide"),
    ],
)
def test_stages(overrides, message, tiny):
    with pytest.raises(ValueError, match=message):
        tiny.stage(**overrides)


def test_all_that_is_due_falls_on_an_interval(tiny):
    stage = tiny.stage(log_every=50, evaluate_every=120, checkpoint_every=30)
    assert stage.interval == 10


def test_a_stage_as_json(tiny):
    # Numbers of NumPy's are numbers.
    fields = json.loads(tiny.stage(steps=np.int64(7)).to_json())
    assert fields["steps"] == 7
    assert fields["train"][0]["group_size"] == 2
