import numpy as np
import pytest
from keras import ops

from keras_longvideo.layers import AttentionPooling
from keras_longvideo.layers import LastTokenPooling
from keras_longvideo.layers import MeanPooling


def test_mean_by_hand():
    tokens = np.array([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]]])
    assert ops.convert_to_numpy(MeanPooling()(tokens[:, :2])).tolist() == [
        [2, 4]
    ]
    mask = np.array([[True, True, False]])
    for token_mask in (mask, mask.astype("int32")):
        pooled = MeanPooling()(tokens, token_mask)
        assert ops.convert_to_numpy(pooled).tolist() == [[2, 4]]


def test_an_unknown_activation():
    with pytest.raises(ValueError, match="`activation` must be one of"):
        AttentionPooling(2, 32, activation="relu")


def test_last_token_by_hand():
    tokens = np.array([[[1.0], [2.0], [3.0]]] * 3)
    mask = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]])
    for token_mask in (mask, mask.astype("bool")):
        pooled = LastTokenPooling()(tokens, token_mask=token_mask)
        assert ops.convert_to_numpy(pooled).tolist() == [[1], [2], [3]]
    pooled = LastTokenPooling()(tokens)
    assert ops.convert_to_numpy(pooled).tolist() == [[3], [3], [3]]


def test_mean_of_nothing_is_zero():
    pooled = MeanPooling()(np.ones((1, 3, 2)), np.zeros((1, 3), bool))
    assert ops.convert_to_numpy(pooled).tolist() == [[0, 0]]


def test_mean_in_bfloat16_adds_up_in_float32():
    # 4,096 ones and one 0: added up in bfloat16, the sum stops at 256.
    tokens = np.ones((1, 4096, 1), "float32")
    pooled = MeanPooling(dtype="bfloat16")(ops.cast(tokens, "bfloat16"))
    assert float(pooled[0, 0]) == 1.0


def test_attention_pooling_equals_float64():
    layer = AttentionPooling(num_heads=2)
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(2, 5, 8)).astype("float32")
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    layer.build(tokens.shape)
    layer.query.assign(rng.normal(size=(1, 1, 8)))
    pooled = ops.convert_to_numpy(layer(tokens, token_mask=mask))

    def dense(part, equation, x):
        kernel, bias = (
            ops.convert_to_numpy(w).astype("float64") for w in part.weights
        )
        return np.einsum(equation, x, kernel) + bias

    attention = layer.attention
    query = ops.convert_to_numpy(layer.query)[0].astype("float64")
    query = dense(attention.query, "nd,dhe->nhe", query)[0]
    for b in range(2):
        real = tokens[b][mask[b]].astype("float64")
        key = dense(attention.key, "nd,dhe->nhe", real)
        value = dense(attention.value, "nd,dhe->nhe", real)
        heads = []
        for h in range(2):
            weights = np.exp(key[:, h] @ query[h] / 2)
            heads.append(weights / weights.sum() @ value[:, h])
        expected = dense(
            attention.attention_output, "he,hed->d", np.stack(heads)
        )
        np.testing.assert_allclose(pooled[b], expected, atol=1e-5)


def test_heads_must_divide():
    with pytest.raises(ValueError, match="`num_heads` must divide"):
        AttentionPooling(num_heads=3)(np.zeros((1, 4, 8), "float32"))
