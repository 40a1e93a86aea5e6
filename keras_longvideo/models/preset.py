"""What an opened preset gives: configs, and the weights for them."""

import dataclasses
import json
import pathlib

from keras_longvideo.models.quantization import quantize_as_saved
from keras_longvideo.models.vivit.transfer import load_saved_weights


@dataclasses.dataclass(frozen=True)
class Preset:
    """A preset of Keras objects, as `save_to_preset` writes them.

    Folders of other formats are subclasses, which make these objects of what
    they hold, and load weights in their own way.
    """

    name: str
    # Serialized Keras objects, as `keras.saving` writes them. A built-in
    # configuration has the backbone's `config` alone.
    backbone: dict
    task: dict | None = None
    preprocessor: dict | None = None
    directory: pathlib.Path | None = None

    @classmethod
    def read(cls, name, directory):
        """Reads the folder `directory`."""
        return cls(
            name,
            backbone=read_json(name, directory, "config.json"),
            task=read_json(name, directory, "task.json"),
            preprocessor=read_json(name, directory, "preprocessor.json"),
            directory=directory,
        )

    def load_backbone_weights(self, backbone):
        """Gives an encoder, of whatever variant, the weights of this one."""
        path, config = self._weights("model"), self.backbone["config"]

        def load(saved):
            quantize_as_saved(saved, config)
            saved.load_weights(path)

        quantize_as_saved(backbone, config)
        load_saved_weights(backbone, config, load)

    def load_task_weights(self, task):
        """Gives a task all weights but those of its encoder."""
        task.load_task_weights(self._weights("task"))

    def load_assets(self, preprocessor):
        """Gives a preprocessor its files, such as a vocabulary."""
        if self.directory is not None:
            preprocessor.load_preset_assets(str(self.directory))

    def _weights(self, stem):
        for suffix in ("h5", "json"):
            path = self.directory / f"{stem}.weights.{suffix}"
            if path.exists():
                return str(path)
        raise FileNotFoundError(
            f"The preset {self.name!r} has no file '{stem}.weights.h5'. Save "
            "it anew, or pass `load_weights=False` for random weights."
        )


def read_json(name, directory, file_name):
    """A JSON file of the preset `name`, or None where there is none."""
    path = directory / file_name
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise ValueError(
            f"The preset {name!r} is broken: {file_name} is no JSON ({e})."
        ) from e
