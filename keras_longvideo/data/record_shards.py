"""A set's records in many files, written side by side by Apache Beam.

Workers need this package and nothing of the script that starts them. Only this
module knows Beam, and loads it when it is used.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import shutil
import tempfile
import uuid

from keras_longvideo.data.checks import check_group_size
from keras_longvideo.data.records import check_record_arguments
from keras_longvideo.data.records import encode_video
from keras_longvideo.data.records import write_encoded
from keras_longvideo.video import VideoError


def build_records(manifest, output, settings, num_shards=None, beam_flags=()):
    """Writes all shards that are not there yet.

    Args:
        manifest: Dict, as `read_manifest` returns.
        output: String, the folder to write to: a path, or an address that
            Beam can write to.
        settings: Dict of `fps`, `image_size`, `quality` and `group_size`; see
            `write_records`.
        num_shards: Int. Defaults to `None`, about as many as there are videos
            in each.
        beam_flags: List of strings, for Beam. Defaults to none.

    Returns:
        Dict, what is written to `report.json`.

    Raises:
        ValueError: If an argument is not as described, or the folder holds
            what was written with others.
        Exception: What the runner makes of storage that fails, a full disk or
            too little memory. Shards that are written stay, and another call
            goes on.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    check_record_arguments(
        settings["fps"], settings["image_size"], settings["quality"]
    )
    parts = split_videos(
        len(manifest["videos"]), num_shards, settings["group_size"]
    )
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
        if not _is_written(_join(output, name), _report_path(output, shard))
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
                | beam.Map(write_shard, output=output, settings=settings)
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
    _write_json(_join(output, "report.json"), report)
    return report


def shard_name(shard, num_shards):
    """The file name of a shard."""
    return f"records-{shard:05d}-of-{num_shards:05d}.tfrecord"


def split_videos(num_videos, num_shards, group_size):
    """Which videos each shard holds: ranges of about the same length."""
    check_group_size(group_size, num_videos, "the number of videos")
    num_groups = num_videos // group_size
    if num_shards is None:
        num_shards = math.isqrt(num_groups)
    if not 0 < num_shards <= num_groups:
        raise ValueError(
            "`num_shards` must be from 1 to the number of videos, or of "
            f"groups of them. Received: num_shards={num_shards} and "
            f"{num_groups} of these"
        )
    bounds = [
        shard * num_groups // num_shards * group_size
        for shard in range(num_shards + 1)
    ]
    return [range(*pair) for pair in zip(bounds, bounds[1:], strict=False)]


def write_shard(shard, output, settings):
    """Writes one shard; runs on a worker.

    Args:
        shard: Int, its number.
        output: String, the folder to write to.
        settings: Dict, as of `settings.json`.
    """
    name = shard_name(shard, settings["num_shards"])
    rows = _read_json(_rows_path(output, shard))
    failed = []
    # Where it is a matter of renaming, what a killed run leaves lies in sight.
    work = None if "://" in output else _join(output, "work")
    with tempfile.TemporaryDirectory(prefix="partial_", dir=work) as folder:
        local = os.path.join(folder, name)
        num_records = write_encoded(
            local,
            {key: rows[key] for key in ("videos", "captions")},
            functools.partial(_encode, settings=settings),
            failed,
            settings["group_size"],
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
        _write_json(_report_path(output, shard), report)
        if work is not None:
            os.replace(local, _join(output, name))
        else:
            _write(_join(output, name), functools.partial(_copy_from, local))


def _encode(video, captions, settings):
    with _local_copy(video) as path:
        try:
            return encode_video(
                path,
                captions,
                settings["fps"],
                settings["image_size"],
                settings["quality"],
                name=video,
            )
        except VideoError as error:
            # It may have met the local copy.
            raise VideoError(video, error.reason) from error
        except (OSError, MemoryError):
            # The machine's fault, not the video's: it may do later.
            raise
        except Exception as error:
            # One video that nobody thought of must not end a run of days.
            reason = f"{type(error).__name__}: {error}"
            raise VideoError(video, reason) from error


def _check_settings(output, settings):
    """Keeps the settings; refuses others than those of an earlier run."""
    from apache_beam.io.filesystems import FileSystems

    path = _join(output, "settings.json")
    if not FileSystems.exists(path):
        _write_json(path, settings)
        return
    earlier = _read_json(path)
    # As JSON gives them back.
    settings = json.loads(json.dumps(settings))
    changed = [key for key in settings if settings[key] != earlier.get(key)]
    if changed:
        raise ValueError(
            "`output` holds what was begun with other arguments or another "
            "manifest; use another folder, or delete it. Received: "
            + ", ".join(
                f"{key}={settings[key]} (there: {earlier.get(key)})"
                for key in changed
            )
        )


def _is_written(path, report_path):
    """Whether a shard is there, as long as its report says."""
    from apache_beam.io.filesystems import FileSystems

    if not (FileSystems.exists(path) and FileSystems.exists(report_path)):
        return False
    try:
        num_bytes = _read_json(report_path)["num_bytes"]
    except ValueError:
        # A loss of power may leave an empty one.
        return False
    return FileSystems.get_filesystem(path).size(path) == num_bytes


@contextlib.contextmanager
def _local_copy(video):
    """The path of a video on this machine's disk."""
    if "://" not in video:
        yield video
        return
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    # Asked for, as each kind of storage raises errors of its own.
    if not FileSystems.exists(video):
        raise VideoError(video, "the file does not exist")
    suffix = os.path.splitext(video)[1]
    with tempfile.NamedTemporaryFile(suffix=suffix) as copy:
        with FileSystems.open(
            video, compression_type=CompressionTypes.UNCOMPRESSED
        ) as file:
            shutil.copyfileobj(file, copy)
        copy.flush()
        yield copy.name


def _rows_path(output, shard):
    return _join(output, "work", f"{shard:05d}.rows.json")


def _report_path(output, shard):
    return _join(output, "work", f"{shard:05d}.report.json")


def _join(folder, *names):
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.join(folder, *names)


def _read_json(path):
    from apache_beam.io.filesystems import FileSystems

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
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    folder, name = FileSystems.split(path)
    # A runner may try the same twice, side by side.
    partial = _join(folder, f".{name}.{uuid.uuid4().hex}")
    with FileSystems.create(
        partial, compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        fill(file)
    FileSystems.rename([partial], [path])
