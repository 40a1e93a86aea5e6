"""ImageViT, tiny, on pictures of shapes: what the other stages start from.

    python tools/pretrain.py --config=tools/configs/image_vivit_tiny_shapes.py \
        --output=runs/image

Renders its data to `data/shapes` at first.
"""

from keras_longvideo.data import render_videos
from keras_longvideo.training import Source
from keras_longvideo.training import Stage

stage = Stage(
    preset="image_vivit_tiny",
    train=(
        Source(
            render_videos("data/shapes/image_train", "image", 10_000),
            batch_size=256,
            num_frames=1,
            group_size=2,
            cache=True,
        ),
    ),
    held_out={
        "image": render_videos(
            "data/shapes/image_held_out", "image", 200, held_out=True
        ),
    },
    steps=1000,
    learning_rate=1.5e-3,
    warmup_steps=50,
    # The words of all stages: later ones go on with this one's.
    vocabulary="tools/configs/shapes_vocabulary.txt",
    sequence_length=16,
)
