"""Trains what tests the LongViViT paper's findings, and writes the table.

Every run with three seeds, on videos that are rendered first, on two CPU cores
in pieces of two hours, the most important runs first; each call goes on where
the last one stopped:

    python tools/reproduce_findings.py --time_limit=7200

At a larger scale, eight runs side by side share one GPU:

    python tools/reproduce_findings.py --scale=full --workers=8 \
        --report=findings_output/full

All that is needed to go on lies in `--findings_output`: 18 GB, most of them
clips that are decoded before the first run; where the disk is slow and there is
memory, `/dev/shm` is a better place. Results go to
`--report`/results, a small file a run; at the end, and with `--workers=0` at
once, `README.md` and plots are written beside them of all there is, and of
`notes.md`, if there is one.

`--scale=smoke` is for trying it out, two steps a run, whose numbers mean
nothing.
"""

import os

# Keras takes its backend from here: "jax", "tensorflow" or "torch".
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Several processes share a GPU: each takes what it needs.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import collections
import pathlib
import sys
import time

import tqdm
from absl import app
from absl import flags
from findings import folders as folders_lib
from findings import processes
from findings import report
from findings import results
from findings import runs
from findings import scheduling
from findings import training_job

_OUTPUT = flags.DEFINE_string(
    "findings_output", "findings_output", "Folder of sets, runs and logs."
)
_REPORT = flags.DEFINE_string(
    "report", "docs/findings", "Folder of the report and the result files."
)
_SCALE = flags.DEFINE_enum(
    "scale", runs.DEFAULT_SCALE, list(runs.SCALES), "How much."
)
_FINDINGS = flags.DEFINE_list(
    "findings", list(runs.FINDINGS), "Which findings to do the runs of."
)
_SEEDS = flags.DEFINE_list("seeds", list(map(str, runs.SEEDS)), "Which seeds.")
_WORKERS = flags.DEFINE_integer("workers", 2, "Runs at a time.", lower_bound=0)
_TIME_LIMIT = flags.DEFINE_float(
    "time_limit",
    None,
    "Seconds, from the start, after which no run begins and those at work are "
    "stopped; they go on another time.",
)
_SERVE = flags.DEFINE_bool(
    "serve", False, "Do runs that are handed in on standard input."
)

# Lines of a failed run's log that are shown.
TAIL = 5


def choose(findings, seeds, folders):
    """Runs that are still to be done, and all that these start from.

    Args:
        findings: list of strings. Letters.
        seeds: list of ints.
        folders: `folders.Folders`.

    Returns:
        A list of `(name, seed)`, the most important first.
    """
    unknown = sorted(set(findings) - set(runs.FINDINGS))
    if unknown:
        raise app.UsageError(
            f"--findings must be some of {runs.FINDINGS}. Received: {unknown}"
        )
    found, _ = results.read(folders.results, folders.scale)
    done = {(n, r["seed"]) for n, several in found.items() for r in several}
    chosen = []

    def add(name, seed):
        start = runs.RUNS[name].start
        # Results are kept where presets are not.
        if start and not folders.has_preset(start, seed):
            add(start, seed)
        if (name, seed) not in chosen:
            chosen.append((name, seed))

    # The paper's main claims with all seeds, before the others with one.
    main, others = runs.FINDINGS[:2], runs.FINDINGS[2:]
    for group in (main, others):
        for seed in seeds:
            for finding in group:
                for run in runs.RUNS_OF[finding] if finding in findings else ():
                    if (run.name, seed) not in done:
                        add(run.name, seed)
    return chosen


def train_all(chosen, folders, num_workers, time_limit):
    """Does runs in processes of their own; reports what failed.

    Returns:
        A dict of how each `(name, seed)` ended; see `scheduling.run_all`.
    """
    ids = {f"{name}:{seed}": (name, seed) for name, seed in chosen}
    starts = {
        job: f"{runs.RUNS[name].start}:{seed}"
        for job, (name, seed) in ids.items()
        if runs.RUNS[name].start
    }

    def log_of(job):
        return folders.log(*ids[job])

    def make_worker():
        command = [sys.executable, *sys.argv, "--serve"]
        return processes.ProcessWorker(command, log_of, environment())

    (folders.output / "runs").mkdir(parents=True, exist_ok=True)
    with tqdm.tqdm(total=len(ids), unit="run") as bar:

        def on_end(job, how):
            bar.update()
            if how == scheduling.FAILED:
                bar.write(f"{job} failed:\n{tail(log_of(job))}")

        ends = scheduling.run_all(
            list(ids), starts, make_worker, num_workers, time_limit, on_end
        )
    return {ids[job]: how for job, how in ends.items()}


def environment():
    """The environment of the processes that train."""
    return {
        # Programs are the same for all seeds, and for a run that goes on.
        "JAX_COMPILATION_CACHE_DIR": str(
            pathlib.Path(_OUTPUT.value).absolute() / "compiled"
        ),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        # On CPU, glibc would hand the memory of each step back to the system,
        # and take it anew for the next: a seventh of the time.
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**40),
        **os.environ,
    }


def tail(path):
    """The last lines of a log."""
    if not path.exists():
        return "    it did not begin: what it starts from failed"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-TAIL:])


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    began = time.monotonic()
    if _SCALE.value != _SCALE.default and _REPORT.value == _REPORT.default:
        raise app.UsageError(
            "Results of another --scale take the place of those that are "
            f"there. Pass a --report of its own. Received: {_SCALE.value}"
        )
    folders = folders_lib.Folders(
        _OUTPUT.value, _REPORT.value, runs.SCALES[_SCALE.value]
    )
    if _SERVE.value:

        def do(job):
            name, seed = job.split(":")
            training_job.train(runs.RUNS[name], int(seed), folders)

        processes.serve(do)
        return
    if not all(seed.isdecimal() for seed in _SEEDS.value):
        raise app.UsageError(
            f"--seeds must be ints, as 0,1,2. Received: {_SEEDS.value}"
        )
    chosen = choose(_FINDINGS.value, list(map(int, _SEEDS.value)), folders)
    ends = {}
    if chosen and _WORKERS.value:
        folders_lib.prepare_sets(folders, [runs.RUNS[n] for n, _ in chosen])
        left = _TIME_LIMIT.value
        if left is not None:
            left = max(left - (time.monotonic() - began), 0.0)
        ends = train_all(chosen, folders, _WORKERS.value, left)
    path = report.write_report(folders.findings, folders.scale)
    for how, count in collections.Counter(ends.values()).items():
        print(f"{how}: {count}")
    unfinished = len(choose(runs.FINDINGS, runs.SEEDS, folders))
    print(f"Runs to be done for the whole table: {unfinished}\nWrote {path}")
    if scheduling.FAILED in ends.values():
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
