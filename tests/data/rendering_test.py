"""Rendering sets: files, determinism, resuming and refusals."""

import json
import os

import numpy as np
import pytest

from keras_longvideo.data import read_manifest
from keras_longvideo.data import render_videos
from keras_longvideo.data import rendering
from keras_longvideo.data.scenes import draw
from keras_longvideo.video import probe
from keras_longvideo.video import sample_frames

pytestmark = pytest.mark.backend_free

SMALL = {"num_frames": 4, "image_size": (32, 48), "progress": False}


def pixels(seed=0, held_out=False):
    """The pixels of a small set before encoding."""
    card = {
        "split": "temporal",
        "num_videos": 4,
        "seed": seed,
        "num_frames": 4,
        "held_out": held_out,
    }
    return np.stack([draw(s, (32, 32)) for s in rendering._scenes(card)])


@pytest.mark.parametrize("split", ["spatial", "temporal"])
def test_videos_show_the_scenes_at_the_wanted_size_and_rate(tmp_path, split):
    path = render_videos(tmp_path / "set", split, 2, fps=5, **SMALL)
    manifest = read_manifest(path)
    assert len(manifest["videos"]) == 2
    info = probe(manifest["videos"][0])
    assert (info.num_frames, info.height, info.width) == (4, 32, 48)
    assert (info.fps, info.codec) == (5, "h264")
    card = json.loads((tmp_path / "set" / "card.json").read_text())
    scenes = list(rendering._scenes(card))
    assert manifest["captions"] == [[scene.caption] for scene in scenes]
    decoded = sample_frames(manifest["videos"][0], fps=None, num_frames=4)
    error = decoded.frames.astype(int) - draw(scenes[0], (32, 48))
    assert np.abs(error).mean() < 5


def test_the_same_seed_gives_the_same_pixels():
    np.testing.assert_array_equal(pixels(), pixels())
    assert not np.array_equal(pixels(seed=0), pixels(seed=1))
    assert not np.array_equal(pixels(held_out=False), pixels(held_out=True))


@pytest.mark.parametrize("split", ["spatial", "temporal"])
def test_held_out_sets_have_unique_captions_and_a_limit(
    tmp_path, monkeypatch, split
):
    # The captions matter here, not the videos.
    monkeypatch.setattr(rendering, "write_video", lambda *_: None)
    recipes = sum(map(len, rendering.SPLITS[split].recipes(True)))
    most = recipes * rendering.SPLITS[split].scenes_per_recipe
    path = render_videos(tmp_path / "all", split, most, held_out=True, **SMALL)
    manifest = read_manifest(path, check_files=False)
    captions = [caption for (caption,) in manifest["captions"]]
    assert len(set(captions)) == most >= 100
    with pytest.raises(
        ValueError, match=f"`num_videos` must be at most {most}"
    ):
        render_videos(
            tmp_path / "more", split, most + 2, held_out=True, **SMALL
        )


def test_twins_come_one_after_the_other(tmp_path):
    path = render_videos(
        tmp_path / "set", "temporal", 8, held_out=True, **SMALL
    )
    manifest = read_manifest(path)
    for index in range(0, 8, 2):
        (caption,), (twin,) = manifest["captions"][index : index + 2]
        # Twins speak of the same things.
        assert caption.split()[:3] == twin.split()[:3] or ", then" in caption
        assert caption != twin


def test_a_complete_set_is_not_rendered_again(tmp_path, monkeypatch):
    path = render_videos(tmp_path, "spatial", 2, **SMALL)
    monkeypatch.setattr(rendering, "write_video", None)
    assert render_videos(str(tmp_path), "spatial", 2, **SMALL) == path


def test_an_interrupted_set_is_continued(tmp_path, monkeypatch):
    written = []

    def write_two(path, frames, fps):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write_video(path, frames, fps)

    write_video = rendering.write_video
    monkeypatch.setattr(rendering, "write_video", write_two)
    with pytest.raises(KeyboardInterrupt):
        render_videos(tmp_path, "spatial", 3, **SMALL)
    assert not (tmp_path / "captions.jsonl").exists()
    assert len(os.listdir(tmp_path / "videos")) == 2

    monkeypatch.setattr(rendering, "write_video", write_video)
    times = [os.stat(path).st_mtime_ns for path in written]
    manifest = read_manifest(render_videos(tmp_path, "spatial", 3, **SMALL))
    assert len(manifest["videos"]) == 3
    assert [os.stat(path).st_mtime_ns for path in written] == times


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
            {"split": "long"},
            r"`split` must be one of \['spatial', 'temporal'\]",
        ),
        ({"num_videos": 0}, "`num_videos` must be an int of at least 1.*=0"),
        ({"num_videos": 3}, "`num_videos` must be a multiple of 2.*=3"),
        ({"num_videos": 2.0}, "`num_videos` must be an int.*=2.0"),
        ({"seed": -1}, "`seed` must be an int of at least 0.*=-1"),
        ({"num_frames": 1}, "`num_frames` must be an int of at least 2.*=1"),
        ({"image_size": (33, 32)}, r"`image_size` must be .*\(33, 32\)"),
        ({"image_size": 64}, "`image_size` must be .*64"),
        ({"fps": 0}, "`fps` must be a positive number.*=0"),
    ],
)
def test_arguments_out_of_range(tmp_path, change, message):
    arguments = {"split": "temporal", "num_videos": 2, **SMALL, **change}
    with pytest.raises(ValueError, match=message):
        render_videos(tmp_path / "set", **arguments)
    assert not (tmp_path / "set").exists()
