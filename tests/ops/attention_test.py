import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.ops import attention
from keras_longvideo.ops import dot_product_attention

IMPLEMENTATIONS = ["direct", "chunked"]
if keras.backend.backend() == "torch":
    IMPLEMENTATIONS.append("sdpa")


def reference(query, key, value, key_mask=None):
    """Attention in float64, one query at a time."""
    q, k, v = (np.asarray(x, "float64") for x in (query, key, value))
    output = np.zeros_like(q)
    for b, i, h in np.ndindex(q.shape[:3]):
        scores = k[b, :, h] @ q[b, i, h] / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max())
        if key_mask is not None and key_mask[b].any():
            weights = weights * key_mask[b]
        output[b, i, h] = weights / weights.sum() @ v[b, :, h]
    return output


@pytest.fixture
def qkv():
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=(3, n, 2, 8)).astype("float32") for n in (23, 37, 37)
    ]


@pytest.fixture
def small_chunks(monkeypatch):
    # Chunks of five queries, which do not divide 23.
    monkeypatch.setattr(attention, "CHUNK_SIZE", 5)
    monkeypatch.setattr(attention, "MAX_DIRECT_SCORES", 1)


MASK = np.arange(37) < np.array([[20], [37], [0]])


@pytest.mark.parametrize("key_mask", [None, MASK])
@pytest.mark.parametrize("implementation", [None, *IMPLEMENTATIONS])
def test_equals_float64(qkv, small_chunks, key_mask, implementation):
    output = dot_product_attention(
        *qkv, key_mask=key_mask, implementation=implementation
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(output),
        reference(*qkv, key_mask=key_mask),
        atol=1e-5,
    )


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_masked_keys_may_hold_anything(qkv, small_chunks, implementation):
    query, key, value = qkv
    other_key, other_value = key.copy(), value.copy()
    other_key[0, 20:], other_value[0, 20:] = 1e4, -1e4
    outputs = [
        ops.convert_to_numpy(
            dot_product_attention(
                query, k, v, key_mask=MASK, implementation=implementation
            )
        )
        for k, v in ((key, value), (other_key, other_value))
    ]
    np.testing.assert_allclose(outputs[0][0], outputs[1][0], atol=1e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bfloat16(qkv, small_chunks, implementation):
    half = [ops.cast(x, "bfloat16") for x in qkv]
    output = dot_product_attention(*half, implementation=implementation)
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    rounded = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in half]
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(output, "float32")),
        reference(*rounded),
        atol=1e-2,
    )


def gradients(qkv, implementation):
    """Gradients of `sum(output ** 2)` for query, key and value."""

    def loss(query, key, value):
        output = dot_product_attention(
            query, key, value, key_mask=MASK, implementation=implementation
        )
        return ops.sum(output**2)

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*qkv)
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def compute(*qkv):
            with tf.GradientTape() as tape:
                tape.watch(qkv)
                total = loss(*qkv)
            return tape.gradient(total, qkv)

        return compute(*map(tf.constant, qkv))
    import torch

    tensors = [torch.tensor(x, requires_grad=True) for x in qkv]
    loss(*tensors).backward()
    return [x.grad for x in tensors]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_equal_finite_differences(qkv, small_chunks, implementation):
    rng = np.random.default_rng(1)
    for i, gradient in enumerate(gradients(qkv, implementation)):
        direction = rng.normal(size=qkv[i].shape)
        step = 1e-5 * direction
        above = [x.astype("float64") for x in qkv]
        below = [x.astype("float64") for x in qkv]
        above[i] = above[i] + step
        below[i] = below[i] - step
        expected = (
            (reference(*above, MASK) ** 2).sum()
            - (reference(*below, MASK) ** 2).sum()
        ) / 2e-5
        received = (ops.convert_to_numpy(gradient) * direction).sum()
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


def test_chunked_holds_no_buffer_of_queries_by_keys():
    if keras.backend.backend() != "jax":
        pytest.skip("reads XLA's memory plan")
    import jax

    x = jax.ShapeDtypeStruct((1, 4096, 2, 16), "float32")

    def peak(implementation):
        def loss(q, k, v):
            return (
                dot_product_attention(q, k, v, implementation=implementation)
                ** 2
            ).sum()

        compiled = jax.jit(jax.grad(loss)).lower(x, x, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    all_scores = 2 * 4096 * 4096 * 4
    assert peak("direct") > all_scores
    assert peak("chunked") < all_scores / 10


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"query": (2, 5, 8)}, "`query` must have shape"),
        ({"key": (2, 7, 2, 4)}, "`key` and `value` must have the same shape"),
        ({"value": (2, 6, 2, 8)}, "`key` and `value` must have the same shape"),
        ({"key_mask": (2, 5)}, r"`key_mask` must have shape .*\(2, 7\)"),
        ({"implementation": "flash"}, "`implementation` must be None or one"),
    ],
)
def test_bad_input(arguments, message):
    shapes = {"query": (2, 5, 2, 8), "key": (2, 7, 2, 8), "value": (2, 7, 2, 8)}
    implementation = arguments.pop("implementation", None)
    arrays = {
        name: np.zeros(shape, "float32")
        for name, shape in {**shapes, **arguments}.items()
    }
    with pytest.raises(ValueError, match=message):
        dot_product_attention(**arrays, implementation=implementation)
