"""Weights that come to a layer, or leave it, after it was built."""

import contextlib


@contextlib.contextmanager
def changing_weights(layer):
    """Inside, a built layer may get further weights and sublayers.

    Keras locks what a built layer consists of, and has no public name for the
    key: its own `enable_lora` uses this one.

    Args:
        layer: `keras.layers.Layer`.
    """
    was_locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        yield
    finally:
        if was_locked:
            layer._tracker.lock()
