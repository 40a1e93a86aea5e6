"""LongViViT, tiny: 256 frames, 75 % masked, the last half of the layers tuned.

    python tools/pretrain.py --config=tools/configs/long_vivit_tiny_shapes.py \
        --output=runs/long

Starts from the preset of `short_vivit_tiny_shapes.py` in `runs/short`; name
another one with `--set=preset=...`. Renders its data to `data/shapes` at
first, and decodes it into 12.6 GB of files there. The paper tunes the last 4 of
12 or 24 layers; tiny has 4.
"""

from keras_longvideo.data import render_videos
from keras_longvideo.training import Source
from keras_longvideo.training import Stage

stage = Stage(
    preset="runs/short/preset",
    train=(
        Source(
            render_videos("data/shapes/long_train", "long", 4000),
            batch_size=16,
            num_frames=256,
            fps=1.0,
            group_size=2,
            cache="data/shapes/long_train.clips",
        ),
    ),
    held_out={
        "long": render_videos(
            "data/shapes/long_held_out", "long", 200, held_out=True
        ),
    },
    steps=600,
    checkpoint_every=50,
    learning_rate=3e-4,
    warmup_steps=30,
    backbone={"num_frames": 256, "mask_rate": 0.75},
    adapt={"last_layers": 2},
    fps=1.0,
    sequence_length=20,
    evaluation_batch_size=8,
)
