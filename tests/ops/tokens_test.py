import numpy as np
import pytest
from keras import ops

from keras_longvideo.ops import gather_tokens
from keras_longvideo.ops import keep_indices
from keras_longvideo.ops import repeat_last_frame
from keras_longvideo.ops import split_into_tubelets


def test_tubelets_run_over_time_then_rows_then_columns():
    video = np.arange(2 * 4 * 4 * 6 * 3).reshape(2, 4, 4, 6, 3)
    tubelets = ops.convert_to_numpy(split_into_tubelets(video, (2, 2, 3)))
    assert tubelets.shape == (2, 8, 36)
    # Number 5 of two rows and two columns: time 1, row 0, column 1.
    np.testing.assert_array_equal(
        tubelets[1, 5], video[1, 2:4, 0:2, 3:6].reshape(36)
    )


def test_tubelets_keep_uint8():
    video = np.zeros((1, 2, 4, 4, 3), "uint8")
    tubelets = split_into_tubelets(ops.convert_to_tensor(video), (1, 2, 2))
    assert ops.convert_to_numpy(tubelets).dtype == np.uint8


@pytest.mark.parametrize("tubelet_size", [(3, 2, 2), (2, 3, 2), (2, 2, 3)])
def test_tubelets_that_do_not_divide(tubelet_size):
    video = np.zeros((2, 4, 4, 4, 3), "uint8")
    with pytest.raises(ValueError, match=r"must divide .* \(4, 4, 4\)"):
        split_into_tubelets(video, tubelet_size)


def test_gather_tokens_of_any_rank():
    tokens = np.arange(2 * 5 * 3 * 2).reshape(2, 5, 3, 2)
    indices = np.array([[0, 4], [2, 2]])
    kept = ops.convert_to_numpy(gather_tokens(tokens, indices))
    np.testing.assert_array_equal(kept[0], tokens[0, [0, 4]])
    np.testing.assert_array_equal(kept[1], tokens[1, [2, 2]])


def test_repeat_last_frame():
    # Three tubelets of four frames of a pixel.
    tubelets = np.arange(1, 13).reshape(1, 3, 4)
    mask = np.array([[[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]], bool)
    filled = ops.convert_to_numpy(repeat_last_frame(tubelets, mask))
    assert filled[0].tolist() == [
        [1, 2, 3, 4],
        [5, 6, 6, 6],
        [0, 0, 0, 0],
    ]


def test_keep_indices_takes_the_lowest_noise_in_order():
    noise = np.array([[0.9, 0.1, 0.5, 0.3], [0.2, 0.4, 0.1, 0.3]])
    kept = ops.convert_to_numpy(keep_indices(noise, 2))
    assert kept.tolist() == [[1, 3], [0, 2]]


def test_keep_indices_drops_padding_first():
    noise = np.array([[0.9, 0.95, 0.0, 0.1]])
    mask = np.array([[True, True, False, False]])
    assert ops.convert_to_numpy(keep_indices(noise, 2, mask)).tolist() == [
        [0, 1]
    ]
    # Too little that is real: the padding with the lowest noise is kept too.
    assert ops.convert_to_numpy(keep_indices(noise, 3, mask)).tolist() == [
        [0, 1, 2]
    ]
