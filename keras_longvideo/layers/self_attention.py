"""Multi-head self-attention over any number of tokens."""

import keras

from keras_longvideo.ops import dot_product_attention


@keras.saving.register_keras_serializable(package="keras_longvideo")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention, bidirectional and in linear memory.

    Args:
        num_heads: int. Heads; they divide the length of a token.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        tokens: tensor of shape `(batch, tokens, dim)`.
        token_mask: optional bool tensor of shape `(batch, tokens)`. Tokens at
            `False` get no attention.

    Returns:
        A tensor of shape `(batch, tokens, dim)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import SelfAttention

    tokens = np.random.normal(size=(2, 10, 8)).astype("float32")
    SelfAttention(num_heads=2)(tokens).shape  # (2, 10, 8)
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
        heads = (self.num_heads, dim // self.num_heads)

        def dense(equation, output_shape, bias_axes, name, input_shape):
            layer = keras.layers.EinsumDense(
                equation,
                output_shape=(None, *output_shape),
                bias_axes=bias_axes,
                kernel_initializer=keras.initializers.TruncatedNormal(
                    stddev=0.02
                ),
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build(input_shape)
            return layer

        per_head = ("bnd,dhe->bnhe", heads, "he")
        self.query = dense(*per_head, "query", tokens_shape)
        self.key = dense(*per_head, "key", tokens_shape)
        self.value = dense(*per_head, "value", tokens_shape)
        self.attention_output = dense(
            "bnhe,hed->bnd",
            (dim,),
            "d",
            "attention_output",
            (*tokens_shape[:-1], *heads),
        )

    def call(self, tokens, token_mask=None):
        output = dot_product_attention(
            self.query(tokens),
            self.key(tokens),
            self.value(tokens),
            key_mask=token_mask,
        )
        return self.attention_output(output)

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return tokens_shape

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
