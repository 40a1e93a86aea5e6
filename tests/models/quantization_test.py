"""Models of int8 weights: what is quantized, how near it is, and presets."""

import keras
import numpy as np
import pytest

import keras_longvideo
from keras_longvideo import models

# Keras has one for each kind of layer that it leaves as it is.
pytestmark = pytest.mark.filterwarnings("error:.*does not have a `quantize`")


def cosines(a, b):
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return np.sum(a * b, axis=-1)


def quantized_layers(model):
    return {
        layer.name
        for layer in model._flatten_layers()
        if layer.quantization_mode == "int8"
    }


def size_of(preset):
    return sum(path.stat().st_size for path in preset.glob("*.weights.h5"))


DENSE = {
    "attention_output",
    "key",
    "mlp_intermediate",
    "mlp_output",
    "query",
    "value",
}


def test_encoder(tiny):
    backbone = tiny.backbone(hidden_dim=64, num_layers=2, intermediate_dim=128)
    before = tiny.to_numpy(backbone(tiny.clips()))
    backbone.quantize("int8")
    assert quantized_layers(backbone) == DENSE
    after = tiny.to_numpy(backbone(tiny.clips()))
    for name in before:
        # Rounded, and by no more than 8 bits lose.
        assert np.abs(after[name] - before[name]).max() > 1e-5
        assert cosines(after[name], before[name]).min() > 0.999


def test_saved_encoder_loads_quantized(tiny, tmp_path):
    backbone = tiny.backbone(mask_rate=0.5)
    backbone.quantize("int8")
    backbone.save_to_preset(tmp_path / "int8")
    loaded = models.ViViTBackbone.from_preset(tmp_path / "int8")
    assert quantized_layers(loaded) == DENSE
    # A loaded one can be saved again.
    loaded.save_to_preset(tmp_path / "again")
    for preset in ("int8", "again"):
        loaded = keras_longvideo.from_preset(tmp_path / preset)
        np.testing.assert_array_equal(
            tiny.to_numpy(loaded(tiny.clips()))["pooled_output"],
            tiny.to_numpy(backbone(tiny.clips()))["pooled_output"],
        )


def test_dtype_is_what_all_but_quantized_weights_are_in(tiny, tmp_path):
    backbone = tiny.backbone()
    backbone.quantize("int8")
    backbone.save_to_preset(tmp_path / "int8")
    loaded = models.ViViTBackbone.from_preset(
        tmp_path / "int8", dtype="bfloat16"
    )
    assert quantized_layers(loaded) == DENSE
    dtypes = {keras.backend.standardize_dtype(w.dtype) for w in loaded.weights}
    assert dtypes == {"int8", "bfloat16"}
    output = loaded(tiny.clips())["pooled_output"]
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    expected = tiny.to_numpy(backbone(tiny.clips()))["pooled_output"]
    assert cosines(tiny.to_numpy(output), expected).min() > 0.99


def test_saved_encoder_of_other_clips(tiny, tmp_path):
    backbone = tiny.backbone()
    backbone.quantize("int8")
    backbone.save_to_preset(tmp_path / "int8")
    longer = keras_longvideo.from_preset(tmp_path / "int8", num_frames=8)
    assert quantized_layers(longer) == DENSE
    # Of an image, which has no time.
    image = tiny.clips()[:, :1]
    np.testing.assert_allclose(
        tiny.to_numpy(longer(image))["pooled_output"],
        tiny.to_numpy(backbone(image))["pooled_output"],
        atol=1e-6,
    )
    # Attention over time would start from weights without their scale.
    with pytest.raises(ValueError, match="time_attention/query/kernel"):
        keras_longvideo.from_preset(tmp_path / "int8", attention="factorized")


def test_random_weights_are_not_quantized(tiny, tmp_path):
    backbone = tiny.backbone()
    backbone.quantize("int8")
    backbone.save_to_preset(tmp_path / "int8")
    loaded = keras_longvideo.from_preset(tmp_path / "int8", load_weights=False)
    assert not quantized_layers(loaded)


def test_retriever(tiny, tmp_path):
    retriever = tiny.retriever()
    retriever.save_to_preset(tmp_path / "float32")
    videos = tiny.clips()
    # Compiles both encoders, which are to be compiled anew.
    before = retriever.encode_video(videos, verbose=0)
    before_text = retriever.encode_text(tiny.captions)
    retriever.quantize("int8")
    after = retriever.encode_video(videos, verbose=0)
    after_text = retriever.encode_text(tiny.captions)
    assert (after != before).any() and (after_text != before_text).any()
    assert cosines(after, before).min() > 0.99
    assert cosines(after_text, before_text).min() > 0.99

    assert quantized_layers(retriever.backbone) == DENSE
    assert "token_embedding" in quantized_layers(retriever.text_backbone)
    quantized = quantized_layers(retriever)
    assert not quantized & {"video_projection", "text_projection"}

    retriever.save_to_preset(tmp_path / "int8")
    loaded = keras_longvideo.from_preset(tmp_path / "int8")
    assert quantized_layers(loaded) == quantized
    received = loaded.encode_video(videos, verbose=0)
    np.testing.assert_allclose(received, after, atol=1e-6)
    received = loaded.encode_text(tiny.captions)
    np.testing.assert_allclose(received, after_text, atol=1e-6)


def test_an_encoder_of_a_retriever_alone(tiny):
    retriever = tiny.retriever()
    before = retriever.encode_video(tiny.clips(), verbose=0)
    before_text = retriever.encode_text(tiny.captions)
    retriever.video_encoder.quantize("int8")
    # As when the whole of it is: not what is on top.
    assert quantized_layers(retriever) == DENSE
    assert not quantized_layers(retriever.text_encoder)
    after = retriever.encode_video(tiny.clips(), verbose=0)
    assert (after != before).any()
    assert cosines(after, before).min() > 0.99
    np.testing.assert_array_equal(
        retriever.encode_text(tiny.captions), before_text
    )
    retriever.text_encoder.quantize("int8")
    assert "token_embedding" in quantized_layers(retriever.text_encoder)
    assert "text_projection" not in quantized_layers(retriever.text_encoder)


def test_a_model_of_ones_own(tiny):
    inputs = models.video_inputs()
    pixels = keras.ops.cast(inputs["pixel_values"], "float32")
    outputs = keras.layers.Dense(4, name="dense")(pixels)
    model = models.VideoModel(inputs, outputs)
    model.quantize("int8")
    assert quantized_layers(model) == {"dense"}


def test_classifier(tiny, tmp_path):
    classifier = tiny.classifier()
    before = classifier.predict(tiny.clips(), verbose=0)
    classifier.quantize("int8")
    after = classifier.predict(tiny.clips(), verbose=0)
    assert (after != before).any()
    np.testing.assert_allclose(after, before, atol=0.05)
    assert quantized_layers(classifier) == DENSE
    classifier.save_to_preset(tmp_path / "int8")
    loaded = keras_longvideo.from_preset(tmp_path / "int8")
    np.testing.assert_allclose(
        loaded.predict(tiny.clips(), verbose=0), after, atol=1e-6
    )


def test_encoder_of_a_quantized_task(tiny, tmp_path):
    """Another task on the same quantized encoder, and a fresh head."""
    retriever = tiny.retriever()
    retriever.quantize("int8")
    retriever.save_to_preset(tmp_path / "int8")
    classifier = models.VideoClassifier.from_preset(
        tmp_path / "int8", num_classes=3
    )
    np.testing.assert_array_equal(
        tiny.to_numpy(classifier.backbone(tiny.clips()))["pooled_output"],
        tiny.to_numpy(retriever.backbone(tiny.clips()))["pooled_output"],
    )


def test_training_changes_what_is_not_quantized(tiny):
    classifier = tiny.compile(tiny.classifier())
    classifier.quantize("int8")
    tiny.compile(classifier)
    before = {w.path: w.numpy().copy() for w in classifier.weights}
    classifier.fit(tiny.clips(), [0, 1, 2, 0], batch_size=4, verbose=0)
    changed = {
        w.path
        for w in classifier.weights
        if (w.numpy() != before[w.path]).any()
    }
    assert "predictions/kernel" in changed
    assert "transformer_layer_0/mlp_output/bias" in changed
    assert "transformer_layer_0/mlp_output/kernel" not in changed


@pytest.mark.parametrize("way", [{"last_layers": 1}, {"adapter_dim": 2}, {}])
def test_adapting_leaves_quantized_weights_alone(tiny, way):
    classifier = tiny.classifier()
    classifier.quantize("int8")
    classifier.backbone.adapt(**way)
    quantized = {
        w.path: w.numpy().copy()
        for w in classifier.weights
        if w.dtype == "int8" or w.path.endswith("_scale")
    }
    assert quantized
    assert not quantized.keys() & {w.path for w in classifier.trainable_weights}
    tiny.compile(classifier, keras.optimizers.AdamW(0.01, weight_decay=0.5))
    classifier.fit(tiny.clips(), [0, 1, 2, 0], batch_size=4, verbose=0)
    for weight in classifier.weights:
        if weight.path in quantized:
            np.testing.assert_array_equal(
                weight.numpy(), quantized[weight.path]
            )


def test_weight_files_shrink(tmp_path):
    sizes = {}
    backbone = models.ViViTBackbone.from_preset(
        "short_vivit_tiny", load_weights=False
    )
    for name in ("float32", "int8"):
        if name == "int8":
            backbone.quantize("int8")
        backbone.save_to_preset(tmp_path / name)
        sizes[name] = size_of(tmp_path / name)
    # The embedding of tubelets, a quarter of so small a model, is not.
    assert sizes["int8"] < 0.5 * sizes["float32"]
