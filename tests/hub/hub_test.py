"""Upload and download, by the real client against a stand-in of the Hub."""

import json
import pathlib

import h5py
import pytest

from keras_longvideo.hub import download_preset
from keras_longvideo.hub import model_card
from keras_longvideo.hub import upload_preset

pytestmark = pytest.mark.backend_free

HANDLE = "hf://someone/some_model"
REPO = "someone/some_model"


def contents(directory):
    """The bytes of all files below a directory, by relative path."""
    root = pathlib.Path(directory)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def write_config(preset, **options):
    path = preset / "config.json"
    config = json.loads(path.read_text())
    config["config"].update(options)
    path.write_text(json.dumps(config))


def test_round_trip(hub, preset):
    before = contents(preset)
    pinned = upload_preset(HANDLE, preset)
    downloaded = contents(download_preset(HANDLE))
    assert contents(preset) == before
    assert downloaded.pop("README.md").decode() == model_card(preset, HANDLE)
    del downloaded[".gitattributes"]
    assert downloaded == before
    assert pinned == f"{HANDLE}@{hub.resolve(REPO)}"
    # One commit to make the repository, one for the preset.
    assert len(hub.commits[REPO]) == 2


def test_a_downloaded_preset_can_be_uploaded_elsewhere(hub, preset):
    upload_preset(HANDLE, preset)
    upload_preset("hf://someone/copy", download_preset(HANDLE))
    assert hub.files("someone/copy") == hub.files(REPO)


def test_hidden_files_stay_here(hub, preset):
    (preset / ".git").mkdir()
    (preset / ".git" / "config").write_text("secret")
    (preset / ".DS_Store").write_text("")
    upload_preset(HANDLE, preset)
    hidden = [path for path in hub.files(REPO) if path.startswith(".")]
    assert hidden == [".gitattributes"]


def test_revisions(hub, preset):
    first = upload_preset(HANDLE, preset)
    hub.tags[REPO, "v1"] = first.split("@")[1]
    old = contents(download_preset(HANDLE))
    write_config(preset, num_frames=64)
    second = upload_preset(HANDLE, preset)
    new = contents(download_preset(HANDLE))
    assert b"64" in new["config.json"]
    assert old != new
    assert contents(download_preset(first)) == old
    assert contents(download_preset(f"{HANDLE}@v1")) == old
    assert contents(download_preset(f"{HANDLE}@main")) == new
    assert contents(download_preset(second)) == new


def test_uploading_the_same_again_changes_nothing(hub, preset):
    assert upload_preset(HANDLE, preset) == upload_preset(HANDLE, preset)
    assert len(hub.commits[REPO]) == 2


def test_leftovers_of_an_older_preset_go(hub, preset):
    first = upload_preset(HANDLE, preset)
    own = {
        "results.json": b"{}",
        "checkpoints/1.weights.h5": b"weights",
        "epoch_01.weights.h5": b"weights",
        "assets/demo.gif": b"GIF",
    }
    hub.commit(REPO, hub.files(REPO) | own)
    (preset / "task.json").unlink()
    (preset / "task.weights.h5").unlink()
    upload_preset(HANDLE, preset)
    files = hub.files(REPO)
    assert not {"task.json", "task.weights.h5"} & files.keys()
    assert own.keys() <= files.keys()  # Somebody's own files stay.
    assert "task.json" in contents(download_preset(first))


def test_own_card_is_uploaded_as_it_stands(hub, preset):
    card = b"---\r\nlicense: mit\r\n---\r\nMine.\n"
    (preset / "README.md").write_bytes(card)
    upload_preset(HANDLE, preset)
    assert hub.files(REPO)["README.md"] == card
    assert (preset / "README.md").read_bytes() == card


def test_card_on_the_hub_is_kept(hub, preset):
    hub.commit(REPO, {"README.md": b"Written by hand."})
    upload_preset(HANDLE, preset)
    assert hub.files(REPO)["README.md"] == b"Written by hand."
    assert not (preset / "README.md").exists()


def test_given_card_replaces_the_one_on_the_hub(hub, preset):
    upload_preset(HANDLE, preset)
    card = model_card(preset, HANDLE, license="apache-2.0")
    upload_preset(HANDLE, preset, card=card)
    assert hub.files(REPO)["README.md"].decode() == card
    assert not (preset / "README.md").exists()


def test_damaged_card_is_refused(hub, preset):
    with pytest.raises(ValueError, match="Invalid metadata in README.md"):
        upload_preset(HANDLE, preset, card="---\ntags: [video\n---\n")
    assert "config.json" not in hub.files(REPO)


def test_two_cards_are_refused(hub, preset):
    (preset / "README.md").write_text("---\nlicense: mit\n---\n")
    with pytest.raises(ValueError, match="`card`.*Keep one"):
        upload_preset(HANDLE, preset, card="---\nlicense: mit\n---\n")
    with pytest.raises(ValueError, match="`card` must be the text"):
        upload_preset(HANDLE, preset, card=preset / "README.md")
    assert not hub.requests


@pytest.mark.parametrize(
    "handle",
    [
        "someone/some_model",
        "hf://some_model",
        "hf://someone/some_model/more",
        "hf://someone/",
        "hf://someone/some model",
        "hf://someone/some_model@",
        "hf://someone/some_model@v1@v2",
        "hf://someone/some--model",
        "hf://someone/.some_model",
        "kaggle://someone/bert/keras/base",
        "",
        None,
    ],
)
def test_malformed_handles(hub, preset, handle):
    for call in (
        lambda: download_preset(handle),
        lambda: upload_preset(handle, preset),
        lambda: model_card(preset, handle),
    ):
        with pytest.raises(ValueError, match="`handle` must") as caught:
            call()
        assert f"handle={handle!r}" in str(caught.value)
    assert not hub.requests


def test_no_upload_to_a_revision(hub, preset):
    with pytest.raises(ValueError, match="must not name a revision"):
        upload_preset(f"{HANDLE}@v1", preset)
    assert not hub.requests


def test_missing_repository(hub):
    with pytest.raises(FileNotFoundError, match=f"{HANDLE}.*not on the Hub"):
        download_preset(HANDLE)


def test_missing_revision(hub, preset):
    upload_preset(HANDLE, preset)
    with pytest.raises(FileNotFoundError, match=f"{HANDLE}@v9.*revision"):
        download_preset(f"{HANDLE}@v9")
    with pytest.raises(FileNotFoundError, match="revision"):
        download_preset(f"{HANDLE}@{'0' * 40}")


def test_gated_repository(hub):
    hub.gated.add(REPO)
    with pytest.raises(PermissionError, match=f"{HANDLE}.*gated"):
        download_preset(HANDLE)


def test_upload_without_a_token(hub, preset, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PermissionError, match=f"{HANDLE}.*log in|Log in"):
        upload_preset(HANDLE, preset)


def test_unreachable_hub(hub, preset):
    hub.stop()
    with pytest.raises(ConnectionError, match=f"not be reached.*{HANDLE}"):
        download_preset(HANDLE)
    with pytest.raises(ConnectionError, match=f"not be reached.*{HANDLE}"):
        upload_preset(HANDLE, preset)


def test_offline_mode(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE"):
        download_preset(HANDLE)


def test_unreachable_hub_with_a_copy_here(hub, preset):
    upload_preset(HANDLE, preset)
    directory = download_preset(HANDLE)
    hub.stop()
    assert download_preset(HANDLE) == directory


@pytest.mark.parametrize(
    ("request_part", "status", "error"),
    [
        (("POST", "/commit/"), 500, ConnectionError),
        (("POST", "/commit/"), 403, PermissionError),
        (("PUT", "/large/"), 403, ConnectionError),
    ],
)
def test_failed_upload_changes_nothing(
    hub, preset, request_part, status, error
):
    upload_preset(HANDLE, preset)
    files = hub.files(REPO)
    with h5py.File(preset / "model.weights.h5", "a") as weights:
        weights["layers/0"][:] = [3.0, 4.0]
    before = contents(preset)
    hub.failures[request_part] = status
    with pytest.raises(error, match=f"(?s)`handle='{HANDLE}'`.*{status}"):
        upload_preset(HANDLE, preset)
    assert contents(preset) == before
    assert hub.files(REPO) == files
    hub.failures.clear()
    upload_preset(HANDLE, preset)
    uploaded = hub.files(REPO)["model.weights.h5"]
    assert uploaded == before["model.weights.h5"]
