import numpy as np
import pytest
from keras import ops

from keras_longvideo.ops import interpolate_positions
from keras_longvideo.ops import interpolation_matrix
from keras_longvideo.ops import sinusoid_positions


def test_twice_as_many_points():
    # Four cells where there were two: their centres lie at -1/4, 1/4, 3/4 and
    # 5/4 of the way between the old ones.
    np.testing.assert_allclose(
        interpolation_matrix(2, 4),
        [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]],
    )


@pytest.mark.parametrize(
    "source, target", [(8, 128), (14, 16), (16, 5), (1, 3)]
)
def test_a_constant_stays_and_a_line_stays_within(source, target):
    matrix = interpolation_matrix(source, target)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    line = matrix @ np.arange(source)
    assert (np.diff(line) >= 0).all()
    assert line[0] >= 0 and line[-1] <= source - 1


def test_same_grid_is_untouched():
    table = np.random.normal(size=(4, 4, 3)).astype("float32")
    np.testing.assert_array_equal(interpolate_positions(table, (4, 4)), table)


@pytest.mark.parametrize("size", [(7, 9), (3, 2), (4, 8)])
def test_equals_a_bilinear_image_resize(size):
    torch = pytest.importorskip("torch")
    table = np.random.normal(size=(4, 6, 3)).astype("float32")
    expected = torch.nn.functional.interpolate(
        torch.tensor(table).permute(2, 0, 1)[None],
        size=size,
        mode="bilinear",
        align_corners=False,
    )[0].permute(1, 2, 0)
    received = ops.convert_to_numpy(interpolate_positions(table, size))
    np.testing.assert_allclose(received, expected.numpy(), atol=1e-6)


def test_wrong_number_of_axes():
    with pytest.raises(ValueError, match="`size` must have 1 entries"):
        interpolate_positions(np.zeros((4, 8)), (2, 2))


def test_sinusoids_by_hand():
    received = sinusoid_positions(3, 3)
    # The third entry has the second frequency, and no cosine beside it.
    slow = 10_000 ** (-2 / 3)
    expected = [
        [0, 1, 0],
        [np.sin(1), np.cos(1), np.sin(slow)],
        [np.sin(2), np.cos(2), np.sin(2 * slow)],
    ]
    np.testing.assert_allclose(received, expected, atol=1e-7)
    assert received.dtype == np.float32
