"""The optimizer of stages, against numpy."""

import keras
import numpy as np
import pytest

from keras_longvideo.training.optimizer import make_optimizer
from keras_longvideo.training.optimizer import make_schedule


class Weights(keras.layers.Layer):
    """Two weights, one of which is not to decay."""

    def build(self, shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(2,), initializer="ones"
        )
        self.gamma = self.add_weight(
            name="gamma", shape=(1,), initializer="ones"
        )

    def call(self, x):
        return x


def model_and_optimizer(stage):
    model = keras.Sequential([keras.Input((2,)), Weights()])
    return model, make_optimizer(stage, model)


def apply(model, optimizer, *gradients):
    gradients = [
        keras.ops.convert_to_tensor(g, dtype="float32") for g in gradients
    ]
    optimizer.apply(gradients, model.trainable_variables)


def values(variables):
    return np.concatenate([keras.ops.convert_to_numpy(v) for v in variables])


def test_the_schedule_by_hand(tiny):
    schedule = make_schedule(
        tiny.stage(steps=12, warmup_steps=4, learning_rate=0.8)
    )
    # A line up to step 4, then a cosine of 8 steps.
    expected = [0, 0.2, 0.4, 0.6, 0.8]
    rates = [float(schedule(step)) for step in range(13)]
    np.testing.assert_allclose(rates[:5], expected, atol=1e-6)
    np.testing.assert_allclose(
        [rates[6], rates[8], rates[12]],
        [0.4 * (1 + 0.5**0.5), 0.4, 0],
        atol=1e-6,
    )
    schedule = make_schedule(
        tiny.stage(steps=12, warmup_steps=0, learning_rate=0.8)
    )
    assert float(schedule(0)) == pytest.approx(0.8)
    assert float(schedule(6)) == pytest.approx(0.4)


def test_gradient_norm_is_of_all_gradients_before_they_are_clipped(tiny):
    model, optimizer = model_and_optimizer(tiny.stage(clip_norm=1.0))
    apply(model, optimizer, [3.0, 0.0], [4.0])
    assert float(optimizer.gradient_norm) == pytest.approx(5)
    # A tenth of what Adam sees: a fifth of each gradient.
    momentum = next(v for v in optimizer.variables if "momentum" in v.path)
    np.testing.assert_allclose(values([momentum]), [0.06, 0], atol=1e-6)
    assert int(optimizer.first_bad_step) == 0


def test_the_first_bad_step_is_kept(tiny):
    model, optimizer = model_and_optimizer(tiny.stage())
    for gradient in (1.0, np.inf, np.nan, 1.0):
        apply(model, optimizer, [gradient, 0.0], [0.0])
    assert int(optimizer.first_bad_step) == 2


def test_only_some_weights_decay(tiny):
    stage = tiny.stage(
        learning_rate=0.1, warmup_steps=0, weight_decay=0.5, clip_norm=None
    )
    model, optimizer = model_and_optimizer(stage)
    apply(model, optimizer, [0.0, 0.0], [0.0])
    np.testing.assert_allclose(
        values(model.trainable_variables), [0.95, 0.95, 1.0], atol=1e-6
    )


def test_moving_averages_by_hand(tiny):
    stage = tiny.stage(ema_momentum=0.75, warmup_steps=0, learning_rate=0.1)
    model, optimizer = model_and_optimizer(stage)
    average = None
    for gradient in (1.0, -2.0, 3.0):
        apply(model, optimizer, [gradient, 1.0], [0.5])
        now = values(model.trainable_variables)
        # The first one is what the weights are after the first step.
        average = now if average is None else 0.75 * average + 0.25 * now
    optimizer.finalize_variable_values(model.trainable_variables)
    np.testing.assert_allclose(
        values(model.trainable_variables), average, rtol=1e-6
    )


def test_what_of_a_retriever_does_not_decay(tiny):
    from keras_longvideo.models.weight_decay import weights_without_decay

    retriever = tiny.retriever()
    spared = {w.path for w in weights_without_decay(retriever)}
    decayed = {w.path for w in retriever.trainable_weights} - spared
    names = {path.rpartition("/")[2] for path in decayed}
    assert names == {"kernel", "image_kernel", "embeddings"}
    assert any("query/kernel" in path for path in decayed)
    assert any("token_embedding" in path for path in decayed)
    assert any("position_embedding" in path for path in spared)
    assert any("space_positions" in path for path in spared)
