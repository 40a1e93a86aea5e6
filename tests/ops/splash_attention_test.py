"""Attention for TPUs, compiled without one; its numbers: attention_test.py."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tracemalloc

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("the kernel is JAX's", allow_module_level=True)

import jax

from keras_longvideo.ops import dot_product_attention

TOOLS = pathlib.Path(__file__).parents[2] / "tools"

SCRIPT = """
import json
import re

from chips import topology_devices

devices = topology_devices("v5e:2x2")

import jax
import keras
import numpy as np
from keras.distribution import DataParallel
from keras.distribution import DeviceMesh

from keras_longvideo.ops import attention_implementation
from keras_longvideo.ops import dot_product_attention


def both(query, key, value, key_mask, g):
    output, gradients = jax.vjp(
        lambda *x: dot_product_attention(*x, key_mask), query, key, value
    )
    return output, gradients(g)


mesh = DeviceMesh((4,), ["batch"], np.array(devices))
with DataParallel(mesh).scope():
    sharding = jax.sharding.NamedSharding(
        mesh.backend_mesh, jax.sharding.PartitionSpec("batch")
    )
    x = jax.ShapeDtypeStruct((4, 32768, 16, 64), "bfloat16", sharding=sharding)
    mask = jax.ShapeDtypeStruct((4, 32768), bool, sharding=sharding)
    compiled = jax.jit(both).lower(x, x, x, mask, x).compile()
    name = attention_implementation()
shapes = re.findall(r"\\[([0-9,]+)\\]", compiled.as_text())
sizes = [np.prod([int(n) for n in s.split(",")], dtype=float) for s in shapes]
print(
    json.dumps(
        {
            "name": name,
            "temporary": compiled.memory_analysis().temp_size_in_bytes,
            "largest": max(sizes),
        }
    )
)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason='needs the compiler for TPUs: pip install "jax[tpu]"',
)
def test_compiles_for_a_slice_and_stores_no_scores():
    path = os.pathsep.join([str(TOOLS), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout.splitlines()[-1])
    assert plan["name"] == "splash"
    # Of one chip, forward and backward; naive attention takes 96 GB.
    assert plan["temporary"] < 1.5e9
    # Numbers in the largest array; all scores of a head would be 2**30.
    assert 32768 * 16 * 64 <= plan["largest"] < 32768**2


def test_tracing_an_hour_of_video_is_cheap():
    query = jax.ShapeDtypeStruct((1, 460800, 16, 64), "bfloat16")
    key = jax.ShapeDtypeStruct((1, 115200, 16, 64), "bfloat16")

    def attend(query, key):
        return dot_product_attention(query, key, key, implementation="splash")

    jax.eval_shape(attend, key, key)
    tracemalloc.start()
    output = jax.eval_shape(attend, query, key)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert output.shape == query.shape
    # A byte for each query and block of keys would be 51 MB.
    assert peak < 20e6
