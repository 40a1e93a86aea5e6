import types

import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.ops import attention
from keras_longvideo.ops import attention_implementation
from keras_longvideo.ops import dot_product_attention
from keras_longvideo.ops import set_attention_implementation

BACKEND = keras.backend.backend()
IMPLEMENTATIONS = {
    "jax": ["direct", "chunked", "splash"],
    "tensorflow": ["direct", "chunked"],
    "torch": ["direct", "sdpa"],
}[BACKEND]
# Lengths that no chunk and no block divides.
QUERIES, KEYS = 130, 200
# Some keys, one in ten, the last alone, and none at all.
MASK = np.stack(
    [
        np.arange(KEYS) < 150,
        np.arange(KEYS) % 10 == 3,
        np.arange(KEYS) == KEYS - 1,
        np.zeros(KEYS, bool),
    ]
)


def reference(query, key, value, key_mask=None, output_gradient=None):
    """Attention in float64, one query at a time, and its gradients."""
    q, k, v = (np.asarray(x, "float64") for x in (query, key, value))
    g = np.ones_like(q) if output_gradient is None else output_gradient
    output, scale = np.zeros_like(q), 1 / np.sqrt(q.shape[-1])
    dq, dk, dv = (np.zeros_like(x) for x in (q, k, v))
    for b, i, h in np.ndindex(q.shape[:3]):
        scores = k[b, :, h] @ q[b, i, h] * scale
        weights = np.exp(scores - scores.max())
        if key_mask is not None and key_mask[b].any():
            weights = weights * key_mask[b]
        weights = weights / weights.sum()
        output[b, i, h] = weights @ v[b, :, h]
        d_weights = v[b, :, h] @ g[b, i, h]
        d_scores = weights * (d_weights - weights @ d_weights) * scale
        dq[b, i, h] = d_scores @ k[b, :, h]
        dk[b, :, h] += np.outer(d_scores, q[b, i, h])
        dv[b, :, h] += np.outer(weights, g[b, i, h])
    return output, (dq, dk, dv)


def inputs(head_dim, dtype="float32", batch=4, heads=2):
    """Query, key, value and a gradient of the output, as that dtype has them.

    In float32 for numpy, which does not know bfloat16.
    """
    rng = np.random.default_rng(0)
    return [
        ops.convert_to_numpy(
            ops.cast(
                ops.cast(rng.normal(size=(batch, n, heads, head_dim)), dtype),
                "float32",
            )
        )
        for n in (QUERIES, KEYS, KEYS, QUERIES)
    ]


def compute(query, key, value, g, dtype="float32", compiled=True, **kwargs):
    """The output of attention and its gradients, given that of the output."""

    def attend(query, key, value):
        return dot_product_attention(query, key, value, **kwargs)

    if BACKEND == "jax":
        import jax

        def both(query, key, value, g):
            output, gradients = jax.vjp(attend, query, key, value)
            return output, gradients(g)

        run = jax.jit(both) if compiled else both
        arrays = [jax.numpy.asarray(x, dtype) for x in (query, key, value, g)]
        output, gradients = run(*arrays)
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=compiled)
        def both(query, key, value, g):
            with tf.GradientTape() as tape:
                tape.watch((query, key, value))
                output = attend(query, key, value)
            return output, tape.gradient(output, (query, key, value), g)

        output, gradients = both(
            *(tf.cast(x, dtype) for x in (query, key, value, g))
        )
    else:
        import torch

        query, key, value, g = (
            torch.tensor(x).to(getattr(torch, dtype))
            for x in (query, key, value, g)
        )
        tensors = [x.requires_grad_() for x in (query, key, value)]
        output = attend(*tensors)
        output.backward(g)
        gradients = [x.grad for x in tensors]
    for x in (output, *gradients):
        assert keras.backend.standardize_dtype(x.dtype) == dtype
    return [
        ops.convert_to_numpy(ops.cast(x, "float32"))
        for x in (output, *gradients)
    ]


def assert_close(received, expected, tolerance):
    for x, y in zip(received, expected, strict=True):
        # Gradients of keys add up over the queries: relative to their size.
        size = max(1, np.abs(y).max())
        np.testing.assert_allclose(x / size, y / size, rtol=0, atol=tolerance)


@pytest.fixture
def small_chunks(monkeypatch):
    """Several chunks and blocks of these few tokens."""
    if BACKEND == "jax":
        from keras_longvideo.ops import chunked_attention
        from keras_longvideo.ops import splash_attention

        monkeypatch.setattr(chunked_attention, "CPU_CHUNK_SIZE", 50)
        monkeypatch.setattr(splash_attention, "MAX_BLOCK_SIZE", 128)
    if BACKEND == "tensorflow":
        from keras_longvideo.ops import tensorflow_attention

        monkeypatch.setattr(tensorflow_attention, "MAX_SCORES", 1)
        monkeypatch.setattr(tensorflow_attention, "LEAST_CHUNK_SIZE", 50)


@pytest.mark.parametrize("key_mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize(
    "head_dim, dtype, tolerance",
    [(64, "float32", 1e-5), (32, "float32", 1e-5), (64, "bfloat16", 1e-2)],
)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_equals_float64(
    small_chunks, implementation, head_dim, dtype, tolerance, key_mask
):
    arrays = inputs(head_dim, dtype)
    received = compute(
        *arrays, dtype=dtype, key_mask=key_mask, implementation=implementation
    )
    output, gradients = reference(*arrays[:3], key_mask, arrays[3])
    assert_close(received, [output, *gradients], tolerance)


def test_the_reference_has_the_gradient_of_its_output():
    query, key, value, g = (x[:1, :7, :1, :4] for x in inputs(8))
    _, gradients = reference(query, key, value, None, g)
    rng = np.random.default_rng(1)
    steps = [1e-5 * rng.normal(size=x.shape) for x in (query, key, value)]
    above, below = (
        reference(
            *(
                x + sign * d
                for x, d in zip((query, key, value), steps, strict=True)
            ),
        )[0]
        for sign in (1, -1)
    )
    np.testing.assert_allclose(
        sum((x * d).sum() for x, d in zip(gradients, steps, strict=True)),
        ((above - below) / 2 * g).sum(),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "implementation", [x for x in IMPLEMENTATIONS if x != "splash"]
)
def test_float16_of_many_keys(implementation):
    # Of 8192 alike, a sum of values that are not yet weighted is 73,728.
    query, keys = np.zeros((1, 2, 1, 8)), np.zeros((1, 8192, 1, 8))
    arrays = [x.astype("float16") for x in (query, keys, keys + 9)]
    output = dot_product_attention(
        *map(ops.convert_to_tensor, arrays), implementation=implementation
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), np.full(query.shape, 9), rtol=1e-3
    )


@pytest.mark.skipif(BACKEND == "torch", reason="torch has no chunked one")
def test_not_compiled(small_chunks):
    arrays = inputs(8)
    received = compute(
        *arrays, compiled=False, key_mask=MASK, implementation="chunked"
    )
    output, gradients = reference(*arrays[:3], MASK, arrays[3])
    assert_close(received, [output, *gradients], 1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_masked_keys_may_hold_anything(small_chunks, implementation):
    query, key, value, _ = inputs(8)
    other_key, other_value = key.copy(), value.copy()
    other_key[0, 150:], other_value[0, 150:] = 1e4, -1e4
    outputs = [
        ops.convert_to_numpy(
            dot_product_attention(
                query, k, v, key_mask=MASK, implementation=implementation
            )
        )
        for k, v in ((key, value), (other_key, other_value))
    ]
    np.testing.assert_allclose(outputs[0][0], outputs[1][0], atol=1e-6)


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's alone tells where it is")
@pytest.mark.parametrize("key_mask", [None, MASK], ids=["all", "masked"])
def test_all_heads_together(monkeypatch, key_mask):
    # As on an accelerator, which this test need not have.
    import jax

    from keras_longvideo.ops import chunked_attention

    monkeypatch.setattr(chunked_attention, "MAX_SCORES", 1)
    monkeypatch.setattr(chunked_attention, "LEAST_CHUNK_SIZE", 50)
    *arrays, g = inputs(8)
    output, gradients = jax.vjp(
        lambda q, k, v: chunked_attention.chunked_attention(
            q, k, v, None if key_mask is None else key_mask[:3], False
        ),
        *(x[:3] for x in arrays),
    )
    expected = reference(*(x[:3] for x in arrays), key_mask, g[:3])
    assert_close([output, *gradients(g[:3])], [expected[0], *expected[1]], 1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="reads XLA's memory plan")
def test_memory_is_a_tenth_of_what_keras_takes():
    import jax

    x = jax.ShapeDtypeStruct((1, 4096, 12, 64), "float32")

    def planned(attend):
        def both(q, k, v, g):
            output, gradients = jax.vjp(attend, q, k, v)
            return output, gradients(g)

        compiled = jax.jit(both).lower(x, x, x, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # Set by conftest.py, and not how a user's program is planned.
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        ours = planned(
            lambda q, k, v: dot_product_attention(
                q, k, v, implementation="chunked"
            )
        )
        theirs = planned(ops.dot_product_attention)
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
    # All scores in float32.
    assert theirs > 12 * 4096**2 * 4
    assert ours < theirs / 10


def test_implementation_is_chosen_by_the_number_of_scores():
    many = {"jax": "chunked", "tensorflow": "chunked", "torch": "sdpa"}[BACKEND]
    few = "sdpa" if BACKEND == "torch" else "direct"
    assert attention_implementation() == many
    assert attention_implementation((1, 1024, 1, 64)) == few
    assert attention_implementation((2, 1024, 1, 64)) == many
    # As a pooling layer does: one query to an hour of video.
    assert attention_implementation((1, 1, 16, 64), (1, 460800, 16, 64)) == few


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's alone depend on the device")
@pytest.mark.parametrize(
    "device, dtype, expected",
    [
        ({"platform": "tpu"}, "bfloat16", "splash"),
        ({"platform": "tpu"}, "float32", "splash"),
        (
            {"platform": "gpu", "compute_capability": "9.0"},
            "bfloat16",
            "cudnn",
        ),
        (
            {"platform": "gpu", "compute_capability": "12.0"},
            "float16",
            "cudnn",
        ),
        (
            {"platform": "gpu", "compute_capability": "9.0"},
            "float32",
            "chunked",
        ),
        # Too old for the kernel, and another maker's.
        (
            {"platform": "gpu", "compute_capability": "7.5"},
            "bfloat16",
            "chunked",
        ),
        (
            {"platform": "gpu", "compute_capability": "gfx942"},
            "bfloat16",
            "chunked",
        ),
    ],
)
def test_implementation_is_chosen_by_device(
    monkeypatch, device, dtype, expected
):
    import jax

    devices = [types.SimpleNamespace(**device)]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    assert attention_implementation(dtype=dtype) == expected


@pytest.fixture
def restored():
    yield
    set_attention_implementation(None)


def test_implementation_is_set_for_all_calls(monkeypatch, restored):
    computed = []
    load = attention._load

    def recording(name, device):
        computed.append(name)
        return load(name, device)

    monkeypatch.setattr(attention, "_load", recording)
    x = np.zeros((2, 1024, 1, 4), "float32")
    set_attention_implementation("direct")
    assert attention_implementation() == "direct"
    dot_product_attention(x, x, x)
    # A call may still say otherwise.
    other = IMPLEMENTATIONS[1]
    dot_product_attention(x, x, x, implementation=other)
    set_attention_implementation(None)
    dot_product_attention(x, x, x)
    assert computed == ["direct", other, other]


@pytest.mark.parametrize("name", ["flash", "cudnn"])
def test_a_name_that_is_not_here(restored, name):
    x = np.zeros((2, 5, 2, 8), "float32")
    message = f"`implementation` must be None or one of .*direct.*{name}"
    with pytest.raises(ValueError, match=message):
        dot_product_attention(x, x, x, implementation=name)
    with pytest.raises(ValueError, match=message):
        set_attention_implementation(name)
    assert attention_implementation() != name


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"query": (2, 5, 8)}, "`query` must have shape"),
        ({"key": (2, 7, 2, 4)}, "`key` and `value` must have the same shape"),
        ({"value": (2, 6, 2, 8)}, "`key` and `value` must have the same shape"),
        ({"query": (1, 5, 2, 8)}, "must have the same batch size"),
        ({"key_mask": (2, 5)}, r"`key_mask` must have shape .*\(2, 7\)"),
        ({"key_mask": (1, 7)}, r"`key_mask` must have shape .*\(2, 7\)"),
    ],
)
def test_bad_shapes(arguments, message):
    shapes = {"query": (2, 5, 2, 8), "key": (2, 7, 2, 8), "value": (2, 7, 2, 8)}
    arrays = {
        name: np.zeros(shape, "float32")
        for name, shape in {**shapes, **arguments}.items()
    }
    with pytest.raises(ValueError, match=message):
        dot_product_attention(**arrays)


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's way to export")
@pytest.mark.parametrize("one_head_at_a_time", [None, True, False])
def test_batch_of_any_size(monkeypatch, one_head_at_a_time):
    import jax
    from jax import export

    from keras_longvideo.ops import chunked_attention

    monkeypatch.setattr(chunked_attention, "CPU_CHUNK_SIZE", 50)
    monkeypatch.setattr(chunked_attention, "LEAST_CHUNK_SIZE", 50)

    def attend(query, key, value, mask):
        if one_head_at_a_time is None:
            return dot_product_attention(query, key, value, mask)
        return chunked_attention.chunked_attention(
            query, key, value, mask, one_head_at_a_time
        )

    # Some implementations leave it to the caller that no row is all False.
    arrays = [*(x[:3] for x in inputs(8)[:3]), MASK[:3]]
    (batch,) = export.symbolic_shape("batch")
    exported = export.export(jax.jit(attend))(
        *(jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype) for x in arrays)
    )
    assert_close(exported.call(*arrays), reference(*arrays)[0], 1e-5)
