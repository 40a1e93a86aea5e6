"""Presets of transformers' checkpoints, compared with transformers itself."""

import numpy as np
from keras import ops

import keras_longvideo
from keras_longvideo import hub
from keras_longvideo import models

# Largest difference, as a share of the largest output.
TOLERANCE = 1e-4


def convert(source, output):
    """Loads `source`, compares it with transformers, and saves it.

    Args:
        source: string. Folder or handle.
        output: string. Folder of the preset.

    Returns:
        A dict of the largest differences, by output.

    Raises:
        ValueError: if outputs differ.
    """
    if source.startswith("hf://"):
        source = hub.download_preset(source)
    ours = keras_longvideo.from_preset(source, dtype="float32")
    is_classifier = isinstance(ours, models.VideoClassifier)
    backbone = ours.backbone if is_classifier else ours
    shape = (1, backbone.num_frames, *backbone.image_shape)
    clip = np.random.default_rng(0).normal(size=shape).astype("float32")
    received = {"tokens": backbone(clip)["sequence_output"]}
    if is_classifier:
        received["logits"] = ours(clip)
    expected = run_transformers(source, clip, is_classifier)
    differences = {
        name: difference(ops.convert_to_numpy(x), expected[name])
        for name, x in received.items()
    }
    wrong = {k: x for k, x in differences.items() if not x <= TOLERANCE}
    if wrong:
        raise ValueError(
            f"{source} was not converted: outputs differ from those of "
            f"transformers, as a share of the largest, by {wrong}"
        )
    ours.save_to_preset(output)
    return differences


def run_transformers(source, clip, is_classifier):
    """What transformers computes on a clip `(1, frames, height, width, 3)`."""
    import torch
    import transformers

    # `AutoModel` makes the encoder of a model for pretraining.
    cls = transformers.AutoModel
    if is_classifier:
        cls = transformers.AutoModelForVideoClassification
    model = cls.from_pretrained(source, dtype=torch.float32).eval()
    pixels = torch.from_numpy(clip).permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        encoder = model.base_model
        outputs = {"tokens": encoder(pixels).last_hidden_state.numpy()}
        if is_classifier:
            outputs["logits"] = model(pixels).logits.numpy()
    return outputs


def difference(received, expected):
    largest = np.abs(received - expected).max()
    return float(largest / np.abs(expected).max())
