"""Rendering sets: files, determinism, resuming and refusals."""

import json
import os

import numpy as np
import pytest

from keras_longvideo.data import read_manifest
from keras_longvideo.data import render_videos
from keras_longvideo.data import rendering
from keras_longvideo.data.oracles import score_frames
from keras_longvideo.data.oracles import see
from keras_longvideo.data.scenes import draw
from keras_longvideo.video import probe
from keras_longvideo.video import sample_frames

pytestmark = pytest.mark.backend_free

SMALL = {"num_frames": 4, "image_size": (32, 48), "progress": False}
SPLITS = sorted(rendering.SPLITS)


def stage(split, num_videos=4, num_frames=4, seed=0, held_out=False):
    """The scenes and captions of a set before anything is drawn."""
    card = {
        "split": split,
        "num_videos": num_videos,
        "seed": seed,
        "num_frames": num_frames,
        "held_out": held_out,
    }
    pairs = (rendering._stage(card, i) for i in range(num_videos // 2))
    return [each for pair in pairs for each in pair]


def pixels(**arguments):
    """The pixels of a small set before encoding."""
    scenes = stage("temporal", **arguments)
    return np.stack([draw(scene, (32, 32)) for scene, _ in scenes])


@pytest.mark.parametrize("split", ["spatial", "temporal"])
def test_videos_show_the_scenes_at_the_wanted_size_and_rate(tmp_path, split):
    path = render_videos(tmp_path / "set", split, 2, fps=5, **SMALL)
    manifest = read_manifest(path)
    assert len(manifest["videos"]) == 2
    info = probe(manifest["videos"][0])
    assert (info.num_frames, info.height, info.width) == (4, 32, 48)
    assert (info.fps, info.codec) == (5, "h264")
    scenes = stage(split, num_videos=2)
    assert manifest["captions"] == [captions for _, captions in scenes]
    decoded = sample_frames(manifest["videos"][0], fps=None, num_frames=4)
    error = decoded.frames.astype(int) - draw(scenes[0][0], (32, 48))
    assert np.abs(error).mean() < 5


def test_long_videos_are_of_256_seconds(tmp_path):
    path = render_videos(tmp_path / "set", "long", 2, progress=False)
    manifest = read_manifest(path)
    info = probe(manifest["videos"][0])
    assert (info.num_frames, info.height, info.width) == (256, 64, 64)
    assert (info.fps, info.duration) == (1, 256)
    scene, _ = stage("long", num_videos=2, num_frames=256)[0]
    decoded = sample_frames(manifest["videos"][0], fps=1, num_frames=256)
    error = decoded.frames.astype(int) - draw(scene, (64, 64))
    # In every frame: none has lost its event to the encoder.
    assert np.abs(error).mean(axis=(1, 2, 3)).max() < 10


def test_pictures_keep_every_pixel(tmp_path):
    path = render_videos(
        tmp_path / "set", "image", 2, image_size=(32, 48), progress=False
    )
    with open(path) as lines:
        rows = [json.loads(line) for line in lines]
    assert [row["image"] for row in rows] == [
        "images/000000.png",
        "images/000001.png",
    ]
    scenes = stage("image", num_videos=2, num_frames=1)
    for row, (scene, captions) in zip(rows, scenes, strict=True):
        assert row["captions"] == captions
        read = sample_frames(
            tmp_path / "set" / row["image"], fps=None, num_frames=1
        )
        np.testing.assert_array_equal(read.frames, draw(scene, (32, 48)))


def test_pictures_are_not_the_frames_of_spatial_videos():
    image, spatial = (stage(split, num_frames=1) for split in SPLITS[::2])
    assert [c for _, c in image] != [c for _, c in spatial]


def test_the_card_tells_what_a_set_needs_and_what_oracles_reach(tmp_path):
    render_videos(
        tmp_path, "long", 6, held_out=True, image_size=(16, 16), progress=False
    )
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["needs"] == rendering.SPLITS["long"].needs
    scenes = [s for s, _ in stage("long", 6, 256, held_out=True)]
    assert card["oracles"].keys() == {
        "single_frame",
        "shuffled_frames",
        "sixteen_frames",
    }
    seen = [see(scene) for scene in scenes]
    assert card["oracles"].items() >= score_frames(seen).items()


def test_the_same_seed_gives_the_same_pixels():
    np.testing.assert_array_equal(pixels(), pixels())
    assert not np.array_equal(pixels(seed=0), pixels(seed=1))
    assert not np.array_equal(pixels(held_out=False), pixels(held_out=True))


@pytest.mark.parametrize("split", SPLITS)
def test_held_out_sets_have_a_limit(tmp_path, split):
    most = 2 * sum(map(len, rendering.SPLITS[split].recipes(True)))
    assert most >= 300
    with pytest.raises(
        ValueError, match=f"`num_videos` must be at most {most}"
    ):
        render_videos(tmp_path / "more", split, most + 2, held_out=True)
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize("split", SPLITS)
def test_largest_held_out_set_has_all_captions_once(split):
    most = 2 * sum(map(len, rendering.SPLITS[split].recipes(True)))
    frames = rendering.SPLITS[split].num_frames
    scenes = stage(split, most, frames, held_out=True)
    captions = [caption for _, (caption,) in scenes]
    assert len(set(captions)) == most
    assert len({str(scene.meaning) for scene, _ in scenes}) == most


@pytest.mark.parametrize("split", SPLITS)
def test_training_videos_have_three_wordings_the_plainest_first(split):
    frames = rendering.SPLITS[split].num_frames
    for scene, captions in stage(split, 40, frames):
        assert len(set(captions)) == 3
        assert captions[0] == str(scene.meaning)


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(tmp_path):
    files = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        path = render_videos(
            folder, "image", 6, progress=False, workers=workers
        )
        files[workers] = {
            file.relative_to(folder): file.read_bytes()
            for file in folder.rglob("*.*")
        }
        assert len(read_manifest(path)["videos"]) == 6
    assert files[1] == files[2]


@pytest.mark.parametrize("split", ["temporal", "long"])
def test_the_same_frames_give_the_same_file(split, tmp_path):
    frames = {"temporal": 16, "long": 96}[split]
    files = []
    for i in range(6):
        # x264 must not read what lies in memory by chance.
        scattered = [np.full(9999 * (i + 1), 41 * i, "uint8") for _ in range(9)]
        del scattered
        folder = tmp_path / str(i)
        render_videos(folder, split, 2, num_frames=frames, progress=False)
        files.append([path.read_bytes() for path in folder.rglob("*.mp4")])
    assert len(files[0]) == 2
    assert files == files[:1] * 6


def test_a_complete_set_is_not_rendered_again(tmp_path, monkeypatch):
    path = render_videos(tmp_path, "spatial", 2, **SMALL)
    monkeypatch.setattr(rendering, "write_video", None)
    assert render_videos(str(tmp_path), "spatial", 2, **SMALL) == path


def test_an_interrupted_set_is_continued(tmp_path, monkeypatch):
    written = []

    def write_three(path, frames, fps, options):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write_video(path, frames, fps, options=options)

    write_video = rendering.write_video
    monkeypatch.setattr(rendering, "write_video", write_three)
    with pytest.raises(KeyboardInterrupt):
        render_videos(tmp_path, "spatial", 4, **SMALL)
    assert not (tmp_path / "captions.jsonl").exists()
    assert len(os.listdir(tmp_path / "videos")) == 3

    monkeypatch.setattr(rendering, "write_video", write_video)
    times = [os.stat(path).st_mtime_ns for path in written]
    manifest = read_manifest(render_videos(tmp_path, "spatial", 4, **SMALL))
    assert len(manifest["videos"]) == 4
    assert [os.stat(path).st_mtime_ns for path in written] == times


def test_a_set_that_was_interrupted_at_once_is_continued(tmp_path):
    # As a kill leaves what was being written.
    (tmp_path / ".0123abcd.json").write_text("{")
    assert read_manifest(render_videos(tmp_path, "spatial", 2, **SMALL))


def test_a_set_with_other_parameters_is_left_alone(tmp_path):
    render_videos(tmp_path, "spatial", 2, **SMALL)
    before = (tmp_path / "card.json").read_text()
    with pytest.raises(ValueError, match="'seed': 0.*requested.*'seed': 7"):
        render_videos(tmp_path, "spatial", 2, seed=7, **SMALL)
    assert (tmp_path / "card.json").read_text() == before


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds other files"):
        render_videos(tmp_path, "spatial", 2, **SMALL)
    assert os.listdir(tmp_path) == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"split": "short"},
            r"`split` must be one of \['image', 'long', 'spatial', 'temporal'",
        ),
        ({"num_videos": 0}, "`num_videos` must be an int of at least 1.*=0"),
        ({"num_videos": 3}, "`num_videos` must be a multiple of 2.*=3"),
        ({"num_videos": 2.0}, "`num_videos` must be an int.*=2.0"),
        ({"seed": -1}, "`seed` must be an int of at least 0.*=-1"),
        ({"num_frames": 1}, "`num_frames` must be an int of at least 2.*=1"),
        ({"image_size": (33, 32)}, r"`image_size` must be .*\(33, 32\)"),
        ({"image_size": 64}, "`image_size` must be .*64"),
        ({"fps": 0}, "`fps` must be a positive number.*=0"),
        ({"split": "long"}, "`num_frames` must be an int of at least 96.*=4"),
        ({"split": "image"}, "leave out `num_frames` and `fps`.*num_frames=4"),
        ({"workers": 0}, "`workers` must be an int of at least 1.*=0"),
    ],
)
def test_arguments_out_of_range(tmp_path, change, message):
    arguments = {"split": "temporal", "num_videos": 2, **SMALL, **change}
    with pytest.raises(ValueError, match=message):
        render_videos(tmp_path / "set", **arguments)
    assert not (tmp_path / "set").exists()
