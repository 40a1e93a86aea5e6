"""One vector for all tokens: what a learned query finds in them."""

import keras
from keras import ops

from keras_longvideo.layers.attention import Attention


@keras.saving.register_keras_serializable(package="keras_longvideo")
class AttentionPooling(keras.layers.Layer):
    """Multi-head attention of one learned query over the tokens.

    Args:
        num_heads: int. Heads; they divide the length of a token.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        tokens: tensor of shape `(batch, tokens, dim)`.
        token_mask: optional bool tensor of shape `(batch, tokens)`, `False`
            for padding.

    Returns:
        A tensor of shape `(batch, dim)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import AttentionPooling

    tokens = np.random.normal(size=(2, 10, 8)).astype("float32")
    AttentionPooling(num_heads=2)(tokens).shape  # (2, 8)
    ```
    """

    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.attention = Attention(
            num_heads, dtype=self.dtype_policy, name="attention"
        )

    def build(self, tokens_shape, token_mask_shape=None):
        self.query = self.add_weight(
            name="query",
            shape=(1, 1, tokens_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )
        self.attention.build(tokens_shape)

    def call(self, tokens, token_mask=None):
        batch, _, dim = ops.shape(tokens)
        query = ops.broadcast_to(
            ops.cast(self.query, self.compute_dtype), (batch, 1, dim)
        )
        pooled = self.attention(query, tokens, context_mask=token_mask)
        return pooled[:, 0]

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return (tokens_shape[0], tokens_shape[-1])

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
