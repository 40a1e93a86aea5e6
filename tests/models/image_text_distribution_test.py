"""A retriever made of SigLIP under a distribution, against one device."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "jax", reason="distributions are JAX's"
    ),
]

SCRIPT = """
import json
import sys

import keras

sys.path.insert(0, sys.argv[1])
import image_text_test as sources
from keras_longvideo import models

Retriever = models.VideoTextRetriever


def train(distribution):
    keras.utils.set_random_seed(0)
    keras.distribution.set_distribution(distribution)
    retriever = Retriever.from_image_text(
        sources.source_of("siglip"),
        2,
        preprocessor=sources.preprocessor_of("siglip"),
    )
    retriever.compile(keras.optimizers.SGD(0.01))
    pairs = {
        "videos": sources.still(sources.pictures(4), 2),
        "captions": [*sources.TEXTS, "red box"],
    }
    history = retriever.fit(pairs, batch_size=4, epochs=2, verbose=0).history
    keras.distribution.set_distribution(None)
    return history["loss"], retriever


expected, _ = train(None)
mesh = keras.distribution.DeviceMesh(
    (2, 1), ("batch", "sequence"), keras.distribution.list_devices()
)
received, retriever = train(
    keras.distribution.ModelParallel(
        layout_map=Retriever.get_layout_map(mesh), batch_dim_name="batch"
    )
)
shares = [
    w.value.addressable_shards[0].data.size / w.value.size
    for w in retriever.text_encoder.weights
    if w.name == "kernel"
]
print(json.dumps([expected, received, max(shares)]))
"""


def test_from_image_text_under_a_distribution():
    folder = pathlib.Path(__file__).parent
    flags = "--xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    expected, received, share = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    assert share == 0.5
