import pathlib
import types

import keras
import numpy as np
import pytest

from keras_longvideo import from_preset
from keras_longvideo import models


@pytest.fixture(scope="module")
def trained(tiny, fitted, video_files):
    """A classifier made of a retriever's preset and trained on files."""
    keras.utils.set_random_seed(0)
    classifier = models.VideoClassifier.from_preset(
        fitted.preset, num_classes=3
    )
    tiny.compile(classifier, loss="auto", metrics="auto")
    history = classifier.fit(
        video_files, [0, 1, 2, 0], batch_size=4, epochs=6, verbose=0
    )
    return types.SimpleNamespace(classifier=classifier, history=history.history)


def same_weights(first, second):
    return all(
        np.array_equal(a, b)
        for a, b in zip(first.get_weights(), second.get_weights(), strict=True)
    )


def test_training_on_files_lowers_the_loss(trained):
    losses = trained.history["loss"]
    assert losses[-1] < losses[0]
    assert set(trained.history) == {"loss", "accuracy"}


def test_predict(trained, video_files):
    logits = trained.classifier.predict(video_files, batch_size=4, verbose=0)
    assert logits.shape == (4, 3)
    assert logits.dtype == np.float32
    assert not np.allclose(logits.sum(axis=1), 1)


def test_paths_may_be_of_pathlib(trained, video_files):
    paths = [pathlib.Path(path) for path in video_files]
    labels = np.array([0, 1, 2, 0])
    classifier = trained.classifier
    options = {"batch_size": 4, "verbose": 0}
    np.testing.assert_array_equal(
        classifier.predict(paths, **options),
        classifier.predict(video_files, **options),
    )
    assert classifier.evaluate(paths, labels, **options) == pytest.approx(
        classifier.evaluate(video_files, labels, **options)
    )
    weights = classifier.get_weights()
    rate = float(classifier.optimizer.learning_rate)
    classifier.optimizer.learning_rate = 0.0
    classifier.fit(paths, labels, **options)
    classifier.optimizer.learning_rate = rate
    classifier.set_weights(weights)


def test_evaluate(trained, video_files):
    classifier = trained.classifier
    labels = np.array([0, 1, 2, 0])
    received = classifier.evaluate(
        video_files, labels, batch_size=4, verbose=0, return_dict=True
    )
    logits = classifier.predict(video_files, batch_size=4, verbose=0)
    logits = logits.astype("float64")
    chosen = logits[np.arange(4), labels]
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - chosen)
    assert received["loss"] == pytest.approx(expected, rel=1e-4)
    accuracy = np.mean(logits.argmax(axis=1) == labels)
    assert received["accuracy"] == pytest.approx(accuracy)


def test_accuracy_is_that_of_the_labels(tiny):
    classifier = models.VideoClassifier(tiny.backbone(), 3)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    tiny.compile(classifier, loss=loss)
    logits = classifier.predict(tiny.clips(), verbose=0)
    # The last one is wrong.
    chosen = logits.argmax(axis=1)
    labels = np.where(np.arange(4) < 3, chosen, (chosen + 1) % 3)
    received = classifier.evaluate(
        tiny.clips(), np.eye(3)[labels], verbose=0, return_dict=True
    )
    assert received["accuracy"] == 0.75


def test_a_failure_leaves_the_weights(trained, video_files):
    classifier = trained.classifier
    expected = classifier.get_weights()
    files = [*video_files[:3], "/no.mp4"]
    for call in (
        lambda: classifier.fit(files, [0, 1, 2, 0], batch_size=4, verbose=0),
        lambda: classifier.predict(files, batch_size=4, verbose=0),
        lambda: classifier.evaluate(
            files, np.array([0, 1, 2, 0]), batch_size=4, verbose=0
        ),
    ):
        with pytest.raises(Exception, match="Cannot read video /no.mp4"):
            call()
        for weight, value in zip(
            classifier.get_weights(), expected, strict=True
        ):
            np.testing.assert_array_equal(weight, value)


def test_of_another_task_the_encoder_is_kept(fitted):
    classifier = models.VideoClassifier.from_preset(
        fitted.preset, num_classes=np.int64(5)
    )
    encoder = models.ViViTBackbone.from_preset(fitted.preset)
    assert same_weights(classifier.backbone, encoder)
    assert classifier.output_dense.kernel.shape == (16, 5)
    # Videos are read as the preset reads them; its tokenizer is of no use.
    assert type(classifier.preprocessor) is models.VideoPreprocessor
    converter = fitted.retriever.preprocessor.video_converter
    assert (
        classifier.preprocessor.video_converter.get_config()
        == converter.get_config()
    )


def test_another_number_of_classes_starts_the_head_afresh(trained, tmp_path):
    classifier = trained.classifier
    classifier.save_to_preset(tmp_path / "preset")
    same = from_preset(tmp_path / "preset")
    assert type(same) is models.VideoClassifier
    assert same_weights(same, classifier)
    for num_classes in (3, 7):
        other = from_preset(tmp_path / "preset", num_classes=num_classes)
        assert same_weights(other.backbone, classifier.backbone)
        assert other.output_dense.kernel.shape == (16, num_classes)
        kernel = keras.ops.convert_to_numpy(other.output_dense.kernel)
        old = keras.ops.convert_to_numpy(classifier.output_dense.kernel)
        assert not np.array_equal(kernel, old)
        bias = keras.ops.convert_to_numpy(other.output_dense.bias)
        assert not bias.any()


def test_head_by_hand(tiny):
    classifier = tiny.classifier(activation="softmax", dropout=0.5)
    x = {"pixel_values": tiny.clips()}
    pooled = tiny.to_numpy(classifier.backbone(x)["pooled_output"])
    kernel, bias = classifier.output_dense.get_weights()
    exponentials = np.exp(pooled @ kernel + bias)
    np.testing.assert_allclose(
        tiny.to_numpy(classifier(x)),
        exponentials / exponentials.sum(axis=1, keepdims=True),
        atol=1e-5,
    )
    noisy = [tiny.to_numpy(classifier(x, training=True)) for _ in range(2)]
    assert np.abs(noisy[0] - noisy[1]).max() > 1e-6


def test_training_masks_and_drops(tiny):
    classifier = models.VideoClassifier(
        tiny.backbone(mask_rate=0.5), 3, dropout=0.5
    )
    tiny.compile(classifier, keras.optimizers.SGD(0.0), loss="auto")
    x = {"pixel_values": tiny.clips()}
    before = tiny.to_numpy(classifier(x))
    history = classifier.fit(
        x, np.array([0, 1, 2, 0]), batch_size=4, epochs=4, verbose=0
    )
    # Nothing is learned: other tubelets and units were dropped each time.
    assert np.ptp(history.history["loss"]) > 1e-3
    np.testing.assert_array_equal(tiny.to_numpy(classifier(x)), before)


def test_config_round_trip(tiny):
    classifier = tiny.classifier(activation="softmax", dropout=0.5)
    clone = models.VideoClassifier.from_config(classifier.get_config())
    assert clone.get_config() == classifier.get_config()
    assert clone.num_classes == 3
    assert clone.dropout == 0.5
    x = {"pixel_values": tiny.clips()}
    np.testing.assert_allclose(
        tiny.to_numpy(clone(x)).sum(axis=1), 1, atol=1e-5
    )


@pytest.mark.parametrize(
    "x, y, message",
    [
        (["a.mp4", "b.mp4"], [0], "same number of examples.*'y': 1"),
        ([], [], "at least one"),
        (
            [np.zeros((4, 8, 8, 3), "uint8"), np.zeros((4, 9, 8, 3), "uint8")],
            [0, 1],
            "`videos` must be paths, or arrays of one shape",
        ),
        ({"clips": ["a.mp4"]}, [0], "either the key 'videos'"),
        (["a.mp4"], 3, "`y` must be a list or an array.*y=3"),
    ],
)
def test_bad_training_data(trained, x, y, message):
    with pytest.raises(ValueError, match=message):
        trained.classifier.fit(x, y, verbose=0)


def test_kinds_of_data_that_are_not_taken(trained, tiny):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return tiny.clips(), np.array([0, 1, 2, 0])

    classifier = trained.classifier
    for do in (classifier.fit, classifier.evaluate, classifier.predict):
        for x in (Batches(), ((tiny.clips(), [0]) for _ in range(2))):
            with pytest.raises(ValueError, match=r"`tf.data.Dataset` of batch"):
                do(x, verbose=0)
        for x in ([], tiny.clips()[:0], {"videos": []}):
            with pytest.raises(ValueError, match="at least one"):
                do(x, verbose=0)


def test_a_column_of_a_table_is_shuffled(trained, video_files, monkeypatch):
    class Column:
        """As pandas has it: with a `map`, as a dataset has."""

        def __init__(self, values):
            self.to_list = lambda: list(values)

        def __len__(self):
            return len(self.to_list())

        def __iter__(self):
            return iter(self.to_list())

        def __array__(self, dtype=None, copy=None):
            return np.array(self.to_list(), "object")

        def map(self, function):
            raise AssertionError

    paths = [pathlib.Path(path) for path in video_files]
    files, labels = Column(paths), Column([0, 1, 2, 0])
    with pytest.raises(ValueError, match="same number of examples.*'y': 1"):
        trained.classifier.fit(files, [0], verbose=0)
    orders = set()
    for seed in range(4):
        keras.utils.set_random_seed(seed)
        batches = trained.classifier._batches(
            files, labels, None, 4, shuffle=True, training=True
        )
        (x, y), *_ = batches.as_numpy_iterator()
        names = [name.decode() for name in x["videos"]]
        assert [[0, 1, 2, 0][video_files.index(n)] for n in names] == list(y)
        orders.add(tuple(names))
    assert len(orders) > 1
    expected = trained.classifier.predict(video_files, verbose=0)
    np.testing.assert_allclose(
        trained.classifier.predict(files, verbose=0), expected, atol=1e-6
    )


def test_arrays_of_another_size_train(trained, tiny):
    clips = tiny.clips(frames=9, size=(24, 32))
    history = trained.classifier.fit(
        clips, [0, 1, 2, 0], batch_size=4, verbose=0
    )
    assert np.isfinite(history.history["loss"]).all()


def test_without_a_preprocessor(tiny, tmp_path):
    classifier = models.VideoClassifier(tiny.backbone(), num_classes=2)
    tiny.compile(classifier, loss="auto", metrics="auto")
    clips = tiny.clips()
    history = classifier.fit(clips, [0, 1, 1, 0], batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    classifier.save_to_preset(tmp_path / "preset")
    loaded = from_preset(tmp_path / "preset")
    assert loaded.preprocessor is None
    np.testing.assert_array_equal(
        tiny.to_numpy(loaded(clips)), tiny.to_numpy(classifier(clips))
    )


def test_validation_split_is_refused(trained, video_files):
    with pytest.raises(ValueError, match="pass `validation_data`"):
        trained.classifier.fit(
            video_files, [0, 1, 2, 0], validation_split=0.5, verbose=0
        )


def test_labels(tiny, tmp_path):
    classifier = models.VideoClassifier(tiny.backbone(), labels=["up", "down"])
    assert classifier.num_classes == 2
    classifier.save_to_preset(tmp_path / "preset")
    assert from_preset(tmp_path / "preset").labels == ["up", "down"]
    # Other classes have no use for these names, nor for the head.
    other = from_preset(tmp_path / "preset", num_classes=3)
    assert (other.num_classes, other.labels) == (3, None)
    named = from_preset(tmp_path / "preset", labels=["a", "b", "c"])
    assert (named.num_classes, named.labels) == (3, ["a", "b", "c"])


def test_labels_name_each_class(tiny):
    with pytest.raises(ValueError, match="each of the 3 classes.*2 labels"):
        models.VideoClassifier(tiny.backbone(), 3, labels=["up", "down"])
    with pytest.raises(ValueError, match="needs `num_classes`"):
        models.VideoClassifier(tiny.backbone())


@pytest.mark.parametrize("classes", [{"labels": []}, {"num_classes": 0}])
def test_no_class_at_all(tiny, classes):
    with pytest.raises(ValueError, match="at least one class"):
        models.VideoClassifier(tiny.backbone(), **classes)
