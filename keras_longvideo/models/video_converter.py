"""From video files or arrays to clips of one length and size."""

import os

import keras
import numpy as np

from keras_longvideo.data import decode_videos
from keras_longvideo.video import resize_frames


@keras.saving.register_keras_serializable(package="keras_longvideo")
class VideoConverter(keras.layers.Layer):
    """Turns videos into uint8 clips of `num_frames` frames of one size.

    Files are sampled at `fps`, from their start; where that would give more
    than `num_frames` frames, these are spread evenly over the whole video, so
    that nothing is cut off. Shorter clips are padded at their end. Pictures
    are resized to cover `image_size` and cropped at the centre. Runs eagerly,
    and in the graph of a `tf.data` pipeline.

    Args:
        num_frames: int. Frames of a clip.
        image_size: tuple of ints `(height, width)`.
        fps: float or None. Frames a second to sample files at. `None` always
            spreads `num_frames` over the video. Defaults to `1.0`, as the
            LongViViT paper.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        videos: one video or several. One is a path or an array
            `(frames, height, width, channels)`; several are a list of paths
            or of arrays, or an array with a batch axis in front. Arrays are
            all uint8, or all float where their size fits already: the encoder
            scales uint8, and takes float as scaled. Of an array with too many
            frames, evenly spread ones are kept.

    Returns:
        A dict of `pixel_values`, of shape
        `(batch, num_frames, height, width, channels)`, and `frame_mask`, a
        bool array of shape `(batch, num_frames)`, `False` for padding. No
        batch axis where one video came.

    Raises:
        keras_longvideo.video.VideoError: if a file cannot be read.
        ValueError: if an array does not fit.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.models import VideoConverter

    convert = VideoConverter(num_frames=4, image_size=(32, 32))
    clip = convert(np.zeros((3, 48, 64, 3), "uint8"))
    clip["pixel_values"].shape  # (4, 32, 32, 3)
    clip["frame_mask"]  # [True, True, True, False]
    ```
    """

    def __init__(self, num_frames, image_size, fps=1.0, **kwargs):
        super().__init__(**kwargs)
        self.num_frames = num_frames
        self.image_size = tuple(image_size)
        self.fps = fps
        self.built = True

    # Not by way of `Layer.__call__`, which is for tensors of the backend: it
    # would convert tf.data's, and wrap the error that names a broken file.
    def __call__(self, videos):
        return self.call(videos)

    def call(self, videos):
        if _is_symbolic(videos):
            return self._convert_in_graph(videos)
        if _is_one(videos):
            batch = self._convert([videos])
            return {name: x[0] for name, x in batch.items()}
        return self._convert(videos)

    def _convert(self, videos):
        if isinstance(videos, np.ndarray) and videos.dtype.kind in "OSU":
            videos = videos.tolist()
        if len(videos) == 0:
            raise ValueError("`videos` must hold at least one video.")
        _check_kinds(videos)
        if _is_path(videos[0]):
            pixel_values, frame_mask = decode_videos(
                [os.fsdecode(video) for video in videos],
                num_frames=self.num_frames,
                fps=self.fps,
                image_size=self.image_size,
                progress=False,
            )
        else:
            videos = [keras.ops.convert_to_numpy(video) for video in videos]
            _check_dtypes(videos)
            clips = [self._fit(video) for video in videos]
            pixel_values = np.stack([frames for frames, _ in clips])
            frame_mask = np.stack([mask for _, mask in clips])
        return {"pixel_values": pixel_values, "frame_mask": frame_mask}

    def _fit(self, frames):
        """One array as a clip of the right length and size, with its mask."""
        if frames.ndim != 4 or 0 in frames.shape:
            raise ValueError(
                "A video must be a path or an array of shape (frames, height, "
                f"width, channels). Received an array of shape {frames.shape}"
            )
        if len(frames) > self.num_frames:
            segment = len(frames) / self.num_frames
            middles = (np.arange(self.num_frames) + 0.5) * segment
            frames = frames[middles.astype(int)]
        if frames.shape[1:3] != self.image_size:
            if frames.dtype != np.uint8:
                raise ValueError(
                    "Only uint8 pictures are resized. Received frames of "
                    f"dtype {frames.dtype} and size {frames.shape[1:3]}, to "
                    f"become {self.image_size}"
                )
            frames = resize_frames(frames, self.image_size)
        padding = self.num_frames - len(frames)
        mask = np.arange(self.num_frames) < len(frames)
        return np.pad(frames, [(0, padding)] + [(0, 0)] * 3), mask

    def _convert_in_graph(self, videos):
        import tensorflow as tf

        is_path = videos.dtype == tf.string
        rank = videos.shape.rank
        if rank not in ((0, 1) if is_path else (4, 5)):
            raise ValueError(
                "Inside a tf.data pipeline, videos must be paths, or arrays "
                "of shape (frames, height, width, channels), with or without "
                f"a batch axis. Received: {videos.dtype.name} of shape "
                f"{videos.shape}"
            )
        batch = tuple(videos.shape)[: rank if is_path else rank - 4]
        channels = 3 if is_path else videos.shape[-1]
        shape = (*batch, self.num_frames, *self.image_size, channels)
        if tuple(videos.shape)[len(batch) :] == shape[len(batch) :]:
            mask = tf.ones(tf.shape(videos)[: len(batch) + 1], "bool")
            return {"pixel_values": videos, "frame_mask": mask}

        def convert(videos):
            # A single path is a string here, several are an array.
            clips = self.call(videos)
            return clips["pixel_values"], clips["frame_mask"]

        dtype = tf.uint8 if is_path else videos.dtype
        pixel_values, mask = tf.numpy_function(
            convert, [videos], (dtype, tf.bool)
        )
        pixel_values.set_shape(shape)
        mask.set_shape((*batch, self.num_frames))
        return {"pixel_values": pixel_values, "frame_mask": mask}

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "num_frames": self.num_frames,
                "image_size": self.image_size,
                "fps": self.fps,
            }
        )
        return config


def _check_kinds(videos):
    paths = [i for i, video in enumerate(videos) if _is_path(video)]
    arrays = [i for i, video in enumerate(videos) if not _is_path(video)]
    if paths and arrays:
        raise ValueError(
            "`videos` must be all paths or all arrays. "
            f"Received: a path at {paths[0]}, an array at {arrays[0]}"
        )


def _check_dtypes(videos):
    dtypes = [keras.backend.standardize_dtype(v.dtype) for v in videos]
    are_float = all(map(keras.backend.is_float_dtype, dtypes))
    if not are_float and set(dtypes) != {"uint8"}:
        raise ValueError(
            "`videos` must be all uint8 or all float: raw pixels, or scaled "
            f"ones. Received: dtypes {list(dict.fromkeys(dtypes))}"
        )


def _is_path(video):
    return isinstance(video, (str, bytes, os.PathLike))


def _is_one(videos):
    return _is_path(videos) or len(getattr(videos, "shape", ())) == 4


def _is_symbolic(videos):
    """Whether `videos` is a tensor of a tf.data graph that is being traced."""
    if _is_path(videos) or isinstance(videos, (list, tuple, np.ndarray)):
        return False
    import tensorflow as tf

    return tf.is_symbolic_tensor(videos)
