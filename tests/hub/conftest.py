"""A preset written by hand, for tests that only move files."""

import json

import h5py
import pytest


def write_json(path, content):
    path.write_text(json.dumps(content))


def write_weights(path, *groups):
    with h5py.File(path, "w") as weights:
        for group in groups:
            weights.create_group(group)["0"] = [1.0, 2.0]


@pytest.fixture
def preset(tmp_path):
    """The directory of a video classifier's preset."""
    directory = tmp_path / "preset"
    directory.mkdir()
    backbone = {
        "class_name": "ViViTBackbone",
        "registered_name": "keras_longvideo>ViViTBackbone",
        "config": {
            "name": "vivit_backbone",
            "trainable": True,
            "dtype": {
                "class_name": "DTypePolicy",
                "config": {"name": "bfloat16"},
            },
            "num_frames": 32,
            "image_shape": [64, 48, 3],
            "tubelet_size": [2, 16, 16],
            "pooling": "mean",
        },
    }
    task = {
        "class_name": "ViViTVideoClassifier",
        "registered_name": "keras_longvideo>ViViTVideoClassifier",
        "config": {"backbone": backbone, "num_classes": 2},
    }
    metadata = {"parameter_count": 1234567, "keras_version": "3.15.1"}
    write_json(directory / "config.json", backbone)
    write_json(directory / "task.json", task)
    write_json(directory / "metadata.json", metadata)
    write_weights(directory / "model.weights.h5", "layers")
    write_weights(directory / "task.weights.h5", "layers")
    vocabulary = directory / "assets" / "tokenizer" / "vocabulary.txt"
    vocabulary.parent.mkdir(parents=True)
    vocabulary.write_text("[PAD]\nthe\n")
    return directory
