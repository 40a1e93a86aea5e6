"""New weights for fine-tuning, and which of all weights are trained."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.models import VideoModel
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


def make_video():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, size=(2, 4, 8, 8, 3)).astype("uint8")


def pooled(backbone):
    return ops.convert_to_numpy(backbone(make_video())["pooled_output"])


def train(backbone):
    """What a step of training changes: the weights' paths."""
    before = {w.path: ops.convert_to_numpy(w).copy() for w in backbone.weights}
    model = VideoModel(backbone.input, backbone.output["pooled_output"])
    # XLA compiles for longer than it trains; on JAX nothing else is at hand.
    jit_compile = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=jit_compile)
    target = np.random.default_rng(2).normal(size=(2, 12))
    model.fit(make_video(), target, verbose=0)
    return {
        w.path
        for w in backbone.weights
        if not np.array_equal(ops.convert_to_numpy(w), before[w.path])
    }


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


@pytest.mark.parametrize("way", WAYS)
def test_adapting_opens_the_gate_over_time(way):
    backbone = make(attention="factorized")
    backbone.adapt(**way)
    blocks = [f"transformer_layer_{i}" for i in range(2)]
    # Of an update, its second half moves first.
    over_time = {
        w.path
        for w in backbone.trainable_weights
        if "/time_attention/" in w.path and w.path.endswith("kernel_b")
    }
    assert len(over_time) == (2 * 4 if "lora_rank" in way else 0)
    # Behind the gate, which is shut, nothing has a gradient yet.
    changed = train(backbone)
    assert {f"{block}/time_gate" for block in blocks} <= changed
    assert not over_time & changed
    assert over_time <= train(backbone)


@pytest.mark.parametrize("way", [*WAYS, {"temporal_only": True}])
def test_pooling_is_trained(way):
    # A new one is random: frozen, it would stay so.
    backbone = make(
        attention="factorized", pooling="map", time_pooling="attention"
    )
    backbone.adapt(**way)
    pooling = {w.path for w in backbone.weights if "pooler/" in w.path}
    trained = {w.path for w in backbone.trainable_weights}
    assert len(pooling) > 2 and pooling <= trained


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


def test_keras_hub_s_name_for_lora(tmp_path):
    backbone = make()
    backbone.enable_lora(2)
    assert backbone.lora_rank == 2
    assert count(backbone.trainable_weights) == 2 * LORA + PATCH
    shake(backbone, "lora_")
    backbone.save_to_preset(tmp_path / "preset")
    again = ViViTBackbone.from_preset(tmp_path / "preset")
    np.testing.assert_allclose(pooled(again), pooled(backbone), atol=1e-6)
    with pytest.raises(ValueError, match="`target_layer_names`.*'query'"):
        make().enable_lora(2, target_layer_names=["query"])
    # The updates alone are not all that training changed.
    for call in (backbone.save_lora_weights, backbone.load_lora_weights):
        with pytest.raises(NotImplementedError, match="`save_to_preset`"):
            call(str(tmp_path / "a.lora.h5"))


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


def test_predictions_after_a_merge():
    backbone = make(lora_rank=2)
    shake(backbone, "lora_")
    model = VideoModel(backbone.input, backbone.output["pooled_output"])
    before = model.predict(make_video(), verbose=0)
    backbone.merge_lora()
    after = model.predict(make_video(), verbose=0)
    np.testing.assert_allclose(after, before, atol=1e-4)
    np.testing.assert_allclose(after, pooled(backbone), atol=1e-5)


def test_adapters_and_lora_are_both_trained_on(tmp_path):
    backbone = make(lora_rank=2, adapter_dim=3)
    paths = [w.path for w in backbone.trainable_weights]
    for name in ("adapter_down", "adapter_up", "lora_kernel_a"):
        assert any(name in path for path in paths)
    assert count(backbone.trainable_weights) == 2 * (LORA + ADAPTER) + PATCH
    again = ViViTBackbone.from_config(backbone.get_config())
    assert [w.path for w in again.trainable_weights] == paths


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
    np.testing.assert_allclose(
        ops.convert_to_numpy(query.kernel),
        kernel + np.tensordot(a, b, 1),
        atol=1e-5,
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
        ({"last_layers": 1.0}, "`last_layers` must be None or an int from 0"),
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
