"""Efficient ShortViViT, tiny: 75 % of the tubelets dropped in training.

    python tools/pretrain.py --output=runs/short_masked \
        --config=tools/configs/short_vivit_tiny_shapes_masked.py

All else is as in `short_vivit_tiny_shapes.py`.
"""

import dataclasses
import pathlib
import runpy

short = runpy.run_path(
    str(pathlib.Path(__file__).with_name("short_vivit_tiny_shapes.py"))
)["stage"]
stage = dataclasses.replace(
    short, backbone={**short.backbone, "mask_rate": 0.75}
)
