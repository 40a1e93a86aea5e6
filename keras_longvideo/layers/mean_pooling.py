"""One vector for all tokens: their mean."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_longvideo")
class MeanPooling(keras.layers.Layer):
    """Mean over the tokens that are no padding.

    Args:
        num_skipped: int. Tokens at the front that do not count, such as those
            of `PrefixTokens`. Defaults to `0`.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        tokens: tensor of shape `(batch, tokens, dim)`.
        token_mask: optional bool or int tensor of shape `(batch, tokens)`,
            `False` or 0 for padding.

    Returns:
        A tensor of shape `(batch, dim)`. Zeros where all tokens are padding.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import MeanPooling

    tokens = np.array([[[1.0], [3.0], [99.0]]])
    MeanPooling()(tokens, np.array([[True, True, False]]))  # [[2.]]
    ```
    """

    def __init__(self, num_skipped=0, **kwargs):
        super().__init__(**kwargs)
        self.num_skipped = num_skipped

    def build(self, tokens_shape, token_mask_shape=None):
        self.built = True

    def call(self, tokens, token_mask=None):
        # Thousands of half-precision tokens add up in float32.
        x = ops.cast(tokens[:, self.num_skipped :], "float32")
        if token_mask is None:
            mean = ops.mean(x, axis=1)
        else:
            token_mask = token_mask[:, self.num_skipped :]
            weights = ops.cast(ops.cast(token_mask, "bool"), "float32")
            total = ops.sum(x * weights[..., None], axis=1)
            count = ops.sum(weights, axis=1, keepdims=True)
            mean = total / ops.maximum(count, 1.0)
        return ops.cast(mean, self.compute_dtype)

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return (tokens_shape[0], tokens_shape[-1])

    def get_config(self):
        return {**super().get_config(), "num_skipped": self.num_skipped}
