"""From pixels to tokens: sparse tubes of several shapes, as TubeViT."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_longvideo.layers.video_embedding import VideoEmbedding
from keras_longvideo.ops import gather_tokens


@dataclasses.dataclass(frozen=True)
class Tube:
    """The shape of a tube, and where it is cut out.

    Args:
        size: tuple of ints `(frames, height, width)`.
        stride: tuple of ints `(frames, height, width)`, from one to the next.
        offset: tuple of ints `(frames, height, width)` of the first.

    Example:

    ```python
    from keras_longvideo.layers import Tube

    tube = Tube(size=(8, 8, 8), stride=(16, 32, 32))
    [len(x) for x in tube.starts((32, 64, 64))]  # [2, 2, 2]
    ```
    """

    size: tuple
    stride: tuple
    offset: tuple = (0, 0, 0)

    def starts(self, clip):
        """First frames, rows and columns of the tubes of a clip."""
        return [
            np.arange(offset, max(length - size, offset) + 1, stride)
            for length, size, stride, offset in zip(
                clip, self.size, self.stride, self.offset, strict=True
            )
        ]


# Those of TubeViT's public code.
TUBEVIT = (
    Tube((8, 8, 8), (16, 32, 32)),
    Tube((16, 4, 4), (6, 32, 32), (4, 8, 8)),
    Tube((4, 12, 12), (16, 32, 32), (0, 16, 16)),
    Tube((1, 16, 16), (32, 16, 16)),
)


@keras.saving.register_keras_serializable(package="keras_longvideo")
class TubeEmbedding(VideoEmbedding):
    """Cuts videos into sparse tubes of several shapes, and embeds each.

    A token is `kernel . tube + bias + position`, with a kernel and bias of its
    own for each shape. Positions are fixed: sines and cosines of the centre
    of a tube in time, height and width, so that tubes of all shapes, clips of
    all lengths and pictures of all sizes share them. Where a clip ends before
    a tube does, its last frame is repeated. A single frame is an image: only
    tubes that are one frame long are cut out. (Piergiovanni et al. 2022,
    TubeViT.)

    Args:
        hidden_dim: int. Length of a token.
        tubes: tuple of `Tube`, or of dicts of its arguments. Defaults to the
            four shapes of TubeViT's public code.
        num_channels: int. Defaults to `3`.
        scale: float, or a tuple of one for each channel. uint8 pixels are
            embedded as `pixel * scale + offset`. Defaults to `1 / 127.5`.
        offset: float, or a tuple of one for each channel. Defaults to `-1.0`.
        masking: `keras_longvideo.layers.TokenMasking` of mode `"random"`, or
            None. It drops the same share of the tubes of each shape. A single
            frame is left whole, unless `num_frames` is 1, as by
            `TubeletEmbedding`.
        num_frames: int. Frames of the clips that it is made for. Defaults to
            `None`: several.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        pixel_values: tensor of shape `(batch, frames, height, width,
            channels)`: uint8 for raw pixels, float for pixels already scaled.
        frame_mask: optional bool tensor of shape `(batch, frames)`, `False`
            for padding.
        training: bool.

    Returns:
        A tuple of the tokens, of shape `(batch, tokens, hidden_dim)`, shape
        after shape; and a bool mask of shape `(batch, tokens)`, or `None`
        without a `frame_mask`. It is `False` for tubes that the same clip
        without its padding would not have: those that run into it.

    Raises:
        ValueError: if a shape or dtype does not fit; the message says what
            would.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import TubeEmbedding

    embedding = TubeEmbedding(hidden_dim=12)
    video = np.random.randint(0, 256, size=(1, 32, 64, 64, 3)).astype("uint8")
    tokens, token_mask = embedding(video)
    tokens.shape  # (1, 36, 12): 8 + 8 + 4 + 16
    ```
    """

    def __init__(
        self,
        hidden_dim,
        tubes=TUBEVIT,
        num_channels=3,
        scale=1 / 127.5,
        offset=-1.0,
        masking=None,
        num_frames=None,
        **kwargs,
    ):
        super().__init__(
            hidden_dim, num_channels, scale, offset, masking, **kwargs
        )
        if masking is not None and masking.mode != "random":
            raise ValueError(
                "`masking` of tubes must be of mode 'random': they share no "
                f"frames. Received: mode={masking.mode!r}"
            )
        self.tubes = tuple(
            Tube(**{name: tuple(x) for name, x in tube.items()})
            if isinstance(tube, dict)
            else tube
            for tube in tubes
        )
        self.num_frames = num_frames

    def build(self, pixel_values_shape, frame_mask_shape=None):
        self.kernels, self.biases = [], []
        for i, tube in enumerate(self.tubes):
            self.kernels.append(self._add_kernel(f"kernel_{i}", tube.size))
            self.biases.append(
                self.add_weight(
                    name=f"bias_{i}",
                    shape=(self.hidden_dim,),
                    initializer="zeros",
                )
            )

    def call(self, pixel_values, frame_mask=None, training=None):
        self._check_pixels(pixel_values, frame_mask)
        clip = tuple(pixel_values.shape[1:4])
        self._check_clip(clip)
        if frame_mask is not None:
            pixel_values = _repeat_last_frame(pixel_values, frame_mask)
        outputs, masks = [], []
        for i in self._fitting(clip):
            tube, starts = self.tubes[i], self.tubes[i].starts(clip)
            grid = tuple(map(len, starts))
            tubes = _cut(pixel_values, starts, tube.size)
            token_mask = None
            if frame_mask is not None:
                token_mask = self._mask(frame_mask, i, starts)
            indices = None
            if self.masking is not None and (
                clip[0] > 1 or self.num_frames == 1
            ):
                tubes, indices = self.masking(
                    tubes, grid=grid, token_mask=token_mask, training=training
                )
            tokens = self._project(tubes, self.kernels[i], self.biases[i])
            table = ops.cast(
                _positions(tube, starts, self.hidden_dim), tokens.dtype
            )
            if indices is None:
                tokens = tokens + table
            else:
                tokens = tokens + ops.take(table, indices, axis=0)
                if token_mask is not None:
                    token_mask = gather_tokens(token_mask, indices)
            outputs.append(tokens)
            masks.append(token_mask)
        if frame_mask is not None:
            token_mask = ops.concatenate(masks, axis=1)
        return ops.concatenate(outputs, axis=1), token_mask

    def _mask(self, frame_mask, i, starts):
        """Whether a clip has a tube without its padding, `(batch, tubes)`."""
        length, last = self.tubes[i].size[0], _last_frame(frame_mask)
        first = starts[0].astype("int32")
        # As `Tube.starts`: the first one is there however short the clip.
        latest = ops.maximum(last + 1 - length, int(first[0]))
        mask = ops.less_equal(first, latest)
        mask = mask & ops.any(frame_mask, axis=1, keepdims=True)
        if i not in self._fitting((1,)) and self._fitting((1,)):
            # A single real frame is an image.
            mask = mask & (last > 0)
        return ops.repeat(mask, len(starts[1]) * len(starts[2]), axis=1)

    def _grids(self, num_frames, height, width):
        clip = (num_frames, height, width)
        return [
            tuple(map(len, self.tubes[i].starts(clip)))
            for i in self._fitting(clip)
        ]

    def _fitting(self, clip):
        """Numbers of the shapes that are cut out of a clip."""
        return [
            i
            for i, tube in enumerate(self.tubes)
            if clip[0] > 1 or tube.size[0] == 1
        ]

    def _check_clip(self, clip):
        for i in self._fitting(clip):
            tube = self.tubes[i]
            for axis, name in ((1, "height"), (2, "width")):
                least = tube.offset[axis] + tube.size[axis]
                if clip[axis] < least:
                    raise ValueError(
                        f"The {name} must be at least {least}, for tubes of "
                        f"{tube.size} (frames, height, width) from "
                        f"{tube.offset} on. Received: {name} {clip[axis]}"
                    )
        if not self._fitting(clip):
            raise ValueError(
                "An image needs a tube that is one frame long. "
                f"Received: one frame, and tubes={self.tubes}"
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
                "tubes": [dataclasses.asdict(tube) for tube in self.tubes],
                "num_frames": self.num_frames,
            }
        )
        return config


def _cut(pixel_values, starts, size):
    """Tubes of `(batch, tubes, pixels)`, by time, then row, then column."""
    x = pixel_values
    for axis, (first, length) in enumerate(zip(starts, size, strict=True)):
        # Past the end of a clip, its last frame stands still.
        indices = first[:, None] + np.arange(length)
        indices = np.minimum(indices, x.shape[1 + 2 * axis] - 1)
        x = ops.take(x, indices.astype("int32"), axis=1 + 2 * axis)
    x = ops.transpose(x, (0, 1, 3, 5, 2, 4, 6, 7))
    num_tubes = int(np.prod([len(first) for first in starts]))
    return ops.reshape(x, (-1, num_tubes, int(np.prod(size)) * x.shape[-1]))


def _repeat_last_frame(pixel_values, frame_mask):
    """Fills the padding of a clip with its last real frame."""
    frames = ops.arange(frame_mask.shape[1], dtype="int32")
    source = ops.minimum(frames[None], _last_frame(frame_mask))
    return gather_tokens(pixel_values, source)


def _last_frame(frame_mask):
    """Number of the last real frame, `(batch, 1)`; 0 where there is none."""
    frames = ops.arange(frame_mask.shape[1], dtype="int32")
    return ops.max(ops.where(frame_mask, frames, 0), axis=1, keepdims=True)


def _positions(tube, starts, dim):
    """Sines and cosines of the centres of tubes, `(tubes, dim)`.

    A sixth of a vector for each of sine and cosine of time, row and column,
    with frequencies from 1 to 1 / 10,000; what six does not divide is zero.
    """
    frequencies = 10_000.0 ** -(np.arange(dim // 6) / max(dim // 6, 1))
    centres = np.meshgrid(
        *(
            first + (length - 1) / 2
            for first, length in zip(starts, tube.size, strict=True)
        ),
        indexing="ij",
    )
    parts = []
    for centre in centres:
        angles = centre.reshape(-1, 1) * frequencies
        parts += [np.sin(angles), np.cos(angles)]
    table = np.concatenate(parts, axis=1)
    padding = dim - table.shape[1]
    return np.pad(table, [(0, 0), (0, padding)]).astype("float32")
