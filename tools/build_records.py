"""Builds TFRecord files of frames and captions from videos, with Apache Beam.

    pip install "keras-longvideo[records]"
    python tools/build_records.py --manifest=train.jsonl --output=train

reads a manifest of videos and captions (see `data.read_manifest`), takes a
frame a second, and writes `records-00000-of-00010.tfrecord` and so on, for
`data.record_dataset("train", ...)`. Videos stand in them in the order
of the manifest.

What is behind `--` goes to Beam. Its own direct runner works in this process,
unless told otherwise; here, with a process for each core:

    python tools/build_records.py --manifest=train.jsonl --output=train \
        -- --direct_running_mode=multi_processing --direct_num_workers=0

and on many machines, which all need this package, and to reach the videos:

    python tools/build_records.py --manifest=train.jsonl \
        --output=gs://bucket/train -- --runner=DataflowRunner \
        --project=my-project --region=us-central1 \
        --temp_location=gs://bucket/temp --sdk_container_image=my-image

`--runner=FlinkRunner` and `--runner=SparkRunner` work likewise. The output,
and videos that a manifest names as `gs://...`, lie wherever Beam can read and
write (Google's cloud: `pip install "apache-beam[gcp]"`).

A run that was interrupted goes on where it was, if it is started again with
the same flags: a file that is there is whole, and is not written again.
`report.json` beside the files tells how many videos each holds, and which
videos failed and why. To try those again, delete the files that it names for
them and start again. The folder `work` is what is needed to go on; it may be
deleted when all is done.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import tempfile

import apache_beam as beam
from absl import app
from absl import flags
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from keras_longvideo.data import read_manifest
from keras_longvideo.data.records import check_record_arguments
from keras_longvideo.data.records import encode_video
from keras_longvideo.data.records import write_encoded
from keras_longvideo.video import VideoError

_MANIFEST = flags.DEFINE_string("manifest", None, "Manifest of the videos.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")
_FPS = flags.DEFINE_float("fps", 1.0, "Frames to keep a second.")
_IMAGE_SIZE = flags.DEFINE_list(
    "image_size",
    "256",
    "What to scale down the shorter side of frames to; or height,width that "
    "they are scaled to cover and cropped to; or nothing, to keep their size.",
)
_QUALITY = flags.DEFINE_integer("quality", 95, "Of the JPEGs, from 1 to 100.")
_NUM_SHARDS = flags.DEFINE_integer(
    "num_shards",
    None,
    "Files to write. By default as many as there are videos in each, about.",
)
_GROUP_SIZE = flags.DEFINE_integer(
    "group_size",
    1,
    "Videos that follow one another and belong together: they come into the "
    "same file, and where one fails all are left out.",
)


def shard_name(shard, num_shards):
    """The file name of a shard."""
    return f"records-{shard:05d}-of-{num_shards:05d}.tfrecord"


def split(num_videos, num_shards, group_size):
    """Which videos each shard holds: ranges of about the same length."""
    if num_videos % group_size:
        raise ValueError(
            "`--group_size` must divide the number of videos. Received: "
            f"--group_size={group_size} and {num_videos} videos"
        )
    num_groups = num_videos // group_size
    if num_shards is None:
        num_shards = math.isqrt(num_groups)
    if not 0 < num_shards <= num_groups:
        raise ValueError(
            "`--num_shards` must be from 1 to the number of videos, or of "
            f"groups of them. Received: --num_shards={num_shards} and "
            f"{num_groups} of these"
        )
    bounds = [
        shard * num_groups // num_shards * group_size
        for shard in range(num_shards + 1)
    ]
    return [range(*pair) for pair in zip(bounds, bounds[1:], strict=False)]


class WriteShard(beam.DoFn):
    """Writes the shards that it is given the numbers of.

    Args:
        output: string. Where to.
        settings: dict, as of `settings.json`.
    """

    def __init__(self, output, settings):
        self.output = output
        self.settings = settings

    def process(self, shard):
        name = shard_name(shard, self.settings["num_shards"])
        rows = _read_json(_rows_path(self.output, shard))
        failed = []
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, name)
            num_records = write_encoded(
                local,
                rows,
                self._encode,
                failed,
                self.settings["group_size"],
                progress=False,
            )
            report = {
                "shard": name,
                "num_records": num_records,
                "num_bytes": os.path.getsize(local),
                "failed": [
                    {"video": video, "reason": reason, "shard": name}
                    for video, reason in failed
                ],
            }
            # Before the shard, which says that all is done.
            _write_json(_report_path(self.output, shard), report)
            _write(
                FileSystems.join(self.output, name),
                lambda file: _copy_from(local, file),
            )
        yield shard

    def _encode(self, video, captions):
        fps, image_size, quality = (
            self.settings[key] for key in ("fps", "image_size", "quality")
        )
        try:
            with _local_copy(video) as path:
                return encode_video(
                    path, captions, fps, image_size, quality, name=video
                )
        except VideoError as error:
            # It may have met the local copy.
            raise VideoError(video, error.reason) from error
        except Exception as error:
            # One video that nobody thought of must not end a run of days.
            reason = f"{type(error).__name__}: {error}"
            raise VideoError(video, reason) from error


def build(manifest, output, settings, num_shards=None, beam_flags=()):
    """Writes all shards that are not there yet.

    Args:
        manifest: dict, as `read_manifest` returns.
        output: string. Folder to write to.
        settings: dict of `fps`, `image_size`, `quality` and `group_size`.
        num_shards: int. Defaults to `None`, as many as there are videos in
            each, about.
        beam_flags: list of strings, for Beam. Defaults to none.

    Returns:
        dict, what is written to `report.json`.
    """
    check_record_arguments(
        settings["fps"], settings["image_size"], settings["quality"]
    )
    parts = split(len(manifest["videos"]), num_shards, settings["group_size"])
    num_shards = len(parts)
    shards = [shard_name(shard, num_shards) for shard in range(num_shards)]
    settings = {
        **settings,
        "num_shards": num_shards,
        "manifest_sha256": hashlib.sha256(
            json.dumps(manifest).encode()
        ).hexdigest(),
    }
    _check_settings(output, settings)
    missing = [
        shard
        for shard, name in enumerate(shards)
        if not FileSystems.exists(FileSystems.join(output, name))
    ]
    for shard in missing:
        rows = {
            key: [values[index] for index in parts[shard]]
            for key, values in manifest.items()
        }
        _write_json(_rows_path(output, shard), rows)
    if missing:
        print(f"Writing {len(missing)} of {num_shards} shards to {output}")
        with beam.Pipeline(options=PipelineOptions(list(beam_flags))) as steps:
            _ = (
                steps
                | beam.Create(missing)
                # Else all might come to one worker.
                | beam.Reshuffle()
                | beam.ParDo(WriteShard(output, settings))
            )
    reports = [
        _read_json(_report_path(output, shard)) for shard in range(num_shards)
    ]
    report = {
        "settings": settings,
        "num_videos": len(manifest["videos"]),
        "num_records": sum(part["num_records"] for part in reports),
        "failed": [row for part in reports for row in part.pop("failed")],
        "shards": reports,
    }
    _write_json(FileSystems.join(output, "report.json"), report)
    return report


def _check_settings(output, settings):
    """Keeps the settings; refuses others than those of an earlier run."""
    path = FileSystems.join(output, "settings.json")
    if not FileSystems.exists(path):
        _write_json(path, settings)
        return
    earlier = _read_json(path)
    # As JSON gives them back.
    settings = json.loads(json.dumps(settings))
    changed = [key for key in settings if settings[key] != earlier.get(key)]
    if changed:
        raise ValueError(
            "`--output` holds what was begun with other flags or another "
            "manifest; use another folder, or delete it. Received: "
            + ", ".join(
                f"{key}={settings[key]} (there: {earlier.get(key)})"
                for key in changed
            )
        )


@contextlib.contextmanager
def _local_copy(video):
    """The path of a video on this machine's disk."""
    if "://" not in video:
        yield video
        return
    suffix = os.path.splitext(video)[1]
    with tempfile.NamedTemporaryFile(suffix=suffix) as copy:
        with FileSystems.open(
            video, compression_type=CompressionTypes.UNCOMPRESSED
        ) as file:
            shutil.copyfileobj(file, copy)
        copy.flush()
        yield copy.name


def _rows_path(output, shard):
    return FileSystems.join(output, "work", f"{shard:05d}.rows.json")


def _report_path(output, shard):
    return FileSystems.join(output, "work", f"{shard:05d}.report.json")


def _read_json(path):
    with FileSystems.open(path) as file:
        return json.load(file)


def _write_json(path, value):
    data = json.dumps(value, indent=1).encode()
    _write(path, lambda file: file.write(data))


def _copy_from(path, file):
    with open(path, "rb") as source:
        shutil.copyfileobj(source, file)


def _write(path, fill):
    """Writes a file whole or not at all."""
    folder, name = FileSystems.split(path)
    partial = FileSystems.join(folder, f".{name}.partial")
    with FileSystems.create(
        partial, compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        fill(file)
    FileSystems.rename([partial], [path])


def _image_size(values):
    """`--image_size` as `data.write_records` takes it."""
    numbers = [int(value) for value in values]
    if len(numbers) == 1:
        return numbers[0]
    return tuple(numbers) or None


def main(argv):
    logging.getLogger().setLevel(logging.WARNING)
    report = build(
        read_manifest(_MANIFEST.value, check_files=False),
        _OUTPUT.value,
        {
            "fps": _FPS.value,
            "image_size": _image_size(_IMAGE_SIZE.value),
            "quality": _QUALITY.value,
            "group_size": _GROUP_SIZE.value,
        },
        _NUM_SHARDS.value,
        argv[1:],
    )
    failed = report["failed"]
    print(
        f"{report['num_records']} of {report['num_videos']} videos are in "
        f"{len(report['shards'])} files; {len(failed)} are not"
    )
    for row in failed[:10]:
        print(f"  {row['video']}: {row['reason']}")
    if len(failed) > 10:
        print("  and so on: report.json has them all")


if __name__ == "__main__":
    flags.mark_flags_as_required(["manifest", "output"])
    app.run(main)
