"""Video encoders made of KerasHub's image encoders, against these."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_longvideo.models import ViViTBackbone

SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16}
MLP = {"intermediate_dim": 24}
IMAGE = {"image_shape": (16, 16, 3)}
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5] * 3, [0.5] * 3)
CLIP = (
    [0.48145466, 0.4578275, 0.40821073],
    [0.26862954, 0.26130258, 0.27577711],
)


def shaken(source):
    """A source without a weight that is zero, one or like another."""
    rng = np.random.default_rng(1)
    for weight in source.weights:
        if "position_ids" in weight.path:
            weight.assign(np.arange(weight.shape[1])[None])
        elif "seed" not in weight.path:
            noise = rng.normal(scale=0.2, size=weight.shape)
            weight.assign(ops.convert_to_numpy(weight) + noise)
    return source


def vit(**overrides):
    config = {**SIZES, **IMAGE, "patch_size": 8, "mlp_dim": 24}
    return keras_hub.models.ViTBackbone(**{**config, **overrides})


def deit():
    return keras_hub.models.DeiTBackbone(**SIZES, **MLP, **IMAGE, patch_size=8)


def dinov2(**overrides):
    config = {**SIZES, **MLP, **IMAGE, "patch_size": 8}
    config["position_embedding_shape"] = (32, 32, 3)
    return keras_hub.models.DINOV2Backbone(**{**config, **overrides})


def clip_vision(**overrides):
    config = {**SIZES, **MLP, **IMAGE, "patch_size": 8}
    return keras_hub.models.CLIPVisionEncoder(**{**config, **overrides})


def siglip_vision(**overrides):
    config = {**SIZES, **MLP, **IMAGE, "patch_size": 8}
    return keras_hub.models.SigLIPVisionEncoder(**{**config, **overrides})


def metaclip_2():
    config = {**SIZES, **MLP}
    return keras_hub.models.MetaCLIP2Backbone(
        keras_hub.models.MetaCLIP2VisionEncoder(
            **config, **IMAGE, patch_size=8
        ),
        keras_hub.models.MetaCLIP2TextEncoder(
            **config, vocabulary_size=20, embedding_dim=16
        ),
        projection_dim=8,
    )


def first_token(source, pictures):
    return source(pictures)[:, 0]


def first_token_of_dict(source, pictures):
    return source({"images": pictures})[:, 0]


# How to make a source, what its pooled output is, and its pixels' mean and
# deviation.
SOURCES = {
    "vit": (vit, first_token, HALF),
    "vit_without_class_token": (
        lambda: vit(use_class_token=False, use_mha_bias=False),
        lambda source, pictures: ops.mean(source(pictures), axis=1),
        HALF,
    ),
    "deit": (deit, first_token, IMAGENET),
    "dinov2": (dinov2, first_token_of_dict, IMAGENET),
    "dinov2_registers": (
        lambda: dinov2(num_register_tokens=2),
        first_token_of_dict,
        IMAGENET,
    ),
    "clip": (clip_vision, first_token_of_dict, CLIP),
    "clip_gelu": (
        lambda: clip_vision(intermediate_activation="gelu"),
        first_token_of_dict,
        CLIP,
    ),
    "metaclip_2": (
        metaclip_2,
        lambda source, pictures: source.vision_post_layer_norm(
            source.vision_encoder({"images": pictures})[:, 0]
        ),
        CLIP,
    ),
    "siglip": (
        siglip_vision,
        lambda source, pictures: source({"images": pictures}),
        HALF,
    ),
}


def make_case(name):
    """A source, a picture, and what the source makes of it."""
    make, pooled, (mean, deviation) = SOURCES[name]
    source = shaken(make())
    picture = np.random.default_rng(2).integers(0, 256, size=(1, 16, 16, 3))
    scaled = (picture / 255 - np.array(mean)) / np.array(deviation)
    expected = pooled(source, scaled.astype("float32"))
    return source, picture.astype("uint8"), ops.convert_to_numpy(expected)


def still(picture, num_frames=4):
    return np.repeat(picture[:, None], num_frames, axis=1)


def pooled_output(backbone, video):
    return ops.convert_to_numpy(backbone(video)["pooled_output"])


def check(received, expected):
    # Shaken weights make outputs far from zero, and from one another.
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(received, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SOURCES)
def test_a_still_video_is_the_picture(name):
    source, picture, expected = make_case(name)
    backbone = ViViTBackbone.from_image_encoder(
        source, 4, (2, 8, 8), attention="frame"
    )
    check(pooled_output(backbone, still(picture)), expected)
    # Of another length, too, and a single frame.
    check(pooled_output(backbone, still(picture, 6)), expected)
    check(pooled_output(backbone, still(picture, 1)), expected)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", ["siglip", "clip"])
def test_other_kinds_of_attention(name, times):
    source, picture, expected = make_case(name)
    backbone = ViViTBackbone.from_image_encoder(
        source, 4, (times, 8, 8), attention="factorized"
    )
    check(pooled_output(backbone, still(picture)), expected)
    check(pooled_output(backbone, still(picture, 1)), expected)
    backbone = ViViTBackbone.from_image_encoder(source, 4, (times, 8, 8))
    assert backbone.attention == "joint"
    check(pooled_output(backbone, still(picture, 1)), expected)
    video = pooled_output(backbone, still(picture))
    if name == "siglip":
        check(video, expected)
    else:
        # A class token stands beside those of four frames, not of one.
        assert np.abs(video - expected).max() > 1e-3


def test_frames_are_pooled_over_time():
    source, picture, _ = make_case("clip")
    backbone = ViViTBackbone.from_image_encoder(source, 2, attention="frame")
    assert backbone.tubelet_size == (1, 8, 8)
    frames = np.concatenate([picture, 255 - picture])
    each = pooled_output(backbone, frames[:, None])
    assert np.abs(each[0] - each[1]).max() > 0.1
    video = pooled_output(backbone, frames[None])
    check(video, each.mean(axis=0, keepdims=True))


def test_it_is_saved_and_loaded(tmp_path):
    source = shaken(clip_vision())
    backbone = ViViTBackbone.from_image_encoder(source, 4, (2, 8, 8))
    backbone.save_to_preset(tmp_path)
    video = np.random.default_rng(0).normal(size=(1, 4, 16, 16, 3))
    video = video.astype("float32")
    loaded = ViViTBackbone.from_preset(tmp_path)
    check(pooled_output(loaded, video), pooled_output(backbone, video))


def test_a_preset_by_its_name(tmp_path):
    source = shaken(vit())
    source.save_to_preset(tmp_path)
    picture = np.random.default_rng(0).normal(size=(1, 16, 16, 3))
    picture = picture.astype("float32")
    expected = ops.convert_to_numpy(first_token(source, picture))
    backbone = ViViTBackbone.from_image_encoder(
        str(tmp_path), attention="frame"
    )
    assert backbone.num_frames == 16
    check(pooled_output(backbone, still(picture, 16)), expected)


def test_what_patches_leave_over_at_the_edge():
    source = shaken(siglip_vision(image_shape=(21, 21, 3)))
    picture = np.random.default_rng(0).normal(size=(1, 21, 21, 3))
    picture = picture.astype("float32")
    expected = ops.convert_to_numpy(source({"images": picture}))
    backbone = ViViTBackbone.from_image_encoder(source, 4)
    assert backbone.image_shape == (16, 16, 3)
    check(pooled_output(backbone, still(picture[:, :16, :16])), expected)


def test_overrides():
    backbone = ViViTBackbone.from_image_encoder(
        shaken(vit()),
        num_frames=4,
        attention="frame",
        image_shape=(24, 32, 3),
        pooling="mean",
        time_pooling="attention",
        lora_rank=2,
        mask_rate=0.5,
        dtype="mixed_bfloat16",
    )
    assert backbone.embedding.space_positions.shape == (3, 4, 16)
    assert backbone.compute_dtype == "bfloat16"
    video = np.zeros((1, 4, 24, 32, 3), "uint8")
    assert pooled_output(backbone, video).shape == (1, 16)
    with pytest.raises(ValueError, match="Unknown overrides.*'nun_frames'"):
        ViViTBackbone.from_image_encoder(vit(), nun_frames=4)


class OtherActivation(keras_hub.models.ViTBackbone):
    """Computes something else than its config says."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for block in self.get_layer("vit_encoder").encoder_layers:
            block.mlp.dense_1.activation = keras.activations.relu


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: dinov2(use_swiglu_ffn=True), "use_swiglu_ffn=True"),
        (lambda: metaclip_2().vision_encoder, "whole MetaCLIP2Backbone"),
        (lambda: vit(dtype="bfloat16"), "must compute in float32"),
        (lambda: metaclip_2().text_encoder, "Received: MetaCLIP2TextEncoder"),
        (
            lambda: shaken(
                OtherActivation(**SIZES, **IMAGE, patch_size=8, mlp_dim=24)
            ),
            "computes something else",
        ),
    ],
    ids=["swiglu", "no_norm", "bfloat16", "text", "changed"],
)
def test_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        ViViTBackbone.from_image_encoder(make())


def test_pictures_of_channels_first():
    source = clip_vision(image_shape=(3, 16, 16), data_format="channels_first")
    with pytest.raises(ValueError, match="data_format='channels_last'"):
        ViViTBackbone.from_image_encoder(source)
