"""Puts a trained retriever into the package, as a built-in preset.

From the folder of a run of `tools/pretrain.py`, with its `preset/`,
`stage.json` and `results.json`:

    python tools/package_preset.py --run=runs/short \\
        --name=short_vivit_tiny_shapes

`keras_longvideo/presets/<name>/` then holds the preset with its matrices in
float16, a model card, and `golden.npz`: two clips and two captions with the
embeddings that every backend has to make of them. From there on,
`keras_longvideo.from_preset(name)` loads it, in float32.

What float16 costs is measured before anything is written: a cosine between an
embedding before and after that is below 0.9999, or a Recall@1 that is more than
one answer lower, is refused. So are presets of more than 20 MB in all.
"""

import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")

from absl import app
from absl import flags
from preset_packaging import package_preset

import keras_longvideo
from keras_longvideo import data

_RUN = flags.DEFINE_string("run", None, "Folder of the run.")
_NAME = flags.DEFINE_string("name", None, "Name of the built-in preset.")
_COMMAND = flags.DEFINE_string(
    "command",
    None,
    "What trains it, for the card. Else that of the config of its name.",
)
_MANIFESTS = flags.DEFINE_list(
    "manifests",
    [],
    "Held-out sets to score it on, as NAME=PATH. Those of the run where none "
    "are named.",
)
_ROOT = flags.DEFINE_string(
    "root",
    str(pathlib.Path(keras_longvideo.__file__).parent / "presets"),
    "Folder of all packaged presets.",
)


def default_command(run, name):
    output = pathlib.Path("runs", pathlib.Path(run).name)
    return (
        f"python tools/pretrain.py --config=tools/configs/{name}.py \\\n"
        f"    --output={output}"
    )


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    if not all("=" in entry for entry in _MANIFESTS.value):
        raise app.UsageError(
            f"--manifests must be NAME=PATH,... Received: {_MANIFESTS.value}"
        )
    sets = dict(entry.split("=", 1) for entry in _MANIFESTS.value)
    if not sets:
        stage = pathlib.Path(_RUN.value, "stage.json").read_text("utf-8")
        sets = json.loads(stage)["held_out"]
    report = package_preset(
        _RUN.value,
        _NAME.value,
        _ROOT.value,
        _COMMAND.value or default_command(_RUN.value, _NAME.value),
        {name: data.read_manifest(path) for name, path in sets.items()},
    )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    flags.mark_flags_as_required(["run", "name"])
    app.run(main)
