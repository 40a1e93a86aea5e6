import numpy as np
import pytest
from keras import ops

from keras_longvideo.layers import TokenMasking
from keras_longvideo.layers import TubeletEmbedding


def make(**overrides):
    config = {
        "hidden_dim": 8,
        "tubelet_size": (2, 4, 4),
        "num_frames": 4,
        "image_size": (8, 12),
    }
    return TubeletEmbedding(**{**config, **overrides})


def pixels(frames=4, height=8, width=12, batch=2):
    rng = np.random.default_rng(0)
    shape = (batch, frames, height, width, 3)
    return rng.integers(0, 256, size=shape).astype("uint8")


def numpy(x):
    return ops.convert_to_numpy(x)


def test_equals_a_loop_over_tubelets():
    layer = make()
    video = pixels()
    tokens, token_mask = layer(video)
    assert token_mask is None
    kernel, bias, time, space = (
        numpy(w).astype("float64")
        for w in (
            layer.kernel,
            layer.bias,
            layer.time_positions,
            layer.space_positions,
        )
    )
    scaled = video / 127.5 - 1
    expected = [
        (kernel * scaled[1, 2 * t : 2 * t + 2, 4 * r : 4 * r + 4,
                         4 * c : 4 * c + 4, :, None]).sum((0, 1, 2, 3))
        + bias + time[t] + space[r, c]
        for t, r, c in np.ndindex(2, 2, 3)
    ]  # fmt: skip
    np.testing.assert_allclose(numpy(tokens)[1], expected, atol=1e-5)


def test_an_image_has_its_own_kernel_and_no_time():
    layer = make()
    image = pixels(frames=1)
    tokens, _ = layer(image)
    patch = image[0, 0, 4:8, 8:12] / 127.5 - 1
    expected = (numpy(layer.image_kernel)[0] * patch[..., None]).sum((0, 1, 2))
    expected = expected + numpy(layer.space_positions)[1, 2]
    np.testing.assert_allclose(numpy(tokens)[0, 5], expected, atol=1e-5)


def test_without_tubelets_in_time_there_is_one_kernel():
    layer = make(tubelet_size=(1, 4, 4))
    layer(pixels(frames=1))
    assert not hasattr(layer, "image_kernel")


def test_scaled_floats_equal_raw_uint8():
    layer = make(scale=0.5, offset=3.0)
    video = pixels()
    raw, _ = layer(video)
    scaled, _ = layer(video * np.float32(0.5) + 3.0)
    np.testing.assert_allclose(numpy(raw), numpy(scaled), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8, 12), (4, 16, 8), (2, 4, 4)])
def test_other_sizes_have_interpolated_positions(shape):
    layer = make()
    layer.build(None)
    # Positions that rise evenly still do so on another grid.
    layer.kernel.assign(np.zeros(layer.kernel.shape))
    rise = np.arange(2.0)[:, None] * np.ones(8)
    layer.time_positions.assign(rise)
    layer.space_positions.assign(np.zeros(layer.space_positions.shape))
    tokens = numpy(layer(pixels(*shape))[0])
    times, places = shape[0] // 2, shape[1] * shape[2] // 16
    tokens = tokens.reshape(2, times, places, 8)
    expected = np.clip((np.arange(times) + 0.5) * 2 / times - 0.5, 0, 1)
    np.testing.assert_allclose(
        tokens, np.broadcast_to(expected[:, None, None], tokens.shape[1:])[None]
        .repeat(2, 0), atol=1e-6,
    )  # fmt: skip


def test_half_a_tubelet_repeats_the_last_frame():
    layer = make()
    video = pixels()
    frame_mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
    tokens, token_mask = layer(video, frame_mask=frame_mask)
    assert numpy(token_mask).tolist() == [[True] * 12, [True] * 6 + [False] * 6]
    still = video.copy()
    still[0, 3], still[1, 1] = still[0, 2], still[1, 0]
    expected = numpy(layer(still)[0])
    np.testing.assert_allclose(numpy(tokens)[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(numpy(tokens)[1, :6], expected[1, :6], atol=1e-6)


def test_masking_keeps_the_tokens_of_the_whole_video():
    # Dropping tubelets before they are projected changes none that is kept.
    layer = make(masking=TokenMasking(rate=0.5, seed=3))
    video = pixels()
    every = numpy(layer(video)[0])
    kept = numpy(layer(video, training=True)[0])
    assert kept.shape == (2, 6, 8)
    for example in range(2):
        distances = np.abs(kept[example][:, None] - every[example]).max(-1)
        found = distances.argmin(axis=1)
        assert distances.min(axis=1).max() < 1e-6
        assert (np.diff(found) > 0).all()


def test_images_beside_videos_are_not_masked():
    layer = make(masking=TokenMasking(rate=0.5))
    picture = pixels(frames=1)
    whole, _ = layer(picture)
    trained, _ = layer(picture, training=True)
    np.testing.assert_array_equal(numpy(trained), numpy(whole))
    # An encoder of images has nothing else to mask.
    layer = make(masking=TokenMasking(rate=0.5), num_frames=1)
    tokens, _ = layer(picture, training=True)
    assert tokens.shape[1] == whole.shape[1] // 2


def test_masking_and_padding():
    layer = make(masking=TokenMasking(rate=0.5))
    frame_mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    tokens, token_mask = layer(pixels(), frame_mask=frame_mask, training=True)
    # Of 12 tubelets 6 are kept; the first clip has exactly 6 real ones.
    assert tokens.shape == (2, 6, 8)
    assert numpy(token_mask).all()


def test_bfloat16_pixels_are_scaled_in_float32():
    layer, half = make(), make(dtype="bfloat16")
    video = pixels()
    expected, _ = layer(video)
    half.build(None)
    for target, source in zip(half.weights, layer.weights, strict=True):
        target.assign(source)
    tokens, _ = half(video)
    np.testing.assert_allclose(
        numpy(ops.cast(tokens, "float32")), numpy(expected), atol=2e-2
    )


@pytest.mark.parametrize(
    "video, message",
    [
        (np.zeros((1, 3, 8, 12, 3), "uint8"), "number of frames .* 2 or 4"),
        (np.zeros((1, 4, 9, 12, 3), "uint8"), "height .* 8 or 12 would fit"),
        (np.zeros((1, 4, 8, 3, 3), "uint8"), "width .* 4 would fit"),
        (np.zeros((1, 0, 8, 12, 3), "uint8"), "number of frames"),
        (np.zeros((1, 4, 8, 12, 1), "uint8"), "must have shape"),
        (np.zeros((4, 8, 12, 3), "uint8"), "must have shape"),
        (np.zeros((1, 4, 8, 12, 3), "int32"), "must be uint8"),
    ],
)
def test_bad_pixels(video, message):
    with pytest.raises(ValueError, match=message):
        make()(ops.convert_to_tensor(video))


def test_bad_frame_mask():
    with pytest.raises(ValueError, match=r"`frame_mask` must have .*\(2, 4\)"):
        make()(pixels(), frame_mask=np.ones((2, 3), bool))


def test_config_round_trip():
    layer = make(masking=TokenMasking(rate=0.25, mode="tube"))
    copy = TubeletEmbedding.from_config(layer.get_config())
    assert copy.masking.rate == 0.25
    assert copy.masking.mode == "tube"
    assert copy.get_config() == layer.get_config()


def test_fixed_positions_are_sinusoids_and_not_trained():
    layer = make(positions="fixed", hidden_dim=2)
    tokens, _ = layer(pixels())
    assert [w.name for w in layer.non_trainable_weights] == ["joint_positions"]
    without, _ = make_without_positions(layer)(pixels())
    numbers = np.arange(12)
    expected = np.stack([np.sin(numbers), np.cos(numbers)], axis=1)
    np.testing.assert_allclose(
        numpy(tokens)[0] - numpy(without)[0], expected, atol=1e-5
    )


def make_without_positions(layer):
    other = make(positions="joint", hidden_dim=layer.hidden_dim)
    other.build((2, 4, 8, 12, 3))
    other.kernel.assign(layer.kernel)
    other.bias.assign(layer.bias)
    other.joint_positions.assign(np.zeros(other.joint_positions.shape))
    return other
