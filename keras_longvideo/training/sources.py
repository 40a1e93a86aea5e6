"""The batches of a stage, and its held-out sets."""

import functools
import glob
import hashlib
import json
import os
import pathlib
import tempfile

import numpy as np

from keras_longvideo.data import mix_datasets
from keras_longvideo.data import read_manifest
from keras_longvideo.data import record_dataset
from keras_longvideo.data import video_text_dataset
from keras_longvideo.data.record_reading import find_record_files
from keras_longvideo.training.stage import is_manifest


def training_batches(stage, image_size, skip_batches):
    """The batches of a stage, from one of them on.

    Args:
        stage: `Stage`.
        image_size: tuple of ints `(height, width)`.
        skip_batches: int. Batches that were trained on already.

    Returns:
        A `tf.data.Dataset` without end.
    """
    datasets = [
        functools.partial(
            video_text_dataset if source.is_manifest else record_dataset,
            source.path,
            source.batch_size,
            num_frames=source.num_frames,
            fps=source.fps,
            image_size=image_size,
            # Sources of one file would otherwise be dealt in step.
            seed=stage.seed + i,
            cache=source.cache,
            repeat=True,
            group_size=source.group_size,
        )
        for i, source in enumerate(stage.train)
    ]
    if len(datasets) == 1:
        return datasets[0](skip_batches=skip_batches)
    ratios = [source.ratio for source in stage.train]
    return mix_datasets(
        datasets, ratios, seed=stage.seed, skip_batches=skip_batches
    )


def training_captions(stage):
    """All captions of a stage's manifests, and one a video of its shards.

    Args:
        stage: `Stage`.

    Yields:
        Strings.
    """
    for path in dict.fromkeys(source.path for source in stage.train):
        if is_manifest(path):
            for captions in read_manifest(path, check_files=False)["captions"]:
                yield from captions
            continue
        # One a video: frames are read as small as can be.
        for batch in _in_order(path, 1, None, (16, 16), batch_size=32):
            for caption in batch["captions"].numpy():
                yield caption.decode()


def held_out_clips(path, converter, folder):
    """A held-out set, decoded once and kept on disk.

    Args:
        path: string. Manifest or shards.
        converter: `keras_longvideo.models.VideoConverter`.
        folder: path of a folder with room for all pixels. They take up room
            as long as they are in use, and lie in a file without a name, of
            which a killed process leaves nothing.

    Returns:
        A dict of `videos`, a list of uint8 arrays of the frames that there
        are, and `captions`, the first of each video; of a record with several,
        one that is drawn.
    """
    batches = _in_order(
        path,
        converter.num_frames,
        converter.fps,
        converter.image_size,
        batch_size=1,
    )
    counts, captions = [], []
    with tempfile.TemporaryFile(dir=folder) as file:
        for batch in batches.as_numpy_iterator():
            frames = batch["pixel_values"][batch["frame_mask"]]
            # On a full disk it raises, where a map would end the process.
            file.write(frames.data)
            counts.append(len(frames))
            captions.append(batch["captions"][0].decode())
        file.flush()
        frames = np.memmap(file, mode="r")
    frames = frames.reshape(-1, *converter.image_size, 3)
    videos = np.split(np.asarray(frames), np.cumsum(counts)[:-1])
    return {"videos": videos, "captions": captions}


def check_paths(stage):
    """Tells of files that are missing before anything is made.

    Args:
        stage: `Stage`.

    Raises:
        FileNotFoundError: if a manifest or all shards of a set are missing.
    """
    for path in _paths(stage):
        # A file's own name may look like a pattern.
        if not os.path.exists(path) and not glob.glob(os.fspath(path)):
            raise FileNotFoundError(
                f"A set of the stage names no file. Received: {path}"
            )


def fingerprints(stage):
    """What tells the sets of a stage from others under the same names.

    Args:
        stage: `Stage`.

    Returns:
        A dict of a string for each path: another one when a manifest's text
        or the names and sizes of shards have changed.
    """
    prints = {}
    for path in _paths(stage):
        if is_manifest(path):
            content = pathlib.Path(path).read_bytes()
        else:
            files = find_record_files(path)
            sizes = [[file, os.path.getsize(file)] for file in files]
            content = json.dumps(sizes).encode()
        prints[os.fspath(path)] = hashlib.sha256(content).hexdigest()
    return prints


def _paths(stage):
    paths = [source.path for source in stage.train]
    return list(dict.fromkeys([*paths, *stage.held_out.values()]))


def _in_order(path, num_frames, fps, image_size, batch_size):
    if is_manifest(path):
        make = video_text_dataset
        path = read_manifest(path)
        path["captions"] = [several[:1] for several in path["captions"]]
    else:
        make = record_dataset
    return make(
        path,
        batch_size,
        num_frames=num_frames,
        fps=fps,
        image_size=image_size,
        shuffle=False,
        drop_remainder=False,
    )
