"""Attention over a mesh, on eight virtual devices."""

import json
import os
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="distributions are JAX's"
)

MESH = {"mesh": {"batch": 2, "model": 2, "sequence": 2}}
ALL = ["batch", "sequence", "model"]
# What is computed, and the axes that the output's batch, tokens and heads are
# then divided along.
CASES = {
    "data-parallel": ({"mesh": {"batch": 4}}, ["batch", None, None]),
    "model": ({"mesh": {"batch": 2, "model": 4}}, ["batch", None, "model"]),
    "sequence": (
        {"mesh": {"data": 2, "sequence": 4}},
        ["data", "sequence", None],
    ),
    "all at once": (MESH, ALL),
    "remat": ({**MESH, "how": "remat"}, ALL),
    # A kernel, which the compiler cannot divide by itself.
    "kernel": ({**MESH, "implementation": "splash"}, ALL),
    "direct": ({**MESH, "implementation": "direct"}, None),
    "nothing divides": (
        {**MESH, "batch": 3, "heads": 3, "queries": 3},
        [None, None, None],
    ),
    "batch axis of another's name": (
        {"mesh": {"model": 2}},
        ["model", None, None],
    ),
    # Outside a compiled function, on one device or as a layer's output lies.
    "eager": ({**MESH, "how": "eager"}, None),
    "eager, sharded": ({**MESH, "how": "eager, sharded"}, None),
}

SCRIPT = """
import json
import math
import sys

import jax
import keras
import numpy as np

from keras_longvideo.ops import attention_implementation
from keras_longvideo.ops import dot_product_attention


def errors(
    mesh, batch=4, heads=4, queries=24, how=None, implementation="chunked"
):
    rng = np.random.default_rng(0)
    query, g = rng.normal(size=(2, batch, queries, heads, 8)).astype("float32")
    key, value = rng.normal(size=(2, batch, 40, heads, 8)).astype("float32")
    key_mask = np.arange(40) < rng.integers(1, 40, size=(batch, 1))

    def both(query, key, value, g):
        def attend(query, key, value):
            return dot_product_attention(
                query, key, value, key_mask, implementation=implementation
            )

        if how == "remat":
            attend = keras.remat(attend)
        output, gradients = jax.vjp(attend, query, key, value)
        return output, *gradients(g)

    expected = both(query, key, value, g)
    axes, shape = list(mesh), list(mesh.values())
    mesh = keras.distribution.DeviceMesh(
        shape, axes, keras.distribution.list_devices()[: math.prod(shape)]
    )
    distribution = keras.distribution.ModelParallel(
        layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name=axes[0]
    )
    with distribution.scope():
        assert attention_implementation() == "chunked"
        if how == "eager, sharded":
            sharding = jax.sharding.NamedSharding(
                mesh.backend_mesh, jax.sharding.PartitionSpec(axes[0])
            )
            query, key, value, g = (
                jax.device_put(x, sharding) for x in (query, key, value, g)
            )
        run = both if how in ("eager", "eager, sharded") else jax.jit(both)
        received = run(query, key, value, g)
    spec = getattr(received[0].sharding, "spec", ())
    return {
        "errors": [
            float(abs(np.asarray(x) - np.asarray(y)).max())
            for x, y in zip(received, expected, strict=True)
        ],
        "split": [*spec, *[None] * 3][:3],
    }


cases = json.loads(sys.argv[1])
print(json.dumps({name: errors(**case) for name, case in cases.items()}))
"""


@pytest.fixture(scope="module")
def results():
    """Of all cases: one process, as it takes seconds to start."""
    cases = {name: case for name, (case, _) in CASES.items()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(cases)],
        env={
            **os.environ,
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_equals_one_device(results, name):
    # Of the output, and of the gradients of query, key and value.
    assert max(results[name]["errors"]) < 1e-5
    split = CASES[name][1]
    if split is not None:
        assert results[name]["split"] == split
