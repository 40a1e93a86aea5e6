"""Where sets, runs and results lie, and the sets themselves."""

import hashlib
import json
import pathlib

from findings import results
from findings import runs

# All words of all splits: what starts from a run of images goes on with its.
VOCABULARY = (
    pathlib.Path(__file__).parents[1] / "configs" / "shapes_vocabulary.txt"
)


class Folders:
    """The paths of everything of one scale.

    Sets of another size and runs of another recipe lie beside them, under
    other names.

    Args:
        output: path of the folder of sets, runs and logs.
        findings: path of the folder of the report, with `results/` in it.
        scale: `runs.Scale`.
    """

    def __init__(self, output, findings, scale):
        self.output = pathlib.Path(output)
        self.findings = pathlib.Path(findings)
        self.scale = scale

    @property
    def results(self):
        return self.findings / "results"

    def result(self, name, seed):
        return results.path_of(self.results, name, seed)

    def set_of(self, split, is_held_out=False):
        """The folder of a set, as `render_videos` takes it."""
        if is_held_out:
            name = f"{split}_held_out_{self.scale.held_out}"
        else:
            name = f"{split}_train_{self.scale.videos[split]}"
        return self.output / "sets" / name

    def manifest(self, split, is_held_out=False):
        return self.set_of(split, is_held_out) / "captions.jsonl"

    def clips(self, split):
        """The folder of a training set's decoded clips."""
        return self.set_of(split).with_suffix(".clips")

    def run(self, name, seed):
        recipe = results.recipe(runs.RUNS[name], self.scale)
        digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
        folder = f"{name}_seed{seed}_{digest[:8]}"
        return self.output / "runs" / folder

    def preset(self, name, seed):
        return self.run(name, seed) / "preset"

    def has_preset(self, name, seed):
        # The last file of a preset to come.
        return (self.preset(name, seed) / "config.json").exists()

    def log(self, name, seed):
        return self.run(name, seed).with_suffix(".log")


def prepare_sets(folders, chosen):
    """Renders and decodes the sets that some runs need, unless it is done.

    Args:
        folders: `Folders`.
        chosen: list of `runs.Run`.
    """
    from keras_longvideo import data

    scale = folders.scale
    for split in dict.fromkeys(s for run in chosen for s in run.sources):
        data.render_videos(folders.set_of(split), split, scale.videos[split])
    for split in dict.fromkeys(
        s for run in chosen for s in runs.HELD_OUT[run.stage]
    ):
        data.render_videos(
            folders.set_of(split, is_held_out=True),
            split,
            scale.held_out,
            held_out=True,
        )
    clips = {
        (split, 1 if split == "image" else run.num_frames)
        for run in chosen
        for split in run.sources
    }
    for split, num_frames in sorted(clips):
        # Before the runs begin, which would else all do it.
        data.video_text_dataset(
            str(folders.manifest(split)),
            batch_size=2,
            num_frames=num_frames,
            fps=None,
            image_size=runs.IMAGE_SIZE,
            cache=folders.clips(split),
            progress=True,
        )
