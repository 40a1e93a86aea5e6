"""Clips that are decoded once into files, which later runs share."""

import os
import pathlib
import threading
import types

import numpy as np
import pytest

from keras_longvideo.data import decoded as decoded_clips
from keras_longvideo.data import pipeline
from keras_longvideo.data import video_text_dataset
from keras_longvideo.video import VideoError

pytestmark = pytest.mark.backend_free

SMALL = {"num_frames": 3, "image_size": (16, 24)}


@pytest.fixture
def decoded(monkeypatch):
    """Names of the videos that are decoded, as it happens."""
    names = []
    load_clip = pipeline.load_clip

    def load(path, *arguments):
        names.append(path)
        return load_clip(path, *arguments)

    monkeypatch.setattr(pipeline, "load_clip", load)
    return names


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False, "drop_remainder": False},
        {"group_size": 2, "skip_batches": 3},
        {"rows": [1]},
    ],
)
def test_batches_are_those_of_the_files(make_set, tmp_path, decoded, options):
    manifest = make_set(6)
    cached = video_text_dataset(
        manifest, 4, cache=tmp_path / "clips", **SMALL, **options
    )
    assert sorted(decoded) == sorted(manifest["videos"])
    plain = video_text_dataset(manifest, 4, **SMALL, **options)
    assert cached.element_spec == plain.element_spec
    assert cached.cardinality() == plain.cardinality()
    # Two passes, of which the second is the next epoch.
    for _ in range(2):
        for batch, expected in zip(cached, plain, strict=True):
            for name, values in expected.items():
                np.testing.assert_array_equal(batch[name], values)


def test_a_later_run_decodes_nothing(make_set, tmp_path, decoded):
    manifest = make_set(4)

    def read(**options):
        decoded.clear()
        arguments = {"cache": tmp_path / "clips", **SMALL, **options}
        return list(video_text_dataset(manifest, 2, **arguments)), len(decoded)

    assert read()[1] == 4
    assert read(seed=1, shuffle=False)[1] == 0
    # Clips that are cut in another way lie beside them.
    batches, count = read(num_frames=1)
    assert count == 4 and batches[0]["pixel_values"].shape[1] == 1
    assert read(num_frames=2, fps=None)[1] == 4
    assert read()[1] == 0
    # A video that was written anew is another one.
    os.utime(manifest["videos"][0], (0, 0))
    assert read()[1] == 4


def test_clips_of_another_way_of_decoding_are_not_used(
    make_set, tmp_path, decoded, monkeypatch
):
    manifest = make_set(4)
    video_text_dataset(manifest, 2, cache=tmp_path / "clips", **SMALL)
    decoded.clear()
    monkeypatch.setattr(decoded_clips, "_VERSION", decoded_clips._VERSION + 1)
    video_text_dataset(manifest, 2, cache=tmp_path / "clips", **SMALL)
    assert len(decoded) == 4


def test_an_interrupted_decoding_leaves_nothing(
    make_set, tmp_path, monkeypatch
):
    manifest = make_set(4)
    bad = pathlib.Path(manifest["videos"][2])
    good = bad.read_bytes()
    bad.write_text("no video at all")
    folder = tmp_path / "clips"
    with pytest.raises(VideoError, match=bad.name):
        video_text_dataset(manifest, 2, cache=folder, **SMALL)
    assert not [p for p in folder.iterdir() if p.suffix != ".lock"]
    bad.write_bytes(good)
    assert (
        len(list(video_text_dataset(manifest, 2, cache=folder, **SMALL))) == 2
    )


def test_what_a_killed_decoding_left_is_swept_up(
    make_set, tmp_path, monkeypatch
):
    manifest = make_set(4)
    folder = tmp_path / "clips"
    video_text_dataset(manifest, 2, cache=folder, **SMALL)
    (clips,) = (p for p in folder.iterdir() if p.is_dir())
    # As if it had been killed before it was done.
    left = clips.rename(clips.with_suffix(".partial"))
    (left / "pixel_values.npy").write_bytes(b"half")

    def disk_usage(path):
        # There is no room beside it.
        return types.SimpleNamespace(free=0 if left.exists() else 10**9)

    monkeypatch.setattr(decoded_clips.shutil, "disk_usage", disk_usage)
    dataset = video_text_dataset(manifest, 2, cache=folder, **SMALL)
    assert len(list(dataset)) == 2
    assert clips.exists() and not left.exists()


def test_of_processes_that_start_together_one_decodes(
    make_set, tmp_path, decoded
):
    fcntl = pytest.importorskip("fcntl")
    manifest = make_set(4)
    folder = tmp_path / "clips"
    video_text_dataset(manifest, 2, cache=folder, **SMALL)
    (clips,) = (p for p in folder.iterdir() if p.is_dir())
    hidden = clips.rename(tmp_path / "hidden")
    decoded.clear()
    with open(clips.with_suffix(".lock"), "w") as file:
        # As another process that is decoding.
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = threading.Thread(
            target=video_text_dataset,
            args=(manifest, 2),
            kwargs={"cache": folder, **SMALL},
        )
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        hidden.rename(clips)
    waiting.join()
    assert not decoded


def test_a_disk_without_room(make_set, tmp_path, monkeypatch):
    usage = types.SimpleNamespace(free=4 * 3 * 16 * 24 * 3 - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    folder = tmp_path / "clips"
    with pytest.raises(OSError, match="The folder of `cache` has 0.0 GB left"):
        video_text_dataset(make_set(4), 2, cache=folder, **SMALL)
    assert not [p for p in folder.iterdir() if p.suffix != ".lock"]
    usage.free += 1
    video_text_dataset(make_set(4), 2, cache=folder, **SMALL)


def test_nothing_is_decoded_for_arguments_that_do_not_fit(
    make_set, tmp_path, decoded
):
    manifest = make_set(4)
    for options in ({"batch_size": 5}, {"num_parallel_calls": 0}, {"seed": -1}):
        arguments = {"batch_size": 2, **options}
        with pytest.raises(ValueError, match="batch_size|parallel|seed"):
            video_text_dataset(
                manifest, cache=tmp_path / "clips", **arguments, **SMALL
            )
    assert not decoded
    with pytest.raises(ValueError, match="`cache` must be.*cache=None"):
        video_text_dataset(manifest, 2, cache=None, **SMALL)


def test_as_many_are_decoded_side_by_side_as_asked_for(
    make_set, tmp_path, decoded, monkeypatch
):
    threads = set()
    load_clip = pipeline.load_clip

    def load(*arguments):
        threads.add(threading.get_ident())
        return load_clip(*arguments)

    monkeypatch.setattr(pipeline, "load_clip", load)
    video_text_dataset(
        make_set(6), 2, cache=tmp_path / "clips", num_parallel_calls=1, **SMALL
    )
    assert len(decoded) == 6 and len(threads) == 1


def test_videos_cannot_be_skipped(make_set, tmp_path):
    with pytest.raises(ValueError, match="`skipped` must be None"):
        video_text_dataset(
            make_set(4), 2, cache=tmp_path / "clips", skipped=[], **SMALL
        )
