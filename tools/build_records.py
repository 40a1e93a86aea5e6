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
the same flags: a file that is there and whole is not written again. Storage
that fails, a full disk and too little memory are no fault of a video: the
runner tries again, or the run ends and can go on. (A mounted disk that fails
while a video is decoded cannot be told from a damaged video, though, whose
reason is "Input/output error" then.) `report.json` beside the
files tells how many videos each holds, and which videos failed and why. To try
those again, delete the files that it names for them and start again. The
folder `work` is what is needed to go on, without which all files are written
again, and holds what killed runs left unfinished; it may be deleted when all
is done. Where the output is no folder of this machine, files are made in a
temporary folder (`TMPDIR`) first.

With videos that come in groups, such as a video and its hard negative, pass
`--group_size` here, too. The exit status is 1 if no video could be read.
"""

import logging

from absl import app
from absl import flags

from keras_longvideo.data import read_manifest
from keras_longvideo.data.record_shards import build_records

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


def _image_size(values):
    """`--image_size` as `data.write_records` takes it."""
    try:
        numbers = [int(value) for value in values]
    except ValueError as error:
        raise app.UsageError(
            f"--image_size must be one number or two. Received: {values}"
        ) from error
    if len(numbers) == 1:
        return numbers[0]
    return tuple(numbers) or None


def main(argv):
    logging.getLogger().setLevel(logging.WARNING)
    report = build_records(
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
    # For scripts that would go on with an empty set.
    return int(report["num_records"] == 0)


if __name__ == "__main__":
    flags.mark_flags_as_required(["manifest", "output"])
    app.run(main)
