"""Writes the table of findings, with plots, from the result files."""

import pathlib
import statistics

from findings import claims
from findings import plots
from findings import results as result_files
from findings import runs
from findings import verdicts
from keras_longvideo.data.files import write_atomically

_OBSERVERS = ("single_frame", "shuffled_frames", "sixteen_frames")
_SHOWN = ("image", "spatial", "temporal", "long")

_INTRO = """\
# The paper's findings, tried on rendered videos

What "A Simple Recipe for Contrastively Pre-training Video-First Encoders
Beyond 16 Frames" (arXiv 2312.07395) claims, tried with encoders of about a
million parameters on rendered videos of which we know what is spatial, what
temporal and what long. Written by `tools/reproduce_findings.py` from the files
in `results/`; do not edit.

{progress}

- Training sets: {videos}
- Steps of a stage: {steps}; of {images} images, {clips} clips of 16 frames or
  {long_videos} long videos each
- Video towers have {num_layers} layers; "the last layers" are {last_layers}

Runs from `scratch` start from random weights, since patches of another size
have no use for a kernel that was trained with 16x16, and take the steps of both
stages.

Scores are Recall@1 of finding a held-out video by its caption, in percent.
Runs of one finding have the same steps, but where a claim says so, and the same
data, but for (g), whose runs take all steps on what is left; they start from
runs of their own seed where they can. Text towers are trained in full. Seeds
differ in weights, batches and masks, not in the videos: all runs are measured
on the same {held_out} held-out videos of a set. Their choice adds an error of
its own (a standard error of up to {sampling:.1f} points for a single
score) that is in no figure here, and that a difference of two scores is rid of
only in part.

**The rule.** Each claim is a sum of mean scores and a range that it should be
in, which was fixed before its runs. `±` is half of the sum's {confidence:.0%}
confidence interval by Welch's t-test, which takes each run's spread over its
own seeds: it is wide with few seeds. *Yes*: all of the interval is in the
range. *No*: none of it is. *Rather yes* and *rather no*: the sum is inside or
outside, and the interval reaches over. *Open*: fewer than two seeds.

| | the paper's claim, as read | compared here | points | seeds | holds here |
|---|---|---|---|---|---|
"""

_PLOTS = """
Plots show means and sample standard deviations over the seeds that there are,
and, dotted, what ideal observers reach; both stand in full below.
"""


def write_report(folder, scale):
    """Writes `README.md` and the plots beside the results.

    Args:
        folder: path with the result files in `results/`.
        scale: `runs.Scale`. Results of other recipes are left out.

    Returns:
        The path of the table.
    """
    folder = pathlib.Path(folder)
    # There may be no results yet, or none that succeeded.
    folder.mkdir(parents=True, exist_ok=True)
    results, others = result_files.read(folder / "results", scale)
    captions = plots.draw_all(results, folder)
    done = sum(map(len, results.values()))
    total = len(runs.RUNS) * len(runs.SEEDS)
    progress = f"{done} of {total} runs are done." if done < total else ""
    if others:
        progress += (
            f" {len(others)} files in `results/` are of earlier recipes and "
            "do not count."
        )
    parts = [
        _INTRO.format(
            progress=progress.strip(),
            videos=_listed(scale.videos),
            steps=_listed(scale.steps),
            images=scale.images,
            clips=scale.clips,
            long_videos=scale.long_videos,
            num_layers=scale.num_layers,
            last_layers=runs.LAST_LAYERS,
            held_out=scale.held_out,
            sampling=100 * (0.25 / scale.held_out) ** 0.5,
            confidence=verdicts.CONFIDENCE,
        ).replace("\n\n\n\n", "\n\n")
    ]
    parts += [_row(claim, results) for claim in claims.CLAIMS]
    if captions:
        parts.append(_PLOTS)
    for name, caption in captions.items():
        parts.append(f"\n![{caption}]({name})\n\n*{caption}*\n")
    notes = folder / "notes.md"
    if notes.exists():
        parts.append(f"\n{notes.read_text(encoding='utf-8').strip()}\n")
    parts.append(_oracles(results))
    parts.append(_all_runs(results))
    parts.append(_how(results, scale))
    path = folder / "README.md"
    write_atomically(path, "".join(parts))
    return path


def _listed(numbers):
    return ", ".join(f"{n} {name}" for name, n in numbers.items())


def _oracles(results):
    """What there is to reach, as far as results tell."""
    seen = result_files.oracles(results)
    lines = [
        "\n## What ideal observers reach\n\n"
        "Recall@1 on the very same held-out videos of one who sees a single "
        "frame of each, one who sees all frames in no order, and one who sees "
        "16 frames, evenly spaced and in order.\n\n"
        "| set | a single frame | shuffled frames | sixteen frames |\n"
        "|---|---|---|---|\n"
    ]
    for split in runs.SPLITS:
        if split in seen:
            # Of pictures there is no third one.
            cells = [
                f"{100 * seen[split][name]:.1f}" if name in seen[split] else "-"
                for name in _OBSERVERS
            ]
            lines.append(f"| *{split}* | {' | '.join(cells)} |\n")
    return "".join(lines) if seen else ""


def _row(claim, results):
    verdict = verdicts.judge(claim, results)
    value = "-" if verdict.value is None else f"{verdict.value:+.1f}"
    if verdict.margin is not None:
        value += f" ± {verdict.margin:.1f}"
    cells = (
        f"({claim.finding})",
        claim.text,
        claim.seen_as,
        value,
        str(verdict.num_seeds),
        f"**{verdict.holds}**",
    )
    return f"| {' | '.join(cells)} |\n"


def _all_runs(results):
    lines = [
        "\n## All runs\n\n"
        "Means over the seeds; here, `±` is the sample standard deviation. "
        "Tokens are those of a clip, or of an image, in training: of the 16 "
        "places of a frame, encoders that mask each frame by itself leave out "
        "14 where 90 % are to be masked.\n\n",
        "| run | of | starts from | tokens | "
        + " | ".join(_SHOWN)
        + " | seeds | steps | seconds |\n",
        "|---" * (len(_SHOWN) + 7) + "|\n",
    ]
    for run in runs.RUNS.values():
        found = results.get(run.name, [])
        cells = [
            f"`{run.name}`",
            ", ".join(
                sorted(f for f in runs.FINDINGS if run in runs.RUNS_OF[f])
            ),
            f"`{run.start}`" if run.start else "random weights",
            str(runs.tokens(run)),
        ]
        cells += [
            _mean_and_spread(verdicts.scores_of(results, run.name, metric))
            for metric in _SHOWN
        ]
        cells.append(f"{len(found)}")
        cells.append(str(found[0]["steps"]) if found else "")
        seconds = [result["seconds"] for result in found]
        cells.append(f"{statistics.fmean(seconds):.0f}" if found else "")
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def _mean_and_spread(scores):
    if not scores:
        return ""
    mean = f"{statistics.fmean(scores):.1f}"
    if len(scores) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(scores):.1f}"


def _how(results, scale):
    devices = sorted(
        {result["device"] for several in results.values() for result in several}
    )
    return (
        "\n## How\n\n"
        f"```sh\n{runs.command(scale)}\n```\n\n"
        f"Trained on: {', '.join(devices) or 'nothing yet'}. Seconds are those "
        "of a run beside others on the same machine. What each run is made of "
        "stands in `tools/findings/runs.py`, and in each result file.\n"
    )
