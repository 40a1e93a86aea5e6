"""What transformers' ViViT and VideoMAE compute, in numpy, to check ours by.

It reads tensors by transformers' names and in torch's layout, and shares
nothing with our layers: a weight in the wrong place, or read in the wrong
order, shows as another output.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_longvideo.models.vivit import transformers_format

# All weights are used on this many tokens as well as on thousands.
_NUM_TOKENS = 15
# Far above what rounding does to float32, far below a weight out of place.
_TOLERANCE = 1e-3
_erf = np.vectorize(math.erf)


def check_encoder(backbone, tensors, config):
    """Compares an encoder with a plain forward pass of its checkpoint.

    Both embed a clip of noise; some of its tokens, from all over the clip, go
    through all layers. That takes a few seconds for ViT-B.

    Args:
        backbone: `ViViTBackbone`.
        tensors: dict of numpy arrays, by transformers' names without the
            prefix of the encoder.
        config: dict, complete. transformers' config of them.

    Raises:
        ValueError: if outputs differ by more than rounding.
    """
    # Activations of one short clip do not divide over the chips of a mesh.
    if keras.distribution.distribution() is not None:
        return
    shape = (backbone.num_frames, *backbone.image_shape)
    clip = np.random.default_rng(0).normal(size=shape).astype("float32")
    num_tokens = int(np.prod(backbone.embedding.grid))
    chosen = np.linspace(0, num_tokens - 1, _NUM_TOKENS).astype("int32")
    received = _ours(backbone, clip, chosen)
    expected = _theirs(tensors, config, clip, chosen)
    difference = _difference(received, expected)
    # Devices round products in their own ways, the more in half precision.
    tolerance = _TOLERANCE + 20 * _rounding(backbone)
    if not difference <= tolerance:
        raise ValueError(
            "The encoder does not compute what transformers' "
            f"{transformers_format.TITLES[config['model_type']]} computes with "
            f"these weights: outputs differ by {difference:.2g} of their "
            f"size, where {tolerance:.2g} would be rounding."
        )


def _ours(backbone, clip, chosen):
    x, _ = backbone.embedding(clip[None])
    x = ops.take(x, chosen, axis=1)
    if backbone.prefix_tokens is not None:
        x, _ = backbone.prefix_tokens(x)
    for layer in backbone.transformer_layers:
        x = layer(x)
    if backbone.norm_after_pooling:
        x = ops.mean(x, axis=1)
    x = backbone.output_norm(x)
    return ops.convert_to_numpy(ops.cast(x, "float32"))[0]


def _theirs(tensors, config, clip, chosen):
    def get(name):
        return np.asarray(tensors[name], "float64")

    is_vivit = config["model_type"] == "vivit"
    x = _embed(get, clip, chosen)
    if is_vivit:
        positions = get(transformers_format.POSITIONS)[0]
        class_token = get(transformers_format.CLASS_TOKEN)[0] + positions[:1]
        x = np.concatenate([class_token, x + positions[1:][chosen]])
    else:
        x = x + _sinusoids(chosen, x.shape[-1])
    epsilon = config["layer_norm_eps"]
    for i in range(config["num_hidden_layers"]):
        x = _block(_of_layer(get, tensors, i), x, config)
    if not is_vivit and config["use_mean_pooling"]:
        mean = x.mean(axis=0)
        return _norm(
            get, "fc_norm", mean, transformers_format.MEAN_NORM_EPSILON
        )
    return _norm(get, "layernorm", x, epsilon)


def _embed(get, clip, chosen):
    """A 3-D convolution whose stride is its kernel, at some places."""
    kernel = get(transformers_format.PATCH_KERNEL)
    size = kernel.shape[2:]
    grid = [n // k for n, k in zip(clip.shape[:3], size, strict=True)]
    tokens = []
    for place in zip(*np.unravel_index(chosen, grid), strict=True):
        box = clip[
            tuple(
                slice(n * step, (n + 1) * step)
                for n, step in zip(place, size, strict=True)
            )
        ]
        tokens.append(np.einsum("thwc,dcthw->d", box, kernel))
    return np.array(tokens) + get(transformers_format.PATCH_BIAS)


def _sinusoids(numbers, dim):
    table = np.zeros((len(numbers), dim))
    for entry in range(dim):
        wave = np.cos if entry % 2 else np.sin
        table[:, entry] = wave(numbers / 10_000 ** (2 * (entry // 2) / dim))
    return table


def _of_layer(get, tensors, i):
    """Looks up tensors of a layer; zero for a bias that it does without."""

    def get_of_layer(name):
        name = f"encoder.layer.{i}.{name}"
        return get(name) if name in tensors else 0.0

    return get_of_layer


def _block(get, x, config):
    epsilon, heads = config["layer_norm_eps"], config["num_attention_heads"]

    def linear(name, x, bias="bias"):
        # Only biases are left out.
        return x @ get(f"{name}.weight").T + get(f"{name}.{bias}")

    y = _norm(get, "layernorm_before", x, epsilon)
    parts = []
    for part, other_name in (
        ("query", "q_bias"),
        ("key", ""),
        ("value", "v_bias"),
    ):
        z = linear(f"attention.attention.{part}", y)
        if other_name:
            z = z + get(f"attention.attention.{other_name}")
        parts.append(z.reshape(len(x), heads, -1).transpose(1, 0, 2))
    query, key, value = parts
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    y = scores / scores.sum(axis=-1, keepdims=True) @ value
    y = y.transpose(1, 0, 2).reshape(len(x), -1)
    x = x + linear("attention.output.dense", y)
    y = _norm(get, "layernorm_after", x, epsilon)
    y = _activate(linear("intermediate.dense", y), config["hidden_act"])
    return x + linear("output.dense", y)


def _norm(get, name, x, epsilon):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + epsilon)
    return x * get(f"{name}.weight") + get(f"{name}.bias")


def _activate(x, name):
    if name == "quick_gelu":
        return x / (1 + np.exp(-1.702 * x))
    if name in ("gelu", "gelu_python"):
        return x * (1 + _erf(x / np.sqrt(2))) / 2
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    return x * (1 + np.tanh(inner)) / 2


def _rounding(backbone):
    """How far off a single product of matrices is."""
    dim = backbone.hidden_dim
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(_NUM_TOKENS, dim)), rng.normal(size=(dim, dim))
    product = ops.matmul(
        ops.convert_to_tensor(a, backbone.compute_dtype),
        ops.convert_to_tensor(b, backbone.compute_dtype),
    )
    product = ops.convert_to_numpy(ops.cast(product, "float32"))
    return _difference(product, a @ b)


def _difference(received, expected):
    return np.linalg.norm(received - expected) / np.linalg.norm(expected)
