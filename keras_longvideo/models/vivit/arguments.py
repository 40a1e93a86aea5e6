"""What the arguments of a `ViViTBackbone` may be, and how they go together."""

from keras_longvideo.layers import FactorizedBlock
from keras_longvideo.layers import FrameBlock
from keras_longvideo.layers import TransformerBlock

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
):
    """Tells which argument of a `ViViTBackbone` does not fit, if one doesn't.

    Raises:
        ValueError: names the argument, what came and what would fit.
    """
    shapes = [("image_shape", image_shape, "(height, width, channels)")]
    if tubes is None:
        meaning = "(frames, height, width), unless there are `tubes`"
        shapes.append(("tubelet_size", tubelet_size, meaning))
    for name, value, meaning in shapes:
        if value is None or len(value) != 3:
            raise ValueError(
                f"`{name}` must be three ints {meaning}. "
                f"Received: {name}={value}"
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
