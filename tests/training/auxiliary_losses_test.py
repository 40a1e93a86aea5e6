"""Auxiliary losses, by hand, and the model that trains with them."""

import types

import keras
import numpy as np
import pytest

from keras_longvideo.training import VideoTextPretrainer
from keras_longvideo.training.auxiliary_losses import CaptionDecoder
from keras_longvideo.training.auxiliary_losses import mask_tokens
from keras_longvideo.training.auxiliary_losses import token_loss

CAPTIONS = ["red ball", "a blue box", "green ball", "dim"]


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def inputs_of(retriever):
    clips = np.random.default_rng(0).integers(0, 256, (4, 2, 16, 16, 3))
    pairs = {"videos": clips.astype("uint8"), "captions": CAPTIONS}
    x = retriever.preprocessor(pairs)
    return {name: numpy(value) for name, value in x.items()}


def test_token_loss_by_hand():
    # Probabilities of 1/2 and 1/8; the third does not count.
    scores = np.log([[[0.5, 0.25, 0.25], [0.125, 0.125, 0.75], [1, 1, 1]]])
    scores = scores.astype("float32")
    targets, weights = np.array([[0, 1, 2]]), np.array([[True, True, False]])
    loss = token_loss(scores, targets, weights)
    assert float(loss) == pytest.approx((np.log(2) + np.log(8)) / 2)
    # No token counts.
    assert float(token_loss(scores, targets, 0 * weights)) == 0


def test_which_tokens_are_hidden():
    ids = np.tile(np.arange(20, dtype="int32"), (3000, 1))
    padding = ids < 16
    hidden, is_chosen = mask_tokens(
        ids, padding, [2, 3], 4, 1000, keras.random.SeedGenerator(0)
    )
    hidden, is_chosen = numpy(hidden), numpy(is_chosen)
    assert not is_chosen[:, 16:].any() and not is_chosen[:, [2, 3]].any()
    np.testing.assert_array_equal(hidden[~is_chosen], ids[~is_chosen])
    usual = [i for i in range(16) if i not in (2, 3)]
    # Five standard deviations of 42,000 draws.
    assert is_chosen[:, usual].mean() == pytest.approx(0.15, abs=0.009)
    chosen = is_chosen & (ids != 4)
    became = hidden[chosen]
    assert (became == 4).mean() == pytest.approx(0.8, abs=0.03)
    assert (became == ids[chosen]).mean() == pytest.approx(0.1, abs=0.02)


def test_a_caption_is_read_from_its_start_and_of_the_video():
    decoder = CaptionDecoder(
        9, 5, hidden_dim=8, num_heads=2, intermediate_dim=8
    )
    rng = np.random.default_rng(0)
    words = rng.integers(0, 9, (2, 5))
    video = rng.normal(size=(2, 7, 6)).astype("float32")
    decoder(words, video)
    for weight in decoder.weights:
        weight.assign(rng.normal(size=weight.shape))
    before = numpy(decoder(words, video))
    assert before.shape == (2, 5, 9)
    other = words.copy()
    other[:, 3] = (other[:, 3] + 1) % 9
    changed = np.abs(numpy(decoder(other, video)) - before).max(axis=(0, 2))
    assert (changed[:3] < 1e-5).all() and (changed[3:] > 1e-3).all()
    shifted = np.abs(numpy(decoder(words, video + 1)) - before)
    assert (shifted.max(axis=(0, 2)) > 1e-3).all()


def test_the_loss_is_the_sum_of_its_parts(tiny):
    retriever = tiny.retriever()
    pretrainer = VideoTextPretrainer(retriever, 0.5, 2.0)
    x = inputs_of(retriever)
    outputs = {k: numpy(v) for k, v in pretrainer(x).items()}
    alone = retriever(x)
    for name, value in alone.items():
        np.testing.assert_allclose(outputs[name], numpy(value), atol=1e-6)
    loss = float(pretrainer.compute_loss(y_pred=outputs))
    expected = float(retriever.compute_loss(y_pred=alone))
    expected += 0.5 * outputs["masked_language_modeling"]
    expected += 2.0 * outputs["captioning"]
    assert loss == pytest.approx(expected, rel=1e-5)
    # Untrained heads know nothing: about log of the number of words.
    assert outputs["captioning"] == pytest.approx(np.log(12), rel=0.05)

    # Captioning by its definition, from the decoder's own scores.
    seen = retriever.backbone({k: x[k] for k in ("pixel_values", "frame_mask")})
    ids = x["token_ids"]
    scores = numpy(pretrainer.decoder(ids[:, :-1], seen["sequence_output"]))
    losses = []
    for row, targets in zip(scores, ids[:, 1:], strict=True):
        for s, target in zip(row, targets, strict=True):
            if target != 0:  # padding
                losses.append(np.log(np.exp(s).sum()) - s[target])
    assert outputs["captioning"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_retrievers_that_do_not_fit(tiny):
    retriever = tiny.retriever()
    other = types.SimpleNamespace(
        preprocessor=retriever.preprocessor, text_backbone=retriever.backbone
    )
    with pytest.raises(ValueError, match="BertBackbone.*ViViTBackbone"):
        VideoTextPretrainer(other, captioning=1.0)
    retriever.preprocessor = None
    with pytest.raises(ValueError, match="`retriever` must have a preproc"):
        VideoTextPretrainer(retriever, captioning=1.0)


def test_training_learns_captions_and_leaves_a_plain_retriever(tiny, tmp_path):
    retriever = tiny.retriever()
    names = {w.path for w in retriever.weights}
    pretrainer = VideoTextPretrainer(retriever, 1.0, 1.0)
    jit = {"jit_compile": keras.backend.backend() == "jax"}
    pretrainer.compile(keras.optimizers.Adam(1e-2), **jit)
    x = inputs_of(retriever)
    history = pretrainer.fit(x, batch_size=4, epochs=20, verbose=0).history
    assert set(history) == {
        *("loss", "masked_language_modeling_loss", "captioning_loss")
    }
    # Which tokens are hidden is a matter of chance, and with it that loss.
    assert np.isfinite(history["masked_language_modeling_loss"]).all()
    losses = history["captioning_loss"]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    retriever.save_to_preset(tmp_path / "preset")
    loaded = type(retriever).from_preset(tmp_path / "preset")
    assert len(loaded.weights) == len(names)
    np.testing.assert_allclose(
        numpy(loaded(x)["video_embeddings"]),
        numpy(retriever(x)["video_embeddings"]),
        atol=1e-6,
    )
