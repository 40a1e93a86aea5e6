"""Draws the findings, mean and spread over the seeds."""

import statistics

import matplotlib

from findings import results as result_files
from findings import runs
from findings import verdicts

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLORS = {
    "frame": "#999999",
    "factorized": "#4477aa",
    "joint": "#cc3311",
    "other": "#228833",
}
# Joint attention, for more steps: where it is drawn, the run and its marker.
# Those with 75 % masked lie a little to either side, to be told apart.
MORE_STEPS = {
    "joint, twice the steps": (0, "short_joint_longer", "D"),
    "joint, and a last part on all tokens": (
        72,
        "short_joint_mask75_unmasked_end",
        "v",
    ),
    "joint, four times the steps": (78, "short_joint_mask75_longer", "s"),
    "joint, four times the steps, and that last part": (
        81,
        "short_joint_mask75_longer_unmasked_end",
        "^",
    ),
}
OBSERVERS = {
    "single_frame": "a single\nframe",
    "shuffled_frames": "no order",
    "sixteen_frames": "16 frames",
}
NAMES = {
    "frame": "frame-level (ImageViT)",
    "factorized": "factorised",
    "joint": "joint (ShortViViT)",
}


def draw_all(results, folder):
    """Draws every plot that there are results for.

    Args:
        results: dict of a list of results for each run.
        folder: path to write to.

    Returns:
        A dict of captions by file name.
    """
    plots = {
        "video_first": (
            _draw_video_first,
            "(a) Video-first against image-first.",
        ),
        "masking": (_draw_masking, "(b) What masking costs."),
        "tokens": (
            _draw_tokens,
            "(c) Ways to fewer tokens, all from random weights.",
        ),
        "long": (_draw_long, "(d) Long videos."),
        "adaptation": (_draw_adaptation, "(e) Ways to adapt."),
        "losses_and_data": (
            _draw_losses_and_data,
            "(f) Other losses, and (g) other data.",
        ),
    }
    captions = {}
    for name, (draw, caption) in plots.items():
        figure = draw(results)
        if figure is not None:
            figure.savefig(folder / f"{name}.png", dpi=100)
            plt.close(figure)
            captions[f"{name}.png"] = caption
    return captions


def _point(results, run, metric):
    """Mean and spread, or None."""
    scores = verdicts.scores_of(results, run, metric)
    if not scores:
        return None
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return statistics.fmean(scores), spread


def _panels(count, width=4.2, height=3.4):
    figure, axes = plt.subplots(
        1,
        count,
        figsize=(width * count, height),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#dddddd", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.set_ylabel("Recall@1, %")
    return figure, axes[0]


def _observers(axis, results, metric):
    """Lines of what ideal observers reach, where it is less than all."""
    scores = result_files.oracles(results).get(metric, {})
    for name, text in OBSERVERS.items():
        if scores.get(name, 1.0) < 1.0:
            level = 100 * scores[name]
            axis.axhline(level, color="#444444", linestyle=":", linewidth=1)
            axis.annotate(
                text,
                (1.01, level),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=7,
                color="#444444",
            )


def _bars(axis, results, metric, bars):
    """Bars of `(label, run, color)`, as far as there are results.

    Returns whether there are any to compare.
    """
    drawn = [
        (label, color, point)
        for label, run, color in bars
        if (point := _point(results, run, metric)) is not None
    ]
    for x, (_, color, (mean, spread)) in enumerate(drawn):
        axis.bar(x, mean, 0.7, yerr=spread, capsize=3, color=color)
        axis.annotate(
            f"{mean:.1f}",
            (x, mean + spread),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            # Legible on a line.
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axis.set_xticks(
        range(len(drawn)), [label for label, _, _ in drawn], fontsize=8
    )
    _observers(axis, results, metric)
    axis.margins(y=0.12)
    axis.set_ylim(bottom=0)
    return len(drawn) > 1


def _draw_bars(results, panels, **size):
    """A panel for each `(title, metric, bars)`, or None without results."""
    figure, axes = _panels(len(panels), **size)
    drawn = []
    for axis, (title, metric, bars) in zip(axes, panels, strict=True):
        axis.set_title(title, fontsize=10)
        drawn.append(_bars(axis, results, metric, bars))
    if not any(drawn):
        plt.close(figure)
        return None
    return figure


def _draw_video_first(results):
    labels = {"frame": "frame-\nlevel", "factorized": "factorised"}
    kinds = [
        (labels.get(kind, kind), f"short_{kind}", COLORS[kind])
        for kind in NAMES
    ]
    long = [
        (labels.get(kind, kind), f"long_{kind}_16_frames", COLORS[kind])
        for kind in ("frame", "joint")
    ]
    return _draw_bars(
        results,
        [
            ("spatial", "spatial", kinds),
            ("temporal", "temporal", kinds),
            ("long, 16 frames of each", "long", long),
        ],
        width=3.2,
    )


def _draw_masking(results):
    metrics = ("spatial", "temporal")
    figure, axes = _panels(len(metrics), height=4.2)
    is_drawn = False
    for axis, metric in zip(axes, metrics, strict=True):
        for kind, name in NAMES.items():
            names = [runs.masked_name(kind, r) for r in runs.MASK_RATES]
            all_tokens = runs.tokens(runs.RUNS[names[0]])
            # Of the places of a frame, no tenth can be kept.
            points = [
                (100 * (1 - runs.tokens(runs.RUNS[run]) / all_tokens), *point)
                for run in names
                if (point := _point(results, run, metric)) is not None
            ]
            if not points:
                continue
            is_drawn = True
            rates, means, spreads = zip(*points, strict=True)
            axis.errorbar(
                rates,
                means,
                spreads,
                marker="o",
                capsize=3,
                color=COLORS[kind],
                label=name,
            )
        for name, (x, run, marker) in MORE_STEPS.items():
            point = _point(results, run, metric)
            if point is not None:
                axis.errorbar(
                    x,
                    *point,
                    linestyle="",
                    marker=marker,
                    capsize=3,
                    color=COLORS["joint"],
                    markerfacecolor="white",
                    label=name,
                )
        axis.set_title(metric, fontsize=10)
        axis.set_xlabel("masked in training, %")
        axis.set_xticks([100 * rate for rate in runs.MASK_RATES])
        axis.set_ylim(0, 105)
        _observers(axis, results, metric)
    if not is_drawn:
        plt.close(figure)
        return None
    # Below both panels, in which lines run everywhere.
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    return figure


def _draw_tokens(results):
    metrics = ("spatial", "temporal")
    masked = {
        f"scratch_joint_mask{runs.percent(rate)}": f"{rate:.1%}".replace(
            ".0", ""
        )
        for rate in runs.COARSE.values()
    }
    series = {
        "2x16x16, masked": (
            {"scratch_joint": "0%", **masked},
            {"color": COLORS["joint"], "marker": "o"},
        ),
        "coarse patches": (
            {
                runs.coarse_name(size): "x".join(map(str, size))
                for size in runs.COARSE
            },
            {"color": COLORS["factorized"], "marker": "s", "linestyle": ""},
        ),
        "tubes": (
            {
                "scratch_tubevit": "TubeViT",
                "scratch_tubes_16_frames": "16 frames",
            },
            {"color": COLORS["other"], "marker": "^", "linestyle": ""},
        ),
    }
    # Labels of the line lie below it, others above their points.
    sides = ((-4, -11, "right"), (0, 3, "center"), (0, 3, "center"))
    figure, axes = _panels(len(metrics), width=5)
    is_drawn = False
    for axis, metric in zip(axes, metrics, strict=True):
        for (name, (labels, style)), (x, y, align) in zip(
            series.items(), sides, strict=True
        ):
            points = [
                (runs.tokens(runs.RUNS[run]), *point, label)
                for run, label in labels.items()
                if (point := _point(results, run, metric)) is not None
            ]
            if not points:
                continue
            is_drawn = True
            counts, means, spreads, _ = zip(*points, strict=True)
            axis.errorbar(
                counts, means, spreads, capsize=3, label=name, **style
            )
            for count, mean, spread, text in points:
                axis.annotate(
                    text,
                    (count, mean + spread if y > 0 else mean),
                    xytext=(x, y),
                    ha=align,
                    textcoords="offset points",
                    fontsize=7,
                    color=style["color"],
                )
        axis.set_title(metric, fontsize=10)
        axis.set_xlabel("tokens of a clip in training")
        axis.set_xscale("log", base=2)
        axis.set_xticks([16, 32, 64, 128], ["16", "32", "64", "128"])
        axis.margins(x=0.25, y=0.12)
        axis.set_ylim(bottom=0)
    if not is_drawn:
        plt.close(figure)
        return None
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _draw_long(results):
    bars = [
        ("ImageViT\n16 frames", "long_frame_16_frames", COLORS["frame"]),
        (
            "ImageViT\n256 frames,\nlast layers",
            "long_frame",
            COLORS["frame"],
        ),
        ("ShortViViT\n16 frames", "long_joint_16_frames", COLORS["joint"]),
        (
            "the same,\nlast layers",
            "long_last_layers_16_frames",
            COLORS["joint"],
        ),
        (
            "ShortViViT\n256 frames,\nnot tuned",
            "long_joint_untuned",
            COLORS["joint"],
        ),
        (
            "LongViViT\n256 frames,\nlast layers",
            "long_last_layers",
            COLORS["joint"],
        ),
    ]
    return _draw_bars(results, [("long", "long", bars)], width=6)


def _draw_adaptation(results):
    def bars(stage):
        ways = {
            "all": "joint",
            f"last {runs.LAST_LAYERS}\nlayers": "last_layers",
            "adapters": "adapters",
            "LoRA": "lora",
            "all,\nfactorised": "factorized",
            "over time\nalone": "temporal_only",
        }
        return [
            (
                label,
                f"{stage}_{run}",
                COLORS[
                    "factorized"
                    if run in ("factorized", "temporal_only")
                    else "joint"
                ],
            )
            for label, run in ways.items()
        ]

    return _draw_bars(
        results,
        [
            ("image to short: spatial", "spatial", bars("short")),
            ("image to short: temporal", "temporal", bars("short")),
            ("short to long, 75 % masked: long", "long", bars("long")),
        ],
        width=4.4,
    )


def _draw_losses_and_data(results):
    bars = [
        ("as it is", "short_joint", COLORS["joint"]),
        ("+ masked\nwords", "short_masked_words", COLORS["other"]),
        ("+ captions", "short_captions", COLORS["other"]),
        ("without\nimages", "short_without_images", COLORS["factorized"]),
        ("without\nvideos", "short_without_videos", COLORS["factorized"]),
    ]
    return _draw_bars(
        results,
        [(metric, metric, bars) for metric in ("spatial", "temporal")],
    )
