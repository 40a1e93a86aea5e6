"""Presets that go up to a Hub and come back."""

import pathlib

import numpy as np
import pytest

import keras_longvideo
from keras_longvideo import models


def same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_a_retriever_goes_up_and_comes_back(hub, tiny, fitted):
    handle = "hf://someone/retriever"
    pinned = keras_longvideo.upload_preset(handle, fitted.preset)
    assert pinned.startswith(f"{handle}@")
    for name in (handle, pinned):
        loaded = keras_longvideo.from_preset(name)
        assert type(loaded) is models.VideoTextRetriever
        same(tiny.outputs(loaded), fitted.after)
    encoder = models.ViViTBackbone.from_preset(pinned, dtype="bfloat16")
    assert encoder.dtype_policy.name == "bfloat16"
    assert not (fitted.preset / "README.md").exists()


def test_a_pinned_version_stays(hub, tiny, fitted, tmp_path):
    handle = "hf://someone/encoder"
    pinned = keras_longvideo.upload_preset(handle, fitted.preset)
    tiny.backbone(num_frames=8).save_to_preset(tmp_path / "other")
    keras_longvideo.upload_preset(handle, tmp_path / "other")
    newest = keras_longvideo.from_preset(handle)
    assert type(newest) is models.ViViTBackbone
    assert newest.num_frames == 8
    same(tiny.outputs(keras_longvideo.from_preset(pinned)), fitted.after)


def test_an_own_card_stays(hub, tiny, tmp_path):
    card = b"---\nlicense: mit\n---\nMine.\n"
    tiny.backbone().save_to_preset(tmp_path / "preset")
    (tmp_path / "preset" / "README.md").write_bytes(card)
    keras_longvideo.upload_preset("hf://someone/own", tmp_path / "preset")
    assert hub.files("someone/own")["README.md"] == card
    assert (tmp_path / "preset" / "README.md").read_bytes() == card


def test_what_is_not_there(hub):
    with pytest.raises(FileNotFoundError, match="someone/none"):
        keras_longvideo.from_preset("hf://someone/none")


def test_a_model_of_transformers_is_on_the_hub(hub, tiny, tmp_path):
    backbone = tiny.backbone(num_prefix_tokens=1, pooling="token")
    classifier = models.VideoClassifier(backbone, labels=["a", "b"])
    models.export_to_transformers(classifier, tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    unread = {"pytorch_model.bin": b"1", "tf_model.h5": b"2"}
    hub.commit("someone/vivit", files | unread)
    loaded = keras_longvideo.from_preset("hf://someone/vivit")
    assert loaded.labels == ["a", "b"]
    np.testing.assert_allclose(
        tiny.to_numpy(loaded(tiny.clips())),
        tiny.to_numpy(classifier(tiny.clips())),
        atol=1e-5,
    )
    fetched = keras_longvideo.hub.download_preset("hf://someone/vivit")
    assert set(files) <= {path.name for path in pathlib.Path(fetched).iterdir()}
    assert not (pathlib.Path(fetched) / "pytorch_model.bin").exists()
