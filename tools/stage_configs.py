"""Reads the configs of `pretrain.py`."""

import ast
import dataclasses
import runpy

from keras_longvideo import training


def read_stage(path, steps=None, seed=None, settings=()):
    """The stage of a config, with some fields in place of its own.

    Args:
        path: string. A Python file that sets `stage`.
        steps: int or None.
        seed: int or None.
        settings: list of strings `name=value`; a value is Python, or else a
            string.

    Returns:
        A `keras_longvideo.training.Stage`.

    Raises:
        ValueError: if the file sets no stage, or a setting names no field.
    """
    stage = runpy.run_path(path).get("stage")
    if not isinstance(stage, training.Stage):
        raise ValueError(
            "`config` must be a Python file that sets `stage` to a "
            f"`keras_longvideo.training.Stage`. Received: {path}"
        )
    fields = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        known = [field.name for field in dataclasses.fields(stage)]
        if not equals or name not in known:
            raise ValueError(
                f"`set` must be name=value, with a name of {known}. "
                f"Received: {setting!r}"
            )
        try:
            fields[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            fields[name] = value
    if steps is not None:
        fields["steps"] = steps
    if seed is not None:
        fields["seed"] = seed
    return dataclasses.replace(stage, **fields)
