import numpy as np
import pytest
from keras import ops

from keras_longvideo.layers import TokenMasking

GRID = (4, 3, 5)


def draw(layer, token_mask=None, training=True, batch=3):
    tokens = np.arange(60, dtype="float32")[None, :, None].repeat(batch, 0)
    tokens, indices = layer(
        ops.convert_to_tensor(tokens),
        grid=GRID,
        token_mask=token_mask,
        training=training,
    )
    return ops.convert_to_numpy(tokens), ops.convert_to_numpy(indices)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75, 0.9, 0.99])
def test_keeps_exactly_the_rounded_share_and_none_twice(rate):
    tokens, indices = draw(TokenMasking(rate))
    assert indices.shape == (3, round((1 - rate) * 60))
    assert (np.diff(indices, axis=1) > 0).all()
    assert indices.min() >= 0 and indices.max() < 60
    np.testing.assert_array_equal(tokens[..., 0], indices)


def test_fresh_at_each_call_and_for_each_example():
    layer = TokenMasking(0.5)
    _, first = draw(layer)
    _, second = draw(layer)
    assert (first != second).any()
    assert (first[0] != first[1]).any()


def test_every_token_is_as_likely():
    _, indices = draw(TokenMasking(0.75), batch=4000)
    counts = np.bincount(indices.ravel(), minlength=60)
    # Binomial: 4,000 draws of 0.25 have a deviation of 27.
    assert np.abs(counts - 1000).max() < 27 * 5


def test_tube_keeps_the_same_places_in_every_frame():
    _, indices = draw(TokenMasking(0.6, mode="tube"))
    assert indices.shape == (3, 4 * 6)
    places = indices.reshape(3, 4, 6)
    for time in range(4):
        np.testing.assert_array_equal(places[:, time] - 15 * time, places[:, 0])
    assert (places[0, 0] != places[1, 0]).any()


def test_frame_keeps_as_many_places_of_every_frame():
    _, indices = draw(TokenMasking(0.6, mode="frame"))
    places = indices.reshape(3, 4, 6) - 15 * np.arange(4)[:, None]
    assert places.min() >= 0 and places.max() < 15
    assert (np.diff(places, axis=2) > 0).all()
    assert (places[:, 0] != places[:, 1]).any()


def test_padding_goes_first():
    real = np.arange(60) < np.array([[40], [20], [60]])
    _, indices = draw(TokenMasking(0.5), token_mask=ops.convert_to_tensor(real))
    assert (indices[0] < 40).all()
    assert (indices[1, :20] == np.arange(20)).all()
    assert indices.shape == (3, 30)


def test_off_outside_of_training_unless_asked():
    tokens = ops.convert_to_tensor(np.zeros((1, 60, 2), "float32"))
    kept, indices = TokenMasking(0.5)(tokens, grid=GRID)
    assert kept.shape == (1, 60, 2) and indices is None
    _, indices = TokenMasking(0.0)(tokens, grid=GRID, training=True)
    assert indices is None
    kept, indices = TokenMasking(0.5, at_inference=True)(tokens, grid=GRID)
    assert kept.shape == (1, 30, 2)


def test_raw_pixels_stay_uint8():
    tokens = ops.convert_to_tensor(np.zeros((1, 60, 2), "uint8"))
    kept, _ = TokenMasking(0.5)(tokens, grid=GRID, training=True)
    assert ops.convert_to_numpy(kept).dtype == np.uint8


@pytest.mark.parametrize("rate", [-0.1, 1.0, 75])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match="`rate` must be at least 0 and below"):
        TokenMasking(rate)


def test_bad_mode():
    with pytest.raises(ValueError, match="`mode` must be one of"):
        TokenMasking(0.5, mode="block")
