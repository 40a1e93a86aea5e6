"""Result files: a small JSON file for each run and seed."""

import dataclasses
import json
import pathlib

from findings import runs
from keras_longvideo.data import rendering


def recipe(run, scale):
    """All that a run's scores hang on but its seed, as JSON has it.

    Args:
        run: `runs.Run`.
        scale: `runs.Scale`.

    Returns:
        A dict.
    """
    chain = [run]
    while chain[-1].start is not None:
        chain.append(runs.RUNS[chain[-1].start])
    splits = {s for r in chain for s in (*r.sources, *runs.HELD_OUT[r.stage])}
    size = dataclasses.asdict(scale)
    size["videos"] = {s: n for s, n in scale.videos.items() if s in splits}
    size["steps"] = [scale.num_steps(r) for r in chain]
    made = {
        # With those that it starts from.
        "runs": [dataclasses.asdict(r) for r in chain],
        "learning_rates": {
            r.stage: runs.LEARNING_RATES[r.stage] for r in chain
        },
        "ratios": runs.RATIOS,
        "weight_decay": runs.WEIGHT_DECAY,
        "warmup_share": runs.WARMUP_SHARE,
        "sequence_lengths": {
            r.stage: runs.SEQUENCE_LENGTHS[r.stage] for r in chain
        },
        "scale": size,
        "image_size": runs.IMAGE_SIZE,
        # Of the way videos are rendered.
        "videos": rendering.VERSION,
    }
    return json.loads(json.dumps(made))


def path_of(folder, run, seed):
    """The path of a result file."""
    return pathlib.Path(folder) / f"{run}_seed{seed}.json"


def oracles(results):
    """What ideal observers reach on the held-out sets, as far as is known.

    Args:
        results: dict of a list of results for each run.

    Returns:
        A dict of a dict of Recall@1 by observer, for each set.
    """
    return {
        split: scores
        for several in results.values()
        for result in several
        for split, scores in result["oracles"].items()
    }


def read(folder, scale):
    """Reads the results that belong to the runs as they are now.

    Args:
        folder: path of the result files.
        scale: `runs.Scale`.

    Returns:
        A dict of a list of results, by seed, for each run that has any; and a
        list of paths of files that are of other runs or recipes.
    """
    found, others = {}, []
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        run = runs.RUNS.get(result["run"])
        if run is None or result["recipe"] != recipe(run, scale):
            others.append(path)
        else:
            found.setdefault(run.name, []).append(result)
    for several in found.values():
        several.sort(key=lambda result: result["seed"])
    return found, others
