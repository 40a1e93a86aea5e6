"""The linear map of a transformer, with a backward pass of its own."""

import keras

from keras_longvideo.ops import dense


@keras.saving.register_keras_serializable(package="keras_longvideo")
class Dense(keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` of tokens, trained faster on JAX.

    Args:
        output_shape: tuple of ints. The axes of an output token.
        num_input_axes: int. How many axes an input token has. Defaults to
            `1`.
        **kwargs: other arguments of `keras.layers.EinsumDense`. The kernel's
            initializer defaults to a truncated normal of deviation 0.02, that
            of ViT.

    Call arguments:
        inputs: tensor of shape `(batch, tokens, *input_axes)`.

    Returns:
        A tensor of shape `(batch, tokens, *output_shape)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import Dense

    tokens = np.random.normal(size=(2, 10, 8)).astype("float32")
    Dense((4, 2))(tokens).shape  # (2, 10, 4, 2)
    ```
    """

    def __init__(self, output_shape, num_input_axes=1, **kwargs):
        letters = "abcdefgh"
        reads = letters[:num_input_axes]
        writes = letters[num_input_axes:][: len(output_shape)]
        kwargs.setdefault(
            "kernel_initializer",
            keras.initializers.TruncatedNormal(stddev=0.02),
        )
        super().__init__(
            f"xy{reads},{reads}{writes}->xy{writes}",
            output_shape=(None, *output_shape),
            bias_axes=writes,
            **kwargs,
        )
        self.num_input_axes = num_input_axes

    def call(self, inputs, training=None):
        return self.activation(dense(inputs, self.kernel, self.bias))

    def quantize(self, mode=None, type_check=True, config=None):
        # Keras refuses subclasses unless told otherwise, lest they compute
        # something else. Quantized, this computes what its base does.
        super().quantize(mode, type_check=False, config=config)

    def get_config(self):
        config = super().get_config()
        for name in ("equation", "bias_axes"):
            del config[name]
        config["output_shape"] = config["output_shape"][1:]
        config["num_input_axes"] = self.num_input_axes
        return config
