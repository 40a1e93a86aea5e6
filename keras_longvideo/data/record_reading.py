"""Feeds batches of clips and captions to training, out of TFRecord files."""

import glob
import math
import os
import re
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_longvideo.data.batches import batch_clips
from keras_longvideo.data.checks import check_clip
from keras_longvideo.data.checks import check_group_size
from keras_longvideo.data.checks import check_int
from keras_longvideo.data.clips import pad_clip
from keras_longvideo.data.records import CAPTION
from keras_longvideo.data.records import FRAME_RATE
from keras_longvideo.data.records import IMAGE
from keras_longvideo.data.tfrecords import find_records
from keras_longvideo.data.tfrecords import read_record
from keras_longvideo.video import VideoError
from keras_longvideo.video.resize import Resizer
from keras_longvideo.video.sampling import sample_times

# A file's name that tells how many there are.
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(.*)")
# Part of a rate that may be lost where it is kept, as a float32.
_ROUNDING = 2.0**-23


def record_dataset(
    pattern,
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
    group_size=1,
    skip_batches=0,
):
    """Makes a `tf.data.Dataset` of batches of clips out of TFRecord files.

    The batches are those of `video_text_dataset`, and so are the options, as
    long as the records hold the frames that are asked for: of those that they
    lack, the ones before are repeated, so write them at an `fps` as high as
    any that is read.

    The records are `tf.train.SequenceExample`s as `write_records` and
    `tools/build_records.py` write them, or as others have made them for DMVR
    and Scenic: of their keys, the feature list `image/encoded` (JPEG or PNG)
    and `caption/string` are read, and `image/frame_rate` if it is there: else
    there is one frame a second. A `tf.train.Example` with the same keys is a
    video of one frame.

    Where each record lies is found when the dataset is made. So any may come
    next: an epoch is shuffled as a whole, over all files, and reads from many
    of them at once. Only the frames that are sampled are decoded. They are
    scaled to cover `image_size` and cropped at the centre, as those of videos
    are, unless they have that size.

    To read data of several sets by ratio, see `mix_datasets`. Where several
    processes train one model, give each the same arguments but `rows`: it
    then reads its part of each batch. See `keras_longvideo.models.own_rows`.

    Args:
        pattern: Path of a TFRecord file, or a pattern such as
            `"train/*.tfrecord*"`, or a folder, for `*.tfrecord*` in it, all of
            them if their names tell how many there are; or a list of these.
            The files lie on a disk, or on what is mounted as one, and are not
            compressed.
        batch_size: Int, videos in a batch.
        num_frames: Int, frames in a clip. Defaults to `16`.
        fps: Float, frames to take a second, or `None` to spread `num_frames`
            evenly over each video. Defaults to `1.0`.
        image_size: Tuple of ints `(height, width)` in pixels. Defaults to
            `(256, 256)`.
        shuffle: Bool, whether to shuffle the videos anew each epoch. Defaults
            to `True`.
        seed: Int of at least 0, for the order and the captions drawn. Defaults
            to `0`.
        drop_remainder: Bool, whether to leave out an epoch's last batch if it
            is not full. Defaults to `True`.
        cache: Bool, whether to keep the decoded clips in memory, so that only
            the first epoch decodes. Defaults to `False`.
        repeat: Bool, whether to go on for ever. Defaults to `False`.
        skipped: List to which `(path, reason)` is appended, once, for each
            file that is damaged, whose records up to there are read, and for
            each record that cannot be decoded, which is left out. Damaged
            files also give one warning together, and the first such record
            one of its own. Defaults to `None`: each raises.
        num_parallel_calls: Int, how many records to decode side by side, each
            of which holds a clip in memory. Defaults to `None`, one for each
            CPU core.
        progress: Bool, whether to show a progress bar while each record is
            decoded for the first time. Defaults to `False`.
        rows: List of ints, which clips of each batch to decode and to return,
            where several processes make parts of the same batches; see
            `keras_longvideo.models.own_rows`. All batches are full then.
            Defaults to `None`, all of them.
        group_size: Int, how many videos that follow one another in a file stay
            together in a batch: hard negatives of one another. It must divide
            `batch_size` and the number of records of each file, which have to
            be written with the same `group_size`. `shuffle` shuffles groups.
            Defaults to `1`.
        skip_batches: Int, how many batches to leave out at the start without
            reading them, over as many epochs as they fill, so that a run that
            was interrupted goes on with the batches that it would have had.
            `skipped` must be `None` then; and for `fit`, `repeat` be `True`:
            on JAX it begins a pass only to look at a batch. Defaults to `0`.

    Returns:
        A `tf.data.Dataset` of dictionaries; see `video_text_dataset`.

    Raises:
        FileNotFoundError: If no file matches, or files of a folder such as
            `a-00003-of-00010.tfrecord` are missing.
        VideoError: If a file is damaged and `skipped` is `None`.
        ValueError: If an argument is not as described, or if there are fewer
            records than `batch_size` with `drop_remainder`.
        tf.errors.OpError: While iterating, if a record cannot be decoded and
            `skipped` is `None`, or if too few can be to fill a batch. The
            message tells the file, the record and the reason.

    Example:

    ```python
    from keras_longvideo.data import record_dataset
    from keras_longvideo.data import render_videos
    from keras_longvideo.data import write_records

    manifest = render_videos("train", "temporal", num_videos=4, progress=False)
    write_records("train.tfrecord", manifest, fps=8)
    dataset = record_dataset(
        "*.tfrecord", batch_size=2, fps=8, image_size=(64, 64), repeat=True
    )
    # As if a run had been interrupted after 3 steps.
    rest = record_dataset(
        "*.tfrecord",
        batch_size=2,
        fps=8,
        image_size=(64, 64),
        repeat=True,
        skip_batches=3,
    )
    for batch, expected in zip(rest.take(2), dataset.skip(3)):
        assert (batch["captions"] == expected["captions"]).numpy().all()
    ```
    """
    num_frames, fps, image_size = check_clip(num_frames, fps, image_size)
    check_int("group_size", group_size)
    if not isinstance(cache, bool):
        raise ValueError(
            "`cache` must be a bool: only the clips of a manifest are kept in "
            f"a folder. Received: cache={cache!r}"
        )
    return batch_clips(
        _RecordClips(
            _find_different_files(pattern),
            group_size,
            skipped,
            clip_arguments=(num_frames, fps, image_size),
        ),
        batch_size=batch_size,
        num_frames=num_frames,
        image_size=image_size,
        shuffle=shuffle,
        seed=seed,
        drop_remainder=drop_remainder,
        repeat=repeat,
        group_size=group_size,
        skip_batches=skip_batches,
        cache=cache,
        skipped=skipped,
        num_parallel_calls=num_parallel_calls,
        progress=progress,
        rows=rows,
    )


def _find_different_files(pattern):
    paths = find_record_files(pattern)
    counts = Counter(map(os.path.realpath, paths))
    twice = [path for path, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f"`pattern` must name each file once. Received twice: {twice}"
        )
    return paths


def find_record_files(pattern):
    """The files that a pattern, a folder or a list of these names, in order."""
    if isinstance(pattern, list | tuple):
        return [path for part in pattern for path in find_record_files(part)]
    pattern = os.fspath(pattern)
    if os.path.isdir(pattern):
        inside = os.path.join(glob.escape(pattern), "*.tfrecord*")
        files = find_record_files(inside)
        _check_complete(pattern, files)
        return files
    # A file's own name may look like a pattern.
    found = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern))
    if not found:
        raise FileNotFoundError(
            f"`pattern` matches no file. Received: {pattern}"
        )
    return found


def _check_complete(folder, files):
    """Raises where the names of a folder's files tell that some are missing."""
    found = {}
    for file in files:
        if match := _SHARD.fullmatch(os.path.basename(file)):
            name, shard, count, suffix = match.groups()
            found.setdefault((name, int(count), suffix), set()).add(int(shard))
    for (name, count, suffix), shards in found.items():
        if len(shards) < count:
            raise FileNotFoundError(
                f"`pattern` is a folder with {len(shards)} of the {count} "
                f"files {name}-*-of-{count:05d}{suffix}. Wait until all are "
                "written, or name those to read by a pattern. "
                f"Received: {folder}"
            )


class _RecordClips:
    """The clips of all records of some files."""

    def __init__(self, paths, group_size, skipped, clip_arguments):
        self.paths = paths
        self.clip_arguments = clip_arguments
        self.spans = []
        damaged = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(find_records, paths))
        for path, (spans, reason) in zip(paths, found, strict=True):
            if reason is not None:
                error = VideoError(path, reason)
                if skipped is None:
                    raise error
                skipped.append((path, reason))
                damaged.append(error)
                # Of the last group some may be lost.
                spans = spans[: len(spans) - len(spans) % group_size]
            check_group_size(
                group_size, len(spans), f"the number of records of {path}"
            )
            self.spans.append(spans)
        if damaged:
            warnings.warn(
                f"{len(damaged)} of {len(paths)} files are damaged, and read "
                "up to the damage; `skipped` lists them all, with reasons. "
                f"{damaged[0]}",
                stacklevel=3,
            )
        # The first record of each file, counted over all.
        counts = [len(spans) for spans in self.spans]
        self.firsts = np.cumsum([0, *counts])
        if not sum(counts):
            raise ValueError(
                f"`pattern` must match files with records. Received: {paths}"
            )

    def __len__(self):
        return int(self.firsts[-1])

    def name(self, index):
        file, record = self._find(index)
        return f"{self.paths[file]}, record {record}"

    def load(self, index):
        file, record = self._find(index)
        data = read_record(self.paths[file], *self.spans[file][record])
        try:
            return _decode(data, *self.clip_arguments)
        except _Undecodable as error:
            raise VideoError(self.name(index), str(error)) from error

    def _find(self, index):
        file = int(np.searchsorted(self.firsts, index, "right")) - 1
        return file, int(index - self.firsts[file])


class _Undecodable(Exception):
    """What is wrong with a record."""


def _decode(data, num_frames, fps, image_size):
    """Makes a clip out of a record's bytes; returns it with its captions."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        # A `tf.train.Example` reads as one that has a context alone.
        example = tf.train.SequenceExample.FromString(data)
    except DecodeError as error:
        raise _Undecodable("no `tf.train.SequenceExample`") from error
    captions = _values(example, CAPTION)
    jpegs = _values(example, IMAGE)
    for key, values in ((CAPTION, captions), (IMAGE, jpegs)):
        if not values:
            raise _Undecodable(f"nothing under {key!r}")
    rates = example.context.feature[FRAME_RATE].float_list.value
    rate = rates[0] if rates else 1.0
    if not 0 < rate < math.inf:
        raise _Undecodable(f"{FRAME_RATE!r} is {rate:g}")
    # With less than the true rate, the time of a frame would fall before it.
    rate *= 1 + _ROUNDING
    times = sample_times(fps, num_frames, 0.0, len(jpegs) / rate)
    chosen = np.floor(times * rate).astype(int)
    chosen = np.minimum(chosen, len(jpegs) - 1)
    resize = Resizer(image_size)
    frames = np.empty((len(chosen), *image_size, 3), np.uint8)
    for row, index in enumerate(chosen):
        if row and index == chosen[row - 1]:
            frames[row] = frames[row - 1]
            continue
        try:
            frame = tf.io.decode_jpeg(
                jpegs[index], channels=3, dct_method="INTEGER_ACCURATE"
            )
        except tf.errors.InvalidArgumentError as error:
            raise _Undecodable(f"frame {index} is no whole JPEG") from error
        frames[row] = resize(frame.numpy())
    try:
        captions = [caption.decode() for caption in captions]
    except UnicodeDecodeError as error:
        raise _Undecodable(f"{CAPTION!r} is not UTF-8") from error
    return *pad_clip(frames, num_frames), captions


def _values(example, key):
    """The strings under a key, be it a feature list or in the context."""
    lists = example.feature_lists.feature_list
    features = (
        lists[key].feature if key in lists else [example.context.feature[key]]
    )
    return [v for feature in features for v in feature.bytes_list.value]
