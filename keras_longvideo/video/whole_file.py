"""Files that appear under their names when they are complete."""

import contextlib
import os
import pathlib
import uuid


@contextlib.contextmanager
def whole_file(path):
    """Gives a path to write to, which becomes `path` if nothing is raised.

    A file that was there is replaced. Several processes may write the same
    one: the last to end has written all of it.

    Args:
        path: path of the file.

    Yields:
        A `pathlib.Path` in the same folder, hidden, with the same suffix.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"The folder of `path` does not exist: {path.parent}."
        )
    # The suffix, for it picks a video's container; the folder, so that the
    # renaming is at once.
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield unfinished
        # Else a loss of power may leave an empty file under the name.
        with open(unfinished, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
