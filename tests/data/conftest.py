"""Small video files for the tests of `keras_longvideo.data`."""

import av
import numpy as np
import pytest

from keras_longvideo.video import write_video


@pytest.fixture
def make_video(tmp_path):
    """Writes a plain grey video of 10 frames a second; returns its path."""

    def make(name, num_frames=20, gray=128):
        path = tmp_path / name
        frames = np.full((num_frames, 32, 48, 3), gray, np.uint8)
        write_video(path, frames, fps=10)
        return str(path)

    return make


@pytest.fixture
def opened(monkeypatch):
    """A list that grows by a path each time that a file is opened."""
    paths = []
    open_file = av.open

    def call(path, *args, **kwargs):
        paths.append(path)
        return open_file(path, *args, **kwargs)

    monkeypatch.setattr(av, "open", call)
    return paths


@pytest.fixture
def make_set(make_video):
    """Writes videos whose grey tells them apart; returns their manifest.

    Each has three captions, which begin with the video's number.
    """

    def make(num_videos, num_frames=20):
        numbers = range(num_videos)
        return {
            "videos": [
                make_video(f"{number}.mp4", num_frames, 20 + 20 * number)
                for number in numbers
            ],
            "captions": [
                [f"{number} {name}" for name in ("a", "b", "ç")]
                for number in numbers
            ],
        }

    return make
