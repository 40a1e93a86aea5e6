"""Checks of arguments that several functions share."""

import math

import numpy as np

from keras_longvideo.video.resize import check_image_size


def check_int(name, value, least=1):
    """Returns an argument as an int of at least `least`, or raises."""
    is_int = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_int or value < least:
        raise ValueError(
            f"`{name}` must be an int of at least {least}. "
            f"Received: {name}={value!r}"
        )
    return int(value)


def check_positive(name, value):
    """Returns an argument that is a positive, finite number, or raises."""
    kinds = int | float | np.integer | np.floating
    if not isinstance(value, kinds) or not 0 < value < math.inf:
        raise ValueError(
            f"`{name}` must be a positive number. Received: {name}={value!r}"
        )
    return float(value)


def check_clip(num_frames, fps, image_size):
    """Returns the arguments that describe a clip, or raises."""
    return (
        check_int("num_frames", num_frames),
        None if fps is None else check_positive("fps", fps),
        check_image_size(image_size),
    )
