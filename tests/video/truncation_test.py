import pytest

from keras_longvideo.video.truncation import is_truncated

pytestmark = pytest.mark.backend_free

_FTYP = b"\0\0\0\x10ftypisom\0\0\0\0"
_EBML = b"\x1a\x45\xdf\xa3\x82??"
_SEGMENT = b"\x18\x53\x80\x67"


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
