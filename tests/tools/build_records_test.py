"""The pipeline that writes records: what it writes, and going on with it."""

import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_longvideo.data import record_dataset
from keras_longvideo.data import record_shards
from keras_longvideo.data import write_manifest
from keras_longvideo.data.record_shards import build_records
from keras_longvideo.data.record_shards import split_videos
from keras_longvideo.video import write_video

# Where Apache Beam is not installed, these tests are skipped.
filesystem = pytest.importorskip("apache_beam.io.localfilesystem")

pytestmark = pytest.mark.backend_free

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "build_records.py"
SETTINGS = {"fps": 5.0, "image_size": 24, "quality": 95, "group_size": 1}


@pytest.fixture
def manifest(tmp_path):
    """Eight grey videos, of which 2 is missing and 5 is none."""
    videos = []
    for number in range(8):
        path = tmp_path / f"{number}.mp4"
        frames = np.full((20, 32, 48, 3), 20 + 20 * number, np.uint8)
        write_video(path, frames, fps=10)
        videos.append(str(path))
    (tmp_path / "2.mp4").unlink()
    (tmp_path / "5.mp4").write_text("no video")
    captions = [[f"{number} a", f"{number} b"] for number in range(8)]
    return {"videos": videos, "captions": captions}


def read(output, **kwargs):
    """The numbers of all videos in a folder, in order."""
    options = {"num_frames": 10, "fps": 5, "image_size": (24, 36), **kwargs}
    received = []
    for batch in record_dataset(output, 1, shuffle=False, **options):
        number = int(batch["captions"][0].numpy().split()[0])
        pixels = batch["pixel_values"].numpy()
        np.testing.assert_allclose(pixels, 20 + 20 * number, atol=3)
        assert batch["frame_mask"].numpy().all()
        received.append(number)
    return received


def stamps(output):
    return {
        path.name: path.stat().st_mtime_ns for path in output.glob("*.tfrecord")
    }


def test_shards_and_report(manifest, tmp_path):
    output = tmp_path / "out"
    report = build_records(manifest, str(output), SETTINGS, num_shards=3)
    assert read(output) == [0, 1, 3, 4, 6, 7]
    assert json.loads((output / "report.json").read_text()) == report
    assert report["num_videos"] == 8 and report["num_records"] == 6
    names = [f"records-0000{i}-of-00003.tfrecord" for i in range(3)]
    assert [part["shard"] for part in report["shards"]] == names
    assert [part["num_records"] for part in report["shards"]] == [2, 2, 2]
    for part in report["shards"]:
        size = (output / part["shard"]).stat().st_size
        assert part["num_bytes"] == size > 0
    missing, damaged = report["failed"]
    assert missing == {
        "video": manifest["videos"][2],
        "reason": "the file does not exist",
        "shard": names[1],
    }
    assert damaged["video"] == manifest["videos"][5] and damaged["reason"]
    assert not list(output.glob(".*"))


def test_what_is_whole_is_not_written_again(manifest, tmp_path):
    output = tmp_path / "out"
    first = build_records(manifest, str(output), SETTINGS, num_shards=4)
    before = stamps(output)
    lost, *kept = sorted(before)
    (output / lost).unlink()
    (output / "report.json").unlink()
    again = build_records(manifest, str(output), SETTINGS, num_shards=4)
    after = stamps(output)
    assert {name: after[name] for name in kept} == {
        name: before[name] for name in kept
    }
    assert after[lost] > before[lost]
    assert again == first


def test_shards_without_a_report_are_written_again(manifest, tmp_path):
    output = tmp_path / "out"
    report = build_records(manifest, str(output), SETTINGS, num_shards=3)
    shutil.rmtree(output / "work")
    again = build_records(manifest, str(output), SETTINGS, num_shards=3)
    assert again == report
    assert read(output) == [0, 1, 3, 4, 6, 7]


def test_shards_that_came_out_short_are_written_again(manifest, tmp_path):
    output = tmp_path / "out"
    report = build_records(manifest, str(output), SETTINGS, num_shards=4)
    before = stamps(output)
    empty, short, unknown, kept = sorted(before)
    (output / empty).write_bytes(b"")
    (output / short).write_bytes((output / short).read_bytes()[:-5])
    # A loss of power may leave that of any file.
    (output / "work" / "00002.report.json").write_bytes(b"")
    again = build_records(manifest, str(output), SETTINGS, num_shards=4)
    assert again == report
    assert read(output) == [0, 1, 3, 4, 6, 7]
    after = stamps(output)
    assert after[unknown] > before[unknown] and after[kept] == before[kept]


def test_other_flags_are_refused(manifest, tmp_path):
    output = str(tmp_path / "out")
    build_records(manifest, output, SETTINGS, num_shards=2)
    with pytest.raises(ValueError, match=r"other arg.*fps=2.0 \(there: 5.0\)"):
        build_records(manifest, output, {**SETTINGS, "fps": 2.0}, 2)
    with pytest.raises(ValueError, match="num_shards=3"):
        build_records(manifest, output, SETTINGS, num_shards=3)
    manifest["captions"][0] = ["0 c"]
    with pytest.raises(ValueError, match="manifest_sha256"):
        build_records(manifest, output, SETTINGS, num_shards=2)


def test_groups_come_whole_or_not_at_all(manifest, tmp_path):
    output = tmp_path / "out"
    settings = {**SETTINGS, "group_size": 2}
    report = build_records(manifest, str(output), settings, num_shards=3)
    assert read(output, group_size=1) == [0, 1, 6, 7]
    assert len(report["failed"]) == 4
    for part in report["shards"]:
        assert part["num_records"] % 2 == 0
    dataset = record_dataset(output, 2, 2, image_size=(24, 36), group_size=2)
    assert len(list(dataset)) == 2


@pytest.mark.parametrize(
    "num_videos, num_shards, group_size, expected",
    [
        (10, 3, 1, [3, 3, 4]),
        (10, 3, 2, [2, 4, 4]),
        (100, None, 1, [10] * 10),
        (3, None, 1, [3]),
    ],
)
def test_how_videos_are_split(num_videos, num_shards, group_size, expected):
    parts = split_videos(num_videos, num_shards, group_size)
    assert [len(part) for part in parts] == expected
    assert sum(map(list, parts), []) == list(range(num_videos))


@pytest.mark.parametrize(
    "num_shards, group_size, message",
    [
        (None, 3, "`group_size` must divide.* videos.* 8.*=3"),
        (9, 1, "`num_shards` must be from 1.*=9 and 8"),
        (5, 2, "`num_shards` must be from 1.*=5 and 4"),
        (0, 1, "`num_shards` must be from 1.*=0"),
    ],
)
def test_videos_that_cannot_be_split(num_shards, group_size, message):
    with pytest.raises(ValueError, match=message):
        split_videos(8, num_shards, group_size)


class Elsewhere(filesystem.LocalFileSystem):
    """Stands for storage that is no disk: `elsewhere://` before its paths."""

    @classmethod
    def scheme(cls):
        return "elsewhere"

    @staticmethod
    def _strip(path):
        return path.removeprefix("elsewhere:/")

    def join(self, base, *paths):
        return "/".join([base, *paths])

    def split(self, path):
        return path.rsplit("/", 1)

    def create(self, path, *args, **kwargs):
        return super().create(self._strip(path), *args, **kwargs)

    def open(self, path, *args, **kwargs):
        return super().open(self._strip(path), *args, **kwargs)

    def exists(self, path):
        return super().exists(self._strip(path))

    def size(self, path):
        return super().size(self._strip(path))

    def rename(self, sources, targets):
        strip = self._strip
        super().rename([*map(strip, sources)], [*map(strip, targets)])


def test_videos_and_output_that_are_not_on_this_disk(manifest, tmp_path):
    manifest["videos"] = [f"elsewhere:/{path}" for path in manifest["videos"]]
    output = f"elsewhere:/{tmp_path}/out"
    report = build_records(manifest, output, SETTINGS, num_shards=2)
    assert read(tmp_path / "out") == [0, 1, 3, 4, 6, 7]
    failed = [row["video"] for row in report["failed"]]
    assert failed == [manifest["videos"][2], manifest["videos"][5]]
    assert report["failed"][0]["reason"] == "the file does not exist"
    again = build_records(manifest, output, SETTINGS, num_shards=2)
    assert again == report


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "disk full"), MemoryError("all used up")]
)
def test_a_machine_at_fault_ends_a_run_that_goes_on_later(
    manifest, tmp_path, monkeypatch, fault
):
    def fail(*args, **kwargs):
        raise fault

    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(record_shards, "encode_video", fail)
        with pytest.raises(Exception, match="disk full|all used up"):
            build_records(manifest, str(output), SETTINGS, num_shards=2)
    report = build_records(manifest, str(output), SETTINGS, num_shards=2)
    assert read(output) == [0, 1, 3, 4, 6, 7]
    assert len(report["failed"]) == 2


def test_storage_that_is_out_ends_a_run_that_goes_on_later(
    manifest, tmp_path, monkeypatch
):
    def fail(self, path, *args, **kwargs):
        if path.endswith("6.mp4"):
            raise OSError(errno.EIO, "out of service")
        return open_file(self, path, *args, **kwargs)

    open_file = Elsewhere.open
    manifest["videos"] = [f"elsewhere:/{path}" for path in manifest["videos"]]
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Elsewhere, "open", fail)
        with pytest.raises(Exception, match="out of service"):
            build_records(manifest, str(output), SETTINGS, num_shards=2)
    before = stamps(output)
    report = build_records(manifest, str(output), SETTINGS, num_shards=2)
    assert read(output) == [0, 1, 3, 4, 6, 7]
    assert len(report["failed"]) == 2
    assert before.items() <= stamps(output).items()


def test_what_nobody_thought_of_is_a_fault_of_its_video(
    manifest, tmp_path, monkeypatch
):
    def fail(path, *args, **kwargs):
        if path.endswith("6.mp4"):
            raise ZeroDivisionError("a strange video")
        return encode_video(path, *args, **kwargs)

    encode_video = record_shards.encode_video
    monkeypatch.setattr(record_shards, "encode_video", fail)
    output = tmp_path / "out"
    report = build_records(manifest, str(output), SETTINGS, num_shards=2)
    assert read(output) == [0, 1, 3, 4, 7]
    reason = report["failed"][-1]["reason"]
    assert reason == "ZeroDivisionError: a strange video"


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(manifest, tmp_path):
    """By its command, in processes of Beam's own, and with `kill -9`."""
    write_manifest(tmp_path / "set.jsonl", *manifest.values())
    output = tmp_path / "out"
    command = [
        sys.executable,
        str(TOOL),
        f"--manifest={tmp_path / 'set.jsonl'}",
        f"--output={output}",
        "--fps=5",
        "--image_size=24,36",
        "--num_shards=8",
    ]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not stamps(output) and time.monotonic() < deadline:
        assert killed.poll() is None
        time.sleep(0.002)
    killed.kill()
    killed.wait()
    before = stamps(output)
    assert before and not (output / "report.json").exists()
    with pytest.raises(FileNotFoundError, match="of the 8 files"):
        record_dataset(output, 1)
    done = subprocess.run(
        [
            *command,
            "--",
            "--direct_running_mode=multi_processing",
            "--direct_num_workers=2",
        ],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert not done.returncode, done.stderr[-3000:]
    assert "6 of 8 videos are in 8 files; 2 are not" in done.stdout
    assert f"{manifest['videos'][2]}: the file does not" in done.stdout
    after = stamps(output)
    assert {name: after[name] for name in before} == before
    assert read(output) == [0, 1, 3, 4, 6, 7]
