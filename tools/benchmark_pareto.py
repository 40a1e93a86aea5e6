"""Plans the variants that the LongViViT paper compares, and draws them.

Memory and arithmetic of a training step of each variant of the paper's
figures 2 (masking and kinds of attention), 3 (masking and fewer tokens) and 4
(ways to adapt an encoder), as `plan_memory.py` reads them off the compiler for
one TPU v5e; nothing is run, and no TPU need be there:

    python tools/benchmark_pareto.py --sizes=base --output=docs/pareto

Results go to `results.json` in that directory as they come. A run that was
interrupted goes on where it stopped. At the end, `pareto.png` is drawn of all
that there is.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import matplotlib
import tqdm
from absl import app
from absl import flags
from chips import GIB

matplotlib.use("Agg")
import matplotlib.pyplot as plt

_SIZES = flags.DEFINE_list("sizes", "base,large", "Sizes of the video tower.")
_FIGURES = flags.DEFINE_list("figures", "2,3,4", "Figures of the paper.")
_OUTPUT = flags.DEFINE_string("output", "docs/pareto", "Directory of results.")

MASK_RATES = (0, 0.25, 0.5, 0.75)
# Videos of a step: as many as leave most variants below a chip's memory.
# Close to it, the compiler computes things again to save memory, and the
# figures would no longer compare.
BATCHES = {
    "base": {"short": 8, "long": 2},
    "large": {"short": 4, "long": 1},
}
TITLES = {
    "2": "Figure 2: masking and attention",
    "3": "Figure 3: masking and fewer tokens",
    "4": "Figure 4: ways to adapt",
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One point of a figure.

    Args:
        figure: string. The paper's number.
        series: string. What the point is a part of, in the legend.
        label: string, beside the point.
        preset: string. `"short"`, 16 frames, or `"long"`, 128.
        flags: tuple of strings, further ones of `plan_memory.py`.
    """

    figure: str
    series: str
    label: str
    preset: str
    flags: tuple

    def plan_flags(self, size):
        """All flags of `plan_memory.py`, and so the key of the result."""
        frames = {"short": 16, "long": 128}[self.preset]
        return (
            f"--preset={self.preset}_vivit_{size}",
            f"--num_frames={frames}",
            f"--batch_size={BATCHES[size][self.preset]}",
            *self.flags,
        )


def variants():
    """The points of all figures."""

    def masked(figure, series, *more):
        for rate in MASK_RATES:
            mask = (f"--mask_rate={rate}",) if rate else ()
            yield Variant(
                figure, series, f"{rate:.0%}", "short", (*more, *mask)
            )

    yield from masked("2", "joint, masked")
    yield from masked("2", "factorised, masked", "--attention=factorized")
    # As the paper's ImageViT: every frame has tokens of its own.
    yield from masked(
        "2",
        "frame-level, masked",
        "--attention=frame",
        "--tubelet_size=1,16,16",
    )
    yield from masked("3", "joint, masked")
    for label, tubelet in (
        ("4x16x16", "4,16,16"),
        ("2x32x32", "2,32,32"),
        ("4x32x32", "4,32,32"),
    ):
        flag = (f"--tubelet_size={tubelet}",)
        yield Variant("3", "coarse patches", label, "short", flag)
    yield Variant("3", "TubeViT", "TubeViT", "short", ("--tubes",))
    for preset, series, mask in (
        ("short", "image to short: 16 frames", ()),
        (
            "long",
            "short to long: 128 frames, 75% masked",
            ("--mask_rate=0.75",),
        ),
    ):
        for label, more in (
            ("all", ()),
            ("last 4", ("--trainable_layers=4",)),
            ("adapters", ("--adapter_dim=64",)),
            ("LoRA", ("--lora_rank=8",)),
            ("temporal", ("--attention=factorized", "--temporal_only")),
        ):
            yield Variant("4", series, label, preset, (*more, *mask))


def measure(plan_flags):
    """The compiler's plan of one variant, made in a process of its own."""
    # The video tower is what differs: a small text tower leaves it the memory.
    done = subprocess.run(
        [
            sys.executable,
            str(pathlib.Path(__file__).with_name("plan_memory.py")),
            *plan_flags,
            "--text_tower=tiny",
            "--topology=v5e",
            "--json",
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(
            f"plan_memory.py failed with {plan_flags}:\n{done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def measure_all(chosen, path):
    """Adds what is missing to the results at `path`; returns them all."""
    results = json.loads(path.read_text()) if path.exists() else {}
    # Figures share points; each is planned once.
    keys = dict.fromkeys(v.plan_flags(size) for size, v in chosen)
    missing = [key for key in keys if " ".join(key) not in results]
    for key in tqdm.tqdm(missing, unit="variant"):
        results[" ".join(key)] = measure(key)
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(results, indent=1) + "\n")
        os.replace(aside, path)
    return results


def draw(chosen, results, path):
    """A row of panels a size, a panel a figure; what is not there is not."""
    points = [
        (size, variant, results[key])
        for size, variant in chosen
        if (key := " ".join(variant.plan_flags(size))) in results
    ]
    sizes = list(dict.fromkeys(size for size, _, _ in points))
    figures = sorted({variant.figure for _, variant, _ in points})
    grid, panels = plt.subplots(
        len(sizes),
        len(figures),
        figsize=(5.2 * len(figures), 4.2 * len(sizes)),
        squeeze=False,
        layout="constrained",
    )
    for size, row in zip(sizes, panels, strict=True):
        for figure, panel in zip(figures, row, strict=True):
            here = [
                (variant, plan)
                for of_size, variant, plan in points
                if (of_size, variant.figure) == (size, figure)
            ]
            _draw_panel(panel, here)
            several = dict.fromkeys(str(p["batch_size"]) for _, p in here)
            batches = " and ".join(several)
            panel.set_title(
                f"{TITLES[figure]}\nViT-{size[0].upper()}, batch {batches}",
                fontsize=10,
            )
    grid.savefig(path, dpi=80)
    plt.close(grid)


def _draw_panel(panel, here):
    by_series = {}
    for variant, plan in here:
        by_series.setdefault(variant.series, []).append((variant, plan))
    # Labels of a series lie to one side of its points.
    sides = ((0, 5, "right"), (4, -11, "left"), (-5, 17, "right"))
    for (series, points), marker, (*shift, side) in zip(
        by_series.items(), "osD", sides, strict=False
    ):
        xs = [plan["flops"] / 1e12 for _, plan in points]
        ys = [plan["peak_bytes"] / GIB for _, plan in points]
        # Rates of masking are one way, step by step; others are choices.
        line = "-" if series.endswith(", masked") else ""
        (drawn,) = panel.plot(xs, ys, marker + line, label=series)
        for x, y, (variant, plan) in zip(xs, ys, points, strict=True):
            fits = "" if plan["fits"] else " (does not fit)"
            panel.annotate(
                variant.label + fits,
                (x, y),
                xytext=shift,
                ha=side,
                textcoords="offset points",
                fontsize=8,
                color=drawn.get_color(),
            )
    panel.set(xlabel="TFLOP a step", ylabel="memory, GiB")
    panel.grid(alpha=0.3)
    if here:
        plans = [plan for _, plan in here]
        highest = max(plan["peak_bytes"] for plan in plans) / GIB
        panel.set_xlim(0, 1.2 * max(plan["flops"] for plan in plans) / 1e12)
        # Room for the legend above.
        panel.set_ylim(0, 1.4 * highest)
        memory = plans[0]["memory_bytes"] / GIB
        if memory < 1.4 * highest:
            panel.axhline(memory, color="grey", ls=":", label="one v5e")
        panel.legend(fontsize=8, loc="upper left")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    chosen = [
        (size, variant)
        for size in _SIZES.value
        for variant in variants()
        if variant.figure in _FIGURES.value
    ]
    path = output / "results.json"
    results = measure_all(chosen, path)
    draw(chosen, results, output / "pareto.png")


if __name__ == "__main__":
    app.run(main)
