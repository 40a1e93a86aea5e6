import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.ops import contrastive
from keras_longvideo.ops import nce_loss
from keras_longvideo.ops import sigmoid_loss


def test_nce_by_hand():
    # Two pairs with cosines [[1, 0], [0.6, 0.8]] and scale 2.
    videos = np.array([[1.0, 0.0], [0.6, 0.8]])
    texts = np.eye(2)

    def nll(right, wrong):
        return math.log(1 + math.exp(2 * (wrong - right)))

    expected = [
        (nll(1, 0) + nll(1, 0.6)) / 2,
        (nll(0.8, 0.6) + nll(0.8, 0)) / 2,
    ]
    losses = ops.convert_to_numpy(nce_loss(videos, texts, 2.0))
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_nce_of_equal_embeddings_is_log_batch():
    same = np.ones((5, 4)) / 2
    losses = ops.convert_to_numpy(nce_loss(same, same, 14.3))
    np.testing.assert_allclose(losses, math.log(5), rtol=1e-6)


def test_sigmoid_by_hand():
    videos = np.array([[1.0, 0.0], [0.6, 0.8]])
    texts = np.eye(2)

    def nll(z):
        return math.log(1 + math.exp(-z))

    # Logits 10 * cosine - 5: [[5, -5], [1, 3]].
    expected = [nll(5) + nll(5), nll(-1) + nll(3)]
    losses = ops.convert_to_numpy(sigmoid_loss(videos, texts, 10.0, -5.0))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_losses_are_float32_and_finite_at_the_largest_scale():
    x = ops.cast(np.eye(3), "bfloat16")
    opposite = ops.cast(-np.eye(3), "bfloat16")
    for losses in (
        nce_loss(x, opposite, 100.0),
        sigmoid_loss(x, opposite, 100.0, -10.0),
    ):
        losses = ops.convert_to_numpy(losses)
        assert losses.dtype == np.float32
        assert np.isfinite(losses).all()


def reference(name, videos, texts, scale, bias):
    """The losses in float64, one pair at a time."""
    videos, texts = (np.asarray(x, "float64") for x in (videos, texts))
    losses = np.zeros(len(videos))
    for i in range(len(videos)):
        if name == "nce":
            for query, answers in ((videos[i], texts), (texts[i], videos)):
                logits = scale * answers @ query
                losses[i] += np.log(np.exp(logits - logits[i]).sum()) / 2
        else:
            for j in range(len(texts)):
                logit = scale * videos[i] @ texts[j] + bias
                losses[i] += np.log1p(np.exp(-logit if i == j else logit))
    return losses


def compute(name, videos, texts, scale, bias):
    if name == "nce":
        return nce_loss(videos, texts, scale)
    return sigmoid_loss(videos, texts, scale, bias)


def unit_vectors(batch, dim=5):
    x = np.random.default_rng(batch).normal(size=(2, batch, dim))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return [*x.astype("float32"), np.float32(8.0), np.float32(-3.0)]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(contrastive, "BLOCK_ROWS", 3)
    monkeypatch.setattr(contrastive, "MAX_DIRECT_LOGITS", 1)


# Below a block; two blocks; two blocks and a row.
@pytest.mark.parametrize("batch", [2, 6, 7])
@pytest.mark.parametrize("name", ["nce", "sigmoid"])
def test_blocks_equal_float64(small_blocks, name, batch):
    arguments = unit_vectors(batch)
    losses = ops.convert_to_numpy(compute(name, *arguments))
    assert losses.shape == (batch,)
    np.testing.assert_allclose(losses, reference(name, *arguments), rtol=1e-5)


def gradients(name, arguments, weights):
    """Gradients of `sum(weights * losses)` for all four arguments."""

    def total(*arguments):
        return ops.sum(ops.multiply(compute(name, *arguments), weights))

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(*arguments)
    if backend == "tensorflow":
        import tensorflow as tf

        # As `fit` traces batches whose last may be smaller.
        rows = tf.TensorSpec((None, 5))
        scalar = tf.TensorSpec(())

        @tf.function(input_signature=[rows, rows, scalar, scalar])
        def differentiate(*arguments):
            with tf.GradientTape() as tape:
                tape.watch(arguments)
                value = total(*arguments)
            return tape.gradient(value, arguments, unconnected_gradients="zero")

        return differentiate(*arguments)
    import torch

    tensors = [torch.tensor(x, requires_grad=True) for x in arguments]
    total(*tensors).backward()
    return [torch.zeros(()) if x.grad is None else x.grad for x in tensors]


def finite_differences(name, arguments, weights):
    arguments = [np.asarray(x, "float64") for x in arguments]
    found = []
    for x in arguments:
        gradient = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            center, values = x[index].copy(), []
            for step in (1e-5, -1e-5):
                x[index] = center + step
                values.append((weights * reference(name, *arguments)).sum())
            x[index] = center
            gradient[index] = (values[0] - values[1]) / 2e-5
        found.append(gradient)
    return found


@pytest.mark.parametrize("batch", [6, 7])
@pytest.mark.parametrize("name", ["nce", "sigmoid"])
def test_gradients_of_blocks(small_blocks, name, batch):
    arguments = unit_vectors(batch)
    weights = np.linspace(0.5, 2, batch).astype("float32")
    for received, expected in zip(
        gradients(name, arguments, weights),
        finite_differences(name, arguments, weights),
        strict=True,
    ):
        np.testing.assert_allclose(
            ops.convert_to_numpy(received), expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("name", ["nce", "sigmoid"])
def test_a_large_batch_holds_no_square_of_logits(name, monkeypatch):
    if keras.backend.backend() != "jax":
        pytest.skip("reads XLA's memory plan")
    import jax

    batch = 8192
    rows = jax.ShapeDtypeStruct((batch, 16), "float32")
    scalar = jax.ShapeDtypeStruct((), "float32")

    def compiled():
        def total(*arguments):
            return compute(name, *arguments).sum()

        grad = jax.grad(total, argnums=(0, 1, 2))
        return jax.jit(grad).lower(rows, rows, scalar, scalar).compile()

    in_blocks = compiled()
    assert f"[{batch},{batch}]" not in in_blocks.as_text()
    square = 4 * batch**2
    assert in_blocks.memory_analysis().temp_size_in_bytes < square / 2
    monkeypatch.setattr(contrastive, "MAX_DIRECT_LOGITS", square)
    at_once = compiled()
    assert f"[{batch},{batch}]" in at_once.as_text()
    assert at_once.memory_analysis().temp_size_in_bytes >= square


FOUR_DEVICES = """
import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec

from keras_longvideo.ops import nce_loss

assert jax.device_count() == 4
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
by_row = NamedSharding(mesh, PartitionSpec("batch"))
rows = jax.ShapeDtypeStruct((8192, 16), "float32", sharding=by_row)
step = jax.jit(
    jax.value_and_grad(lambda *pairs: nce_loss(*pairs, 10.0).sum(), (0, 1))
)
print(step.lower(rows, rows).compile().as_text())
"""


@pytest.mark.backend_free
def test_devices_share_each_block():
    flags = "--xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", FOUR_DEVICES],
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    size = contrastive.BLOCK_ROWS
    # A quarter of a block of logits on each device, cut by row or column.
    quarters = (f"f32[{size // 4},8192]", f"f32[{size},2048]")
    assert any(shape in done.stdout for shape in quarters)
    assert f"f32[{size},8192]" not in done.stdout
