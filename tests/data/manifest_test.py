"""Reading and writing manifests, and every way one can be wrong."""

import json
import os
from pathlib import Path

import pytest

from keras_longvideo.data import read_manifest
from keras_longvideo.data import write_manifest

pytestmark = pytest.mark.backend_free

JSONL = (
    '{"video": "cat.mp4", "caption": "a cat"}\n'
    "\n"
    '{"video": "dog.mp4", "captions": ["a dog", "un chien"], "id": 3}\n'
    '{"video": "./cat.mp4", "caption": "une chatte, là"}\n'
)
CSV = (
    "video,caption,id\n"
    "cat.mp4,a cat,1\n"
    "dog.mp4,a dog,2\n"
    "dog.mp4,un chien,3\n"
    'cat.mp4,"une chatte, là",4\n'
)


BOTH = pytest.mark.parametrize(
    ("name", "text"), [("s.jsonl", JSONL), ("s.csv", CSV)]
)


@BOTH
def test_rows_are_gathered_by_video(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    for video in ("cat.mp4", "dog.mp4"):
        (tmp_path / video).touch()
    assert read_manifest(tmp_path / name) == {
        "videos": [str(tmp_path / "cat.mp4"), str(tmp_path / "dog.mp4")],
        "captions": [["a cat", "une chatte, là"], ["a dog", "un chien"]],
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.jsonl", JSONL.replace('"video"', '"image"')),
        ("s.csv", CSV.replace("video", "image")),
        # Where there is a video, an image is one more key to ignore.
        ("s.csv", CSV.replace(",id", ",image")),
        ("s.jsonl", JSONL.replace('"id"', '"image"')),
    ],
)
def test_images_are_named_as_such(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    manifest = read_manifest(tmp_path / name, check_files=False)
    assert manifest["videos"] == [
        str(tmp_path / "cat.mp4"),
        str(tmp_path / "dog.mp4"),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.csv", "video,image,caption\na.mp4,,x\n,b.jpg,y\n"),
        (
            "s.jsonl",
            '{"video": "a.mp4", "image": null, "caption": "x"}\n'
            '{"video": null, "image": "b.jpg", "caption": "y"}\n',
        ),
    ],
)
def test_a_set_of_both_videos_and_images(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_manifest(tmp_path / name, check_files=False) == {
        "videos": [str(tmp_path / "a.mp4"), str(tmp_path / "b.jpg")],
        "captions": [["x"], ["y"]],
    }


@BOTH
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    manifest = read_manifest(tmp_path / name, check_files=False)
    assert len(manifest["videos"]) == 2


def test_relative_videos_start_at_the_manifest(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "s.csv").write_text(
        f"video,caption\na.mp4,a\n{tmp_path / 'b.mp4'},b\n../c.mp4,c\n"
    )
    monkeypatch.chdir(tmp_path)
    manifest = read_manifest("set/s.csv", check_files=False)
    assert manifest["videos"] == [
        str(tmp_path / name) for name in ("set/a.mp4", "b.mp4", "c.mp4")
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.txt", "", r"`path` must end in one of \['.csv', '.jsonl'\].*s.txt"),
        ("s.jsonl", "\n", "s.jsonl holds no rows"),
        ("s.csv", "", "s.csv holds no rows"),
        ("s.jsonl", "\n{'video'", "s.jsonl, line 2: not valid JSON"),
        ("s.jsonl", "[1]", r"line 1: .* object .* \[1\]"),
        ("s.jsonl", '{"caption": "a"}', "line 1: 'video' must be .*None"),
        ("s.jsonl", '{"video": 3, "caption": "a"}', "'video' must be .*3"),
        ("s.jsonl", '{"video": "a"}', "line 1: 'caption' must be .*None"),
        (
            "s.jsonl",
            '{"video": "a", "caption": " "}',
            "'caption' must be .*' '",
        ),
        (
            "s.jsonl",
            '{"video": "a", "captions": "b"}',
            "'captions' must be .*b",
        ),
        (
            "s.jsonl",
            '{"video": "a", "captions": []}',
            r"'captions' must .*\[\]",
        ),
        (
            "s.jsonl",
            '{"video": "a", "captions": [""]}',
            "'caption' must be .*''",
        ),
        ("s.csv", "video,text\na,b\n", "'video' and 'caption'.*'text'"),
        ("s.csv", "text,caption\na,b\n", "'image' and 'caption'.*'text'"),
        ("s.jsonl", '{"image": 3, "caption": "a"}', "'image' that of .*3"),
        ("s.csv", "video,caption\na,b\na\n", "line 3: 'caption' must .*None"),
        ("s.csv", "video,caption\n,b\n", "line 2: 'video' must be .*''"),
        ("s.csv", "video,caption\na,b,c\n", "line 2: .*quote.*'c'"),
        # Neither may swallow the rows that follow.
        ("s.csv", 'video,caption\na,"b\nc,d\n', "line 2: not valid CSV"),
        (
            "s.csv",
            'video,caption\na,"b\nc,d\ne,a "big" f\n',
            "line 2: not valid CSV",
        ),
        ("s.csv", f"video,caption\na,{'b' * 2**18}\n", "not valid CSV.*limit"),
        # Half of a character of two.
        ("s.jsonl", '{"video": "a", "caption": "\\ud83d"}', "line 1:.*UTF-8"),
    ],
)
def test_malformed_manifests(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path / name, check_files=False)


def test_spaces_of_captions_are_plain_ones(tmp_path):
    row = {"video": "a.mp4", "caption": " a\u00a0red  ball\u2028rolls\n"}
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps(row))
    manifest = read_manifest(path, check_files=False)
    assert manifest["captions"] == [["a red ball rolls"]]


def test_a_manifest_in_another_encoding(tmp_path):
    (tmp_path / "s.csv").write_bytes("video,caption\na,là\n".encode("latin1"))
    with pytest.raises(ValueError, match="s.csv must be UTF-8 text"):
        read_manifest(tmp_path / "s.csv")


def test_a_missing_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="`path` names no file.*s.csv"):
        read_manifest(tmp_path / "s.csv")


def test_missing_videos_are_counted_and_the_first_ones_named(tmp_path):
    videos = [f"{number}.mp4" for number in range(6)]
    write_manifest(
        tmp_path / "s.jsonl", [tmp_path / v for v in videos], ["a"] * 6
    )
    (tmp_path / "0.mp4").touch()
    with pytest.raises(FileNotFoundError) as raised:
        read_manifest(tmp_path / "s.jsonl")
    message = str(raised.value)
    assert "5 video files that do not exist, of 6" in message
    assert "1.mp4" in message and "3.mp4, ..." in message
    assert "0.mp4" not in message and "4.mp4" not in message


def test_what_is_written_is_read_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    videos = ["in/a.mp4", "b.mp4"]
    os.mkdir("in")
    write_manifest("in/s.jsonl", videos, ["a là", ["b", "c"]])
    manifest = read_manifest("in/s.jsonl", check_files=False)
    assert manifest == {
        "videos": [str(tmp_path / video) for video in videos],
        "captions": [["a là"], ["b", "c"]],
    }
    # A folder with its manifest and videos can be moved.
    first = json.loads((tmp_path / "in/s.jsonl").read_text().splitlines()[0])
    assert first["video"] == "a.mp4"
    assert os.listdir("in") == ["s.jsonl"]


@pytest.mark.parametrize(
    ("name", "videos", "captions", "message"),
    [
        ("s.csv", ["a"], ["b"], "must end in '.jsonl'.*s.csv"),
        ("s.jsonl", ["a"], ["b", "c"], "1 videos and 2 captions"),
        ("s.jsonl", [], [], "0 videos"),
        ("s.jsonl", ["a", "a"], ["b", "c"], "Entry 1.*twice: a"),
        ("s.jsonl", ["a", "./a"], ["b", "c"], "Entry 1.*twice: ./a"),
        ("s.jsonl", ["a", Path("a")], ["b", "c"], "Entry 1.*twice: a"),
        ("s.jsonl", ["b/../a", "a"], ["b", "c"], "Entry 1.*twice: a"),
        ("s.jsonl", ["gs://a", "gs://a"], ["b", "c"], "Entry 1.*twice: gs"),
        ("s.jsonl", [None], ["c"], "Entry 0: 'video' must be .*None"),
        ("s.jsonl", ["a", "b"], ["c", ""], "Entry 1: 'caption' must .*''"),
        ("s.jsonl", ["a", "b"], ["c", []], r"Entry 1: 'captions' must .*\[\]"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, videos, captions, message):
    with pytest.raises(ValueError, match=message):
        write_manifest(tmp_path / name, videos, captions)
    assert not list(tmp_path.iterdir())


def test_images_stand_under_their_own_name(tmp_path):
    path = tmp_path / "set.jsonl"
    write_manifest(path, [tmp_path / "a.png"], ["a"], column="image")
    assert json.loads(path.read_text()) == {
        "image": "a.png",
        "captions": ["a"],
    }
    manifest = read_manifest(path, check_files=False)
    assert manifest["videos"] == [str(tmp_path / "a.png")]
    with pytest.raises(ValueError, match="`column` must be .*='picture'"):
        write_manifest(path, ["a.png"], ["a"], column="picture")


def test_addresses_stay_as_they_are(tmp_path):
    path = tmp_path / "set.jsonl"
    # Storage takes these two for different names.
    addresses = ["gs://bucket/a.mp4", "gs://bucket/./a.mp4"]
    videos = [*addresses, str(tmp_path / "b.mp4")]
    (tmp_path / "b.mp4").touch()
    write_manifest(path, videos, ["a", "b", "c"])
    assert read_manifest(path)["videos"] == videos
