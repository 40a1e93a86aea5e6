"""Manifests: which videos a set holds, and their captions."""

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path

from keras_longvideo.data.files import write_atomically


def read_manifest(path, check_files=True):
    """Reads the videos and captions of a set.

    Two formats are known by their suffix. A `.jsonl` file has an object a
    line, with the keys `"video"` and either `"caption"` (a string) or
    `"captions"` (a list of them); other keys are ignored. A `.csv` file has a
    header with the columns `video` and `caption`. Rows of the same video are
    gathered, in order. Relative video paths start at the manifest's folder;
    addresses, such as `gs://bucket/a.mp4`, stay as they are.

    An image file is a video of one frame. It may stand under `video`, or
    under `image` where there is no `video`, or an empty one.

    Args:
        path: Path of the manifest.
        check_files: Bool, whether to require that every video file exists.
            Defaults to `True`.

    Returns:
        Dict of two columns with an entry for each distinct video:
        `"videos"`, a list of absolute paths, and `"captions"`, a list of
        lists of strings.

    Raises:
        FileNotFoundError: If the manifest, or a video it names, is missing.
        ValueError: If the suffix is unknown, there is no row, or a row is
            malformed; the message gives its line.

    Example:

    ```python
    from pathlib import Path

    from keras_longvideo.data import read_manifest

    Path("set.csv").write_text(
        "video,caption\\n"
        "cat.mp4,a cat sleeps\\n"
        "cat.mp4,a cat on a sofa\\n"
        "dog.mp4,a dog runs\\n"
    )
    manifest = read_manifest("set.csv", check_files=False)
    assert len(manifest["videos"]) == 2
    assert manifest["captions"][0] == ["a cat sleeps", "a cat on a sofa"]

    Path("images.jsonl").write_text('{"image": "a.jpg", "caption": "a cat"}')
    images = read_manifest("images.jsonl", check_files=False)
    assert Path(images["videos"][0]).name == "a.jpg"
    ```
    """
    path = Path(path)
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv}
    if path.suffix not in readers:
        raise ValueError(
            f"`path` must end in one of {sorted(readers)}. Received: {path}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"`path` names no file. Received: {path}")
    rows = {}
    try:
        for line, video, captions in readers[path.suffix](path):
            _check_row(f"{path}, line {line}", video, captions)
            video = _absolute(video, path.parent)
            # Tokenizers know no other spaces, such as those of web pages.
            captions = [" ".join(caption.split()) for caption in captions]
            rows.setdefault(video, []).extend(captions)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text ({error}).") from error
    if not rows:
        raise ValueError(f"{path} holds no rows; it needs at least one.")
    manifest = {"videos": list(rows), "captions": list(rows.values())}
    if check_files:
        _check_files(path, manifest["videos"])
    return manifest


def write_manifest(path, videos, captions, column="video"):
    """Writes a `.jsonl` manifest, whole or not at all.

    Videos inside the manifest's folder are written relative to it, so that
    the folder can be moved; others are written as absolute paths.

    Args:
        path: Path of the manifest to write; it must end in `.jsonl`.
        videos: List of video paths, relative to the working directory or
            absolute.
        captions: List as long as `videos` of strings or lists of strings.
        column: `"video"` or `"image"`, the key that the paths stand under.
            Defaults to `"video"`.

    Raises:
        ValueError: If the suffix or `column` is another, the lists differ in
            length or are empty, a video comes twice or a caption is empty.

    Example:

    ```python
    from keras_longvideo.data import read_manifest
    from keras_longvideo.data import write_manifest

    write_manifest("set.jsonl", ["cat.mp4"], ["a cat sleeps"])
    manifest = read_manifest("set.jsonl", check_files=False)
    assert manifest["captions"] == [["a cat sleeps"]]
    ```
    """
    path = Path(path)
    if path.suffix != ".jsonl":
        raise ValueError(f"`path` must end in '.jsonl'. Received: {path}")
    if column not in ("video", "image"):
        raise ValueError(
            f"`column` must be 'video' or 'image'. Received: column={column!r}"
        )
    captions = [[c] if isinstance(c, str) else list(c) for c in captions]
    check_manifest({"videos": videos, "captions": captions})
    folder = os.path.abspath(path.parent)
    rows = []
    for video, texts in zip(videos, captions, strict=True):
        video = _absolute(video)
        if Path(video).is_relative_to(folder):
            video = os.path.relpath(video, folder)
        rows.append(json.dumps({column: video, "captions": texts}) + "\n")
    write_atomically(path, "".join(rows))


def load_manifest(manifest, check_files):
    """Returns the columns of a manifest, given as such or as a path.

    Args:
        manifest: Path of a manifest, or a dictionary of its columns.
        check_files: Bool, whether to require that every video file exists,
            where it is a path.
    """
    if not isinstance(manifest, Mapping):
        return read_manifest(manifest, check_files)
    check_manifest(manifest)
    # Of a table's columns `x[i]` need not be the one that comes i-th.
    return {name: list(manifest[name]) for name in ("videos", "captions")}


def check_manifest(manifest):
    """Checks a manifest's columns.

    Args:
        manifest: Dict with the columns `"videos"` and `"captions"`.

    Raises:
        ValueError: If a column is missing or empty, their lengths differ, a
            video comes twice, or a video has no caption or an empty one.
    """
    missing = {"videos", "captions"} - set(manifest)
    if missing:
        raise ValueError(
            "`manifest` must have the columns 'videos' and 'captions'. "
            f"Received: {sorted(manifest)}"
        )
    videos, captions = manifest["videos"], manifest["captions"]
    if len(videos) != len(captions) or not len(videos):
        raise ValueError(
            "`videos` and `captions` must have the same length, at least 1. "
            f"Received: {len(videos)} videos and {len(captions)} captions"
        )
    seen = set()
    for index, (video, texts) in enumerate(zip(videos, captions, strict=True)):
        where = f"Entry {index}"
        is_path = isinstance(video, os.PathLike)
        _check_row(where, os.fspath(video) if is_path else video, texts)
        # However it is spelled.
        path = _absolute(video)
        if path in seen:
            raise ValueError(
                f"{where}: each video must come once, with all its captions. "
                f"Received twice: {video}"
            )
        seen.add(path)


# Some editors and spreadsheets put a byte order mark in front of the text,
# which "utf-8-sig" drops.
def _read_jsonl(path):
    with open(path, encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path}, line {number}: not valid JSON ({error})."
                ) from error
            if not isinstance(row, dict):
                raise ValueError(
                    f"{path}, line {number}: must be an object with the keys "
                    f"'video' and 'caption'. Received: {row!r}"
                )
            captions = row.get("captions", [row.get("caption")])
            yield number, _file_of(row), captions


def _read_csv(path):
    with open(path, encoding="utf-8-sig", newline="") as lines:
        # Strict, since a quote that is never closed would else swallow rows.
        rows = csv.DictReader(lines, strict=True)
        try:
            yield from _rows_of_csv(path, rows)
        except csv.Error as error:
            # Where the row begins.
            raise ValueError(
                f"{path}, line {rows.line_num + 1}: not valid CSV ({error}). A "
                "quote that begins a value must end it, and one inside of it "
                "is written twice."
            ) from error


def _rows_of_csv(path, rows):
    columns = rows.fieldnames or ["video", "caption"]
    if "caption" not in columns or not {"video", "image"} & set(columns):
        raise ValueError(
            f"{path} must have the columns 'video' and 'caption', or "
            f"'image' and 'caption'. Received: {columns}"
        )
    for row in rows:
        if None in row:
            raise ValueError(
                f"{path}, line {rows.line_num}: more values than columns; "
                "quote a caption that has commas in it. "
                f"Received in excess: {row[None]}"
            )
        yield rows.line_num, _file_of(row), [row["caption"]]


def _file_of(row):
    # A set of both leaves one of them empty in each row.
    video = row.get("video")
    return video or row.get("image", video)


def _check_row(where, video, captions):
    if not isinstance(video, str) or not video.strip():
        raise ValueError(
            f"{where}: 'video' must be the path of a video, or 'image' that "
            f"of an image. Received: {video!r}"
        )
    if not isinstance(captions, list | tuple) or not captions:
        raise ValueError(
            f"{where}: 'captions' must be a list of at least one string. "
            f"Received: {captions!r}"
        )
    for caption in captions:
        if not isinstance(caption, str) or not caption.strip():
            raise ValueError(
                f"{where}: 'caption' must be a text that is not empty. "
                f"Received: {caption!r}"
            )
        try:
            caption.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{where}: 'caption' must be text that UTF-8 can hold, with "
                f"no half of a character in it. Received: {caption!r}"
            ) from error


def _absolute(video, folder=""):
    """A video's absolute path; an address stays as it is."""
    video = os.fspath(video)
    if _is_address(video):
        return video
    return os.path.abspath(os.path.join(folder, video))


def _is_address(video):
    return "://" in video


def _check_files(path, videos):
    missing = [
        video
        for video in videos
        if not _is_address(video) and not os.path.isfile(video)
    ]
    if missing:
        more = ", ..." if len(missing) > 3 else ""
        raise FileNotFoundError(
            f"{path} names {len(missing)} video files that do not exist, of "
            f"{len(videos)}: {', '.join(missing[:3])}{more}"
        )
