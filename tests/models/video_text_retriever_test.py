import concurrent.futures
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_longvideo import data
from keras_longvideo import models
from keras_longvideo.evaluation import retrieval_metrics
from keras_longvideo.video import VideoError


def sigmoid(embeddings, scale, bias):
    """The loss of SigLIP over a batch, in float64 and by its definition."""
    video = np.asarray(embeddings["video_embeddings"], "float64")
    text = np.asarray(embeddings["text_embeddings"], "float64")
    total = 0.0
    for i in range(len(video)):
        for j in range(len(text)):
            logit = scale * video[i] @ text[j] + bias
            total += np.log1p(np.exp(-logit if i == j else logit))
    return total / len(video)


def loss_of(retriever, embeddings):
    return float(retriever.compute_loss(y_pred=embeddings))


def test_embeddings(tiny, fitted):
    for embeddings in (fitted.before, fitted.after):
        for name in ("video_embeddings", "text_embeddings"):
            assert embeddings[name].shape == (4, 8)
            assert embeddings[name].dtype == np.float32
            np.testing.assert_allclose(
                np.linalg.norm(embeddings[name], axis=1), 1, atol=1e-6
            )


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16"])
def test_half_precision(tiny, dtype):
    loss = "sigmoid" if dtype == "bfloat16" else "nce"
    retriever = tiny.compile(tiny.retriever(dtype=dtype, loss=loss))
    assert retriever.backbone.compute_dtype == "bfloat16"
    kernel = retriever.backbone.embedding.kernel.dtype
    assert kernel == ("bfloat16" if dtype == "bfloat16" else "float32")
    embeddings = tiny.outputs(retriever)
    for x in embeddings.values():
        # Not `to_numpy`'s cast: 8 bits of mantissa would show here.
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    # Preprocessed clips, and so no frame mask either.
    pairs = {"pixel_values": tiny.clips(), "captions": tiny.captions}
    dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(4)
    losses = retriever.fit(dataset, epochs=6, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_the_first_loss_is_nce_at_temperature_007(tiny, fitted):
    # All pairs are in the one batch, and nothing is dropped in training.
    assert fitted.losses[0] == pytest.approx(
        tiny.nce(fitted.before, 0.07), rel=1e-4
    )


def test_training_lowers_the_loss(fitted):
    assert fitted.losses[-1] < 0.7 * fitted.losses[0]


def test_sigmoid_loss(tiny, fitted):
    retriever = tiny.retriever(loss="sigmoid")
    for embeddings in (fitted.before, fitted.after):
        assert loss_of(retriever, embeddings) == pytest.approx(
            sigmoid(embeddings, scale=10, bias=-10), rel=1e-5
        )
    trainable = {w.name for w in retriever.trainable_weights}
    assert {"log_logit_scale", "logit_bias"} <= trainable


def test_sample_weights(tiny, fitted):
    retriever = tiny.retriever()
    whole = loss_of(retriever, fitted.before)
    half = retriever.compute_loss(
        y_pred=fitted.before, sample_weight=np.full(4, 0.5, "float32")
    )
    assert float(half) == pytest.approx(whole / 2, rel=1e-6)


def test_fit_weights_samples(tiny, fitted):
    retriever = tiny.retriever()
    tiny.compile(retriever, keras.optimizers.SGD(0.0))
    weights = np.array([1, 0, 0, 0.5], "float32")
    history = retriever.fit(
        tiny.pairs(),
        batch_size=4,
        sample_weight=weights,
        validation_data=(tiny.pairs(), None, 2 * weights),
        shuffle=False,
        verbose=0,
    ).history
    losses = float(
        retriever.compute_loss(
            y_pred=tiny.outputs(retriever), sample_weight=weights
        )
    )
    assert losses < 0.8 * fitted.losses[0]
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(history["val_loss"], 2 * losses, rtol=1e-4)


def test_a_batch_of_one(tiny, fitted):
    one = {k: x[:1] for k, x in fitted.before.items()}
    assert loss_of(tiny.retriever(), one) == 0
    embeddings = fitted.retriever.encode_video(tiny.clips()[:1], verbose=0)
    assert embeddings.shape == (1, 8)


def test_the_temperature_is_bounded(tiny, fitted):
    retriever = fitted.retriever
    scale = retriever.log_logit_scale
    before = scale.numpy() if hasattr(scale, "numpy") else np.array(scale)
    scale.assign(np.log(150.0))
    retriever.fit(tiny.pairs(), batch_size=4, verbose=0)
    assert float(scale) <= np.log(100) + 1e-6
    assert float(scale) > np.log(90)
    scale.assign(before)


@pytest.mark.parametrize("kind", ["manifest", "paths", "dataset"])
def test_kinds_of_training_data(tiny, fitted, video_files, kind):
    several = [[c, c.replace("a ", "")] for c in tiny.captions]
    pairs = {
        "manifest": {"videos": video_files, "captions": several},
        "paths": {"videos": video_files, "captions": tiny.captions},
        "dataset": tf.data.Dataset.from_tensor_slices(tiny.pairs()).batch(4),
    }[kind]
    batch_size = None if kind == "dataset" else 4
    history = fitted.retriever.fit(
        pairs, batch_size=batch_size, epochs=2, verbose=0
    )
    assert np.isfinite(history.history["loss"]).all()
    assert len(history.history["loss"]) == 2


def test_validation(tiny, fitted, video_files):
    retriever = fitted.retriever
    losses = []
    for validation in (
        {"videos": video_files, "captions": tiny.captions},
        {"videos": video_files, "captions": [[c] for c in tiny.captions]},
    ):
        history = retriever.fit(
            tiny.pairs(),
            batch_size=4,
            epochs=1,
            validation_data=validation,
            verbose=0,
        )
        embeddings = tiny.outputs(retriever, video_files)
        temperature = 1 / np.exp(float(retriever.log_logit_scale))
        losses.append(
            (history.history["val_loss"][0], tiny.nce(embeddings, temperature))
        )
    for received, expected in losses:
        assert received == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_validation_in_batches_of_another_size(tiny, fitted):
    retriever = fitted.retriever
    history = retriever.fit(
        tiny.pairs(),
        batch_size=4,
        validation_data=tiny.pairs(),
        validation_batch_size=2,
        verbose=0,
    )
    temperature = 1 / np.exp(float(retriever.log_logit_scale))
    embeddings = tiny.outputs(retriever)
    # Each is told from one other, not from three.
    halves = [
        tiny.nce({k: x[rows] for k, x in embeddings.items()}, temperature)
        for rows in (slice(0, 2), slice(2, 4))
    ]
    assert history.history["val_loss"][0] == pytest.approx(
        np.mean(halves), rel=1e-3, abs=1e-4
    )


def test_encode_video(tiny, fitted, video_files):
    retriever = fitted.retriever
    together = retriever.encode_video(video_files, batch_size=2, verbose=0)
    assert together.shape == (4, 8)
    assert together.dtype == np.float32
    expected = tiny.outputs(retriever, video_files)["video_embeddings"]
    np.testing.assert_allclose(together, expected, atol=1e-5)
    clips = retriever.preprocessor.video_converter(video_files)["pixel_values"]
    for videos in (clips, list(clips), clips.astype("float32") / 127.5 - 1):
        received = retriever.encode_video(videos, batch_size=2, verbose=0)
        np.testing.assert_allclose(received, expected, atol=1e-5)
    for video in (video_files[1], clips[1]):
        received = retriever.encode_video(video, verbose=0)
        assert received.shape == (8,)
        np.testing.assert_allclose(received, expected[1], atol=1e-5)


def test_padding_of_a_clip_changes_nothing(tiny, fitted):
    retriever = fitted.retriever
    clips = tiny.clips()[:, :2]
    short = tiny.outputs(retriever, clips)["video_embeddings"]
    tokens = retriever.preprocessor.tokenize(tiny.captions)
    direct = retriever(
        {
            "pixel_values": np.concatenate([clips, 255 - clips], axis=1),
            "frame_mask": np.array([[True, True, False, False]] * 4),
            **tiny.to_numpy(tokens),
        }
    )
    np.testing.assert_allclose(
        short, tiny.to_numpy(direct)["video_embeddings"], atol=1e-5
    )


def test_the_frame_mask_is_optional(tiny, fitted):
    retriever = fitted.retriever
    tokens = retriever.preprocessor.tokenize(tiny.captions)
    inputs = {"pixel_values": tiny.clips(), **tiny.to_numpy(tokens)}
    np.testing.assert_allclose(
        tiny.to_numpy(retriever(inputs))["video_embeddings"],
        tiny.outputs(retriever)["video_embeddings"],
        atol=1e-5,
    )


def test_a_video_longer_than_the_clip(tiny, fitted):
    long = tiny.clips(frames=12)[0]
    retriever = fitted.retriever
    np.testing.assert_allclose(
        retriever.encode_video(long, verbose=0),
        retriever.encode_video(long[[1, 4, 7, 10]], verbose=0),
        atol=1e-6,
    )


def test_encode_text(tiny, fitted):
    retriever = fitted.retriever
    together = retriever.encode_text(tiny.captions)
    assert together.shape == (4, 8)
    assert together.dtype == np.float32
    np.testing.assert_allclose(
        together, tiny.outputs(retriever)["text_embeddings"], atol=1e-5
    )
    for texts in (tuple(tiny.captions), np.array(tiny.captions)):
        np.testing.assert_array_equal(retriever.encode_text(texts), together)
    one = retriever.encode_text(tiny.captions[2])
    assert one.shape == (8,)
    np.testing.assert_allclose(one, together[2], atol=1e-5)
    with pytest.raises(ValueError, match=r"captions\[1\] is empty"):
        retriever.encode_text(["a", ""])


def test_padding_of_a_text_changes_nothing(tiny, fitted):
    retriever = fitted.retriever
    received = []
    for length in (8, 16):
        tokens = tiny.preprocessor(length).tokenize(tiny.captions)
        embeddings = retriever.text_encoder(tiny.to_numpy(tokens))
        received.append(tiny.to_numpy(embeddings))
    np.testing.assert_allclose(*received, atol=1e-5)


@pytest.fixture
def arranged(fitted, monkeypatch):
    """The retriever with embeddings worked out by hand, by video and text."""
    videos = np.zeros((3, 8), "float32")
    videos[0, 0] = videos[1, 1] = videos[2, 2] = 1
    texts = {
        "a red ball": [0.9, 0.1, 0.0],  # Closest to 0, then 1, then 2.
        "a ball": [0.0, 0.8, 0.6],  # 1, 2, 0.
        "a blue box": [0.2, 0.3, 0.5],  # 2, 1, 0.
        "box": [0.7, 0.3, 0.1],  # 0, 1, 2.
    }

    def encode_video(paths, *args, **kwargs):
        return videos[[int(path) for path in paths]]

    def encode_text(queries, *args, **kwargs):
        rows = np.zeros((len(queries), 8), "float32")
        rows[:, :3] = [texts[query] for query in queries]
        return rows

    monkeypatch.setattr(fitted.retriever, "encode_video", encode_video)
    monkeypatch.setattr(fitted.retriever, "encode_text", encode_text)
    return fitted.retriever


def test_search_by_hand(arranged):
    hits = arranged.search("a ball", ["0", "1", "2"], top_k=2)
    assert [(hit.index, hit.video) for hit in hits] == [(1, "1"), (2, "2")]
    assert [hit.score for hit in hits] == pytest.approx([0.8, 0.6])
    hits = arranged.search("a ball", ["2", "0", "1"])
    assert [(hit.index, hit.video) for hit in hits] == [
        (2, "1"),
        (0, "2"),
        (1, "0"),
    ]
    both = arranged.search(["a red ball", "a blue box"], ["0", "1", "2"])
    assert [[hit.index for hit in hits] for hits in both] == [
        [0, 1, 2],
        [2, 1, 0],
    ]


def test_search_puts_the_earlier_of_equals_first(arranged):
    hits = arranged.search("a ball", ["0", "1", "1", "1"])
    assert [hit.index for hit in hits] == [1, 2, 3, 0]


def test_evaluate_by_hand(arranged):
    metrics = arranged.evaluate(
        {
            "videos": ["0", "1", "2"],
            "captions": [["a red ball"], "a ball", ["a blue box", "box"]],
        }
    )
    # "box" ranks its video, 2, last; all else is first, and 2 by "a blue box".
    assert metrics["text_to_video/recall@1"] == 0.75
    assert metrics["text_to_video/recall@5"] == 1
    assert metrics["text_to_video/median_rank"] == 1
    assert metrics["video_to_text/recall@1"] == 1


def test_search_on_files_and_on_embeddings(tiny, fitted, video_files):
    retriever = fitted.retriever
    embeddings = retriever.encode_video(video_files, verbose=0)
    scores = retriever.encode_text(["a red ball"])[0] @ embeddings.T
    by_file = retriever.search("a red ball", video_files, top_k=9, verbose=0)
    by_embedding = retriever.search("a red ball", embeddings)
    order = np.argsort(-scores)
    for hits in (by_file, by_embedding):
        assert [hit.index for hit in hits] == order.tolist()
        np.testing.assert_allclose(
            [hit.score for hit in hits], scores[order], atol=1e-5
        )
    assert [hit.video for hit in by_file] == [video_files[i] for i in order]
    with pytest.raises(ValueError, match="embeddings of length 8.*4, 5"):
        retriever.search("a", np.zeros((4, 5), "float32"))


def test_evaluate(tiny, fitted, video_files):
    retriever = fitted.retriever
    videos = retriever.encode_video(video_files, verbose=0)
    texts = [c for c in tiny.captions for _ in range(2)]
    received = retriever.evaluate(
        {"videos": video_files, "captions": [[c, c] for c in tiny.captions]},
        verbose=0,
    )
    assert received == retrieval_metrics(
        videos, retriever.encode_text(texts), [0, 0, 1, 1, 2, 2, 3, 3]
    )
    pairs = {"videos": video_files, "captions": tiny.captions}
    received = retriever.evaluate(pairs, verbose=0)
    expected = retrieval_metrics(
        videos, retriever.encode_text(tiny.captions), np.arange(4)
    )
    assert received == expected
    dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(4)
    assert retriever.evaluate(dataset, verbose=0) == pytest.approx(expected)


@pytest.mark.parametrize("way", [{"adapter_dim": 3}, {"lora_rank": 2}])
def test_what_was_added_is_searched_with(tiny, way):
    retriever, clips = tiny.retriever(), tiny.clips()
    before = retriever.encode_video(clips, verbose=0)
    retriever.backbone.adapt(**way)
    rng = np.random.default_rng(0)
    for weight in retriever.backbone.trainable_weights:
        if "adapter_" in weight.path or "lora_" in weight.path:
            weight.assign(rng.normal(size=weight.shape))
    tiny.compile(retriever)
    after = retriever.encode_video(clips, verbose=0)
    assert np.abs(after - before).max() > 0.01
    expected = tiny.outputs(retriever)["video_embeddings"]
    np.testing.assert_allclose(after, expected, atol=1e-5)


def test_evaluate_takes_steps_of_a_dataset(tiny, fitted, video_files):
    retriever = fitted.retriever
    pairs = {"videos": video_files, "captions": tiny.captions}
    endless = tf.data.Dataset.from_tensor_slices(pairs).batch(1).repeat()
    expected = retriever.evaluate(
        {name: x[:3] for name, x in pairs.items()}, verbose=0
    )
    received = retriever.evaluate(endless, steps=3, verbose=0)
    assert received == pytest.approx(expected)
    with pytest.raises(ValueError, match="`steps` must be given"):
        retriever.evaluate(endless)
    for name in ("steps", "y", "sample_weight"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            retriever.evaluate(pairs, **{name: 2})
    misspelt = {"videos": video_files, "caption": tiny.captions}
    with pytest.raises(ValueError, match="the keys 'videos'.*'caption', 'vid"):
        retriever.evaluate(misspelt, verbose=0)
    with pytest.raises(TypeError, match="'stepz'"):
        retriever.evaluate(pairs, stepz=2)


def test_evaluate_wants_captions_for_each_video(tiny, fitted):
    pairs = {"videos": tiny.clips(), "captions": ["a"]}
    with pytest.raises(ValueError, match="4 videos, captions for 1"):
        fitted.retriever.evaluate(pairs)


def test_not_a_number(tiny, fitted):
    clips = np.full((2, 4, 16, 16, 3), np.nan, "float32")
    with pytest.raises(ValueError, match="finite"):
        fitted.retriever.evaluate(
            {"videos": clips, "captions": ["a", "a red ball"]}, verbose=0
        )


def test_a_failure_leaves_the_weights(tiny, fitted, video_files):
    retriever = fitted.retriever
    expected = retriever.get_weights()

    def check():
        for weight, value in zip(
            retriever.get_weights(), expected, strict=True
        ):
            # On TensorFlow a step that fails may have decayed them already.
            np.testing.assert_allclose(weight, value, rtol=1e-4)

    files = [video_files[0], "/no.mp4"]
    for batch_size in (2, 1):  # Fails at the first batch, at the second.
        with pytest.raises(VideoError, match="/no.mp4"):
            retriever.encode_video(files, batch_size, verbose=0)
        with pytest.raises(VideoError, match="/no.mp4"):
            retriever.search("a", files, batch_size=batch_size, verbose=0)
    clips = np.zeros((2, 3, 7, 7, 3), "float32")
    with pytest.raises(ValueError, match="Only uint8 pictures"):
        retriever.encode_video(clips, verbose=0)
    check()

    pairs = {"videos": files * 2, "captions": tiny.captions}
    with pytest.raises(tf.errors.OpError, match="Cannot read video /no.mp4"):
        retriever.fit(pairs, batch_size=4, verbose=0)
    with pytest.raises(tf.errors.OpError, match="Cannot read video /no.mp4"):
        retriever.predict(pairs, batch_size=4, verbose=0)
    check()
    history = retriever.fit(tiny.pairs(), batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("shuffle", [True, False])
def test_empty_captions_are_named(tiny, fitted, shuffle):
    pairs = {**tiny.pairs(), "captions": ["a", "b", " ", "c"]}
    with pytest.raises(ValueError, match=r"captions\[2\] is empty"):
        fitted.retriever.fit(pairs, shuffle=shuffle, verbose=0)
    with pytest.raises(ValueError, match=r"captions\[2\] is empty"):
        fitted.retriever.fit(
            tiny.pairs(), validation_data=pairs, shuffle=shuffle, verbose=0
        )
    manifest = {"videos": ["a.mp4", "b.mp4"], "captions": [["a"], ["b", ""]]}
    with pytest.raises(ValueError, match="Entry 1.*not empty"):
        fitted.retriever.fit(manifest, batch_size=2, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(4)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"`captions` must not be empty strings.*at index\D*2",
    ):
        fitted.retriever.fit(dataset, verbose=0)


@pytest.mark.parametrize(
    "pairs, message",
    [
        ({"videos": ["a.mp4"], "captions": ["a", "b"]}, "same number of"),
        ({"videos": [], "captions": []}, "at least one"),
        ({"videos": ["a.mp4", "b.mp4"]}, "the keys 'videos'"),
        (["a.mp4", "b.mp4"], "the keys 'videos'"),
        ({"videos": ["a.mp4"], "captions": ["a"]}, "at least 2 pairs.*for 1"),
    ],
)
def test_bad_training_data(fitted, pairs, message):
    with pytest.raises(ValueError, match=message):
        fitted.retriever.fit(pairs, batch_size=2, verbose=0)


def test_one_pair_has_nothing_to_be_told_from(tiny, fitted, video_files):
    message = "at least 2 pairs.*microbatch_size.*batch_size=1 for 4"
    with pytest.raises(ValueError, match=message):
        fitted.retriever.fit(tiny.pairs(), batch_size=1, verbose=0)
    manifest = {"videos": video_files, "captions": [["a"]] * 4}
    with pytest.raises(ValueError, match=message):
        fitted.retriever.fit(manifest, batch_size=1, verbose=0)
    # A last batch of one does no harm, nor does measuring by one; and SigLIP's
    # loss tells a pair that belongs together from one that does not.
    three = {name: x[:3] for name, x in tiny.pairs().items()}
    fitted.retriever.fit(
        *(three, None, 2),
        validation_data=three,
        validation_batch_size=1,
        verbose=0,
    )
    sigmoid_retriever = tiny.compile(tiny.retriever(loss="sigmoid"))
    history = sigmoid_retriever.fit(three, batch_size=1, verbose=0).history
    assert history["loss"][0] > 0


def test_captions_of_a_manifest(tiny, video_files):
    retriever = tiny.retriever()
    tiny.compile(retriever, keras.optimizers.SGD(0.0))
    several = [[f"a {c}", c, f"{c} a a"] for c in tiny.captions]
    manifest = {"videos": video_files, "captions": several}
    first = {"videos": video_files, "captions": [c[:1] for c in several]}

    def losses(manifest):
        history = retriever.fit(
            manifest, batch_size=4, validation_data=manifest, verbose=0
        ).history
        return history["loss"][0], history["val_loss"][0]

    keras.utils.set_random_seed(0)
    drawn = [losses(manifest) for _ in range(4)]
    # New ones whenever training begins, and the first ones to be measured by.
    assert len({round(loss, 4) for loss, _ in drawn}) > 1
    np.testing.assert_allclose(
        [loss for _, loss in drawn], losses(first)[1], rtol=1e-5
    )
    keras.utils.set_random_seed(0)
    np.testing.assert_allclose(losses(manifest), drawn[0], rtol=1e-5)


def test_threads_may_search_at_once(tiny, fitted):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fitted.retriever.encode_text, tiny.captions * 4))
    expected = fitted.retriever.encode_text(tiny.captions)
    np.testing.assert_allclose(found, np.tile(expected, (4, 1)), atol=1e-5)


def test_data_may_be_predicted_by_another_model(tiny, fitted):
    other = tiny.retriever()

    class Stages(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            other.encode_text("a red ball")
            mask = np.ones((4, 4), bool)
            return ({"pixel_values": tiny.clips(), "frame_mask": mask},)

    done = []

    def predict():
        encoder = fitted.retriever.video_encoder
        done.append(encoder.predict(Stages(workers=2), verbose=0))

    # Not to wait for ever where one waits for the other.
    thread = threading.Thread(target=predict, daemon=True)
    thread.start()
    thread.join(timeout=60)
    expected = fitted.retriever.encode_video(tiny.clips(), verbose=0)
    np.testing.assert_allclose(done[0], expected, atol=1e-5)


def test_columns_of_a_table(tiny, fitted, video_files):
    class Column:
        """As pandas has it: iterated in order, and indexed by label."""

        def __init__(self, values):
            self.values = list(values)

        def __len__(self):
            return len(self.values)

        def __iter__(self):
            return iter(self.values)

        def __getitem__(self, label):
            return self.values[-1 - label]

    retriever = fitted.retriever
    expected = retriever.encode_video(video_files, verbose=0)
    videos = Column(video_files)
    embeddings = retriever.encode_video(videos, verbose=0)
    np.testing.assert_allclose(embeddings, expected, atol=1e-6)
    captions = [[c] for c in tiny.captions]
    manifest = {"videos": videos, "captions": Column(captions)}
    assert retriever.evaluate(manifest, verbose=0) == retriever.evaluate(
        {"videos": video_files, "captions": captions}, verbose=0
    )
    dataset = data.video_text_dataset(
        manifest, 4, num_frames=4, fps=10, image_size=(16, 16), shuffle=False
    )
    (batch,) = dataset
    assert [x.decode() for x in batch["captions"].numpy()] == tiny.captions
    clips, _ = data.decode_videos(video_files, 4, 10, (16, 16), progress=False)
    np.testing.assert_array_equal(batch["pixel_values"], clips)
    others, _ = data.decode_videos(videos, 4, 10, (16, 16), progress=False)
    np.testing.assert_array_equal(others, clips)


def test_a_manifest_has_no_weights(tiny, fitted, video_files):
    manifest = {
        "videos": video_files,
        "captions": [[c] for c in tiny.captions],
    }
    with pytest.raises(ValueError, match="`sample_weight`"):
        fitted.retriever.fit(manifest, sample_weight=np.ones(4), verbose=0)
    with pytest.raises(ValueError, match=r"`captions` must be strings.*\['a"):
        fitted.retriever.predict(manifest, verbose=0)
    with pytest.raises(ValueError, match="`class_weight` has no use"):
        fitted.retriever.fit(manifest, class_weight={0: 1.0}, verbose=0)


def assert_same_weights(model, expected):
    for one, other in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(one),
            keras.ops.convert_to_numpy(other),
            atol=1e-5,
            err_msg=one.path,
        )


@pytest.mark.parametrize("optimizer", ["auto", "sgd"])
def test_training_goes_on_from_a_keras_file(tiny, tmp_path, optimizer):
    retriever = tiny.retriever()
    if optimizer == "sgd":
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    tiny.compile(retriever, optimizer)
    # At such a rate one sees what is spared from decay.
    retriever.optimizer.learning_rate = 0.05
    training = {"batch_size": 4, "shuffle": False, "verbose": 0}
    retriever.fit(tiny.pairs(), **training)
    retriever.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    assert type(again.optimizer) is type(retriever.optimizer)
    assert int(again.optimizer.iterations.value) == 1
    for model in (retriever, again):
        model.fit(tiny.pairs(), **training)
    assert_same_weights(again, retriever)


def test_what_is_frozen_stays_frozen_in_a_keras_file(tiny, tmp_path):
    retriever = tiny.retriever()
    retriever.backbone.adapt(last_layers=0)
    retriever.text_backbone.token_embedding.trainable = False
    tiny.compile(retriever, keras.optimizers.Adam(0.01))
    training = {"batch_size": 4, "shuffle": False, "verbose": 0}
    retriever.fit(tiny.pairs(), **training)
    retriever.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    is_trained = [w.trainable for w in retriever.weights]
    assert [w.trainable for w in again.weights] == is_trained
    assert 0 < sum(is_trained) < len(is_trained)
    assert int(again.optimizer.iterations.value) == 1
    for model in (retriever, again):
        model.fit(tiny.pairs(), **training)
    assert_same_weights(again, retriever)
    # It is no part of a preset.
    retriever.save_to_preset(tmp_path / "preset")
    preset = models.VideoTextRetriever.from_preset(tmp_path / "preset")
    assert all(w.trainable for w in preset.backbone.embedding.weights)


def test_regularizers_are_part_of_the_loss(tiny):
    retriever = tiny.retriever()
    embeddings = retriever.text_backbone.token_embedding.embeddings
    embeddings.regularizer = keras.regularizers.L2(0.5)
    tiny.compile(retriever, keras.optimizers.SGD(0.0))
    pairs = tiny.pairs()
    history = retriever.fit(
        pairs, batch_size=4, validation_data=pairs, verbose=0
    ).history
    weights = tiny.to_numpy(embeddings).astype("float64")
    penalty = 0.5 * np.sum(weights**2)
    expected = tiny.nce(tiny.outputs(retriever), 0.07) + penalty
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-4)


def test_losses_of_layers_are_part_of_the_loss(tiny):
    retriever = tiny.compile(tiny.retriever(), keras.optimizers.SGD(0.0))
    expected = tiny.nce(tiny.outputs(retriever), 0.07) + 3
    block = retriever.backbone.transformer_layers[0]
    call = block.call

    def call_with_loss(*args, **kwargs):
        block.add_loss(keras.ops.ones(()) * 3)
        return call(*args, **kwargs)

    block.call = call_with_loss
    history = retriever.fit(tiny.pairs(), batch_size=4, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_evaluate_takes_what_fit_takes(tiny, fitted):
    expected = fitted.retriever.evaluate(tiny.pairs(), verbose=0)
    clips = {"pixel_values": tiny.clips(), "captions": tiny.captions}
    assert fitted.retriever.evaluate(clips, verbose=0) == expected
    encoded = {**tiny.pairs(), "captions": [c.encode() for c in tiny.captions]}
    assert fitted.retriever.evaluate(encoded, verbose=0) == expected


def test_nothing_to_search_for(tiny, fitted):
    for texts in ([], np.array([], "object")):
        with pytest.raises(ValueError, match="`texts` must hold at least one"):
            fitted.retriever.encode_text(texts)
    with pytest.raises(ValueError, match="`texts` must hold at least one"):
        fitted.retriever.search([], tiny.clips(), verbose=0)
    with pytest.raises(ValueError, match="`batch_size` must be an int of at"):
        fitted.retriever.encode_video(tiny.clips(), batch_size=0, verbose=0)


def test_bad_arguments(tiny, fitted):
    with pytest.raises(ValueError, match=r"\['metrics'\] have no use.*'mse'"):
        tiny.retriever().compile(metrics=["mse"])
    with pytest.raises(ValueError, match="`loss` must be one of.*'max'"):
        tiny.retriever(loss="max")
    with pytest.raises(ValueError, match="not of `compile`.*'mse'"):
        tiny.retriever().compile(loss="mse")
    with pytest.raises(ValueError, match="`inputs` must be a dict with the"):
        fitted.retriever({"pixel_values": tiny.clips()})
    with pytest.raises(ValueError, match="`token_ids` must have 2 axes"):
        fitted.retriever(
            {
                "pixel_values": tiny.clips(),
                "token_ids": np.ones(8, "int32"),
                "padding_mask": np.ones((4, 8), bool),
            }
        )


def test_captions_must_fit_the_text_encoder(tiny):
    def make(**overrides):
        return models.VideoTextRetriever(
            tiny.backbone(),
            tiny.text_backbone(**overrides),
            tiny.preprocessor(sequence_length=8),
        )

    # Entries that no word has do no harm.
    make(vocabulary_size=len(tiny.words) + 1, max_sequence_length=8)
    with pytest.raises(
        ValueError, match="`preprocessor` .*at most 11 .*vocabulary_size.*: 12"
    ):
        make(vocabulary_size=len(tiny.words) - 1)
    with pytest.raises(
        ValueError, match="`preprocessor` .*at most 7.*sequence_length=8"
    ):
        make(max_sequence_length=7)


def test_without_a_preprocessor(tiny, fitted):
    retriever = models.VideoTextRetriever(
        tiny.backbone(), tiny.text_backbone(), projection_dim=8
    )
    tokens = tiny.preprocessor().tokenize(tiny.captions)
    inputs = {"pixel_values": tiny.clips(), **tiny.to_numpy(tokens)}
    outputs = tiny.to_numpy(retriever(inputs))
    assert outputs["video_embeddings"].shape == (4, 8)
    expected = retrieval_metrics(
        outputs["video_embeddings"], outputs["text_embeddings"], np.arange(4)
    )
    assert retriever.evaluate(inputs, verbose=0) == pytest.approx(expected)


def test_encoders_are_models_of_their_own(tiny, fitted, tmp_path):
    encoder = fitted.retriever.text_encoder
    encoder.save(tmp_path / "texts.keras")
    again = keras.saving.load_model(tmp_path / "texts.keras")
    tokens = tiny.to_numpy(
        fitted.retriever.preprocessor.tokenize(tiny.captions)
    )
    np.testing.assert_allclose(
        tiny.to_numpy(again(tokens)), tiny.to_numpy(encoder(tokens)), atol=1e-6
    )


def test_config_round_trip(tiny):
    retriever = tiny.retriever(loss="sigmoid", name="pairs")
    clone = models.VideoTextRetriever.from_config(retriever.get_config())
    assert clone.loss_name == "sigmoid"
    assert clone.name == "pairs"
    assert clone.backbone.get_config() == retriever.backbone.get_config()
    assert clone.count_params() == retriever.count_params()


def test_text_tower():
    tower = models.text_tower("tiny", vocabulary_size=10, dropout=0.2)
    assert tower.hidden_dim == 128
    assert tower.vocabulary_size == 10
    assert tower.dropout == 0.2
    with pytest.raises(ValueError, match="`size` must be one of.*'huge'"):
        models.text_tower("huge")


@pytest.mark.parametrize("compiles", [True, False])
def test_gates_and_logits_do_not_decay(tiny, compiles):
    retriever = models.VideoTextRetriever(
        tiny.backbone(attention="factorized"), tiny.text_backbone()
    )
    if compiles:
        retriever.compile()
    block = retriever.backbone.transformer_layers[0]
    gate, kernel = block.time_gate, block.mlp_output.kernel
    scale = retriever.log_logit_scale
    weights = [gate, kernel, scale]
    for weight in weights:
        weight.assign(keras.ops.ones(weight.shape))
    # Without a gradient, decay alone moves a weight.
    gradients = [keras.ops.zeros(weight.shape) for weight in weights]
    retriever.optimizer.apply(gradients, weights)
    assert float(gate) == float(scale) == 1.0
    assert keras.ops.convert_to_numpy(kernel).max() < 1.0


def test_videos_and_texts_need_a_preprocessor(tiny):
    retriever = models.VideoTextRetriever(tiny.backbone(), tiny.text_backbone())
    for call in (
        lambda: retriever.encode_video(tiny.clips()),
        lambda: retriever.encode_text("a red ball"),
        lambda: retriever.search("a red ball", list(tiny.clips())),
        lambda: retriever.fit(
            {"videos": ["a.mp4", "b.mp4"], "captions": [["a"], ["b"]]}
        ),
    ):
        with pytest.raises(ValueError, match="`preprocessor`, which this"):
            call()
