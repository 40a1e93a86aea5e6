"""Renders the captioned set of moving shapes as video files."""

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from keras_longvideo.data.checks import check_int
from keras_longvideo.data.checks import check_positive
from keras_longvideo.data.files import write_atomically
from keras_longvideo.data.manifest import write_manifest
from keras_longvideo.data.scenes import draw
from keras_longvideo.data.spatial import SPATIAL
from keras_longvideo.data.splits import draw_recipes
from keras_longvideo.data.temporal import TEMPORAL
from keras_longvideo.video import write_video
from keras_longvideo.video.resize import check_image_size

SPLITS = {"spatial": SPATIAL, "temporal": TEMPORAL}

# Raised when the same parameters would give other pixels or captions.
VERSION = 1


def render_videos(
    directory,
    split,
    num_videos,
    seed=0,
    num_frames=16,
    image_size=(64, 64),
    fps=8,
    held_out=False,
    progress=True,
):
    """Renders captioned videos of moving shapes.

    The splits are:

    - `"spatial"`: any single frame tells what the caption says, as in "a
      small red circle in the top left" or "a blue star above a white moon".
    - `"temporal"`: only the order of the frames tells, as in "a red square
      moves to the left" or "a blue star, then a white moon". Videos come in
      pairs, one after the other: the second holds the first one's frames the
      other way round, under the opposite caption.

    Positions, sizes, speeds and the background differ from video to video.
    A quarter of the combinations of a colour, a shape and an event or place
    is held out: training sets (`held_out=False`) never show them, but draw on
    every colour, shape, event and place. In a held-out set no two videos have
    the same caption.

    To read all frames of these short videos, sample them at the `fps` that
    they were rendered at, or evenly with `fps=None`.

    The same arguments give the same pixels, before encoding. A set that is
    already complete in `directory` is not rendered again, and one that was
    interrupted is continued.

    Args:
        directory: Path of the set's folder, created where it is missing.
        split: `"spatial"` or `"temporal"`.
        num_videos: Int, how many videos; even for `"temporal"`.
        seed: Int, 0 or more. Defaults to `0`.
        num_frames: Int, frames in a video. Defaults to `16`.
        image_size: Tuple of ints `(height, width)` in pixels, both even and
            at least 16. Defaults to `(64, 64)`.
        fps: Number, frames a second. Defaults to `8`.
        held_out: Bool, whether to render the held-out combinations. Defaults
            to `False`.
        progress: Bool, whether to show a progress bar. Defaults to `True`.

    Returns:
        Path of the manifest, `captions.jsonl` in `directory`, for
        `read_manifest`. It is written last.

    Raises:
        ValueError: If an argument is out of range, if `num_videos` exceeds
            the number of held-out captions, or if `directory` holds anything
            but this set.

    Example:

    ```python
    from keras_longvideo.data import read_manifest
    from keras_longvideo.data import render_videos

    path = render_videos("train", "temporal", num_videos=4, progress=False)
    manifest = read_manifest(path)
    for video, captions in zip(manifest["videos"], manifest["captions"]):
        print(video, captions[0])
    ```
    """
    card = _make_card(
        split, num_videos, seed, num_frames, image_size, fps, held_out
    )
    directory = Path(directory)
    manifest = directory / "captions.jsonl"
    _claim(directory, card)
    if manifest.exists():
        return str(manifest)

    folder = directory / "videos"
    folder.mkdir(exist_ok=True)
    videos, captions = [], []
    scenes = tqdm(
        _scenes(card),
        desc=f"Rendering {split} videos",
        total=num_videos,
        unit="video",
        disable=not progress,
    )
    for index, scene in enumerate(scenes):
        video = folder / f"{index:06d}.mp4"
        # One from an interrupted run is whole: `write_video` sees to that.
        if not video.exists():
            write_video(video, draw(scene, image_size), fps)
        videos.append(video)
        captions.append(scene.caption)
    write_manifest(manifest, videos, captions)
    return str(manifest)


def _scenes(card):
    """Yields the scenes of a set, the same ones each time."""
    split = SPLITS[card["split"]]
    seed = [card["seed"], card["held_out"]]
    count = card["num_videos"] // split.scenes_per_recipe
    recipes = draw_recipes(
        split, count, card["held_out"], np.random.default_rng(seed)
    )
    for index, recipe in enumerate(recipes):
        rng = np.random.default_rng([*seed, index])
        yield from split.stage(recipe, card["num_frames"], rng)


def _claim(directory, card):
    """Marks a folder as holding this set, unless it holds something else."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "card.json"
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = {
            key: found.get(key) for key in card if found.get(key) != card[key]
        }
        if differing:
            wanted = {key: card[key] for key in differing}
            raise ValueError(
                f"`directory` holds a set with {differing}, and not the "
                f"requested {wanted}. Render into another directory. "
                f"Received: directory={directory}"
            )
    elif any(directory.iterdir()):
        raise ValueError(
            "`directory` must be new, empty or a rendered set, but holds "
            f"other files. Received: directory={directory}"
        )
    else:
        write_atomically(path, json.dumps(card, indent=2) + "\n")


def _make_card(split, num_videos, seed, num_frames, image_size, fps, held_out):
    """Checks the parameters of a set and collects them."""
    if split not in SPLITS:
        raise ValueError(
            f"`split` must be one of {sorted(SPLITS)}. Received: {split!r}"
        )
    card = {
        "version": VERSION,
        "split": split,
        "num_videos": check_int("num_videos", num_videos),
        "seed": check_int("seed", seed, least=0),
        "num_frames": check_int(
            "num_frames", num_frames, SPLITS[split].min_frames
        ),
        "image_size": list(check_image_size(image_size)),
        "fps": check_positive("fps", fps),
        "held_out": bool(held_out),
    }
    if any(side < 16 or side % 2 for side in card["image_size"]):
        raise ValueError(
            "`image_size` must be (height, width), both even and at least "
            f"16. Received: image_size={image_size!r}"
        )
    scenes_per_recipe = SPLITS[split].scenes_per_recipe
    if num_videos % scenes_per_recipe:
        raise ValueError(
            f"`num_videos` must be a multiple of {scenes_per_recipe} for the "
            f"split {split!r}, whose videos come in pairs. "
            f"Received: num_videos={num_videos}"
        )
    recipes = sum(map(len, SPLITS[split].recipes(held_out=True)))
    distinct = recipes * scenes_per_recipe
    if held_out and num_videos > distinct:
        raise ValueError(
            f"`num_videos` must be at most {distinct} with `held_out=True`: "
            f"the split {split!r} has that many distinct held-out captions. "
            f"Received: num_videos={num_videos}"
        )
    return card
