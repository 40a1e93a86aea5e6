"""The batches of a stage, of manifests and of shards."""

import itertools
import shutil

import numpy as np
import pytest

from keras_longvideo import data
from keras_longvideo import models
from keras_longvideo.training import Source
from keras_longvideo.training.sources import check_paths
from keras_longvideo.training.sources import fingerprints
from keras_longvideo.training.sources import held_out_clips
from keras_longvideo.training.sources import training_batches
from keras_longvideo.training.sources import training_captions

pytestmark = pytest.mark.backend_free


@pytest.fixture
def paths(manifest, tmp_path):
    """The same eight videos as a manifest and as two shards."""
    pairs = data.read_manifest(manifest)
    for i in range(2):
        half = {name: x[4 * i : 4 * i + 4] for name, x in pairs.items()}
        shard = tmp_path / f"set.tfrecord-{i:05d}-of-00002"
        data.write_records(shard, half, fps=2, progress=False)
    return {"manifest": manifest, "shards": str(tmp_path / "set.tfrecord*")}


def take(dataset, count):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


@pytest.mark.parametrize("kind", ["manifest", "shards"])
@pytest.mark.parametrize("num_sources", [1, 2])
def test_batches_go_on_where_they_were(paths, kind, num_sources, tiny):
    sources = (
        Source(paths[kind], 4, num_frames=2, group_size=2),
        Source(paths[kind], 8, num_frames=1, ratio=2.0),
    )
    stage = tiny.stage(train=sources[:num_sources], seed=3)
    whole = take(training_batches(stage, (16, 16), 0), 9)
    rest = take(training_batches(stage, (16, 16), 5), 4)
    for batch, expected in zip(rest, whole[5:], strict=True):
        for name, value in expected.items():
            np.testing.assert_array_equal(batch[name], value)
    shapes = {batch["pixel_values"].shape for batch in whole}
    assert len(shapes) == num_sources
    # A video's twin is beside it: "... ball" and "... box" of one colour.
    videos = next(b for b in whole if b["pixel_values"].shape[1] == 2)
    colors = [caption.split()[-2] for caption in videos["captions"]]
    assert colors[0] == colors[1] != colors[2] == colors[3]


@pytest.mark.parametrize("kind", ["manifest", "shards"])
def test_held_out_sets_are_read_whole_and_in_order(paths, kind, tmp_path):
    # More frames than the videos have: padding is left out.
    converter = models.VideoConverter(4, (16, 16), fps=2)
    left = set(tmp_path.iterdir())
    pairs = held_out_clips(paths[kind], converter, tmp_path)
    assert set(tmp_path.iterdir()) == left
    assert [video.shape for video in pairs["videos"]] == [(2, 16, 16, 3)] * 8
    expected = data.read_manifest(paths["manifest"])
    for caption, several in zip(
        pairs["captions"], expected["captions"], strict=True
    ):
        assert caption in (several[:1] if kind == "manifest" else several)
    decoded = converter(expected["videos"])["pixel_values"][:, :2]
    # JPEG changes pixels by a few steps of 255.
    difference = np.abs(np.stack(pairs["videos"]) - decoded.astype(int))
    assert difference.mean() <= (0 if kind == "manifest" else 12)


def test_shards_that_changed_are_others(paths, tiny, tmp_path):
    stage = tiny.stage(train=(Source(paths["shards"], 4),))
    before = fingerprints(stage)
    assert fingerprints(stage) == before
    assert set(before) == set(paths.values())
    (tmp_path / "set.tfrecord-more").write_bytes(b"")
    after = fingerprints(stage)
    changed = [path for path, print in after.items() if print != before[path]]
    assert changed == [paths["shards"]]


def test_a_name_that_looks_like_a_pattern(paths, tiny, tmp_path):
    folder = tmp_path / "set [1]"
    folder.mkdir()
    path = str(shutil.copy(paths["manifest"], folder))
    stage = tiny.stage(train=(Source(path, 4),), held_out={"set": path})
    check_paths(stage)
    (folder / "set.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="names no file"):
        check_paths(stage)


@pytest.mark.parametrize("kind", ["manifest", "shards"])
def test_captions_to_make_a_vocabulary_of(paths, kind, tiny):
    source = Source(paths[kind], 4)
    captions = list(training_captions(tiny.stage(train=(source, source))))
    assert len(captions) == (16 if kind == "manifest" else 8)
    words = {word for caption in captions for word in caption.split()}
    assert words >= {"red", "blue", "green", "dim", "ball", "box"}
