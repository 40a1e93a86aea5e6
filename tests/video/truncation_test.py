import pytest

from keras_longvideo.video.truncation import is_truncated

pytestmark = pytest.mark.backend_free

_FTYP = b"\0\0\0\x10ftypisom\0\0\0\0"
_EBML = b"\x1a\x45\xdf\xa3\x82??"
_SEGMENT = b"\x18\x53\x80\x67"
# A size of three takes a fourth byte, lest the next chunk begin at an odd one.
_AVI = b"RIFF\0\0\0\0AVI " + b"JUNK\x03\0\0\x00123\0"
_AVIX = b"RIFF\0\0\0\0AVIX"
_MOVI = b"LIST\x08\0\0\0movi1234"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_FTYP + b"\0\0\0\x0cmdat1234", False),
        (_FTYP + b"\0\0\0\x0cmdat123", True),
        # A size of eight bytes follows a 1.
        (_FTYP + b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x121", True),
        (_FTYP + b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x1212", False),
        # A size of 0 reaches to the end, wherever that is.
        (_FTYP + b"\0\0\0\0mdat12", False),
        # Whatever else was added at the end is not the video.
        (_FTYP + b"\0\0\0\x0cmdat1234TAG of a song", False),
        (_EBML + _SEGMENT + b"\x84" + b"1234", False),
        (_EBML + _SEGMENT + b"\x84" + b"123", True),
        (_EBML + _SEGMENT + b"\x40\x03" + b"123", False),
        (_EBML + _SEGMENT + b"\x40\x03" + b"12", True),
        # All ones: the size is unknown.
        (_EBML + _SEGMENT + b"\xff" + b"12", False),
        (_EBML + _SEGMENT + b"\x01" + 7 * b"\xff" + b"12", False),
        (_AVI + _MOVI, False),
        (_AVI + _MOVI[:-1], True),
        # The index behind the frames may be missing.
        (_AVI + _MOVI + b"idx1\x08\0\0\x001234", False),
        # What is past a gigabyte comes in parts of their own.
        (_AVI + _MOVI + b"idx1\x04\0\0\x001234" + _AVIX + _MOVI, False),
        (_AVI + _MOVI + b"idx1\x04\0\0\x001234" + _AVIX + _MOVI[:-1], True),
        # A recording that was not closed, and a stream.
        (_AVI + b"LIST\0\0\0\0movi12", False),
        (_AVI + b"LIST\xff\xff\xff\xffmovi12", False),
        (b"RIFF\xff\0\0\0WAVELIST\x08\0\0\0movi", False),
        (_EBML, False),
        (b"\x1a\x45\xdf\xa3", False),
        (b"some text", False),
        (b"", False),
    ],
)
def test_compares_the_sizes_with_the_file(tmp_path, data, expected):
    path = tmp_path / "file"
    path.write_bytes(data)
    assert is_truncated(path) == expected
