"""The transformer block of frame-level encoders."""

import keras
from keras import ops

from keras_longvideo.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="keras_longvideo")
class FrameBlock(TransformerBlock):
    """A `TransformerBlock` in which tokens attend within their own frame.

    Args:
        **kwargs: arguments of `keras_longvideo.layers.TransformerBlock`.

    Call arguments:
        tokens: tensor of shape `(batch, times, places, dim)`.
        token_mask: optional bool tensor of shape `(batch, times, places)`.
            Tokens at `False` get no attention.
        training: bool.

    Returns:
        A tensor of shape `(batch, times, places, dim)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import FrameBlock

    tokens = np.random.normal(size=(2, 3, 4, 8)).astype("float32")
    FrameBlock(num_heads=2, intermediate_dim=32)(tokens).shape  # (2, 3, 4, 8)
    ```
    """

    def build(self, tokens_shape, token_mask_shape=None):
        super().build((None, *tokens_shape[2:]))

    def call(self, tokens, token_mask=None, training=None):
        times, places, dim = tokens.shape[1:]

        def attend(normal):
            return self._attend_frames(normal, token_mask, times)

        # Frames are to a block what examples are.
        frames = ops.reshape(tokens, (-1, places, dim))
        frames = self._transform(frames, attend, training)
        return ops.reshape(frames, (-1, times, places, dim))

    def _attend_frames(self, frames, token_mask, times):
        if token_mask is not None:
            token_mask = ops.reshape(token_mask, (-1, token_mask.shape[2]))
        return self.attention(frames, context_mask=token_mask)
