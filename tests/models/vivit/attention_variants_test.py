"""Frame-level and factorised encoders, and what they have in common."""

import numpy as np
import pytest
from keras import ops

from keras_longvideo.models import ViViTBackbone

CONFIG = {
    "image_shape": (8, 12, 3),
    "num_frames": 6,
    "tubelet_size": (1, 4, 4),
    "hidden_dim": 16,
    "num_layers": 2,
    "num_heads": 4,
    "intermediate_dim": 24,
}


def make(**overrides):
    """An encoder whose weights are the same wherever its paths are."""
    backbone = ViViTBackbone(**{**CONFIG, **overrides})
    for weight in backbone.weights:
        # What starts at zero, to change nothing, stays.
        starts_closed = "time_gate" in weight.path or "time_pos" in weight.path
        if "float" in weight.dtype and not starts_closed:
            path = weight.path.replace("time_attention", "attention")
            rng = np.random.default_rng(list(path.encode()))
            start = 1.0 if "gamma" in path else 0.0
            weight.assign(start + 0.2 * rng.normal(size=weight.shape))
    return backbone


def clips(frames=6):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, size=(2, frames, 8, 12, 3)).astype("uint8")


def run(backbone, inputs):
    return {k: ops.convert_to_numpy(x) for k, x in backbone(inputs).items()}


@pytest.mark.parametrize("prefix, pooling", [(0, "mean"), (2, "token")])
def test_a_frame_is_encoded_as_an_image(prefix, pooling):
    backbone = make(
        attention="frame", num_prefix_tokens=prefix, pooling=pooling
    )
    video = clips()
    outputs = run(backbone, video)
    frames = [run(backbone, video[:, i : i + 1]) for i in range(6)]
    sequence = np.concatenate([f["sequence_output"] for f in frames], axis=1)
    assert sequence.shape == (2, 6 * (prefix + 6), 16)
    np.testing.assert_allclose(outputs["sequence_output"], sequence, atol=1e-5)
    pooled = np.mean([f["pooled_output"] for f in frames], axis=0)
    np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=1e-5)


@pytest.mark.parametrize("prefix, pooling", [(0, "attention"), (1, "token")])
@pytest.mark.parametrize("tubelet_frames", [1, 2])
def test_factorized_starts_as_frame_level(prefix, pooling, tubelet_frames):
    overrides = {
        "num_prefix_tokens": prefix,
        "pooling": pooling,
        "time_pooling": "attention",
        "tubelet_size": (tubelet_frames, 4, 4),
    }
    frame = make(attention="frame", **overrides)
    factorized = make(attention="factorized", **overrides)
    mask = np.arange(6) < np.array([[6], [4]])
    inputs = {"pixel_values": clips(), "frame_mask": mask}
    expected, outputs = run(frame, inputs), run(factorized, inputs)
    for name in expected:
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-6)
    for layer in factorized.transformer_layers:
        layer.time_gate.assign(0.5)
    moved = run(factorized, inputs)["pooled_output"]
    assert np.abs(moved - expected["pooled_output"]).max() > 1e-3


def test_attention_over_time_starts_as_that_over_space():
    block = ViViTBackbone(**CONFIG, attention="factorized").transformer_layers[
        1
    ]
    for over_time, over_space in zip(
        block.time_attention.weights, block.attention.weights, strict=True
    ):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(over_time), ops.convert_to_numpy(over_space)
        )


def test_a_factorized_block_equals_its_formula():
    """`space + tanh(gate) * time`, each computed by itself."""
    block = make(attention="factorized").transformer_layers[0]
    block.time_gate.assign(0.7)
    tokens = np.random.default_rng(0).normal(size=(1, 3, 2, 16))
    tokens = tokens.astype("float32")
    real = np.array([[[True] * 2, [True] * 2, [False] * 2]])
    normal = ops.convert_to_numpy(block.attention_norm(tokens))
    expected = tokens.copy()
    for t in range(3):
        for p in range(2):
            query = normal[:, t, p : p + 1]
            space = block.attention(query, normal[:, t])
            over = block.time_attention(
                query, normal[:, :, p], context_mask=real[:, :, p]
            )
            update = ops.convert_to_numpy(space + np.tanh(0.7) * over)
            expected[:, t, p] += update[:, 0]
    mlp = block.mlp_norm(ops.convert_to_tensor(expected[0]))
    mlp = ops.gelu(block.mlp_intermediate(mlp), approximate=False)
    expected += ops.convert_to_numpy(block.mlp_output(mlp))[None]
    output = ops.convert_to_numpy(block(tokens, token_mask=real))
    np.testing.assert_allclose(output[:, :2], expected[:, :2], atol=1e-5)


@pytest.mark.parametrize("attention", ["frame", "factorized"])
@pytest.mark.parametrize("prefix", [0, 1])
def test_padding_changes_nothing(attention, prefix):
    backbone = make(attention=attention, num_prefix_tokens=prefix)
    for layer in backbone.transformer_layers:
        if attention == "factorized":
            layer.time_gate.assign(1.0)
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    first = run(backbone, {"pixel_values": clips(), "frame_mask": mask})
    other = clips()
    other[:, 4:] = 255 - other[:, 4:]
    second = run(backbone, {"pixel_values": other, "frame_mask": mask})
    np.testing.assert_allclose(
        first["pooled_output"], second["pooled_output"], atol=1e-5
    )
    if attention == "frame":
        short = run(backbone, clips()[:, :4])
        np.testing.assert_allclose(
            first["pooled_output"], short["pooled_output"], atol=1e-5
        )


def test_order_in_time():
    """Frames alone know none; attention over time and over all does."""
    for attention, knows in [
        ("frame", False),
        ("factorized", True),
        ("joint", True),
    ]:
        backbone = make(attention=attention)
        for weight in backbone.weights:
            if "time_gate" in weight.path:
                weight.assign(1.0)
            if "time_positions" in weight.path:
                noise = np.random.default_rng(5).normal(size=weight.shape)
                weight.assign(0.2 * noise)
        forward = run(backbone, clips())["pooled_output"]
        backward = run(backbone, clips()[:, ::-1])["pooled_output"]
        difference = np.abs(forward - backward).max()
        assert (difference > 1e-4) == knows, attention


def test_joint_positions_are_those_of_each_tubelet():
    backbone = make(positions="joint", tubelet_size=(2, 4, 4))
    table = ops.convert_to_numpy(backbone.embedding.joint_positions)
    assert table.shape == (3, 2, 3, 16)
    with_table = ops.convert_to_numpy(backbone.embedding(clips())[0])
    backbone.embedding.joint_positions.assign(np.zeros_like(table))
    without = ops.convert_to_numpy(backbone.embedding(clips())[0])
    np.testing.assert_allclose(
        with_table - without,
        np.tile(table.reshape(1, -1, 16), (2, 1, 1)),
        atol=1e-5,
    )


def test_prefix_tokens_and_the_norms():
    backbone = make(
        num_prefix_tokens=2,
        pooling="token",
        embedding_norm=True,
        norm_after_pooling=True,
    )
    outputs = run(backbone, clips())
    assert outputs["sequence_output"].shape == (2, 2 + 36, 16)
    first = outputs["sequence_output"][:, 0]
    normal = ops.convert_to_numpy(backbone.output_norm(first[:, None]))[:, 0]
    np.testing.assert_allclose(outputs["pooled_output"], normal, atol=1e-5)
    # The mean is that of the other tokens.
    mean = make(num_prefix_tokens=2, norm_after_pooling=True)
    outputs = run(mean, clips())
    tokens = outputs["sequence_output"][:, 2:].mean(axis=1)
    normal = ops.convert_to_numpy(mean.output_norm(tokens[:, None]))[:, 0]
    np.testing.assert_allclose(outputs["pooled_output"], normal, atol=1e-5)


def test_scale_and_offset_of_each_channel():
    scale, offset = (0.1, 0.2, 0.3), (1.0, 2.0, 3.0)
    backbone = make(scale=scale, offset=offset)
    raw = run(backbone, clips())["pooled_output"]
    scaled = (clips() * np.array(scale) + np.array(offset)).astype("float32")
    np.testing.assert_allclose(
        run(backbone, scaled)["pooled_output"], raw, atol=1e-5
    )


@pytest.mark.parametrize(
    "activation, at_one",
    [
        ("gelu", 0.841345),
        ("gelu_approximate", 0.841192),
        ("quick_gelu", 0.845796),
    ],
)
def test_activations(activation, at_one):
    from keras_longvideo.ops import activate

    x = np.array([1.0], "float32")
    y = ops.convert_to_numpy(activate(x, activation))
    np.testing.assert_allclose(y, at_one, atol=1e-5)


def test_masks_that_fit():
    assert (
        ViViTBackbone(
            **CONFIG, attention="frame", mask_rate=0.5
        ).embedding.masking.mode
        == "frame"
    )
    assert (
        ViViTBackbone(
            **CONFIG, attention="factorized", mask_rate=0.5
        ).embedding.masking.mode
        == "tube"
    )
    with pytest.raises(ValueError, match="`mask_mode` must be None or one of"):
        make(attention="factorized", mask_mode="random")


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"attention": "all"}, "`attention` must be one of"),
        ({"positions": "none"}, "`positions` must be one of"),
        ({"activation": "relu"}, "`activation` must be one of"),
        ({"scale": (1.0, 2.0)}, "`scale` must be a float"),
        ({"attention": "frame", "tubes": "tubevit"}, "need attention='joint'"),
        ({"attention": "frame", "positions": "joint"}, "attention='joint'"),
        (
            {"tubes": "tubevit", "positions": "fixed"},
            "`positions` must be 'separate' with `tubes`.*'fixed'",
        ),
        ({"time_pooling": "max"}, "`time_pooling` must be one of"),
    ],
)
def test_bad_arguments(overrides, message):
    with pytest.raises(ValueError, match=message):
        make(**overrides)
