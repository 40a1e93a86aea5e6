"""Layer normalisation with a backward pass of its own."""

import keras
from keras import ops

from keras_longvideo.ops import layer_normalization


@keras.saving.register_keras_serializable(package="keras_longvideo")
class LayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` of tokens, trained faster on JAX.

    Args:
        epsilon: float. Added to the variance. Defaults to `1e-6`, as ViT.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor of shape `(batch, tokens, dim)`.

    Returns:
        A tensor of the same shape.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import LayerNormalization

    tokens = np.random.normal(size=(2, 10, 8)).astype("float32")
    LayerNormalization()(tokens).shape  # (2, 10, 8)
    ```
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(epsilon=epsilon, **kwargs)

    def call(self, inputs):
        outputs = layer_normalization(
            inputs, self.gamma, self.beta, self.epsilon
        )
        return ops.cast(outputs, self.compute_dtype)
