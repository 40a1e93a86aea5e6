from fractions import Fraction

import av
import numpy as np
import pytest

from keras_longvideo.video import decode
from keras_longvideo.video import frames_at
from keras_longvideo.video import probe
from keras_longvideo.video import resize_frames
from keras_longvideo.video.packets import read_packets

pytestmark = pytest.mark.backend_free

_VP9 = {"deadline": "realtime", "cpu-used": "8"}
_OPEN_GROUPS = "open-gop=1:bframes=3:b-adapt=0:keyint=20:min-keyint=20"
_X265 = "log-level=none:keyint=20:bframes=4"
_MILLISECOND = Fraction(1, 1000)
_UNEVEN = np.cumsum(np.random.default_rng(1).integers(1, 90, 130)).tolist()

# File name, arguments of `encode` beside 130 frames at 25 FPS.
CLIPS = {
    "key frames every 30": ("a.mp4", {}),
    "key frames every 250": ("a.mp4", {"keyframe_interval": 250}),
    "every frame a key frame": ("a.mp4", {"keyframe_interval": 1}),
    "no B-frames": ("a.mp4", {"options": {"bf": "0"}}),
    "open groups, MP4": (
        "a.mp4",
        {"options": {"x264-params": _OPEN_GROUPS}},
    ),
    "open groups, Matroska": (
        "a.mkv",
        {"options": {"x264-params": _OPEN_GROUPS}},
    ),
    "open groups, MPEG-TS": (
        "a.ts",
        {"options": {"x264-params": _OPEN_GROUPS}},
    ),
    "intra refresh": (
        "a.mkv",
        {"options": {"x264-params": "intra-refresh=1:keyint=30:bframes=0"}},
    ),
    "variable rate, MP4": (
        "a.mp4",
        {"pts": _UNEVEN, "time_base": _MILLISECOND},
    ),
    "variable rate, Matroska": (
        "a.mkv",
        {"pts": _UNEVEN, "time_base": _MILLISECOND},
    ),
    "starts late": ("a.mkv", {"pts": range(50, 180)}),
    "starts before zero": ("a.mp4", {"pts": range(-5, 125)}),
    "one frame": ("a.mp4", {"pts": range(1)}),
    "one frame, VP9": ("a.webm", {"pts": range(1), "codec": "libvpx-vp9"}),
    "VP9": ("a.webm", {"codec": "libvpx-vp9", "options": _VP9}),
    "VP9 with hidden frames": (
        "a.webm",
        {
            "codec": "libvpx-vp9",
            "options": {"cpu-used": "5", "auto-alt-ref": "1"},
        },
    ),
    "MPEG-2, Matroska": (
        "a.mkv",
        {
            "codec": "mpeg2video",
            "options": {"bf": "2"},
            "keyframe_interval": 12,
        },
    ),
    "MPEG-2, MPEG-PS": (
        "a.mpg",
        {"codec": "mpeg2video", "options": {"bf": "2"}, "pts": range(60)},
    ),
    "MPEG-4": ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    "HEVC": (
        "a.mp4",
        {
            "codec": "libx265",
            "options": {"x265-params": _X265, "preset": "ultrafast"},
        },
    ),
    "odd sizes": ("a.mp4", {"size": (47, 63), "pixel_format": "yuv444p"}),
    "odd sizes, VP9": (
        "a.webm",
        {"codec": "libvpx-vp9", "size": (47, 63), "options": _VP9},
    ),
    "no times at all": ("a.h264", {"options": {"bf": "2"}}),
}


@pytest.fixture(params=CLIPS)
def clip(request, tmp_path, encode):
    name, arguments = CLIPS[request.param]
    arguments = {"pts": range(130), **arguments}
    codec = arguments.get("codec", "libx264")
    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"PyAV here has no {codec}")
    return encode(tmp_path / name, **arguments)


def test_pixels_are_those_of_a_decoding_in_full(clip, decode_all, on_screen):
    decoded = decode_all(clip)
    starts = [float(start) for start in decoded[0]]
    duration = probe(clip).duration
    asked = [
        starts,
        starts[::-7],
        [duration / 2],
        [0.0],
        [duration - 1e-3, duration + 5, -1.0, duration / 3, duration / 3],
        np.random.default_rng(0).uniform(0, duration, 6).tolist(),
    ]
    for times in asked:
        np.testing.assert_array_equal(
            frames_at(clip, times), on_screen(decoded, times)
        )


def test_a_time_between_two_frames_shows_the_earlier_one(
    tmp_path, encode, number_of
):
    # Frames at 0, 100, 150, 400 and 1000 ms.
    pts = [0, 100, 150, 400, 1000]
    path = encode(tmp_path / "a.mkv", pts, time_base=_MILLISECOND)
    times = [0.0, 0.099, 0.1, 0.149, 0.15, 0.39, 0.4, 0.999, 1.0, 60.0]
    numbers = [number_of(image) for image in frames_at(path, times)]
    assert numbers == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_times_come_in_any_order_and_again(tmp_path, encode, number_of):
    path = encode(tmp_path / "a.mp4", range(100))
    times = [3.0, 0.0, 3.0, 2.04, -1.0]
    numbers = [number_of(image) for image in frames_at(path, times)]
    assert numbers == [75, 0, 75, 51, 0]


def test_a_float_just_short_of_a_frame_means_that_frame(
    tmp_path, encode, number_of
):
    path = encode(tmp_path / "a.mp4", range(30), time_base=Fraction(1, 30))
    times = [0.1 + 0.1 + 0.1, 1 - 0.9, 7 / 30]
    numbers = [number_of(image) for image in frames_at(path, times)]
    assert numbers == [9, 3, 7]


def test_times_count_from_the_first_frame_that_is_shown(
    tmp_path, encode, number_of
):
    # An edit list hides the five frames before zero.
    path = encode(tmp_path / "a.mp4", range(-5, 95))
    numbers = [number_of(image) for image in frames_at(path, [0.0, 1.0])]
    assert numbers == [5, 30]


def test_h264_in_avi_is_shown_in_its_own_order(tmp_path, encode, number_of):
    # AVI holds no times, and those that FFmpeg makes up are out of order.
    path = encode(tmp_path / "a.avi", range(60), options={"bf": "2"})
    numbers = [
        number_of(image) for image in frames_at(path, np.arange(60) / 25)
    ]
    assert numbers == list(range(60))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_frames_are_turned_as_the_file_says(
    tmp_path, encode, turn, number_of, degrees
):
    path = encode(tmp_path / "a.mp4", range(10))
    straight = frames_at(path, [0.2])
    turn(path, degrees)
    turned = frames_at(path, [0.2])
    assert number_of(straight[0]) == 5
    clockwise = np.rot90(straight, -degrees // 90, axes=(1, 2))
    np.testing.assert_array_equal(turned, clockwise)
    np.testing.assert_array_equal(
        frames_at(path, [0.2], image_size=(20, 30)),
        resize_frames(turned, (20, 30)),
    )


def test_pixels_that_are_not_square_are_widened(tmp_path, encode, number_of):
    path = encode(tmp_path / "a.mp4", range(10), pixel_aspect=Fraction(4, 3))
    frames = frames_at(path, [0.2])
    assert frames.shape == (1, 48, 85, 3)
    assert number_of(frames[0]) == 5
    # A square is cut from the picture as it is displayed.
    square = frames_at(path, [0.2], image_size=(48, 48))
    np.testing.assert_array_equal(square, frames[:, :, 18:66])


def test_pixels_are_widened_before_they_are_turned(tmp_path, encode, turn):
    path = encode(tmp_path / "a.mp4", range(10), pixel_aspect=Fraction(4, 3))
    straight = frames_at(path, [0.2])
    turn(path, 90)
    turned = frames_at(path, [0.2])
    assert turned.shape == (1, 85, 48, 3)
    clockwise = np.rot90(straight, -1, axes=(1, 2))
    np.testing.assert_allclose(turned, clockwise, atol=2)


@pytest.mark.parametrize("image_size", [(24, 24), (48, 64), (101, 33)])
def test_image_size_resizes_the_frames(tmp_path, encode, image_size):
    path = encode(tmp_path / "a.mp4", range(10))
    frames = frames_at(path, [0.0, 0.2], image_size=image_size)
    assert frames.shape == (2, *image_size, 3)
    assert frames.dtype == np.uint8
    native = frames_at(path, [0.0, 0.2])
    np.testing.assert_array_equal(frames, resize_frames(native, image_size))


def test_no_times_no_frames(tmp_path, encode):
    path = encode(tmp_path / "a.mp4", range(3))
    assert frames_at(path, []).shape == (0, 48, 64, 3)


class TestSeeking:
    @pytest.fixture
    def decoded(self, monkeypatch):
        """The packets that went to the decoder; decoding in full fails."""
        packets = []
        read_segment = decode._read_segment

        def spy(*args):
            for packet in read_segment(*args):
                packets.append(packet.pts)
                yield packet

        monkeypatch.setattr(decode, "_read_segment", spy)
        monkeypatch.setattr(decode, "_decode_in_full", None)
        return packets

    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
    def test_decodes_only_the_groups_that_are_wanted(
        self, tmp_path, encode, decoded, number_of, name
    ):
        # 20 groups of 20 frames; three of them hold a wanted frame.
        options = {
            "x264-params": "keyint=20:min-keyint=20:scenecut=0:bframes=0"
        }
        path = encode(tmp_path / name, range(400), options=options)
        frames = frames_at(path, [2.0, 8.2, 14.48])
        assert [number_of(image) for image in frames] == [50, 205, 362]
        # Each group from its key frame on: 40..50, 200..205 and 360..362.
        assert len(decoded) == 11 + 6 + 3

    def test_open_groups_need_no_decoding_in_full(
        self, tmp_path, encode, decoded, naive_frames_at
    ):
        options = {"x264-params": _OPEN_GROUPS}
        path = encode(tmp_path / "a.mkv", range(130), options=options)
        # Frame 58 is shown just before the key frame 60.
        times = [58 / 25, 101 / 25]
        np.testing.assert_array_equal(
            frames_at(path, times), naive_frames_at(path, times)
        )
        assert len(decoded) < 60


def test_a_plan_that_fails_gives_way_to_decoding_in_full(
    tmp_path, encode, monkeypatch, naive_frames_at
):
    path = encode(tmp_path / "a.mp4", range(130))
    monkeypatch.setattr(decode, "_read_segment", lambda *args: [])
    times = [0.3, 4.9, 2.2]
    np.testing.assert_array_equal(
        frames_at(path, times), naive_frames_at(path, times)
    )


def test_packets_without_a_frame_leave_the_frame_before_on_screen(
    tmp_path, encode, number_of
):
    path = encode(tmp_path / "a.mp4", range(10))
    table = read_packets(path)
    # Pretend that there were a packet halfway between frames 4 and 5.
    step = int(table.ticks[1] - table.ticks[0])
    hidden = int(table.ticks[4]) + step // 2
    seen = {}

    def keep(tick, frame):
        seen[tick] = number_of(frame.to_ndarray(format="rgb24"))

    decode._decode_in_full(table, {0, hidden}, keep)
    assert seen == {0: 0, hidden: 4}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"times": "soon"}, "`times`.*'soon'"),
        ({"times": 1.0}, "`times`.*1.0"),
        ({"times": [[1.0]]}, "`times`"),
        ({"times": [float("nan")]}, "`times`.*nan"),
        ({"image_size": 32}, "`image_size`.*32"),
        ({"image_size": (32, 0)}, "`image_size`"),
        ({"image_size": (32.5, 32)}, "`image_size`"),
    ],
)
def test_bad_arguments_are_named(tmp_path, encode, arguments, match):
    path = encode(tmp_path / "a.mp4", range(2))
    with pytest.raises(ValueError, match=match):
        frames_at(path, **{"times": [0.0], **arguments})
