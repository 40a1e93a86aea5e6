"""How transformers configures ViViT and VideoMAE, and names their weights."""

import numpy as np

TITLES = {"vivit": "ViViT", "videomae": "VideoMAE"}
# Frames a second of the clips that published weights were trained on:
# of Kinetics' 25, every second (arXiv 2103.15691) and every fourth
# (arXiv 2203.12602).
FPS = {"vivit": 12.5, "videomae": 6.25}
# What transformers takes where a config.json leaves something out.
_DEFAULTS = {
    "image_size": 224,
    "num_channels": 3,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_dropout_prob": 0.0,
}
_DEFAULTS_OF = {
    "vivit": {
        "num_frames": 32,
        "tubelet_size": [2, 16, 16],
        "hidden_act": "gelu_fast",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    },
    "videomae": {
        "num_frames": 16,
        "tubelet_size": 2,
        "patch_size": 16,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "qv_bias": True,
        "use_mean_pooling": True,
    },
}
# The norm of VideoMAE's mean is made without the config's epsilon.
MEAN_NORM_EPSILON = 1e-5
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_fast": "gelu_approximate",
    "gelu_new": "gelu_approximate",
    "gelu_pytorch_tanh": "gelu_approximate",
    "quick_gelu": "quick_gelu",
}
_BLOCK = {
    "attention_norm/gamma": "layernorm_before.weight",
    "attention_norm/beta": "layernorm_before.bias",
    "attention/query/kernel": "attention.attention.query.weight",
    "attention/query/bias": "attention.attention.query.bias",
    "attention/key/kernel": "attention.attention.key.weight",
    "attention/key/bias": "attention.attention.key.bias",
    "attention/value/kernel": "attention.attention.value.weight",
    "attention/value/bias": "attention.attention.value.bias",
    "attention/attention_output/kernel": "attention.output.dense.weight",
    "attention/attention_output/bias": "attention.output.dense.bias",
    "mlp_norm/gamma": "layernorm_after.weight",
    "mlp_norm/beta": "layernorm_after.bias",
    "mlp_intermediate/kernel": "intermediate.dense.weight",
    "mlp_intermediate/bias": "intermediate.dense.bias",
    "mlp_output/kernel": "output.dense.weight",
    "mlp_output/bias": "output.dense.bias",
}
_VIDEOMAE_BIASES = {
    "attention/query/bias": "attention.attention.q_bias",
    "attention/key/bias": None,
    "attention/value/bias": "attention.attention.v_bias",
}
PATCH_KERNEL = "embeddings.patch_embeddings.projection.weight"
PATCH_BIAS = "embeddings.patch_embeddings.projection.bias"
CLASS_TOKEN = "embeddings.cls_token"
POSITIONS = "embeddings.position_embeddings"


def complete_config(name, config):
    """A config.json with transformers' defaults where it is silent.

    Args:
        name: string. The preset, for the error.
        config: dict.

    Raises:
        ValueError: if it is of another model.
    """
    model_type = config["model_type"]
    if model_type not in TITLES:
        raise ValueError(
            f"{name!r} holds a model of transformers that is not supported: "
            f"model_type={model_type!r}. Supported: {sorted(TITLES)}"
        )
    if model_type == "videomae" and "qkv_bias" in config:
        config = {"qv_bias": config["qkv_bias"], **config}
    return {**_DEFAULTS, **_DEFAULTS_OF[model_type], **config}


def is_classifier(config):
    """Whether a config is that of a `...ForVideoClassification`."""
    names = config.get("architectures") or [""]
    return names[0].endswith("ForVideoClassification")


def backbone_config(config):
    """The arguments of a `ViViTBackbone` for a complete config.

    VideoMAE has no class token. Without `use_mean_pooling` its classifiers
    take the first tubelet's token for all; an encoder without a head takes the
    mean, since it has none to be true to.
    """
    activation = config["hidden_act"]
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"`hidden_act` must be one of {sorted(ACTIVATIONS)} to be loaded. "
            f"Received: hidden_act={activation!r}"
        )
    is_vivit = config["model_type"] == "vivit"
    if is_vivit:
        tubelet_size = tuple(config["tubelet_size"])
    else:
        tubelet_size = (config["tubelet_size"], *_pair(config["patch_size"]))
    of_mean = not is_vivit and config["use_mean_pooling"]
    takes_first = is_vivit or (not of_mean and is_classifier(config))
    return {
        "image_shape": (*_pair(config["image_size"]), config["num_channels"]),
        "num_frames": config["num_frames"],
        "tubelet_size": tubelet_size,
        "hidden_dim": config["hidden_size"],
        "num_layers": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "intermediate_dim": config["intermediate_size"],
        "attention": "joint",
        "tubes": None,
        "positions": "joint" if is_vivit else "fixed",
        "num_prefix_tokens": 1 if is_vivit else 0,
        "activation": ACTIVATIONS[activation],
        "embedding_norm": False,
        "pooling": "token" if takes_first else "mean",
        "norm_after_pooling": of_mean,
        "adapter_dim": None,
        "lora_rank": None,
        "mask_at_inference": False,
        "dropout_rate": config["hidden_dropout_prob"],
        "layer_norm_epsilon": config["layer_norm_eps"],
        "output_norm_epsilon": MEAN_NORM_EPSILON if of_mean else None,
    }


def tensor_names(config):
    """Names of tensors, without the encoder's prefix, by paths of weights.

    Those of the embedding are left out: see `PATCH_KERNEL` and so on. `None`
    stands for a bias that the model does without.
    """
    block = dict(_BLOCK)
    is_vivit = config["model_type"] == "vivit"
    if not is_vivit:
        block.update(_VIDEOMAE_BIASES)
    if not config["qkv_bias" if is_vivit else "qv_bias"]:
        block.update(dict.fromkeys(_VIDEOMAE_BIASES))
    names = {}
    for i in range(config["num_hidden_layers"]):
        for path, name in block.items():
            name = name and f"encoder.layer.{i}.{name}"
            names[f"transformer_layer_{i}/{path}"] = name
    of_mean = not is_vivit and config["use_mean_pooling"]
    norm = "fc_norm" if of_mean else "layernorm"
    names["output_norm/gamma"] = f"{norm}.weight"
    names["output_norm/beta"] = f"{norm}.bias"
    return names


def pixel_scale(model_type, config):
    """Scale and offset of raw pixels, of a preprocessor_config.json.

    transformers computes `(pixel * rescale_factor [- 1] - mean) / std`.
    Without a file, they are those of the published weights: from -1 to 1 for
    ViViT, ImageNet's mean and deviation for VideoMAE.

    Returns:
        A tuple `(scale, offset)`, each a float or a tuple of one a channel.
    """
    is_vivit = model_type == "vivit"
    if config is None:
        config = {
            "do_normalize": not is_vivit,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        }
    factor, shift, mean, std = 1.0, 0.0, 0.0, 1.0
    if config.get("do_rescale", True):
        default = 1 / 127.5 if is_vivit else 1 / 255
        factor = config.get("rescale_factor", default)
        shift = -1.0 if is_vivit and config.get("offset", True) else 0.0
    if config.get("do_normalize", True):
        mean = np.array(config.get("image_mean") or 0.5, "float64")
        std = np.array(config.get("image_std") or 0.5, "float64")
    scale, offset = np.broadcast_arrays(factor / std, (shift - mean) / std)
    return _float_or_tuple(scale), _float_or_tuple(offset)


def _float_or_tuple(values):
    values = np.reshape(values, -1).tolist()
    return values[0] if len(set(values)) == 1 else tuple(values)


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)
