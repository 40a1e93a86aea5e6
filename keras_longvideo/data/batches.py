"""Batches of clips out of any source that loads one clip at a time."""

import itertools
import os
import threading
import warnings

import numpy as np
from tqdm import tqdm

from keras_longvideo.data.checks import check_int
from keras_longvideo.data.order import Order
from keras_longvideo.video import VideoError


def batch_clips(
    source,
    *,
    batch_size,
    num_frames,
    image_size,
    shuffle,
    seed,
    drop_remainder,
    repeat,
    group_size,
    skip_batches,
    cache,
    skipped,
    num_parallel_calls,
    progress,
    rows,
):
    """Makes a `tf.data.Dataset` of batches of clips with their captions.

    Args:
        source: Object with a length, `name(index)` of a clip for messages, and
            `load(index)`, which returns its `(pixel_values, frame_mask,
            captions)` or raises a `VideoError`; from many threads at once.
        cache: Bool, or function without arguments that returns the
            `DecodedClips` of `source`.
        **: See `video_text_dataset`.

    Returns:
        A `tf.data.Dataset`; see `video_text_dataset`.

    Raises:
        ValueError: If an argument is not as described.
    """
    import tensorflow as tf

    if num_parallel_calls is None:
        num_parallel_calls = os.cpu_count()
    check_int("num_parallel_calls", num_parallel_calls)
    order = Order(
        len(source),
        batch_size,
        group_size,
        shuffle,
        seed,
        drop_remainder,
        skip_batches,
    )
    if skip_batches and skipped is not None:
        raise ValueError(
            "With `skip_batches`, `skipped` must be None: how many batches "
            "there were depends on which videos could be read. Leave those "
            "that cannot out of the set. "
            f"Received: skip_batches={skip_batches}, skipped={skipped}"
        )
    if rows is not None:
        _check_rows(rows, batch_size, drop_remainder, skipped)
    clip_shape = (num_frames, *image_size, 3)
    # After all checks: it may decode the whole set.
    decoded = None if isinstance(cache, bool) else cache()
    if decoded is None:
        read = _Reader(
            source,
            clip_shape=clip_shape,
            cache=cache,
            skipped=skipped,
            group_size=group_size,
            min_videos=batch_size if drop_remainder else 1,
            progress=progress,
        )

    def load(video):
        pixel_values, frame_mask, caption, is_read = tf.numpy_function(
            read, [video], [tf.uint8, tf.bool, tf.string, tf.bool]
        )
        clip = {
            "pixel_values": tf.ensure_shape(pixel_values, clip_shape),
            "frame_mask": tf.ensure_shape(frame_mask, (num_frames,)),
            "captions": tf.ensure_shape(caption, ()),
        }
        return clip, tf.ensure_shape(is_read, ())

    def gather(videos):
        # A call a clip would take longer than a small model's step.
        pixel_values, frame_mask, captions = tf.numpy_function(
            decoded, [videos], [tf.uint8, tf.bool, tf.string]
        )
        size = videos.shape[0]
        return {
            "pixel_values": tf.ensure_shape(pixel_values, (size, *clip_shape)),
            "frame_mask": tf.ensure_shape(frame_mask, (size, num_frames)),
            "captions": tf.ensure_shape(captions, (size,)),
        }

    def videos(epoch):
        if drop_remainder and skipped is None:
            return order.whole_batches(epoch, rows)
        return order.videos(epoch)

    # No batch reaches from one epoch into the next, where it could meet the
    # same video again.
    def batches(epoch):
        drawn = tf.numpy_function(videos, [epoch], tf.int64)
        drawn = tf.data.Dataset.from_tensor_slices(
            tf.ensure_shape(drawn, (None, 2))
        )
        size = batch_size if rows is None else len(rows)
        if decoded is not None:
            return drawn.batch(size, drop_remainder).map(gather, 2)
        clips = drawn.map(load, num_parallel_calls)
        if skipped is not None:
            clips = _readable_groups(clips, group_size)
        clips = clips.map(lambda clip, is_read: clip)
        return clips.batch(size, drop_remainder)

    dataset = _epochs(order.first_epoch, repeat).flat_map(batches)
    cardinality = order.num_batches
    if repeat:
        cardinality = tf.data.INFINITE_CARDINALITY
    elif skipped is not None or order.first_batch:
        # The first pass is shorter than those that follow.
        cardinality = None
    if cardinality is not None:
        dataset = dataset.apply(
            tf.data.experimental.assert_cardinality(cardinality)
        )
    return dataset.prefetch(2)


def _epochs(first, repeat):
    """The numbers of the epochs of one pass over the data."""
    import tensorflow as tf

    if repeat:
        return tf.data.Dataset.counter(first)
    # Each pass is the next epoch.
    passes = itertools.count(first)
    return tf.data.Dataset.from_tensors(0).map(
        lambda _: tf.numpy_function(
            lambda: np.int64(next(passes)), [], tf.int64
        )
    )


def _readable_groups(clips, group_size):
    """Leaves out a group of which one clip was not read."""
    import tensorflow as tf

    if group_size == 1:
        return clips.filter(lambda clip, is_read: is_read)
    groups = clips.batch(group_size, drop_remainder=True)
    return groups.filter(lambda clip, is_read: tf.reduce_all(is_read)).unbatch()


def _check_rows(rows, batch_size, drop_remainder, skipped):
    if not rows or not set(rows) <= set(range(batch_size)):
        raise ValueError(
            f"`rows` must be ints from 0 to {batch_size - 1}, at least one. "
            f"Received: rows={rows}"
        )
    if not drop_remainder or skipped is not None:
        raise ValueError(
            "With `rows`, all batches must be full: `drop_remainder` must be "
            "True and `skipped` None. Received: "
            f"drop_remainder={drop_remainder}, skipped={skipped}"
        )


class _Reader:
    """Reads clips on many threads; knows what was cached or left out."""

    def __init__(
        self,
        source,
        clip_shape,
        cache,
        skipped,
        group_size,
        min_videos,
        progress,
    ):
        self.source = source
        self.clip_shape = clip_shape
        self.cache = {} if cache else None
        self.skipped = skipped
        self.group_size = group_size
        self.min_videos = min_videos
        self.tried = set()
        self.unreadable = set()
        self.lock = threading.Lock()
        self.bar = tqdm(
            desc="Decoding",
            total=len(source),
            unit="video",
            disable=not progress,
        )

    def __call__(self, video):
        """Returns pixels, mask, a caption, and whether the video was read."""
        index, draw = (int(number) for number in video)
        try:
            pixel_values, frame_mask, captions = self._read(index)
        except VideoError as error:
            if self.skipped is None:
                raise
            self._skip(index, error)
            pixel_values = np.zeros(self.clip_shape, np.uint8)
            return pixel_values, np.zeros(len(pixel_values), bool), b"", False
        finally:
            self._count(index)
        caption = captions[draw % len(captions)].encode()
        return pixel_values, frame_mask, caption, True

    def _read(self, index):
        if self.cache is not None and index in self.cache:
            return self.cache[index]
        clip = self.source.load(index)
        if self.cache is not None:
            self.cache[index] = clip
        return clip

    def _skip(self, index, error):
        num_videos = len(self.source)
        with self.lock:
            if index in self.unreadable:
                return
            self.unreadable.add(index)
            self.skipped.append((self.source.name(index), error.reason))
            num_skipped = len(self.unreadable)
            groups = {video // self.group_size for video in self.unreadable}
        if num_skipped == 1:
            warnings.warn(
                f"Left out 1 of {num_videos} videos so far; `skipped` "
                f"lists them all, with reasons. {error}",
                stacklevel=2,
            )
        num_kept = num_videos - len(groups) * self.group_size
        if num_kept < self.min_videos:
            of_groups = (
                "" if self.group_size == 1 else " with all of their group"
            )
            raise ValueError(
                f"Only {num_kept} of {num_videos} videos can be "
                f"read{of_groups}, but a batch needs {self.min_videos}. "
                f"The last one: {error}"
            ) from error

    def _count(self, index):
        with self.lock:
            if index not in self.tried:
                self.tried.add(index)
                self.bar.update()
            if len(self.tried) == len(self.source):
                self.bar.close()
