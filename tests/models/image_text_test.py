"""Retrievers made of KerasHub's CLIP and SigLIP, against these."""

import io

import keras
import keras_hub
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from keras import ops

from keras_longvideo import from_preset
from keras_longvideo import models

SIZE = {
    "hidden_dim": 16,
    "num_layers": 1,
    "num_heads": 2,
    "intermediate_dim": 24,
}
TEXTS = ["a red ball", "A blue, BLUE box!", "green   ball and a box of red"]
LENGTHS = {"clip": 10, "metaclip_2": 9, "siglip": 8}
SIGLIP_PIECES = 30


def clip_tokenizer(pad_with_end_token=True):
    letters = sorted(set("abdefghlnorux!,"))
    words = [*letters, *(f"{x}</w>" for x in letters), "re", "red</w>"]
    # The end token's id is the highest one, as in CLIP's vocabulary.
    words += ["<|startoftext|>", "<|endoftext|>"]
    return keras_hub.tokenizers.CLIPTokenizer(
        vocabulary={word: i for i, word in enumerate(words)},
        merges=["r e", "re d</w>"],
        pad_with_end_token=pad_with_end_token,
    )


def sentence_pieces(**ids):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() for text in TEXTS]),
        model_writer=model,
        vocab_size=SIGLIP_PIECES,
        model_type="BPE",
        minloglevel=2,
        **ids,
    )
    return model.getvalue()


def preprocessor_of(family):
    converter = {"image_size": (16, 16), "scale": 1 / 100, "offset": -0.5}
    kwargs = {"sequence_length": LENGTHS[family]}
    if family == "clip":
        return keras_hub.models.CLIPPreprocessor(
            clip_tokenizer(),
            keras_hub.layers.CLIPImageConverter(**converter),
            **kwargs,
        )
    if family == "siglip":
        proto = sentence_pieces(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
        return keras_hub.models.SigLIPPreprocessor(
            keras_hub.tokenizers.SigLIPTokenizer(proto),
            keras_hub.layers.SigLIPImageConverter(**converter),
            **kwargs,
        )
    proto = sentence_pieces(unk_id=0, bos_id=1, eos_id=2)
    return keras_hub.models.MetaCLIP2CausalLMPreprocessor(
        keras_hub.tokenizers.MetaCLIP2Tokenizer(proto), **kwargs
    )


def source_of(family):
    """A source without a weight that is zero, one or like another."""
    hub = keras_hub.models
    vision = {**SIZE, "patch_size": 8, "image_shape": (16, 16, 3)}
    text = {
        **SIZE,
        "vocabulary_size": 40,
        "embedding_dim": 16,
        "max_sequence_length": LENGTHS[family],
    }
    if family == "siglip":
        source = hub.SigLIPBackbone(
            hub.SigLIPVisionEncoder(**vision), hub.SigLIPTextEncoder(**text)
        )
    elif family == "clip":
        source = hub.CLIPBackbone(
            hub.CLIPVisionEncoder(**vision), hub.CLIPTextEncoder(**text), 8
        )
    else:
        source = hub.MetaCLIP2Backbone(
            hub.MetaCLIP2VisionEncoder(**vision),
            hub.MetaCLIP2TextEncoder(**text),
            8,
        )
    rng = np.random.default_rng(1)
    for weight in source.weights:
        if "position_ids" in weight.path:
            weight.assign(np.arange(weight.shape[1])[None])
        else:
            noise = rng.normal(scale=0.2, size=weight.shape)
            weight.assign(ops.convert_to_numpy(weight) + noise)
    return source


def pictures(count=2):
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, size=(count, 16, 16, 3)).astype("uint8")


def still(images, num_frames):
    return np.repeat(images[:, None], num_frames, axis=1)


def text_logits(source, preprocessor, images):
    """What the source itself makes of pictures and `TEXTS`."""
    inputs = preprocessor(
        {"images": images.astype("float32"), "prompts": TEXTS}
    )
    outputs = source(
        {
            "images": np.asarray(inputs["images"]),
            "token_ids": np.asarray(inputs["token_ids"]),
        }
    )
    return ops.convert_to_numpy(outputs["text_logits"])


def logits_of(retriever, videos):
    video = retriever.encode_video(list(videos), verbose=0)
    text = retriever.encode_text(TEXTS)
    scale = np.exp(float(retriever.log_logit_scale))
    bias = float(retriever.logit_bias)
    return scale * text @ video.T + bias


@pytest.fixture(scope="module", params=["clip", "siglip"])
def case(request):
    """A source, its preprocessor, its logits, and a retriever made of it."""
    keras.utils.set_random_seed(0)
    source = source_of(request.param)
    preprocessor = preprocessor_of(request.param)
    expected = text_logits(source, preprocessor, pictures())
    retriever = models.VideoTextRetriever.from_image_text(
        source, 4, tubelet_size=(2, 8, 8), preprocessor=preprocessor
    )
    return request.param, source, preprocessor, expected, retriever


def test_a_still_video_scores_as_its_picture(case):
    _, _, _, expected, retriever = case
    assert np.ptp(expected) > 0.05
    for num_frames in (4, 1):
        received = logits_of(retriever, still(pictures(), num_frames))
        np.testing.assert_allclose(received, expected, atol=1e-4)


def test_of_meta_clip_2():
    source = source_of("metaclip_2")
    preprocessor = preprocessor_of("metaclip_2")
    # Without an image converter, pixels are scaled as CLIP's are.
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    deviation = np.array([0.26862954, 0.26130258, 0.27577711])
    scaled = (pictures() / 255 - mean) / deviation
    expected = text_logits(source, preprocessor, scaled)
    retriever = models.VideoTextRetriever.from_image_text(
        source, 4, preprocessor=preprocessor
    )
    received = logits_of(retriever, still(pictures(), 4))
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_loss_scale_and_bias_are_the_sources(case):
    family, source, _, _, retriever = case
    expected = {"clip": "nce", "siglip": "sigmoid"}[family]
    assert retriever.loss_name == expected
    head = source.siglip_head if family == "siglip" else source.clip_head
    scale, bias = float(retriever.log_logit_scale), float(retriever.logit_bias)
    assert scale == pytest.approx(float(head.logit_scale))
    if family == "siglip":
        assert bias == pytest.approx(float(head.logit_bias))
        assert bias != 0


@pytest.mark.parametrize("family", ["clip", "siglip", "metaclip_2"])
def test_tokens_are_those_of_keras_hub(family):
    theirs = preprocessor_of(family)
    ours = models.VideoTextPreprocessor(
        models.VideoConverter(4, (16, 16)),
        theirs.tokenizer,
        sequence_length=LENGTHS[family],
        standardize="lower_and_strip_punctuation"
        if family == "siglip"
        else "lower",
    )
    texts = [*TEXTS, 'ball\n[box]-\\ball^_`{|}~ "red"', "red " * 20, "Ä!b"]
    if family == "clip":
        # Its graph and Python disagree on letters that no vocabulary lacks.
        texts = [*TEXTS[:3:2], "ball!,BOX " * 20]
    theirs.image_converter = None
    expected = theirs({"images": None, "prompts": texts})
    received = ours.tokenize(texts)
    # Which takes a tokenizer's resources away.
    keras.utils.set_random_seed(0)
    in_graph = next(
        iter(tf.data.Dataset.from_tensors(texts).map(ours.tokenize))
    )
    for name in ("token_ids", "padding_mask"):
        np.testing.assert_array_equal(
            np.asarray(received[name]), np.asarray(expected[name])
        )
        np.testing.assert_array_equal(
            np.asarray(in_graph[name]), np.asarray(expected[name])
        )


def test_it_is_trained_saved_and_loaded(tiny, case, tmp_path):
    family, source, preprocessor, _, _ = case
    retriever = models.VideoTextRetriever.from_image_text(
        source,
        2,
        attention="joint",
        tubelet_size=(2, 8, 8),
        preprocessor=preprocessor,
    )
    before = [ops.convert_to_numpy(w) for w in source.weights]
    tiny.compile(retriever)
    pairs = {"videos": still(pictures(3), 2), "captions": TEXTS}
    history = retriever.fit(pairs, batch_size=3, epochs=3, verbose=0)
    losses = history.history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    for weight, value in zip(source.weights, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), value)

    retriever.save_to_preset(tmp_path)
    loaded = from_preset(tmp_path)
    videos = list(pairs["videos"])
    np.testing.assert_allclose(
        logits_of(loaded, videos), logits_of(retriever, videos), atol=1e-5
    )
    hits = loaded.search("a RED ball", videos, verbose=0)
    assert {hit.index for hit in hits} == {0, 1, 2}


def test_a_preset_brings_its_preprocessor(case, tmp_path):
    _, source, preprocessor, expected, _ = case
    source.save_to_preset(tmp_path)
    preprocessor.save_to_preset(tmp_path)
    retriever = models.VideoTextRetriever.from_image_text(
        str(tmp_path), 2, tubelet_size=(1, 8, 8), fps=None
    )
    assert retriever.preprocessor.video_converter.fps is None
    assert retriever.preprocessor.sequence_length in LENGTHS.values()
    received = logits_of(retriever, still(pictures(), 2))
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_half_precision_and_no_preprocessor():
    retriever = models.VideoTextRetriever.from_image_text(
        source_of("clip"), 2, dtype="mixed_bfloat16"
    )
    assert retriever.preprocessor is None
    assert retriever.text_backbone.compute_dtype == "bfloat16"
    outputs = retriever(
        {
            "pixel_values": still(pictures(), 2),
            "token_ids": np.array([[3, 5, 39, 0], [7, 39, 0, 0]]),
            "padding_mask": np.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool),
        }
    )
    assert outputs["text_embeddings"].shape == (2, 8)


def test_a_scale_above_100_is_kept_without_a_softmax(tiny):
    source = source_of("siglip")
    source.siglip_head.logit_scale.assign(np.log(117.0))
    retriever = models.VideoTextRetriever.from_image_text(
        source, 2, preprocessor=preprocessor_of("siglip")
    )
    tiny.compile(retriever, keras.optimizers.SGD(1e-6))
    pairs = {"videos": still(pictures(3), 2), "captions": TEXTS}
    retriever.fit(pairs, batch_size=3, verbose=0)
    assert np.exp(float(retriever.log_logit_scale)) > 110


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"text_pooling": "max"}, "`text_pooling` must be one of"),
        ({"text_pooling": None}, "one of .* where it does not"),
        ({"projection_dim": None}, "`projection_dim` must be an int"),
    ],
)
def test_what_does_not_fit(tiny, kwargs, message):
    with pytest.raises(ValueError, match=message):
        models.VideoTextRetriever(
            tiny.backbone(), tiny.text_backbone(hidden_dim=32), **kwargs
        )


def test_other_sources():
    vision = source_of("clip").vision_encoder
    with pytest.raises(ValueError, match="Received: CLIPVisionEncoder"):
        models.VideoTextRetriever.from_image_text(vision)
    with pytest.raises(ValueError, match="`standardize` must be one of"):
        models.VideoTextPreprocessor(
            models.VideoConverter(4, (16, 16)),
            clip_tokenizer(),
            standardize="upper",
        )


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="distributions are JAX's"
)
@pytest.mark.parametrize("attention", ["frame", "factorized", "joint"])
def test_layouts_know_all_matrices(case, attention):
    _, source, _, _, _ = case
    retriever = models.VideoTextRetriever.from_image_text(
        source, 2, attention=attention
    )
    mesh = keras.distribution.DeviceMesh(
        (1, 1, 1),
        ("batch", "model", "sequence"),
        keras.distribution.list_devices()[:1],
    )
    layouts = models.VideoTextRetriever.get_layout_map(mesh)
    matrices = [
        w for w in retriever.weights if w.name in ("kernel", "embeddings")
    ]
    assert len(matrices) > 15
    for weight in matrices:
        layout = layouts[weight.path]
        assert layout is not None, weight.path
        assert len(layout.axes) == len(weight.shape), weight.path
