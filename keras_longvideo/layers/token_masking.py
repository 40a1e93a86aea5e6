"""Dropping tokens at random, so that training sees only part of a video."""

import numbers

import keras
from keras import ops

from keras_longvideo.ops import gather_tokens
from keras_longvideo.ops import keep_indices

MODES = ("random", "tube", "frame")


@keras.saving.register_keras_serializable(package="keras_longvideo")
class TokenMasking(keras.layers.Layer):
    """Keeps a fixed number of an example's tokens, drawn anew at each call.

    The number kept depends on shapes alone, so compiled programs stay static,
    and compute and memory follow the kept tokens.

    Args:
        rate: float in `[0, 1)`. The share of tokens to drop. Defaults to
            `0.75`, which the LongViViT paper trains with.
        mode: `"random"` keeps exactly `round((1 - rate) * tokens)` of all
            tokens, and drops tokens of padding before any other. `"tube"`
            keeps the same `round((1 - rate) * places)` places of the picture
            at every time; `"frame"` keeps as many at every time, drawn anew
            for each. Defaults to `"random"`.
        at_inference: bool. Whether to drop tokens outside of training too.
            Defaults to `False`.
        seed: int or None. Seed of the random numbers.
        **kwargs: other arguments of `keras.layers.Layer`.

    Call arguments:
        tokens: tensor of shape `(batch, times * rows * columns, ...)`, of any
            dtype.
        grid: tuple of ints `(times, rows, columns)`.
        token_mask: optional bool tensor of shape `(batch, tokens)`, `False`
            for padding.
        training: bool.

    Returns:
        A tuple of the kept tokens, of shape `(batch, kept, ...)`, and their
        int32 indices, of shape `(batch, kept)`, ascending. The tokens as they
        came and `None` where nothing is dropped.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.layers import TokenMasking

    masking = TokenMasking(rate=0.75)
    tokens = np.random.normal(size=(2, 64, 8)).astype("float32")
    kept, indices = masking(tokens, grid=(4, 4, 4), training=True)
    kept.shape  # (2, 16, 8)
    ```
    """

    def __init__(
        self, rate=0.75, mode="random", at_inference=False, seed=None, **kwargs
    ):
        # Without a cast: tokens may be raw uint8 pixels, or wide floats.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
            raise ValueError(
                "`rate` must be at least 0 and below 1. "
                f"Received: rate={rate!r}"
            )
        if mode not in MODES:
            raise ValueError(
                f"`mode` must be one of {MODES}. Received: mode={mode!r}"
            )
        self.rate = rate
        self.mode = mode
        self.at_inference = at_inference
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        # From the start, for `quantize` of the model that it is a part of.
        self.built = True

    def call(self, tokens, grid, token_mask=None, training=None):
        if self.rate == 0 or not (training or self.at_inference):
            return tokens, None
        times, rows, columns = grid
        places = rows * columns
        batch = ops.shape(tokens)[0]
        if self.mode == "random":
            indices = self._draw(batch, times * places, token_mask)
        else:
            # Places of the picture; the same ones at all times for tubes.
            draws = 1 if self.mode == "tube" else times
            kept = self._draw(batch * draws, places)
            kept = ops.reshape(kept, (-1, draws, kept.shape[1]))
            starts = ops.arange(times, dtype="int32")[None, :, None] * places
            indices = ops.reshape(starts + kept, (-1, times * kept.shape[2]))
        return gather_tokens(tokens, indices), indices

    def _draw(self, batch, num_tokens, token_mask=None):
        """Random indices, `(batch, kept)`, in ascending order."""
        noise = keras.random.uniform(
            (batch, num_tokens), dtype="float32", seed=self.seed_generator
        )
        num_kept = max(1, round((1 - self.rate) * num_tokens))
        return keep_indices(noise, num_kept, token_mask)

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "rate": self.rate,
                "mode": self.mode,
                "at_inference": self.at_inference,
                "seed": self.seed,
            }
        )
        return config
