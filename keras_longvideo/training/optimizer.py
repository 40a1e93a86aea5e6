"""AdamW as stages train with it."""

import keras
from keras import ops

from keras_longvideo.models.weight_decay import weights_without_decay


class MonitoredAdamW(keras.optimizers.AdamW):
    """AdamW that keeps what a run is watched by, on the device.

    `gradient_norm` is the norm of all gradients of the last step together,
    before they are clipped; `first_bad_step` the number of the first step,
    from 1, whose norm was not finite, or 0.
    """

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.gradient_norm = self.add_variable(
            shape=(), initializer="zeros", dtype="float32", name="gradient_norm"
        )
        self.first_bad_step = self.add_variable(
            shape=(), initializer="zeros", dtype="int32", name="first_bad_step"
        )

    def apply(self, grads, trainable_variables=None):
        norm = ops.sqrt(sum(_square_sum(g) for g in grads if g is not None))
        step = ops.cast(self.iterations + 1, "int32")
        bad_step = ops.convert_to_tensor(self.first_bad_step)
        is_first = ops.logical_and(
            ops.logical_not(ops.isfinite(norm)), ops.equal(bad_step, 0)
        )
        self.gradient_norm.assign(norm)
        self.first_bad_step.assign(ops.where(is_first, step, bad_step))
        super().apply(grads, trainable_variables)


def make_optimizer(stage, model):
    """The optimizer of a stage.

    Args:
        stage: `Stage`.
        model: `keras.Model` to train, which has all its weights.

    Returns:
        A `MonitoredAdamW`, built.
    """
    optimizer = MonitoredAdamW(
        make_schedule(stage),
        weight_decay=stage.weight_decay,
        beta_2=stage.beta_2,
        epsilon=1e-6,
        global_clipnorm=stage.clip_norm,
        use_ema=stage.ema_momentum is not None,
        ema_momentum=stage.ema_momentum or 0.0,
    )
    optimizer.exclude_from_weight_decay(weights_without_decay(model))
    optimizer.build(model.trainable_variables)
    return optimizer


def make_schedule(stage):
    """The learning rate of a stage, from 0 to its highest and back to 0."""
    if not stage.warmup_steps:
        return keras.optimizers.schedules.CosineDecay(
            stage.learning_rate, stage.steps
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        stage.steps - stage.warmup_steps,
        warmup_target=stage.learning_rate,
        warmup_steps=stage.warmup_steps,
    )


def _square_sum(gradient):
    # TensorFlow's gradients of an embedding name rows, some of them twice.
    gradient = ops.convert_to_tensor(gradient)
    return ops.sum(ops.square(ops.cast(gradient, "float32")))
