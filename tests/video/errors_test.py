import pickle

import pytest

from keras_longvideo.video import VideoError

pytestmark = pytest.mark.backend_free


def test_message_names_the_file_and_the_reason():
    error = VideoError("clip.mp4", "the file is empty (0 bytes)")
    assert isinstance(error, ValueError)
    assert error.path == "clip.mp4"
    assert error.reason == "the file is empty (0 bytes)"
    assert str(error) == (
        "Cannot read video clip.mp4: the file is empty (0 bytes)"
    )


def test_survives_the_way_back_from_a_worker_process():
    error = pickle.loads(pickle.dumps(VideoError("clip.mp4", "it is cut")))
    assert (error.path, error.reason) == ("clip.mp4", "it is cut")
    assert str(error) == "Cannot read video clip.mp4: it is cut"
