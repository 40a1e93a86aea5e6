"""What a split of the rendered set is, and which combinations it holds out."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from keras_longvideo.data.scenes import COLORS
from keras_longvideo.data.scenes import SHAPES
from keras_longvideo.data.scenes import Thing


@dataclass(frozen=True)
class Split:
    """A family of scenes.

    A recipe is what the captions say and nothing more: staging it twice gives
    two videos with the same captions and other positions, sizes and speeds.

    Attributes:
        recipes: Function of `held_out` (bool) that returns a list of lists of
            recipes, one list for each kind of caption. No caption comes from
            two recipes.
        stage: Function of a recipe, `num_frames` and a NumPy random generator
            that returns a tuple of `Scene`.
        scenes_per_recipe: Int, the length of that tuple.
        min_frames: Int, the fewest frames that can show its captions.
    """

    recipes: Callable
    stage: Callable
    scenes_per_recipe: int
    min_frames: int


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
    """Draws recipes: kinds equally often, or each recipe once if held out.

    Args:
        split: A `Split`.
        count: Int, how many to draw.
        held_out: Bool. If `True`, `count` is at most the number of recipes.
        rng: NumPy random generator.

    Returns:
        List of `count` recipes.
    """
    kinds = split.recipes(held_out)
    if held_out:
        recipes = [recipe for kind in kinds for recipe in kind]
        return [recipes[i] for i in rng.permutation(len(recipes))[:count]]
    drawn = [kinds[i] for i in rng.integers(len(kinds), size=count)]
    return [kind[rng.integers(len(kind))] for kind in drawn]


def draw_background(rng):
    """Draws a plain dark background: RGB, near grey."""
    return tuple(rng.uniform(30, 75) + rng.uniform(-8, 8, size=3))
