"""What a stage starts from."""

import keras
import numpy as np
import pytest

from keras_longvideo.models import VideoTextRetriever
from keras_longvideo.models import ViViTBackbone
from keras_longvideo.training.starting import make_retriever

SIZE = {
    "image_shape": (16, 16, 3),
    "tubelet_size": (1, 8, 8),
    "hidden_dim": 8,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_dim": 8,
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def assert_same(weights, others):
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(numpy(weight), numpy(other))


def test_an_earlier_stage_gives_both_towers(tiny, preset, tmp_path):
    stage = tiny.stage(
        backbone={"num_frames": 4, "mask_rate": 0.5}, sequence_length=5, fps=3.0
    )
    retriever = make_retriever(stage, tmp_path / "vocabulary.txt")
    source = VideoTextRetriever.from_preset(preset)
    assert_same(retriever.text_encoder.weights, source.text_encoder.weights)
    assert retriever.backbone.mask_rate == 0.5
    preprocessor = retriever.preprocessor
    assert preprocessor.tokenize(["red ball"])["token_ids"].shape == (1, 5)
    converter = preprocessor.video_converter
    assert (converter.num_frames, converter.image_size) == (4, (16, 16))
    assert converter.fps == 3.0
    assert not (tmp_path / "vocabulary.txt").exists()


def test_captions_are_as_long_as_the_preset_has_them(tiny, preset, tmp_path):
    file = tmp_path / "vocabulary.txt"
    kept = make_retriever(tiny.stage(sequence_length=None), file)
    assert kept.preprocessor.sequence_length == 6
    stage = tiny.stage(
        preset="image_vivit_tiny", backbone=SIZE, sequence_length=None
    )
    assert make_retriever(stage, file).preprocessor.sequence_length == 32


def test_a_retriever_without_a_preprocessor(tiny, tmp_path):
    retriever = tiny.retriever()
    retriever.preprocessor = None
    retriever.save_to_preset(tmp_path / "bare")
    stage = tiny.stage(preset=str(tmp_path / "bare"))
    with pytest.raises(ValueError, match="`preset` must .* a preprocessor.*ba"):
        make_retriever(stage, tmp_path / "vocabulary.txt")


def test_a_retriever_has_words_of_its_own(tiny, tmp_path):
    stage = tiny.stage(vocabulary="mine.txt", text_tower="base")
    message = r"\['text_tower', 'vocabulary'\] have no use where `preset` is a"
    with pytest.raises(ValueError, match=message):
        make_retriever(stage, tmp_path / "vocabulary.txt")


def test_an_architecture_gets_random_weights_and_a_vocabulary(tiny, tmp_path):
    stage = tiny.stage(preset="image_vivit_tiny", backbone=SIZE)
    file = tmp_path / "vocabulary.txt"
    retriever = make_retriever(stage, file)
    words = file.read_text().split()
    tokens = numpy(retriever.preprocessor.tokenize(["a red box"])["token_ids"])
    assert "[MASK]" in words and words.index("[UNK]") not in tokens
    assert retriever.text_backbone.vocabulary_size == len(words)
    assert retriever.text_backbone.dropout == 0.0
    # A run that goes on reads the same words, whatever captions there are.
    file.write_text("\n".join([*words, "extra"]) + "\n")
    again = make_retriever(stage, file)
    assert again.text_backbone.vocabulary_size == len(words) + 1


def test_an_encoder_gives_its_weights(tiny, tmp_path):
    image = ViViTBackbone(num_frames=1, **SIZE)
    image.save_to_preset(tmp_path / "image")
    stage = tiny.stage(
        preset=str(tmp_path / "image"),
        backbone={"num_frames": 4, "tubelet_size": (2, 8, 8)},
        adapt={"last_layers": 1},
    )
    retriever = make_retriever(stage, tmp_path / "vocabulary.txt")
    clip = np.random.default_rng(0).integers(0, 256, (2, 1, 16, 16, 3))
    still = np.repeat(clip.astype("uint8"), 4, axis=1)
    # The 3-D kernel starts as the 2-D one, repeated and divided.
    for video in (clip.astype("uint8"), still):
        np.testing.assert_allclose(
            numpy(retriever.backbone(video)["pooled_output"]),
            numpy(image(clip.astype("uint8"))["pooled_output"]),
            atol=1e-5,
        )
    layers = retriever.backbone.transformer_layers
    assert [layer.trainable for layer in layers] == [False, True]
