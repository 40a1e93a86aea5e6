from fractions import Fraction

import pytest

from keras_longvideo.video import VideoInfo
from keras_longvideo.video import probe

pytestmark = pytest.mark.backend_free


def test_tells_size_length_and_rate(tmp_path, encode):
    path = encode(tmp_path / "a.mp4", range(50), time_base=Fraction(1, 20))
    assert probe(path) == VideoInfo(
        path=path,
        width=64,
        height=48,
        num_frames=50,
        duration=2.5,
        fps=20.0,
        codec="h264",
        rotation=0,
    )


@pytest.mark.parametrize(
    ("degrees", "height", "width"),
    [(90, 64, 48), (180, 48, 64), (270, 64, 48)],
)
def test_size_is_that_after_the_rotation(
    tmp_path, encode, turn, degrees, height, width
):
    path = encode(tmp_path / "a.mp4", range(5))
    turn(path, degrees)
    info = probe(path)
    assert (info.rotation, info.height, info.width) == (degrees, height, width)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.ts", "libx264"), ("a.avi", "mpeg4")],
)
@pytest.mark.parametrize(
    ("pixel_aspect", "width"), [(Fraction(4, 3), 85), (Fraction(8, 9), 57)]
)
def test_size_is_that_of_square_pixels(
    tmp_path, encode, name, codec, pixel_aspect, width
):
    path = encode(
        tmp_path / name, range(5), codec=codec, pixel_aspect=pixel_aspect
    )
    info = probe(path)
    assert (info.height, info.width) == (48, width)


@pytest.mark.parametrize(
    ("across", "down"), [(1000, 1), (1, 1000), (11, 1), (1, 11)]
)
def test_pixels_of_a_shape_that_cannot_be_are_square(
    tmp_path, encode, patch_box, across, down
):
    path = encode(tmp_path / "a.mp4", range(5), pixel_aspect=Fraction(4, 3))
    aspect = across.to_bytes(4, "big") + down.to_bytes(4, "big")
    patch_box(path, b"pasp", 0, aspect)
    info = probe(path)
    assert (info.height, info.width) == (48, 64)


def test_a_file_longer_than_its_header_says(tmp_path, encode, patch_box):
    path = encode(tmp_path / "a.mp4", range(75))
    # The lengths in the headers of the movie and of its track: one tick.
    patch_box(path, b"mvhd", 16, (1).to_bytes(4, "big"))
    patch_box(path, b"mdhd", 16, (1).to_bytes(4, "big"))
    info = probe(path)
    assert (info.num_frames, info.duration) == (75, 3.0)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.webm", "libvpx-vp9"), ("a.mkv", "mpeg2video"), ("a.ts", "libx264")],
)
def test_other_formats(tmp_path, encode, name, codec):
    info = probe(encode(tmp_path / name, range(50), codec=codec))
    assert (info.num_frames, info.width, info.height) == (50, 64, 48)
    assert info.duration == pytest.approx(2.0)
    assert info.fps == pytest.approx(25.0)


def test_variable_rate_gives_the_average(tmp_path, encode):
    path = encode(
        tmp_path / "a.mkv", [0, 100, 300, 900], time_base=Fraction(1, 1000)
    )
    info = probe(path)
    assert info.num_frames == 4
    # The last frame's own length is the container's to choose.
    assert 0.9 < info.duration < 1.6
    assert info.fps == pytest.approx(4 / info.duration)


def test_frames_hidden_by_an_edit_list_do_not_count(tmp_path, encode):
    info = probe(encode(tmp_path / "a.mp4", range(-5, 20)))
    assert (info.num_frames, info.duration) == (20, 0.8)


def test_without_times_the_rate_counts(tmp_path, encode):
    info = probe(encode(tmp_path / "a.h264", range(40)))
    assert (info.num_frames, info.duration) == (40, 1.6)
