"""What a transformer does to each token by itself.

For JAX on CPU the backward passes are our own: see `per_token_jax`.
"""

import keras
from keras import ops


def dense(inputs, kernel, bias):
    """`inputs @ kernel + bias`, over one or several axes.

    Args:
        inputs: tensor of shape `(batch, tokens, *input_axes)`.
        kernel: tensor of shape `(*input_axes, *output_axes)`.
        bias: tensor of shape `(*output_axes)`.

    Returns:
        A tensor of shape `(batch, tokens, *output_axes)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import dense

    x = np.ones((2, 10, 8), "float32")
    kernel, bias = np.ones((8, 4, 2), "float32"), np.zeros((4, 2), "float32")
    dense(x, kernel, bias).shape  # (2, 10, 4, 2)
    ```
    """
    inputs, kernel, bias = map(ops.convert_to_tensor, (inputs, kernel, bias))
    if keras.backend.backend() == "jax":
        from keras_longvideo.ops import per_token_jax

        return per_token_jax.dense(inputs, kernel, bias)
    axes = len(kernel.shape) - len(bias.shape)
    return ops.tensordot(inputs, kernel, axes=axes) + bias


def activate(inputs, activation="gelu"):
    """The activations of published vision transformers.

    Args:
        inputs: float tensor of any shape.
        activation: `"gelu"`, exact: `x * (1 + erf(x / sqrt(2))) / 2`, as ViT;
            `"gelu_approximate"`, by a hyperbolic tangent, as SigLIP; or
            `"quick_gelu"`, `x * sigmoid(1.702 * x)`, as CLIP. Defaults to
            `"gelu"`.

    Returns:
        A tensor of the same shape and dtype.

    Example:

    ```python
    from keras_longvideo.ops import activate

    activate([[-1.0, 0.0, 1.0]])  # [[-0.1587, 0.0, 0.8413]]
    ```
    """
    inputs = ops.convert_to_tensor(inputs)
    return _ACTIVATIONS[activation](inputs)


def check_activation(activation):
    """Refuses what `activate` does not know.

    Args:
        activation: what a user gave.

    Raises:
        ValueError: if it is no name of an activation.

    Example:

    ```python
    from keras_longvideo.ops import check_activation

    check_activation("quick_gelu")
    ```
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"`activation` must be one of {sorted(_ACTIVATIONS)}. "
            f"Received: activation={activation!r}"
        )


def _gelu(x):
    if keras.backend.backend() == "jax":
        from keras_longvideo.ops import per_token_jax

        return per_token_jax.gelu(x)
    return ops.gelu(x, approximate=False)


_ACTIVATIONS = {
    "gelu": _gelu,
    "gelu_approximate": lambda x: ops.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * ops.sigmoid(1.702 * x),
}


def layer_normalization(inputs, scale, bias, epsilon):
    """Layer normalisation over the last axis, in float32 inside.

    `(x - mean(x)) / sqrt(var(x) + epsilon) * scale + bias`

    Args:
        inputs: tensor of shape `(batch, tokens, dim)`.
        scale: tensor of shape `(dim,)`.
        bias: tensor of shape `(dim,)`.
        epsilon: float.

    Returns:
        A tensor of the shape and dtype of `inputs`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import layer_normalization

    x = np.array([[[1.0, 3.0]]], "float32")
    layer_normalization(x, [1.0, 1.0], [0.0, 0.0], 1e-6)  # [[[-1.0, 1.0]]]
    ```
    """
    inputs, scale, bias = map(ops.convert_to_tensor, (inputs, scale, bias))
    if keras.backend.backend() == "jax":
        from keras_longvideo.ops import per_token_jax

        return per_token_jax.layer_normalization(inputs, scale, bias, epsilon)
    outputs = ops.layer_normalization(inputs, scale, bias, epsilon=epsilon)
    return ops.cast(outputs, inputs.dtype)
