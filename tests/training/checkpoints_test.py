"""Checkpoints: whole or not at all, and all of the state."""

import keras
import numpy as np
import pytest

from keras_longvideo.training.checkpoints import Checkpoints


def make_model(units=2):
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(units),
            keras.layers.Dropout(0.5),
        ]
    )
    model.compile(keras.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def state(model):
    variables = [
        *model.trainable_variables,
        *model.non_trainable_variables,
        *model.optimizer.variables,
    ]
    return [keras.ops.convert_to_numpy(v) for v in variables]


def step(model, times=1):
    for _ in range(times):
        gradients = [keras.ops.ones(v.shape) for v in model.trainable_variables]
        model.optimizer.apply(gradients, model.trainable_variables)
        # Draws a random number.
        model(np.ones((1, 2), "float32"), training=True)
    return state(model)


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_all_state_comes_back(tmp_path):
    model = make_model()
    assert Checkpoints(tmp_path, model).restore() == (0, 0.0)
    saved = step(model, 3)
    path = Checkpoints(tmp_path, model).save(3, 1.5)
    assert path.name == "step_00000003.npz"
    after = step(model)
    other = make_model()
    assert Checkpoints(tmp_path, other).restore() == (3, 1.5)
    assert_same(state(other), saved)
    # And what follows from it.
    assert_same(step(other), after)


@pytest.mark.parametrize("tear", ["cut", "empty", "flipped", "missing"])
def test_a_torn_file_leaves_the_one_before(tmp_path, tear):
    model = make_model()
    checkpoints = Checkpoints(tmp_path, model)
    for number in (1, 2, 3):
        states = state(model), step(model)
        path = checkpoints.save(number, 0.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step_00000002.npz",
        "step_00000003.npz",
    ]
    content = bytearray(path.read_bytes())
    if tear == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif tear == "empty":
        path.write_bytes(b"")
    elif tear == "flipped":
        # Of the bytes of an array.
        content[content.index(b"\n") + 2] ^= 255
        path.write_bytes(content)
    else:
        path.unlink()
    if tear == "missing":
        restored = checkpoints.restore()
    else:
        with pytest.warns(UserWarning, match="step_00000003.npz is broken"):
            restored = checkpoints.restore()
    assert restored == (2, 0.0)
    assert checkpoints.newest.name == "step_00000002.npz"
    assert_same(state(model), states[0])


def test_no_checkpoint_that_is_whole(tmp_path):
    checkpoints = Checkpoints(tmp_path, make_model())
    checkpoints.save(1, 0.0).write_bytes(b"")
    with pytest.warns(UserWarning, match="is broken, none is left"):
        assert checkpoints.restore() == (0, 0.0)


def test_a_file_that_cannot_be_read_now_is_not_broken(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, make_model())
    path = checkpoints.save(1, 0.0)

    def fail(*_):
        raise OSError("a stale handle")

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(OSError, match="a stale handle"):
        checkpoints.restore()
    assert checkpoints.newest == path


def test_what_a_killed_run_left_is_swept_up(tmp_path):
    (tmp_path / "step_00000001.partial").write_bytes(b"half of it")
    assert Checkpoints(tmp_path, make_model()).restore() == (0, 0.0)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_model(tmp_path):
    Checkpoints(tmp_path, make_model()).save(1, 0.0)
    with pytest.raises(ValueError, match="is of another model"):
        Checkpoints(tmp_path, make_model(units=3)).restore()
