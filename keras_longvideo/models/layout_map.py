"""Where on a mesh of chips the weights and the tokens of a model lie.

A weight lies in equal parts on the chips of an axis; so does what an optimizer
keeps of it. Small vectors (norms, biases) lie whole on every chip. What layers
put out stays with its examples and tokens: where it meets a weight that is
split over the same chips, the weight is gathered, and not the tokens.
"""

import keras

_BLOCK = r"transformer_layer_\d+"


def layout_map(device_mesh, model, data, sequence, *towers):
    """Makes a `keras.distribution.LayoutMap` for the towers of a model.

    Args:
        device_mesh: `keras.distribution.DeviceMesh`.
        model: string. The axis that attention heads and the width of
            feed-forward layers are split over; `device_mesh` may lack it.
        data: string. The axis that examples and the hidden dimension of
            weights are split over.
        sequence: string. The axis that the tokens of one example and, of
            weights, what `model` leaves are split over; `device_mesh` may
            lack it.
        *towers: functions of the three axes, such as `vivit_layouts`.

    Returns:
        A `keras.distribution.LayoutMap`.

    Raises:
        ValueError: if `device_mesh` is none, lacks `data`, or has other axes.
    """
    if not isinstance(device_mesh, keras.distribution.DeviceMesh):
        raise ValueError(
            "`device_mesh` must be a `keras.distribution.DeviceMesh`. "
            f"Received: device_mesh={device_mesh!r}"
        )
    names = tuple(device_mesh.axis_names)
    if data not in names or not {model, data, sequence}.issuperset(names):
        raise ValueError(
            f"`device_mesh` must have an axis {data!r}, and may have axes "
            f"{model!r} and {sequence!r}. Received: axis_names={names}"
        )
    axes = [name if name in names else None for name in (model, data, sequence)]
    layouts = keras.distribution.LayoutMap(device_mesh)
    for tower in towers:
        for path, layout in tower(*axes).items():
            layouts[path] = layout
    return layouts


def vivit_layouts(model, data, sequence):
    """Layouts of a `ViViTBackbone`, by patterns of their paths."""
    pooler = "pooler(/(space|time)_pooler)?"
    attention = f"({_BLOCK}/(time_)?|{pooler}/)attention"
    mlp = f"({_BLOCK}|{pooler})/mlp"
    width = model or sequence
    tokens = (data, sequence, None)
    return {
        # === Weights ===
        # Of tubes, there is a kernel for each shape.
        r"embedding/(image_)?kernel(_\d+)?": (None, None, None, None, data),
        "embedding/joint_positions": (None, None, None, data),
        "embedding/time_positions": (None, data),
        "embedding/space_positions": (None, None, data),
        f"{attention}/(query|key|value)/kernel": (data, model, sequence),
        f"{attention}/attention_output/kernel": (model, sequence, data),
        f"{mlp}_intermediate/kernel": (data, width),
        f"{mlp}_output/kernel": (width, data),
        # === Tokens ===
        # That of the first block says it of the embedding, too.
        f"{_BLOCK}/attention_norm/output": tokens,
        f"{_BLOCK}/attention/(query|key|value)/output": (
            *tokens[:2],
            model,
            None,
        ),
        f"{_BLOCK}/attention/attention_output/output": tokens,
        f"{_BLOCK}/mlp_intermediate/output": (*tokens[:2], model),
        f"{_BLOCK}/mlp_output/output": tokens,
    }


def bert_layouts(model, data, sequence):
    """Layouts of a `keras_hub.models.BertBackbone`."""
    attention = f"{_BLOCK}/self_attention_layer"
    feedforward = f"{_BLOCK}/feedforward"
    width = model or sequence
    tokens = (data, sequence, None)
    return {
        # === Weights ===
        # Not by words: a vocabulary of 30,522 is no multiple of 4.
        "(token|position)_embedding/embeddings": (None, data),
        f"{attention}/(query|key|value)/kernel": (data, model, sequence),
        f"{attention}/attention_output/kernel": (model, sequence, data),
        f"{feedforward}_intermediate_dense/kernel": (data, width),
        f"{feedforward}_output_dense/kernel": (width, data),
        "pooled_dense/kernel": (data, None),
        # === Tokens ===
        "embeddings_layer_norm/output": tokens,
        f"{attention}/(query|key|value)/output": (*tokens[:2], model, None),
        f"{attention}/attention_output/output": tokens,
        f"{feedforward}_intermediate_dense/output": (*tokens[:2], model),
        f"{feedforward}_output_dense/output": tokens,
    }


def image_text_layouts(model, data, sequence):
    """Layouts of the text encoders of CLIP, MetaCLIP 2 and SigLIP."""
    # A model's name comes before those of its layers.
    block = r".*encoder_block_\d+"
    attention = f"{block}/(attention|self_attn)"
    first, second = f"{block}/(dense_1|mlp/fc1)", f"{block}/(dense_2|mlp/fc2)"
    width = model or sequence
    tokens = (data, sequence, None)
    return {
        # === Weights ===
        ".*embedding/(token|position)_embedding/embeddings": (None, data),
        f"{attention}/(query|key|value)/kernel": (data, model, sequence),
        f"{attention}/attention_output/kernel": (model, sequence, data),
        f"{first}/kernel": (data, width),
        f"{second}/kernel": (width, data),
        ".*head/kernel": (data, None),
        # === Tokens ===
        f"{block}/layer_norm_?[12]/output": tokens,
        f"{attention}/(query|key|value)/output": (*tokens[:2], model, None),
        f"{attention}/attention_output/output": tokens,
        f"{first}/output": (*tokens[:2], model),
        f"{second}/output": tokens,
    }


def projection_layouts(model, data, sequence):
    """Layouts of the projections of a `VideoTextRetriever`."""
    return {"(video|text)_projection/kernel": (data, None)}
