"""An image file is a video of one frame; Pillow says what it shows."""

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from keras_longvideo.video import VideoError
from keras_longvideo.video import probe
from keras_longvideo.video import sample_frames

pytestmark = pytest.mark.backend_free

HEIGHT, WIDTH = 60, 90


def make_image(seed=None):
    """A smooth image; with a seed, noise that takes many bytes."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([rows * 4, columns * 2, rows + columns], axis=-1)
    if seed is not None:
        pixels = np.random.default_rng(seed).integers(0, 256, pixels.shape)
    return PIL.Image.fromarray(pixels.astype("uint8"))


def read(path):
    (image,) = sample_frames(path, fps=1.0, num_frames=1).frames
    return image


@pytest.mark.parametrize(
    "name, mode, options, atol",
    [
        ("a.jpg", "RGB", {"quality": 95}, 6),
        ("a.jpeg", "RGB", {"quality": 95, "progressive": True}, 6),
        ("A.JPG", "L", {"quality": 95}, 6),
        ("a.png", "RGB", {}, 0),
        ("a.png", "RGBA", {}, 0),
        ("a.png", "P", {}, 0),
        ("a.webp", "RGB", {"lossless": True}, 0),
        # What the name says is not asked.
        ("without_suffix", "RGB", {"format": "JPEG", "quality": 95}, 6),
        ("50%d off.png", "RGB", {}, 0),
    ],
)
def test_an_image_is_one_frame(tmp_path, name, mode, options, atol):
    path = tmp_path / name
    make_image().convert(mode).save(path, **options)
    info = probe(path)
    assert (info.num_frames, info.height, info.width) == (1, HEIGHT, WIDTH)
    assert info.duration > 0
    with PIL.Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"), int)
    np.testing.assert_allclose(read(path), expected, atol=atol)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_the_resolution_for_printing_is_no_shape_of_pixels(tmp_path, name):
    path = tmp_path / name
    make_image().save(path, dpi=(72, 144))
    info = probe(path)
    assert (info.height, info.width) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tiff"])
def test_an_image_is_turned_as_its_camera_was(tmp_path, name, orientation):
    path = tmp_path / name
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    make_image().save(path, exif=exif, quality=95)
    with PIL.Image.open(path) as image:
        expected = np.asarray(PIL.ImageOps.exif_transpose(image), int)
    np.testing.assert_allclose(read(path), expected, atol=6)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "no_suffix"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_a_truncated_image(tmp_path, name, kept):
    path = tmp_path / name
    make_image(seed=0).save(path, format=None if "." in name else "JPEG")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(VideoError, match="truncated|damaged") as caught:
        read(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "no_suffix"])
def test_a_damaged_image(tmp_path, name):
    path = tmp_path / name
    make_image(seed=0).save(path, format=None if "." in name else "JPEG")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(VideoError, match="damaged") as caught:
        read(path)
    assert caught.value.path == str(path)


def test_an_image_of_a_kind_that_cannot_be_decoded(tmp_path):
    path = tmp_path / "a.webp"
    pictures = [make_image(seed=seed) for seed in (0, 1)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    with pytest.raises(VideoError, match="or of a kind that cannot be decoded"):
        read(path)
