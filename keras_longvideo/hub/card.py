"""The model card that goes with a preset that has none of its own."""

import json
import pathlib
import re

from keras_longvideo.hub.handles import parse_handle
from keras_longvideo.hub.preset_files import read_json

TEMPLATE = """\
---
{front_matter}
---

# {name}

{introduction}

## Use

```py
import keras_longvideo

model = keras_longvideo.from_preset("{handle}")
```

It runs on the JAX, TensorFlow and PyTorch backends of Keras 3.

## Contents

{contents}

## Configuration

{configuration}

{sections}
"""
NOT_KNOWN = """\
This card was written from the files of the preset. They do not tell what data
the model was trained on, how well it does, where it fails or what it should
not be used for{license_note}. Its author can add that here."""
# What `from_preset` takes beside handles and paths.
BUILT_IN_NAME = re.compile(r"[a-z0-9_]+")
LONGEST_VALUE = 100  # Characters of a value in a table.


def model_card(preset_directory, handle, license=None, sections=None):
    """Writes a model card from what the files of a preset tell.

    It says what the model is, how to load it and how it is configured. What
    the files do not tell is up to `sections`; without them, the card says
    plainly that it is not known.

    Args:
        preset_directory: str or path. A directory that `save_to_preset()`
            wrote. Nothing is written into it.
        handle: str. Where the preset will be, `"hf://organization/name"`, or
            the name of a built-in one.
        license: str or None. The Hub's identifier of the license, such as
            `"apache-2.0"`. Defaults to `None`, no license stated.
        sections: dict or None. Markdown by its heading, such as `"Data"`,
            `"Scores"` and `"Limits"`, in this order. Defaults to `None`.

    Returns:
        str. The text of a `README.md`: YAML front matter, then Markdown.

    Raises:
        ValueError: If `handle` or `license` has another form, a section is
            empty, or the directory holds damaged JSON.
        FileNotFoundError: If the directory has no `config.json`.

    Example:

    ```python
    import json
    import pathlib
    import tempfile

    from keras_longvideo.hub import model_card

    with tempfile.TemporaryDirectory() as directory:
        config = {"class_name": "Backbone", "config": {"num_frames": 32}}
        path = pathlib.Path(directory, "config.json")
        path.write_text(json.dumps(config))
        print(model_card(directory, "hf://someone/some_model"))
    ```
    """
    name = handle
    if not (isinstance(handle, str) and BUILT_IN_NAME.fullmatch(handle)):
        name = parse_handle(handle).repo_id.split("/")[1]
    if license is not None and not re.fullmatch(r"[a-z0-9.-]+", license):
        raise ValueError(
            "`license` must be an identifier of the Hub, in lower case, such "
            f"as 'apache-2.0', 'mit' or 'other'. Received: license={license!r}"
        )
    if sections is None:
        license_note = "" if license else ", nor under which license it comes"
        text = NOT_KNOWN.format(license_note=license_note)
        sections = {"What is not known": text}
    empty = [heading for heading, text in sections.items() if not text.strip()]
    if empty:
        raise ValueError(
            f"`sections` must hold text. Received none under: {empty}"
        )
    root = pathlib.Path(preset_directory)
    backbone = read_json(root / "config.json")
    task = _read_if_there(root / "task.json")
    metadata = _read_if_there(root / "metadata.json")
    return TEMPLATE.format(
        front_matter=_front_matter(task, license),
        name=name,
        introduction=_introduction(backbone, task),
        handle=handle,
        contents=_table("Part", _contents(root, backbone, task, metadata)),
        configuration=_table("Option", _options(backbone["config"])),
        sections="\n\n".join(
            f"## {heading}\n\n{text.strip()}"
            for heading, text in sections.items()
        ),
    )


def _read_if_there(path):
    return read_json(path) if path.is_file() else {}


def _front_matter(task, license):
    lines = ["library_name: keras-hub"]
    # The Hub files a model under what it is used for, if it has a word for it.
    if not task:
        lines.append("pipeline_tag: feature-extraction")
    elif "VideoClassifier" in task["class_name"]:
        lines.append("pipeline_tag: video-classification")
    if license:
        lines.append(f"license: {license}")
    lines += ["tags:", "- keras", "- keras-longvideo", "- video"]
    return "\n".join(lines)


def _introduction(backbone, task):
    if not task:
        return f"A `{backbone['class_name']}`, saved as a KerasHub preset."
    return (
        f"A `{task['class_name']}` on a `{backbone['class_name']}`, saved as "
        "a KerasHub preset."
    )


def _contents(root, backbone, task, metadata):
    """Yields the rows of the table of what the preset holds."""
    if task:
        yield "Task", f"`{task['class_name']}`"
    yield "Backbone", f"`{backbone['class_name']}`"
    parameters = metadata.get("parameter_count")
    if parameters is not None:
        yield "Parameters of the backbone", f"{parameters:,}"
    size = sum(path.stat().st_size for path in root.glob("*.weights.h5"))
    yield "Weights on disk", f"{size / 1e6:,.1f} MB"
    preprocessor = _read_if_there(root / "preprocessor.json")
    if preprocessor:
        yield "Preprocessor", f"`{preprocessor['class_name']}`"
    if "keras_version" in metadata:
        yield "Saved with Keras", metadata["keras_version"]
    if "keras_hub_version" in metadata:
        yield "Saved with KerasHub", metadata["keras_hub_version"]


def _options(config, prefix=""):
    """Yields the rows of all options, those of nested objects dotted."""
    for key, value in config.items():
        name = f"`{prefix}{key}`"
        if key in ("name", "trainable"):
            continue
        if not (isinstance(value, dict) and "class_name" in value):
            yield name, f"`{_shorten(json.dumps(value))}`"
        elif key == "dtype":
            # A policy is known by its name, such as "mixed_bfloat16".
            policy = value.get("config") or {}
            yield name, f"`{policy.get('name', value['class_name'])}`"
        else:
            yield name, f"`{value['class_name']}`"
            yield from _options(value.get("config") or {}, f"{prefix}{key}.")


def _shorten(text):
    if len(text) <= LONGEST_VALUE:
        return text
    return text[: LONGEST_VALUE - 3] + "..."


def _table(header, rows):
    lines = [f"| {header} | |", "|---|---|"]
    for name, value in rows:
        # A bar would end the cell.
        lines.append(f"| {name} | {str(value).replace('|', chr(92) + '|')} |")
    return "\n".join(lines)
