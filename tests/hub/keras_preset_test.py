"""A model that Keras saved comes back from the Hub as the same model."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_longvideo.hub import download_preset
from keras_longvideo.hub import upload_preset


@pytest.fixture
def task():
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=20,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
    )
    return keras_hub.models.BertTextClassifier(
        backbone, num_classes=2, preprocessor=None
    )


def test_same_outputs(hub, task, tmp_path):
    task.optimizer = None
    task.save_to_preset(tmp_path / "bert")
    handle = upload_preset("hf://someone/bert", tmp_path / "bert")
    loaded = keras_hub.models.TextClassifier.from_preset(
        download_preset(handle)
    )
    tokens = np.arange(8).reshape(2, 4)
    inputs = {
        "token_ids": tokens,
        "segment_ids": np.zeros_like(tokens),
        "padding_mask": np.ones_like(tokens),
    }
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded(inputs)),
        keras.ops.convert_to_numpy(task(inputs)),
    )


def test_compiled_task_is_refused(hub, task, tmp_path):
    # KerasHub compiles its tasks, and so saves the optimizer with them.
    task.save_to_preset(tmp_path / "bert")
    with pytest.raises(ValueError, match="task.weights.h5.*optimizer"):
        upload_preset("hf://someone/bert", tmp_path / "bert")
    assert not hub.requests
