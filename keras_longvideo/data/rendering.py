"""Renders the captioned sets of shapes as video or image files."""

import json
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from keras_longvideo.data.checks import check_int
from keras_longvideo.data.checks import check_positive
from keras_longvideo.data.files import write_atomically
from keras_longvideo.data.long import LONG
from keras_longvideo.data.manifest import write_manifest
from keras_longvideo.data.oracles import NUM_RESTAGED
from keras_longvideo.data.oracles import score_frames
from keras_longvideo.data.oracles import score_sixteen
from keras_longvideo.data.oracles import see
from keras_longvideo.data.oracles import see_sixteen
from keras_longvideo.data.scenes import draw
from keras_longvideo.data.spatial import IMAGE
from keras_longvideo.data.spatial import SPATIAL
from keras_longvideo.data.splits import draw_recipes
from keras_longvideo.data.temporal import TEMPORAL
from keras_longvideo.data.wording import draw_wordings
from keras_longvideo.video import write_image
from keras_longvideo.video import write_video
from keras_longvideo.video.resize import check_image_size

SPLITS = {
    "image": IMAGE,
    "spatial": SPATIAL,
    "temporal": TEMPORAL,
    "long": LONG,
}

# Raised when the same parameters would give other pixels or captions.
VERSION = 2

# How many wordings a training video has.
NUM_WORDINGS = 3

# A process takes seconds to start, in which it could render so many frames.
_FRAMES_A_WORKER = 16384

_ENCODER = {
    # Fast to encode, and on one core: there are other videos for the others.
    "preset": "veryfast",
    "threads": "1",
    # Without x264's macroblock tree, which came out otherwise from one call
    # to the next, the same frames give the same file. The rate makes up for
    # it: pixels are about as far from those before encoding as with it.
    "x264-params": "no-mbtree=1",
    "crf": "24",
}


def render_videos(
    directory,
    split,
    num_videos,
    seed=0,
    num_frames=None,
    image_size=(64, 64),
    fps=None,
    held_out=False,
    progress=True,
    workers=None,
):
    """Renders captioned videos, or pictures, of coloured shapes.

    The splits are:

    - `"image"`: pictures, under captions such as "a small red circle in the
      top left", "a blue star above a white moon" or "a red cross and a green
      square in opposite corners".
    - `"spatial"`: videos of 16 frames under captions of the same kind, which
      any single frame tells.
    - `"temporal"`: videos of 16 frames of which only the order tells the
      caption, as in "a red square moves to the left" or "a blue star then a
      white moon".
    - `"long"`: videos of 256 frames, at 1 a second. The scene is quiet but
      for events of a few frames, minutes apart: "a red square and much later
      a blue star", "a red square right after the bell and a blue star at
      another time", "a red square flashes three times". The bell is a white
      border around the picture.

    Videos come in pairs, one after the other. The second is the first one's
    hard negative, under another caption: the same things in exchanged places
    or colours (`"image"`, `"spatial"`), the same frames the other way round
    (`"temporal"`) or in another order (`"long"`). Shuffle pairs and not videos
    to have twins meet in a batch.

    Positions, sizes, speeds and the backdrop differ from video to video, there
    is some noise, and one or two small things are in the picture that no
    caption speaks of. A quarter of the combinations of a colour, a shape and
    an event or place is held out: training sets (`held_out=False`) never show
    them, but draw on every colour, shape, event and place. Captions vary in
    wording: a training video has three, the plainest first, and a held-out one
    has one, drawn from all. No two held-out videos mean the same.

    `card.json` in `directory` tells what the set is, what its captions take to
    be told, and under `"oracles"` which Recall@1 ideal observers could reach
    on this very set: one who sees a single frame of each video, one who sees
    all frames in no order and, on a held-out `"long"` set, one who sees 16
    frames, evenly spaced.

    To read all frames of these videos, sample them at the `fps` that they
    were rendered at, or evenly with `fps=None`.

    The same arguments give the same files with the same release of FFmpeg, and
    with any the same pixels before encoding. A set that is already complete in
    `directory` is not rendered again, and one that was interrupted is
    continued.

    Args:
        directory: Path of the set's folder, created where it is missing.
        split: `"image"`, `"spatial"`, `"temporal"` or `"long"`.
        num_videos: Int, how many videos or pictures; even.
        seed: Int, 0 or more. Defaults to `0`.
        num_frames: Int, frames in a video; for `"long"` at least 96. Defaults
            to `None`: 16, or 256 for `"long"`. Pictures are of one frame.
        image_size: Tuple of ints `(height, width)` in pixels, both even and
            at least 16. Defaults to `(64, 64)`.
        fps: Number, frames a second. Defaults to `None`: 8, or 1 for
            `"long"`. Pictures have none.
        held_out: Bool, whether to render the held-out combinations. Defaults
            to `False`.
        progress: Bool, whether to show a progress bar. Defaults to `True`.
        workers: Int, how many processes render side by side. More than one
            are started anew, so that a script has to guard what it runs by
            `if __name__ == "__main__":`. Defaults to `None`: one for each CPU
            core, or fewer for a set so small that starting them would take
            longer.

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
    workers = _count_workers(workers, card)
    directory = Path(directory)
    manifest = directory / "captions.jsonl"
    _claim(directory, card)
    if manifest.exists():
        return str(manifest)

    column = "image" if split == "image" else "video"
    folder = directory / f"{column}s"
    folder.mkdir(exist_ok=True)
    pairs = tqdm(
        _render_pairs(folder, card, workers),
        desc=f"Rendering {split} {column}s",
        total=num_videos // 2,
        unit="pair",
        disable=not progress,
    )
    rendered = [each for pair in pairs for each in pair]
    files, captions, seen = zip(*rendered, strict=True)
    scored = {
        "needs": SPLITS[split].needs,
        "oracles": score_frames(seen) | _score_sixteen(card),
    }
    _write_card(directory, card | scored)
    write_manifest(manifest, files, captions, column)
    return str(manifest)


def _render_pairs(folder, card, workers):
    """Renders all pairs; yields what `_render_pair` returns, in order."""
    jobs = range(card["num_videos"] // 2)
    text = json.dumps(card)
    if workers == 1:
        for index in jobs:
            yield _render_pair(folder, text, index)
        return
    pool = ProcessPoolExecutor(
        workers,
        # A forked process would inherit the threads of a backend, half dead.
        multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
    )
    try:
        count = len(jobs)
        chunk = max(min(count // (4 * workers), 64), 1)
        yield from pool.map(
            _render_pair,
            [folder] * count,
            [text] * count,
            jobs,
            chunksize=chunk,
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent():
    """Ends this process once the one that started it is gone, even killed."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _render_pair(folder, card, index):
    """Writes the files of a scene and its twin, where they are missing.

    Returns:
        List of two tuples: path, captions, and what oracles see.
    """
    card = json.loads(card)
    rendered = []
    for number, (scene, captions) in enumerate(_stage(card, index), 2 * index):
        is_image = card["split"] == "image"
        path = folder / f"{number:06d}{'.png' if is_image else '.mp4'}"
        # One from an interrupted run is whole: the writers see to that.
        if not path.exists():
            frames = draw(scene, card["image_size"])
            if is_image:
                write_image(path, frames[0])
            else:
                write_video(path, frames, card["fps"], options=_ENCODER)
        rendered.append((path, captions, see(scene)))
    return rendered


def _stage(card, index):
    """Stages a pair: two tuples of scene and captions, the same each time."""
    recipe, rng = _cast(card, index)
    scenes = SPLITS[card["split"]].stage(recipe, card["num_frames"], rng)
    if card["held_out"]:
        return [(scene, [scene.meaning.draw_wording(rng)]) for scene in scenes]
    return [
        (scene, draw_wordings(scene.meaning, NUM_WORDINGS, rng))
        for scene in scenes
    ]


def _score_sixteen(card):
    """The score of 16 frames on a long set, where captions come once each."""
    if card["split"] != "long" or not card["held_out"]:
        return {}
    seen, possible = [], []
    for index in range(card["num_videos"] // 2):
        recipe, rng = _cast(card, index)
        stagings = [
            [
                see_sixteen(s)
                for s in LONG.stage(recipe, card["num_frames"], rng)
            ]
            for _ in range(1 + NUM_RESTAGED)
        ]
        seen += stagings[0]
        possible += map(set, zip(*stagings, strict=True))
    return {"sixteen_frames": score_sixteen(seen, possible)}


def _cast(card, index):
    """The recipe of a pair and the random generator to stage it with."""
    seed = (card["seed"], card["held_out"], list(SPLITS).index(card["split"]))
    recipes = _draw_recipes(card["split"], card["num_videos"], seed)
    return recipes[index], np.random.default_rng([*seed, index])


@cache
def _draw_recipes(split, num_videos, seed):
    _, held_out, _ = seed
    rng = np.random.default_rng(seed)
    return draw_recipes(SPLITS[split], num_videos // 2, held_out, rng)


def _count_workers(workers, card):
    """How many processes to render with."""
    if workers is not None:
        return check_int("workers", workers)
    worthwhile = card["num_videos"] * card["num_frames"] // _FRAMES_A_WORKER
    return max(min(os.cpu_count(), worthwhile), 1)


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
    # What was being written when a run was killed is hidden.
    elif any(p for p in directory.iterdir() if not p.name.startswith(".")):
        raise ValueError(
            "`directory` must be new, empty or a rendered set, but holds "
            f"other files. Received: directory={directory}"
        )
    else:
        _write_card(directory, card)


def _write_card(directory, card):
    write_atomically(directory / "card.json", json.dumps(card, indent=2) + "\n")


def _make_card(split, num_videos, seed, num_frames, image_size, fps, held_out):
    """Checks the parameters of a set and collects them."""
    if split not in SPLITS:
        raise ValueError(
            f"`split` must be one of {sorted(SPLITS)}. Received: {split!r}"
        )
    defaults = SPLITS[split]
    if num_frames is None:
        num_frames = defaults.num_frames
    if fps is None:
        fps = defaults.fps
    card = {
        "version": VERSION,
        "split": split,
        "num_videos": check_int("num_videos", num_videos),
        "seed": check_int("seed", seed, least=0),
        "num_frames": check_int("num_frames", num_frames, defaults.min_frames),
        "image_size": list(check_image_size(image_size)),
        "fps": None if fps is None else check_positive("fps", fps),
        "held_out": bool(held_out),
    }
    if split == "image" and (num_frames != 1 or fps is not None):
        raise ValueError(
            "Pictures are of one frame and have no frame rate: leave out "
            "`num_frames` and `fps` for the split 'image'. "
            f"Received: num_frames={num_frames}, fps={fps}"
        )
    if any(side < 16 or side % 2 for side in card["image_size"]):
        raise ValueError(
            "`image_size` must be (height, width), both even and at least "
            f"16. Received: image_size={image_size!r}"
        )
    if num_videos % 2:
        raise ValueError(
            "`num_videos` must be a multiple of 2, as videos come in pairs. "
            f"Received: num_videos={num_videos}"
        )
    distinct = 2 * sum(map(len, defaults.recipes(held_out=True)))
    if held_out and num_videos > distinct:
        raise ValueError(
            f"`num_videos` must be at most {distinct} with `held_out=True`: "
            f"the split {split!r} has that many distinct held-out captions. "
            f"Received: num_videos={num_videos}"
        )
    return card
