"""Tell from a file's own sizes whether its end is missing.

FFmpeg reads a file that was cut off between two frames without complaint. But
MP4, Matroska (WebM) and AVI files say at the front of each part how long it
is, so a part that runs past the end of the file gives the cut away.
"""

import os

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_MP4_PARTS = (b"mdat", b"moof", b"moov")
# A live recording never learns its size.
_UNKNOWN_AVI_SIZES = (0, 0xFFFFFFFF)


def is_truncated(path):
    """Whether the file at `path` is shorter than it says itself.

    Args:
        path: String or path object, a file of any kind.

    Returns:
        Boolean; `False` for kinds of files that do not say.
    """
    file_size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] == _EBML:
            return _matroska_end(file) > file_size
        if head[4:8] == b"ftyp":
            return _mp4_end(file, file_size) > file_size
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            return _avi_end(file, file_size) > file_size
    return False


def _mp4_end(file, file_size):
    """Where the last of the parts that make up the video ends."""
    start = end = 0
    while start + 8 <= file_size:
        file.seek(start)
        size = int.from_bytes(file.read(4), "big")
        kind = file.read(4)
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        # A size of 0 means "up to the end of the file".
        if size < 8:
            break
        start += size
        if kind in _MP4_PARTS:
            end = start
    return end


def _avi_end(file, file_size):
    """Where the last of the lists of frames ends; an index may follow it."""
    start = end = 0
    while start + 12 <= file_size:
        file.seek(start)
        name = file.read(4)
        size = int.from_bytes(file.read(4), "little")
        kind = file.read(4)
        if name == b"RIFF":
            # Past a gigabyte another one follows; their parts count alone.
            start += 12
            continue
        if size in _UNKNOWN_AVI_SIZES:
            break
        if name == b"LIST" and kind == b"movi":
            end = start + 8 + size
        # A part of an odd size is padded.
        start += 8 + size + size % 2
    return end


def _matroska_end(file):
    """Where the segment ends, the one part that holds all the rest."""
    file.seek(len(_EBML))
    header_size, _ = _read_size(file)
    file.seek(header_size, os.SEEK_CUR)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return 0
    size, is_known = _read_size(file)
    # A live recording never learns its size.
    return file.tell() + size if is_known else 0


def _read_size(file):
    """Reads a size whose leading zero bits tell how many bytes it takes.

    Returns the size, and whether it is known: all ones mean that it is not.
    """
    first = file.read(1)
    if first in (b"", b"\0"):
        return 0, False
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    bits = 7 * length
    largest = (1 << bits) - 1
    return value & largest, value & largest != largest
