"""From pixels to tokens: tubelets, their projection and their positions."""

import keras
from keras import ops

from keras_longvideo.ops import gather_tokens
from keras_longvideo.ops import interpolate_positions
from keras_longvideo.ops import repeat_last_frame
from keras_longvideo.ops import split_into_tubelets


@keras.saving.register_keras_serializable(package="keras_longvideo")
class TubeletEmbedding(keras.layers.Layer):
    """Cuts videos into tubelets and embeds each as a token.

    A token is `kernel . tubelet + bias + time_position + space_position`: a
    3-D convolution whose stride is its kernel, plus learned positions that are
    interpolated to other frame counts and picture sizes. A single frame is an
    image: it has a 2-D kernel and bias of its own, and no time position.

    With `masking`, tubelets are chosen **before** they are converted to float
    and projected, so that compute and memory follow the kept ones.

    Args:
        hidden_dim: int. Length of a token.
        tubelet_size: tuple of ints `(frames, height, width)` of a tubelet.
        num_frames: int. Frames of the clips that the time positions are
            learned for.
        image_size: tuple of ints `(height, width)` that the space positions
            are learned for.
        num_channels: int. Defaults to `3`.
        scale: float. uint8 pixels are embedded as `pixel * scale + offset`.
            Defaults to `1 / 127.5`.
        offset: float. Defaults to `-1.0`; with the default scale, pixels lie
            between -1 and 1.
        masking: `keras_longvideo.layers.TokenMasking` or None.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        pixel_values: tensor of shape `(batch, frames, height, width,
            channels)`: uint8 for raw pixels, float for pixels already scaled.
            Frames, height and width are multiples of the tubelet's; one frame
            is an image.
        frame_mask: optional bool tensor of shape `(batch, frames)`, `False`
            for padding. A tubelet that is half padding repeats the clip's last
            real frame.
        training: bool.

    Returns:
        A tuple of the tokens, of shape `(batch, tokens, hidden_dim)`, and a
        bool mask of shape `(batch, tokens)` that is `False` for tokens of
        padding alone, or `None` without a `frame_mask`.

    Raises:
        ValueError: if a shape or dtype does not fit; the message says what
            would.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import TubeletEmbedding

    embedding = TubeletEmbedding(
        hidden_dim=8,
        tubelet_size=(2, 16, 16),
        num_frames=4,
        image_size=(32, 32),
    )
    video = np.random.randint(0, 256, size=(1, 4, 32, 32, 3)).astype("uint8")
    tokens, token_mask = embedding(video)
    tokens.shape  # (1, 8, 8)
    ```
    """

    def __init__(
        self,
        hidden_dim,
        tubelet_size,
        num_frames,
        image_size,
        num_channels=3,
        scale=1 / 127.5,
        offset=-1.0,
        masking=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.tubelet_size = tuple(tubelet_size)
        self.num_frames = num_frames
        self.image_size = tuple(image_size)
        self.num_channels = num_channels
        self.scale = scale
        self.offset = offset
        self.masking = masking
        # Grid of the learned positions: (times, rows, columns).
        self.grid = self._grid_of((num_frames, *image_size))

    def build(self, pixel_values_shape, frame_mask_shape=None):
        t, h, w = self.tubelet_size
        times, rows, columns = self.grid
        patch = (h, w, self.num_channels)

        def add(name, shape, initializer):
            return self.add_weight(
                name=name, shape=shape, initializer=initializer
            )

        # A fresh initializer a weight: Keras's keep their seed.
        def normal():
            return keras.initializers.TruncatedNormal(stddev=0.02)

        self.kernel = add("kernel", (t, *patch, self.hidden_dim), normal())
        self.bias = add("bias", (self.hidden_dim,), "zeros")
        if t > 1:
            self.image_kernel = add(
                "image_kernel", (1, *patch, self.hidden_dim), normal()
            )
            self.image_bias = add("image_bias", (self.hidden_dim,), "zeros")
        self.time_positions = add(
            "time_positions", (times, self.hidden_dim), normal()
        )
        self.space_positions = add(
            "space_positions", (rows, columns, self.hidden_dim), normal()
        )

    def call(self, pixel_values, frame_mask=None, training=None):
        self._check(pixel_values, frame_mask)
        is_image = pixel_values.shape[1] == 1 and self.tubelet_size[0] > 1
        tubelet_size = (1, *self.tubelet_size[1:])
        kernel, bias = self.kernel, self.bias
        if is_image:
            kernel, bias = self.image_kernel, self.image_bias
        else:
            tubelet_size = self.tubelet_size
        grid = tuple(
            pixels // size
            for pixels, size in zip(
                pixel_values.shape[1:4], tubelet_size, strict=True
            )
        )
        tubelets = split_into_tubelets(pixel_values, tubelet_size)

        token_mask = None
        if frame_mask is not None:
            frame_mask = ops.reshape(
                frame_mask, (-1, grid[0], 1, tubelet_size[0])
            )
            frame_mask = ops.repeat(frame_mask, grid[1] * grid[2], axis=2)
            frame_mask = ops.reshape(
                frame_mask, (-1, tubelets.shape[1], tubelet_size[0])
            )
            token_mask = ops.any(frame_mask, axis=-1)

        indices = None
        if self.masking is not None:
            tubelets, indices = self.masking(
                tubelets, grid=grid, token_mask=token_mask, training=training
            )
        if frame_mask is not None:
            if indices is not None:
                frame_mask = gather_tokens(frame_mask, indices)
                token_mask = ops.any(frame_mask, axis=-1)
            tubelets = repeat_last_frame(tubelets, frame_mask)

        tokens = self._project(tubelets, kernel, bias)
        return self._add_positions(tokens, grid, indices, is_image), token_mask

    def _project(self, tubelets, kernel, bias):
        if _is_uint8(tubelets):
            # In float32: bfloat16 would round `scale` by up to 0.4 %.
            tubelets = ops.cast(tubelets, "float32") * self.scale + self.offset
        tubelets = ops.cast(tubelets, self.compute_dtype)
        kernel = ops.reshape(kernel, (tubelets.shape[2], self.hidden_dim))
        return ops.matmul(tubelets, kernel) + bias

    def _add_positions(self, tokens, grid, indices, is_image):
        times, rows, columns = grid
        places = rows * columns
        space = interpolate_positions(self.space_positions, (rows, columns))
        space = ops.reshape(space, (places, self.hidden_dim))
        time = interpolate_positions(self.time_positions, (times,))
        space, time = (ops.cast(x, self.compute_dtype) for x in (space, time))
        if indices is not None:
            tokens = tokens + ops.take(space, indices % places, axis=0)
            if not is_image:
                tokens = tokens + ops.take(time, indices // places, axis=0)
            return tokens
        # Added axis by axis: a table of all positions is never laid out.
        tokens = ops.reshape(tokens, (-1, times, places, self.hidden_dim))
        tokens = tokens + space
        if not is_image:
            tokens = tokens + time[:, None, :]
        return ops.reshape(tokens, (-1, times * places, self.hidden_dim))

    def _grid_of(self, size):
        """Tubelets along (frames, height, width), or what is wrong."""
        names = ("number of frames", "height", "width")
        for name, pixels, tubelet in zip(
            names, size, self.tubelet_size, strict=True
        ):
            if pixels < 1 or pixels % tubelet:
                below = pixels // tubelet * tubelet
                fitting = [n for n in (below, below + tubelet) if n > 0]
                if name == "number of frames" and tubelet > 1:
                    fitting.append("1 (an image)")
                fitting = " or ".join(map(str, fitting))
                raise ValueError(
                    f"The {name} must be a multiple of {tubelet}, as tubelets "
                    f"are {self.tubelet_size} (frames, height, width). "
                    f"Received: {name} {pixels}; {fitting} would fit."
                )
        return tuple(
            pixels // tubelet
            for pixels, tubelet in zip(size, self.tubelet_size, strict=True)
        )

    def _check(self, pixel_values, frame_mask):
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
        is_image = shape[1] == 1
        self._grid_of(
            (self.tubelet_size[0] if is_image else shape[1], *shape[2:4])
        )
        if frame_mask is not None and (
            len(frame_mask.shape) != 2 or frame_mask.shape[1] != shape[1]
        ):
            raise ValueError(
                f"`frame_mask` must have shape (batch, frames) = ({shape[0]}, "
                f"{shape[1]}). Received: "
                f"frame_mask.shape={tuple(frame_mask.shape)}"
            )

    def compute_output_spec(self, pixel_values, frame_mask=None, **kwargs):
        batch = pixel_values.shape[0]
        token_mask = None
        if frame_mask is not None:
            token_mask = keras.KerasTensor((batch, None), dtype="bool")
        tokens = keras.KerasTensor(
            (batch, None, self.hidden_dim), dtype=self.compute_dtype
        )
        return tokens, token_mask

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "hidden_dim": self.hidden_dim,
                "tubelet_size": self.tubelet_size,
                "num_frames": self.num_frames,
                "image_size": self.image_size,
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


def _is_uint8(x):
    return keras.backend.standardize_dtype(x.dtype) == "uint8"
