"""Reading videos a batch at a time, while the batch before is computed."""

import os

import keras


class VideoBatches(keras.utils.PyDataset):
    """Batches of converted videos for `keras.Model.predict`.

    Args:
        videos: list of paths or arrays.
        video_converter: `keras_longvideo.models.VideoConverter`.
        batch_size: int.
    """

    def __init__(self, videos, video_converter, batch_size):
        # One worker reads ahead; a batch's files are decoded in parallel.
        super().__init__(workers=1, max_queue_size=2)
        self.videos = videos
        self.video_converter = video_converter
        self.batch_size = batch_size

    def __len__(self):
        return -(-len(self.videos) // self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        batch = self.videos[start : start + self.batch_size]
        return (self.video_converter(batch),)


def as_list(videos):
    """Tells one video from several.

    Args:
        videos: a path, an array of one video or of several, or a list.

    Returns:
        A tuple of the videos in a sequence, and whether it was one video.

    Raises:
        ValueError: if there is none.
    """
    is_path = isinstance(videos, (str, bytes, os.PathLike))
    if is_path or getattr(videos, "ndim", 0) == 4:
        return [videos], True
    if len(videos) == 0:
        raise ValueError("`videos` must hold at least one video.")
    return videos, False
