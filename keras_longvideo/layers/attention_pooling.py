"""One vector for all tokens: what a learned query finds in them."""

import keras
from keras import ops

from keras_longvideo.ops import dot_product_attention


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

    def build(self, tokens_shape, token_mask_shape=None):
        dim = tokens_shape[-1]
        if dim % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the length of a token. Received: "
                f"num_heads={self.num_heads}, tokens of length {dim}"
            )

        def dense(name):
            layer = keras.layers.Dense(
                dim,
                kernel_initializer=keras.initializers.TruncatedNormal(
                    stddev=0.02
                ),
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build(tokens_shape)
            return layer

        self.query = self.add_weight(
            name="query",
            shape=(dim,),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )
        self.key = dense("key")
        self.value = dense("value")
        self.attention_output = dense("attention_output")

    def call(self, tokens, token_mask=None):
        key, value = self.key(tokens), self.value(tokens)
        _, length, dim = key.shape
        heads = (self.num_heads, dim // self.num_heads)
        key = ops.reshape(key, (-1, length, *heads))
        value = ops.reshape(value, (-1, length, *heads))
        query = ops.reshape(self.query, (1, 1, *heads))
        query = ops.broadcast_to(query, (ops.shape(key)[0], 1, *heads))
        pooled = dot_product_attention(query, key, value, key_mask=token_mask)
        return self.attention_output(ops.reshape(pooled, (-1, dim)))

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return (tokens_shape[0], tokens_shape[-1])

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
