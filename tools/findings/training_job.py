"""Trains and measures one run with one seed, and writes its result file."""

import json
import math
import os
import platform
import time

from findings import results
from findings import runs
from findings.folders import VOCABULARY
from keras_longvideo.data.files import write_atomically

# What runs start from that start from no other run.
ARCHITECTURES = {"image": "image_vivit_tiny", "scratch": "short_vivit_tiny"}


def make_stage(run, seed, folders):
    """The stage of pre-training that a run is.

    Args:
        run: `runs.Run`, with steps.
        seed: int.
        folders: `folders.Folders`.

    Returns:
        A `keras_longvideo.training.Stage`.
    """
    from keras_longvideo.training import Source
    from keras_longvideo.training import Stage

    scale = folders.scale
    batch_sizes = {"image": scale.images, "long": scale.long_videos}
    sources = tuple(
        Source(
            str(folders.manifest(split)),
            batch_sizes.get(split, scale.clips),
            1 if split == "image" else run.num_frames,
            ratio=runs.RATIOS[split],
            # Rendered videos come in pairs, each the other's hard negative.
            group_size=2,
            cache=str(folders.clips(split)),
        )
        for split in run.sources
    )
    steps = scale.num_steps(run)
    backbone, vocabulary = run.backbone, None
    if run.start is None:
        preset, vocabulary = ARCHITECTURES[run.stage], str(VOCABULARY)
        backbone = {**backbone, "num_layers": scale.num_layers}
    else:
        preset = str(folders.preset(run.start, seed))
    tenth = max(steps // 10, 1)
    return Stage(
        preset,
        train=sources,
        held_out={
            split: str(folders.manifest(split, is_held_out=True))
            for split in runs.HELD_OUT[run.stage]
        },
        steps=steps,
        learning_rate=runs.LEARNING_RATES[run.stage],
        warmup_steps=int(runs.WARMUP_SHARE * steps),
        weight_decay=runs.WEIGHT_DECAY,
        backbone=backbone,
        adapt=run.adapt,
        vocabulary=vocabulary,
        sequence_length=runs.SEQUENCE_LENGTHS[run.stage],
        evaluation_batch_size=_evaluation_batch_size(run, scale),
        log_every=tenth,
        # Nothing is chosen by scores on the way.
        evaluate_every=steps,
        checkpoint_every=2 * tenth,
        seed=seed,
        **run.losses,
    )


def _evaluation_batch_size(run, scale):
    # A last batch that is not full would be compiled for as well.
    return math.gcd(
        scale.held_out, 20 if run.num_frames > runs.SHORT_FRAMES else 50
    )


def train(run, seed, folders):
    """Trains a run, or goes on with it, and writes its result file.

    A result that is there stays: where its preset is lost, the run is trained
    again only for others to start from.

    Args:
        run: `runs.Run`.
        seed: int.
        folders: `folders.Folders`.
    """
    import keras

    from keras_longvideo import training

    # Many runs share a process.
    keras.backend.clear_session(free_memory=True)
    steps = folders.scale.num_steps(run)
    if steps:
        stage = make_stage(run, seed, folders)
        scores = training.pretrain(stage, folders.run(run.name, seed))
    else:
        scores = _measure(run, seed, folders)
    made = {
        "run": run.name,
        "seed": seed,
        "metrics": {
            name: round(x, 6) for name, x in scores.items() if "/" in name
        },
        "loss": None if scores["loss"] is None else round(scores["loss"], 6),
        "steps": steps,
        "seconds": round(scores["seconds"], 1),
        "device": device_name(),
        "command": _command(run, seed, folders.scale),
        # What ideal observers reach on the very same videos.
        "oracles": {
            split: _oracles(folders.set_of(split, is_held_out=True))
            for split in runs.HELD_OUT[run.stage]
        },
        "recipe": results.recipe(run, folders.scale),
    }
    found, _ = results.read(folders.results, folders.scale)
    if seed not in [other["seed"] for other in found.get(run.name, [])]:
        folders.results.mkdir(parents=True, exist_ok=True)
        write_atomically(
            folders.result(run.name, seed), json.dumps(made, indent=1) + "\n"
        )


def _measure(run, seed, folders):
    """Scores of what a run starts from, as it is."""
    import keras_longvideo

    began = time.perf_counter()
    retriever = keras_longvideo.from_preset(
        folders.preset(run.start, seed), **run.backbone
    )
    # Long captions have more tokens than those that it has seen.
    retriever.preprocessor.sequence_length = runs.SEQUENCE_LENGTHS[run.stage]
    scores = {"loss": None}
    for split in runs.HELD_OUT[run.stage]:
        manifest = folders.manifest(split, is_held_out=True)
        found = retriever.evaluate(
            keras_longvideo.data.read_manifest(manifest),
            batch_size=_evaluation_batch_size(run, folders.scale),
        )
        scores.update({f"{split}/{name}": x for name, x in found.items()})
    return {**scores, "seconds": time.perf_counter() - began}


def _command(run, seed, scale):
    """A command that does this run again, among few others."""
    finding = next(f for f in runs.FINDINGS if run in runs.RUNS_OF[f])
    return f"{runs.command(scale)} --findings={finding} --seeds={seed}"


def _oracles(folder):
    card = json.loads((folder / "card.json").read_text("utf-8"))
    return card["oracles"]


def device_name():
    """What this process computes on, as its maker calls it."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        if device.platform != "cpu":
            return device.device_kind
    count = os.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        # Those that this process may use.
        count = len(os.sched_getaffinity(0))
    cores = "1 CPU core" if count == 1 else f"{count} CPU cores"
    return f"{cores} ({platform.machine()})"
