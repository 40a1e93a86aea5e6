"""Runs a stage of pre-training, which a config describes.

Image to short to long, each from the preset that the stage before left:

    python tools/pretrain.py --config=tools/configs/image_vivit_tiny_shapes.py \
        --output=runs/image
    python tools/pretrain.py --config=tools/configs/short_vivit_tiny_shapes.py \
        --output=runs/short
    python tools/pretrain.py --config=tools/configs/long_vivit_tiny_shapes.py \
        --output=runs/long

A config is a Python file that sets `stage`, a
`keras_longvideo.training.Stage`; any field of it can be set here, too:

    python tools/pretrain.py --config=tools/configs/short_vivit_tiny_shapes.py \
        --output=runs/short_quick --steps=200 --set=learning_rate=1e-3 \
        --set=warmup_steps=10

The same command goes on where a run was interrupted. In the output folder are
`log.csv` and TensorBoard's events (`pip install tensorboard`, then
`tensorboard --logdir=runs`), the last two checkpoints, and in the end `preset/`
and `results.json`.
"""

import os

# Keras takes its backend from here: "jax", "tensorflow" or "torch".
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
from stage_configs import read_stage

from keras_longvideo import training

_CONFIG = flags.DEFINE_string("config", None, "Python file that sets `stage`.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the run.")
_STEPS = flags.DEFINE_integer("steps", None, "Steps, in place of the config's.")
_SEED = flags.DEFINE_integer("seed", None, "Seed, in place of the config's.")
_SET = flags.DEFINE_multi_string(
    "set", [], "A field of the stage in place of the config's, as name=value."
)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    stage = read_stage(_CONFIG.value, _STEPS.value, _SEED.value, _SET.value)
    results = training.pretrain(stage, _OUTPUT.value)
    for name, value in results.items():
        print(f"{name:<40}{value:>12.4f}")
    print(f"Wrote {os.path.join(_OUTPUT.value, 'preset')}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "output"])
    app.run(main)
