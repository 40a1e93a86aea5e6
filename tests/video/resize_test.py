import numpy as np
import pytest

from keras_longvideo.video import resize_frames

pytestmark = pytest.mark.backend_free


def test_the_own_size_changes_nothing(picture):
    frames = np.stack([picture(number) for number in range(3)])
    np.testing.assert_array_equal(resize_frames(frames, (48, 64)), frames)


def test_crops_the_middle():
    # Columns 0..9, of which a square keeps 2..7.
    frames = np.zeros((1, 6, 10, 3), np.uint8)
    frames[:] = np.arange(10)[:, None]
    cropped = resize_frames(frames, (6, 6))
    np.testing.assert_array_equal(cropped[0, 0, :, 0], [2, 3, 4, 5, 6, 7])


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (31, 77), (1, 1)])
@pytest.mark.parametrize("image_size", [(20, 20), (99, 30), (1, 1), (7, 9)])
def test_covers_any_size(shape, image_size):
    frames = np.full((2, *shape, 3), (200, 100, 50), np.uint8)
    resized = resize_frames(frames, image_size)
    assert resized.shape == (2, *image_size, 3)
    assert resized.dtype == np.uint8
    # Edge to edge, with nothing filled in.
    assert np.abs(resized.astype(int) - (200, 100, 50)).max() <= 1


def test_shrinking_averages():
    # Stripes one pixel wide: picking pixels would show only one colour.
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[:, :, ::2] = 200
    resized = resize_frames(frames, (16, 16))[0, 4:12, 4:12].astype(int)
    assert np.abs(resized - 100).max() <= 3


def test_keeps_the_number_readable(picture, number_of):
    frames = np.stack([picture(number) for number in (7, 1234)])
    resized = resize_frames(frames, (96, 128))
    assert [number_of(image) for image in resized] == [7, 1234]


def test_no_frames():
    frames = np.zeros((0, 48, 64, 3), np.uint8)
    assert resize_frames(frames, (8, 8)).shape == (0, 8, 8, 3)


def test_frames_that_lie_scattered_in_memory(picture):
    frames = np.stack([picture(number) for number in range(2)])
    mirrored = frames[:, :, ::-1]
    np.testing.assert_array_equal(
        resize_frames(mirrored, (24, 24)),
        resize_frames(np.ascontiguousarray(mirrored), (24, 24)),
    )


@pytest.mark.parametrize(
    ("frames", "image_size", "match"),
    [
        ([[1]], (8, 8), "`frames`.*list"),
        (np.zeros((2, 8, 8, 3)), (8, 8), "`frames`.*float64"),
        (np.zeros((8, 8, 3), np.uint8), (8, 8), r"`frames`.*\(8, 8, 3\)"),
        (np.zeros((2, 8, 8, 4), np.uint8), (8, 8), "`frames`"),
        (np.zeros((2, 0, 8, 3), np.uint8), (8, 8), "`frames`.*pixels"),
        (np.zeros((2, 8, 8, 3), np.uint8), 8, "`image_size`.*8"),
        (np.zeros((2, 8, 8, 3), np.uint8), (8, -1), "`image_size`"),
        (np.zeros((2, 8, 8, 3), np.uint8), (8, 8, 3), "`image_size`"),
        (np.zeros((2, 8, 8, 3), np.uint8), None, "`image_size`.*None"),
    ],
)
def test_bad_arguments_are_named(frames, image_size, match):
    with pytest.raises(ValueError, match=match):
        resize_frames(frames, image_size)
