"""Presets opened as another variant of their encoder."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.models import VideoClassifier
from keras_longvideo.models import ViViTBackbone
from keras_longvideo.ops import interpolation_matrix

SHORT = {
    "image_shape": (8, 8, 3),
    "num_frames": 4,
    "tubelet_size": (2, 4, 4),
    "hidden_dim": 12,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_dim": 16,
}
IMAGE = {**SHORT, "num_frames": 1, "tubelet_size": (1, 4, 4)}


def saved(config, folder, **overrides):
    backbone = ViViTBackbone(**{**config, **overrides})
    rng = np.random.default_rng(0)
    for weight in backbone.weights:
        if "float" in weight.dtype:
            value = ops.convert_to_numpy(weight)
            weight.assign(value + 0.2 * rng.normal(size=weight.shape))
    backbone.save_to_preset(folder)
    return backbone


def clips(frames, size=8):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (2, frames, size, size, 3)).astype("uint8")


def still(frames):
    return np.repeat(clips(1), frames, axis=1)


def pooled(backbone, video):
    return ops.convert_to_numpy(backbone(video)["pooled_output"])


def close(a, b):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_short_to_long_interpolates_time_and_keeps_the_rest(tmp_path):
    short = saved(SHORT, tmp_path / "short")
    long = ViViTBackbone.from_preset(tmp_path / "short", num_frames=10)
    assert long.num_frames == 10
    # What it computes of longer clips without being told their length.
    close(pooled(long, clips(10)), pooled(short, clips(10)))
    for one, other in zip(long.weights, short.weights, strict=True):
        value = ops.convert_to_numpy(other)
        if "time_positions" in one.path:
            value = interpolation_matrix(2, 5) @ value
        close(ops.convert_to_numpy(one), value)


def test_other_picture_sizes(tmp_path):
    small = saved(SHORT, tmp_path / "small")
    large = ViViTBackbone.from_preset(
        tmp_path / "small", image_shape=(16, 16, 3)
    )
    close(pooled(large, clips(4, 16)), pooled(small, clips(4, 16)))


def test_tasks_carry_weights_over_too(tmp_path):
    classifier = VideoClassifier(saved(SHORT, tmp_path / "encoder"), 3)
    classifier.save_to_preset(tmp_path / "classifier")
    longer = VideoClassifier.from_preset(tmp_path / "classifier", num_frames=10)
    close(
        longer.predict(clips(10), verbose=0),
        classifier.predict(clips(10), verbose=0),
    )


@pytest.mark.parametrize("attention", ["frame", "factorized", "joint"])
@pytest.mark.parametrize("tubelet_frames", [1, 2])
def test_a_still_video_is_its_image(attention, tubelet_frames, tmp_path):
    image = saved(IMAGE, tmp_path / "image")
    video = ViViTBackbone.from_preset(
        tmp_path / "image",
        num_frames=4,
        tubelet_size=(tubelet_frames, 4, 4),
        attention=attention,
    )
    expected = pooled(image, clips(1))
    close(pooled(video, still(4)), expected)
    close(pooled(video, clips(1)), expected)


def test_frame_level_to_joint_and_factorized(tmp_path):
    frame = saved(SHORT, tmp_path / "frame", attention="frame")
    folder = tmp_path / "frame"
    factorized = ViViTBackbone.from_preset(folder, attention="factorized")
    close(pooled(factorized, clips(4)), pooled(frame, clips(4)))
    for layer in factorized.transformer_layers:
        query = layer.time_attention.query.kernel
        close(
            ops.convert_to_numpy(query),
            ops.convert_to_numpy(layer.attention.query.kernel),
        )
    joint = ViViTBackbone.from_preset(folder, attention="joint")
    close(pooled(joint, still(4)), pooled(frame, still(4)))


@pytest.mark.parametrize("way", [{"adapter_dim": 2}, {"lora_rank": 2}])
def test_adaptations_are_added_to_a_preset(way, tmp_path):
    plain = saved(SHORT, tmp_path / "plain")
    adapted = ViViTBackbone.from_preset(tmp_path / "plain", **way)
    close(pooled(adapted, clips(4)), pooled(plain, clips(4)))
    assert len(adapted.weights) > len(plain.weights)
    assert len(adapted.trainable_weights) < len(adapted.weights)


def test_another_pooling_starts_afresh(tmp_path):
    source = saved(SHORT, tmp_path / "source")
    target = ViViTBackbone.from_preset(tmp_path / "source", pooling="attention")
    one, other = (x(clips(4))["sequence_output"] for x in (source, target))
    close(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
    # A trained one is not lost without a word.
    target.save_to_preset(tmp_path / "target")
    with pytest.raises(ValueError, match="pooler.* have no place"):
        ViViTBackbone.from_preset(tmp_path / "target", pooling="mean")


def test_the_source_survives_training_of_the_other(tmp_path):
    """No array is shared, which a JAX training step would give away."""
    from keras_longvideo.models import VideoModel
    from keras_longvideo.models.vivit.transfer import transfer_weights

    source = saved(SHORT, tmp_path / "preset")
    before = pooled(source, clips(4))
    target = ViViTBackbone(**SHORT)
    transfer_weights(source, target)
    model = VideoModel(target.input, target.output["pooled_output"])
    is_jax = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=is_jax)
    model.fit(clips(4), np.ones((2, 12)), verbose=0)
    close(pooled(source, clips(4)), before)
    assert np.abs(pooled(target, clips(4)) - before).max() > 1e-4


@pytest.mark.parametrize(
    "overrides, name",
    [
        ({"tubelet_size": (2, 8, 8)}, "embedding/kernel of shape"),
        ({"num_layers": 3}, "transformer_layer_2"),
        ({"num_layers": 1}, "have no place"),
        ({"hidden_dim": 16}, "output_norm/gamma of shape"),
        ({"tubes": "tubevit", "image_shape": (32, 32, 3)}, "kernel_0"),
        ({"positions": "joint"}, "joint_positions"),
    ],
)
def test_what_cannot_be_carried_over(overrides, name, tmp_path):
    saved(SHORT, tmp_path / "preset")
    with pytest.raises(ValueError, match=f"can't be carried over.*{name}"):
        ViViTBackbone.from_preset(tmp_path / "preset", **overrides)
