"""What the arguments of a `ViViTBackbone` may be, and how they go together."""

import numbers

from keras_longvideo.layers import FactorizedBlock
from keras_longvideo.layers import FrameBlock
from keras_longvideo.layers import TransformerBlock
from keras_longvideo.layers import Tube

# The block of each kind of attention, and how it drops tokens unless told
# otherwise: frames need equally many, and attention over time the same places.
BLOCKS = {
    "joint": TransformerBlock,
    "factorized": FactorizedBlock,
    "frame": FrameBlock,
}
MASK_MODES = {
    "joint": ("random", "tube", "frame"),
    "factorized": ("tube",),
    "frame": ("frame", "tube"),
}
POOLINGS = ("mean", "attention", "map", "token")
TIME_POOLINGS = ("mean", "attention")


def check(
    *,
    image_shape,
    tubelet_size,
    attention,
    tubes,
    positions,
    pooling,
    time_pooling,
    mask_mode,
    num_prefix_tokens,
    **sizes,
):
    """Tells which argument of a `ViViTBackbone` does not fit, if one doesn't.

    Args:
        **sizes: those that are ints of at least 1. The others are named as
            there.

    Raises:
        ValueError: names the argument, what came and what would fit.
    """
    shapes = [("image_shape", image_shape, "(height, width, channels)")]
    if tubes is None:
        meaning = "(frames, height, width), unless there are `tubes`"
        shapes.append(("tubelet_size", tubelet_size, meaning))
    for name, value, meaning in shapes:
        is_three = isinstance(value, (tuple, list)) and len(value) == 3
        if not is_three or not all(map(is_int, value)):
            raise ValueError(
                f"`{name}` must be three ints of at least 1 {meaning}. "
                f"Received: {name}={value!r}"
            )
    for name, value in sizes.items():
        check_int(name, value)
    check_int("num_prefix_tokens", num_prefix_tokens, least=0)
    if not (tubes is None or tubes == "tubevit" or _are_tubes(tubes)):
        raise ValueError(
            "`tubes` must be 'tubevit' or some `Tube`s. "
            f"Received: tubes={tubes!r}"
        )
    for name, value, allowed in (
        ("attention", attention, tuple(BLOCKS)),
        ("positions", positions, ("separate", "joint", "fixed")),
        ("pooling", pooling, POOLINGS),
        ("time_pooling", time_pooling, TIME_POOLINGS),
    ):
        if value not in allowed:
            raise ValueError(
                f"`{name}` must be one of {allowed}. Received: {name}={value!r}"
            )
    modes = MASK_MODES[attention] if tubes is None else ("random",)
    if mask_mode not in (None, *modes):
        raise ValueError(
            f"`mask_mode` must be None or one of {modes} with "
            f"attention={attention!r} and tubes={tubes!r}. "
            f"Received: mask_mode={mask_mode!r}"
        )
    if attention != "joint" and (tubes is not None or positions != "separate"):
        raise ValueError(
            "`tubes`, and `positions` other than 'separate', need "
            "attention='joint': they have no frames. Received: "
            f"attention={attention!r}, tubes={tubes!r}, "
            f"positions={positions!r}"
        )
    if tubes is not None and positions != "separate":
        raise ValueError(
            "`positions` must be 'separate' with `tubes`, which have fixed "
            f"ones of their own. Received: positions={positions!r}"
        )


def check_int(name, value, least=1):
    """Refuses what is not an int of at least `least`."""
    if not is_int(value, least):
        raise ValueError(
            f"`{name}` must be an int of at least {least}. "
            f"Received: {name}={value!r}"
        )


def is_int(value, least=1):
    """Whether something is an int of at least `least`."""
    is_int = isinstance(value, numbers.Integral)
    return is_int and not isinstance(value, bool) and value >= least


def _are_tubes(tubes):
    # In configs, dicts of their arguments.
    is_several = isinstance(tubes, (tuple, list)) and len(tubes) > 0
    return is_several and all(isinstance(x, (Tube, dict)) for x in tubes)
