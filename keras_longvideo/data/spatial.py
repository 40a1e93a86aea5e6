"""The spatial split: any single frame tells what the caption says."""

from itertools import permutations
from itertools import product

import numpy as np

from keras_longvideo.data.scenes import Scene
from keras_longvideo.data.scenes import Sprite
from keras_longvideo.data.scenes import poses
from keras_longvideo.data.splits import Split
from keras_longvideo.data.splits import draw_background
from keras_longvideo.data.splits import select_things

# Centres as (x, y), for one thing and for two.
PLACES = {
    "in the middle": (0.5, 0.5),
    "in the top left": (0.28, 0.28),
    "in the top right": (0.72, 0.28),
    "in the bottom left": (0.28, 0.72),
    "in the bottom right": (0.72, 0.72),
}
RELATIONS = {
    "above": ((0.5, 0.26), (0.5, 0.74)),
    "to the left of": ((0.26, 0.5), (0.74, 0.5)),
}
SIZES = {"small": (0.11, 0.13), "large": (0.2, 0.24)}


def _recipes(held_out):
    """Recipes `(words, things)`: `(size, place), (thing,)` or
    `(relation,), (thing, other)`."""
    placed = [
        [
            ((size, place), (thing,))
            for size, thing in product(SIZES, select_things(kind, held_out))
        ]
        for kind, place in enumerate(PLACES)
    ]
    related = [
        [
            ((relation,), pair)
            for pair in permutations(select_things(kind, held_out), 2)
        ]
        for kind, relation in enumerate(RELATIONS, start=len(PLACES))
    ]
    return placed + related


def _stage(recipe, num_frames, rng):
    words, things = recipe
    if len(things) == 1:
        size, place = words
        caption = f"a {size} {things[0]} {place}"
        centres, radii = [PLACES[place]], SIZES[size]
    else:
        caption = f"a {things[0]} {words[0]} a {things[1]}"
        centres, radii = RELATIONS[words[0]], (0.14, 0.2)
    sprites = [
        Sprite(thing, _drift(centre, rng.uniform(*radii), num_frames, rng))
        for thing, centre in zip(things, centres, strict=True)
    ]
    return (Scene(caption, draw_background(rng), tuple(sprites)),)


def _drift(centre, radius, num_frames, rng):
    """Drifts a little about a centre, too little for a caption to say so."""
    start, stop = rng.uniform(-0.04, 0.04, size=(2, 2))
    offset = np.linspace(start, stop, num_frames)
    x, y = (centre + offset).T
    return poses(num_frames, x, y, radius)


SPATIAL = Split(_recipes, _stage, scenes_per_recipe=1, min_frames=1)
