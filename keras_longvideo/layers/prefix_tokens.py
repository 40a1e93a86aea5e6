"""Learned tokens before those of a picture: class, distillation, registers."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_longvideo")
class PrefixTokens(keras.layers.Layer):
    """Puts learned tokens before those of a video, or of each of its frames.

    Args:
        num_tokens: int. How many.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        tokens: tensor of shape `(batch, tokens, dim)`, or
            `(batch, times, places, dim)`.
        token_mask: optional bool tensor of shape `(batch, tokens)`, or
            `(batch, times, places)`.

    Returns:
        A tuple of the tokens and their mask, `num_tokens` longer in the last
        axis but `dim`. Those before a frame of padding are masked, too.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import PrefixTokens

    tokens = np.random.normal(size=(2, 10, 8)).astype("float32")
    tokens, token_mask = PrefixTokens(1)(tokens)
    tokens.shape  # (2, 11, 8)
    ```
    """

    def __init__(self, num_tokens, **kwargs):
        super().__init__(**kwargs)
        self.num_tokens = num_tokens

    def build(self, tokens_shape, token_mask_shape=None):
        self.prefix = self.add_weight(
            name="prefix",
            shape=(self.num_tokens, tokens_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )

    def call(self, tokens, token_mask=None):
        leading = ops.shape(tokens)[:-2]
        prefix = ops.cast(self.prefix, tokens.dtype)
        prefix = ops.broadcast_to(prefix, (*leading, *self.prefix.shape))
        tokens = ops.concatenate([prefix, tokens], axis=-2)
        if token_mask is not None:
            # At least one token of what they stand before has to be real.
            is_real = ops.any(token_mask, axis=-1, keepdims=True)
            is_real = ops.repeat(is_real, self.num_tokens, axis=-1)
            token_mask = ops.concatenate([is_real, token_mask], axis=-1)
        return tokens, token_mask

    def compute_output_spec(self, tokens, token_mask=None):
        def longer(x, axis):
            shape = list(x.shape)
            if shape[axis] is not None:
                shape[axis] += self.num_tokens
            return keras.KerasTensor(shape, dtype=x.dtype)

        if token_mask is not None:
            token_mask = longer(token_mask, -1)
        return longer(tokens, -2), token_mask

    def get_config(self):
        return {**super().get_config(), "num_tokens": self.num_tokens}
