"""One vector for all tokens: what a learned query finds in them."""

import keras
from keras import ops

from keras_longvideo.layers.attention import Attention
from keras_longvideo.layers.dense import Dense
from keras_longvideo.layers.layer_normalization import LayerNormalization
from keras_longvideo.ops import activate
from keras_longvideo.ops import check_activation


@keras.saving.register_keras_serializable(package="keras_longvideo")
class AttentionPooling(keras.layers.Layer):
    """Multi-head attention of one learned query over the tokens.

    Args:
        num_heads: int. Heads; they divide the length of a token.
        intermediate_dim: int. Width of a feed-forward layer behind the
            attention: `x + mlp(norm(x))`, as SigLIP. `None`, the default, is
            none.
        activation: string, of the feed-forward layer; see
            `keras_longvideo.ops.activate`. Defaults to `"gelu"`.
        layer_norm_epsilon: float. Defaults to `1e-6`.
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

    def __init__(
        self,
        num_heads,
        intermediate_dim=None,
        activation="gelu",
        layer_norm_epsilon=1e-6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_activation(activation)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon
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
        if self.intermediate_dim is None:
            return
        dim = tokens_shape[-1]
        self.mlp_norm = LayerNormalization(
            epsilon=self.layer_norm_epsilon,
            dtype=self.dtype_policy,
            name="mlp_norm",
        )
        self.mlp_norm.build((None, 1, dim))
        self.mlp_intermediate = Dense(
            (self.intermediate_dim,),
            dtype=self.dtype_policy,
            name="mlp_intermediate",
        )
        self.mlp_intermediate.build((None, 1, dim))
        self.mlp_output = Dense(
            (dim,), dtype=self.dtype_policy, name="mlp_output"
        )
        self.mlp_output.build((None, 1, self.intermediate_dim))

    def call(self, tokens, token_mask=None):
        batch, _, dim = ops.shape(tokens)
        query = ops.broadcast_to(
            ops.cast(self.query, self.compute_dtype), (batch, 1, dim)
        )
        pooled = self.attention(query, tokens, context_mask=token_mask)
        if self.intermediate_dim is not None:
            x = self.mlp_intermediate(self.mlp_norm(pooled))
            pooled = pooled + self.mlp_output(activate(x, self.activation))
        return pooled[:, 0]

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return (tokens_shape[0], tokens_shape[-1])

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "num_heads": self.num_heads,
                "intermediate_dim": self.intermediate_dim,
                "activation": self.activation,
                "layer_norm_epsilon": self.layer_norm_epsilon,
            }
        )
        return config
