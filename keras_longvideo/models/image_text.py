"""From CLIP and SigLIP to a retriever of videos."""

import dataclasses
import typing

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_longvideo.models.video_converter import VideoConverter
from keras_longvideo.models.video_text_preprocessor import VideoTextPreprocessor
from keras_longvideo.models.vivit.keras_hub_encoders import load
from keras_longvideo.models.vivit.keras_hub_encoders import of_family
from keras_longvideo.models.vivit.vivit_backbone import ViViTBackbone


@dataclasses.dataclass(frozen=True)
class _Family:
    """How a family of KerasHub pairs pictures and texts."""

    preprocessor_cls: typing.Any
    # The layer that has the scale and bias of the logits.
    head: str
    loss: str
    text_pooling: str | None


_FAMILIES = {
    keras_hub.models.CLIPBackbone: _Family(
        keras_hub.models.CLIPPreprocessor, "clip_head", "nce", "last"
    ),
    keras_hub.models.MetaCLIP2Backbone: _Family(
        keras_hub.models.MetaCLIP2CausalLMPreprocessor,
        "metaclip_2_head",
        "nce",
        "last",
    ),
    keras_hub.models.SigLIPBackbone: _Family(
        keras_hub.models.SigLIPPreprocessor, "siglip_head", "sigmoid", None
    ),
}


def from_image_text(
    cls,
    source,
    num_frames,
    attention,
    tubelet_size,
    preprocessor,
    fps,
    **overrides,
):
    """See `VideoTextRetriever.from_image_text`."""
    preset = None
    if not isinstance(source, keras_hub.models.Backbone):
        preset, source = str(source), load(source)
    family = of_family(_FAMILIES, source)
    if preprocessor is None and preset is not None:
        preprocessor = family.preprocessor_cls.from_preset(preset)
    dtype = keras.dtype_policies.get(
        overrides.pop("dtype", keras.config.dtype_policy())
    )
    backbone = ViViTBackbone.from_image_encoder(
        source,
        num_frames,
        tubelet_size,
        **{
            **_pixels(preprocessor),
            "attention": attention,
            "dtype": dtype,
            **overrides,
        },
    )
    if preprocessor is not None:
        preprocessor = _for_videos(preprocessor, backbone, fps)
    # SigLIP's towers end in embeddings.
    projection_dim = getattr(source, "projection_dim", None)
    retriever = cls(
        backbone,
        _copy(source.text_encoder, dtype),
        preprocessor,
        projection_dim=projection_dim,
        text_pooling=family.text_pooling,
        loss=family.loss,
    )
    if projection_dim is not None:
        for model, layer in (
            (retriever.video_encoder, source.vision_projection),
            (retriever.text_encoder, source.text_projection),
        ):
            weight = ops.convert_to_numpy(layer.kernel)
            model.get_layer(layer.name.replace("vision", "video")).set_weights(
                [weight]
            )
    head = getattr(source, family.head)
    # By way of numpy: on JAX, `assign` would share the array, and training
    # gives its own ones away.
    retriever.log_logit_scale.assign(ops.convert_to_numpy(head.logit_scale))
    if family.loss == "sigmoid":
        retriever.logit_bias.assign(ops.convert_to_numpy(head.logit_bias))
    return retriever


def _pixels(preprocessor):
    """How a preprocessor scales pixels, if it does."""
    converter = getattr(preprocessor, "image_converter", None)
    return {
        name: _plain(getattr(converter, name))
        for name in ("scale", "offset")
        if getattr(converter, name, None) is not None
    }


def _plain(value):
    """A float, or a tuple of them."""
    value = np.array(value, "float64").tolist()
    return tuple(value) if isinstance(value, list) else value


def _for_videos(preprocessor, backbone, fps):
    standardize = None
    if getattr(preprocessor, "to_lower", False):
        standardize = "lower"
    if getattr(preprocessor, "canonicalize_text", False):
        standardize = "lower_and_strip_punctuation"
    return VideoTextPreprocessor(
        VideoConverter(backbone.num_frames, backbone.image_shape[:2], fps),
        preprocessor.tokenizer,
        sequence_length=preprocessor.sequence_length,
        standardize=standardize,
    )


def _copy(text_encoder, dtype):
    """One of its own: training the retriever leaves the source as it is."""
    config = {**text_encoder.get_config(), "dtype": dtype}
    copy = type(text_encoder).from_config(config)
    copy.set_weights(text_encoder.get_weights())
    return copy
