"""Cutting a video into tubelets, and choosing which of them to keep."""

import keras
from keras import ops


def split_into_tubelets(pixel_values, tubelet_size):
    """Cuts videos into tubelets: small boxes of time x height x width.

    Args:
        pixel_values: tensor of shape
            `(batch, frames, height, width, channels)`, of any dtype.
        tubelet_size: tuple of three ints `(t, h, w)` that divide the frames,
            height and width.

    Returns:
        A tensor of shape `(batch, tubelets, t * h * w * channels)` in the
        dtype of `pixel_values`. Tubelets run over time first, then rows, then
        columns: number `(time * rows + row) * columns + column`.

    Raises:
        ValueError: if tubelets do not divide the videos.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import split_into_tubelets

    video = np.zeros((1, 4, 32, 32, 3), "uint8")
    split_into_tubelets(video, (2, 16, 16)).shape  # (1, 8, 1536)
    ```
    """
    sizes = pixel_values.shape[1:4]
    if any(n % m for n, m in zip(sizes, tubelet_size, strict=True)):
        raise ValueError(
            "`tubelet_size` must divide the frames, height and width of "
            f"`pixel_values`, {tuple(sizes)}. "
            f"Received: tubelet_size={tuple(tubelet_size)}"
        )
    if keras.backend.backend() != "jax":
        return _split(pixel_values, tubelet_size)
    # One tubelet deep at a time: on TPU, a transposition of 16 x 16 pixels
    # takes many times the memory of the pixels while it lasts.
    batch, frames, *frame_shape = pixel_values.shape
    t = tubelet_size[0]

    def split_from(start):
        x = ops.slice(
            pixel_values, (0, start, 0, 0, 0), (batch, t, *frame_shape)
        )
        return _split(x, tubelet_size)

    x = ops.map(split_from, ops.arange(0, frames, t))
    x = ops.transpose(x, (1, 0, 2, 3))
    return ops.reshape(x, (batch, -1, x.shape[-1]))


def _split(pixel_values, tubelet_size):
    _, frames, height, width, channels = pixel_values.shape
    t, h, w = tubelet_size
    times, rows, columns = frames // t, height // h, width // w
    x = ops.reshape(pixel_values, (-1, times, t, rows, h, columns, w, channels))
    x = ops.transpose(x, (0, 1, 3, 5, 2, 4, 6, 7))
    return ops.reshape(x, (-1, times * rows * columns, t * h * w * channels))


def gather_tokens(tokens, indices):
    """Takes, from each example, the tokens at the given indices.

    Args:
        tokens: tensor of shape `(batch, tokens, ...)`.
        indices: int tensor of shape `(batch, kept)`.

    Returns:
        A tensor of shape `(batch, kept, ...)`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import gather_tokens

    tokens = np.array([[10.0, 11.0, 12.0], [20.0, 21.0, 22.0]])
    gather_tokens(tokens, np.array([[0, 2], [1, 1]]))
    # [[10., 12.], [21., 21.]]
    ```
    """
    for _ in range(len(tokens.shape) - 2):
        indices = ops.expand_dims(indices, -1)
    return ops.take_along_axis(tokens, indices, axis=1)


def repeat_last_frame(tubelets, frame_mask):
    """Fills a tubelet's missing frames with the clip's last real one.

    A clip that ends half-way through a tubelet is then embedded as if its last
    frame stood still, whatever the padding holds.

    Args:
        tubelets: tensor of shape `(batch, tubelets, t * pixels)`.
        frame_mask: bool tensor of shape `(batch, tubelets, t)`, `False` where
            a frame is missing.

    Returns:
        A tensor like `tubelets`. In a tubelet without any real frame, all
        frames are zeros; its token is to be masked out.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import repeat_last_frame

    tubelets = np.array([[[1.0, 9.0]]])  # one tubelet: two frames of a pixel
    repeat_last_frame(tubelets, np.array([[[True, False]]]))
    # [[[1., 1.]]]
    ```
    """
    _, num_tubelets, t = frame_mask.shape
    size = tubelets.shape[2]
    tubelets = ops.reshape(tubelets, (-1, num_tubelets, t, size // t))
    # Masked out or not, a NaN would spread.
    frames = [ops.zeros_like(tubelets[:, :, 0])]
    for i in range(t):
        is_real = frame_mask[:, :, i, None]
        frames.append(ops.where(is_real, tubelets[:, :, i], frames[-1]))
    return ops.reshape(ops.stack(frames[1:], axis=2), (-1, num_tubelets, size))


def keep_indices(noise, num_kept, token_mask=None):
    """Chooses the tokens with the lowest noise, in their original order.

    Args:
        noise: float tensor of shape `(batch, tokens)` in `[0, 1)`.
        num_kept: int. How many tokens to keep of each example.
        token_mask: optional bool tensor of shape `(batch, tokens)`. Tokens at
            `False` (padding) are dropped before any other.

    Returns:
        An int32 tensor of shape `(batch, num_kept)`, ascending, no index
        twice.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import keep_indices

    keep_indices(np.array([[0.9, 0.1, 0.5, 0.3]]), 2)  # [[1, 3]]
    ```
    """
    noise = ops.convert_to_tensor(noise, "float32")
    if token_mask is not None:
        noise = noise + ops.where(token_mask, 0.0, 1.0)
    order = ops.argsort(noise, axis=-1)
    kept = ops.sort(order[:, :num_kept], axis=-1)
    return ops.cast(kept, "int32")
