"""Locks that keep processes apart, and that end with them, even killed."""

import contextlib

try:
    import fcntl
except ImportError:
    # Windows has no such locks; nothing is kept apart there.
    fcntl = None


@contextlib.contextmanager
def locked(path, wait):
    """Holds a lock, which no other process can hold meanwhile.

    Args:
        path: Path of the lock's file, which is made and stays.
        wait: Bool, whether to wait until others are done.

    Raises:
        BlockingIOError: If another process holds it and `wait` is `False`.
    """
    with open(path, "w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
