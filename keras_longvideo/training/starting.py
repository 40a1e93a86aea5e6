"""The retriever that a stage starts from."""

import dataclasses
import pathlib

import keras
import keras_hub

from keras_longvideo.data.files import write_atomically
from keras_longvideo.models import VideoConverter
from keras_longvideo.models import VideoTextPreprocessor
from keras_longvideo.models import VideoTextRetriever
from keras_longvideo.models import ViViTBackbone
from keras_longvideo.models import learn_vocabulary
from keras_longvideo.models import text_tower
from keras_longvideo.models.presets import open_preset
from keras_longvideo.training.sources import training_captions

# Tokens of a caption of a new text tower.
_SEQUENCE_LENGTH = 32


def make_retriever(stage, vocabulary_file):
    """Makes the retriever that a stage trains.

    Args:
        stage: `Stage`.
        vocabulary_file: path where a new vocabulary is kept, and found again
            by a run that goes on.

    Returns:
        A `VideoTextRetriever`, adapted as the stage says.

    Raises:
        ValueError: if the stage names a text tower or words, and its preset
            has its own, or none of the words that its own was trained with.
    """
    preset = open_preset(stage.preset, load_weights=False)
    load_weights = preset.directory is not None
    if _holds_retriever(preset):
        _check_words(stage)
        if preset.preprocessor is None:
            raise ValueError(
                "`preset` must be a retriever with a preprocessor, whose "
                "tokenizer its text tower was trained with. Received: "
                f"preset={stage.preset!r}"
            )
        retriever = VideoTextRetriever.from_preset(preset, **stage.backbone)
        old = retriever.preprocessor
        retriever.preprocessor = _preprocessor(
            stage,
            retriever.backbone,
            old.tokenizer,
            old.sequence_length,
            old.standardize,
        )
    else:
        backbone = ViViTBackbone.from_preset(
            preset, load_weights=load_weights, **stage.backbone
        )
        tokenizer = keras_hub.tokenizers.BertTokenizer(
            _vocabulary(stage, pathlib.Path(vocabulary_file)), lowercase=True
        )
        retriever = VideoTextRetriever(
            backbone,
            text_tower(
                stage.text_tower,
                vocabulary_size=tokenizer.vocabulary_size(),
                dropout=0.0,
            ),
            _preprocessor(stage, backbone, tokenizer, _SEQUENCE_LENGTH),
        )
    retriever.backbone.adapt(**stage.adapt)
    return retriever


def _holds_retriever(preset):
    if preset.task is None:
        return False
    name = preset.task["registered_name"]
    cls = keras.saving.get_registered_object(name)
    return cls is not None and issubclass(cls, VideoTextRetriever)


def _check_words(stage):
    unused = {
        field.name: getattr(stage, field.name)
        for field in dataclasses.fields(stage)
        if field.name in ("text_tower", "vocabulary", "vocabulary_size")
        and getattr(stage, field.name) != field.default
    }
    if unused:
        raise ValueError(
            f"{sorted(unused)} have no use where `preset` is a retriever, "
            "whose text tower and words are taken: leave them out, or start "
            "from an encoder. Received: "
            f"preset={stage.preset!r}, {unused}"
        )


def _preprocessor(
    stage, backbone, tokenizer, sequence_length, standardize=None
):
    # None of them may be 0.
    converter = VideoConverter(
        stage.num_frames or backbone.num_frames,
        stage.image_size or backbone.image_shape[:2],
        stage.fps,
    )
    return VideoTextPreprocessor(
        converter,
        tokenizer,
        stage.sequence_length or sequence_length,
        standardize,
    )


def _vocabulary(stage, file):
    """The path of a new tokenizer's words, which are learned if need be."""
    if stage.vocabulary is not None:
        return stage.vocabulary
    if not file.exists():
        words = learn_vocabulary(
            training_captions(stage), stage.vocabulary_size
        )
        write_atomically(file, "\n".join(words) + "\n")
    return str(file)
