"""Retrievers over many devices: what one device computes, in parts."""

import json
import os
import pathlib
import pickle
import re
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_longvideo import models
from keras_longvideo.models import processes
from keras_longvideo.video import write_video

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "jax", reason="distributions are JAX's"
    ),
]

WORKER = pathlib.Path(__file__).with_name("distribution_worker.py")
REFERENCES = [
    {"mesh": "none", "plan": "nce", "used": "as trained"},
    {"mesh": "none", "plan": "sigmoid", "with_classes": True},
    {"mesh": "none", "plan": "files", "used": "as trained"},
]
ONE_PROCESS = [
    {"mesh": "data parallel", "plan": "sigmoid", "with_classes": True},
    {"mesh": "batch=8", "plan": "nce", "used": "as saved", "with_errors": True},
    {"mesh": "batch=2 model=2 sequence=2", "plan": "microbatches"},
    # Neither 4 tokens of a masked video nor 7 of a text divide by 8.
    {"mesh": "batch=1 sequence=8", "plan": "nce", "used": "as trained"},
]
TWO_PROCESSES = [
    {
        "mesh": "batch=4",
        "plan": "files",
        "used": "as trained",
        "is_interleaved": True,
        "with_classes": True,
    },
    # Each process reads whole batches: it holds some tokens of every video.
    {"mesh": "sequence=2 batch=2", "plan": "nce", "used": "as saved"},
]


def start(folder, cases, num_devices, process=0, num_processes=1, port=None):
    arguments = {
        "folder": str(folder),
        "cases": cases,
        "process": process,
        "num_processes": num_processes,
        "port": port,
    }
    flags = f"--xla_force_host_platform_device_count={num_devices}"
    with open(folder / f"{process} of {num_processes}.log", "w") as log:
        return subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(arguments)],
            env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
            stdout=log,
            stderr=log,
        )


def finish(folder, workers):
    """What the worker of each process found, by mesh and plan."""
    results = []
    for process, worker in enumerate(workers):
        name = f"{process} of {len(workers)}"
        failed = worker.wait(timeout=500)
        assert not failed, (folder / f"{name}.log").read_text()[-5000:]
        with open(folder / f"{name}.pickle", "rb") as file:
            results.append(pickle.load(file))
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of each process, its results by case; all processes run side by side."""
    folder = tmp_path_factory.mktemp("distribution")
    for i in range(20):
        frames = np.full((4, 16, 16, 3), 10 * i, "uint8")
        write_video(folder / f"{i:02}.mp4", frames, fps=10)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = [start(folder, REFERENCES + ONE_PROCESS, num_devices=8)]
    two = [start(folder, TWO_PROCESSES, 2, i, 2, port) for i in range(2)]
    try:
        return finish(folder, one), finish(folder, two)
    finally:
        for worker in one + two:
            worker.kill()


@pytest.fixture(scope="module")
def one_process(results):
    return results[0][0]


@pytest.fixture(scope="module")
def two_processes(results):
    return results[1]


def check_training(received, expected):
    assert received["history"].keys() == expected["history"].keys()
    for name, losses in expected["history"].items():
        np.testing.assert_allclose(
            received["history"][name], losses, rtol=1e-5, err_msg=name
        )
    assert received["weights"].keys() == expected["weights"].keys()
    for path, weight in expected["weights"].items():
        np.testing.assert_allclose(
            received["weights"][path], weight, atol=1e-5, err_msg=path
        )


def check_uses(received, expected):
    assert received["videos"].shape == received["texts"].shape == (9, 8)
    for name in ("videos", "texts", "scores"):
        np.testing.assert_allclose(
            received[name], expected[name], atol=1e-5, err_msg=name
        )
    for name in ("videos", "texts"):
        predicted = received["predicted"][f"{name[:-1]}_embeddings"]
        np.testing.assert_allclose(predicted, expected[name], atol=1e-5)
    for name in ("predicted of rows", "predicted beside"):
        assert received[name].keys() == expected[name].keys()
        for key, value in expected[name].items():
            np.testing.assert_allclose(received[name][key], value, atol=1e-5)
    for name in ("hits", "metrics", "metrics of a dataset"):
        assert received[name] == expected[name], name


def reference(one_process, plan):
    return one_process["none", "sigmoid" if plan == "microbatches" else plan]


def name_of(case):
    return f"{case['mesh']}, {case['plan']}"


@pytest.mark.parametrize("case", ONE_PROCESS, ids=name_of)
def test_training_is_that_of_one_device(one_process, case):
    expected = reference(one_process, case["plan"])
    check_training(one_process[case["mesh"], case["plan"]], expected)


@pytest.mark.parametrize(
    "case", [case for case in ONE_PROCESS if "used" in case], ids=name_of
)
def test_uses_are_those_of_one_device(one_process, case):
    received = one_process[case["mesh"], case["plan"]]["uses"]
    check_uses(received, reference(one_process, case["plan"])["uses"])


def check_classes(received, expected):
    assert received["predicted"].shape == (9, 3)
    assert received["of few"].shape == (1, 3)
    assert received["of a variant"].shape == (9, 3)
    assert received["of a dataset"].shape == (16, 3)
    for name, value in expected.items():
        np.testing.assert_allclose(
            received[name], value, atol=1e-5, err_msg=name
        )


def test_classes_are_those_of_one_device(one_process, two_processes):
    expected = one_process["none", "sigmoid"]["classes"]
    for name in ("predicted", "of few"):
        every = expected["of a dataset"][: len(expected[name])]
        np.testing.assert_allclose(expected[name], every, atol=1e-5)
    check_classes(one_process["data parallel", "sigmoid"]["classes"], expected)
    for results in two_processes:
        check_classes(results["batch=4", "files"]["classes"], expected)


def test_training_moves_the_weights(one_process):
    # Both began with the same ones.
    one = one_process["none", "nce"]["weights"]
    other = one_process["none", "files"]["weights"]
    assert max(np.abs(one[path] - other[path]).max() for path in one) > 0.01


# Of the weights below, what a device holds; then, of 2 x 8 x 32 tokens.
ATTENTION = r".*attention.*(query|key|value|attention_output)[/_]kernel.*"
FEEDFORWARD = r".*(mlp|feedforward)_(intermediate|output)\w*[/_]kernel.*"
OTHERS = (
    r".*embedding[/_](image_)?kernel.*|.*(token|position)_embedding.*"
    r"|.*_projection.*"
)


@pytest.mark.parametrize("kind", ["shares", "slots"])
@pytest.mark.parametrize(
    "mesh, plan, attention, feedforward, others",
    [
        ("data parallel", "sigmoid", 1, 1, 1),
        ("batch=8", "nce", 1 / 8, 1 / 8, 1 / 8),
        ("batch=2 model=2 sequence=2", "microbatches", 1 / 8, 1 / 4, 1 / 2),
        ("batch=1 sequence=8", "nce", 1 / 8, 1 / 8, 1),
    ],
)
def test_a_device_holds_a_part_of_each_matrix(
    one_process, kind, mesh, plan, attention, feedforward, others
):
    shares = one_process[mesh, plan][kind]
    for pattern, expected, count in (
        # Of each tower 4, and those of the pooling; 2; all embeddings.
        (ATTENTION, attention, 12),
        (FEEDFORWARD, feedforward, 4),
        (OTHERS, others, 6),
    ):
        found = {k: v for k, v in shares.items() if re.fullmatch(pattern, k)}
        assert len(found) == count, list(shares)
        assert set(found.values()) == {expected}, found


@pytest.mark.parametrize(
    "mesh, plan, tokens",
    [
        ("data parallel", "sigmoid", (1, 8, 32)),
        ("batch=2 model=2 sequence=2", "microbatches", (4, 4, 32)),
        ("batch=1 sequence=8", "nce", (8, 1, 32)),
    ],
)
def test_a_device_holds_a_part_of_the_tokens(one_process, mesh, plan, tokens):
    assert one_process[mesh, plan]["tokens"] == tokens


def test_a_batch_that_is_not_full_is_left_out(one_process):
    # Twice 2 epochs' batches of 16 pairs; and those of 20 pairs.
    assert one_process["batch=8", "nce"]["steps"] == 2 * 2 + 2


@pytest.mark.parametrize(
    "name, message",
    [
        ("batch_size", "`batch_size` must be a multiple of 8.*batch_size=6"),
        ("manifest", "`batch_size` must be a multiple of 8.*batch_size=6"),
        ("dataset", "`batch_size` must be a multiple of 8.*batch_size=6"),
        ("examples", "`batch_size` must not exceed .* 6. .*batch_size=8"),
        ("validation", "`batch_size` must not exceed .* 6. .*batch_size=8"),
        (
            "evaluated",
            r"`batch_size` must be a multiple of 8.* divide .* 16\..*"
            "batch_size=12; 8 would fit",
        ),
        ("odd", r"multiple of 8.* 9\..*batch_size=32; leave out 1"),
    ],
)
def test_batches_that_do_not_fit(one_process, name, message):
    assert re.search(message, one_process["batch=8", "nce"]["errors"][name])


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_a_callback_is_given_is_split_as_outside(monkeypatch, is_whole):
    # As one of two processes.
    monkeypatch.setattr(processes, "is_one_of_several", lambda: True)
    monkeypatch.setattr(processes, "own_rows", lambda batch_size: [0])
    distribution = keras.distribution.DataParallel(
        devices=keras.distribution.list_devices()[:1],
        auto_shard_dataset=is_whole,
    )
    dataset = tf.data.Dataset.range(4).batch(2, drop_remainder=True)
    rows = [[0], [2]] if is_whole else [[0, 1], [2, 3]]

    def shares():
        share = processes.own_share(dataset)
        return [batch.tolist() for batch in share.as_numpy_iterator()]

    with distribution.scope():
        assert shares() == rows
        with processes.feeding_own_share(), processes.feeding_own_share():
            assert not distribution.auto_shard_dataset
            assert shares() == rows
        assert shares() == rows
    assert distribution.auto_shard_dataset == is_whole


@pytest.mark.parametrize(
    "axes", [("model",), ("data", "model"), ("batch", "tokens")]
)
@pytest.mark.parametrize(
    "cls", [models.ViViTBackbone, models.VideoTextRetriever]
)
def test_meshes_that_do_not_fit(cls, axes):
    devices = keras.distribution.list_devices()[:1]
    mesh = keras.distribution.DeviceMesh((1,) * len(axes), axes, devices)
    with pytest.raises(ValueError, match="`device_mesh` must have an axis"):
        cls.get_layout_map(mesh)
    with pytest.raises(ValueError, match="`device_mesh` must be a"):
        cls.get_layout_map(axes)


def test_axes_of_other_names():
    devices = keras.distribution.list_devices()[:1]
    mesh = keras.distribution.DeviceMesh((1, 1), ("data", "tensor"), devices)
    layouts = models.ViViTBackbone.get_layout_map(mesh, "tensor", "data")
    kernel = layouts["transformer_layer_3/mlp_output/kernel"]
    assert kernel.axes == ("tensor", "data")


@pytest.mark.parametrize("case", TWO_PROCESSES, ids=name_of)
@pytest.mark.parametrize("process", range(2))
def test_two_processes_compute_what_one_device_does(
    one_process, two_processes, process, case
):
    received = two_processes[process][case["mesh"], case["plan"]]
    expected = reference(one_process, case["plan"])
    check_training(received, expected)
    check_uses(received["uses"], expected["uses"])


def test_a_process_reads_what_its_devices_compute(two_processes):
    rows = {
        mesh: [results[mesh, plan]["rows"] for results in two_processes]
        for mesh, plan in two_processes[0]
    }
    assert rows == {
        "batch=4": [[0, 1, 4, 5], [2, 3, 6, 7]],
        "sequence=2 batch=2": [[*range(8)], [*range(8)]],
    }
