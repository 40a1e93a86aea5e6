"""Saving a preset whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from keras_longvideo.hub.preset_files import is_preset_file

# Folders that a preset is being collected in: a task's encoder saves itself
# into the same one.
_collecting = set()


@contextlib.contextmanager
def whole_preset(directory):
    """Collects a preset's files aside and moves them into place at the end.

    Where writing fails or is interrupted, `directory` stays as it was. Files
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
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: moving within a file system is a rename.
    with tempfile.TemporaryDirectory(
        dir=directory.parent, prefix=f".{directory.name}-"
    ) as aside:
        _collecting.add(aside)
        try:
            yield aside
        finally:
            _collecting.discard(aside)
        directory.mkdir(exist_ok=True)
        # `config.json` goes first and comes last: without it a folder is no
        # preset, so that none is ever half old and half new.
        (directory / "config.json").unlink(missing_ok=True)
        shutil.rmtree(directory / "assets", ignore_errors=True)
        for old in directory.iterdir():
            if old.is_file() and is_preset_file(old.name):
                old.unlink()
        new = sorted(os.listdir(aside), key=lambda name: name == "config.json")
        for name in new:
            os.replace(os.path.join(aside, name), directory / name)
