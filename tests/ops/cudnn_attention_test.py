"""What is ours of the attention for NVIDIA's GPUs: the order of the keys.

The kernel itself runs on a GPU alone. JAX's own attention stands in for it.
"""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("the kernel is JAX's", allow_module_level=True)

import jax
import jax.numpy as jnp

from keras_longvideo.ops import dot_product_attention
from keras_longvideo.ops.cudnn_attention import cudnn_attention

KEYS = 40
MASK = np.stack(
    [
        np.arange(KEYS) < 30,
        np.arange(KEYS) % 3 == 1,
        np.arange(KEYS) == KEYS - 1,
        np.ones(KEYS, bool),
    ]
)


@pytest.fixture
def calls(monkeypatch):
    """What the kernel is called with."""
    calls = []
    attend = jax.nn.dot_product_attention

    def record(*arrays, **kwargs):
        # As JAX does where gradients are wanted.
        assert all(x.shape[1] % 2 == 0 for x in arrays)
        calls.append(kwargs)
        return attend(*arrays, **{**kwargs, "implementation": "xla"})

    monkeypatch.setattr(jax.nn, "dot_product_attention", record)
    return calls


def arrays():
    rng = np.random.default_rng(0)
    return [
        jnp.asarray(rng.normal(size=(4, n, 2, 8)), "float32")
        for n in (23, KEYS, KEYS, 23)
    ]


def output_and_gradients(attend, query, key, value, g):
    output, gradients = jax.vjp(attend, query, key, value)
    return [output, *gradients(g)]


@pytest.fixture(autouse=True)
def whole_products():
    """On a GPU, products of float32 are rounded to TF32 by default."""
    with jax.default_matmul_precision("highest"):
        yield


@pytest.mark.skipif(
    jax.default_backend() != "gpu", reason="the kernel is of NVIDIA's GPUs"
)
@pytest.mark.parametrize("key_mask", [None, MASK], ids=["all", "masked"])
def test_the_kernel_itself(key_mask):
    expected = output_and_gradients(
        lambda *x: dot_product_attention(*x, key_mask, "direct"), *arrays()
    )
    received = output_and_gradients(
        lambda *x: cudnn_attention(*x, key_mask),
        *(x.astype("bfloat16") for x in arrays()),
    )
    for x, y in zip(received, expected, strict=True):
        # bfloat16 has 8 bits of significand.
        np.testing.assert_allclose(x.astype("float32"), y, rtol=0.05, atol=0.03)


@pytest.mark.parametrize("key_mask", [None, MASK], ids=["all", "masked"])
def test_equals_the_masked_attention(calls, key_mask):
    received = output_and_gradients(
        lambda *x: cudnn_attention(*x, key_mask), *arrays()
    )
    expected = output_and_gradients(
        lambda *x: dot_product_attention(*x, key_mask, "direct"), *arrays()
    )
    for x, y in zip(received, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)
    # A mask, or a bias, would be one number for each query and key.
    (call,) = calls
    assert call["implementation"] == "cudnn"
    assert "mask" not in call and "bias" not in call
    if key_mask is not None:
        assert call["key_value_seq_lengths"].tolist() == [30, 13, 1, KEYS]


@pytest.mark.parametrize("is_masked", [False, True])
def test_an_odd_number_of_keys(calls, is_masked):
    query, key, value, g = arrays()
    odd = query, key[:, 1:], value[:, 1:], g
    key_mask = MASK[:, 1:] if is_masked else None
    received = output_and_gradients(
        lambda *x: cudnn_attention(*x, key_mask), *odd
    )
    expected = output_and_gradients(
        lambda *x: dot_product_attention(*x, key_mask, "direct"), *odd
    )
    for x, y in zip(received, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_masked_keys_may_hold_anything(calls):
    query, key, value, g = arrays()
    key, value = (
        jnp.where(MASK[:, :, None, None], x, np.nan) for x in (key, value)
    )
    received = output_and_gradients(
        lambda *x: cudnn_attention(*x, MASK), query, key, value, g
    )
    for x in received:
        assert np.isfinite(x).all()
    _, _, d_key, d_value = received
    assert not np.any(d_key[~MASK]) and not np.any(d_value[~MASK])
