"""How much memory a piece of work takes while it runs."""

import ctypes
import gc
import pathlib


def peak_growth(run):
    """Bytes that the process grows by at most during a run.

    What earlier runs freed counts as free, though C's allocator kept it.

    Args:
        run: function without arguments.

    Returns:
        An int, or None on other systems than Linux with glibc.
    """
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        # Sets the high-water mark back to what is in use now.
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
    except (AttributeError, OSError):
        run()
        return None
    run()
    return _status("VmHWM") - before


def _status(name):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")
