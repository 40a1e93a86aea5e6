"""Names and handles of presets, and what they stand for."""

import dataclasses
import difflib
import fnmatch
import inspect
import json
import pathlib

from keras_longvideo.hub import download_preset
from keras_longvideo.models.vivit.vivit_presets import vivit_presets

HUB_PREFIX = "hf://"


@dataclasses.dataclass(frozen=True)
class Preset:
    """An opened preset: its serialized objects, and where its weights lie."""

    name: str
    # Serialized Keras objects, as `keras.saving` writes them. A built-in
    # configuration has the backbone's `config` alone.
    backbone: dict
    task: dict | None = None
    preprocessor: dict | None = None
    directory: pathlib.Path | None = None

    def weights(self, stem):
        """The path of the weights `stem` (`"model"` or `"task"`)."""
        for suffix in ("h5", "json"):
            path = self.directory / f"{stem}.weights.{suffix}"
            if path.exists():
                return str(path)
        raise FileNotFoundError(
            f"The preset {self.name!r} has no file '{stem}.weights.h5'. Save "
            "it anew, or pass `load_weights=False` for random weights."
        )


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
    # ['short_vivit_base', 'short_vivit_large', 'short_vivit_tiny']
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
                "weights, then train it; or name a directory or a "
                "'hf://org/name' that holds trained weights."
            )
        return Preset(name, backbone={"config": entry["config"]})
    if name.startswith(HUB_PREFIX):
        return _read(name, pathlib.Path(download_preset(name)))
    directory = pathlib.Path(preset)
    if directory.is_dir():
        return _read(name, directory)
    close = difflib.get_close_matches(name, vivit_presets, n=3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise ValueError(
        f"There is no preset {name!r}.{hint} A preset is a built-in name "
        "(see `keras_longvideo.list_presets()`), a directory, or a handle "
        "'hf://org/name' or 'hf://org/name@revision'."
    )


def _read(name, directory):
    def read(file_name):
        path = directory / file_name
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text("utf-8"))
        except ValueError as e:
            raise ValueError(
                f"The preset {name!r} is broken: {file_name} is no JSON ({e})."
            ) from e

    backbone = read("config.json")
    if backbone is None or "registered_name" not in backbone:
        raise ValueError(
            f"{name!r} holds no Keras preset: it has no config.json of a "
            "saved Keras object. Write one with `save_to_preset`."
        )
    return Preset(
        name,
        backbone=backbone,
        task=read("task.json"),
        preprocessor=read("preprocessor.json"),
        directory=directory,
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
