"""Where KerasHub's image encoders keep what a `ViViTBackbone` needs.

Weights are collected by the paths that they have there. A bias that a source
lacks is left out: a new one is zero.
"""

import dataclasses
import typing

import keras_hub
import numpy as np
from keras import ops

from keras_longvideo.models.processes import undistributed

# Mean and deviation of the pixels, from 0 to 1, that a family was trained on;
# those of ViT and SigLIP, 0.5 and 0.5, are the default of `ViViTBackbone`.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)


@dataclasses.dataclass
class ImageEncoder:
    """An image encoder, taken apart.

    Args:
        config: dict. Arguments of a `ViViTBackbone` of the same structure, but
            `num_frames` and `tubelet_size`.
        patches: the `keras.layers.Conv2D` that embeds patches.
        positions: array `(tokens, dim)`, those of prefix tokens first.
        prefix: array `(prefix tokens, dim)`, their positions not added yet.
        weights: dict of all other weights, by their path in a `ViViTBackbone`.
        call: function from a batch of pictures to the encoder's output.
        output: which output of a `ViViTBackbone` that is.
    """

    config: dict
    patches: typing.Any
    positions: typing.Any
    prefix: typing.Any
    weights: dict
    call: typing.Callable
    output: str = "sequence_output"


def read(source):
    """Takes an image encoder apart.

    Args:
        source: a KerasHub backbone, or the name of a preset of one.

    Returns:
        An `ImageEncoder`.

    Raises:
        ValueError: if `source` is none of those known here, or works in a way
            that `ViViTBackbone` does not.
    """
    if not isinstance(source, keras_hub.models.Backbone):
        source = load(source)
    read_one = of_family(_READERS, source)
    if source.compute_dtype != "float32":
        raise ValueError(
            "`source` must compute in float32, for what is made of it to be "
            "compared with it; `dtype` is an argument of its own. "
            f"Received: a source of dtype {source.compute_dtype}"
        )
    encoder = read_one(source)
    if encoder.patches.data_format != "channels_last":
        raise ValueError(
            "`source` must take pictures of (height, width, channels): make "
            "it with data_format='channels_last'. "
            f"Received: data_format={encoder.patches.data_format!r}"
        )
    return encoder


def of_family(families, source):
    """Looks up what there is for a source's family.

    Args:
        families: dict by class of KerasHub.
        source: a KerasHub backbone.

    Returns:
        The value of the class that `source` is of.

    Raises:
        ValueError: if it is of none of them.
    """
    for cls, value in families.items():
        if isinstance(source, cls):
            return value
    raise ValueError(
        "`source` must be a KerasHub preset or backbone of one of "
        f"{[cls.__name__ for cls in families]}. "
        f"Received: {type(source).__name__}"
    )


@undistributed()
def load(preset):
    """Loads a KerasHub preset whole, in float32, to be compared with."""
    return keras_hub.models.Backbone.from_preset(str(preset), dtype="float32")


def _read_vit(source):
    embedding = source.get_layer("vit_patching_and_embedding")
    encoder = source.get_layer("vit_encoder")
    weights = _norm("output_norm", encoder.layer_norm)
    for i, block in enumerate(encoder.encoder_layers):
        weights |= _block(
            i,
            block.layer_norm_1,
            block.mha,
            block.layer_norm_2,
            block.mlp.dense_1,
            block.mlp.dense_2,
        )
    prefix = []
    if source.use_class_token:
        prefix = _array(embedding.class_token)[0]
    return ImageEncoder(
        config={
            **_sizes(source, source.mlp_dim),
            "num_prefix_tokens": len(prefix),
            "pooling": "token" if len(prefix) else "mean",
            "layer_norm_epsilon": source.layer_norm_epsilon,
        },
        patches=embedding.patch_embedding,
        positions=_embedded_positions(embedding),
        prefix=prefix,
        weights=weights,
        call=source,
    )


def _read_deit(source):
    embedding = source.get_layer("deit_patching_and_embedding")
    encoder = source.get_layer("deit_encoder")
    weights = _norm("output_norm", encoder.layer_norm)
    for i, block in enumerate(encoder.encoder_layers):
        weights |= _block(
            i,
            block.layer_norm_1,
            block.mha,
            block.layer_norm_2,
            block.mlp.dense,
            block.output_layer.dense,
        )
    return ImageEncoder(
        config={
            **_sizes(source, source.intermediate_dim),
            **_pixels(*_IMAGENET),
            "num_prefix_tokens": 2,
            "pooling": "token",
            "layer_norm_epsilon": source.layer_norm_epsilon,
        },
        patches=embedding.patch_embedding,
        positions=_array(embedding.position_embedding)[0],
        prefix=np.concatenate(
            [
                _array(embedding.class_token)[0],
                _array(embedding.distillation_token)[0],
            ]
        ),
        weights=weights,
        call=source,
    )


def _read_dinov2(source):
    if source.use_swiglu_ffn:
        raise ValueError(
            "`source` must have plain feed-forward layers. Received: a "
            "DINOV2Backbone with use_swiglu_ffn=True, whose gated ones "
            "`ViViTBackbone` does not have; the smaller DINOv2 models do."
        )
    embedding = source.embeddings
    weights = _norm("output_norm", source.layernorm)
    for i, block in enumerate(source.encoder.layers):
        weights |= _block(
            i,
            block.norm1,
            block.attention.attention,
            block.norm2,
            block.mlp.fc1,
            block.mlp.fc2,
            scales=(block.layer_scale1.lambda1, block.layer_scale2.lambda1),
        )
    # Of the prefix tokens, the class alone has a position.
    positions = _array(embedding.interpolated_position_embeddings)[0]
    prefix = _array(embedding.cls_token)[0]
    if source.num_register_tokens:
        registers = _array(embedding.register_tokens)[0]
        prefix = np.concatenate([prefix, registers])
        positions = np.concatenate(
            [positions[:1], np.zeros_like(registers), positions[1:]]
        )
    return ImageEncoder(
        config={
            **_sizes(source, source.intermediate_dim),
            **_pixels(*_IMAGENET),
            "num_prefix_tokens": len(prefix),
            "pooling": "token",
        },
        patches=embedding.patch_embeddings.projection,
        positions=positions,
        prefix=prefix,
        weights=weights,
        call=lambda images: source({"images": images}),
    )


def _read_clip(source):
    if isinstance(source, keras_hub.models.CLIPBackbone):
        source = source.vision_encoder
    return _like_clip(source, source.layer_norm, lambda tokens: tokens)


def _read_metaclip_2(source):
    norm = source.vision_post_layer_norm
    return _like_clip(source.vision_encoder, norm, norm)


def _refuse_without_norm(source):
    raise ValueError(
        "`source` must be the whole MetaCLIP2Backbone: it has the norm of the "
        "vision encoder's output. Received: a MetaCLIP2VisionEncoder"
    )


def _like_clip(encoder, output_norm, finish):
    embedding = encoder.embedding
    weights = _norm("embedding_norm", encoder.pre_layer_norm)
    weights |= _norm("output_norm", output_norm)
    for i, block in enumerate(encoder.encoder_layers):
        weights |= _block(
            i,
            block.layer_norm_1,
            block.attention,
            block.layer_norm_2,
            block.dense_1,
            block.dense_2,
        )

    def call(images):
        outputs = encoder({"images": images})
        if isinstance(outputs, dict):
            outputs = outputs["sequence_output"]
        return finish(outputs)

    return ImageEncoder(
        config={
            **_sizes(encoder, encoder.intermediate_dim),
            **_pixels(*_CLIP),
            "num_prefix_tokens": 1,
            "activation": encoder.intermediate_activation,
            "embedding_norm": True,
            "pooling": "token",
            "layer_norm_epsilon": output_norm.epsilon,
        },
        patches=embedding.patch_embedding,
        positions=_embedded_positions(embedding),
        prefix=_array(embedding.class_embedding)[None],
        weights=weights,
        call=call,
    )


def _read_siglip(source):
    if isinstance(source, keras_hub.models.SigLIPBackbone):
        source = source.vision_encoder
    head = source.head
    weights = _norm("output_norm", source.post_layer_norm)
    for i, block in enumerate(source.encoder_layers):
        weights |= _block(
            i,
            block.layer_norm1,
            block.self_attn,
            block.layer_norm2,
            block.mlp.fc1,
            block.mlp.fc2,
        )
    weights["pooler/query"] = _array(head.probe)
    weights |= _attention("pooler/attention", head.attention)
    weights |= _norm("pooler/mlp_norm", head.layer_norm)
    weights |= _dense("pooler/mlp_intermediate", head.mlp.fc1)
    weights |= _dense("pooler/mlp_output", head.mlp.fc2)
    return ImageEncoder(
        config={
            **_sizes(source, source.intermediate_dim),
            "activation": source.intermediate_activation,
            "pooling": "map",
            "layer_norm_epsilon": source.layer_norm_epsilon,
        },
        patches=source.embedding.patch_embedding,
        positions=_embedded_positions(source.embedding),
        prefix=[],
        weights=weights,
        call=lambda images: source({"images": images}),
        output="pooled_output",
    )


_READERS = {
    keras_hub.models.CLIPBackbone: _read_clip,
    keras_hub.models.CLIPVisionEncoder: _read_clip,
    keras_hub.models.DeiTBackbone: _read_deit,
    keras_hub.models.DINOV2Backbone: _read_dinov2,
    keras_hub.models.MetaCLIP2Backbone: _read_metaclip_2,
    keras_hub.models.MetaCLIP2VisionEncoder: _refuse_without_norm,
    keras_hub.models.SigLIPBackbone: _read_siglip,
    keras_hub.models.SigLIPVisionEncoder: _read_siglip,
    keras_hub.models.ViTBackbone: _read_vit,
}


def _sizes(encoder, intermediate_dim):
    return {
        "image_shape": tuple(encoder.image_shape),
        "hidden_dim": encoder.hidden_dim,
        "num_layers": encoder.num_layers,
        "num_heads": encoder.num_heads,
        "intermediate_dim": intermediate_dim,
    }


def _pixels(mean, deviation):
    return {
        "scale": tuple(1 / (255 * d) for d in deviation),
        "offset": tuple(-m / d for m, d in zip(mean, deviation, strict=True)),
    }


def _embedded_positions(embedding):
    # Not the table alone: the layer says which row is whose.
    return _array(embedding.position_embedding(embedding.position_ids))[0]


def _block(
    index, norm_1, attention, norm_2, dense_1, dense_2, scales=(1.0, 1.0)
):
    """Weights of a block; `scales` multiply what its two parts put out."""
    block = f"transformer_layer_{index}"
    return {
        **_norm(f"{block}/attention_norm", norm_1),
        **_attention(f"{block}/attention", attention, scales[0]),
        **_norm(f"{block}/mlp_norm", norm_2),
        **_dense(f"{block}/mlp_intermediate", dense_1),
        **_dense(f"{block}/mlp_output", dense_2, scales[1]),
    }


def _attention(path, attention, scale=1.0):
    return {
        **_dense(f"{path}/query", attention.query_dense),
        **_dense(f"{path}/key", attention.key_dense),
        **_dense(f"{path}/value", attention.value_dense),
        **_dense(f"{path}/attention_output", attention.output_dense, scale),
    }


def _norm(path, layer):
    return {
        f"{path}/gamma": _array(layer.gamma),
        f"{path}/beta": _array(layer.beta),
    }


def _dense(path, layer, scale=1.0):
    scale = _array(scale)
    weights = {f"{path}/kernel": _array(layer.kernel) * scale}
    if layer.bias is not None:
        weights[f"{path}/bias"] = _array(layer.bias) * scale
    return weights


def _array(x):
    return ops.convert_to_numpy(x)
