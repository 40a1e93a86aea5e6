import numpy as np
import pytest

from keras_longvideo.video import frames_at
from keras_longvideo.video import probe
from keras_longvideo.video import write_image
from keras_longvideo.video import write_video
from keras_longvideo.video.packets import read_packets

pytestmark = pytest.mark.backend_free


@pytest.fixture
def frames(picture):
    return np.stack([picture(number) for number in range(30)])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx-vp9"),
        ("a.mpg", "mpeg2video"),
        ("a.avi", "mpeg4"),
    ],
)
def test_what_is_written_can_be_read(tmp_path, frames, number_of, name, codec):
    path = tmp_path / name
    write_video(path, frames, fps=25, codec=codec)
    read = frames_at(path, np.arange(30) / 25)
    assert [number_of(image) for image in read] == list(range(30))
    assert probe(path).duration == pytest.approx(1.2)


# The last is one frame an hour.
@pytest.mark.parametrize("fps", [1, 12.5, 30000 / 1001, 1 / 40.5, 1 / 3600])
def test_keeps_the_rate(tmp_path, frames, fps):
    write_video(tmp_path / "a.mp4", frames, fps=fps)
    assert probe(tmp_path / "a.mp4").fps == pytest.approx(fps)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.mpg", "mpeg2video")],
)
def test_keeps_odd_sizes(tmp_path, picture, number_of, name, codec):
    frames = np.stack([picture(number, 47, 63) for number in range(5)])
    write_video(tmp_path / name, frames, fps=25, codec=codec)
    read = frames_at(tmp_path / name, np.arange(5) / 25)
    assert read.shape == (5, 47, 63, 3)
    assert [number_of(image) for image in read] == [0, 1, 2, 3, 4]


def test_colours_come_back(tmp_path):
    frames = np.full((3, 48, 64, 3), (200, 100, 50), np.uint8)
    write_video(tmp_path / "a.mp4", frames, fps=5)
    read = frames_at(tmp_path / "a.mp4", [0.0])
    assert np.abs(read.astype(int) - (200, 100, 50)).max() <= 4


def test_keyframe_interval(tmp_path, frames):
    write_video(tmp_path / "a.mp4", frames, fps=25, keyframe_interval=10)
    keys = read_packets(tmp_path / "a.mp4").is_key
    positions = [index for index, key in enumerate(keys) if key] + [30]
    # The encoder may set more of them, where the picture changes.
    assert max(np.diff(positions)) <= 10


def test_options_reach_the_encoder(tmp_path, frames):
    for crf in ("10", "45"):
        write_video(tmp_path / f"{crf}.mp4", frames, 25, options={"crf": crf})
    sizes = [(tmp_path / f"{crf}.mp4").stat().st_size for crf in ("10", "45")]
    assert sizes[0] > 2 * sizes[1]


def test_a_failure_leaves_everything_as_it_was(tmp_path, frames):
    path = tmp_path / "a.mp4"
    path.write_text("precious")
    with pytest.raises(ValueError, match="`codec`"):
        write_video(path, frames, fps=25, codec="no_such_codec")
    with pytest.raises(ValueError, match="`codec`"):
        # No container for sound alone takes a picture.
        write_video(tmp_path / "a.wav", frames, fps=25)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_text() == "precious"


def test_replaces_a_file(tmp_path, frames):
    path = tmp_path / "a.mp4"
    path.write_text("old")
    write_video(path, frames, fps=25)
    assert probe(path).num_frames == 30
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"frames": np.zeros((2, 8, 8, 3))}, ValueError, "`frames`.*float64"),
        (
            {"frames": np.zeros((0, 8, 8, 3), np.uint8)},
            ValueError,
            "`frames`.*one frame",
        ),
        ({"fps": 0}, ValueError, "`fps`.*0"),
        ({"fps": "fast"}, ValueError, "`fps`.*fast"),
        ({"fps": 1e-300}, ValueError, "Cannot write.*`fps` 1e-300"),
        ({"fps": 1e300}, ValueError, r"Cannot write.*`fps` 1e\+300"),
        ({"fps": float("nan")}, ValueError, "`fps`.*nan"),
        ({"keyframe_interval": 0}, ValueError, "`keyframe_interval`.*0"),
        ({"path": "a.nonsense"}, ValueError, "`path`.*a.nonsense"),
        ({"path": "no/such/a.mp4"}, FileNotFoundError, "`path`.*no/such"),
    ],
)
def test_bad_arguments_are_named(
    tmp_path, monkeypatch, frames, arguments, error, match
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=match):
        write_video(
            **{"path": "a.mp4", "frames": frames, "fps": 25, **arguments}
        )
    assert list(tmp_path.iterdir()) == []


def test_an_image_keeps_every_pixel(tmp_path):
    image = np.random.default_rng(0).integers(256, size=(47, 63, 3))
    image = image.astype(np.uint8)
    path = tmp_path / "a.png"
    # Columns in reverse: an array that is not one piece of memory.
    for written in (image, image[:, ::-1]):
        write_image(path, written)
        np.testing.assert_array_equal(frames_at(path, [0.0]), written[None])
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("a.jpg", np.zeros((4, 4, 3), np.uint8), "`path` must end in '.png'"),
        ("a.png", np.zeros((1, 4, 4, 3), np.uint8), r"`image`.*\(1, 4, 4, 3\)"),
        ("a.png", [[0]], "`image` must be a NumPy array.*list"),
        ("a.png", np.zeros((4, 4, 3)), "must be uint8.*float64"),
    ],
)
def test_images_that_cannot_be_written(tmp_path, name, image, message):
    with pytest.raises(ValueError, match=message):
        write_image(tmp_path / name, image)
    assert not list(tmp_path.iterdir())


def test_an_image_needs_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist.*nowhere"):
        write_image(
            tmp_path / "nowhere" / "a.png", np.zeros((4, 4, 3), "uint8")
        )
