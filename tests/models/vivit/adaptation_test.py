"""New weights for fine-tuning, and which of all weights are trained."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.models import ViViTBackbone

CONFIG = {
    "image_shape": (8, 8, 3),
    "num_frames": 4,
    "tubelet_size": (2, 4, 4),
    "hidden_dim": 12,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_dim": 16,
}
WAYS = [{"adapter_dim": 3}, {"lora_rank": 2}]
# A block's maps: query, key, value, output; and of the feed-forward.
LORA = 4 * (12 + 12) * 2 + 2 * (12 + 16) * 2
ADAPTER = 12 * 3 + 3 + 3 * 12 + 12
# The convolution that embeds patches, of videos and of images, and positions
# in time.
PATCH = 2 * 4 * 4 * 3 * 12 + 12 + 4 * 4 * 3 * 12 + 12 + 2 * 12


def make(**overrides):
    keras.utils.set_random_seed(0)
    return ViViTBackbone(**{**CONFIG, **overrides})


def shake(backbone, *parts):
    rng = np.random.default_rng(0)
    for weight in backbone.weights:
        if any(part in weight.path for part in parts):
            weight.assign(rng.normal(size=weight.shape))


def pooled(backbone):
    rng = np.random.default_rng(1)
    video = rng.integers(0, 256, size=(2, 4, 8, 8, 3)).astype("uint8")
    return ops.convert_to_numpy(backbone(video)["pooled_output"])


def count(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


@pytest.mark.parametrize("way", WAYS)
def test_at_first_nothing_changes(way):
    backbone = make()
    before = pooled(backbone)
    backbone.adapt(**way)
    np.testing.assert_allclose(pooled(backbone), before, atol=1e-6)
    shake(backbone, "adapter_", "lora_")
    assert np.abs(pooled(backbone) - before).max() > 1e-3


@pytest.mark.parametrize(
    "way, size", [(WAYS[0], 2 * ADAPTER), (WAYS[1], 2 * LORA)]
)
def test_what_is_trained(way, size):
    backbone = make()
    total = count(backbone.weights)
    backbone.adapt(**way)
    assert count(backbone.trainable_weights) == size + PATCH
    assert count(backbone.weights) == total + size
    paths = [w.path for w in backbone.weights]
    assert len(set(paths)) == len(paths)
    assert all("/" in path for path in paths)
    lines = []
    backbone.summary(print_fn=lambda text, **_: lines.append(text))
    assert f"Trainable params: {size + PATCH:,}" in "".join(lines)
    backbone.adapt(last_layers=1)
    assert {w.path.split("/")[0] for w in backbone.trainable_weights} == {
        "transformer_layer_1",
        "output_norm",
    }
    block = backbone.transformer_layers[1]
    assert len(block.trainable_weights) == len(block.weights)
    backbone.adapt()
    assert count(backbone.trainable_weights) == total + size
    assert all(layer.trainable for layer in backbone.transformer_layers)


def test_over_time_alone():
    backbone = make(attention="factorized")
    backbone.adapt(temporal_only=True)
    paths = {w.path for w in backbone.trainable_weights}
    assert {p.split("/")[0] for p in paths} == {
        "embedding",
        "transformer_layer_0",
        "transformer_layer_1",
    }
    over_time = ("/time_attention/", "/time_gate")
    for path in paths:
        is_patch = path.startswith("embedding/") and "space" not in path
        assert is_patch or any(x in path for x in over_time), path
    # 4 maps of 12 x 12 with biases, and a gate.
    assert count(backbone.trainable_weights) == PATCH + 2 * (4 * 156 + 1)


@pytest.mark.parametrize(
    "way, positions",
    [(way, p) for way in WAYS for p in ("separate", "joint", "fixed")]
    + [({"temporal_only": True}, "separate")],
)
def test_positions_in_time_are_trained(way, positions):
    # Those of an image encoder are alike at all times: frozen, the encoder
    # could never tell one order of frames from another.
    attention = "factorized" if "temporal_only" in way else "joint"
    backbone = make(attention=attention, positions=positions)
    backbone.adapt(**way)
    trained = {
        w.path.split("/")[-1]
        for w in backbone.trainable_weights
        if w.path.startswith("embedding/")
    }
    kernels = {"kernel", "bias", "image_kernel", "image_bias"}
    in_time = {"separate": {"time_positions"}, "joint": {"joint_positions"}}
    assert trained == kernels | in_time.get(positions, set())


@pytest.mark.parametrize("way", WAYS)
def test_a_preset_keeps_what_was_added(way, tmp_path):
    backbone = make()
    backbone.adapt(**way)
    shake(backbone, "adapter_", "lora_")
    backbone.save_to_preset(tmp_path / "preset")
    again = ViViTBackbone.from_preset(tmp_path / "preset")
    np.testing.assert_allclose(pooled(again), pooled(backbone), atol=1e-6)
    assert {w.path for w in again.trainable_weights} == {
        w.path for w in backbone.trainable_weights
    }
    for one, other in zip(again.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(one), ops.convert_to_numpy(other)
        )


def test_lora_is_merged_on_request(tmp_path):
    backbone = make()
    num_weights = len(backbone.weights)
    backbone.adapt(lora_rank=2)
    shake(backbone, "lora_")
    before = pooled(backbone)
    backbone.merge_lora()
    np.testing.assert_allclose(pooled(backbone), before, atol=1e-4)
    assert len(backbone.weights) == num_weights
    backbone.save_to_preset(tmp_path / "preset")
    again = ViViTBackbone.from_preset(tmp_path / "preset")
    assert again.lora_rank is None and len(again.weights) == num_weights
    np.testing.assert_allclose(pooled(again), before, atol=1e-4)


def test_lora_of_a_map_equals_its_formula():
    backbone = make()
    backbone.adapt(lora_rank=2)
    shake(backbone, "lora_")
    query = backbone.transformer_layers[0].attention.query
    kernel, a, b = (
        ops.convert_to_numpy(w).astype("float64")
        for w in (query._kernel, query.lora_kernel_a, query.lora_kernel_b)
    )
    assert kernel.shape == (12, 2, 6)
    assert a.shape == (12, 2) and b.shape == (2, 2, 6)
    x = np.random.default_rng(0).normal(size=(1, 3, 12)).astype("float32")
    expected = np.tensordot(x, kernel + np.tensordot(a, b, 1), 1)
    np.testing.assert_allclose(
        ops.convert_to_numpy(query(x)), expected, atol=1e-5
    )


def test_weights_without_an_update_do_not_fit_one_with_it(tmp_path):
    make().save_weights(tmp_path / "plain.weights.h5")
    backbone = make(lora_rank=2)
    with pytest.raises(ValueError, match="has a LoRA update"):
        backbone.load_weights(tmp_path / "plain.weights.h5")


@pytest.mark.parametrize(
    "way, message",
    [
        ({"adapter_dim": 0}, "`adapter_dim` must be an int of at least 1"),
        ({"lora_rank": 1.5}, "`lora_rank` must be an int of at least 1"),
        ({"lora_rank": 2, "last_layers": 1}, "one of .* at a time"),
        ({"temporal_only": True}, "needs an encoder with attention over time"),
    ],
)
def test_ways_that_do_not_fit(way, message):
    with pytest.raises(ValueError, match=message):
        make().adapt(**way)


def test_one_width_alone():
    backbone = make(adapter_dim=3)
    backbone.adapt(adapter_dim=3)
    with pytest.raises(ValueError, match="has adapter_dim=3 already"):
        backbone.adapt(adapter_dim=4)
