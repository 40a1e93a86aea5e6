"""Exported models compute what the models do, without Keras."""

import keras
import numpy as np
import pytest

from keras_longvideo import models
from keras_longvideo.layers import Tube

BACKEND = keras.backend.backend()
FORMATS = {
    "jax": ["tf_saved_model"],
    "tensorflow": ["tf_saved_model", "onnx"],
    "torch": ["onnx"],
}[BACKEND]
TOLERANCES = {"tf_saved_model": 1e-5, "onnx": 1e-4}


def make_inputs(names, batch_size):
    """Clips of 4, 2 and 3 frames, the last of which ends inside a tubelet."""
    rng = np.random.default_rng(0)
    lengths = np.array([[4], [2], [3]])[:batch_size]
    num_tokens = 5 + batch_size
    inputs = {
        "pixel_values": rng.integers(
            0, 256, size=(batch_size, 4, 16, 16, 3)
        ).astype("uint8"),
        "frame_mask": np.arange(4) < lengths,
        "token_ids": rng.integers(5, 12, size=(batch_size, num_tokens)).astype(
            "int32"
        ),
        "padding_mask": np.arange(num_tokens) < lengths,
    }
    return {name: inputs[name] for name in names}


def run(path, format, inputs):
    """A dict of arrays; a single output is named `"output"`."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(None, inputs), strict=True))
    else:
        import tensorflow as tf

        # Its variables live as long as what was loaded.
        loaded = tf.saved_model.load(str(path))
        outputs = loaded.serve(inputs)
        if not isinstance(outputs, dict):
            outputs = {"output": outputs}
        outputs = {name: np.asarray(x) for name, x in outputs.items()}
    if len(outputs) == 1:
        return {"output": outputs.popitem()[1]}
    return outputs


def check(tiny, tmp_path, model, format, batch_sizes=(1, 3)):
    path = tmp_path / "exported.onnx"
    model.export(path, format=format, verbose=False)
    for batch_size in batch_sizes:
        inputs = make_inputs([x.name for x in model.inputs], batch_size)
        expected = tiny.to_numpy(model(inputs))
        if not isinstance(expected, dict):
            expected = {"output": expected}
        received = run(path, format, inputs)
        assert received.keys() == expected.keys()
        for name in expected:
            np.testing.assert_allclose(
                received[name], expected[name], atol=TOLERANCES[format]
            )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_encoder(tiny, tmp_path, format, pooling):
    # In training, it would drop half of the tubelets.
    backbone = tiny.backbone(pooling=pooling, mask_rate=0.5)
    check(tiny, tmp_path, backbone, format)


@pytest.mark.parametrize("format", FORMATS)
def test_padding_changes_nothing_after_export(tiny, tmp_path, format):
    backbone = tiny.backbone()
    path = tmp_path / "exported.onnx"
    backbone.export(path, format=format, verbose=False)
    inputs = make_inputs(["pixel_values", "frame_mask"], 3)
    pixels, mask = inputs.values()
    blackened = pixels * mask[:, :, None, None, None]
    assert (blackened != pixels).any()
    np.testing.assert_allclose(
        run(path, format, inputs)["pooled_output"],
        run(path, format, {**inputs, "pixel_values": blackened})[
            "pooled_output"
        ],
        atol=1e-6,
    )
    # A mask of real frames alone is as none.
    everything = run(path, format, {**inputs, "frame_mask": mask | True})
    expected = tiny.to_numpy(backbone(pixels))["pooled_output"]
    np.testing.assert_allclose(
        everything["pooled_output"], expected, atol=TOLERANCES[format]
    )


@pytest.mark.parametrize("format", FORMATS)
def test_classifier(tiny, tmp_path, format):
    check(tiny, tmp_path, tiny.classifier(activation="softmax"), format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("part", ["video_encoder", "text_encoder"])
def test_towers_of_a_retriever(tiny, tmp_path, format, part):
    check(tiny, tmp_path, getattr(tiny.retriever(), part), format)


@pytest.mark.parametrize("format", FORMATS)
def test_long_video(tiny, tmp_path, format):
    # More tokens than have all their scores computed at once.
    backbone = tiny.backbone(num_frames=1024, tubelet_size=(1, 8, 8))
    path = tmp_path / "exported.onnx"
    backbone.export(path, format=format, verbose=False)
    inputs = {
        "pixel_values": np.random.default_rng(0)
        .integers(0, 256, size=(1, 1024, 16, 16, 3))
        .astype("uint8"),
        "frame_mask": np.arange(1024)[None] < 1000,
    }
    expected = tiny.to_numpy(backbone(inputs))["pooled_output"]
    received = run(path, format, inputs)["pooled_output"]
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_own_signature(tiny, tmp_path):
    backbone = tiny.backbone()
    signature = {
        "pixel_values": keras.InputSpec(
            dtype="float32", shape=(2, 2, 8, 8, 3), name="pixel_values"
        )
    }
    path = tmp_path / "exported.onnx"
    backbone.export(
        path, format=FORMATS[-1], input_signature=[signature], verbose=False
    )
    pixels = np.random.default_rng(0).normal(size=(2, 2, 8, 8, 3))
    inputs = {"pixel_values": pixels.astype("float32")}
    expected = tiny.to_numpy(backbone(inputs))
    received = run(path, FORMATS[-1], inputs)
    for name in expected:
        np.testing.assert_allclose(received[name], expected[name], atol=1e-4)


def test_model_without_an_encoder_needs_a_signature(tmp_path):
    inputs = models.video_inputs()
    model = models.VideoModel(inputs, keras.ops.max(inputs["pixel_values"]))
    with pytest.raises(ValueError, match=r"`input_signature` is needed"):
        model.export(tmp_path / "exported", format=FORMATS[0])


@pytest.mark.skipif("onnx" not in FORMATS, reason="writes no ONNX")
def test_onnx_in_half_precision(tiny, tmp_path):
    backbone = tiny.backbone(dtype="bfloat16")
    with pytest.raises(ValueError, match=r"computes in \['bfloat16'"):
        backbone.export(tmp_path / "exported.onnx", format="onnx")


@pytest.mark.skipif(len(FORMATS) == 2, reason="writes both formats")
def test_other_formats_name_the_backends_that_write_them(tiny, tmp_path):
    (format,) = {"tf_saved_model", "onnx"} - set(FORMATS)
    with pytest.raises(ValueError, match="KERAS_BACKEND set to tensorflow"):
        tiny.backbone().export(tmp_path / "exported", format=format)


@pytest.mark.parametrize("format", FORMATS)
def test_quantized(tiny, tmp_path, format):
    backbone = tiny.backbone()
    backbone.quantize("int8")
    check(tiny, tmp_path, backbone, format, batch_sizes=[3])


@pytest.mark.skipif(BACKEND != "torch", reason="works elsewhere")
def test_quantized_text_tower_on_torch(tiny, tmp_path):
    retriever = tiny.retriever()
    retriever.quantize("int8")
    with pytest.raises(ValueError, match="Quantized word embeddings"):
        retriever.text_encoder.export(tmp_path / "exported", format="onnx")


@pytest.mark.skipif(BACKEND != "torch", reason="works elsewhere")
def test_tubes_on_torch(tiny, tmp_path):
    tubes = (Tube((2, 8, 8), (2, 8, 8)),)
    backbone = tiny.backbone(tubes=tubes, tubelet_size=None)
    with pytest.raises(ValueError, match="Tubes .*written to ONNX on TensorF"):
        backbone.export(tmp_path / "exported", format="onnx")


@pytest.mark.skipif(BACKEND != "torch", reason="works elsewhere")
def test_weights_of_4_bits_on_torch(tiny, tmp_path):
    backbone = tiny.backbone()
    backbone.quantize("int4")
    with pytest.raises(ValueError, match="Weights of 4 bits .*onnx' on torch"):
        backbone.export(tmp_path / "exported", format="onnx")
