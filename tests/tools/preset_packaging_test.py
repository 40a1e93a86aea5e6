"""What becomes of a run's preset when it is packaged."""

import json
import pathlib

import h5py
import keras
import keras_hub
import numpy as np
import preset_packaging
import pytest

from keras_longvideo import models

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += ["a", "red", "blue", "square", "circle", "moves"]
NAME = "short_vivit_tiny_shapes"
COMMAND = "python tools/pretrain.py --config=short"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run that has trained nothing."""
    keras.utils.set_random_seed(0)
    retriever = models.VideoTextRetriever(
        models.ViViTBackbone(
            image_shape=(16, 16, 3),
            num_frames=4,
            tubelet_size=(2, 8, 8),
            hidden_dim=16,
            num_layers=1,
            num_heads=2,
            intermediate_dim=16,
        ),
        models.text_tower(
            "tiny", vocabulary_size=len(WORDS), num_layers=1, hidden_dim=16
        ),
        models.VideoTextPreprocessor(
            models.VideoConverter(4, (16, 16), fps=None),
            keras_hub.tokenizers.BertTokenizer(WORDS, lowercase=True),
            sequence_length=8,
        ),
        projection_dim=8,
    )
    folder = tmp_path_factory.mktemp("run")
    retriever.save_to_preset(folder / "preset")
    stage = {
        "preset": "/home/someone/runs/image/preset",
        "train": [
            {"path": "/home/someone/videos/temporal/captions.jsonl", "ratio": 2}
        ],
        "steps": 3000,
        "learning_rate": 0.0015,
    }
    (folder / "stage.json").write_text(json.dumps(stage))
    results = {"steps": 3000, "loss": 0.123456789}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture(scope="module")
def manifest():
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 16, 16, 3))
    return {
        "videos": clips.astype("uint8"),
        "captions": [["a red square"], ["a blue circle"], ["a red circle"]],
    }


@pytest.fixture(scope="module")
def packaged(run, manifest, tmp_path_factory):
    """The folder of all presets, and the report."""
    root = tmp_path_factory.mktemp("package") / "presets"
    report = preset_packaging.package_preset(
        run, NAME, root, COMMAND, {"temporal": manifest}
    )
    return root, report


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_weights(run, packaged):
    root, report = packaged
    old = models.VideoTextRetriever.from_preset(run / "preset")
    new = models.VideoTextRetriever.from_preset(root / NAME)
    for before, after in zip(old.weights, new.weights, strict=True):
        if "seed" in before.path:
            continue
        assert after.dtype == "float32"
        value = keras.ops.convert_to_numpy(before)
        if value.ndim > 1:
            value = value.astype("float16").astype("float32")
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(after), value, before.path
        )
    assert min(report["cosines"].values()) > 0.9999
    for name in ("model.weights.h5", "task.weights.h5"):
        before, after = (x / name for x in (run / "preset", root / NAME))
        with h5py.File(before) as a, h5py.File(after) as b:
            names = [[], []]
            a.visit(names[0].append)
            b.visit(names[1].append)
        assert names[0] == names[1]


def test_golden_outputs(packaged):
    root, _ = packaged
    golden = dict(np.load(root / NAME / "golden.npz"))
    assert golden["pixel_values"].shape == (2, 4, 16, 16, 3)
    assert golden["pixel_values"].dtype == "uint8"
    np.testing.assert_array_equal(golden["frame_mask"].sum(1), [4, 2])
    retriever = models.VideoTextRetriever.from_preset(root / NAME)
    # The second clip without its padding.
    clip = golden["pixel_values"][1, :2]
    np.testing.assert_allclose(
        retriever.encode_video(clip, verbose=0),
        golden["video_embeddings"][1],
        atol=1e-5,
    )
    np.testing.assert_allclose(
        retriever.encode_text(golden["captions"].tolist()),
        golden["text_embeddings"],
        atol=1e-5,
    )


def test_card_and_report(packaged, manifest):
    root, report = packaged
    scores = report["scores"]["temporal"]
    retriever = models.VideoTextRetriever.from_preset(root / NAME)
    expected = retriever.evaluate(manifest, verbose=0)
    assert scores["float16"] == pytest.approx(expected)
    card = (root / NAME / "README.md").read_text()
    recall = expected["text_to_video/recall@1"]
    for text in (
        f'keras_longvideo.from_preset("{NAME}")',
        "license: apache-2.0",
        f"```sh\n{COMMAND}\n```",
        "| `steps` | `3000` |",
        '| `preset` | `"runs/image/preset"` |',
        '| `"videos/temporal/captions.jsonl"` | `2` |',
        f"| temporal, 3 videos | {recall:.1%} |",
        "| 33.3% |",
        "| loss | 0.123457 |",
        "11 word pieces",
    ):
        assert text in card
    assert "/home/" not in card
    size = sum(map(len, contents(root).values())) / 1e6
    assert report["megabytes"] == pytest.approx(size)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("MAX_MEGABYTES", 1e-3, "would come to .* MB, and may to"),
        ("LEAST_COSINE", 1.1, "float16 changes the video_embeddings"),
    ],
)
def test_what_is_refused_changes_nothing(
    run, packaged, monkeypatch, name, value, message
):
    root, _ = packaged
    before = contents(root)
    monkeypatch.setattr(preset_packaging, name, value)
    for preset in (NAME, "another"):
        with pytest.raises(ValueError, match=message):
            preset_packaging.package_preset(run, preset, root, COMMAND, {})
    assert contents(root) == before


def test_values_that_float16_cannot_hold(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["layers/dense/vars/0"] = np.full((2, 2), 1e6, "float32")
    with pytest.raises(ValueError, match="'layers/dense/vars/0' in .*a.h5"):
        preset_packaging.to_float16(tmp_path / "a.h5", tmp_path / "b.h5")


def test_a_run_without_a_preset(tmp_path):
    with pytest.raises(FileNotFoundError, match="preset"):
        preset_packaging.package_preset(
            tmp_path, NAME, tmp_path / "presets", COMMAND, {}
        )
    assert not pathlib.Path(tmp_path / "presets").exists()
