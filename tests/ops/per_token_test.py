"""Against numpy in float64, and central differences of it."""

import math

import keras
import numpy as np
import pytest

from keras_longvideo import ops

# Of the largest number.
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2}


def dense(x, kernel, bias):
    return np.tensordot(x, kernel, kernel.ndim - bias.ndim) + bias


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def layer_normalization(x, scale, bias):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale + bias


CASES = {
    "dense": (ops.dense, dense, [(2, 5, 4), (4, 3), (3,)]),
    "dense_to_heads": (ops.dense, dense, [(2, 5, 4), (4, 3, 2), (3, 2)]),
    "dense_of_heads": (ops.dense, dense, [(2, 5, 3, 2), (3, 2, 4), (4,)]),
    "gelu": (ops.activate, gelu, [(2, 5, 4)]),
    "layer_normalization": (
        lambda *x: ops.layer_normalization(*x, 1e-6),
        layer_normalization,
        [(2, 5, 4), (4,), (4,)],
    ),
}


def draw(case, dtype):
    """Arguments that the dtype holds exactly, also in float64; weights."""
    function, reference, shapes = CASES[case]
    rng = np.random.default_rng(0)
    arrays = [2 * rng.normal(size=shape) for shape in shapes]
    arrays = [keras.ops.convert_to_tensor(x, dtype) for x in arrays]
    exact = [np.array(keras.ops.cast(x, "float32"), "float64") for x in arrays]
    return arrays, exact, rng.normal(size=reference(*exact).shape)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES)
def test_values(case, dtype):
    function, reference, _ = CASES[case]
    arrays, exact, _ = draw(case, dtype)
    output = function(*arrays)
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    assert_close(output, reference(*exact), dtype)


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="the backend's own gradients"
)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES)
def test_gradients(case, dtype):
    import jax

    function, reference, _ = CASES[case]
    arrays, exact, weights = draw(case, dtype)

    def loss(*arrays):
        output = keras.ops.cast(function(*arrays), "float32")
        return keras.ops.sum(output * weights.astype("float32"))

    arguments = tuple(range(len(arrays)))
    gradients = jax.jit(jax.grad(loss, arguments))(*arrays)
    for changed, gradient in enumerate(gradients):
        assert gradient.dtype == dtype
        expected = slopes(reference, exact, changed, weights)
        assert_close(gradient, expected, dtype)


def assert_close(received, expected, dtype):
    received = keras.ops.convert_to_numpy(keras.ops.cast(received, "float32"))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        received / scale, expected / scale, atol=TOLERANCE[dtype]
    )


def slopes(reference, arrays, changed, weights):
    """Gradients of an argument by central differences, in float64."""
    result = np.zeros(arrays[changed].shape)
    for place in np.ndindex(result.shape):
        values = []
        for step in (1e-5, -1e-5):
            moved = [x.copy() for x in arrays]
            moved[changed][place] += step
            values.append(np.sum(reference(*moved) * weights))
        result[place] = (values[0] - values[1]) / 2e-5
    return result
