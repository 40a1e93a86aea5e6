"""Tiny models and videos for the tests of `keras_longvideo.models`."""

import types

import keras
import keras_hub
import numpy as np
import pytest

from keras_longvideo import models
from keras_longvideo.video import write_video

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += ["a", "red", "blue", "green", "dim", "ball", "box"]
CAPTIONS = ["a red ball", "a blue box", "green ball", "a dim box"]
COLORS = [(220, 30, 30), (30, 30, 220), (30, 220, 30), (60, 60, 60)]


def make_clips(frames=4, size=(16, 16)):
    """Four uint8 clips, each of a colour of its own with some noise."""
    noise = np.random.default_rng(0).integers(
        -20, 21, size=(4, frames, *size, 3)
    )
    return (np.array(COLORS)[:, None, None, None] + noise).astype("uint8")


def make_tokenizer():
    return keras_hub.tokenizers.BertTokenizer(WORDS, lowercase=True)


def make_backbone(**overrides):
    config = {
        "image_shape": (16, 16, 3),
        "num_frames": 4,
        "tubelet_size": (2, 8, 8),
        "hidden_dim": 16,
        "num_layers": 1,
        "num_heads": 2,
        "intermediate_dim": 16,
    }
    return models.ViViTBackbone(**{**config, **overrides})


def make_text_backbone(**overrides):
    config = {
        "vocabulary_size": len(WORDS),
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 16,
        "max_sequence_length": 16,
        # Otherwise the loss in training is a matter of chance.
        "dropout": 0.0,
    }
    return keras_hub.models.BertBackbone(**{**config, **overrides})


def make_converter(**overrides):
    config = {"num_frames": 4, "image_size": (16, 16), "fps": 10}
    return models.VideoConverter(**{**config, **overrides})


def make_preprocessor(sequence_length=8):
    return models.VideoTextPreprocessor(
        make_converter(), make_tokenizer(), sequence_length=sequence_length
    )


def make_retriever(dtype=None, sequence_length=8, **kwargs):
    return models.VideoTextRetriever(
        make_backbone(dtype=dtype),
        make_text_backbone(dtype=dtype),
        make_preprocessor(sequence_length),
        projection_dim=8,
        **kwargs,
    )


def make_classifier(**kwargs):
    backbone = make_backbone()
    return models.VideoClassifier(
        backbone, 3, models.VideoPreprocessor(make_converter()), **kwargs
    )


def compile_model(model, optimizer=None, **kwargs):
    """Compiles a model for a training that starts quickly."""
    if keras.backend.backend() == "tensorflow":
        # XLA, which Keras turns on, takes longer than all of the training.
        kwargs["jit_compile"] = False
    model.compile(optimizer or keras.optimizers.Adam(1e-2), **kwargs)
    return model


def to_numpy(x):
    """A nested structure of tensors of the backend as numpy arrays."""
    return keras.tree.map_structure(
        lambda t: (
            keras.ops.convert_to_numpy(keras.ops.cast(t, "float32"))
            if keras.backend.standardize_dtype(t.dtype) == "bfloat16"
            else keras.ops.convert_to_numpy(t)
        ),
        x,
    )


def outputs_of(retriever, videos=None, captions=CAPTIONS):
    """Both embeddings of pairs, computed eagerly."""
    if videos is None:
        videos = make_clips()
    inputs = retriever.preprocessor({"videos": videos, "captions": captions})
    return to_numpy(retriever(inputs))


def nce(embeddings, temperature):
    """The loss of CLIP over a batch, in float64 and by its definition."""
    video = np.asarray(embeddings["video_embeddings"], "float64")
    text = np.asarray(embeddings["text_embeddings"], "float64")
    losses = []
    for i in range(len(video)):
        for query, answers in ((video[i], text), (text[i], video)):
            logits = answers @ query / temperature
            losses.append(np.log(np.exp(logits).sum()) - logits[i])
    return np.mean(losses)


@pytest.fixture(scope="session")
def tiny():
    """Functions that make tiny models, and what to feed them."""
    return types.SimpleNamespace(
        backbone=make_backbone,
        captions=CAPTIONS,
        classifier=make_classifier,
        clips=make_clips,
        compile=compile_model,
        converter=make_converter,
        outputs=outputs_of,
        nce=nce,
        pairs=lambda: {"videos": make_clips(), "captions": list(CAPTIONS)},
        preprocessor=make_preprocessor,
        retriever=make_retriever,
        text_backbone=make_text_backbone,
        to_numpy=to_numpy,
        tokenizer=make_tokenizer,
        words=WORDS,
    )


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """A trained retriever, made once: compiling one takes seconds.

    Tests may train it further: what came out before and after its first
    training, and the preset saved then, are kept beside it.
    """
    keras.utils.set_random_seed(0)
    retriever = make_retriever()
    compile_model(retriever, keras.optimizers.AdamW(3e-3))
    before = outputs_of(retriever)
    pairs = {"videos": make_clips(), "captions": list(CAPTIONS)}
    history = retriever.fit(pairs, batch_size=4, epochs=12, verbose=0)
    preset = tmp_path_factory.mktemp("fitted") / "preset"
    retriever.save_to_preset(preset)
    return types.SimpleNamespace(
        retriever=retriever,
        before=before,
        after=outputs_of(retriever),
        losses=history.history["loss"],
        preset=preset,
    )


@pytest.fixture(scope="session")
def video_files(tmp_path_factory):
    """Four files of the colours of `tiny.clips()`, 4 frames each."""
    folder = tmp_path_factory.mktemp("videos")
    paths = [str(folder / f"{i}.mp4") for i in range(4)]
    for path, color in zip(paths, COLORS, strict=True):
        frames = np.full((4, 16, 16, 3), color, "uint8")
        write_video(path, frames, fps=10)
    return paths
