"""Functions of each token for JAX, with faster backward passes on CPU.

XLA for CPUs takes sums over tokens an element at a time, and computes a chain
of elementwise operations anew for whatever reads its end transposed: for each
block the gradient of the residual stream through all blocks above. So there
the backward passes are our own; for other devices JAX's are as good.
"""

import functools
import math

import jax
import jax.numpy as jnp
from keras import ops


def _on_cpu(backward):
    """Gives a function of arrays another backward pass on CPU.

    Args:
        backward: function of the arguments of the decorated one and the
            gradient of its output, which returns the arguments' gradients.
    """

    def decorate(function):
        def forward(*arguments):
            return function(*arguments), arguments

        def by_jax(*arguments):
            *arguments, gradient = arguments
            return jax.vjp(function, *arguments)[1](gradient)

        def on_cpu(*arguments):
            return tuple(
                gradient.astype(argument.dtype)
                for gradient, argument in zip(
                    backward(*arguments), arguments[:-1], strict=True
                )
            )

        def backward_pass(arguments, gradient):
            return jax.lax.platform_dependent(
                *arguments, gradient, cpu=on_cpu, default=by_jax
            )

        with_backward = jax.custom_vjp(function)
        with_backward.defvjp(forward, backward_pass)
        return with_backward

    return decorate


def _dense_backward(inputs, kernel, bias, gradient):
    # As matrices: a sum over several axes would transpose them, and so does
    # JAX's own order, with the gradient first.
    rows = math.prod(gradient.shape[: gradient.ndim - bias.ndim])
    shapes = inputs.shape, kernel.shape, bias.shape
    inputs = inputs.reshape(rows, -1)
    gradient = gradient.reshape(rows, -1)
    kernel = kernel.reshape(inputs.shape[1], -1)
    gradients = (
        jnp.matmul(gradient, kernel.T),
        jnp.einsum("rd,rf->df", inputs, gradient),
        _sum_rows(gradient),
    )
    return [x.reshape(s) for x, s in zip(gradients, shapes, strict=True)]


@_on_cpu(_dense_backward)
def dense(inputs, kernel, bias):
    return jnp.tensordot(inputs, kernel, kernel.ndim - bias.ndim) + bias


def _gelu_backward(inputs, gradient):
    x = inputs.astype("float32")
    below = (1 + jax.lax.erf(x / math.sqrt(2))) / 2
    density = jnp.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return (gradient * (below + x * density),)


@_on_cpu(_gelu_backward)
def gelu(inputs):
    return jax.nn.gelu(inputs, approximate=False)


def layer_normalization(inputs, scale, bias, epsilon):
    return _layer_normalization(epsilon)(inputs, scale, bias)


@functools.cache
def _layer_normalization(epsilon):
    def backward(inputs, scale, bias, gradient):
        x = inputs.astype("float32")
        x = x - _mean_dims(x)
        rescale = jax.lax.rsqrt(_mean_dims(x**2) + epsilon)
        normal = x * rescale
        gradient = gradient.astype("float32")
        scaled = gradient * scale
        # What moves the mean or the variance of a token has no effect.
        inputs_gradient = rescale * (
            scaled - _mean_dims(scaled) - normal * _mean_dims(scaled * normal)
        )
        return (
            inputs_gradient,
            _sum_rows((gradient * normal).reshape(-1, scale.size)),
            _sum_rows(gradient.reshape(-1, scale.size)),
        )

    @_on_cpu(backward)
    def layer_normalization(inputs, scale, bias):
        # As a product and a sum of `x`: of `x - mean` XLA for TPUs would lay
        # out a float32 copy for each norm.
        return ops.layer_normalization(inputs, scale, bias, epsilon=epsilon)

    return layer_normalization


def _sum_rows(x):
    """The float32 sum of rows; the product takes a twentieth of the time."""
    ones = jnp.ones(x.shape[0], x.dtype)
    return jnp.matmul(ones, x, preferred_element_type="float32")


def _mean_dims(x):
    """The mean over the last axis, which is kept."""
    return jnp.matmul(x, jnp.full((x.shape[-1], 1), 1 / x.shape[-1]))
