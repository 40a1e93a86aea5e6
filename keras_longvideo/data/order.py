"""The order in which a set's videos come: a function of seed and epoch."""

import math

import numpy as np

from keras_longvideo.data.checks import check_group_size
from keras_longvideo.data.checks import check_int


class Order:
    """Which videos come when, and which of their captions.

    It depends on nothing but the arguments and the epoch, so that a run that
    was interrupted goes on with the batches that it would have had.

    Args:
        num_videos: Int.
        batch_size: Int, a multiple of `group_size`.
        group_size: Int, how many videos that follow one another stay together.
            It divides `num_videos`.
        shuffle: Bool, whether each epoch has an order of its own.
        seed: Int of at least 0.
        drop_remainder: Bool, whether a last batch that is not full is none.
        skip_batches: Int of at least 0, how many batches to leave out at the
            start, over as many epochs as they fill.
    """

    def __init__(
        self,
        num_videos,
        batch_size,
        group_size,
        shuffle,
        seed,
        drop_remainder,
        skip_batches,
    ):
        self.num_videos = num_videos
        self.batch_size = check_int("batch_size", batch_size)
        check_group_size(group_size, batch_size, "`batch_size`")
        self.group_size = check_group_size(
            group_size, num_videos, "the number of videos"
        )
        self.shuffle = shuffle
        self.seed = check_int("seed", seed, least=0)
        if drop_remainder and num_videos < batch_size:
            raise ValueError(
                f"The set holds {num_videos} videos, too few for one batch, "
                "and a batch that is not full would be left out: lower "
                f"`batch_size` to {num_videos} at most. "
                f"Received: batch_size={batch_size}"
            )
        rounded = math.floor if drop_remainder else math.ceil
        self.num_batches = rounded(num_videos / batch_size)
        skip_batches = check_int("skip_batches", skip_batches, least=0)
        self.first_epoch, self.first_batch = divmod(
            skip_batches, self.num_batches
        )

    def videos(self, epoch):
        """The videos of an epoch that are still to come.

        Args:
            epoch: Int, counted from 0.

        Returns:
            int64 array of shape `(at most num_videos, 2)`: for each, its index
            and a number that tells which of its captions is drawn.
        """
        random = np.random.default_rng([self.seed, int(epoch)])
        groups = np.arange(self.num_videos).reshape(-1, self.group_size)
        if self.shuffle:
            groups = random.permutation(groups)
        draws = random.integers(np.iinfo(np.int64).max, size=self.num_videos)
        videos = np.stack([groups.ravel(), draws], axis=1)
        is_first = epoch == self.first_epoch
        return videos[self.first_batch * self.batch_size if is_first else 0 :]

    def whole_batches(self, epoch, rows=None):
        """As `videos`, without those of a last batch that is not full.

        Args:
            epoch: Int, counted from 0.
            rows: List of ints, which of each batch to keep. Defaults to
                `None`, all.
        """
        videos = self.videos(epoch)
        num_batches = len(videos) // self.batch_size
        batches = videos[: num_batches * self.batch_size].reshape(
            num_batches, self.batch_size, 2
        )
        return (batches if rows is None else batches[:, rows]).reshape(-1, 2)
