import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.layers import Attention
from keras_longvideo.layers import FactorizedBlock
from keras_longvideo.layers import TransformerBlock


def test_padding_changes_no_real_token():
    block = TransformerBlock(num_heads=2, intermediate_dim=16)
    tokens = np.random.normal(size=(2, 6, 8)).astype("float32")
    alone = ops.convert_to_numpy(block(tokens[:, :4]))
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    padded = ops.convert_to_numpy(block(tokens, token_mask=mask))
    np.testing.assert_allclose(padded[:, :4], alone, atol=1e-5)


def test_every_token_attends_to_every_other():
    block = TransformerBlock(num_heads=2, intermediate_dim=16)
    tokens = np.random.normal(size=(1, 6, 8)).astype("float32")
    before = ops.convert_to_numpy(block(tokens))
    for changed in range(6):
        other = tokens.copy()
        other[0, changed] += np.random.normal(size=8)
        moved = np.abs(ops.convert_to_numpy(block(other)) - before).max(-1)
        assert (moved > 1e-6).all()


def test_dropout_acts_in_training_alone():
    block = TransformerBlock(2, 16, dropout_rate=0.5)
    tokens = np.random.normal(size=(1, 6, 8)).astype("float32")
    first, second = (
        ops.convert_to_numpy(block(tokens, training=True)) for _ in range(2)
    )
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(
        ops.convert_to_numpy(block(tokens)), ops.convert_to_numpy(block(tokens))
    )


def test_bfloat16_computes_in_bfloat16():
    block = TransformerBlock(2, 16, dtype="mixed_bfloat16")
    output = block(np.ones((1, 3, 8), "float32"))
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert all(w.dtype == "float32" for w in block.trainable_weights)


@pytest.mark.parametrize("cls", [TransformerBlock, FactorizedBlock])
def test_a_model_of_blocks_keeps_its_adapters(cls, tmp_path):
    shape = (6, 8) if cls is TransformerBlock else (2, 3, 8)
    inputs = keras.Input(shape)
    block = cls(2, 16)
    model = keras.Model(inputs, block(inputs))
    block.add_adapter(3)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    model.save(tmp_path / "model.keras")
    tokens = rng.normal(size=(2, *shape)).astype("float32")
    again = keras.saving.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for other in (again, clone):
        assert len(other.weights) == len(model.weights)
        np.testing.assert_allclose(
            ops.convert_to_numpy(other(tokens)),
            ops.convert_to_numpy(model(tokens)),
            atol=1e-4,
        )
    with pytest.raises(ValueError, match="can be added once.*adapter_dim=3"):
        again.layers[-1].add_adapter(3)


def test_heads_must_divide():
    with pytest.raises(ValueError, match="`num_heads` must divide"):
        Attention(num_heads=3)(np.zeros((1, 4, 8), "float32"))
