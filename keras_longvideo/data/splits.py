"""What a split of the rendered set is, and which combinations it holds out."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from itertools import zip_longest

import numpy as np

from keras_longvideo.data.scenes import COLORS
from keras_longvideo.data.scenes import SHAPES
from keras_longvideo.data.scenes import Backdrop
from keras_longvideo.data.scenes import Sprite
from keras_longvideo.data.scenes import Thing
from keras_longvideo.data.scenes import poses
from keras_longvideo.data.wording import name_thing


@dataclass(frozen=True)
class Split:
    """A family of scenes, which come as pairs of twins.

    A recipe is what the captions say and nothing more: staging it twice gives
    two pairs with the same meanings and other positions, sizes and speeds.

    Attributes:
        recipes: Function of `held_out` (bool) that returns a list of lists of
            recipes, one list for each kind of caption. No meaning comes from
            two recipes.
        stage: Function of a recipe, `num_frames` and a NumPy random generator
            that returns a `Scene` and its twin, a hard negative.
        num_frames: Int, the default number of frames.
        min_frames: Int, the fewest frames that can show its captions.
        fps: Number, the default frames a second, or `None` for pictures.
        needs: String, what telling its captions takes, for the card.
    """

    recipes: Callable
    stage: Callable
    num_frames: int
    min_frames: int
    fps: float | None
    needs: str


def select_things(kind, held_out):
    """Things that a kind of caption shows in training, or holds out.

    A quarter of the combinations of colour, shape and kind is held out. The
    held-out things change from kind to kind, so training shows every thing in
    most kinds, and every kind with every colour and every shape.

    Args:
        kind: Int, the position of the kind in its split.
        held_out: Bool.

    Returns:
        List of `Thing`.
    """
    combinations = product(enumerate(COLORS), enumerate(SHAPES))
    return [
        Thing(color, shape)
        for (i, color), (j, shape) in combinations
        if ((i + j + kind) % 4 == 0) == held_out
    ]


def draw_recipes(split, count, held_out, rng):
    """Draws recipes: kinds equally often, each recipe at most once if held out.

    Args:
        split: A `Split`.
        count: Int, how many to draw.
        held_out: Bool. If `True`, `count` is at most the number of recipes.
            Kinds of few recipes are then soon used up, and the others go on.
        rng: NumPy random generator.

    Returns:
        List of `count` recipes.
    """
    kinds = split.recipes(held_out)
    if held_out:
        shuffled = [
            [kind[i] for i in rng.permutation(len(kind))] for kind in kinds
        ]
        in_turns = [
            recipe
            for row in zip_longest(*shuffled)
            for recipe in row
            if recipe is not None
        ]
        return in_turns[:count]
    drawn = [kinds[i] for i in rng.integers(len(kinds), size=count)]
    return [kind[rng.integers(len(kind))] for kind in drawn]


def name(thing, size=None):
    """The wordings of a thing, for a `Meaning`."""
    return name_thing(thing.color, thing.shape, size)


def draw_backdrop(rng):
    """Draws a dark backdrop, near grey: brightness, gradient and texture."""
    across, down = rng.uniform(-14, 14, size=2)
    side = np.linspace(-1, 1, 5)
    gradient = down * side[:, None] + across * side
    corners = rng.uniform(40, 72) + rng.uniform(-8, 8, size=3)
    corners = corners + gradient[..., None] + rng.uniform(-7, 7, (5, 5, 1))
    return Backdrop(
        corners,
        noise=rng.uniform(2, 6),
        noise_seed=int(rng.integers(2**31)),
    )


def draw_distractors(sprites, num_frames, rng, count=None, num_places=1):
    """Draws small things that share no colour and no shape with others.

    Args:
        sprites: Sequence of the `Sprite`s to keep away from.
        num_frames: Int, the number of pictures.
        rng: NumPy random generator.
        count: Int, how many. Defaults to `None`, one or two.
        num_places: Int. With 1 a distractor stands still; with more it is at
            any of so many places, a little apart, in each picture.

    Returns:
        Tuple of `Sprite`.
    """
    if count is None:
        count = rng.integers(1, 3)
    colors = set(COLORS) - {s.thing.color for s in sprites}
    shapes = set(SHAPES) - {s.thing.shape for s in sprites}
    taken = np.concatenate([s.poses[s.poses[:, 4] > 0, :3] for s in sprites])
    distractors = []
    for _ in range(count):
        thing = Thing(_draw(colors, rng), _draw(shapes, rng))
        radius = rng.uniform(0.06, 0.075)
        # Of some places, the one that is farthest from all that is there.
        places = rng.uniform(0.1, 0.9, size=(24, 2))
        away = np.hypot(*(places[:, None] - taken[:, :2]).T) - taken[:, 2:3]
        place = places[away.min(axis=0).argmax()]
        taken = np.concatenate([taken, [[*place, radius]]])
        spots = place + rng.uniform(-0.03, 0.03, size=(num_places, 2))
        x, y = spots[rng.integers(num_places, size=num_frames)].T
        distractors.append(Sprite(thing, poses(num_frames, x, y, radius)))
    return tuple(distractors)


def _draw(options, rng):
    return sorted(options)[rng.integers(len(options))]
