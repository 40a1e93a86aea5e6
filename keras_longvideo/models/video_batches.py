"""Converting examples a batch at a time, as `predict` asks for them."""

import os

import keras
import numpy as np

from keras_longvideo.data.checks import check_int
from keras_longvideo.models.processes import is_split
from keras_longvideo.models.processes import own_rows
from keras_longvideo.models.processes import padded_batch_size


class Batches(keras.utils.PyDataset):
    """Batches of converted examples for `keras.Model.predict`.

    Under a `keras.distribution`, every batch is full and its size a multiple
    of the parts that it is split into: the last example is repeated, and what
    comes of it is to be cut off. Of several processes, each converts the
    examples that its own devices compute.

    Args:
        examples: list or array, such as of paths.
        convert: function that makes a dict of arrays out of a list of
            examples.
        batch_size: int. Examples in memory at a time.
    """

    def __init__(self, examples, convert, batch_size):
        super().__init__()
        self.examples = examples
        self.convert = convert
        check_int("batch_size", batch_size)
        indices = np.arange(len(examples))
        if not is_split():
            starts = np.arange(batch_size, len(examples), batch_size)
            self.shares = np.split(indices, starts)
            return
        batch_size = padded_batch_size(batch_size, len(examples))
        indices = np.pad(indices, (0, -len(examples) % batch_size), "edge")
        self.shares = indices.reshape(-1, batch_size)[:, own_rows(batch_size)]

    def __len__(self):
        return len(self.shares)

    def __getitem__(self, index):
        # None is converted twice, in case that it is a file.
        share, repeated = np.unique(self.shares[index], return_inverse=True)
        batch = self.convert([self.examples[i] for i in share])
        return ({name: x[repeated] for name, x in batch.items()},)


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
    if isinstance(videos, np.ndarray):
        return videos, False
    # Of a table's column `videos[i]` need not be the one that comes i-th.
    return list(videos), False
