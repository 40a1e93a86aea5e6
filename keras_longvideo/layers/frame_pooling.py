"""One vector for a video of frames: pooled within frames, then over time."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_longvideo")
class FramePooling(keras.layers.Layer):
    """Pools the tokens of each frame, and then what came of the frames.

    Args:
        space_pooler: pooling layer for the tokens of one frame.
        time_pooler: pooling layer for the vectors of the frames.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        tokens: tensor of shape `(batch, times, places, dim)`.
        token_mask: optional bool tensor of shape `(batch, times, places)`,
            `False` for padding.

    Returns:
        A tensor of shape `(batch, dim)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import FramePooling
    from keras_longvideo.layers import MeanPooling

    tokens = np.random.normal(size=(2, 3, 4, 8)).astype("float32")
    FramePooling(MeanPooling(), MeanPooling())(tokens).shape  # (2, 8)
    ```
    """

    def __init__(self, space_pooler, time_pooler, **kwargs):
        super().__init__(**kwargs)
        self.space_pooler = space_pooler
        self.time_pooler = time_pooler

    def build(self, tokens_shape, token_mask_shape=None):
        _, times, places, dim = tokens_shape
        self.space_pooler.build((None, places, dim))
        self.time_pooler.build((None, times, dim))

    def call(self, tokens, token_mask=None):
        times, places, dim = tokens.shape[1:]
        frame_mask = place_mask = None
        if token_mask is not None:
            place_mask = ops.reshape(token_mask, (-1, places))
            frame_mask = ops.any(token_mask, axis=-1)
        frames = self.space_pooler(
            ops.reshape(tokens, (-1, places, dim)), token_mask=place_mask
        )
        frames = ops.reshape(frames, (-1, times, dim))
        return self.time_pooler(frames, token_mask=frame_mask)

    def compute_output_shape(self, tokens_shape, token_mask_shape=None):
        return (tokens_shape[0], tokens_shape[-1])

    def get_config(self):
        config = super().get_config()
        for name in ("space_pooler", "time_pooler"):
            layer = getattr(self, name)
            config[name] = keras.saving.serialize_keras_object(layer)
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("space_pooler", "time_pooler"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)
