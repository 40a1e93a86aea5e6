"""Times attention: ours, Keras's own on JAX, and torch's SDPA.

    python tools/benchmark_attention.py --tokens=4096 --heads=12 --backward

All run in one process, in turn, round after round: on a machine whose speed
drifts, ratios are taken within a round. Memory is what a run takes beside its
inputs and outputs: XLA's plan, and for torch the growth of the process. What
is not there is left out, and named. With `--json` and `--plot` the figures
are written to files too.
"""

import dataclasses
import json
import os
import statistics
import time

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from absl import app
from absl import flags
from process_memory import peak_growth

from keras_longvideo import ops

_TOKENS = flags.DEFINE_integer("tokens", 4096, "Queries, and keys.")
_HEADS = flags.DEFINE_integer("heads", 12, "Attention heads.")
_HEAD_DIM = flags.DEFINE_integer("head_dim", 64, "Numbers in a head.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Examples.")
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ["float32", "bfloat16", "float16"], "Of the inputs."
)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Rounds.", lower_bound=1)
_BACKWARD = flags.DEFINE_bool(
    "backward", False, "Compute the gradients too, not the output alone."
)
_RUN = flags.DEFINE_list(
    "run",
    ["splash", "cudnn", "chunked", "direct", "keras", "sdpa"],
    "What to run: names of our implementations, keras, and torch's sdpa.",
)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")
_PLOT = flags.DEFINE_string("plot", None, "File for a picture of them.")


@dataclasses.dataclass
class Contestant:
    """A way to compute attention, and what was measured of it."""

    name: str
    # Computes it once, until it is done, and returns the output.
    run: object
    memory_bytes: int | None
    seconds: list = dataclasses.field(default_factory=list)


def on_jax(name, attend, arrays):
    """A contestant that XLA compiles."""

    def both(query, key, value, g):
        output, gradients = jax.vjp(attend, query, key, value)
        return output, gradients(g)

    def forward(query, key, value, g):
        return (attend(query, key, value),)

    arrays = [jax.numpy.asarray(x, _DTYPE.value) for x in arrays]
    compiled = (
        jax.jit(both if _BACKWARD.value else forward).lower(*arrays).compile()
    )
    return Contestant(
        name,
        lambda: jax.block_until_ready(compiled(*arrays))[0],
        compiled.memory_analysis().temp_size_in_bytes,
    )


def on_torch(arrays):
    """torch's SDPA, on as many threads as there are processors."""
    import torch

    torch.set_num_threads(os.cpu_count())
    dtype = getattr(torch, _DTYPE.value)
    # Heads before tokens, as torch wants them: a view, as layers make it.
    *tensors, g = (
        torch.tensor(x).to(dtype).transpose(1, 2).requires_grad_()
        for x in arrays
    )
    attend = torch.nn.functional.scaled_dot_product_attention

    def run():
        with torch.set_grad_enabled(_BACKWARD.value):
            output = attend(*tensors)
        if _BACKWARD.value:
            torch.autograd.grad(output, tensors, g)
        return output.detach().transpose(1, 2).float()

    growth = peak_growth(run)
    results = 4 if _BACKWARD.value else 1
    if growth is not None:
        size = tensors[0].nelement() * tensors[0].element_size()
        growth = max(0, growth - results * size)
    return Contestant("sdpa", run, growth)


def contestants(arrays):
    """All that were asked for and are there; ours first."""
    found = []
    for name in _RUN.value:
        try:
            if name == "sdpa":
                if jax.default_backend() != "cpu":
                    raise ValueError("torch would run on another device")
                found.append(on_torch(arrays))
            elif name == "keras":
                attend = keras.ops.dot_product_attention
                found.append(on_jax("keras", attend, arrays))
            elif name == "splash" and jax.default_backend() == "cpu":
                raise ValueError("on a CPU it is only emulated")
            else:
                found.append(
                    on_jax(
                        name,
                        lambda *x, name=name: ops.dot_product_attention(
                            *x, implementation=name
                        ),
                        arrays,
                    )
                )
        except (ImportError, ValueError) as e:
            print(f"{name} is left out: {e}", flush=True)
    return found


def measure(found):
    """Runs all in turn, round after round, after one that counts for none."""
    for round_number in range(_REPEATS.value + 1):
        for contestant in found:
            start = time.perf_counter()
            contestant.run()
            seconds = time.perf_counter() - start
            if round_number:
                contestant.seconds.append(seconds)


def figures(found):
    """What is printed and written: medians, and ratios within a round."""
    ours = found[0]
    results = []
    for contestant in found:
        ratios = [
            theirs / own
            for theirs, own in zip(
                contestant.seconds, ours.seconds, strict=True
            )
        ]
        results.append(
            {
                "name": contestant.name,
                "seconds": statistics.median(contestant.seconds),
                "all_seconds": contestant.seconds,
                "memory_bytes": contestant.memory_bytes,
                f"times_{ours.name}": statistics.median(ratios),
                "least_ratio": min(ratios),
                "largest_ratio": max(ratios),
            }
        )
    return {
        "shape": [
            _BATCH_SIZE.value,
            _TOKENS.value,
            _HEADS.value,
            _HEAD_DIM.value,
        ],
        "dtype": _DTYPE.value,
        "backward": _BACKWARD.value,
        "device": jax.devices()[0].device_kind,
        "cpus": os.cpu_count(),
        "results": results,
    }


def plot(report, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    results = report["results"]
    names = [result["name"] for result in results]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    left.boxplot([r["all_seconds"] for r in results], tick_labels=names)
    left.set_ylabel("seconds")
    left.set_ylim(bottom=0)
    right.bar(names, [(r["memory_bytes"] or 0) / 1e6 for r in results])
    right.set_ylabel("MB beside inputs and outputs")
    right.set_yscale("log")
    what = "forward and backward" if report["backward"] else "forward"
    figure.suptitle(f"Attention {report['shape']} {report['dtype']}, {what}")
    figure.tight_layout()
    figure.savefig(path)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    shape = (
        _BATCH_SIZE.value,
        _TOKENS.value,
        _HEADS.value,
        _HEAD_DIM.value,
    )
    rng = np.random.default_rng(0)
    # Query, key, value, and a gradient of the output.
    arrays = rng.normal(size=(4, *shape)).astype("float32")
    found = contestants(arrays)
    measure(found)
    report = figures(found)
    print(f"{'':10}{'seconds':>9}{'MB':>9}  as long as {found[0].name}")
    for result in report["results"]:
        memory = result["memory_bytes"]
        memory = "n/a" if memory is None else f"{memory / 1e6:,.0f}"
        print(
            f"{result['name']:10}{result['seconds']:9.3f}{memory:>9}"
            f"  x {result[f'times_{found[0].name}']:.2f}"
            f" ({result['least_ratio']:.2f}..{result['largest_ratio']:.2f})"
        )
    if _JSON.value:
        with open(_JSON.value, "w") as file:
            json.dump(report, file, indent=2)
    if _PLOT.value:
        plot(report, _PLOT.value)


if __name__ == "__main__":
    app.run(main)
