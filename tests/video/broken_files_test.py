"""Whatever is wrong with a file, `VideoError` is what comes of it."""

import av
import numpy as np
import pytest

from keras_longvideo.video import VideoError
from keras_longvideo.video import frames_at
from keras_longvideo.video import probe
from keras_longvideo.video import sample_frames

pytestmark = pytest.mark.backend_free


@pytest.fixture(
    params=[
        probe,
        sample_frames,
        lambda path: frames_at(path, [0.0]),
    ],
    ids=["probe", "sample_frames", "frames_at"],
)
def read(request):
    return request.param


def check(read, path, reason):
    with pytest.raises(VideoError) as caught:
        read(path)
    assert type(caught.value) is VideoError
    assert caught.value.path == str(path)
    assert reason in caught.value.reason


def test_missing_file(tmp_path, read):
    check(read, tmp_path / "a.mp4", "does not exist")


def test_folder(tmp_path, read):
    check(read, tmp_path, "not a file")


def test_empty_file(tmp_path, read):
    path = tmp_path / "a.mp4"
    path.touch()
    check(read, path, "empty (0 bytes)")


def test_random_bytes(tmp_path, read):
    path = tmp_path / "a.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(9000))
    check(read, path, "no video")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a.txt", "text file"), ("a.mp4", "no video"), ("a", "no video")],
)
def test_text_file(tmp_path, read, name, reason):
    path = tmp_path / name
    path.write_text("Frames of a film,\ntold in words.\n" * 20)
    check(read, path, reason)


def test_subtitles(tmp_path, read):
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
    check(read, path, "no video stream")


def test_sound_without_picture(tmp_path, read):
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        silence = np.zeros((1, 16000), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    check(read, path, "no video stream")


def test_truncated_without_index(tmp_path, encode, read):
    # MP4 keeps its index at the end.
    path = encode(tmp_path / "a.mp4", range(60))
    path.write_bytes(path.read_bytes()[:-500])
    check(read, path, "truncated")


def test_truncated_behind_its_index(tmp_path, encode, read, index_first):
    path = index_first(encode(tmp_path / "a.mp4", range(60)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    check(read, path, "truncated")


def test_truncated_between_two_frames(tmp_path, encode, read, index_first):
    path = index_first(encode(tmp_path / "a.mp4", range(60)))
    with av.open(str(path)) as container:
        starts = [packet.pos for packet in container.demux(video=0)]
    path.write_bytes(path.read_bytes()[: starts[40]])
    check(read, path, "truncated")


@pytest.mark.parametrize(
    ("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.mkv", "libx264")]
)
def test_truncated_matroska(tmp_path, encode, read, name, codec):
    path = encode(tmp_path / name, range(60), codec=codec)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    check(read, path, "truncated")


class TestAviWithSound:
    # Without sound FFmpeg notices a cut by itself.
    @pytest.fixture
    def path(self, tmp_path, picture):
        path = tmp_path / "a.avi"
        with av.open(str(path), "w") as container:
            video = container.add_stream("mpeg4", rate=25)
            video.height, video.width = 48, 64
            sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            for number in range(60):
                image = av.VideoFrame.from_ndarray(picture(number), "rgb24")
                container.mux(video.encode(image))
                silence = np.zeros((1, 320), np.int16)
                frame = av.AudioFrame.from_ndarray(silence, "s16", "mono")
                frame.sample_rate = 8000
                container.mux(sound.encode(frame))
            container.mux([*video.encode(None), *sound.encode(None)])
        return path

    @pytest.mark.parametrize("packet", [10, 41, 59])
    @pytest.mark.parametrize("offset", [0, 100])
    def test_truncated(self, path, read, packet, offset):
        with av.open(str(path)) as container:
            starts = [packet.pos for packet in container.demux(video=0)]
        data = path.read_bytes()
        path.write_bytes(data[: starts[packet] + offset])
        check(read, path, "truncated")

    @pytest.mark.parametrize("kept", [0, 100, None])
    def test_a_part_of_its_index_is_enough(self, path, number_of, kept):
        data = path.read_bytes()
        index = data.rindex(b"idx1")
        end = None if kept is None else index + kept
        path.write_bytes(data[:end])
        assert probe(path).num_frames == 60
        frames = sample_frames(path, fps=5).frames
        assert [number_of(image) for image in frames] == list(range(0, 60, 5))


def test_frames_that_cannot_be_decoded(tmp_path, encode):
    path = encode(tmp_path / "a.mkv", range(100), codec="mpeg4")
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0)]
    data = bytearray(path.read_bytes())
    # Every frame from the 50th on, without its start code.
    for position, size in packets[50:100]:
        start = data.index(b"\0\0\1\xb6", position)
        data[start : position + size] = bytes(position + size - start)
    path.write_bytes(data)
    with pytest.raises(VideoError, match="truncated or damaged"):
        frames_at(path, [3.5])


def test_damaged_frames_are_not_handed_out(tmp_path, encode, number_of):
    options = {"x264-params": "keyint=20:min-keyint=20:scenecut=0:bframes=0"}
    path = encode(tmp_path / "a.mp4", range(80), options=options)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0)]
    data = bytearray(path.read_bytes())
    position, size = packets[50]
    middle = position + size // 2
    data[middle : middle + 12] = np.random.default_rng(0).bytes(12)
    path.write_bytes(data)
    # The decoder mends frame 50 with what is near; 51 to 59 build on it.
    for number in (50, 51, 59):
        with pytest.raises(VideoError, match="damaged: its frame at"):
            frames_at(path, [1.0, number / 25])
    with pytest.raises(VideoError, match="damaged"):
        sample_frames(path, fps=25)
    whole = [1.0, 49 / 25, 60 / 25, 3.0]
    numbers = [number_of(image) for image in frames_at(path, whole)]
    assert numbers == [25, 49, 60, 75]


def test_errors_name_the_file_not_a_path_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(probe, "a.mp4", "does not exist")
