"""Efficient ShortViViT, tiny: 75 % of the tubelets dropped in training.

    python tools/pretrain.py --output=runs/short_masked \
        --config=tools/configs/short_vivit_tiny_shapes_masked.py

For four times the steps of `short_vivit_tiny_shapes.py`, that is, on as many
tokens of videos. All else is as there.
"""

import dataclasses
import pathlib
import runpy

short = runpy.run_path(
    str(pathlib.Path(__file__).with_name("short_vivit_tiny_shapes.py"))
)["stage"]
stage = dataclasses.replace(
    short,
    steps=4 * short.steps,
    warmup_steps=4 * short.warmup_steps,
    backbone={**short.backbone, "mask_rate": 0.75},
)
