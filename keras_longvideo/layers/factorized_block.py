"""The transformer block of factorised encoders."""

import keras
from keras import ops

from keras_longvideo.layers.attention import Attention
from keras_longvideo.layers.frame_block import FrameBlock


@keras.saving.register_keras_serializable(package="keras_longvideo")
class FactorizedBlock(FrameBlock):
    """A `FrameBlock` with self-attention over time beside that over space.

    `x = x + space(norm(x)) + tanh(gate) * time(norm(x))`, then
    `x = x + mlp(norm(x))`. In `space`, a token attends to its frame; in
    `time`, to the tokens of its place in all frames. `gate` is a scalar that
    starts at 0, and the attention over time starts as a copy of that over
    space: at first the block is a `FrameBlock`. (The "factorised" variant of
    the LongViViT paper.)

    Args:
        **kwargs: arguments of `keras_longvideo.layers.TransformerBlock`.

    Call arguments, and what is returned, are those of `FrameBlock`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import FactorizedBlock

    tokens = np.random.normal(size=(2, 3, 4, 8)).astype("float32")
    block = FactorizedBlock(num_heads=2, intermediate_dim=32)
    block(tokens).shape  # (2, 3, 4, 8)
    ```
    """

    def __init__(self, num_heads, intermediate_dim, **kwargs):
        super().__init__(num_heads, intermediate_dim, **kwargs)
        self.time_attention = Attention(
            num_heads, dtype=self.dtype_policy, name="time_attention"
        )

    def build(self, tokens_shape, token_mask_shape=None):
        super().build(tokens_shape)
        _, times, _, dim = tokens_shape
        self.time_attention.build((None, times, dim))
        for over_time, over_space in zip(
            self.time_attention.weights, self.attention.weights, strict=True
        ):
            # A copy: on JAX two weights of one array are both gone once
            # training gives it away. On the devices: of several processes,
            # each holds a part.
            over_time.assign(ops.copy(over_space))
        # Read as it is: on torch, what `remat` computes again has to be of the
        # dtype that it was before, and is outside of Keras's scope of casts.
        self.time_gate = self.add_weight(
            name="time_gate", shape=(), initializer="zeros", autocast=False
        )

    def _attend_frames(self, frames, token_mask, times):
        over_space = super()._attend_frames(frames, token_mask, times)
        _, places, dim = frames.shape
        if token_mask is not None:
            token_mask = ops.reshape(
                ops.swapaxes(token_mask, 1, 2), (-1, times)
            )
        lines = ops.reshape(frames, (-1, times, places, dim))
        lines = ops.reshape(ops.swapaxes(lines, 1, 2), (-1, times, dim))
        over_time = self.time_attention(lines, context_mask=token_mask)
        over_time = ops.reshape(over_time, (-1, places, times, dim))
        over_time = ops.reshape(
            ops.swapaxes(over_time, 1, 2), (-1, places, dim)
        )
        gate = ops.cast(ops.tanh(self.time_gate), over_time.dtype)
        return over_space + gate * over_time
