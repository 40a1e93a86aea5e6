"""ShortViViT, tiny: joint attention over 16 frames, on pictures and videos.

    python tools/pretrain.py --config=tools/configs/short_vivit_tiny_shapes.py \
        --output=runs/short

Starts from the preset of `image_vivit_tiny_shapes.py` in `runs/image`; name
another one with `--set=preset=...`. Renders its data to `data/shapes` at
first.
"""

from keras_longvideo.data import render_videos
from keras_longvideo.training import Source
from keras_longvideo.training import Stage


def videos(split, num_videos, ratio):
    return Source(
        render_videos(f"data/shapes/{split}_train", split, num_videos),
        batch_size=32,
        group_size=2,
        cache=True,
        ratio=ratio,
    )


stage = Stage(
    preset="runs/image/preset",
    train=(
        Source(
            render_videos("data/shapes/image_train", "image", 10_000),
            batch_size=256,
            num_frames=1,
            group_size=2,
            cache=True,
        ),
        videos("spatial", 4000, ratio=1),
        # Order is what takes longest to learn.
        videos("temporal", 10_000, ratio=4),
    ),
    held_out={
        split: render_videos(
            f"data/shapes/{split}_held_out", split, 200, held_out=True
        )
        for split in ("spatial", "temporal")
    },
    steps=1200,
    # A higher one forgets much of what the stage of pictures has learned.
    learning_rate=5e-4,
    warmup_steps=60,
    backbone={
        "num_frames": 16,
        "tubelet_size": (2, 16, 16),
        "attention": "joint",
    },
    sequence_length=16,
)
