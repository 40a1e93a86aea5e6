"""Weights that come to a layer, or leave it, after it was built."""

import contextlib


@contextlib.contextmanager
def changing_weights(layer):
    """Inside, a built layer may get further weights and sublayers.

    Keras locks what a built layer consists of, and has no public name for the
    key: its own `enable_lora` uses this one. Nor has it for the scope that
    gives weights their paths.

    Args:
        layer: `keras.layers.Layer`.
    """
    was_locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        with layer._open_name_scope():
            yield
    finally:
        if was_locked:
            layer._tracker.lock()


def forget_weight(layer, name):
    """Takes a weight from a built layer; its attribute becomes None.

    Deleting the attribute does so, too, but Keras then collects garbage each
    time: minutes, for all layers of a large encoder.

    Args:
        layer: `keras.layers.Layer`.
        name: string. The attribute that holds the weight.
    """
    layer._untrack_variable(getattr(layer, name))
    setattr(layer, name, None)
