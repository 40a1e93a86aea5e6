"""From pixels to tokens: tubelets, their projection and their positions."""

import math

import keras
from keras import ops

from keras_longvideo.layers.video_embedding import VideoEmbedding
from keras_longvideo.ops import gather_tokens
from keras_longvideo.ops import interpolate_positions
from keras_longvideo.ops import repeat_last_frame
from keras_longvideo.ops import sinusoid_positions
from keras_longvideo.ops import split_into_tubelets

POSITIONS = ("separate", "joint", "fixed", "space")


@keras.saving.register_keras_serializable(package="keras_longvideo")
class TubeletEmbedding(VideoEmbedding):
    """Cuts videos into tubelets and embeds each as a token.

    A token is `kernel . tubelet + bias + position`: a 3-D convolution whose
    stride is its kernel, plus learned positions that are interpolated to other
    frame counts and picture sizes. A single frame is an image: where tubelets
    have several frames, it has a 2-D kernel and bias of its own, and no time
    position; where they have one, it is embedded as any frame of a video.

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
        scale: float, or a tuple of one for each channel. uint8 pixels are
            embedded as `pixel * scale + offset`. Defaults to `1 / 127.5`.
        offset: float, or a tuple of one for each channel. Defaults to `-1.0`;
            with the default scale, pixels lie between -1 and 1.
        masking: `keras_longvideo.layers.TokenMasking` or None. Where there are
            positions for several frames, a single one is left whole: an
            encoder of videos is trained on images beside them, which cost
            little and show nothing twice.
        positions: `"separate"`, a table of times and one of places, which add
            up; `"joint"`, a table of all tubelets, as ViViT; `"fixed"`, the
            same of sines and cosines, which training leaves alone, as
            VideoMAE; or `"space"`, of places alone. Defaults to
            `"separate"`.
        by_frame: bool. Whether tokens keep an axis of times, for layers that
            work on each frame. Positions in time then start at zero, so that
            at first a frame is embedded as an image. Defaults to `False`.
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
        A tuple of the tokens, of shape `(batch, tokens, hidden_dim)`, or
        `(batch, times, places, hidden_dim)` with `by_frame`; and a bool mask
        of that shape without `hidden_dim`, which is `False` for tokens of
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
        positions="separate",
        by_frame=False,
        **kwargs,
    ):
        super().__init__(
            hidden_dim, num_channels, scale, offset, masking, **kwargs
        )
        if positions not in POSITIONS:
            raise ValueError(
                f"`positions` must be one of {POSITIONS}. "
                f"Received: positions={positions!r}"
            )
        if by_frame and masking is not None and masking.mode == "random":
            raise ValueError(
                "With `by_frame`, `masking` must keep as many tokens at every "
                "time: its mode must be 'tube' or 'frame'. "
                f"Received: mode={masking.mode!r}"
            )
        self.tubelet_size = tuple(tubelet_size)
        self.num_frames = num_frames
        self.image_size = tuple(image_size)
        self.positions = positions
        self.by_frame = by_frame
        # Grid of the learned positions: (times, rows, columns).
        self.grid = self.grid_of(num_frames, *image_size)

    def build(self, pixel_values_shape, frame_mask_shape=None):
        t, h, w = self.tubelet_size
        times, rows, columns = self.grid

        def add(name, *shape, initializer, trainable=True):
            return self.add_weight(
                name=name,
                shape=(*shape, self.hidden_dim),
                initializer=initializer,
                trainable=trainable,
            )

        self.kernel = self._add_kernel("kernel", (t, h, w))
        self.bias = add("bias", initializer="zeros")
        if t > 1:
            self.image_kernel = self._add_kernel("image_kernel", (1, h, w))
            self.image_bias = add("image_bias", initializer="zeros")
        if self.positions in ("joint", "fixed"):
            is_fixed = self.positions == "fixed"
            self.joint_positions = add(
                "joint_positions",
                *(times, rows, columns),
                initializer=_sinusoids if is_fixed else self._normal(),
                trainable=not is_fixed,
            )
            return
        if self.positions == "separate":
            self.time_positions = add(
                "time_positions",
                times,
                initializer="zeros" if self.by_frame else self._normal(),
            )
        self.space_positions = add(
            "space_positions", rows, columns, initializer=self._normal()
        )

    def call(self, pixel_values, frame_mask=None, training=None):
        self._check_pixels(pixel_values, frame_mask)
        num_frames, height, width = pixel_values.shape[1:4]
        grid = self.grid_of(num_frames, height, width)
        is_image = num_frames == 1 and self.tubelet_size[0] > 1
        tubelet_size = self.tubelet_size
        kernel, bias = self.kernel, self.bias
        if is_image:
            tubelet_size = (1, *self.tubelet_size[1:])
            kernel, bias = self.image_kernel, self.image_bias
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
        if self.masking is not None and (
            num_frames > 1 or self.num_frames == 1
        ):
            tubelets, indices = self.masking(
                tubelets, grid=grid, token_mask=token_mask, training=training
            )
        if frame_mask is not None:
            if indices is not None:
                frame_mask = gather_tokens(frame_mask, indices)
                token_mask = ops.any(frame_mask, axis=-1)
            tubelets = repeat_last_frame(tubelets, frame_mask)

        tokens = self._project(tubelets, kernel, bias)
        tokens = self._add_positions(tokens, grid, indices, is_image)
        if self.by_frame:
            places = tokens.shape[1] // grid[0]
            tokens = ops.reshape(tokens, (-1, grid[0], places, self.hidden_dim))
            if token_mask is not None:
                token_mask = ops.reshape(token_mask, (-1, *tokens.shape[1:3]))
        return tokens, token_mask

    def _add_positions(self, tokens, grid, indices, is_image):
        times, rows, columns = grid
        places = rows * columns
        if self.positions in ("joint", "fixed"):
            table = interpolate_positions(self.joint_positions, grid)
            table = ops.reshape(table, (times * places, self.hidden_dim))
            table = ops.cast(table, self.compute_dtype)
            if indices is None:
                return tokens + table
            return tokens + ops.take(table, indices, axis=0)
        space = interpolate_positions(self.space_positions, (rows, columns))
        space = ops.reshape(space, (places, self.hidden_dim))
        space = ops.cast(space, self.compute_dtype)
        time = None
        if self.positions == "separate" and not is_image:
            time = interpolate_positions(self.time_positions, (times,))
            time = ops.cast(time, self.compute_dtype)
        if indices is not None:
            tokens = tokens + ops.take(space, indices % places, axis=0)
            if time is not None:
                tokens = tokens + ops.take(time, indices // places, axis=0)
            return tokens
        # Added axis by axis: a table of all positions is never laid out.
        tokens = ops.reshape(tokens, (-1, times, places, self.hidden_dim))
        tokens = tokens + space
        if time is not None:
            tokens = tokens + time[:, None, :]
        return ops.reshape(tokens, (-1, times * places, self.hidden_dim))

    def grid_of(self, num_frames, height, width):
        """Tubelets of a clip.

        Args:
            num_frames: int. Frames of the clip.
            height: int. Height of its pictures, in pixels.
            width: int. Width of its pictures, in pixels.

        Returns:
            A tuple of ints `(times, rows, columns)`.

        Raises:
            ValueError: if tubelets do not divide the clip; the message says
                what would fit.
        """
        t, *picture = self.tubelet_size
        # A single frame is an image, whatever the frames of a tubelet.
        tubelet = (1 if num_frames == 1 else t, *picture)
        names = ("number of frames", "height", "width")
        size = (num_frames, height, width)
        for name, pixels, step in zip(names, size, tubelet, strict=True):
            if pixels < 1 or pixels % step:
                below = pixels // step * step
                fitting = [n for n in (below, below + step) if n > 0]
                if name == "number of frames" and t > 1:
                    fitting.append("1 (an image)")
                fitting = " or ".join(map(str, fitting))
                raise ValueError(
                    f"The {name} must be a multiple of {step}, as tubelets "
                    f"are {self.tubelet_size} (frames, height, width). "
                    f"Received: {name} {pixels}; {fitting} would fit."
                )
        return tuple(p // step for p, step in zip(size, tubelet, strict=True))

    def _grids(self, num_frames, height, width):
        return [self.grid_of(num_frames, height, width)]

    def compute_output_spec(self, pixel_values, frame_mask=None, **kwargs):
        axes = (pixel_values.shape[0], *([None] * (1 + self.by_frame)))
        token_mask = None
        if frame_mask is not None:
            token_mask = keras.KerasTensor(axes, dtype="bool")
        tokens = keras.KerasTensor(
            (*axes, self.hidden_dim), dtype=self.compute_dtype
        )
        return tokens, token_mask

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "tubelet_size": self.tubelet_size,
                "num_frames": self.num_frames,
                "image_size": self.image_size,
                "positions": self.positions,
                "by_frame": self.by_frame,
            }
        )
        return config


def _sinusoids(shape, dtype):
    table = sinusoid_positions(math.prod(shape[:-1]), shape[-1])
    return ops.convert_to_tensor(table.reshape(shape), dtype)
