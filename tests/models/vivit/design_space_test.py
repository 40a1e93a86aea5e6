"""Attention, patches, masking and adaptation, in every combination."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.layers import Tube
from keras_longvideo.models import VideoModel
from keras_longvideo.models import ViViTBackbone

CONFIG = {
    "image_shape": (16, 32, 3),
    "num_frames": 8,
    "hidden_dim": 12,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_dim": 16,
}
PATCHES = {
    "frames": {"tubelet_size": (1, 8, 8)},
    "tubelets": {"tubelet_size": (2, 8, 8)},
    "coarse_in_time": {"tubelet_size": (4, 8, 8)},
    "coarse_in_space": {"tubelet_size": (2, 8, 16)},
    "tubes": {
        "tubelet_size": None,
        "tubes": (
            Tube((2, 8, 8), (2, 8, 8)),
            Tube((4, 4, 4), (4, 8, 8), (0, 4, 4)),
            Tube((1, 8, 8), (2, 8, 8)),
        ),
    },
}
ADAPTATIONS = {
    "all": {},
    "last_layers": {"last_layers": 1},
    "adapters": {"adapter_dim": 3},
    "lora": {"lora_rank": 2},
    "temporal_only": {"temporal_only": True},
}


def fits(attention, patches, adaptation):
    if attention != "joint" and patches == "tubes":
        return False
    return attention == "factorized" or adaptation != "temporal_only"


TABLE = [
    row
    for row in itertools.product(
        ("joint", "factorized", "frame"), PATCHES, (0.0, 0.5), ADAPTATIONS
    )
    if fits(row[0], row[1], row[3])
]


def in_pairs(table):
    """Rows of a table in which every two values that meet in it meet."""

    def pairs(row):
        return set(itertools.combinations(enumerate(row), 2))

    left, chosen = set().union(*map(pairs, table)), []
    while left:
        chosen.append(max(table, key=lambda row: len(pairs(row) & left)))
        left -= pairs(chosen[-1])
    return chosen


# All of it on JAX, which comes first; what differs on the others is seen in a
# quarter of the rows.
ROWS = TABLE if keras.backend.backend() == "jax" else in_pairs(TABLE)


def make(**overrides):
    keras.utils.set_random_seed(0)
    return ViViTBackbone(**{**CONFIG, "tubelet_size": (2, 8, 8), **overrides})


def clips(frames=8, batch=2):
    rng = np.random.default_rng(0)
    shape = (batch, frames, 16, 32, 3)
    return rng.integers(0, 256, size=shape).astype("uint8")


def shake(backbone):
    """Moves weights far from their start: gates open, no update is zero."""
    rng = np.random.default_rng(2)
    for w in backbone.weights:
        if "float" in w.dtype:
            w.assign(ops.convert_to_numpy(w) + 0.3 * rng.normal(size=w.shape))


def outputs_of(backbone, inputs):
    return {k: ops.convert_to_numpy(x) for k, x in backbone(inputs).items()}


def train_a_step(backbone):
    model = VideoModel(backbone.input, backbone.output["pooled_output"])
    model.compile(
        keras.optimizers.SGD(0.5),
        "mse",
        jit_compile=keras.backend.backend() == "jax",
    )
    target = np.random.default_rng(1).normal(size=(2, 12)).astype("float32")
    model.fit(clips(), target, batch_size=2, epochs=2, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "attention, patches, mask_rate, adaptation",
    ROWS,
    ids=["-".join(map(str, row)) for row in ROWS],
)
def test_every_variant_trains_and_is_saved(
    attention, patches, mask_rate, adaptation, tmp_path
):
    backbone = make(
        attention=attention, mask_rate=mask_rate, **PATCHES[patches]
    )
    backbone.adapt(**ADAPTATIONS[adaptation])
    shake(backbone)
    before = {w.path: ops.convert_to_numpy(w) for w in backbone.weights}
    train_a_step(backbone)
    trained = {w.path for w in backbone.trainable_weights}
    # Single images are not seen here; and what all keys have in common changes
    # no softmax.
    still = ("embedding/image_", "key/bias", "seed_generator")
    for weight in backbone.weights:
        moved = np.any(ops.convert_to_numpy(weight) != before[weight.path])
        if weight.path not in trained:
            assert not moved or "seed_generator" in weight.path, weight.path
        elif not any(name in weight.path for name in still):
            assert moved, weight.path

    outputs = outputs_of(backbone, clips())
    backbone.save_to_preset(tmp_path / "preset")
    again = ViViTBackbone.from_preset(tmp_path / "preset")
    for name, x in outputs_of(again, clips()).items():
        np.testing.assert_allclose(x, outputs[name], atol=1e-6)
    assert again.get_config() == {
        **backbone.get_config(),
        "name": again.name,
    }


@pytest.mark.parametrize("num_frames", [1, 4])
def test_tubes_of_images_are_masked_by_image_encoders_alone(num_frames):
    backbone = ViViTBackbone(
        **{**CONFIG, "num_frames": num_frames},
        tubes=PATCHES["tubes"]["tubes"],
        mask_rate=0.5,
    )
    image = np.zeros((1, 1, *CONFIG["image_shape"]), "uint8")
    whole, trained = (
        backbone(image, training=training)["sequence_output"].shape[1]
        for training in (False, True)
    )
    assert trained == (whole // 2 if num_frames == 1 else whole)


def test_tubes_take_the_place_of_tubelets():
    backbone = ViViTBackbone(**CONFIG, tubes=PATCHES["tubes"]["tubes"])
    assert backbone.get_config()["tubelet_size"] is None
    # As in presets that were saved with both.
    both = make(tubes=PATCHES["tubes"]["tubes"], tubelet_size=(2, 8, 8))
    assert both.get_config() == {**backbone.get_config(), "name": both.name}
    with pytest.raises(ValueError, match="`tubelet_size` must be three ints"):
        ViViTBackbone(**CONFIG)


@pytest.mark.parametrize(
    "adaptation", [{}, {"last_layers": 1}, {"lora_rank": 2}]
)
def test_fixed_positions_stay(adaptation):
    backbone = make(positions="fixed")
    backbone.adapt(**adaptation)
    backbone.adapt()
    trained = {weight.path for weight in backbone.trainable_weights}
    assert not [path for path in trained if "positions" in path]


def test_the_final_norm_may_have_its_own_epsilon():
    backbone = make(layer_norm_epsilon=1e-6, output_norm_epsilon=0.5)
    assert backbone.output_norm.epsilon == 0.5
    assert backbone.transformer_layers[0].mlp_norm.epsilon == 1e-6
    again = ViViTBackbone.from_config(backbone.get_config())
    assert again.output_norm.epsilon == 0.5


def test_without_prefix_tokens_the_first_tubelet_is_pooled():
    outputs = outputs_of(make(pooling="token"), clips())
    np.testing.assert_array_equal(
        outputs["pooled_output"], outputs["sequence_output"][:, 0]
    )
