"""Writing files whole or not at all."""

import os
from pathlib import Path


def write_atomically(path, text):
    """Writes a UTF-8 text file that other readers see whole or not at all.

    Args:
        path: Path of the file.
        text: String.
    """
    partial = Path(f"{path}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
