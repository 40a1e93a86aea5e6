"""A tiny retriever, videos and a stage for the tests of training."""

import types

import keras
import keras_hub
import numpy as np
import pytest

from keras_longvideo import models
from keras_longvideo import training
from keras_longvideo.data import write_manifest
from keras_longvideo.video import write_video

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue"]
WORDS += ["green", "dim", "ball", "box"]


def make_retriever():
    backbone = models.ViViTBackbone(
        image_shape=(16, 16, 3),
        num_frames=2,
        tubelet_size=(2, 8, 8),
        hidden_dim=8,
        num_layers=1,
        num_heads=2,
        intermediate_dim=8,
    )
    text_backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(WORDS),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=8,
        max_sequence_length=8,
        dropout=0.0,
    )
    preprocessor = models.VideoTextPreprocessor(
        models.VideoConverter(2, (16, 16), fps=None),
        keras_hub.tokenizers.BertTokenizer(WORDS, lowercase=True),
        sequence_length=6,
    )
    return models.VideoTextRetriever(
        backbone, text_backbone, preprocessor, projection_dim=8
    )


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("start") / "preset"
    make_retriever().save_to_preset(folder)
    return str(folder)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Eight videos of two frames and two captions each."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    videos = [folder / f"{i}.mp4" for i in range(8)]
    for path in videos:
        color = rng.integers(30, 220, 3)
        noise = rng.integers(-20, 21, (2, 16, 16, 3))
        write_video(path, (color + noise).astype("uint8"), fps=2)
    names = [f"{c} {x}" for c in WORDS[6:10] for x in WORDS[10:]]
    captions = [[name, f"a {name}"] for name in names]
    path = folder / "set.jsonl"
    write_manifest(path, videos, captions)
    return str(path)


@pytest.fixture(scope="session")
def tiny(preset, manifest):
    """Functions that make tiny retrievers and stages."""

    def stage(**overrides):
        config = {
            "preset": preset,
            # Of two shapes, so that TensorFlow's steps are eager: to compile
            # one would take longer than all of them.
            "train": (
                training.Source(manifest, 4, num_frames=2, group_size=2),
                training.Source(manifest, 8, num_frames=1),
            ),
            "held_out": {"set": manifest},
            "steps": 7,
            "learning_rate": 1e-2,
            "warmup_steps": 2,
            "backbone": {"mask_rate": 0.5},
            "sequence_length": 6,
            "evaluation_batch_size": 4,
            "log_every": 2,
            "evaluate_every": 4,
            "checkpoint_every": 2,
        }
        return training.Stage(**{**config, **overrides})

    return types.SimpleNamespace(retriever=make_retriever, stage=stage)
