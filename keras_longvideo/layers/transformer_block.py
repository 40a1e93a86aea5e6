"""The pre-norm transformer block that the encoders are stacks of."""

import keras
from keras import ops

from keras_longvideo.layers.attention import Attention
from keras_longvideo.layers.dense import Dense
from keras_longvideo.layers.late_weights import changing_weights
from keras_longvideo.layers.layer_normalization import LayerNormalization
from keras_longvideo.ops import activate
from keras_longvideo.ops import check_activation


@keras.saving.register_keras_serializable(package="keras_longvideo")
class TransformerBlock(keras.layers.Layer):
    """Pre-norm transformer block with joint space-time attention.

    `x = x + attention(norm(x))`, then `x = x + mlp(norm(x))`, where every
    token attends to every other, in whatever frame: no parameter that a block
    of an image ViT lacks.

    Args:
        num_heads: int. Attention heads.
        intermediate_dim: int. Width of the feed-forward layer.
        activation: string, of the feed-forward layer; see
            `keras_longvideo.ops.activate`. Defaults to `"gelu"`, as ViT.
        dropout_rate: float. Dropout on the output of the attention and of the
            feed-forward. Defaults to `0.0`.
        layer_norm_epsilon: float. Defaults to `1e-6`, as ViT.
        remat: bool. Whether training keeps nothing of the block but its input,
            and computes the rest again in the backward pass: less memory, the
            same numbers, one more forward pass. Defaults to `False`.
        adapter_dim: int or None. Width of an adapter, as `add_adapter` adds
            it. Defaults to `None`: none.
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
        activation="gelu",
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        remat=False,
        adapter_dim=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_activation(activation)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.activation = activation
        self.dropout_rate = dropout_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.remat = remat
        self.adapter_dim = adapter_dim

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
        dim = tokens_shape[-1]
        self.attention_norm.build(tokens_shape)
        self.attention.build(tokens_shape)
        self.mlp_norm.build(tokens_shape)
        self.mlp_intermediate = self._dense(
            dim, self.intermediate_dim, "mlp_intermediate"
        )
        self.mlp_output = self._dense(self.intermediate_dim, dim, "mlp_output")
        if self.adapter_dim is not None:
            self._build_adapter(dim)

    def add_adapter(self, adapter_dim):
        """Adds an MLP after the feed-forward, which at first changes nothing.

        `y = y + up(gelu(down(y)))` of the feed-forward's output `y`, before it
        is added to the tokens; `up` starts at zero. (Houlsby et al. 2019; the
        LongViViT paper's adapters.)

        Args:
            adapter_dim: int. Width of the MLP.

        Raises:
            ValueError: if the block is not built, or has an adapter already.
        """
        if not self.built or self.adapter_dim is not None:
            raise ValueError(
                "An adapter can be added once, to a block that is built. "
                f"Received: a block with built={self.built}, "
                f"adapter_dim={self.adapter_dim}"
            )
        self.adapter_dim = adapter_dim
        with changing_weights(self):
            self._build_adapter(self.mlp_output.bias.shape[0])

    def _build_adapter(self, dim):
        self.adapter_down = self._dense(dim, self.adapter_dim, "adapter_down")
        self.adapter_up = self._dense(
            self.adapter_dim, dim, "adapter_up", kernel_initializer="zeros"
        )

    def _dense(self, input_dim, output_dim, name, **kwargs):
        dense = Dense(
            (output_dim,), dtype=self.dtype_policy, name=name, **kwargs
        )
        dense.build((None, None, input_dim))
        return dense

    def call(self, tokens, token_mask=None, training=None):
        def attend(normal):
            return self.attention(normal, context_mask=token_mask)

        return self._transform(tokens, attend, training)

    def _transform(self, tokens, attend, training):
        """The block, with `attend` for what mixes its normalised tokens."""
        noise = [None, None]
        if self.dropout_rate and training:
            # Drawn here: a recomputed block is to see the same noise.
            ones = ops.ones_like(tokens)
            noise = [self.dropout(ones, training=True) for _ in noise]

        def drop(x, noise):
            return x if noise is None else x * noise

        def block(tokens):
            x = attend(self.attention_norm(tokens))
            tokens = tokens + drop(x, noise[0])
            x = self.mlp_intermediate(self.mlp_norm(tokens))
            x = self.mlp_output(activate(x, self.activation))
            if self.adapter_dim is not None:
                low = activate(self.adapter_down(x), "gelu")
                x = x + self.adapter_up(low)
            return tokens + drop(x, noise[1])

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
                "activation": self.activation,
                "dropout_rate": self.dropout_rate,
                "layer_norm_epsilon": self.layer_norm_epsilon,
                "remat": self.remat,
                "adapter_dim": self.adapter_dim,
            }
        )
        return config
