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


def check_group_size(group_size, count, counted):
    """Returns the size of groups that make up `count` things, or raises."""
    group_size = check_int("group_size", group_size)
    if count % group_size:
        raise ValueError(
            f"`group_size` must divide {counted}, which is {count}. "
            f"Received: group_size={group_size}"
        )
    return group_size


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
