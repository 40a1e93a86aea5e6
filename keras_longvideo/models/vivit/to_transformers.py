"""From an encoder or a classifier to a folder that transformers loads."""

import json
import pathlib

import numpy as np
from keras import ops

from keras_longvideo.models.preset_saving import whole_preset
from keras_longvideo.models.processes import is_first
from keras_longvideo.models.processes import whole_weights
from keras_longvideo.models.video_classifier import VideoClassifier
from keras_longvideo.models.vivit import transformers_format
from keras_longvideo.models.vivit.transformers_check import check_encoder
from keras_longvideo.models.vivit.vivit_backbone import ViViTBackbone
from keras_longvideo.ops import sinusoid_positions

_CLASSES = {
    ("vivit", True): "VivitForVideoClassification",
    ("vivit", False): "VivitModel",
    ("videomae", True): "VideoMAEForVideoClassification",
    ("videomae", False): "VideoMAEModel",
}
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_approximate": "gelu_fast",
    "quick_gelu": "quick_gelu",
}
_BILINEAR = 2  # The number that PIL gives it.


def export_to_transformers(model, directory):
    """Writes a model in the format of transformers: whole, or not at all.

    With a class token it becomes a ViViT, without one a VideoMAE; the folder
    holds `config.json`, `model.safetensors` and `preprocessor_config.json`,
    and outputs are the same. What the tensors written compute is checked
    before anything is moved into place. Left behind are what only training
    uses (masking, dropout of the head), the path of single pictures, which
    transformers does not have, and the rate that files are sampled at.
    Positions in time and in space become a table of their sums.

    Args:
        model: `keras_longvideo.models.VideoClassifier` or
            `keras_longvideo.models.ViViTBackbone`.
        directory: path of the folder; made where it is not there. A preset in
            it is replaced, other files are left alone.

    Raises:
        ValueError: if transformers can't express the model; names the
            arguments that it has no place for.

    Example:

    ```python
    from keras_longvideo import models

    backbone = models.ViViTBackbone.from_preset(
        "short_vivit_tiny",
        load_weights=False,
        num_prefix_tokens=1,
        pooling="token",
    )
    classifier = models.VideoClassifier(backbone, labels=["falls", "rises"])
    models.export_to_transformers(classifier, "classifier")
    # transformers.VivitForVideoClassification.from_pretrained("classifier")
    again = models.VideoClassifier.from_preset("classifier")
    again.labels  # ["falls", "rises"]
    ```
    """
    is_classifier = isinstance(model, VideoClassifier)
    if not is_classifier and not isinstance(model, ViViTBackbone):
        raise ValueError(
            "`model` must be a `VideoClassifier` or a `ViViTBackbone`: "
            "transformers has no other of ours. "
            f"Received: model of class {type(model).__name__}"
        )
    backbone = model.backbone if is_classifier else model
    config = _config(backbone, is_classifier)
    if is_classifier:
        config.update(_label_config(model))
    with whole_weights(model):
        weights = _weights(backbone)
        _check_expressible(backbone, config, weights)
        if not is_first():
            return
        tensors = _tensors(weights, config)
        check_encoder(backbone, tensors, config)
        if is_classifier:
            tensors = _with_head(tensors, model.output_dense, config)
        else:
            # Part of classifiers, and here the identity.
            tensors.pop("fc_norm.weight", None)
            tensors.pop("fc_norm.bias", None)
        with whole_preset(directory) as aside:
            _write(pathlib.Path(aside), config, tensors, backbone)


def _config(backbone, is_classifier):
    is_vivit = backbone.num_prefix_tokens > 0
    model_type = "vivit" if is_vivit else "videomae"
    if backbone.tubes is not None:
        raise ValueError(
            f"transformers' {transformers_format.TITLES[model_type]} has no "
            f"tubes. Received: tubes={backbone.tubes}"
        )
    height, width, channels = backbone.image_shape
    frames, *patch = backbone.tubelet_size
    config = {
        "architectures": [_CLASSES[model_type, is_classifier]],
        "model_type": model_type,
        "dtype": "float32",
        "image_size": _int_or_pair(height, width),
        "num_channels": channels,
        "num_frames": backbone.num_frames,
        "hidden_size": backbone.hidden_dim,
        "num_hidden_layers": backbone.num_layers,
        "num_attention_heads": backbone.num_heads,
        "intermediate_size": backbone.intermediate_dim,
        "hidden_act": _ACTIVATIONS[backbone.activation],
        "hidden_dropout_prob": backbone.dropout_rate,
        "layer_norm_eps": backbone.layer_norm_epsilon,
    }
    if is_vivit:
        return {**config, "tubelet_size": [frames, *patch], "qkv_bias": True}
    return {
        **config,
        "tubelet_size": frames,
        "patch_size": _int_or_pair(*patch),
        "qv_bias": True,
        "use_mean_pooling": backbone.norm_after_pooling,
    }


def _label_config(classifier):
    activation = classifier.get_config()["activation"]
    if activation != "linear":
        raise ValueError(
            "transformers' classifiers put out logits: `activation` must be "
            f"None to be exported. Received: activation={activation!r}"
        )
    labels = classifier.labels or [
        f"LABEL_{i}" for i in range(classifier.num_classes)
    ]
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def _check_expressible(backbone, config, weights):
    """Refuses what would not come back: the config is read as when loaded."""
    title = transformers_format.TITLES[config["model_type"]]
    if backbone.lora_rank is not None:
        raise ValueError(
            f"transformers' {title} has no LoRA: call `merge_lora()` first. "
            f"Received: lora_rank={backbone.lora_rank}"
        )
    modes = {x.quantization_mode for x in backbone._flatten_layers()} - {None}
    if modes:
        raise ValueError(
            f"transformers' {title} needs weights that are not quantized. "
            f"Received: an encoder of {sorted(modes)} weights"
        )
    own = _effective(backbone.get_config())
    theirs = _effective(transformers_format.backbone_config(config))
    # Of whatever kind, positions become one table; see below.
    lacking = [
        f"{name}={own[name]!r} (only {theirs[name]!r})"
        for name in theirs
        if name != "positions" and own[name] != theirs[name]
    ]
    if lacking:
        raise ValueError(
            f"transformers' {title} can't express this encoder: "
            f"{', '.join(lacking)}"
        )
    if backbone.num_frames % backbone.tubelet_size[0]:
        raise ValueError(
            f"transformers' {title} takes no single pictures. Received: "
            f"num_frames={backbone.num_frames}, "
            f"tubelet_size={backbone.tubelet_size}"
        )
    if config["model_type"] == "vivit":
        return
    table = weights["positions"]
    if not np.allclose(table, sinusoid_positions(*table.shape), atol=1e-6):
        raise ValueError(
            "transformers' VideoMAE can't express this encoder: its positions "
            "are fixed sines and cosines, and the encoder's are not these. "
            f"Received: positions={backbone.positions!r}"
        )
    gamma, beta = weights["output_norm/gamma"], weights["output_norm/beta"]
    if (
        backbone.norm_after_pooling
        and not transformers_format.is_classifier(config)
        and (np.any(gamma != 1) or np.any(beta))
    ):
        raise ValueError(
            "transformers' VideoMAE has the norm of the mean in its "
            "classifier alone: export the `VideoClassifier`. "
            "Received: an encoder with norm_after_pooling=True"
        )


def _effective(config):
    """A config in which equal encoders have equal entries."""
    config = {
        name: tuple(x) if isinstance(x, list) else x
        for name, x in config.items()
    }
    if config["output_norm_epsilon"] is None:
        config["output_norm_epsilon"] = config["layer_norm_epsilon"]
    return config


def _weights(backbone):
    """Weights by their paths, and `positions` as one table of all tubelets."""
    weights = {
        weight.path.removeprefix(f"{backbone.name}/"): _float32(weight)
        for weight in backbone.weights
    }
    if backbone.positions != "separate":
        table = weights.get("embedding/joint_positions")
    elif "embedding/time_positions" in weights:
        time = weights["embedding/time_positions"]
        table = time[:, None, None] + weights["embedding/space_positions"]
    else:
        return weights  # Of an encoder that is refused.
    weights["positions"] = table.reshape(-1, backbone.hidden_dim)
    return weights


def _tensors(weights, config):
    """Tensors by transformers' names, in torch's layout."""
    kernel = weights["embedding/kernel"]
    tensors = {
        transformers_format.PATCH_KERNEL: kernel.transpose(4, 3, 0, 1, 2),
        transformers_format.PATCH_BIAS: weights["embedding/bias"],
    }
    if config["model_type"] == "vivit":
        # The class token holds its position already.
        positions = np.pad(weights["positions"], [(1, 0), (0, 0)])
        tensors[transformers_format.POSITIONS] = positions[None]
        class_token = weights["prefix_tokens/prefix"][None]
        tensors[transformers_format.CLASS_TOKEN] = class_token
    for path, name in transformers_format.tensor_names(config).items():
        # What is common to all keys changes no attention: VideoMAE has none.
        if name is not None:
            tensors[name] = _to_torch(path, weights[path])
    return tensors


def _with_head(tensors, head, config):
    """The tensors of a classifier, where those of its encoder have a prefix."""
    prefix = f"{config['model_type']}."
    return {
        **{
            name if name.startswith("fc_norm.") else prefix + name: tensor
            for name, tensor in tensors.items()
        },
        "classifier.weight": _float32(head.kernel).T,
        "classifier.bias": _float32(head.bias),
    }


def _to_torch(path, value):
    if not path.endswith("kernel"):
        return value.reshape(-1)
    if "attention/attention_output" in path:
        return value.reshape(-1, value.shape[-1]).T
    return value.reshape(value.shape[0], -1).T


def _write(directory, config, tensors, backbone):
    from safetensors.numpy import save_file

    def write_json(name, content):
        text = json.dumps(content, indent=2) + "\n"
        (directory / name).write_text(text, "utf-8")

    write_json("config.json", config)
    write_json(
        "preprocessor_config.json", _preprocessor_config(backbone, config)
    )
    # A transposed array is a view, and would be written as it lies in memory.
    tensors = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
    # transformers refuses files that do not say what wrote them.
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})


def _preprocessor_config(backbone, config):
    """The processor that scales pixels as the encoder does raw ones."""
    height, width, channels = backbone.image_shape
    is_vivit = config["model_type"] == "vivit"
    factor, shift = (1 / 127.5, -1.0) if is_vivit else (1 / 255, 0.0)
    scale, offset = (
        np.broadcast_to(np.reshape(x, -1), channels)
        for x in (backbone.scale, backbone.offset)
    )
    std = factor / scale
    mean = shift - offset * std
    name = "VivitImageProcessor" if is_vivit else "VideoMAEImageProcessor"
    processor = {
        "image_processor_type": name,
        "do_resize": True,
        # So that it covers the crop, whatever the picture's proportions.
        "size": {"shortest_edge": max(height, width)},
        "resample": _BILINEAR,
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": factor,
        "do_normalize": True,
        "image_mean": mean.tolist(),
        "image_std": std.tolist(),
    }
    if is_vivit:
        processor["offset"] = True
    return processor


def _int_or_pair(height, width):
    return height if height == width else [height, width]


def _float32(weight):
    return ops.convert_to_numpy(ops.cast(weight, "float32"))
