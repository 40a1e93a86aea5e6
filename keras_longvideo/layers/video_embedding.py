"""What embeddings of videos share: checks, scaling and projection of pixels."""

import math

import keras
import numpy as np
from keras import ops


class VideoEmbedding(keras.layers.Layer):
    """Base of the layers that turn pixels into tokens.

    Args:
        hidden_dim: int. Length of a token.
        num_channels: int. Channels of a pixel.
        scale: float, or a tuple of one for each channel. uint8 pixels are
            embedded as `pixel * scale + offset`.
        offset: float, or a tuple of one for each channel.
        masking: `keras_longvideo.layers.TokenMasking` or None.
        **kwargs: other arguments of `keras.layers.Layer`.
    """

    def __init__(
        self, hidden_dim, num_channels, scale, offset, masking, **kwargs
    ):
        super().__init__(**kwargs)
        for name, value in (("scale", scale), ("offset", offset)):
            if np.size(value) not in (1, num_channels):
                raise ValueError(
                    f"`{name}` must be a float, or have one for each of the "
                    f"{num_channels} channels. Received: {name}={value}"
                )
        self.hidden_dim = hidden_dim
        self.num_channels = num_channels
        self.scale = scale
        self.offset = offset
        self.masking = masking

    def count_tokens(self, num_frames, height, width):
        """How many tokens a clip has, none of them dropped.

        Args:
            num_frames: int. Frames of the clip.
            height: int. Height of its pictures, in pixels.
            width: int. Width of its pictures, in pixels.

        Returns:
            An int.
        """
        return sum(map(math.prod, self._grids(num_frames, height, width)))

    def _grids(self, num_frames, height, width):
        """Tokens by `(times, rows, columns)`, for each shape of boxes."""
        raise NotImplementedError

    def _add_kernel(self, name, size):
        """A kernel of `(*size, channels, hidden_dim)`."""
        return self.add_weight(
            name=name,
            shape=(*size, self.num_channels, self.hidden_dim),
            initializer=self._normal(),
        )

    # A fresh initializer a weight: Keras's keep their seed.
    def _normal(self):
        return keras.initializers.TruncatedNormal(stddev=0.02)

    def _project(self, pixels, kernel, bias):
        """Tokens of `(batch, tokens, pixels * channels)`."""
        if keras.backend.standardize_dtype(pixels.dtype) == "uint8":
            # In float32: bfloat16 would round `scale` by up to 0.4 %.
            scale, offset = (
                self._of_channels(x, pixels.shape[2])
                for x in (self.scale, self.offset)
            )
            pixels = ops.cast(pixels, "float32") * scale + offset
        pixels = ops.cast(pixels, self.compute_dtype)
        kernel = ops.reshape(kernel, (pixels.shape[2], self.hidden_dim))
        return ops.matmul(pixels, kernel) + bias

    def _of_channels(self, value, length):
        if np.size(value) == 1:
            return float(np.reshape(value, ()))
        return np.tile(np.array(value, "float32"), length // self.num_channels)

    def _check_pixels(self, pixel_values, frame_mask):
        shape = tuple(pixel_values.shape)
        if len(shape) != 5 or shape[-1] != self.num_channels:
            raise ValueError(
                "`pixel_values` must have shape (batch, frames, height, "
                f"width, {self.num_channels}). "
                f"Received: pixel_values.shape={shape}"
            )
        if None in shape[1:]:
            raise ValueError(
                "`pixel_values` must have static frames, height and width: "
                "give the tf.data pipeline's batches a set shape, or compile "
                "the model with `run_eagerly=True`. "
                f"Received: pixel_values.shape={shape}"
            )
        dtype = keras.backend.standardize_dtype(pixel_values.dtype)
        if dtype != "uint8" and "float" not in dtype:
            raise ValueError(
                "`pixel_values` must be uint8 (raw pixels) or float (scaled "
                f"already). Received: pixel_values.dtype={dtype}"
            )
        if frame_mask is not None and not _is_mask(frame_mask.shape, shape):
            raise ValueError(
                f"`frame_mask` must have shape (batch, frames) = ({shape[0]}, "
                f"{shape[1]}). Received: "
                f"frame_mask.shape={tuple(frame_mask.shape)}"
            )

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "hidden_dim": self.hidden_dim,
                "num_channels": self.num_channels,
                "scale": self.scale,
                "offset": self.offset,
                "masking": keras.saving.serialize_keras_object(self.masking),
            }
        )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["masking"] = keras.saving.deserialize_keras_object(
            config["masking"]
        )
        return cls(**config)


def _is_mask(mask_shape, shape):
    if len(mask_shape) != 2 or mask_shape[1] != shape[1]:
        return False
    # One mask for all clips would be broadcast. While a program is traced, the
    # batch may be no number.
    batches = (mask_shape[0], shape[0])
    is_known = all(isinstance(batch, int) for batch in batches)
    return not is_known or batches[0] == batches[1]
