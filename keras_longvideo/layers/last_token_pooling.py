"""One vector for all tokens: the last of them."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_longvideo")
class LastTokenPooling(keras.layers.Layer):
    """Takes the last token that is no padding, that of the end of a text.

    Call arguments:
        tokens: tensor of shape `(batch, tokens, dim)`.
        token_mask: optional bool tensor of shape `(batch, tokens)`, `False`
            for padding.

    Returns:
        A tensor of shape `(batch, dim)`. The first token where all are
        padding.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import LastTokenPooling

    tokens = np.array([[[1.0], [3.0], [99.0]]])
    LastTokenPooling()(tokens, np.array([[True, True, False]]))  # [[3.]]
    ```
    """

    def build(self, tokens_shape, token_mask_shape=None):
        self.built = True

    def call(self, tokens, token_mask=None):
        if token_mask is None:
            return tokens[:, -1]
        mask = ops.cast(ops.cast(token_mask, "bool"), "int32")
        places = mask * ops.arange(ops.shape(mask)[1], dtype="int32")
        last = ops.max(places, axis=1)[:, None, None]
        return ops.take_along_axis(tokens, last, axis=1)[:, 0]

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return (tokens_shape[0], tokens_shape[-1])
