"""Records: what is written, what is read of others' ones, and bad ones."""

import math
import os
import pathlib
import struct

import numpy as np
import pytest
import tensorflow as tf

from keras_longvideo.data import encode_record
from keras_longvideo.data import record_dataset
from keras_longvideo.data import video_text_dataset
from keras_longvideo.data import write_records
from keras_longvideo.data.tfrecords import find_records
from keras_longvideo.video import VideoError
from keras_longvideo.video import resize_frames
from keras_longvideo.video import sample_frames
from keras_longvideo.video import write_video

pytestmark = pytest.mark.backend_free

SMALL = {"num_frames": 3, "image_size": (16, 24)}


def numbers(dataset):
    """The numbers of the videos that captions begin with, batch by batch."""
    return [
        [
            int(caption.decode().split()[0])
            for caption in batch["captions"].numpy()
        ]
        for batch in dataset
    ]


def numbered_frames(num_frames, height=24, width=32):
    """Frames of which each is one grey: 10 times its number."""
    grays = 10 * np.arange(num_frames, dtype=np.uint8)
    shape = (num_frames, height, width, 3)
    return np.broadcast_to(grays[:, None, None, None], shape).copy()


def write(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def only_clip(path, **kwargs):
    """The one clip of a file: its pixels without padding, and its caption."""
    kwargs = {"image_size": (24, 32), **kwargs}
    (batch,) = record_dataset(path, 1, **kwargs)
    mask = batch["frame_mask"][0].numpy()
    assert (mask == np.sort(mask)[::-1]).all()
    assert not batch["pixel_values"][0][~mask].numpy().any()
    caption = batch["captions"][0].numpy().decode()
    return batch["pixel_values"][0][mask].numpy(), caption


@pytest.fixture
def make_shards(tmp_path):
    """Writes files of numbered videos, two captions each; returns a folder."""

    def make(*counts):
        folder = tmp_path / "shards"
        folder.mkdir()
        number = 0
        for i, count in enumerate(counts):
            records = []
            for _ in range(count):
                frames = np.full((2, 16, 24, 3), 20 + 10 * number, np.uint8)
                captions = [f"{number} a", f"{number} ç"]
                records.append(encode_record(frames, captions))
                number += 1
            write(folder / f"s-{i}-of-{len(counts)}.tfrecord", records)
        return folder

    return make


def test_pixels_come_back_close(tmp_path):
    # Smooth colours, as pictures have them.
    y, x, t = np.meshgrid(*map(np.arange, (48, 64, 4)), indexing="ij")
    frames = np.stack([4 * y, 3 * x, 40 * t + y + x], -1).transpose(2, 0, 1, 3)
    frames = frames.astype(np.uint8)
    record = encode_record(frames, ["a", "b"], fps=2, name="clip.mp4")
    path = write(tmp_path / "a.tfrecord", [record])
    received, caption = only_clip(path, fps=2, image_size=(48, 64))
    assert caption in ("a", "b")
    error = np.abs(received.astype(int) - frames)
    assert error.mean() < 1.5 and np.quantile(error, 0.99) <= 6
    # Another size: as the package scales frames everywhere.
    small, _ = only_clip(path, fps=2, image_size=(20, 20))
    np.testing.assert_array_equal(small, resize_frames(received, (20, 20)))


def test_the_keys_of_a_record():
    record = encode_record(numbered_frames(3), "ä", fps=2, name="clip.mp4")
    context, lists = tf.io.parse_single_sequence_example(
        record,
        context_features={
            "caption/string": tf.io.VarLenFeature(tf.string),
            "image/frame_rate": tf.io.FixedLenFeature((), tf.float32),
            "clip/start/timestamp": tf.io.FixedLenFeature((), tf.int64),
            "clip/end/timestamp": tf.io.FixedLenFeature((), tf.int64),
            "video/filename": tf.io.FixedLenFeature((), tf.string),
        },
        sequence_features={
            "image/encoded": tf.io.FixedLenSequenceFeature((), tf.string),
            "image/timestamp": tf.io.FixedLenSequenceFeature((), tf.int64),
        },
    )
    captions = tf.sparse.to_dense(context["caption/string"])
    assert captions.numpy().tolist() == ["ä".encode()]
    assert context["image/frame_rate"] == 2
    assert context["clip/start/timestamp"] == 0
    assert context["clip/end/timestamp"] == 1_500_000
    assert context["video/filename"] == b"clip.mp4"
    assert lists["image/timestamp"].numpy().tolist() == [0, 500_000, 1_000_000]
    for gray, jpeg in zip((0, 10, 20), lists["image/encoded"], strict=True):
        image = tf.io.decode_jpeg(jpeg).numpy()
        assert image.shape == (24, 32, 3)
        np.testing.assert_allclose(image, gray, atol=1)


def bytes_feature(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def test_records_that_others_made(tmp_path):
    """DMVR's own script writes these two keys of those that are read."""
    jpegs = [tf.io.encode_jpeg(x).numpy() for x in numbered_frames(5)]
    caption = {"caption/string": bytes_feature(b"7 by others", b"7 twice")}
    example = tf.train.SequenceExample(
        context=tf.train.Features(feature=caption),
        feature_lists=tf.train.FeatureLists(
            feature_list={
                "image/encoded": tf.train.FeatureList(
                    feature=[bytes_feature(jpeg) for jpeg in jpegs]
                )
            }
        ),
    )
    path = write(tmp_path / "a-00000-of-00001", [example.SerializeToString()])
    # Of one frame a second, as it does not tell.
    pixels, caption = only_clip(path, fps=1)
    assert caption in ("7 by others", "7 twice")
    np.testing.assert_allclose(pixels[:, 0, 0, 0], [0, 10, 20, 30, 40], atol=1)


def test_images_that_others_made(tmp_path):
    png = tf.io.encode_png(numbered_frames(4)[3]).numpy()
    features = {
        "image/encoded": bytes_feature(png),
        "caption/string": bytes_feature(b"ein Bild"),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    path = write(tmp_path / "a.tfrecord", [example.SerializeToString()])
    pixels, caption = only_clip(path, num_frames=1)
    assert caption == "ein Bild" and len(pixels) == 1
    np.testing.assert_array_equal(pixels, 30)


@pytest.mark.parametrize(
    "fps, num_frames, expected",
    [
        (4, 20, range(12)),  # Each; padded.
        (1, 20, [0, 4, 8]),  # At 0, 1 and 2 seconds.
        (2, 6, [0, 2, 4, 6, 8, 10]),
        (2, 3, [2, 6, 10]),  # More than 3: the middles of 3 parts.
        (None, 2, [3, 9]),
        (8, 24, [i // 2 for i in range(24)]),  # Each twice.
    ],
)
def test_which_frames_are_taken(tmp_path, fps, num_frames, expected):
    # 3 seconds, 4 frames a second.
    record = encode_record(numbered_frames(12), "a", fps=4)
    path = write(tmp_path / "a.tfrecord", [record])
    pixels, _ = only_clip(path, fps=fps, num_frames=num_frames)
    received = np.round(pixels.mean((1, 2, 3)) / 10).astype(int)
    assert received.tolist() == list(expected)


@pytest.mark.parametrize("rate", [0.7, 23.976, 29.97, 30000 / 1001])
def test_rates_that_records_hold_rounded(tmp_path, rate):
    # As a float32, which may be less than the rate that is asked for.
    frames = np.zeros((300, 8, 8, 3), np.uint8)
    frames += 30 * (np.arange(300)[:, None, None, None] % 7).astype(np.uint8)
    path = write(tmp_path / "a.tfrecord", [encode_record(frames, "a", rate)])
    for step in (1, 2):
        pixels, _ = only_clip(
            path, fps=rate / step, num_frames=400, image_size=(8, 8)
        )
        expected = frames[::step]
        assert len(pixels) == len(expected)
        np.testing.assert_allclose(pixels.astype(int), expected, atol=3)


def test_records_give_the_batches_that_videos_give(make_set, tmp_path):
    manifest = make_set(6)
    path = tmp_path / "a.tfrecord"
    assert write_records(path, manifest, progress=False) == 6
    options = {"group_size": 2, "seed": 4, "repeat": True, **SMALL}
    videos = video_text_dataset(manifest, 4, **options)
    records = record_dataset(path, 4, **options)
    assert records.element_spec == videos.element_spec
    for received, expected in zip(records.take(3), videos.take(3), strict=True):
        for name in ("captions", "frame_mask"):
            np.testing.assert_array_equal(received[name], expected[name])
        np.testing.assert_allclose(
            received["pixel_values"].numpy().astype(int),
            expected["pixel_values"].numpy(),
            atol=3,
        )


@pytest.mark.parametrize(
    "image_size, expected",
    [
        (40, (40, 53)),
        (np.int64(40), (40, 53)),
        (500, (60, 80)),
        (None, (60, 80)),
        ((30, 20), (30, 20)),
    ],
)
def test_the_size_of_written_frames(tmp_path, image_size, expected):
    video = str(tmp_path / "a.mp4")
    write_video(video, numbered_frames(8, 60, 80), fps=2)
    path = str(tmp_path / "a.tfrecord")
    manifest = {"videos": [video], "captions": [["a"]]}
    write_records(path, manifest, 2, image_size, progress=False)
    (record,) = tf.data.TFRecordDataset(path)
    example = tf.train.SequenceExample.FromString(record.numpy())
    (jpeg,) = (
        example.feature_lists.feature_list["image/encoded"]
        .feature[5]
        .bytes_list.value
    )
    image = tf.io.decode_jpeg(jpeg).numpy()
    assert image.shape[:2] == expected
    frames = sample_frames(video, 2, image_size=expected).frames
    np.testing.assert_allclose(image.mean(), frames[5].mean(), atol=2)


@pytest.mark.parametrize(
    ("name", "bytes_at_once", "passes"),
    [
        ("a.mp4", 0, 3),
        # H.264 in AVI cannot be seeked: each part is decoded from the start.
        ("a.avi", 2**31, 1),
        # What memory holds of it: 4 frames of 32 x 48 pixels.
        ("a.avi", 4 * 32 * 48 * 3, 2),
    ],
)
def test_a_long_video_is_written_in_parts(
    tmp_path, make_video, opened, monkeypatch, name, bytes_at_once, passes
):
    module = "keras_longvideo.data.records"
    monkeypatch.setattr(f"{module}._FRAMES_AT_ONCE", 3)
    monkeypatch.setattr(f"{module}._BYTES_AT_ONCE", bytes_at_once)
    video = make_video(name, num_frames=80)
    path = tmp_path / "a.tfrecord"
    manifest = {"videos": [video], "captions": [["a"]]}
    opened.clear()
    write_records(path, manifest, progress=False)
    # One more, to find the frames.
    assert len(opened) == 1 + passes
    pixels, _ = only_clip(path)
    assert len(pixels) == 8
    np.testing.assert_allclose(pixels, 128, atol=3)


def test_a_file_is_on_disk_before_it_has_its_name(
    tmp_path, make_video, monkeypatch
):
    done = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)

        def call(*args, name=name, function=function):
            done.append(name)
            return function(*args)

        monkeypatch.setattr(os, name, call)
    manifest = {"videos": [make_video("a.mp4")], "captions": [["a"]]}
    done.clear()
    write_records(tmp_path / "a.tfrecord", manifest, progress=False)
    assert done == ["fsync", "replace"]


def test_files_are_found_by_pattern_folder_and_list(make_shards):
    folder = make_shards(2, 3, 1)
    # Those that are being written, and others.
    (folder / ".s-4.tfrecord.partial").write_bytes(b"?")
    (folder / "report.json").write_text("{}")
    paths = sorted(folder.glob("s-*"))
    for pattern in (
        folder,
        str(folder / "*.tfrecord*"),
        paths,
        [folder / "s-0*", folder / "s-[12]*"],
    ):
        dataset = record_dataset(pattern, 2, shuffle=False, **SMALL)
        assert numbers(dataset) == [[0, 1], [2, 3], [4, 5]]
    assert numbers(record_dataset(paths[2], 1, **SMALL)) == [[5]]
    with pytest.raises(ValueError, match="each file once.*s-0-of-3"):
        record_dataset([folder, paths[0]], 2)
    with pytest.raises(ValueError, match="`cache` must be.*cache='clips'"):
        record_dataset(folder, 2, cache="clips")
    with pytest.raises(FileNotFoundError, match="matches no file.*nothing"):
        record_dataset(folder / "nothing*", 2)


def test_a_folder_in_which_files_are_missing(make_shards):
    folder = make_shards(2, 2)
    for number, path in enumerate(sorted(folder.glob("s-*"))):
        path.rename(folder / f"s-{number:05d}-of-00003.tfrecord")
    message = "2 of the 3 files s-*-of-00003.tfrecord"
    with pytest.raises(FileNotFoundError, match=message.replace("*", r"\*")):
        record_dataset(folder, 2, **SMALL)
    # Unless that is what is wanted.
    assert len(record_dataset(folder / "s-*", 2, **SMALL)) == 2


def test_a_folder_that_is_not_there(tmp_path):
    path = tmp_path / "missing" / "a.tfrecord"
    manifest = {"videos": ["a"], "captions": [["b"]]}
    with pytest.raises(FileNotFoundError, match="folder of `path`.*missing"):
        write_records(path, manifest, progress=False)


def test_all_files_are_shuffled_together(make_shards):
    dataset = record_dataset(make_shards(4, 4, 4), 4, **SMALL)
    epochs = [numbers(dataset) for _ in range(3)]
    assert len({str(batches) for batches in epochs}) == 3
    for batches in epochs:
        assert sorted(sum(batches, [])) == list(range(12))
    # Batches mix files.
    assert any(len({x // 4 for x in batch}) > 1 for batch in epochs[0])


def test_groups_and_parts_and_going_on(make_shards):
    folder = make_shards(4, 2, 6)
    options = {"group_size": 2, "seed": 1, "repeat": True, **SMALL}
    whole = numbers(record_dataset(folder, 4, **options).take(9))
    for batch in whole:
        assert [x + 1 for x in batch[::2]] == batch[1::2]
    rest = record_dataset(folder, 4, skip_batches=4, **options)
    assert numbers(rest.take(5)) == whole[4:]
    part = record_dataset(folder, 4, rows=[1, 2], **options)
    assert numbers(part.take(9)) == [batch[1:3] for batch in whole]
    with pytest.raises(ValueError, match="records of .*s-1-of.* 2.*=4"):
        record_dataset(folder, 4, group_size=4)


def test_a_file_that_is_cut_off(make_shards):
    folder = make_shards(3, 3)
    path = folder / "s-0-of-2.tfrecord"
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    with pytest.raises(VideoError, match="s-0-of-2.*cut off in record 2"):
        record_dataset(folder, 1)
    skipped = []
    with pytest.warns(UserWarning, match="1 of 2 files are damaged.*s-0-of-2"):
        dataset = record_dataset(
            folder, 1, shuffle=False, skipped=skipped, **SMALL
        )
    assert numbers(dataset) == [[0], [1], [3], [4], [5]]
    assert skipped == [(str(path), "cut off in record 2")]
    with pytest.warns(UserWarning, match="1 of 1 files"):
        dataset = record_dataset(path, 2, group_size=2, skipped=[], **SMALL)
    assert numbers(dataset) == [[0, 1]]
    path.write_bytes(data[: find_records(path)[0][1][0] + 4])
    with (
        pytest.warns(UserWarning, match="1 of 1 files"),
        pytest.raises(ValueError, match="files with records"),
    ):
        record_dataset(path, 2, group_size=2, skipped=[], **SMALL)


def test_damaged_files_give_one_warning(make_shards):
    folder = make_shards(2, 2, 2)
    for number in (0, 2):
        path = folder / f"s-{number}-of-3.tfrecord"
        path.write_bytes(path.read_bytes()[:-5])
    skipped = []
    with pytest.warns(UserWarning) as warned:
        record_dataset(folder, 1, skipped=skipped, **SMALL)
    (warning,) = warned
    message = str(warning.message)
    assert "2 of 3 files are damaged" in message and "s-0-of-3" in message
    assert warning.filename == __file__
    assert len(skipped) == 2


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"no record at all, yet long enough")
    with pytest.raises(VideoError, match="no TFRecord file, or damaged"):
        record_dataset(path, 1)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="files with records"):
        record_dataset(path, 1)


def test_damage_between_records_is_found_by_its_checksum(make_shards):
    path = make_shards(3) / "s-0-of-1.tfrecord"
    data = bytearray(path.read_bytes())
    spans, reason = find_records(path)
    assert len(spans) == 3 and reason is None
    # The length of the second.
    data[spans[1][0] - 12] ^= 1
    path.write_bytes(data)
    spans, reason = find_records(path)
    assert len(spans) == 1 and "damaged in record 1" in reason


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda record: b"?" * 40, "no `tf.train.SequenceExample`"),
        (
            lambda record: record.replace(b"image/encoded", b"image/encodes"),
            "nothing under 'image/encoded'",
        ),
        (
            lambda record: record.replace(
                b"caption/string", b"caption/strings"[1:]
            ),
            "nothing under 'caption/string'",
        ),
        (
            lambda record: record.replace(
                struct.pack("<f", 1.0), struct.pack("<f", math.inf)
            ),
            "'image/frame_rate' is inf",
        ),
        (
            lambda record: record.replace(b"\xff\xd8\xff", b"\x00\x00\x00"),
            "frame 0 is no whole JPEG",
        ),
        (
            # The end of the second frame.
            lambda record: (
                record[: record.rindex(b"\xff\xd9") - 60]
                + bytes(60)
                + record[record.rindex(b"\xff\xd9") :]
            ),
            "frame 1 is no whole JPEG",
        ),
    ],
)
def test_a_record_that_cannot_be_decoded(make_shards, tmp_path, spoil, reason):
    path = make_shards(4) / "s-0-of-1.tfrecord"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    records[2] = spoil(records[2])
    write(path, records)
    options = {"shuffle": False, **SMALL}
    with pytest.raises(tf.errors.OpError) as raised:
        list(record_dataset(path, 2, **options))
    assert f"{path}, record 2: {reason}" in str(raised.value)
    skipped = []
    dataset = record_dataset(
        path, 2, drop_remainder=False, skipped=skipped, **options
    )
    with pytest.warns(UserWarning, match="Left out 1 of 4 videos"):
        assert numbers(dataset) == [[0, 1], [3]]
    assert skipped == [(f"{path}, record 2", reason)]


def test_unreadable_videos_are_not_written(make_set, tmp_path):
    manifest = make_set(6)
    manifest["videos"][3] = str(tmp_path / "missing.mp4")
    path = tmp_path / "a.tfrecord"
    with pytest.raises(VideoError, match="missing.mp4"):
        write_records(path, manifest, progress=False)
    assert not list(tmp_path.glob("*a.tfrecord*"))
    skipped = []
    assert write_records(path, manifest, skipped=skipped, progress=False) == 5
    reason = (manifest["videos"][3], "the file does not exist")
    assert skipped == [reason]
    options = {"shuffle": False, **SMALL}
    assert sum(numbers(record_dataset(path, 1, **options)), []) == [
        0,
        1,
        2,
        4,
        5,
    ]
    skipped = []
    assert (
        write_records(
            path, manifest, skipped=skipped, group_size=2, progress=False
        )
        == 4
    )
    assert skipped[1] == reason
    video, why = skipped[0]
    assert video == manifest["videos"][2] and "missing.mp4" in why
    dataset = record_dataset(path, 2, group_size=2, **options)
    assert numbers(dataset) == [[0, 1], [4, 5]]


def test_a_name_that_is_no_utf8(make_video, tmp_path):
    video = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")
    os.rename(make_video("a.mp4"), video)
    path = str(tmp_path / "a.tfrecord")
    skipped = []
    manifest = {"videos": [video], "captions": [["a"]]}
    write_records(path, manifest, skipped=skipped, progress=False)
    assert not skipped
    (record,) = tf.data.TFRecordDataset(path)
    example = tf.train.SequenceExample.FromString(record.numpy())
    (name,) = example.context.feature["video/filename"].bytes_list.value
    assert name == os.fsencode(video)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"fps": 0}, "`fps` must be a positive number.*=0"),
        ({"image_size": 0}, "`image_size` must be an int of at least 1.*=0"),
        ({"image_size": (1, 2, 3)}, "`image_size` must be a pair"),
        ({"quality": 101}, "`quality` must be at most 100.*=101"),
        ({"group_size": 2}, "`group_size` must divide.* videos.* 3.*=2"),
        ({"manifest": {"videos": []}}, "columns 'videos' and 'captions'"),
    ],
)
def test_arguments_of_writing_out_of_range(tmp_path, change, message):
    manifest = {"videos": ["a", "b", "c"], "captions": [["d"]] * 3}
    arguments = {"manifest": manifest, "progress": False} | change
    with pytest.raises(ValueError, match=message):
        write_records(tmp_path / "a.tfrecord", **arguments)
    assert not list(tmp_path.iterdir())


def test_arguments_of_encoding_out_of_range():
    frames = numbered_frames(2)
    with pytest.raises(ValueError, match="`frames` must be uint8"):
        encode_record(frames.astype("float32"), "a")
    with pytest.raises(ValueError, match="'caption' must be a text"):
        encode_record(frames, ["a", ""])
    with pytest.raises(ValueError, match="`quality` must be"):
        encode_record(frames, "a", quality=0)
    with pytest.raises(ValueError, match="at least one frame, but has none"):
        encode_record(frames[:0], "a")
    named = encode_record(frames, "a", name=pathlib.Path("b.mp4"))
    assert named == encode_record(frames, "a", name="b.mp4")
