"""Writing text files whole or not at all."""

from keras_longvideo.video.whole_file import whole_file


def write_atomically(path, text):
    """Writes a UTF-8 text file that other readers see whole or not at all.

    Args:
        path: Path of the file.
        text: String.
    """
    with (
        whole_file(path) as unfinished,
        open(unfinished, "w", encoding="utf-8") as file,
    ):
        file.write(text)
