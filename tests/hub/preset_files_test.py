"""Directories that are no whole preset never reach the Hub."""

import json

import h5py
import pytest

from keras_longvideo.hub import upload_preset

pytestmark = pytest.mark.backend_free


def remove(path):
    path.unlink()


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-20])


def drop_registered_name(path):
    content = json.loads(path.read_text())
    del content["registered_name"]
    path.write_text(json.dumps(content))


def add_optimizer(path):
    with h5py.File(path, "a") as weights:
        weights.create_group("optimizer/vars")["0"] = 100


@pytest.mark.parametrize(
    ("name", "damage", "error", "message"),
    [
        ("config.json", remove, FileNotFoundError, "lacks 'config.json'"),
        ("config.json", cut_short, ValueError, "config.json' is not JSON"),
        ("config.json", drop_registered_name, ValueError, "registered_name"),
        ("task.json", cut_short, ValueError, "task.json' is not JSON"),
        ("task.json", drop_registered_name, ValueError, "registered_name"),
        ("metadata.json", cut_short, ValueError, "metadata.json' is not JSON"),
        ("model.weights.h5", remove, FileNotFoundError, "lacks the weights"),
        ("model.weights.h5", cut_short, ValueError, "not a whole HDF5 file"),
        ("task.weights.h5", remove, FileNotFoundError, "'task.weights.h5'"),
        ("task.weights.h5", cut_short, ValueError, "not a whole HDF5 file"),
        ("task.weights.h5", add_optimizer, ValueError, "state of an optimizer"),
        ("model.weights.h5", add_optimizer, ValueError, "model.optimizer = N"),
    ],
)
def test_refused(hub, preset, name, damage, error, message):
    damage(preset / name)
    with pytest.raises(error, match=message):
        upload_preset("hf://someone/some_model", preset)
    assert not hub.requests


def test_a_tokenizer_without_its_words(hub, preset):
    path = preset / "tokenizer.json"
    path.write_text('{"registered_name": "keras_hub>BertTokenizer"}')
    upload_preset("hf://someone/some_model", preset)
    (preset / "assets" / "tokenizer" / "vocabulary.txt").unlink()
    with pytest.raises(FileNotFoundError, match="in 'assets/tokenizer/'"):
        upload_preset("hf://someone/some_model", preset)
    # One of bytes has none.
    path.write_text('{"registered_name": "keras_hub>ByteTokenizer"}')
    upload_preset("hf://someone/some_model", preset)


def test_not_a_directory(hub, preset):
    for path in (preset / "nothing", preset / "config.json"):
        with pytest.raises(FileNotFoundError, match="`preset_directory` must"):
            upload_preset("hf://someone/some_model", path)
    assert not hub.requests


def test_shards(hub, preset):
    shards = ["model_00000.weights.h5", "model_00001.weights.h5"]
    (preset / "model.weights.h5").rename(preset / shards[0])
    weight_map = {"/layers/a/vars": shards[0], "/layers/b/vars": shards}
    index = preset / "model.weights.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(FileNotFoundError, match=shards[1]):
        upload_preset("hf://someone/some_model", preset)
    assert not hub.requests
    with h5py.File(preset / shards[1], "w"):
        pass
    upload_preset("hf://someone/some_model", preset)
    assert hub.files("someone/some_model").keys() >= set(shards)
