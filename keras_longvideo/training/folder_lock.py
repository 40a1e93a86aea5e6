"""One process at a time in the folder of a run."""

import contextlib

try:
    import fcntl
except ImportError:
    # Windows has no such locks; nothing is checked there.
    fcntl = None


@contextlib.contextmanager
def locked(folder):
    """Keeps other processes out of a folder until this one is done, or killed.

    Args:
        folder: `pathlib.Path` of the folder.

    Raises:
        ValueError: if another process has it.
    """
    with open(folder / "lock", "w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    "`output` is the folder of a run that another process is "
                    "training: wait for it, or take another folder. "
                    f"Received: output={str(folder)!r}"
                ) from error
        yield
