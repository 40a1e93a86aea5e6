"""The temporal split: only the order of the frames tells the caption.

Every scene comes with its reversed twin: the same frames the other way round,
under the caption for the opposite event.
"""

from dataclasses import replace
from itertools import combinations
from itertools import permutations

import numpy as np

from keras_longvideo.data.scenes import Scene
from keras_longvideo.data.scenes import Sprite
from keras_longvideo.data.scenes import poses
from keras_longvideo.data.splits import Split
from keras_longvideo.data.splits import draw_backdrop
from keras_longvideo.data.splits import draw_distractors
from keras_longvideo.data.splits import name
from keras_longvideo.data.splits import select_things
from keras_longvideo.data.wording import Meaning


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
    x = _from_to((0.18, 0.26), (0.74, 0.82), num_frames, rng)
    return poses(num_frames, x, rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.2))


def _move_down(num_frames, rng):
    y = _from_to((0.18, 0.26), (0.74, 0.82), num_frames, rng)
    return poses(num_frames, rng.uniform(0.3, 0.7), y, rng.uniform(0.15, 0.2))


def _enter_left(num_frames, rng):
    x = _from_to((-0.22, -0.2), (0.45, 0.6), num_frames, rng)
    return poses(num_frames, x, rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.2))


def _enter_right(num_frames, rng):
    entered = _enter_left(num_frames, rng)
    entered[:, 0] = 1.0 - entered[:, 0]
    return entered


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
        radius=rng.uniform(0.18, 0.26),
        opacity=there,
    )


# What a thing does, what it does in the reversed video, and how.
EVENTS = [
    ("right", "left", _move_right),
    ("down", "up", _move_down),
    ("grow", "shrink", _grow),
    ("clockwise", "anticlockwise", _turn_clockwise),
    ("appear", "disappear", _appear),
    ("enter left", "leave left", _enter_left),
    ("enter right", "leave right", _enter_right),
]


def _then(num_frames, rng):
    """One thing is there until the other is."""
    later = _appear(num_frames, rng)
    earlier = _appear(num_frames, rng)
    earlier[:, -1] = 1.0 - later[:, -1]
    return earlier, later


def _approach(num_frames, rng):
    """One thing moves to where the other stands."""
    goal = np.array([0.8, rng.uniform(0.35, 0.65)])
    near = goal - [0.27, rng.uniform(-0.05, 0.05)]
    start = np.array([0.2, rng.uniform(0.3, 0.7)])
    path = start + (near - start) * _progress(num_frames, rng)[:, None]
    # From the left, the right, above or below.
    if rng.integers(2):
        path, goal = 1.0 - path, 1.0 - goal
    if rng.integers(2):
        path, goal = path[:, ::-1], goal[::-1]
    radius, other_radius = rng.uniform(0.12, 0.15, size=2)
    return (
        poses(num_frames, *path.T, radius),
        poses(num_frames, *goal, other_radius),
    )


def _recipes(held_out):
    """Recipes `(event, things)`."""
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
    others = select_things(len(EVENTS) + 1, held_out)
    then = [(("then", None, _then), p) for p in combinations(things, 2)]
    approach = [
        (("approach", "retreat", _approach), pair)
        for pair in permutations(others, 2)
    ]
    return [*alone, then, approach]


def _stage(recipe, num_frames, rng):
    (sentence, opposite, perform), things = recipe
    names = tuple(name(thing) for thing in things)
    meaning = Meaning(sentence, names)
    performed = perform(num_frames, rng)
    if len(things) == 1:
        performed = (performed,)
    if opposite is None:
        twin_meaning = Meaning(sentence, names[::-1])
        shown = [str(thing) for thing in things]
        glimpses = [shown[int(there)] for there in performed[1][:, -1]]
    else:
        twin_meaning = Meaning(opposite, names)
        glimpses = [meaning if there else None for there in performed[0][:, -1]]
    sprites = tuple(map(Sprite, things, performed))
    scene = Scene(
        meaning,
        draw_backdrop(rng),
        sprites,
        draw_distractors(sprites, num_frames, rng),
        order=np.arange(num_frames),
        glimpses=tuple(glimpses),
    )
    return scene, replace(scene, meaning=twin_meaning, order=scene.order[::-1])


TEMPORAL = Split(
    _recipes,
    _stage,
    num_frames=16,
    min_frames=2,
    fps=8,
    needs=(
        "The order of frames: a video and its twin hold the same frames, one "
        "the other way round. Frames in no order leave two captions to choose "
        "from."
    ),
)
