"""The trained presets that come with the package, whichever there are.

Beside each lies `golden.npz`: clips and captions, and the embeddings that its
weights made of them when it was packaged. A folder under
`keras_longvideo/presets/` is found, and tested, by being there.
"""

import glob
import importlib.resources
import importlib.util
import os
import pathlib
import subprocess
import sys
import tomllib

import h5py
import keras
import numpy as np
import pytest

import keras_longvideo
from keras_longvideo import models

ROOT = importlib.resources.files("keras_longvideo") / "presets"
NAMES = sorted(x.name for x in pathlib.Path(str(ROOT)).glob("[!.]*"))
MAX_BYTES = 20e6
# Backends add up in another order.
TOLERANCE = 1e-4

every_preset = pytest.mark.parametrize("name", NAMES)


@pytest.mark.backend_free
def test_all_are_there():
    kinds = ("image", "short", "long")
    expected = {f"{kind}_vivit_tiny_shapes" for kind in kinds}
    assert {*expected, "short_vivit_tiny_shapes_masked"} <= set(NAMES)


def golden(name):
    return dict(np.load(ROOT / name / "golden.npz"))


@every_preset
def test_golden_outputs(name):
    expected = golden(name)
    retriever = keras_longvideo.from_preset(name)
    assert type(retriever) is models.VideoTextRetriever
    tokens = retriever.preprocessor.tokenize(expected["captions"].tolist())
    for key, x in tokens.items():
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(x), expected[key]
        )
    inputs = ("pixel_values", "frame_mask", "token_ids", "padding_mask")
    outputs = retriever({key: expected[key] for key in inputs})
    for key, x in outputs.items():
        x = keras.ops.convert_to_numpy(x)
        np.testing.assert_allclose(x, expected[key], atol=TOLERANCE)
        np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, rtol=1e-5)
    # They are of something: two clips are not alike.
    assert np.abs(np.diff(expected["video_embeddings"], axis=0)).max() > 0.01
    for weight in retriever.weights:
        if "seed" not in weight.path:
            assert weight.dtype == "float32"


# What runs them in turn, for a backend that the rest of a run is not on.
SCRIPT = """
import sys

import keras
import numpy as np

import keras_longvideo

for name in sys.argv[2:]:
    retriever = keras_longvideo.from_preset(name)
    inputs = ("pixel_values", "frame_mask", "token_ids", "padding_mask")
    golden = dict(np.load(f"{sys.argv[1]}/{name}/golden.npz"))
    outputs = retriever({key: golden[key] for key in inputs})
    for key, x in outputs.items():
        difference = keras.ops.convert_to_numpy(x) - golden[key]
        print(name, key, np.abs(difference).max())
"""


@pytest.mark.backend_free
@pytest.mark.slow
@pytest.mark.skipif(not NAMES, reason="there are no packaged presets")
def test_golden_outputs_on_torch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT), *NAMES],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 2 * len(NAMES)
    for name, key, difference in lines:
        assert float(difference) < TOLERANCE, (name, key)


@every_preset
def test_no_network(name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a packaged preset asked for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    keras_longvideo.from_preset(name)


@every_preset
def test_as_other_models(name):
    retriever = keras_longvideo.from_preset(name, mask_rate=0.5)
    assert retriever.backbone.mask_rate == 0.5
    encoder = models.ViViTBackbone.from_preset(name)
    classifier = models.VideoClassifier.from_preset(name, num_classes=3)
    for own, *others in zip(
        retriever.backbone.get_weights(),
        encoder.get_weights(),
        classifier.backbone.get_weights(),
        strict=True,
    ):
        for other in others:
            np.testing.assert_array_equal(own, other)
    with pytest.raises(ValueError, match="'maskrate'"):
        keras_longvideo.from_preset(name, maskrate=0.5)


@every_preset
@pytest.mark.backend_free
def test_is_listed(name):
    assert name in keras_longvideo.list_presets()
    assert name in keras_longvideo.list_presets("*_shapes*")
    untrained = name.partition("_tiny")[0] + "_base"
    with pytest.raises(ValueError, match=f"no published weights.*'{name}'"):
        keras_longvideo.from_preset(untrained)


@every_preset
@pytest.mark.backend_free
def test_card(name):
    card = (ROOT / name / "README.md").read_text(encoding="utf-8")
    assert f"\n# {name}\n" in card
    assert f'keras_longvideo.from_preset("{name}")' in card
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    wanted = ["Use", "Contents", "Configuration"]
    wanted += ["Data", "Recipe", "Command", "Scores", "Limits"]
    assert headings == [f"## {heading}" for heading in wanted]
    # A reader has other folders: no value is an absolute path.
    assert '"/' not in card


@every_preset
@pytest.mark.backend_free
def test_matrices_are_kept_in_float16(name):
    for path in pathlib.Path(ROOT / name).glob("*.weights.h5"):
        with h5py.File(path) as file:
            datasets = []
            file.visititems(lambda _, x, found=datasets: found.append(x))
            for x in datasets:
                if isinstance(x, h5py.Dataset):
                    assert x.dtype == ("float16" if x.ndim > 1 else "float32")


@pytest.mark.backend_free
def test_size():
    files = [x for x in pathlib.Path(str(ROOT)).rglob("*") if x.is_file()]
    assert sum(x.stat().st_size for x in files) <= MAX_BYTES


@pytest.mark.backend_free
def test_wheels_hold_all_files():
    root = pathlib.Path(__file__).parents[2]
    config = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    patterns = config["tool"]["setuptools"]["package-data"]["keras_longvideo"]
    package = root / "keras_longvideo"
    packed = {
        path
        for pattern in patterns
        # As setuptools does; pathlib's `**` is of folders alone.
        for path in glob.glob(pattern, root_dir=package, recursive=True)
    }
    files = [x for x in (package / "presets").rglob("*") if x.is_file()]
    assert {str(x.relative_to(package)) for x in files} <= packed
