"""The spatial split: any single frame tells what the caption says.

A scene and its twin have the same colours and the same shapes, in other places
or on one another's: counting them tells the two apart in no case. The image
split is of such scenes too, as pictures.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np

from keras_longvideo.data.scenes import COLORS
from keras_longvideo.data.scenes import SHAPES
from keras_longvideo.data.scenes import Scene
from keras_longvideo.data.scenes import Sprite
from keras_longvideo.data.scenes import Thing
from keras_longvideo.data.scenes import poses
from keras_longvideo.data.splits import Split
from keras_longvideo.data.splits import draw_backdrop
from keras_longvideo.data.splits import draw_distractors
from keras_longvideo.data.splits import name
from keras_longvideo.data.splits import select_things
from keras_longvideo.data.wording import PLACES as PLACE_NAMES
from keras_longvideo.data.wording import Meaning

# Centres as (x, y), for one thing and for two. Twins' places are neighbours.
PLACES = {
    "in the top left": (0.24, 0.24),
    "in the bottom right": (0.76, 0.76),
    "in the top right": (0.76, 0.24),
    "in the bottom left": (0.24, 0.76),
    "on the left": (0.2, 0.5),
    "on the right": (0.8, 0.5),
    "at the top": (0.5, 0.2),
    "at the bottom": (0.5, 0.8),
}
RELATIONS = {
    "above": ((0.5, 0.26), (0.5, 0.74)),
    "left of": ((0.26, 0.5), (0.74, 0.5)),
}
DIAGONALS = (
    ((0.26, 0.26), (0.74, 0.74)),
    ((0.26, 0.74), (0.74, 0.26)),
)
SIZES = {"small": (0.11, 0.13), "large": (0.19, 0.22)}


def _recipes(held_out):
    """Recipes `(words, things)`: what is exchanged between the twins.

    - `((size, place, place), (thing,))`: the place of one thing
    - `((relation,), (thing, thing))`: the things
    - `((), (thing, thing))`: their colours
    """
    places = list(PLACES)
    placed = [
        [
            ((size, *places[2 * kind : 2 * kind + 2]), (thing,))
            for size in SIZES
            for thing in select_things(kind, held_out)
        ]
        for kind in range(len(places) // 2)
    ]
    related = [
        [
            ((relation,), pair)
            for pair in combinations(select_things(kind, held_out), 2)
        ]
        for kind, relation in enumerate(RELATIONS, start=len(placed))
    ]
    # Twins exchange colours, so no thing but the pairs of colours and of
    # shapes are what is held out.
    opposite = [
        ((), (Thing(color, shape), Thing(other_color, other_shape)))
        for i, (color, other_color) in enumerate(combinations(COLORS, 2))
        for j, (shape, other_shape) in enumerate(combinations(SHAPES, 2))
        if ((i + j) % 4 == 0) == held_out
    ]
    return [*placed, *related, opposite]


def _stage(recipe, num_frames, rng):
    words, things = recipe
    if len(words) == 3:
        size, *places = words
        named = name(things[0], size)
        meanings = [Meaning("place", (named, PLACE_NAMES[p])) for p in places]
        radius = rng.uniform(*SIZES[size])
        casts = [
            [_drift(things[0], PLACES[place], radius, num_frames, rng)]
            for place in places
        ]
    else:
        if words:
            sentence, centres = words[0], RELATIONS[words[0]]
            pairs = things, things[::-1]
        else:
            sentence, centres = "opposite", DIAGONALS[rng.integers(2)]
            centres = [centres[i] for i in rng.permutation(2)]
            first, second = things
            pairs = (
                things,
                (
                    replace(first, color=second.color),
                    replace(second, color=first.color),
                ),
            )
        meanings = [
            Meaning(sentence, tuple(name(thing) for thing in pair))
            for pair in pairs
        ]
        cast = [
            _drift(thing, centre, rng.uniform(0.15, 0.2), num_frames, rng)
            for thing, centre in zip(things, centres, strict=True)
        ]
        casts = [
            [replace(s, thing=t) for s, t in zip(cast, pair, strict=True)]
            for pair in pairs
        ]
    backdrop = draw_backdrop(rng)
    distractors = draw_distractors(sum(casts, []), num_frames, rng)
    return tuple(
        Scene(
            meaning,
            backdrop,
            tuple(sprites),
            distractors,
            order=np.arange(num_frames),
            glimpses=(meaning,) * num_frames,
        )
        for meaning, sprites in zip(meanings, casts, strict=True)
    )


def _drift(thing, centre, radius, num_frames, rng):
    """Drifts a little about a centre, too little for a caption to say so."""
    start, stop = rng.uniform(-0.04, 0.04, size=(2, 2))
    offset = np.linspace(start, stop, num_frames)
    x, y = (centre + offset).T
    return Sprite(thing, poses(num_frames, x, y, radius))


SPATIAL = Split(
    _recipes,
    _stage,
    num_frames=16,
    min_frames=1,
    fps=8,
    needs=(
        "One frame, any: which thing is where, and which colour is on which "
        "shape. A video and its twin hold the same colours and shapes."
    ),
)
IMAGE = replace(
    SPATIAL,
    num_frames=1,
    fps=None,
    needs=(
        "One picture: which thing is where, and which colour is on which "
        "shape. A picture and its twin hold the same colours and shapes."
    ),
)
