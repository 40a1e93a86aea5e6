"""A preset written under one backend loads under the others."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [pytest.mark.backend_free, pytest.mark.slow]

SCRIPT = """
import sys

import keras
import numpy as np

import keras_longvideo

preset, inputs, outputs, backend = sys.argv[1:]
assert keras.backend.backend() == backend
retriever = keras_longvideo.from_preset(preset)
received = retriever(dict(np.load(inputs)))
np.savez(
    outputs,
    captions=retriever.encode_text(["a red ball", "box"]),
    **{k: keras.ops.convert_to_numpy(x) for k, x in received.items()},
)
"""


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_equal_outputs(tiny, fitted, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    inputs = tiny.to_numpy(fitted.retriever.preprocessor(tiny.pairs()))
    np.savez(tmp_path / "inputs.npz", **inputs)
    arguments = [fitted.preset, tmp_path / "inputs.npz", tmp_path / "out.npz"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments), backend],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    received = dict(np.load(tmp_path / "out.npz"))
    for name, expected in fitted.after.items():
        np.testing.assert_allclose(received[name], expected, atol=1e-4)
    first = fitted.after["text_embeddings"][0]
    np.testing.assert_allclose(received["captions"][0], first, atol=1e-4)
