"""What a training step keeps for its backward pass."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.models import VideoModel
from keras_longvideo.models import ViViTBackbone

TOKENS, DIM = 32, 16
# One float32 activation of a whole clip.
ACTIVATION = TOKENS * DIM * 4


def make(num_layers=3, **overrides):
    keras.utils.set_random_seed(0)
    config = {
        "image_shape": (16, 16, 3),
        "num_frames": 4,
        "tubelet_size": (2, 4, 4),
        "hidden_dim": DIM,
        "num_layers": num_layers,
        "num_heads": 2,
        "intermediate_dim": 4 * DIM,
    }
    return ViViTBackbone(**{**config, **overrides})


def clip():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(1, 4, 16, 16, 3)).astype("uint8")


def kept_bytes(backbone):
    """Bytes that the forward pass keeps beside weights and pixels."""
    inputs = {"pixel_values": clip(), "frame_mask": None}
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def forward(weights):
            outputs, _ = backbone.stateless_call(
                weights,
                [v.value for v in backbone.non_trainable_variables],
                inputs,
                training=True,
            )
            return outputs["pooled_output"]

        weights = [v.value for v in backbone.trainable_variables]
        _, backward = jax.vjp(forward, weights)
        kept = jax.tree.leaves(backward)
        own = {id(v.value) for v in backbone.variables}
        sizes = {id(x): x.nbytes for x in kept if id(x) not in own}
        return sum(sizes.values())
    if backend == "torch":
        import torch

        own = {v.value.data_ptr() for v in backbone.variables}
        sizes = {}

        def pack(x):
            storage = x.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            # Held until counted: freed memory would be used again.
            outputs = backbone(inputs, training=True)
        del outputs
        return sum(sizes.values())
    pytest.skip("TensorFlow does not tell what its tape keeps")


def trained(**overrides):
    """The weights before and after two steps of training."""
    backbone = make(mask_rate=0.5, **overrides)
    before = [ops.convert_to_numpy(w) for w in backbone.trainable_weights]
    model = VideoModel(backbone.input, backbone.output["pooled_output"])
    # XLA compiles for longer than it trains; on JAX nothing else is at hand.
    jit_compile = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    keras.utils.set_random_seed(1)
    target = np.random.default_rng(2).normal(size=(2, DIM))
    model.fit(np.repeat(clip(), 2, 0), target, epochs=2, verbose=0)
    after = [ops.convert_to_numpy(w) for w in backbone.trainable_weights]
    return before, after


@pytest.mark.parametrize("dropout_rate", [0.0, 0.4])
def test_remat_changes_no_number(dropout_rate):
    before, plain = trained(dropout_rate=dropout_rate)
    _, remat = trained(dropout_rate=dropout_rate, remat=True)
    moved = [
        np.abs(a - b).max() > 1e-5 for a, b in zip(plain, before, strict=True)
    ]
    assert sum(moved) > len(moved) / 2
    for a, b in zip(plain, remat, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("attention", ["joint", "factorized", "frame"])
def test_remat_in_bfloat16(attention):
    before, after = trained(
        attention=attention,
        mask_mode="tube",
        dtype="mixed_bfloat16",
        remat=True,
    )
    assert all(np.isfinite(x).all() for x in after)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


def test_remat_keeps_one_activation_a_block():
    few, many = (kept_bytes(make(n, remat=True)) for n in (2, 6))
    assert ACTIVATION <= (many - few) / 4 < 1.5 * ACTIVATION
    few, many = (kept_bytes(make(n)) for n in (2, 6))
    assert (many - few) / 4 > 8 * ACTIVATION


def test_a_frozen_prefix_keeps_nothing():
    backbones = [make(num_layers) for num_layers in (2, 6)]
    for backbone in backbones:
        backbone.adapt(last_layers=1)
    kept = [kept_bytes(backbone) for backbone in backbones]
    assert kept[0] == kept[1]
    assert kept[0] > 8 * ACTIVATION


def test_adapt_trains_the_last_layers_alone():
    backbone = make()
    model = VideoModel(backbone.input, backbone.output["pooled_output"])
    backbone.adapt(last_layers=1)
    before = {w.path: ops.convert_to_numpy(w) for w in backbone.weights}
    # Weight decay alone would move a frozen weight.
    model.compile(
        keras.optimizers.AdamW(0.1, weight_decay=0.1),
        "mse",
        jit_compile=keras.backend.backend() == "jax",
    )
    model.fit(clip(), np.ones((1, DIM)), verbose=0)
    moved = {
        w.path
        for w in backbone.weights
        if (ops.convert_to_numpy(w) != before[w.path]).any()
    }
    trained = ("transformer_layer_2/", "output_norm/")
    assert moved == {path for path in before if path.startswith(trained)}
    backbone.adapt()
    assert all(w.trainable for w in backbone.weights)


@pytest.mark.parametrize("last_layers", [-1, 4])
def test_adapt_refuses_layers_that_are_not_there(last_layers):
    with pytest.raises(ValueError, match="`last_layers` must be .* 0 to 3"):
        make().adapt(last_layers=last_layers)
