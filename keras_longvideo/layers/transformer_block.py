"""The pre-norm transformer block that the encoders are stacks of."""

import keras
from keras import ops

from keras_longvideo.layers.attention import Attention
from keras_longvideo.layers.dense import Dense
from keras_longvideo.layers.layer_normalization import LayerNormalization
from keras_longvideo.ops import gelu


@keras.saving.register_keras_serializable(package="keras_longvideo")
class TransformerBlock(keras.layers.Layer):
    """Pre-norm transformer block with joint space-time attention.

    `x = x + attention(norm(x))`, then `x = x + mlp(norm(x))`, where every
    token attends to every other, in whatever frame: no parameter that a block
    of an image ViT lacks.

    Args:
        num_heads: int. Attention heads.
        intermediate_dim: int. Width of the feed-forward layer.
        dropout_rate: float. Dropout on the output of the attention and of the
            feed-forward. Defaults to `0.0`.
        layer_norm_epsilon: float. Defaults to `1e-6`, as ViT.
        remat: bool. Whether training keeps nothing of the block but its input,
            and computes the rest again in the backward pass: less memory, the
            same numbers, one more forward pass. Defaults to `False`.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        tokens: tensor of shape `(batch, tokens, dim)`.
        token_mask: optional bool tensor of shape `(batch, tokens)`. Tokens at
            `False` get no attention.
        training: bool.

    Returns:
        A tensor of shape `(batch, tokens, dim)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import TransformerBlock

    tokens = np.random.normal(size=(2, 10, 8)).astype("float32")
    block = TransformerBlock(num_heads=2, intermediate_dim=32)
    block(tokens).shape  # (2, 10, 8)
    ```
    """

    def __init__(
        self,
        num_heads,
        intermediate_dim,
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        remat=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.dropout_rate = dropout_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.remat = remat

        def norm(name):
            return LayerNormalization(
                epsilon=layer_norm_epsilon, dtype=self.dtype_policy, name=name
            )

        self.attention_norm = norm("attention_norm")
        self.attention = Attention(
            num_heads, dtype=self.dtype_policy, name="attention"
        )
        self.mlp_norm = norm("mlp_norm")
        self.dropout = keras.layers.Dropout(
            dropout_rate, dtype=self.dtype_policy, name="dropout"
        )

    def build(self, tokens_shape, token_mask_shape=None):
        def dense(units, name):
            return Dense((units,), dtype=self.dtype_policy, name=name)

        dim = tokens_shape[-1]
        self.attention_norm.build(tokens_shape)
        self.attention.build(tokens_shape)
        self.mlp_norm.build(tokens_shape)
        self.mlp_intermediate = dense(self.intermediate_dim, "mlp_intermediate")
        self.mlp_intermediate.build(tokens_shape)
        self.mlp_output = dense(dim, "mlp_output")
        self.mlp_output.build((*tokens_shape[:-1], self.intermediate_dim))

    def call(self, tokens, token_mask=None, training=None):
        noise = [None, None]
        if self.dropout_rate and training:
            # Drawn here: a recomputed block is to see the same noise.
            ones = ops.ones_like(tokens)
            noise = [self.dropout(ones, training=True) for _ in noise]

        def drop(x, noise):
            return x if noise is None else x * noise

        def block(tokens):
            x = self.attention(
                self.attention_norm(tokens), context_mask=token_mask
            )
            tokens = tokens + drop(x, noise[0])
            x = gelu(self.mlp_intermediate(self.mlp_norm(tokens)))
            return tokens + drop(self.mlp_output(x), noise[1])

        if self.remat and training:
            block = keras.remat(block)
        return block(tokens)

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return tokens_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "num_heads": self.num_heads,
                "intermediate_dim": self.intermediate_dim,
                "dropout_rate": self.dropout_rate,
                "layer_norm_epsilon": self.layer_norm_epsilon,
                "remat": self.remat,
            }
        )
        return config
