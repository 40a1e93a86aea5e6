"""Training on one stream of images and videos."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_longvideo.data import mix_datasets

BACKEND = keras.backend.backend()
IMAGES_ONLY = {"embedding/image_kernel", "embedding/image_bias"}
VIDEOS_ONLY = {
    "embedding/kernel",
    "embedding/bias",
    "embedding/time_positions",
}
SHARED = {
    "embedding/space_positions",
    "transformer_layer_0/feedforward_intermediate_dense/kernel",
    "output_norm/gamma",
    "video_projection/kernel",
}


def dataset(tiny, num_frames, batch_size=4):
    """One batch of clips of a colour each, with their captions."""
    return tf.data.Dataset.from_tensors(
        {
            "pixel_values": tiny.clips(num_frames)[:batch_size],
            "frame_mask": np.ones((batch_size, num_frames), bool),
            "captions": tiny.captions[:batch_size],
        }
    )


def compiled(tiny, optimizer, **kwargs):
    """A retriever of set weights, compiled for batches of several shapes."""
    keras.utils.set_random_seed(0)
    if BACKEND == "tensorflow":
        kwargs["run_eagerly"] = True
    return tiny.compile(tiny.retriever(), optimizer, **kwargs)


def weights_of(retriever):
    return {
        w.path: keras.ops.convert_to_numpy(w).copy()
        for w in retriever.trainable_weights
    }


def moved_by(retriever, dataset, **kwargs):
    before = weights_of(retriever)
    retriever.fit(dataset, verbose=0, **kwargs)
    return {
        path
        for path, value in weights_of(retriever).items()
        if np.abs(value - before[path]).max() > 0
    }


def loss_of(tiny, retriever, dataset):
    """The loss of the one batch of a dataset, by its definition."""
    inputs = retriever.preprocessor(next(dataset.as_numpy_iterator()))
    temperature = 1 / np.exp(float(retriever.log_logit_scale))
    embeddings = tiny.to_numpy(retriever(tiny.to_numpy(inputs)))
    return tiny.nce(embeddings, temperature)


def test_images_and_videos_share_all_above_the_embedding(tiny):
    retriever = compiled(tiny, keras.optimizers.SGD(0.01))
    images, videos = dataset(tiny, 1), dataset(tiny, 4)
    moved = moved_by(retriever, images)
    assert moved >= IMAGES_ONLY | SHARED
    assert not VIDEOS_ONLY & moved
    moved = moved_by(retriever, videos)
    assert moved >= VIDEOS_ONLY | SHARED
    assert not IMAGES_ONLY & moved
    mixed = mix_datasets([images, videos], [1, 1], seed=1)
    with warnings.catch_warnings(record=True) as caught:
        moved = moved_by(retriever, mixed, steps_per_epoch=8)
    assert moved >= IMAGES_ONLY | VIDEOS_ONLY | SHARED
    assert not [w for w in caught if "Gradients" in str(w.message)]


@pytest.mark.slow
def test_both_are_learned_and_validated(tiny):
    retriever = compiled(tiny, keras.optimizers.Adam(1e-2))
    # Videos take more memory than images: fewer fit a batch.
    both = dataset(tiny, 1), dataset(tiny, 4, batch_size=2)
    before = [loss_of(tiny, retriever, data) for data in both]
    history = retriever.fit(
        mix_datasets(both, [2, 1], seed=1),
        steps_per_epoch=10,
        epochs=4,
        validation_data=both[0].concatenate(both[1]),
        verbose=0,
    )
    after = [loss_of(tiny, retriever, data) for data in both]
    assert after[0] < 0.5 * before[0] and after[1] < 0.5 * before[1]
    # Keras weighs batches by their size.
    assert history.history["val_loss"][-1] == pytest.approx(
        np.average(after, weights=[4, 2]), rel=1e-3
    )
    mixed = mix_datasets(both, [1, 1]).take(3)
    assert "text_to_video/recall@1" in retriever.evaluate(mixed, verbose=0)


def test_a_frame_mask_of_images_changes_nothing(tiny):
    retriever = tiny.retriever()
    inputs = retriever.preprocessor(next(dataset(tiny, 1).as_numpy_iterator()))
    inputs = tiny.to_numpy(inputs)
    assert inputs["frame_mask"].shape == (4, 1)
    expected = tiny.to_numpy(retriever(inputs))["video_embeddings"]
    del inputs["frame_mask"]
    received = tiny.to_numpy(retriever(inputs))["video_embeddings"]
    np.testing.assert_allclose(received, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="microbatches are JAX's only")
def test_microbatches(tiny):
    # The batch of images is cut in two, that of videos is one.
    both = dataset(tiny, 1).concatenate(dataset(tiny, 4, batch_size=2))
    expected, received = (
        compiled(tiny, keras.optimizers.SGD(0.1), microbatch_size=size)
        for size in (None, 2)
    )
    assert moved_by(expected, both) >= VIDEOS_ONLY | IMAGES_ONLY
    assert moved_by(received, both) >= VIDEOS_ONLY | IMAGES_ONLY
    for path, weight, value in zip(
        [w.path for w in received.weights],
        received.get_weights(),
        expected.get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(weight, value, atol=1e-5, err_msg=path)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="others trace each shape")
def test_one_traced_program_for_all_is_refused(tiny):
    retriever = tiny.compile(tiny.retriever())
    mixed = mix_datasets([dataset(tiny, 1), dataset(tiny, 4)], [1, 1])
    with pytest.raises(ValueError, match="static frames.*`run_eagerly=True`"):
        retriever.fit(mixed, steps_per_epoch=2, verbose=0)


def test_an_epoch_has_to_end(tiny):
    retriever = tiny.compile(tiny.retriever())
    mixed = mix_datasets([dataset(tiny, 1), dataset(tiny, 4)], [1, 1])
    with pytest.raises(ValueError, match="`steps_per_epoch` must be given"):
        retriever.fit(mixed, verbose=0)
    with pytest.raises(ValueError, match="`validation_steps` must be given"):
        retriever.fit(dataset(tiny, 4), validation_data=mixed, verbose=0)
