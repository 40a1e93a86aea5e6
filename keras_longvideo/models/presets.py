"""Names and handles of presets, and what they stand for."""

import difflib
import fnmatch
import inspect
import os
import pathlib

from keras_longvideo.hub import download_preset
from keras_longvideo.models.preset import Preset
from keras_longvideo.models.preset import read_json
from keras_longvideo.models.vivit.from_transformers import TransformersPreset
from keras_longvideo.models.vivit.vivit_presets import vivit_presets

HUB_PREFIX = "hf://"


def list_presets(pattern="*"):
    """Lists the built-in presets.

    Args:
        pattern: string. A shell-style pattern such as `"short_*"`. Defaults
            to `"*"`, all.

    Returns:
        A sorted list of names.

    Example:

    ```python
    import keras_longvideo

    keras_longvideo.list_presets("short_*")
    # ['short_vivit_base', 'short_vivit_large', 'short_vivit_tiny', ...]
    ```
    """
    return sorted(fnmatch.filter(vivit_presets, pattern))


def open_preset(preset, load_weights=True):
    """Finds and reads a preset.

    Args:
        preset: string or path. A built-in name, a directory, or a handle
            `"hf://org/name"` or `"hf://org/name@revision"`; or a `Preset`,
            which is open already.
        load_weights: bool. Whether weights will be wanted.

    Returns:
        A `Preset`.

    Raises:
        ValueError: if there is no such preset, or a built-in one whose weights
            are wanted and not published.
    """
    if isinstance(preset, Preset):
        return preset
    name = str(preset)
    if name in vivit_presets:
        entry = vivit_presets[name]
        if entry["handle"] is not None:
            return open_preset(entry["handle"], load_weights)
        if load_weights:
            raise ValueError(
                f"The preset {name!r} has no published weights yet. Pass "
                "`load_weights=False` for its architecture with random "
                "weights, then train it; or name a preset, a directory or a "
                "'hf://org/name' that holds trained weights. Built in are: "
                f"{_trained() or 'none'}"
            )
        return Preset(name, backbone={"config": entry["config"]})
    if name.startswith(HUB_PREFIX):
        return _read(name, pathlib.Path(download_preset(name)))
    # The path of nothing would be that of the working directory.
    is_path = isinstance(preset, str | os.PathLike) and name
    if is_path and pathlib.Path(preset).is_dir():
        return _read(name, pathlib.Path(preset))
    close = difflib.get_close_matches(name, vivit_presets, n=3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise ValueError(
        f"There is no preset {preset!r}.{hint} A preset is a built-in name "
        "(see `keras_longvideo.list_presets()`), a directory, or a handle "
        "'hf://org/name' or 'hf://org/name@revision'."
    )


def _trained():
    return sorted(name for name, x in vivit_presets.items() if x["handle"])


def _read(name, directory):
    config = read_json(name, directory, "config.json") or {}
    if str(config.get("registered_name")).startswith("keras_hub>"):
        raise ValueError(
            f"{name!r} holds a model of KerasHub, {config['registered_name']}: "
            "load it with `keras_hub`. A video encoder is made of an image "
            "encoder by `ViViTBackbone.from_image_encoder`."
        )
    if "registered_name" in config:
        return Preset.read(name, directory)
    if "model_type" in config:
        return TransformersPreset.read(name, directory)
    raise ValueError(
        f"{name!r} holds no Keras preset and no model of transformers: it has "
        "no config.json of either. Write one with `save_to_preset`."
    )


def argument_names(cls):
    """The names that a class's `__init__` takes, `**kwargs` left out."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    named = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    return {p.name for p in parameters if p.kind in named} - {"self"}


def check_overrides(overrides, allowed):
    """Refuses overrides that nothing would take.

    Args:
        overrides: dict of arguments.
        allowed: set of names.

    Raises:
        ValueError: if a name is not allowed; names what would fit.
    """
    unknown = sorted(set(overrides) - set(allowed))
    if unknown:
        raise ValueError(
            f"Unknown overrides: {unknown}. This preset takes {sorted(allowed)}"
        )
