"""Training in microbatches: the whole batch's step, in a part of its memory."""

import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_longvideo import models

IS_JAX = keras.backend.backend() == "jax"
jax_only = pytest.mark.skipif(not IS_JAX, reason="microbatches are JAX's only")
BATCH = 8
RATE = 0.1


def make_retriever(tiny, loss="nce", mask_rate=0.0, dropout=0.0, **kwargs):
    """A retriever of arrays; of the same arguments, with the same weights."""
    keras.utils.set_random_seed(0)
    return models.VideoTextRetriever(
        tiny.backbone(mask_rate=mask_rate, **kwargs),
        tiny.text_backbone(dropout=dropout, **kwargs),
        projection_dim=8,
        loss=loss,
    )


def make_inputs(batch=BATCH, clip=(4, 16, 16, 3), with_frame_mask=True):
    rng = np.random.default_rng(0)
    inputs = {
        "pixel_values": rng.integers(0, 256, (batch, *clip), "uint8"),
        "token_ids": rng.integers(5, 12, (batch, 6), "int32"),
        "padding_mask": np.arange(6) < rng.integers(2, 7, (batch, 1)),
    }
    if with_frame_mask:
        inputs["frame_mask"] = np.arange(4) < rng.integers(1, 5, (batch, 1))
    return inputs


def step(retriever, inputs, microbatch_size, sample_weight=None):
    """The loss of one step against the gradients, `RATE` times as far."""
    retriever.compile(
        keras.optimizers.SGD(RATE), microbatch_size=microbatch_size
    )
    history = retriever.fit(
        inputs,
        sample_weight=sample_weight,
        batch_size=len(inputs["pixel_values"]),
        shuffle=False,
        verbose=0,
    )
    return history.history["loss"][0]


def assert_equal_weights(received, expected, atol=1e-5):
    names = [w.path for w in received.weights]
    for name, *values in zip(
        names, received.get_weights(), expected, strict=True
    ):
        np.testing.assert_allclose(*values, rtol=1e-5, atol=atol, err_msg=name)


@jax_only
@pytest.mark.parametrize(
    "loss, with_extras, sizes",
    [("nce", True, [1, BATCH]), ("sigmoid", False, [2, 2 * BATCH])],
)
def test_a_step_is_that_of_the_whole_batch(tiny, loss, with_extras, sizes):
    inputs = make_inputs(with_frame_mask=with_extras)
    weight = np.linspace(0.2, 2, BATCH, dtype="float32")
    weight = weight if with_extras else None
    whole = make_retriever(tiny, loss)
    before = whole.get_weights()
    expected = step(whole, inputs, None, weight)
    moved = [
        np.abs(after - start).max()
        for after, start in zip(whole.get_weights(), before, strict=True)
    ]
    assert max(moved) > 0.1
    for size in sizes:
        retriever = make_retriever(tiny, loss)
        assert step(retriever, inputs, size, weight) == pytest.approx(
            expected, rel=1e-5
        )
        assert_equal_weights(retriever, whole.get_weights())


def random_step(retriever, inputs, size):
    """Weights and seeds after a step, one microbatch after the other."""
    import jax
    import jax.numpy as jnp

    trainable = [v.value for v in retriever.trainable_variables]
    state = [v.value for v in retriever.non_trainable_variables]

    def compute_loss(trainable, state):
        parts = []
        for start in range(0, BATCH, size):
            part = {k: x[start : start + size] for k, x in inputs.items()}
            outputs, state = retriever.stateless_call(
                trainable, state, part, training=True
            )
            parts.append(outputs)
        embeddings = {
            name: jnp.concatenate([x[name] for x in parts]) for name in parts[0]
        }
        loss, _ = retriever.stateless_compute_loss(
            trainable, state, [], y_pred=embeddings
        )
        return loss, state

    gradients, state = jax.jit(jax.grad(compute_loss, has_aux=True))(
        trainable, state
    )
    return [
        weight - RATE * gradient
        for weight, gradient in zip(trainable, gradients, strict=True)
    ], state


@jax_only
def test_each_example_gets_one_mask(tiny):
    inputs, size = make_inputs(), 2
    retriever = make_retriever(tiny, mask_rate=0.5, dropout=0.5)
    expected, expected_state = random_step(retriever, inputs, size)
    step(retriever, inputs, size)
    for variables, values in (
        (retriever.trainable_variables, expected),
        (retriever.non_trainable_variables, expected_state),
    ):
        for variable, value in zip(variables, values, strict=True):
            np.testing.assert_allclose(
                variable.numpy(),
                value,
                rtol=1e-5,
                atol=1e-5,
                err_msg=variable.path,
            )


@jax_only
def test_half_precision(tiny):
    inputs = make_inputs()
    whole, retriever = (
        make_retriever(tiny, dtype="mixed_bfloat16") for _ in range(2)
    )
    before = whole.get_weights()
    expected = step(whole, inputs, None)
    assert step(retriever, inputs, 2) == pytest.approx(expected, rel=1e-2)
    moves, expected = (
        np.concatenate(
            [
                (after - start).ravel()
                for after, start in zip(
                    model.get_weights(), before, strict=True
                )
            ]
        )
        for model in (retriever, whole)
    )
    error = np.linalg.norm(moves - expected)
    assert error < 0.02 * np.linalg.norm(expected)


@jax_only
def test_training_and_validation(tiny):
    retriever = tiny.retriever()
    tiny.compile(retriever, keras.optimizers.Adam(3e-3), microbatch_size=2)
    # Of the validation's three pairs, no two make a microbatch.
    three = {name: x[:3] for name, x in tiny.pairs().items()}
    history = retriever.fit(
        tiny.pairs(), batch_size=4, epochs=12, validation_data=three, verbose=0
    ).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    temperature = 1 / np.exp(float(retriever.log_logit_scale))
    embeddings = {k: x[:3] for k, x in tiny.outputs(retriever).items()}
    assert history["val_loss"][-1] == pytest.approx(
        tiny.nce(embeddings, temperature), rel=1e-3
    )


def temporary_bytes(retriever, inputs, batch):
    """Memory that a step plans for, beyond its arguments and outputs."""
    import jax

    retriever.optimizer.build(retriever.trainable_variables)
    retriever._symbolic_build(data_batch=(inputs,))
    state = [
        [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in variables]
        for variables in (
            retriever.trainable_variables,
            retriever.non_trainable_variables,
            retriever.optimizer.variables,
            retriever.metrics_variables,
        )
    ]
    inputs = {
        name: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
        for name, x in inputs.items()
    }
    step = jax.jit(retriever.train_step, donate_argnums=0)
    plan = step.lower(state, (inputs,)).compile().memory_analysis()
    return plan.temp_size_in_bytes


@jax_only
@pytest.mark.slow
def test_memory_follows_the_microbatch(tiny):
    clip = (8, 64, 64, 3)

    def plan(batch, microbatch_size):
        retriever = make_retriever(tiny, num_layers=3, hidden_dim=64)
        retriever.compile(
            keras.optimizers.SGD(), microbatch_size=microbatch_size
        )
        inputs = make_inputs(2, clip, with_frame_mask=False)
        return temporary_bytes(retriever, inputs, batch)

    whole, parts, of_many = plan(32, None), plan(32, 2), plan(512, 2)
    assert parts < whole / 4
    # Not even the pixels are there twice.
    assert of_many - parts < 512 * np.prod(clip) / 4


FOUR_DEVICES = """
import sys

import jax
import keras
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec

from keras_longvideo import models
from keras_longvideo.ops import contrastive

preset, inputs, outputs = sys.argv[1:]
contrastive.MAX_DIRECT_LOGITS, contrastive.BLOCK_ROWS = 1, 4
assert jax.device_count() == 4
distribution = keras.distribution.DataParallel()
keras.distribution.set_distribution(distribution)
retriever = models.VideoTextRetriever.from_preset(preset)
retriever.compile(keras.optimizers.SGD(0.1), microbatch_size=8)
inputs = dict(np.load(inputs))
history = retriever.fit(inputs, batch_size=24, shuffle=False, verbose=0)
np.savez(outputs, *retriever.get_weights(), loss=history.history["loss"])


def shape(x, sharding):
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


mesh = distribution.device_mesh.backend_mesh
by_row = NamedSharding(mesh, PartitionSpec("batch"))
state = [
    [shape(v, v.value.sharding) for v in variables]
    for variables in (
        retriever.trainable_variables,
        retriever.non_trainable_variables,
        retriever.optimizer.variables,
        retriever.metrics_variables,
    )
]
inputs = {name: shape(x, by_row) for name, x in inputs.items()}
step = jax.jit(retriever.train_step).lower(state, (inputs,))
print(step.compile().as_text())
"""


@jax_only
@pytest.mark.slow
def test_four_devices(tiny, tmp_path):
    retriever = make_retriever(tiny)
    retriever.save_to_preset(tmp_path / "preset")
    inputs = make_inputs(24)
    np.savez(tmp_path / "inputs.npz", **inputs)
    loss = step(retriever, inputs, None)
    names = ("preset", "inputs.npz", "out.npz")
    flags = "--xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", FOUR_DEVICES, *(tmp_path / n for n in names)],
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    received = dict(np.load(tmp_path / "out.npz"))
    assert received.pop("loss") == pytest.approx(loss, rel=1e-5)
    for weight, expected in zip(
        received.values(), retriever.get_weights(), strict=True
    ):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-5)
    # Each device has six of the clips, and encodes two of them at a time.
    pixels = re.findall(r"u8\[\S* \S+\(", done.stdout)
    assert any("u8[1,3,2,4,16,16,3]" in x for x in pixels)
    assert any("u8[1,1,2,4,16,16,3]" in x for x in pixels)
    moves = ("all-gather", "all-to-all", "collective-permute", "all-reduce")
    assert not any(move in x for x in pixels for move in moves)


@jax_only
@pytest.mark.parametrize("size", [0, -2, 2.0, "2", True])
def test_what_is_no_size(tiny, size):
    retriever = make_retriever(tiny)
    with pytest.raises(ValueError, match="None or an int of at least 1"):
        retriever.compile(microbatch_size=size)


@jax_only
def test_a_size_that_does_not_divide_leaves_the_weights(tiny):
    retriever = make_retriever(tiny)
    before = retriever.get_weights()
    with pytest.raises(
        ValueError, match="microbatch_size=3 for a batch of 8; 2 or 4 would"
    ):
        step(retriever, make_inputs(), 3)
    assert_equal_weights(retriever, before, atol=0)


@jax_only
def test_state_that_changes_is_refused(tiny):
    inputs = models.video_inputs()
    x = keras.ops.mean(inputs["pixel_values"], axis=(1, 2, 3))
    x = keras.layers.BatchNormalization(name="norm")(x)
    retriever = models.VideoTextRetriever(
        models.VideoModel(inputs, {"pooled_output": x}),
        tiny.text_backbone(),
        projection_dim=8,
    )
    with pytest.raises(ValueError, match="no weight.*norm/moving_mean"):
        step(retriever, make_inputs(), 2)


@jax_only
def test_losses_of_layers_are_refused(tiny):
    retriever = make_retriever(tiny)
    retriever.backbone.embedding.kernel.regularizer = keras.regularizers.L2()
    with pytest.raises(ValueError, match="add no losses.*1 of them"):
        step(retriever, make_inputs(), 2)


@pytest.mark.skipif(IS_JAX, reason="JAX has microbatches")
def test_other_backends_are_refused(tiny):
    retriever = make_retriever(tiny)
    with pytest.raises(ValueError, match="needs the JAX backend.* on "):
        retriever.compile(microbatch_size=2)
