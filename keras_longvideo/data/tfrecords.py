"""Where the records of a TFRecord file lie, so that any of them can be read.

A record is its length (8 bytes), a checksum of that, its bytes, and a checksum
of these (4 bytes each), all numbers with the lowest byte first.
"""

import os
import struct

import numpy as np

from keras_longvideo.video import VideoError

_HEADER = struct.Struct("<QI")
_FOOTER_SIZE = 4


def find_records(path):
    """Finds the records of a file; reads their lengths and not their bytes.

    Args:
        path: Path of a TFRecord file that is not compressed.

    Returns:
        Tuple `(spans, reason)`: an int64 array of shape `(num_records, 2)`,
        where the bytes of each record begin and how many they are; and what
        is wrong with the file behind the last of them, or `None`.
    """
    spans = []
    try:
        size = os.path.getsize(path)
        with open(path, "rb", buffering=0) as file:
            start = 0
            while start < size:
                file.seek(start)
                length = _length(file.read(_HEADER.size))
                start += _HEADER.size
                end = start + (length or 0) + _FOOTER_SIZE
                if length is None or end > size:
                    reason = (
                        f"no TFRecord file, or damaged in record {len(spans)}"
                        if length is None
                        else f"cut off in record {len(spans)}"
                    )
                    return _as_array(spans), reason
                spans.append((start, length))
                start = end
    except OSError as error:
        return _as_array(spans), error.strerror
    return _as_array(spans), None


def read_record(path, start, length):
    """Reads the bytes of one record.

    Their checksum is not compared: it costs more than to read them, and the
    decoders of what they hold find most damages.

    Args:
        path: Path of a TFRecord file.
        start: Int, where they begin.
        length: Int, how many they are.

    Returns:
        Bytes.

    Raises:
        VideoError: If the file cannot be read, or is shorter.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            data = file.read(length)
    except OSError as error:
        raise VideoError(path, error.strerror) from error
    if len(data) != length:
        raise VideoError(path, "it has become shorter")
    return data


def _as_array(spans):
    return np.array(spans, np.int64).reshape(-1, 2)


def _length(header):
    """The length that a record's header tells, or `None`."""
    if len(header) != _HEADER.size:
        return None
    length, checksum = _HEADER.unpack(header)
    return length if _checksum(header[:8]) == checksum else None


def _make_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            # Castagnoli's polynomial, its bits in reverse.
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _make_table()


def _checksum(data):
    """CRC-32C of a few bytes, masked as in TFRecord files."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
