"""Feeds batches of video clips and captions to training, with tf.data."""

import os
import threading
import warnings
from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

from keras_longvideo.data.checks import check_clip
from keras_longvideo.data.checks import check_int
from keras_longvideo.data.clips import load_clip
from keras_longvideo.data.manifest import check_manifest
from keras_longvideo.data.manifest import read_manifest
from keras_longvideo.video import VideoError


def video_text_dataset(
    manifest,
    batch_size,
    num_frames=16,
    fps=1.0,
    image_size=(256, 256),
    shuffle=True,
    seed=0,
    drop_remainder=True,
    cache=False,
    repeat=False,
    skipped=None,
    num_parallel_calls=None,
    progress=False,
    rows=None,
):
    """Makes a `tf.data.Dataset` of batches of clips with their captions.

    Videos are decoded on many threads while the model trains on earlier
    batches; memory holds a few batches at a time, whatever the set's size.
    Each epoch comes in a new order, and draws one caption for each video
    anew, so that a batch never holds one video twice.

    Frames are sampled at `fps`, and evenly over the whole video where that
    would make more than `num_frames`. A video with fewer frames is padded at
    the end with zeros. With `num_frames=1` the batches are of images: of image
    files, and of one frame of each video.

    Args:
        manifest: Path of a manifest, or a dictionary as `read_manifest`
            returns.
        batch_size: Int, videos in a batch.
        num_frames: Int, frames in a clip. Defaults to `16`.
        fps: Float, frames to read a second, or `None` to spread `num_frames`
            evenly over each video. Defaults to `1.0`.
        image_size: Tuple of ints `(height, width)` in pixels. Defaults to
            `(256, 256)`.
        shuffle: Bool, whether to shuffle the videos anew each epoch. Defaults
            to `True`.
        seed: Int, for the order and the captions drawn. Defaults to `0`.
        drop_remainder: Bool, whether to leave out an epoch's last batch if it
            is not full. Defaults to `True`.
        cache: Bool, whether to keep the decoded clips in memory, so that only
            the first epoch decodes. Defaults to `False`.
        repeat: Bool, whether to go on for ever. Defaults to `False`.
        skipped: List to which `(path, reason)` is appended, once, for each
            video that cannot be read or does not exist; it is then left out.
            The first one also gives a warning. Defaults to `None`: such a
            video raises.
        num_parallel_calls: Int, how many videos to decode side by side.
            Defaults to `None`, one for each CPU core.
        progress: Bool, whether to show a progress bar while each video is
            decoded for the first time. Defaults to `False`.
        rows: List of ints, which clips of each batch to decode and to return,
            where several processes make parts of the same batches. All
            batches are full then. Defaults to `None`, all of them.

    Returns:
        A `tf.data.Dataset` of dictionaries with

        - `"pixel_values"`: uint8, `(batch_size, num_frames, height, width, 3)`
        - `"frame_mask"`: bool, `(batch_size, num_frames)`, `False` where a
          frame is padding
        - `"captions"`: string, `(batch_size,)`

        Its cardinality is known unless `skipped` is a list.

    Raises:
        FileNotFoundError: If the manifest is missing, or a video in it is and
            `skipped` is `None`.
        ValueError: If an argument or the manifest is not as described, or if
            there are fewer videos than `batch_size` with `drop_remainder`.
        tf.errors.OpError: While iterating, if a video cannot be read and
            `skipped` is `None`, or if too few can be read to fill a batch.
            The message tells the path and the reason.

    Example:

    ```python
    from keras_longvideo.data import render_videos
    from keras_longvideo.data import video_text_dataset

    manifest = render_videos("train", "spatial", num_videos=4, progress=False)
    dataset = video_text_dataset(
        manifest, batch_size=2, fps=8, image_size=(64, 64)
    )
    for batch in dataset:
        print(batch["pixel_values"].shape, batch["captions"].numpy())
    ```
    """
    import tensorflow as tf

    if isinstance(manifest, Mapping):
        check_manifest(manifest)
    else:
        manifest = read_manifest(manifest, check_files=skipped is None)
    num_frames, fps, image_size = check_clip(num_frames, fps, image_size)
    batch_size = check_int("batch_size", batch_size)
    if num_parallel_calls is None:
        num_parallel_calls = os.cpu_count()
    check_int("num_parallel_calls", num_parallel_calls)
    num_videos = len(manifest["videos"])
    if drop_remainder and num_videos < batch_size:
        raise ValueError(
            f"`manifest` holds {num_videos} videos, too few for one batch: "
            "lower `batch_size` or pass `drop_remainder=False`. "
            f"Received: batch_size={batch_size}"
        )
    if rows is not None:
        _check_rows(rows, batch_size, drop_remainder, skipped)
    read = _Reader(
        manifest,
        clip_arguments=(num_frames, fps, image_size),
        cache=cache,
        skipped=skipped,
        min_videos=batch_size if drop_remainder else 1,
        progress=progress,
    )

    def load(index, draw):
        pixel_values, frame_mask, caption, is_read = tf.numpy_function(
            read, [index, draw], [tf.uint8, tf.bool, tf.string, tf.bool]
        )
        clip = {
            "pixel_values": tf.ensure_shape(
                pixel_values, (num_frames, *image_size, 3)
            ),
            "frame_mask": tf.ensure_shape(frame_mask, (num_frames,)),
            "captions": tf.ensure_shape(caption, ()),
        }
        return clip, tf.ensure_shape(is_read, ())

    indices = tf.data.Dataset.range(num_videos)
    if shuffle:
        indices = indices.shuffle(num_videos, seed=seed)
    draws = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    pairs = tf.data.Dataset.zip(indices, draws)
    if rows is not None:
        pairs = pairs.batch(batch_size, drop_remainder=True).map(
            lambda index, draw: (tf.gather(index, rows), tf.gather(draw, rows))
        )
        num_batches = len(pairs)
        pairs = pairs.unbatch().apply(
            # What `unbatch` does not tell.
            tf.data.experimental.assert_cardinality(num_batches * len(rows))
        )
        batch_size = len(rows)
    clips = pairs.map(load, num_parallel_calls)
    if skipped is not None:
        clips = clips.filter(lambda clip, is_read: is_read)
    clips = clips.map(lambda clip, is_read: clip)
    batches = clips.batch(batch_size, drop_remainder)
    # After batching: no batch reaches from one epoch into the next, where it
    # could meet the same video again.
    if repeat:
        batches = batches.repeat()
    return batches.prefetch(2)


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
        self, manifest, clip_arguments, cache, skipped, min_videos, progress
    ):
        self.videos = [os.fspath(video) for video in manifest["videos"]]
        self.captions = manifest["captions"]
        self.clip_arguments = clip_arguments
        self.cache = {} if cache else None
        self.skipped = skipped
        self.min_videos = min_videos
        self.tried = set()
        self.unreadable = set()
        self.lock = threading.Lock()
        self.bar = tqdm(
            desc="Decoding",
            total=len(self.videos),
            unit="video",
            disable=not progress,
        )

    def __call__(self, index, draw):
        """Returns pixels, mask, a caption, and whether the video was read."""
        index = int(index)
        captions = self.captions[index]
        caption = captions[draw % len(captions)].encode()
        try:
            pixel_values, frame_mask = self._read(index)
        except VideoError as error:
            if self.skipped is None:
                raise
            self._skip(index, error)
            num_frames, _, image_size = self.clip_arguments
            pixel_values = np.zeros((num_frames, *image_size, 3), np.uint8)
            return pixel_values, np.zeros(num_frames, bool), caption, False
        finally:
            self._count(index)
        return pixel_values, frame_mask, caption, True

    def _read(self, index):
        if self.cache is not None and index in self.cache:
            return self.cache[index]
        clip = load_clip(self.videos[index], *self.clip_arguments)
        if self.cache is not None:
            self.cache[index] = clip
        return clip

    def _skip(self, index, error):
        with self.lock:
            if index in self.unreadable:
                return
            self.unreadable.add(index)
            self.skipped.append((self.videos[index], error.reason))
            num_skipped = len(self.unreadable)
        if num_skipped == 1:
            warnings.warn(
                f"Left out 1 of {len(self.videos)} videos so far; `skipped` "
                f"lists them all, with reasons. {error}",
                stacklevel=2,
            )
        if len(self.videos) - num_skipped < self.min_videos:
            raise ValueError(
                f"Only {len(self.videos) - num_skipped} of "
                f"{len(self.videos)} videos can be read, but a batch needs "
                f"{self.min_videos}. The last one: {error}"
            ) from error

    def _count(self, index):
        with self.lock:
            if index not in self.tried:
                self.tried.add(index)
                self.bar.update()
            if len(self.tried) == len(self.videos):
                self.bar.close()
