"""Resize frames so that they cover a size, and cut away what stands over."""

import numpy as np


def resize_frames(frames, image_size):
    """Resizes frames to cover `image_size`, then crops them at the centre.

    The picture keeps its proportions: it is scaled just so far that it fills
    `image_size`, and what stands over is cut away equally on both sides.
    These are the pixels that `frames_at(..., image_size=image_size)` gives of
    a video that is stored in square pixels.

    Args:
        frames: uint8 array of shape `(num_frames, height, width, 3)`, RGB.
        image_size: Tuple of ints `(height, width)`, in pixels.

    Returns:
        uint8 array of shape `(num_frames, *image_size, 3)`.

    Raises:
        ValueError: If `frames` or `image_size` is not as described.

    Example:

    ```python
    import numpy as np

    from keras_longvideo.video import resize_frames

    frames = np.zeros((4, 120, 160, 3), "uint8")
    print(resize_frames(frames, (60, 60)).shape)  # (4, 60, 60, 3)
    ```
    """
    check_frames(frames)
    height, width = check_image_size(image_size)
    resizer = Resizer((height, width))
    resized = np.empty((len(frames), height, width, 3), np.uint8)
    for index, frame in enumerate(frames):
        resized[index] = resizer(frame)
    return resized


class Resizer:
    """Resizes one image after the other to the same size.

    Args:
        image_size: Tuple of ints `(height, width)`.
        pixel_size: Tuple of floats, the height and the width of a pixel of
            the images; only their ratio counts. Defaults to `(1.0, 1.0)`,
            square pixels, as are those of the result.
    """

    def __init__(self, image_size, pixel_size=(1.0, 1.0)):
        from av.video.reformatter import VideoReformatter

        self.image_size = image_size
        self.pixel_size = pixel_size
        # Keeps its tables from one image to the next.
        self.reformatter = VideoReformatter()

    def __call__(self, image):
        """Resizes a uint8 array of shape `(height, width, 3)`."""
        height, width = self.image_size
        # Stored pixels become square and of the wanted size in one go.
        shape = [
            image.shape[0] * self.pixel_size[0],
            image.shape[1] * self.pixel_size[1],
        ]
        scaled = self._scale(image, *_covering_size(shape, height, width))
        top = (scaled.shape[0] - height) // 2
        left = (scaled.shape[1] - width) // 2
        return scaled[top : top + height, left : left + width]

    def _scale(self, image, height, width):
        import av

        if image.shape[:2] == (height, width):
            return image
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
        # swscale widens its filter when it shrinks, so nothing aliases.
        scaled = self.reformatter.reformat(
            frame,
            width=width,
            height=height,
            interpolation="BILINEAR",
            threads=1,
        )
        return scaled.to_ndarray()


def _covering_size(shape, height, width):
    scale = max(height / shape[0], width / shape[1])
    return (
        max(height, round(shape[0] * scale)),
        max(width, round(shape[1] * scale)),
    )


def check_frames(frames):
    """Raises a `ValueError` unless `frames` is an array of RGB images."""
    if not isinstance(frames, np.ndarray):
        raise ValueError(
            "`frames` must be a NumPy array, but it is of type "
            f"{type(frames).__name__}."
        )
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(
            "`frames` must be uint8 of shape (num_frames, height, width, 3), "
            f"but it is {frames.dtype} of shape {frames.shape}."
        )
    if 0 in frames.shape[1:]:
        raise ValueError(
            f"`frames` must have pixels, but its shape is {frames.shape}."
        )


def check_image_size(image_size):
    """Returns `image_size` as (height, width), or raises a `ValueError`."""
    try:
        height, width = image_size
        if (
            min(height, width) > 0
            and int(height) == height
            and int(width) == width
        ):
            return int(height), int(width)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        "`image_size` must be a pair (height, width) of positive ints, but it "
        f"is {image_size!r}."
    )
