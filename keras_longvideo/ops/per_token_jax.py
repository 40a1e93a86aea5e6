"""Functions of each token for JAX, with backward passes of their own."""

import functools
import math

import jax
import jax.numpy as jnp


@jax.custom_vjp
def dense(inputs, kernel, bias):
    return jnp.tensordot(inputs, kernel, kernel.ndim - bias.ndim) + bias


def _dense_forward(inputs, kernel, bias):
    return dense(inputs, kernel, bias), (inputs, kernel, bias)


def _dense_backward(kept, gradient):
    inputs, kernel, bias = kept
    num_token_axes = gradient.ndim - bias.ndim
    outputs = (
        tuple(range(num_token_axes, gradient.ndim)),
        tuple(range(kernel.ndim - bias.ndim, kernel.ndim)),
    )
    tokens = tuple(range(num_token_axes))

    def by_matrices(inputs, gradient):
        # XLA for CPUs transposes what is summed over several axes.
        rows = math.prod(gradient.shape[:num_token_axes])
        inputs, gradient = (x.reshape(rows, -1) for x in (inputs, gradient))
        product = jnp.einsum("rd,rf->df", inputs, gradient)
        return product.reshape(kernel.shape)

    kernel_gradient = jax.lax.platform_dependent(
        inputs,
        gradient,
        cpu=by_matrices,
        default=lambda *x: jnp.tensordot(*x, (tokens, tokens)),
    )
    return (
        jnp.tensordot(gradient, kernel, outputs),
        kernel_gradient,
        _sum_tokens(gradient, bias.ndim).astype(bias.dtype),
    )


dense.defvjp(_dense_forward, _dense_backward)


def _exact_gelu(inputs):
    return jax.nn.gelu(inputs, approximate=False)


gelu = jax.custom_vjp(_exact_gelu)


def _gelu_forward(inputs):
    return _exact_gelu(inputs), inputs


def _gelu_backward(inputs, gradient):
    def by_density(x, gradient):
        below = (1 + jax.lax.erf(x / math.sqrt(2))) / 2
        density = jnp.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        return gradient * (below + x * density)

    def by_jax(x, gradient):
        # Of the same terms as the forward pass: XLA for TPUs then keeps `x`
        # alone, and neither them nor the output.
        return jax.vjp(_exact_gelu, x)[1](gradient)[0]

    return (
        jax.lax.platform_dependent(
            inputs, gradient, cpu=by_density, default=by_jax
        ),
    )


gelu.defvjp(_gelu_forward, _gelu_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_normalization(inputs, scale, bias, epsilon):
    return _layer_normalization_forward(inputs, scale, bias, epsilon)[0]


def _layer_normalization_forward(inputs, scale, bias, epsilon):
    x = inputs.astype("float32")
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, axis=-1, keepdims=True)
    rescale = jax.lax.rsqrt(variance + epsilon)
    outputs = (x - mean) * rescale * scale + bias
    return outputs.astype(inputs.dtype), (inputs, mean, rescale, scale, bias)


def _layer_normalization_backward(epsilon, kept, gradient):
    inputs, mean, rescale, scale, bias = kept
    gradient = gradient.astype("float32")
    normal = (inputs.astype("float32") - mean) * rescale
    scaled = gradient * scale
    # What moves the mean or the variance of a token has no effect.
    inputs_gradient = rescale * (
        scaled - _mean_dims(scaled) - normal * _mean_dims(scaled * normal)
    )
    return (
        inputs_gradient.astype(inputs.dtype),
        _sum_tokens(gradient * normal, 1).astype(scale.dtype),
        _sum_tokens(gradient, 1).astype(bias.dtype),
    )


layer_normalization.defvjp(
    _layer_normalization_forward, _layer_normalization_backward
)


def _sum_tokens(x, kept_axes):
    """The float32 sum over all axes but the last ones."""
    tokens = tuple(range(x.ndim - kept_axes))

    def product(x):
        # On CPU a product with ones takes a twentieth of the time of a sum.
        ones = jnp.ones(x.shape[: len(tokens)], x.dtype)
        return jnp.tensordot(
            ones, x, (tokens, tokens), preferred_element_type="float32"
        )

    return jax.lax.platform_dependent(
        x,
        cpu=product,
        default=lambda x: jnp.sum(x, tokens, dtype="float32"),
    )


def _mean_dims(x):
    """The mean over the last axis, which is kept."""

    def product(x):
        return jnp.matmul(x, jnp.full((x.shape[-1], 1), 1 / x.shape[-1]))

    return jax.lax.platform_dependent(
        x,
        cpu=product,
        default=lambda x: jnp.mean(x, axis=-1, keepdims=True),
    )
