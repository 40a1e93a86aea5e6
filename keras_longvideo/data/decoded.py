"""Clips that are decoded once, into files that all processes share."""

import errno
import hashlib
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np

from keras_longvideo.data.clips import run_threads
from keras_longvideo.data.locks import locked

# Counts the changes in which frames are chosen and how they are decoded: files
# that were written before such a change hold other pixels.
_VERSION = 2


class DecodedClips:
    """All clips of a manifest, in arrays that are mapped into memory.

    The first to ask for them decodes them all, which needs room on disk for
    all pixels. Whoever comes later, in this process or another, reads the
    files; what several processes read lies in memory once.

    Args:
        source: As `batch_clips` takes it, with the paths of its `videos` and
            the `captions` of each.
        folder: Path of a folder. Clips of other videos, or of the same videos
            cut in another way, lie side by side in it.
        clip_shape: Tuple of ints `(num_frames, height, width, 3)`.
        fps: Number or `None`, at which frames were sampled.
        num_threads: Int, how many videos to decode side by side, or `None`.
        progress: Bool, whether to show a progress bar.

    Raises:
        OSError: If the disk has no room for them.
        VideoError: If a video cannot be read.
    """

    def __init__(self, source, folder, clip_shape, fps, num_threads, progress):
        key = _key(source.videos, clip_shape, fps)
        path = Path(folder) / key
        if not path.exists():
            _decode(source, path, clip_shape, num_threads, progress)
        self.pixel_values = np.load(path / "pixel_values.npy", mmap_mode="r")
        self.frame_mask = np.load(path / "frame_mask.npy")
        self.captions = source.captions

    def __call__(self, videos):
        """Returns pixels, masks and captions of some videos.

        Args:
            videos: int64 array `(n, 2)`, as `Order.videos` returns it.
        """
        index, draws = videos.T
        captions = [
            self.captions[i][draw % len(self.captions[i])].encode()
            for i, draw in zip(index.tolist(), draws.tolist(), strict=True)
        ]
        return (
            self.pixel_values[index],
            self.frame_mask[index],
            np.array(captions, object),
        )


def _key(videos, clip_shape, fps):
    """A name that is another one where the clips would be others."""
    # A video that was written anew is another one.
    times = [os.stat(video).st_mtime_ns for video in videos]
    text = json.dumps([_VERSION, videos, times, clip_shape, fps])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _decode(source, path, clip_shape, num_threads, progress):
    """Writes all clips into a folder that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of processes that start together, one decodes.
    with locked(path.with_suffix(".lock"), wait=True):
        if not path.exists():
            _write_clips(source, path, clip_shape, num_threads, progress)


def _write_clips(source, path, clip_shape, num_threads, progress):
    aside = path.with_suffix(".partial")
    # What a killed process left, which may fill the disk.
    shutil.rmtree(aside, ignore_errors=True)
    num_bytes = len(source) * math.prod(clip_shape)
    free = shutil.disk_usage(path.parent).free
    if num_bytes > free:
        # A file that is mapped into memory would end the process instead.
        raise OSError(
            errno.ENOSPC,
            f"The folder of `cache` has {free / 1e9:.1f} GB left, and the "
            f"clips need {num_bytes / 1e9:.1f} GB",
            str(path.parent),
        )
    aside.mkdir()
    try:
        num_videos = len(source)
        pixel_values = np.lib.format.open_memmap(
            aside / "pixel_values.npy",
            "w+",
            np.uint8,
            (num_videos, *clip_shape),
        )
        frame_mask = np.empty((num_videos, clip_shape[0]), bool)

        def load(index):
            pixel_values[index], frame_mask[index], _ = source.load(index)

        run_threads(load, range(num_videos), progress, "video", num_threads)
        pixel_values.flush()
        np.save(aside / "frame_mask.npy", frame_mask)
        os.rename(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
