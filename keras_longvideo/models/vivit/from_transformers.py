"""Presets in the format of transformers: ViViT and VideoMAE."""

import dataclasses
import functools
import warnings

import keras
import numpy as np

from keras_longvideo.models.preset import Preset
from keras_longvideo.models.preset import read_json
from keras_longvideo.models.video_converter import VideoConverter
from keras_longvideo.models.video_preprocessor import VideoPreprocessor
from keras_longvideo.models.vivit import transformers_format
from keras_longvideo.models.vivit.transfer import load_saved_weights
from keras_longvideo.models.vivit.transformers_check import check_encoder

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PREPROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")


@dataclasses.dataclass(frozen=True)
class TransformersPreset(Preset):
    """A folder that transformers' `save_pretrained` wrote.

    Read with neither transformers nor torch. A `...ForVideoClassification` is
    a `VideoClassifier`, with the names of its classes; other models are an
    encoder. Videos are sampled at the rate of the published weights' training
    clips, and pixels scaled as the folder's preprocessor does. Its resizing is
    not taken over: pictures are scaled to cover `image_size` and cropped at
    the centre, where ViViT's are usually made some larger than they are
    cropped (256 and 224 pixels).
    """

    # transformers' own, complete.
    config: dict = None

    @classmethod
    def read(cls, name, directory):
        config = transformers_format.complete_config(
            name, read_json(name, directory, "config.json")
        )
        model_type = config["model_type"]
        backbone = transformers_format.backbone_config(config)
        backbone["scale"], backbone["offset"] = transformers_format.pixel_scale(
            model_type, _read_preprocessor(name, directory)
        )
        preprocessor = keras.saving.serialize_keras_object(
            VideoPreprocessor(
                VideoConverter(
                    backbone["num_frames"],
                    backbone["image_shape"][:2],
                    fps=transformers_format.FPS[model_type],
                )
            )
        )
        task = None
        if transformers_format.is_classifier(config):
            labels = _labels(config)
            task = {
                "registered_name": "keras_longvideo>VideoClassifier",
                "config": {
                    "num_classes": len(labels),
                    "labels": labels,
                    "preprocessor": preprocessor,
                },
            }
        return cls(
            name,
            backbone={"config": backbone},
            task=task,
            preprocessor=preprocessor,
            directory=directory,
            config=config,
        )

    def load_backbone_weights(self, backbone):
        load_saved_weights(backbone, self.backbone["config"], self._load)

    def load_task_weights(self, task):
        missing = {"classifier.weight", "classifier.bias"} - set(self.tensors)
        if missing:
            raise self._missing(missing)
        head = task.output_dense
        for weight, name in ((head.kernel, "weight"), (head.bias, "bias")):
            value = _value(self.tensors, f"classifier.{name}", weight.shape)
            self._assign(weight, f"predictions/{weight.name}", value)

    def load_assets(self, preprocessor):
        """There are none."""

    @functools.cached_property
    def tensors(self):
        """Tensors by name, without the prefix of the encoder's."""
        prefix = f"{self.config['model_type']}."
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in _read_tensors(self.name, self.directory).items()
        }

    def _load(self, backbone):
        """Loads an encoder of this very config, and checks what it computes."""
        tensors = dict(self.tensors)
        if not transformers_format.is_classifier(self.config):
            # A model without a head has no norm of the mean: it starts afresh.
            dim = self.config["hidden_size"]
            tensors.setdefault("fc_norm.weight", np.ones(dim, "float32"))
            tensors.setdefault("fc_norm.bias", np.zeros(dim, "float32"))
        names = transformers_format.tensor_names(self.config)
        wanted = {name for name in names.values() if name is not None}
        wanted |= {
            transformers_format.PATCH_KERNEL,
            transformers_format.PATCH_BIAS,
        }
        if self.config["model_type"] == "vivit":
            wanted |= {
                transformers_format.CLASS_TOKEN,
                transformers_format.POSITIONS,
            }
        if wanted - set(tensors):
            raise self._missing(wanted - set(tensors))
        self._report_unused(wanted)
        values = _embedding_values(tensors, self.config["model_type"])
        for weight in backbone.weights:
            path = weight.path.removeprefix(f"{backbone.name}/")
            if path in names:
                value = _value(tensors, names[path], weight.shape)
            elif path in values:
                value = values[path]
            else:
                continue  # Positions that are computed, and seeds.
            self._assign(weight, path, value)
        check_encoder(backbone, tensors, self.config)

    def _assign(self, weight, path, value):
        if value.size == np.prod(weight.shape):
            # Heads are axes of their own here, and positions a grid.
            value = value.reshape(weight.shape)
        if value.shape != tuple(weight.shape):
            raise ValueError(
                f"The preset {self.name!r} is broken: its config.json and its "
                f"weights do not fit each other. {path} should be of shape "
                f"{tuple(weight.shape)}, and is of {value.shape}."
            )
        weight.assign(value)

    def _missing(self, names):
        return ValueError(
            f"The preset {self.name!r} is broken: it has no weights "
            f"{sorted(names)}."
        )

    def _report_unused(self, wanted):
        unused = sorted(
            name
            for name in set(self.tensors) - wanted
            if not name.startswith(("classifier.", "fc_norm."))
        )
        if unused:
            parts = sorted({name.partition(".")[0] for name in unused})
            warnings.warn(
                f"{len(unused)} weights of {self.name!r} have no place in a "
                f"`ViViTBackbone` and are left out: those of {parts}.",
                stacklevel=2,
            )


def _read_preprocessor(name, directory):
    for file_name in _PREPROCESSORS:
        config = read_json(name, directory, file_name)
        if config is not None:
            return config
    warnings.warn(
        f"{name!r} has no '{_PREPROCESSORS[0]}': pixels are scaled as for the "
        "published weights. Pass `scale` and `offset` where yours want "
        "another.",
        stacklevel=2,
    )
    return None


def _labels(config):
    # transformers leaves them out where there are two.
    names = config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}
    return [names[key] for key in sorted(names, key=int)]


def _read_tensors(name, directory):
    # Imported late: of use to these presets alone.
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    index = read_json(name, directory, _INDEX)
    files = [_WEIGHTS]
    if index is not None and not (directory / _WEIGHTS).exists():
        files = sorted(set(index["weight_map"].values()))
    tensors = {}
    for file_name in files:
        path = directory / file_name
        if not path.exists():
            raise FileNotFoundError(
                f"The preset {name!r} has no file {file_name!r}. Weights of "
                "another format, such as pytorch_model.bin, are not read: "
                "those are programs that run when they are opened. Load and "
                "save the model with transformers, or name a revision that "
                "has the file, 'hf://org/name@revision'."
            )
        try:
            tensors.update(load_file(path))
        except SafetensorError as e:
            raise ValueError(
                f"The preset {name!r} is broken: {file_name} can't be read "
                f"({e})."
            ) from e
    return tensors


def _embedding_values(tensors, model_type):
    """Weights of the embedding and the class token, by their paths."""
    kernel = _float32(tensors[transformers_format.PATCH_KERNEL])
    kernel = kernel.transpose(2, 3, 4, 1, 0)
    bias = _float32(tensors[transformers_format.PATCH_BIAS])
    values = {
        "embedding/kernel": kernel,
        "embedding/bias": bias,
        # A single picture is embedded as one that stands still.
        "embedding/image_kernel": kernel.sum(axis=0, keepdims=True),
        "embedding/image_bias": bias,
    }
    if model_type == "vivit":
        positions = _float32(tensors[transformers_format.POSITIONS])[0]
        class_token = _float32(tensors[transformers_format.CLASS_TOKEN])[0]
        values["embedding/joint_positions"] = positions[1:]
        values["prefix_tokens/prefix"] = class_token + positions[:1]
    return values


def _value(tensors, name, shape):
    if name is None:
        return np.zeros(shape, "float32")
    value = _float32(tensors[name])
    return value.T if value.ndim == 2 else value


def _float32(x):
    return np.asarray(x, "float32")
