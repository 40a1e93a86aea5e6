"""From the weights of one encoder to those of another variant of it."""

import inspect

import numpy as np
from keras import ops

from keras_longvideo.models.processes import whole_weights
from keras_longvideo.ops import interpolate_positions

# Arguments that change no weight.
_WITHOUT_WEIGHTS = {
    "name",
    "trainable",
    "dtype",
    "mask_rate",
    "mask_mode",
    "mask_at_inference",
    "dropout_rate",
    "remat",
}


def load_saved_weights(backbone, config, load):
    """Loads weights that were saved of this encoder or another variant.

    Args:
        backbone: `ViViTBackbone`.
        config: dict. The config of the encoder that was saved.
        load: function. Gives an encoder of just that config its weights.

    Raises:
        ValueError: if a weight can't be made from the saved ones.
    """
    own = backbone.get_config()
    parameters = inspect.signature(type(backbone).__init__).parameters
    defaults = {name: x.default for name, x in parameters.items()}
    # Arguments that the config does not know are at their defaults.
    saved = {name: _plain(config.get(name, defaults.get(name))) for name in own}
    changed = {name for name in own if saved[name] != _plain(own[name])}
    if not changed - _WITHOUT_WEIGHTS:
        load(backbone)
        return
    source = type(backbone).from_config(
        {**config, "dtype": backbone.dtype_policy}
    )
    load(source)
    transfer_weights(source, backbone)


def transfer_weights(source, target):
    """Gives an encoder the weights of another variant of it.

    Positions are interpolated to the other grid. A kernel of tubelets is one
    of fewer frames repeated over time and divided, so that a still video is
    embedded as before. Attention over time starts as a copy of that over
    space. Where the source has no positions in time, they start at zero;
    adapters, LoRA and a pooling of another kind start as in a new encoder.

    Of several processes, all have to call it.

    Args:
        source: `ViViTBackbone`.
        target: `ViViTBackbone`.

    Raises:
        ValueError: if a weight of `target` can't be made from those of
            `source`, or one of `source` has no place in `target`; `target` is
            left as it was.
    """
    with whole_weights(source):
        values = {
            _path(source, w): np.array(ops.convert_to_numpy(w))
            for w in _all(source)
        }
    _images_to_frames(source, target, values)
    unused = set(values)
    made, missing = [], []
    for weight in _all(target):
        path = _path(target, weight)
        made_from = _source_of(path, values)
        if made_from is None:
            if path == "embedding/time_positions":
                # Frames start alike, as they were to the source.
                made.append((weight, np.zeros(weight.shape)))
            elif not _may_start_afresh(path):
                missing.append(path)
            continue
        unused.discard(made_from)
        value = _fit(made_from, values[made_from], weight.shape)
        is_quantized = values[made_from].dtype == "int8"
        if value is None or is_quantized != (weight.dtype == "int8"):
            missing.append(
                f"{path} of shape {tuple(weight.shape)} and {weight.dtype} "
                f"from one of {values[made_from].shape} and "
                f"{values[made_from].dtype}"
            )
        made.append((weight, value))
    unused -= _left_behind(target)
    if missing or unused:
        raise ValueError(
            "These weights can't be carried over to the other configuration: "
            f"{missing or 'none'} can't be made, {sorted(unused) or 'none'} "
            "have no place. Start with the saved configuration, or pass "
            "`load_weights=False`."
        )
    for weight, value in made:
        weight.assign(value)


def _all(backbone):
    return [w for w in backbone.weights if "seed_generator" not in w.path]


def _path(backbone, weight):
    path = weight.path.removeprefix(f"{backbone.name}/")
    # Frames are pooled as images are.
    return path.replace("pooler/space_pooler/", "pooler/")


def _images_to_frames(source, target, values):
    """Makes an encoder of images one of videos, which has 2-D kernels too."""
    if _has_image_kernel(source) or "embedding/kernel" not in values:
        return
    if _has_image_kernel(target):
        values["embedding/image_kernel"] = values["embedding/kernel"]
        values["embedding/image_bias"] = values["embedding/bias"]
    if source.num_frames == 1 and "embedding/time_positions" in values:
        # Part of every token: a video's tokens get positions in time instead.
        time = values.pop("embedding/time_positions")
        values["embedding/space_positions"] += time[0]


def _has_image_kernel(backbone):
    return backbone.tubes is None and backbone.tubelet_size[0] > 1


def _source_of(path, values):
    """The path of the weight that one is made from, or None."""
    over_space = path.replace("/time_attention/", "/attention/")
    return next((p for p in (path, over_space) if p in values), None)


def _may_start_afresh(path):
    new = ("time_gate", "pooler/", "adapter_", "lora_")
    return any(name in path for name in new)


def _left_behind(target):
    """Weights of a source that such an encoder does without."""
    if target.attention == "frame":
        return {"embedding/time_positions"}
    if not _has_image_kernel(target):
        return {"embedding/image_kernel", "embedding/image_bias"}
    return set()


def _fit(path, value, shape):
    """A value in another shape, or None."""
    shape = tuple(shape)
    value = value.astype("float32")
    if value.shape == shape:
        return value
    if "positions" in path and len(value.shape) == len(shape):
        table = interpolate_positions(value, shape[:-1])
        return ops.convert_to_numpy(table)
    is_kernel = path == "embedding/kernel"
    if is_kernel and value.shape[1:] == shape[1:] and not shape[0] % len(value):
        times = shape[0] // len(value)
        return np.repeat(value, times, axis=0) / times
    return None


def _plain(value):
    """Tuples and lists alike, as JSON reads them."""
    if isinstance(value, dict):
        return {name: _plain(x) for name, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(x) for x in value]
    return value
