"""Saving a preset whole or not at all."""

import contextlib
import os
import pathlib
import tempfile

from keras_longvideo.hub.preset_files import is_preset_file
from keras_longvideo.hub.preset_files import list_files

# Folders that a preset is being collected in: a task's encoder saves itself
# into the same one.
_collecting = set()


@contextlib.contextmanager
def whole_preset(directory):
    """Collects a preset's files aside and moves them into place at the end.

    Where writing fails or is interrupted, `directory` stays as it was; a killed
    process may leave a hidden folder in it, which no reader looks at. Files
    of an earlier preset in it are replaced, or removed where the new one has
    no such file; files that are no part of a preset, such as a README.md, are
    left alone.

    Args:
        directory: path of the preset; made where it is not there.

    Yields:
        The path of an empty folder to write to.
    """
    if str(directory) in _collecting:
        yield directory
        return
    directory = pathlib.Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(
            "The place to write to must be a directory. Received a file: "
            f"{directory}"
        )
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        # Inside it, since it may be on a disk of its own: moving within a file
        # system is a rename.
        with tempfile.TemporaryDirectory(
            dir=directory, prefix=".saving-"
        ) as aside:
            _collecting.add(aside)
            try:
                yield aside
            finally:
                _collecting.discard(aside)
            _move_into_place(pathlib.Path(aside), directory)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # Others may write there.
                directory.rmdir()
        raise


def _move_into_place(aside, directory):
    new = list_files(aside)
    for path in new:
        # Fails where a user's file is in the way, with nothing changed.
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
    # `config.json` goes first and comes last: without it a folder is no
    # preset, so that none is ever half old and half new.
    (directory / "config.json").unlink(missing_ok=True)
    for old in list_files(directory):
        if is_preset_file(old) and old not in new:
            (directory / old).unlink()
    for path in sorted(new, key=lambda path: path == "config.json"):
        os.replace(aside / path, directory / path)
    # Of a preset that had a tokenizer, where the new one has none.
    for folder in [*directory.glob("assets/*"), directory / "assets"]:
        with contextlib.suppress(OSError):  # It holds files, or is none.
            folder.rmdir()
