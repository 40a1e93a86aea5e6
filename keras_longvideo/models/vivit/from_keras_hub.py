"""From an image encoder of KerasHub to a `ViViTBackbone` of one frame."""

import numpy as np
from keras import ops

from keras_longvideo.models.processes import undistributed
from keras_longvideo.models.vivit import keras_hub_encoders

# Largest difference from the source, as a share of its output. Loose enough
# for accelerators that multiply float32 in fewer bits, through many layers.
TOLERANCE = 0.02


# A single picture is no batch to be split over devices.
@undistributed()
def image_encoder(cls, source):
    """Makes an encoder of images of one of KerasHub's, and compares the two.

    Args:
        cls: `ViViTBackbone`.
        source: see `ViViTBackbone.from_image_encoder`.

    Returns:
        A tuple of the encoder, in float32, and the arguments it was made with
        that hold for videos too.

    Raises:
        ValueError: if `source` does not fit, or computes something else.
    """
    encoder = keras_hub_encoders.read(source)
    height, width, channels = encoder.config["image_shape"]
    patch = encoder.patches.kernel_size
    # What is left of a patch at the edge, the source's convolution leaves out.
    rows, columns = height // patch[0], width // patch[1]
    config = {
        **encoder.config,
        "image_shape": (rows * patch[0], columns * patch[1], channels),
    }
    image = cls(
        **config, num_frames=1, tubelet_size=(1, *patch), dtype="float32"
    )
    weights = {**encoder.weights, **_embedding(encoder, rows, columns)}
    for weight in image.weights:
        path = weight.path.removeprefix(f"{image.name}/")
        if path in weights:
            weight.assign(weights[path])
    _check(image, encoder, (height, width, channels))
    return image, config


def _embedding(encoder, rows, columns):
    kernel = ops.convert_to_numpy(encoder.patches.kernel)
    num_prefix, dim = len(encoder.prefix), kernel.shape[-1]
    positions = encoder.positions[num_prefix:]
    weights = {
        "embedding/kernel": kernel[None],
        "embedding/time_positions": np.zeros((1, dim)),
        "embedding/space_positions": positions.reshape(rows, columns, dim),
    }
    if encoder.patches.bias is not None:
        weights["embedding/bias"] = ops.convert_to_numpy(encoder.patches.bias)
    if num_prefix:
        # A prefix token is in one place: its position is part of it.
        prefix = encoder.prefix + encoder.positions[:num_prefix]
        weights["prefix_tokens/prefix"] = prefix
    return weights


def _check(image, encoder, image_shape):
    picture = np.random.default_rng(0).normal(size=(1, *image_shape))
    picture = picture.astype("float32")
    height, width, _ = image.image_shape
    expected = ops.convert_to_numpy(encoder.call(picture))
    received = image(picture[:, None, :height, :width])[encoder.output]
    received = ops.convert_to_numpy(received)
    difference = np.linalg.norm(received - expected)
    difference /= np.linalg.norm(expected)
    # Written so that it is refused where a number is none.
    if not difference < TOLERANCE:
        raise ValueError(
            "`source` computes something else than a `ViViTBackbone` of its "
            f"weights: of a random picture, outputs differ by {difference:.1%}."
            " Its layers may be changed, or of another version of KerasHub."
        )
