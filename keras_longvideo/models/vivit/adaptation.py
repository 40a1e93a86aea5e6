"""Which of an encoder's weights training changes, and new ones for that."""

import keras

from keras_longvideo.models.vivit.arguments import check_int
from keras_longvideo.models.vivit.arguments import is_int

# Parts of the paths of what may be no source's: frozen, the gate would stay
# shut, and a pooling random.
_STARTED_AFRESH = ("time_gate", "pooler/")


def adapt(backbone, last_layers, adapter_dim, lora_rank, temporal_only):
    """See `ViViTBackbone.adapt`."""
    ways = {
        "last_layers": last_layers is not None,
        "adapter_dim": adapter_dim is not None,
        "lora_rank": lora_rank is not None,
        "temporal_only": temporal_only,
    }
    chosen = [name for name, is_chosen in ways.items() if is_chosen]
    if len(chosen) > 1:
        raise ValueError(
            f"`adapt` takes one of {list(ways)} at a time. Received: {chosen}"
        )
    if last_layers is not None:
        _train_last_layers(backbone, last_layers)
    elif adapter_dim is not None or lora_rank is not None:
        train_added(backbone, adapter_dim, lora_rank)
    elif temporal_only:
        if backbone.attention != "factorized":
            raise ValueError(
                "`temporal_only` needs an encoder with attention over time "
                "apart: attention='factorized'. "
                f"Received: attention={backbone.attention!r}"
            )
        _train_parts(backbone, ("time_attention/", *_STARTED_AFRESH))
    else:
        _train_parts(backbone, ("",))


def train_added(backbone, adapter_dim=None, lora_rank=None):
    """Adds adapters, LoRA, both or none, and trains what there is of them."""
    parts = []
    if adapter_dim is not None:
        add_adapters(backbone, adapter_dim)
        parts.append("adapter_")
    if lora_rank is not None:
        add_lora(backbone, lora_rank)
        parts.append("lora_")
    if parts:
        _train_parts(backbone, (*parts, *_STARTED_AFRESH))


def add_adapters(backbone, adapter_dim):
    """Adds an adapter to every block, unless they are there already."""
    _check_dim("adapter_dim", adapter_dim, backbone.adapter_dim)
    if backbone.adapter_dim is None:
        for block in backbone.transformer_layers:
            block.add_adapter(adapter_dim)
        backbone.adapter_dim = adapter_dim


def add_lora(backbone, lora_rank):
    """Adds a low-rank update to every map, unless they are there already."""
    _check_dim("lora_rank", lora_rank, backbone.lora_rank)
    if backbone.lora_rank is None:
        for dense in maps(backbone):
            dense.enable_lora(lora_rank)
        backbone.lora_rank = lora_rank


def maps(backbone):
    """The linear maps of attention and feed-forward in every block."""
    for block in backbone.transformer_layers:
        attentions = [block.attention]
        if backbone.attention == "factorized":
            attentions.append(block.time_attention)
        for attention in attentions:
            yield attention.query
            yield attention.key
            yield attention.value
            yield attention.attention_output
        yield block.mlp_intermediate
        yield block.mlp_output


def _check_dim(name, dim, present):
    check_int(name, dim)
    if present not in (None, dim):
        raise ValueError(
            f"The encoder has {name}={present} already. Received: {name}={dim}"
        )


def _train_last_layers(backbone, last_layers):
    if not is_int(last_layers, 0) or last_layers > backbone.num_layers:
        raise ValueError(
            "`last_layers` must be None or an int from 0 to "
            f"{backbone.num_layers}, the number of layers. "
            f"Received: last_layers={last_layers}"
        )
    _train_parts(backbone, ("",))
    backbone.embedding.trainable = False
    if backbone.prefix_tokens is not None:
        backbone.prefix_tokens.trainable = False
    if backbone.embedding_norm is not None:
        backbone.embedding_norm.trainable = False
    frozen = backbone.num_layers - last_layers
    for layer in backbone.transformer_layers[:frozen]:
        layer.trainable = False


def _train_parts(backbone, parts):
    """Trains weights by parts of their path, and what is new in a video.

    That is the patch convolution and, since those of an image encoder are
    alike at all times, positions in time: without them no order is learned.
    """
    # Each layer: on TensorFlow, to set what a model is already does nothing,
    # whatever its layers are.
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = True
    for weight in backbone.weights:
        path = weight.path.removeprefix(f"{backbone.name}/")
        is_new = path.startswith("embedding/") and "space_" not in path
        is_fixed = backbone.positions == "fixed" and "positions" in path
        is_part = any(part in path for part in parts)
        # Neither a quantized one nor its scale has a gradient.
        is_quantized = not keras.backend.is_float_dtype(weight.dtype)
        is_constant = is_quantized or is_fixed or path.endswith("_scale")
        weight.trainable = (is_new or is_part) and not is_constant
