import math

import numpy as np
from keras import ops

from keras_longvideo.ops import nce_loss
from keras_longvideo.ops import sigmoid_loss


def test_nce_by_hand():
    # Two pairs with cosines [[1, 0], [0.6, 0.8]] and scale 2.
    videos = np.array([[1.0, 0.0], [0.6, 0.8]])
    texts = np.eye(2)

    def nll(right, wrong):
        return math.log(1 + math.exp(2 * (wrong - right)))

    expected = [
        (nll(1, 0) + nll(1, 0.6)) / 2,
        (nll(0.8, 0.6) + nll(0.8, 0)) / 2,
    ]
    losses = ops.convert_to_numpy(nce_loss(videos, texts, 2.0))
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_nce_of_equal_embeddings_is_log_batch():
    same = np.ones((5, 4)) / 2
    losses = ops.convert_to_numpy(nce_loss(same, same, 14.3))
    np.testing.assert_allclose(losses, math.log(5), rtol=1e-6)


def test_sigmoid_by_hand():
    videos = np.array([[1.0, 0.0], [0.6, 0.8]])
    texts = np.eye(2)

    def nll(z):
        return math.log(1 + math.exp(-z))

    # Logits 10 * cosine - 5: [[5, -5], [1, 3]].
    expected = [nll(5) + nll(5), nll(-1) + nll(3)]
    losses = ops.convert_to_numpy(sigmoid_loss(videos, texts, 10.0, -5.0))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_losses_are_float32_and_finite_at_the_largest_scale():
    x = ops.cast(np.eye(3), "bfloat16")
    opposite = ops.cast(-np.eye(3), "bfloat16")
    for losses in (
        nce_loss(x, opposite, 100.0),
        sigmoid_loss(x, opposite, 100.0, -10.0),
    ):
        losses = ops.convert_to_numpy(losses)
        assert losses.dtype == np.float32
        assert np.isfinite(losses).all()
