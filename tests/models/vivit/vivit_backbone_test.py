import keras
import numpy as np
import pytest
from keras import ops
from vivit_reference import encode

from keras_longvideo.models import ViViTBackbone

CONFIG = {
    "image_shape": (8, 12, 3),
    "num_frames": 6,
    "tubelet_size": (2, 4, 4),
    "hidden_dim": 16,
    "num_layers": 3,
    "num_heads": 4,
    "intermediate_dim": 24,
}


def make(**overrides):
    backbone = ViViTBackbone(**{**CONFIG, **overrides})
    # Weights far from their start, so that no term is too small to matter.
    rng = np.random.default_rng(0)
    for weight in backbone.trainable_weights:
        value = ops.convert_to_numpy(ops.cast(weight, "float32"))
        weight.assign(value + 0.2 * rng.normal(size=weight.shape))
    return backbone


def pixels(batch=2, frames=6, height=8, width=12):
    rng = np.random.default_rng(1)
    shape = (batch, frames, height, width, 3)
    return rng.integers(0, 256, size=shape).astype("uint8")


def run(backbone, inputs, **kwargs):
    return {
        name: ops.convert_to_numpy(ops.cast(x, "float32"))
        for name, x in backbone(inputs, **kwargs).items()
    }


@pytest.mark.parametrize("lengths", [None, (6, 3), (1, 4)])
def test_equals_an_independent_float64_implementation(lengths):
    backbone, video = make(), pixels()
    inputs = {"pixel_values": video}
    masks = np.ones((2, 6), bool)
    if lengths is not None:
        masks = np.arange(6) < np.array(lengths)[:, None]
        inputs["frame_mask"] = masks
    outputs = run(backbone, inputs)
    weights = {
        w.path.removeprefix(f"{backbone.name}/"): ops.convert_to_numpy(w)
        for w in backbone.weights
    }
    for i in range(2):
        sequence, pooled = encode(
            weights, video[i], masks[i], CONFIG["tubelet_size"], 4
        )
        np.testing.assert_allclose(
            outputs["sequence_output"][i, : len(sequence)], sequence, atol=1e-5
        )
        np.testing.assert_allclose(
            outputs["pooled_output"][i], pooled, atol=1e-5
        )


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_padding_changes_nothing(pooling):
    backbone, video = make(pooling=pooling), pixels()
    short = run(backbone, {"pixel_values": video[:, :4]})
    # Positions are for six frames: the same clip among six frames.
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    other = video.copy()
    other[:, 4:] = 255 - other[:, 4:]
    first = run(backbone, {"pixel_values": video, "frame_mask": mask})
    second = run(backbone, {"pixel_values": other, "frame_mask": mask})
    np.testing.assert_allclose(
        first["pooled_output"], second["pooled_output"], atol=1e-5
    )
    np.testing.assert_allclose(
        first["sequence_output"][:, :12],
        second["sequence_output"][:, :12],
        atol=1e-5,
    )
    assert short["sequence_output"].shape == (2, 12, 16)
    # Floats are pixels that are scaled already.
    floats = backbone.scale * video.astype("float32") + backbone.offset
    floats[:, 4:] = np.nan
    third = run(backbone, {"pixel_values": floats, "frame_mask": mask})
    np.testing.assert_allclose(
        third["pooled_output"], first["pooled_output"], atol=1e-5
    )


def test_clips_of_unequal_length_in_one_batch():
    backbone, video = make(), pixels()
    mask = np.arange(6) < np.array([[6], [2]])
    together = run(backbone, {"pixel_values": video, "frame_mask": mask})
    for i in range(2):
        alone = run(
            backbone,
            {"pixel_values": video[i : i + 1], "frame_mask": mask[i : i + 1]},
        )
        np.testing.assert_allclose(
            together["pooled_output"][i], alone["pooled_output"][0], atol=1e-5
        )


@pytest.mark.parametrize("frames, height, width", [(2, 8, 12), (12, 16, 4)])
def test_other_frame_counts_and_sizes(frames, height, width):
    outputs = run(make(), pixels(1, frames, height, width))
    tokens = frames // 2 * height // 4 * width // 4
    assert outputs["sequence_output"].shape == (1, tokens, 16)
    assert np.isfinite(outputs["pooled_output"]).all()


def test_a_single_frame_is_an_image():
    outputs = run(make(), pixels(frames=1))
    assert outputs["sequence_output"].shape == (2, 6, 16)


def test_uint8_and_scaled_floats_agree_through_predict():
    backbone, video = make(), pixels()
    raw = backbone.predict({"pixel_values": video}, verbose=0)
    scaled = backbone.predict(
        {"pixel_values": (video / 127.5 - 1).astype("float32")}, verbose=0
    )
    np.testing.assert_allclose(
        raw["pooled_output"], scaled["pooled_output"], atol=1e-5
    )
    np.testing.assert_allclose(
        raw["pooled_output"], run(backbone, video)["pooled_output"], atol=1e-5
    )


@pytest.mark.parametrize("rate, kept", [(0.75, 4), (0.5, 9), (0.3, 13)])
def test_masking_in_training(rate, kept):
    backbone = make(mask_rate=rate)
    masked = run(backbone, pixels(), training=True)
    assert masked["sequence_output"].shape == (2, kept, 16)
    again = run(backbone, pixels(), training=True)
    assert np.abs(masked["pooled_output"] - again["pooled_output"]).max() > 1e-4
    assert run(backbone, pixels())["sequence_output"].shape == (2, 18, 16)


def test_masking_at_inference():
    backbone = make(mask_rate=0.5, mask_mode="tube", mask_at_inference=True)
    assert run(backbone, pixels())["sequence_output"].shape == (2, 9, 16)


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16"])
def test_half_precision_is_close(dtype):
    backbone = make()
    half = ViViTBackbone(**CONFIG, dtype=dtype)
    for target, source in zip(half.weights, backbone.weights, strict=True):
        target.assign(ops.cast(source, target.dtype))
    expected = run(backbone, pixels())["pooled_output"]
    received = half(pixels())["pooled_output"]
    assert keras.backend.standardize_dtype(received.dtype) == "bfloat16"
    difference = run(half, pixels())["pooled_output"] - expected
    assert np.abs(difference).max() < 0.1 * np.abs(expected).max()


def test_save_and_load(tmp_path):
    backbone = make(mask_rate=0.5)
    expected = run(backbone, pixels())["pooled_output"]
    backbone.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        run(loaded, pixels())["pooled_output"], expected
    )
    assert loaded.get_config() == backbone.get_config()


def test_memory_follows_the_kept_tokens():
    if keras.backend.backend() != "jax":
        pytest.skip("reads XLA's memory plan")
    import jax

    def peak(mask_rate):
        backbone = ViViTBackbone.from_preset(
            "short_vivit_tiny", load_weights=False, mask_rate=mask_rate
        )
        trainable = [v.value for v in backbone.trainable_variables]
        state = [v.value for v in backbone.non_trainable_variables]

        def loss(trainable, video):
            outputs, _ = backbone.stateless_call(
                trainable, state, {"pixel_values": video}, training=True
            )
            return outputs["pooled_output"].sum()

        video = jax.ShapeDtypeStruct((8, 16, 64, 64, 3), "uint8")
        compiled = jax.jit(jax.grad(loss)).lower(trainable, video).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert peak(0.75) < peak(0.0) / 2.5


@pytest.mark.parametrize(
    "inputs, message",
    [
        (np.zeros((6, 8, 12, 3), "uint8"), "`pixel_values` must have 5 axes"),
        (np.zeros((1, 5, 8, 12, 3), "uint8"), "4 or 6 or 1 .an image. would"),
        (np.zeros((1, 6, 9, 12, 3), "uint8"), "height must be a multiple of 4"),
        (np.zeros((1, 6, 8, 12, 3), "int64"), "must be uint8 .raw pixels. or"),
        ({"video": np.zeros((1, 6, 8, 12, 3), "uint8")}, "`inputs` must be a"),
        (
            {
                "pixel_values": np.zeros((1, 6, 8, 12, 3), "uint8"),
                "frame_mask": np.ones((1, 4), bool),
            },
            "`frame_mask` must have shape",
        ),
        (
            {
                "pixel_values": np.zeros((2, 6, 8, 12, 3), "uint8"),
                "frame_mask": np.ones((1, 6), bool),
            },
            r"`frame_mask` must have shape \(batch, frames\) = \(2, 6\)",
        ),
    ],
)
def test_bad_inputs(inputs, message):
    with pytest.raises(ValueError, match=message):
        make()(inputs)


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"pooling": "max"}, "`pooling` must be one of"),
        ({"tubelet_size": (2, 4)}, "`tubelet_size` must be three ints"),
        ({"image_shape": (8, 12)}, "`image_shape` must be three ints"),
        ({"image_shape": (9, 12, 3)}, "height must be a multiple of 4"),
        ({"num_frames": 7}, "number of frames must be a multiple of 2"),
        ({"num_heads": 3}, "`num_heads` must divide"),
        ({"mask_rate": 1.5}, "`rate` must be at least 0 and below 1"),
        ({"mask_rate": 0.5, "mask_mode": "x"}, "`mask_mode` must be None"),
        ({"mask_rate": "0.5"}, "`rate` must be at least 0 .*rate='0.5'"),
        ({"tubelet_size": (0, 4, 4)}, "`tubelet_size` must be three ints of"),
        ({"tubelet_size": (2.0, 4, 4)}, "`tubelet_size` must be three ints of"),
        ({"tubelet_size": 4}, "`tubelet_size` must be three ints of"),
        ({"image_shape": 8}, "`image_shape` must be three ints of"),
        ({"num_frames": 0}, "`num_frames` must be an int of at least 1"),
        ({"num_heads": 0}, "`num_heads` must be an int of at least 1"),
        ({"hidden_dim": 0}, "`hidden_dim` must be an int of at least 1"),
        ({"num_layers": 1.5}, "`num_layers` must be an int of at least 1"),
        ({"intermediate_dim": "24"}, "`intermediate_dim` must be an int of"),
        ({"num_prefix_tokens": -1}, "`num_prefix_tokens` must be an int of"),
        ({"tubes": "tubes"}, "`tubes` must be 'tubevit' or some `Tube`s"),
        ({"tubes": [(2, 4, 4)]}, "`tubes` must be 'tubevit' or some `Tube`s"),
        ({"tubes": ()}, "`tubes` must be 'tubevit' or some `Tube`s"),
    ],
)
def test_bad_arguments(overrides, message):
    with pytest.raises(ValueError, match=message):
        ViViTBackbone(**{**CONFIG, **overrides})
