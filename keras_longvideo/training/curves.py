"""Draws what a run logged."""

import importlib.util
import os
import pathlib

from keras_longvideo.training.run_log import read_log


def draw_curves(directory):
    """Draws loss and Recall@1 over the steps of a run.

    Args:
        directory: path of the folder with `log.csv`; `curves.png` is written
            there, if matplotlib is installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return
    # No `pyplot`, which would choose the window system of the whole program.
    from matplotlib.figure import Figure

    directory = pathlib.Path(directory)
    rows = read_log(directory / "log.csv")
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    losses, recalls = figure.subplots(1, 2)
    for name in rows[0]:
        if name.endswith("loss"):
            _draw(losses, rows, name, name)
    for name in rows[-1]:
        if name.endswith("text_to_video/recall@1"):
            _draw(recalls, rows, name, name.partition("/")[0])
    losses.set(xlabel="step", ylabel="loss")
    recalls.set(xlabel="step", ylabel="text-to-video Recall@1", ylim=(0, 1))
    for panel in (losses, recalls):
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize=8)
    partial = directory / "curves.partial"
    figure.savefig(partial, format="png", dpi=100)
    os.replace(partial, directory / "curves.png")


def _draw(panel, rows, name, label):
    points = [(row["step"], row[name]) for row in rows if name in row]
    panel.plot(*zip(*points, strict=True), marker=".", label=label)
