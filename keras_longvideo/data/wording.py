"""How captions of the rendered sets are worded, in a small vocabulary.

Wordings have neither capitals nor punctuation, so that splitting a caption at
its spaces gives its words.
"""

from dataclasses import dataclass
from itertools import product

# The plainest wording comes first, here and below.
COLOR_NAMES = {
    "red": ("red",),
    "green": ("green",),
    "blue": ("blue",),
    "yellow": ("yellow",),
    "purple": ("purple", "violet"),
    "white": ("white",),
}
SHAPE_NAMES = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "cross": ("cross", "plus"),
    "star": ("star",),
    "moon": ("moon", "crescent"),
}
SIZE_NAMES = {"small": ("small", "little"), "large": ("large", "big")}
COUNTS = {
    1: ("once", "one time"),
    2: ("twice", "two times"),
    3: ("three times",),
    4: ("four times",),
}
PLACES = {
    "in the top left": ("in the top left", "in the upper left corner"),
    "in the top right": ("in the top right", "in the upper right corner"),
    "in the bottom left": ("in the bottom left", "in the lower left corner"),
    "in the bottom right": ("in the bottom right", "in the lower right corner"),
    "on the left": ("on the left", "at the left edge"),
    "on the right": ("on the right", "at the right edge"),
    "at the top": ("at the top", "at the upper edge"),
    "at the bottom": ("at the bottom", "at the lower edge"),
}
_THING = ("a {color} {shape}", "a {shape} that is {color}")
_SIZED_THING = ("a {size} {color} {shape}", "a {size} {shape} that is {color}")

# What sentences say of things, the first of which is {0}.
SENTENCES = {
    "place": ("{0} {1}", "{1} is {0}", "there is {0} {1}"),
    "above": (
        "{0} above {1}",
        "{0} over {1}",
        "{0} is higher than {1}",
        "{1} below {0}",
        "{1} under {0}",
    ),
    "left of": (
        "{0} to the left of {1}",
        "{0} left of {1}",
        "{1} to the right of {0}",
        "{1} right of {0}",
    ),
    "opposite": (
        "{0} and {1} in opposite corners",
        "{1} and {0} in opposite corners",
        "{0} opposite {1}",
        "{1} opposite {0}",
    ),
    "right": (
        "{0} moves to the right",
        "{0} goes right",
        "{0} slides to the right",
        "{0} moves rightwards",
    ),
    "left": (
        "{0} moves to the left",
        "{0} goes left",
        "{0} slides to the left",
        "{0} moves leftwards",
    ),
    "down": (
        "{0} moves down",
        "{0} goes down",
        "{0} slides downwards",
        "{0} sinks",
    ),
    "up": (
        "{0} moves up",
        "{0} goes up",
        "{0} slides upwards",
        "{0} rises",
    ),
    "grow": ("{0} grows", "{0} gets larger", "{0} becomes bigger"),
    "shrink": ("{0} shrinks", "{0} gets smaller", "{0} becomes smaller"),
    "clockwise": (
        "{0} turns clockwise",
        "{0} rotates clockwise",
        "{0} spins clockwise",
    ),
    "anticlockwise": (
        "{0} turns anticlockwise",
        "{0} rotates anticlockwise",
        "{0} spins anticlockwise",
    ),
    "appear": ("{0} appears", "{0} shows up", "{0} comes into view"),
    "disappear": ("{0} disappears", "{0} vanishes", "{0} goes out of view"),
    "enter left": (
        "{0} enters from the left",
        "{0} comes in from the left",
    ),
    "leave left": (
        "{0} leaves to the left",
        "{0} goes out to the left",
    ),
    "enter right": (
        "{0} enters from the right",
        "{0} comes in from the right",
    ),
    "leave right": (
        "{0} leaves to the right",
        "{0} goes out to the right",
    ),
    "then": (
        "{0} then {1}",
        "first {0} then {1}",
        "{0} before {1}",
        "{1} after {0}",
    ),
    "approach": (
        "{0} moves towards {1}",
        "{0} comes near {1}",
        "{0} approaches {1}",
    ),
    "retreat": (
        "{0} moves away from {1}",
        "{0} goes away from {1}",
        "{0} retreats from {1}",
    ),
    "long before": (
        "{0} and much later {1}",
        "{0} long before {1}",
        "{1} long after {0}",
        "first {0} and minutes later {1}",
    ),
    "bell": (
        "{0} right after the bell and {1} at another time",
        "the bell rings then {0} and {1} at another time",
        "the bell announces {0} and not {1}",
        "just after the bell {0} and not {1}",
    ),
    "count": (
        "{0} flashes {1}",
        "{0} lights up {1}",
        "{0} is seen {1}",
    ),
    "tally": (
        "{0} flashes {1} and {2} {3}",
        "{2} flashes {3} and {0} {1}",
        "{0} is seen {1} and {2} {3}",
        "{2} is seen {3} and {0} {1}",
    ),
}


@dataclass(frozen=True)
class Meaning:
    """What a caption says, whatever its words.

    Attributes:
        sentence: String, a key of `SENTENCES`.
        parts: Tuple of what fills the sentence: each a tuple of wordings, as
            `name_thing` makes them, the plainest first.
    """

    sentence: str
    parts: tuple

    def __str__(self):
        """The plainest wording."""
        plain = (wordings[0] for wordings in self.parts)
        return SENTENCES[self.sentence][0].format(*plain)

    def draw_wording(self, rng):
        """Draws one of all wordings with a NumPy random generator."""
        return _pick(SENTENCES[self.sentence], rng).format(
            *(_pick(wordings, rng) for wordings in self.parts)
        )


def name_thing(color, shape, size=None):
    """All wordings of a thing, such as "a small red circle"."""
    patterns = _THING if size is None else _SIZED_THING
    sizes = ("",) if size is None else SIZE_NAMES[size]
    return tuple(
        pattern.format(color=color, shape=shape, size=size)
        for pattern, size, color, shape in product(
            patterns, sizes, COLOR_NAMES[color], SHAPE_NAMES[shape]
        )
    )


def draw_wordings(meaning, count, rng):
    """Draws different wordings, the first of them the plainest.

    Args:
        meaning: A `Meaning`, which has at least `count` wordings.
        count: Int.
        rng: NumPy random generator.

    Returns:
        List of `count` strings.
    """
    wordings = [str(meaning)]
    while len(wordings) < count:
        wording = meaning.draw_wording(rng)
        if wording not in wordings:
            wordings.append(wording)
    return wordings


def _pick(options, rng):
    return options[rng.integers(len(options))]


def _words():
    tables = (COLOR_NAMES, SHAPE_NAMES, SIZE_NAMES, COUNTS, PLACES, SENTENCES)
    texts = [text for table in tables for row in table.values() for text in row]
    words = " ".join([*texts, *_THING, *_SIZED_THING]).split()
    return tuple(sorted({word for word in words if "{" not in word}))


# All words that a caption of any split may have.
WORDS = _words()
