"""Multi-head attention over any number of tokens."""

import keras

from keras_longvideo.layers.dense import Dense
from keras_longvideo.ops import dot_product_attention


@keras.saving.register_keras_serializable(package="keras_longvideo")
class Attention(keras.layers.Layer):
    """Multi-head attention, bidirectional and in linear memory.

    Args:
        num_heads: int. Heads; they divide the length of a token.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        tokens: tensor of shape `(batch, tokens, dim)`. What attends.
        context: optional tensor of shape `(batch, context_tokens, dim)`. What
            is attended to; `None`, the default, is `tokens` itself.
        context_mask: optional bool tensor of shape `(batch, context_tokens)`.
            Context at `False` gets no attention.

    Returns:
        A tensor of the shape of `tokens`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import Attention

    tokens = np.random.normal(size=(2, 10, 8)).astype("float32")
    Attention(num_heads=2)(tokens).shape  # (2, 10, 8)
    ```
    """

    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, tokens_shape, context_shape=None, context_mask_shape=None):
        dim = tokens_shape[-1]
        if dim % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the length of a token. Received: "
                f"num_heads={self.num_heads}, tokens of length {dim}"
            )
        heads = (self.num_heads, dim // self.num_heads)

        def dense(name, input_axes, output_axes):
            layer = Dense(
                output_axes,
                num_input_axes=len(input_axes),
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build((*tokens_shape[:2], *input_axes))
            return layer

        self.query = dense("query", (dim,), heads)
        self.key = dense("key", (dim,), heads)
        self.value = dense("value", (dim,), heads)
        self.attention_output = dense("attention_output", heads, (dim,))

    def call(self, tokens, context=None, context_mask=None):
        context = tokens if context is None else context
        output = dot_product_attention(
            self.query(tokens),
            self.key(context),
            self.value(context),
            key_mask=context_mask,
        )
        return self.attention_output(output)

    def compute_output_shape(
        self, tokens_shape, context_shape=None, context_mask_shape=None
    ):
        return tokens_shape

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
