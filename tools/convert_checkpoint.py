"""Converts a checkpoint of transformers to a preset, and compares outputs.

    python tools/convert_checkpoint.py --source=DIR --output=PRESET

`--source` is a folder that transformers' `save_pretrained` wrote, of ViViT or
VideoMAE, or a handle 'hf://org/name'. transformers itself runs it on a clip
of noise, of the length and size that it is made for; where our tokens or
logits differ, nothing is written. Needs transformers and torch
(`pip install "keras-longvideo[benchmark]"`); without them, `from_preset`
loads the same folder, checked in numpy on fewer tokens.
"""

import json
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

from absl import app
from absl import flags
from checkpoint_conversion import convert

_SOURCE = flags.DEFINE_string(
    "source", None, "Folder or hf:// handle to convert."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the preset.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    differences = convert(_SOURCE.value, _OUTPUT.value)
    print(json.dumps({"output": _OUTPUT.value, "differences": differences}))


if __name__ == "__main__":
    flags.mark_flags_as_required(["source", "output"])
    app.run(main)
