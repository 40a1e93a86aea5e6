"""Writes videos as records: their frames as JPEGs, with their captions.

A record is a `tf.train.SequenceExample` with the keys that DMVR, Scenic and
MediaPipe's MediaSequence use.
"""

import os

import numpy as np
from tqdm import tqdm

from keras_longvideo.data.checks import check_group_size
from keras_longvideo.data.checks import check_int
from keras_longvideo.data.checks import check_positive
from keras_longvideo.data.manifest import check_manifest
from keras_longvideo.data.manifest import load_manifest
from keras_longvideo.video import VideoError
from keras_longvideo.video.frames import read_frames
from keras_longvideo.video.packets import read_packets
from keras_longvideo.video.resize import check_frames
from keras_longvideo.video.resize import check_image_size
from keras_longvideo.video.sampling import sample_times
from keras_longvideo.video.whole_file import whole_file

IMAGE = "image/encoded"
CAPTION = "caption/string"
FRAME_RATE = "image/frame_rate"
TIMESTAMP = "image/timestamp"
START = "clip/start/timestamp"
END = "clip/end/timestamp"
FILENAME = "video/filename"

# Frames of a video that are held in memory at once, as pixels.
_FRAMES_AT_ONCE = 128
# Bytes that they may take where each part is decoded from the start.
_BYTES_AT_ONCE = 2**31
_MICROSECONDS = 1_000_000


def encode_record(frames, captions, fps=1.0, name=None, quality=95):
    """Encodes the frames of a video and its captions as one record.

    The record is a serialized `tf.train.SequenceExample` with the keys that
    DMVR and Scenic use: a feature list `image/encoded` of JPEGs, and in the
    context `caption/string`. Further ones tell when frames are on screen:
    `image/frame_rate` (frames a second), the feature list `image/timestamp`
    and, for the whole, `clip/start/timestamp` and `clip/end/timestamp` (in
    microseconds). `video/filename` is the name, if there is one.

    Args:
        frames: uint8 array of shape `(num_frames, height, width, 3)`, RGB.
        captions: String, or list of strings.
        fps: Float, frames a second of `frames`. Defaults to `1.0`.
        name: String or path, such as the video's. Defaults to `None`.
        quality: Int from 1 to 100, of the JPEGs. Defaults to `95`, what
            TensorFlow encodes with.

    Returns:
        Bytes, to be written to a TFRecord file.

    Raises:
        ValueError: If an argument is not as described.

    Example:

    ```python
    import numpy as np
    import tensorflow as tf

    from keras_longvideo.data import encode_record
    from keras_longvideo.data import record_dataset

    with tf.io.TFRecordWriter("grey.tfrecord") as writer:
        for gray in (0, 60, 120, 180):
            frames = np.full((3, 48, 64, 3), gray, "uint8")
            writer.write(encode_record(frames, f"a grey of {gray}"))

    dataset = record_dataset("grey.tfrecord", 2, 4, image_size=(32, 32))
    for batch in dataset:
        print(batch["pixel_values"].shape, batch["captions"].numpy())
    ```
    """
    check_frames(frames)
    if len(frames) == 0:
        raise ValueError("`frames` must hold at least one frame, but has none.")
    fps = check_positive("fps", fps)
    check_quality(quality)
    captions = [captions] if isinstance(captions, str) else list(captions)
    check_manifest({"videos": [name or "frames"], "captions": [captions]})
    name = None if name is None else os.fspath(name)
    return _serialize(_encode_jpegs(frames, quality), captions, fps, name)


def write_records(
    path,
    manifest,
    fps=1.0,
    image_size=256,
    quality=95,
    skipped=None,
    group_size=1,
    progress=True,
):
    """Writes the videos of a manifest to one TFRecord file.

    The file is written whole or not at all. Videos are decoded one after the
    other; `tools/build_records.py` writes many such files side by side.

    Args:
        path: Path of the file to write, by custom ending in `.tfrecord`.
        manifest: Path of a manifest, or a dictionary as `read_manifest`
            returns.
        fps: Float, frames to keep a second. Defaults to `1.0`, as in the
            LongViViT paper.
        image_size: Int, to what to scale down the shorter side of frames; or
            tuple of ints `(height, width)` that they are scaled to cover and
            cropped to; or `None` to keep their size. Defaults to `256`.
        quality: Int from 1 to 100, of the JPEGs. Defaults to `95`, what
            TensorFlow encodes with.
        skipped: List to which `(path, reason)` is appended for each video that
            cannot be read; it is then left out. Defaults to `None`: such a
            video raises, and nothing is written.
        group_size: Int, how many videos that follow one another belong
            together, so that with one all others of its group are left out.
            It must divide the number of videos, and `record_dataset` needs
            the same to keep them together. Defaults to `1`.
        progress: Bool, whether to show a progress bar. Defaults to `True`.

    Returns:
        Int, how many videos were written.

    Raises:
        FileNotFoundError: If the manifest or the folder of `path` is missing.
            If `skipped` is `None`, also if a video is that the file of a
            manifest names.
        VideoError: If a video cannot be read and `skipped` is `None`.
        ValueError: If an argument is not as described.

    Example:

    ```python
    from keras_longvideo.data import record_dataset
    from keras_longvideo.data import render_videos
    from keras_longvideo.data import write_records

    manifest = render_videos("train", "spatial", num_videos=4, progress=False)
    assert write_records("train.tfrecord", manifest, fps=8) == 4
    dataset = record_dataset(
        "train.tfrecord", batch_size=2, fps=8, image_size=(64, 64)
    )
    assert len(dataset) == 2
    ```
    """
    manifest = load_manifest(manifest, check_files=skipped is None)
    check_record_arguments(fps, image_size, quality)

    def encode(video, captions):
        return encode_video(video, captions, fps, image_size, quality)

    return write_encoded(path, manifest, encode, skipped, group_size, progress)


def write_encoded(path, manifest, encode, skipped, group_size, progress):
    """`write_records` with a function that encodes each video.

    Args:
        encode: Function of a video's path and its captions that returns bytes
            or raises a `VideoError`.
        **: See `write_records`.

    Returns:
        Int, how many videos were written.
    """
    import tensorflow as tf

    videos, captions = manifest["videos"], manifest["captions"]
    check_group_size(group_size, len(videos), "the number of videos")
    num_written = 0
    with (
        # Hidden from patterns such as "*.tfrecord*".
        whole_file(path) as unfinished,
        tf.io.TFRecordWriter(str(unfinished)) as writer,
        tqdm(
            desc="Writing",
            total=len(videos),
            unit="video",
            disable=not progress,
        ) as bar,
    ):
        for start in range(0, len(videos), group_size):
            group = slice(start, start + group_size)
            for record in _encode_group(
                videos[group], captions[group], encode, skipped, bar
            ):
                writer.write(record)
                num_written += 1
    return num_written


def _encode_group(videos, captions, encode, skipped, bar):
    """The records of videos that belong together, or none of them."""
    records, failed = [], {}
    for video, texts in zip(map(os.fspath, videos), captions, strict=True):
        try:
            records.append(encode(video, texts))
        except VideoError as error:
            if skipped is None:
                raise
            failed[video] = error.reason
        bar.update()
    if not failed:
        return records
    reason = f"its group's {next(iter(failed))} cannot be read"
    skipped.extend(
        (video, failed.get(video, reason)) for video in map(os.fspath, videos)
    )
    return []


def encode_video(path, captions, fps, image_size, quality, name=None):
    """Encodes a video file as a record; see `write_records`.

    Args:
        name: String, what the record calls it. Defaults to `None`, its path.
    """
    # Once: an hour's file is large.
    table = read_packets(path)
    height, width = table.display_size
    if isinstance(image_size, int | np.integer):
        scale = min(image_size / min(height, width), 1.0)
        image_size = (round(height * scale), round(width * scale))
    at_once = _FRAMES_AT_ONCE
    if not table.can_seek:
        height, width = image_size or table.display_size
        at_once = max(at_once, _BYTES_AT_ONCE // (height * width * 3))
    times = sample_times(fps, None, 0.0, table.duration)
    jpegs = []
    for start in range(0, len(times), at_once):
        part = times[start : start + at_once]
        jpegs += _encode_jpegs(read_frames(table, part, image_size), quality)
    return _serialize(jpegs, captions, fps, name or str(path))


def check_record_arguments(fps, image_size, quality):
    """Raises a `ValueError` unless they are as `write_records` describes."""
    check_positive("fps", fps)
    if isinstance(image_size, int | np.integer):
        check_int("image_size", image_size)
    elif image_size is not None:
        check_image_size(image_size)
    check_quality(quality)


def check_quality(quality):
    """Raises a `ValueError` unless it is an int from 1 to 100."""
    if check_int("quality", quality) > 100:
        raise ValueError(
            f"`quality` must be at most 100. Received: quality={quality}"
        )


def _encode_jpegs(frames, quality):
    import tensorflow as tf

    return [
        tf.io.encode_jpeg(frame, format="rgb", quality=quality).numpy()
        for frame in frames
    ]


def _serialize(jpegs, captions, fps, name):
    import tensorflow as tf

    example = tf.train.SequenceExample()
    context = example.context.feature
    context[CAPTION].bytes_list.value.extend(c.encode() for c in captions)
    context[FRAME_RATE].float_list.value.append(fps)
    context[START].int64_list.value.append(0)
    context[END].int64_list.value.append(
        round(len(jpegs) / fps * _MICROSECONDS)
    )
    if name is not None:
        context[FILENAME].bytes_list.value.append(os.fsencode(name))
    frames = example.feature_lists.feature_list[IMAGE].feature
    times = example.feature_lists.feature_list[TIMESTAMP].feature
    for index, jpeg in enumerate(jpegs):
        frames.add().bytes_list.value.append(jpeg)
        times.add().int64_list.value.append(round(index / fps * _MICROSECONDS))
    return example.SerializeToString()
