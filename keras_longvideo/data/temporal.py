"""The temporal split: only the order of the frames tells the caption.

Every scene comes with its reversed twin: the same frames the other way round,
under the caption for the opposite event.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np

from keras_longvideo.data.scenes import Scene
from keras_longvideo.data.scenes import Sprite
from keras_longvideo.data.scenes import poses
from keras_longvideo.data.splits import Split
from keras_longvideo.data.splits import draw_background
from keras_longvideo.data.splits import select_things


def _progress(num_frames, rng):
    """Runs from 0 to 1, at rest for a while before and after."""
    start, stop = rng.uniform(0.0, 0.25), rng.uniform(0.75, 1.0)
    time = np.linspace(0.0, 1.0, num_frames)
    return np.clip((time - start) / (stop - start), 0.0, 1.0)


def _from_to(start, stop, num_frames, rng):
    """Runs between values drawn from two ranges."""
    start, stop = rng.uniform(*start), rng.uniform(*stop)
    return start + (stop - start) * _progress(num_frames, rng)


def _move_right(num_frames, rng):
    x = _from_to((0.16, 0.26), (0.74, 0.84), num_frames, rng)
    return poses(num_frames, x, rng.uniform(0.3, 0.7), rng.uniform(0.14, 0.2))


def _move_down(num_frames, rng):
    y = _from_to((0.16, 0.26), (0.74, 0.84), num_frames, rng)
    return poses(num_frames, rng.uniform(0.3, 0.7), y, rng.uniform(0.14, 0.2))


def _grow(num_frames, rng):
    radius = _from_to((0.08, 0.12), (0.26, 0.32), num_frames, rng)
    return poses(num_frames, *rng.uniform(0.42, 0.58, size=2), radius)


def _turn_clockwise(num_frames, rng):
    start = rng.uniform(0.0, 2 * np.pi)
    turn = _from_to((0.0, 0.0), (0.6 * np.pi, np.pi), num_frames, rng)
    x, y = rng.uniform(0.42, 0.58, size=2)
    radius = rng.uniform(0.24, 0.32)
    return poses(num_frames, x, y, radius, angle=start + turn)


def _appear(num_frames, rng):
    there = np.linspace(0.0, 1.0, num_frames) > rng.uniform(0.3, 0.7)
    return poses(
        num_frames,
        *rng.uniform(0.35, 0.65, size=2),
        radius=rng.uniform(0.16, 0.24),
        opacity=there,
    )


# What a thing does, what it does in the reversed video, and how.
EVENTS = [
    ("moves to the right", "moves to the left", _move_right),
    ("moves down", "moves up", _move_down),
    ("grows", "shrinks", _grow),
    ("turns clockwise", "turns anticlockwise", _turn_clockwise),
    ("appears", "disappears", _appear),
]


def _recipes(held_out):
    """Recipes `(event, things)`, with no event for one thing after another."""
    alone = [
        [
            (event, (thing,))
            for thing in select_things(kind, held_out)
            # A turning circle looks the same in every frame.
            if (event[2], thing.shape) != (_turn_clockwise, "circle")
        ]
        for kind, event in enumerate(EVENTS)
    ]
    things = select_things(len(EVENTS), held_out)
    return [*alone, [(None, pair) for pair in combinations(things, 2)]]


def _stage(recipe, num_frames, rng):
    event, things = recipe
    if event is None:
        first, second = things
        later = _appear(num_frames, rng)
        earlier = _appear(num_frames, rng)
        earlier[:, -1] = 1.0 - later[:, -1]
        sprites = (Sprite(first, earlier), Sprite(second, later))
        captions = (
            f"a {first}, then a {second}",
            f"a {second}, then a {first}",
        )
    else:
        forward, backward, perform = event
        sprites = (Sprite(things[0], perform(num_frames, rng)),)
        captions = (f"a {things[0]} {forward}", f"a {things[0]} {backward}")
    scene = Scene(captions[0], draw_background(rng), sprites)
    return scene, _reverse(scene, captions[1])


def _reverse(scene, caption):
    sprites = [replace(s, poses=s.poses[::-1]) for s in scene.sprites]
    return replace(scene, caption=caption, sprites=tuple(sprites))


TEMPORAL = Split(_recipes, _stage, scenes_per_recipe=2, min_frames=2)
