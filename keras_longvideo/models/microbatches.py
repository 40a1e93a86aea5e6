"""A batch encoded a few examples at a time, with the gradients of all."""

import math

import keras
from keras import ops

from keras_longvideo.models.processes import num_parts


def check_microbatch_size(size):
    """Tells what is wrong with a `microbatch_size`, if anything.

    Args:
        size: what a user gave; None is a whole batch.

    Raises:
        ValueError: if it is no positive int, or the backend is not JAX.
    """
    if size is None:
        return
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(
            "`microbatch_size` must be None or an int of at least 1. "
            f"Received: microbatch_size={size!r}"
        )
    if keras.backend.backend() != "jax":
        raise ValueError(
            "`microbatch_size` needs the JAX backend. Received: "
            f"microbatch_size={size} on {keras.backend.backend()}"
        )


def in_microbatches(stateless_call, model, size):
    """Makes a model's `stateless_call` encode some examples at a time.

    The outputs and their gradients are those of the whole batch, but what the
    backward pass needs is not kept: it encodes each microbatch again. Memory
    follows `size`, and the forward pass is computed twice. On JAX alone.

    Under a `keras.distribution`, each device holds a part of the batch. Every
    microbatch takes as much of each part, so that all devices work on it and
    no pixel moves from one to another.

    Args:
        stateless_call: the function to call with each microbatch, as
            `keras.Layer.stateless_call`.
        model: the `keras.Model` whose `stateless_call` it is. Random seeds go
            from microbatch to microbatch. No other state may change while it
            is called, and its layers may add no losses.
        size: int. Examples of a microbatch; it divides the batch, or is not
            below it.

    Returns:
        A function with the arguments and outputs of `stateless_call`.
    """

    def call(trainable, non_trainable, inputs, return_losses=False):
        import jax

        count = _count(len(jax.tree.leaves(inputs)[0]), size)
        if count == 1:
            return stateless_call(
                trainable, non_trainable, inputs, return_losses=return_losses
            )
        # A microbatch is `[:, index]`: on each device one whole block of
        # memory, which is read in place.
        parts = math.gcd(size, num_parts())
        grid = (parts, count, size // parts)
        inputs = jax.tree.map(
            lambda x: ops.reshape(x, (*grid, *x.shape[1:])), inputs
        )
        non_trainable = [ops.convert_to_tensor(x) for x in non_trainable]
        weights = {id(w) for w in model.non_trainable_weights}
        is_seed = [id(v) not in weights for v in model.non_trainable_variables]

        # Pixels and weights come from the closure: a microbatch of pixels that
        # was an argument would be kept for the backward pass, and weights that
        # were carried on would be kept once a microbatch.
        def encode(seeds, index):
            def pick(x):
                x = jax.lax.dynamic_index_in_dim(x, index, 1, keepdims=False)
                return ops.reshape(x, (size, *x.shape[2:]))

            outputs, state, losses = stateless_call(
                trainable,
                _merge(is_seed, seeds, non_trainable),
                jax.tree.map(pick, inputs),
                return_losses=True,
            )
            _check(model, losses, is_seed, non_trainable, state)
            return _select(is_seed, state), outputs

        seeds, outputs = jax.lax.scan(
            # Within a loop there is no common subexpression to guard against.
            jax.checkpoint(encode, prevent_cse=False),
            _select(is_seed, non_trainable),
            ops.arange(count),
        )

        def in_order(x):
            x = ops.reshape(x, (count, parts, -1, *x.shape[2:]))
            return ops.reshape(ops.swapaxes(x, 0, 1), (-1, *x.shape[3:]))

        outputs = jax.tree.map(in_order, outputs)
        state = _merge(is_seed, seeds, non_trainable)
        return (outputs, state, []) if return_losses else (outputs, state)

    return call


def _count(batch, size):
    """Microbatches of a batch, or which sizes would fit."""
    if size >= batch:
        return 1
    if batch % size:
        fitting = [n for n in range(1, batch + 1) if batch % n == 0]
        below = max(n for n in fitting if n < size)
        above = min(n for n in fitting if n > size)
        raise ValueError(
            "`microbatch_size` must divide the batch. Received: "
            f"microbatch_size={size} for a batch of {batch}; {below} or "
            f"{above} would fit. Leave out a last batch that is not full."
        )
    return batch // size


def _select(mask, values):
    return [x for x, selected in zip(values, mask, strict=True) if selected]


def _merge(mask, selected, others):
    selected = iter(selected)
    return [
        next(selected) if is_selected else other
        for is_selected, other in zip(mask, others, strict=True)
    ]


def _check(model, losses, is_seed, before, after):
    """Refuses what would not come out as in a whole batch."""
    if losses:
        raise ValueError(
            "`microbatch_size` is for models whose layers add no losses "
            "(`add_loss`, regularizers). "
            f"Received: a model with {len(losses)} of them"
        )
    for variable, seed, old, new in zip(
        model.non_trainable_variables, is_seed, before, after, strict=True
    ):
        if not seed and new is not old:
            raise ValueError(
                "`microbatch_size` is for models that change no weight while "
                "they are called, as batch normalization does. "
                f"Received: a model that changes {variable.path!r}"
            )
