import keras
import numpy as np
import pytest
from keras import ops

from keras_longvideo.layers import TUBEVIT
from keras_longvideo.layers import TokenMasking
from keras_longvideo.layers import Tube
from keras_longvideo.layers import TubeEmbedding

TUBES = (
    Tube((2, 4, 4), (4, 8, 8)),
    Tube((4, 2, 2), (3, 4, 4), (1, 2, 2)),
    Tube((1, 4, 4), (8, 4, 4)),
)


def video(frames=8, size=16, batch=2):
    rng = np.random.default_rng(0)
    shape = (batch, frames, size, size, 3)
    return rng.integers(0, 256, size=shape).astype("uint8")


def make(**kwargs):
    keras.utils.set_random_seed(0)
    return TubeEmbedding(12, **{"tubes": TUBES, **kwargs})


def embed(layer, *args, **kwargs):
    tokens, mask = layer(*args, **kwargs)
    mask = None if mask is None else ops.convert_to_numpy(mask)
    return ops.convert_to_numpy(ops.cast(tokens, "float32")), mask


def by_definition(layer, clip):
    """Each tube cut out with slices, in float64."""
    clip = clip.astype("float64") / 127.5 - 1
    tokens = []
    for tube, kernel, bias in zip(
        layer.tubes, layer.kernels, layer.biases, strict=True
    ):
        kernel = ops.convert_to_numpy(kernel).astype("float64")
        (t, h, w), stride, start = tube.size, tube.stride, tube.offset
        for i in range(start[0], len(clip) - t + 1, stride[0]):
            for r in range(start[1], clip.shape[1] - h + 1, stride[1]):
                for c in range(start[2], clip.shape[2] - w + 1, stride[2]):
                    box = clip[i : i + t, r : r + h, c : c + w]
                    token = np.tensordot(box, kernel, 4)
                    token += ops.convert_to_numpy(bias)
                    # 12 = 6 x 2 frequencies: 1 and 1/100.
                    centre = (i + (t - 1) / 2, r + (h - 1) / 2, c + (w - 1) / 2)
                    for k, x in enumerate(centre):
                        angles = x * np.array([1, 0.01])
                        token[4 * k : 4 * k + 2] += np.sin(angles)
                        token[4 * k + 2 : 4 * k + 4] += np.cos(angles)
                    tokens.append(token)
    return np.stack(tokens)


def test_equals_its_definition():
    layer, clips = make(), video()
    tokens, mask = embed(layer, clips)
    assert mask is None
    assert tokens.shape == (2, 8 + 32 + 16, 12)
    assert layer.count_tokens(8, 16, 16) == 56
    for i in range(2):
        np.testing.assert_allclose(
            tokens[i], by_definition(layer, clips[i]), atol=1e-4
        )


def test_tokens_of_tubevit():
    # 224 pixels and 32 frames: 2 x 7 x 7, 3 x 7 x 7, 2 x 7 x 7 and 14 x 14.
    layer = TubeEmbedding(12)
    assert layer.tubes == TUBEVIT
    assert layer.count_tokens(32, 224, 224) == 98 + 147 + 98 + 196


def test_an_image_takes_tubes_of_one_frame():
    layer, clips = make(), video(frames=1)
    tokens, _ = embed(layer, clips)
    assert tokens.shape == (2, 16, 12) and layer.count_tokens(1, 16, 16) == 16
    with pytest.raises(ValueError, match="needs a tube that is one frame long"):
        make(tubes=TUBES[:2])(clips)


def test_a_clip_that_ends_within_a_tube_stands_still():
    layer, clips = make(), video(frames=2)
    longer = np.concatenate([clips, clips[:, -1:], clips[:, -1:]], axis=1)
    tokens, _ = embed(layer, clips)
    still, _ = embed(layer, np.concatenate([longer, clips[:, -1:]], axis=1))
    np.testing.assert_allclose(tokens, still, atol=1e-5)


def test_padding_repeats_the_last_frame():
    layer, clips = make(), video()
    mask = np.arange(8) < np.array([[8], [3]])
    filled = clips.copy()
    filled[1, 3:] = clips[1, 2]
    tokens, token_mask = embed(layer, clips, frame_mask=mask)
    expected, _ = embed(layer, filled)
    np.testing.assert_allclose(tokens, expected, atol=1e-5)
    assert token_mask[0].all()
    # Times 0 and 4, four places each; 1 and 4, 16; 0.
    real = [True] * 4 + [False] * 4 + [True] * 16 + [False] * 16
    real += [True] * 16
    np.testing.assert_array_equal(token_mask[1], real)


@pytest.mark.parametrize("frames", range(1, 9))
def test_padding_adds_no_tube(frames):
    layer, clips = make(), video()
    bare, _ = embed(layer, clips[:, :frames])
    mask = np.broadcast_to(np.arange(8) < frames, (2, 8))
    tokens, token_mask = embed(layer, clips, frame_mask=mask)
    np.testing.assert_array_equal(token_mask[0], token_mask[1])
    np.testing.assert_allclose(tokens[:, token_mask[0]], bare, atol=1e-5)


def test_masking_drops_a_share_of_every_shape():
    layer, clips = make(masking=TokenMasking(0.5)), video()
    mask = np.ones((2, 8), bool)
    tokens, token_mask = embed(layer, clips, frame_mask=mask, training=True)
    assert tokens.shape == (2, 4 + 16 + 8, 12) and token_mask.shape == (2, 28)
    everything, _ = embed(layer, clips)
    for i in range(2):
        distances = np.abs(tokens[i][:, None] - everything[i]).max(-1)
        assert (distances.min(axis=1) < 1e-5).all()


def test_masking_leaves_images_whole():
    masking, image = TokenMasking(0.5), video(frames=1)
    layer = make(masking=masking, num_frames=8)
    tokens, _ = embed(layer, image, training=True)
    np.testing.assert_array_equal(tokens, embed(layer, image)[0])
    # But an embedding of images masks them.
    layer = make(masking=masking, num_frames=1)
    tokens, _ = embed(layer, image, training=True)
    assert tokens.shape == (2, 8, 12)


def test_survives_its_config():
    layer = make(masking=TokenMasking(0.5), num_frames=1)
    again = TubeEmbedding.from_config(layer.get_config())
    assert again.tubes == layer.tubes and again.masking.rate == 0.5
    assert again.num_frames == 1


def test_bad_input():
    with pytest.raises(ValueError, match="height must be at least 4"):
        make()(video(size=2))
    with pytest.raises(ValueError, match="must be of mode 'random'"):
        make(masking=TokenMasking(0.5, mode="tube"))
