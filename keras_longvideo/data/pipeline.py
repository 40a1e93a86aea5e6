"""Feeds batches of video clips and captions to training, with tf.data."""

import functools
import os

from keras_longvideo.data.batches import batch_clips
from keras_longvideo.data.checks import check_clip
from keras_longvideo.data.clips import load_clip
from keras_longvideo.data.decoded import DecodedClips
from keras_longvideo.data.manifest import load_manifest


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
    group_size=1,
    skip_batches=0,
):
    """Makes a `tf.data.Dataset` of batches of clips with their captions.

    Videos are decoded on many threads while the model trains on earlier
    batches; memory holds a few batches at a time, whatever the set's size.
    Each epoch comes in a new order, and draws one caption for each video
    anew, so that a batch never holds one video twice.

    The order is a function of `seed` and of the epoch alone. Without `repeat`
    each pass over the dataset is the next epoch, as in `fit` without
    `steps_per_epoch`. With `repeat` one pass goes through all epochs, and a
    second pass begins again with the first.

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
        seed: Int of at least 0, for the order and the captions drawn. Defaults
            to `0`.
        drop_remainder: Bool, whether to leave out an epoch's last batch if it
            is not full. Defaults to `True`.
        cache: Bool, whether to keep the decoded clips in memory, so that only
            the first epoch decodes. Or the path of a folder to keep them in,
            as arrays that all processes which read the same set share: the
            first one decodes it, before this function returns, and fills as
            much disk as there are pixels. A set whose files have changed is
            decoded anew, beside the old clips, which may be deleted. `skipped`
            must be `None` then. Defaults to `False`.
        repeat: Bool, whether to go on for ever. Defaults to `False`.
        skipped: List to which `(path, reason)` is appended, once, for each
            video that cannot be read or does not exist; it is then left out.
            The first one also gives a warning. Defaults to `None`: such a
            video raises.
        num_parallel_calls: Int, how many videos to decode side by side, each
            of which holds a clip in memory. Defaults to `None`, one for each
            CPU core.
        progress: Bool, whether to show a progress bar while each video is
            decoded for the first time. Defaults to `False`.
        rows: List of ints, which clips of each batch to decode and to return,
            where several processes make parts of the same batches; see
            `keras_longvideo.models.own_rows`. All batches are full then.
            Defaults to `None`, all of them.
        group_size: Int, how many videos that follow one another in the
            manifest stay together in a batch: hard negatives of one another,
            such as a video and its reversed twin. It must divide `batch_size`
            and the number of videos. `shuffle` shuffles groups; a group of
            which a video is `skipped` is left out whole. Defaults to `1`.
        skip_batches: Int, how many batches to leave out at the start without
            reading them, over as many epochs as they fill, so that a run that
            was interrupted goes on with the batches that it would have had.
            `skipped` must be `None` then; and for `fit`, `repeat` be `True`:
            on JAX it begins a pass only to look at a batch. Defaults to `0`.

    Returns:
        A `tf.data.Dataset` of dictionaries with

        - `"pixel_values"`: uint8, `(batch_size, num_frames, height, width, 3)`
        - `"frame_mask"`: bool, `(batch_size, num_frames)`, `False` where a
          frame is padding
        - `"captions"`: string, `(batch_size,)`

        Its cardinality is known unless `skipped` is a list or the first pass
        is cut short by `skip_batches`.

    Raises:
        FileNotFoundError: If the manifest is missing. If `skipped` is `None`,
            also if a video is, where `manifest` or `cache` is a path.
        VideoError: If a video cannot be read and `cache` is a path.
        ValueError: If an argument or the manifest is not as described, or if
            there are fewer videos than `batch_size` with `drop_remainder`.
        OSError: If the disk has no room for the folder of `cache`.
        tf.errors.OpError: While iterating, if a video cannot be read,
            `skipped` is `None` and `cache` is no path, or if too few can be
            read to fill a batch. The message tells the path and the reason.

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
    manifest = load_manifest(manifest, check_files=skipped is None)
    num_frames, fps, image_size = check_clip(num_frames, fps, image_size)
    source = _ManifestClips(manifest, num_frames, fps, image_size)
    if not isinstance(cache, bool | str | os.PathLike):
        raise ValueError(
            "`cache` must be a bool or the path of a folder. "
            f"Received: cache={cache!r}"
        )
    if not isinstance(cache, bool):
        if skipped is not None:
            raise ValueError(
                "With the path of a `cache`, `skipped` must be None: it holds "
                "all videos of the set. Leave those that cannot be read out "
                f"of it. Received: skipped={skipped}"
            )
        cache = functools.partial(
            DecodedClips,
            source,
            cache,
            (num_frames, *image_size, 3),
            fps,
            num_parallel_calls,
            progress,
        )
    return batch_clips(
        source,
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


class _ManifestClips:
    """The clips of a manifest's videos."""

    def __init__(self, manifest, *clip_arguments):
        self.videos = [os.fspath(video) for video in manifest["videos"]]
        self.captions = manifest["captions"]
        self.clip_arguments = clip_arguments

    def __len__(self):
        return len(self.videos)

    def name(self, index):
        return self.videos[index]

    def load(self, index):
        clip = load_clip(self.videos[index], *self.clip_arguments)
        return *clip, self.captions[index]
