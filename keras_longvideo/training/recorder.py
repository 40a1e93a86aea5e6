"""What is done between the intervals of a run."""

import contextlib
import math
import time

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from keras_longvideo.training.errors import NonFiniteError
from keras_longvideo.training.optimizer import make_schedule

# As `retrieval_metrics` names them.
_METRICS = tuple(
    f"{direction}/{metric}"
    for direction in ("text_to_video", "video_to_text")
    for metric in ("recall@1", "recall@5", "recall@10", "median_rank")
)


def log_columns(stage):
    """The columns of a run's log.

    Args:
        stage: `Stage`.

    Returns:
        A list of strings.
    """
    columns = ["step", "seconds", "loss"]
    if stage.auxiliary:
        columns += ["contrastive_loss"]
        columns += [f"{name}_loss" for name in stage.auxiliary]
    columns += ["temperature"]
    columns += ["gradient_norm", "learning_rate", "examples_per_second"]
    return columns + [f"{n}/{m}" for n in stage.held_out for m in _METRICS]


class Recorder(keras.callbacks.Callback):
    """Checks, measures, logs and saves after each epoch of `fit`.

    An epoch is an interval of the stage: only at its end does the host wait
    for the device. What is not finite stops the run before any of it is saved.

    Args:
        stage: `Stage`.
        retriever: `VideoTextRetriever`, which the model that is fitted trains.
        held_out: dict of held-out sets, as `held_out_clips` returns them.
        log: `RunLog`.
        checkpoints: `Checkpoints`.
        step: int. Steps that were done before `fit`.
        seconds: float. Time that was spent on them.
        progress: bool. Whether to show a progress bar.
    """

    def __init__(
        self,
        stage,
        retriever,
        held_out,
        log,
        checkpoints,
        step,
        seconds,
        progress,
    ):
        super().__init__()
        self.stage = stage
        self.retriever = retriever
        self.held_out = held_out
        self.log = log
        self.checkpoints = checkpoints
        self.step = step
        self.began = time.perf_counter() - seconds
        self.bar = tqdm(
            total=stage.steps, initial=step, unit="step", disable=not progress
        )

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        before, self.step = self.step, int(optimizer.iterations)
        duration = time.perf_counter() - self.epoch_began
        gradient_norm = float(optimizer.gradient_norm)
        self._check(int(optimizer.first_bad_step), logs["loss"], gradient_norm)
        steps_per_second = (self.step - before) / duration
        row = {
            **_losses(self.stage, logs),
            "step": self.step,
            "temperature": self._temperature(),
            "gradient_norm": gradient_norm,
            "learning_rate": self._learning_rate(),
            "examples_per_second": steps_per_second * _batch_size(self.stage),
        }
        is_last = self.step >= self.stage.steps
        if is_last or self.step % self.stage.evaluate_every == 0:
            row.update(self._evaluate())
        row["seconds"] = time.perf_counter() - self.began
        # Before the checkpoint: rows after one are written anew when the run
        # goes on, and none is missing.
        self.log.write(row)
        if is_last or self.step % self.stage.checkpoint_every == 0:
            self.checkpoints.save(self.step, row["seconds"])
        self.bar.update(self.step - before)
        self.bar.set_postfix(loss=f"{row['loss']:.4g}")

    def on_train_end(self, logs=None):
        self.bar.close()

    def _check(self, bad_step, loss, gradient_norm):
        """Stops the run if it went wrong since the last interval."""
        if not bad_step and math.isfinite(loss):
            return
        self.bar.close()
        step = bad_step or self.step
        checkpoint = self.checkpoints.newest
        good = (
            "There is no checkpoint yet"
            if checkpoint is None
            else f"The last good checkpoint is {checkpoint}"
        )
        raise NonFiniteError(
            f"Training went wrong in step {step}: its gradients, or a loss "
            f"since the last look, are not finite (loss {loss}, gradient norm "
            f"{gradient_norm} in step {self.step}). {good}; nothing after it "
            "was saved. Look for broken videos, or lower `learning_rate` and "
            "start in another folder.",
            step,
            checkpoint,
        )

    def _temperature(self):
        # Of a run that goes astray it may be infinite.
        log_scale = ops.convert_to_numpy(self.retriever.log_logit_scale)
        with np.errstate(over="ignore"):
            return float(np.exp(-log_scale.astype("float64")))

    def _learning_rate(self):
        """That of the step just done."""
        return float(make_schedule(self.stage)(self.step - 1))

    def _evaluate(self):
        found = {}
        with _averaged(self.model):
            for name, pairs in self.held_out.items():
                metrics = self.retriever.evaluate(
                    pairs,
                    batch_size=self.stage.evaluation_batch_size,
                    verbose=0,
                )
                found.update({f"{name}/{m}": metrics[m] for m in _METRICS})
        return found


def _losses(stage, logs):
    """The mean losses of an epoch, the contrastive one apart."""
    if not stage.auxiliary:
        return {"loss": logs["loss"]}
    rest = sum(w * logs[f"{name}_loss"] for name, w in stage.auxiliary.items())
    return {**logs, "contrastive_loss": logs["loss"] - rest}


@contextlib.contextmanager
def _averaged(model):
    """Inside, a model has the moving averages of its weights, if there are."""
    if not model.optimizer.use_ema:
        yield
        return
    variables = model.trainable_variables
    values = [ops.copy(v) for v in variables]
    model.optimizer.finalize_variable_values(variables)
    for variable in variables:
        # Of its own: on JAX, `predict` gives away the arrays that it is given,
        # which would be the optimizer's.
        variable.assign(ops.copy(variable))
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _batch_size(stage):
    """Pairs of a batch, on average over the sources."""
    total = sum(source.ratio for source in stage.train)
    return sum(s.batch_size * s.ratio for s in stage.train) / total
