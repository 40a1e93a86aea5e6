"""Trains tiny retrievers on a mesh, and writes down what came out.

A program that `distribution_test.py` runs: how many devices or processes there
are can be told once a process. What several programs compute is compared by
the test.
"""

import json
import pathlib
import pickle
import sys

import conftest as tiny
import jax
import keras
import numpy as np
import tensorflow as tf

from keras_longvideo import models

jax.config.update("jax_disable_most_optimizations", True)

PLANS = {
    "nce": {"mask_rate": 0.5},
    "sigmoid": {"loss": "sigmoid"},
    "microbatches": {"loss": "sigmoid", "microbatch_size": 4},
    "files": {"mask_rate": 0.5, "files": True},
}
BATCH = 8
# Two batches; with the last ones, which no distribution trains on, two and a
# half.
NUM_VIDEOS = 16
NUM_WITH_LAST = 20
NUM_USED = 9


def make_distribution(mesh, is_interleaved):
    """None, `DataParallel`, or `ModelParallel` on a mesh such as `batch=8`."""
    if mesh == "none":
        return None
    if mesh == "data parallel":
        return keras.distribution.DataParallel()
    axes = dict(axis.split("=") for axis in mesh.split())
    devices = keras.distribution.list_devices()
    if is_interleaved:
        # As on a pod, where neighbours may belong to several hosts.
        devices = devices[::2] + devices[1::2]
    mesh = keras.distribution.DeviceMesh(
        tuple(map(int, axes.values())), tuple(axes), devices
    )
    return keras.distribution.ModelParallel(
        layout_map=models.VideoTextRetriever.get_layout_map(mesh),
        batch_dim_name="batch",
    )


def make_pairs(num_videos=NUM_VIDEOS):
    clips = np.concatenate([tiny.make_clips()] * 5)
    shades = np.arange(len(clips), dtype="uint8")
    captions = [
        f"{caption}{more}"
        for more in ("", " a", " red ball", " box", " dim")
        for caption in tiny.CAPTIONS
    ]
    return {
        "videos": (clips + shades[:, None, None, None, None])[:num_videos],
        "captions": captions[:num_videos],
    }


def make_retriever(mask_rate=0.0, loss="nce"):
    keras.utils.set_random_seed(0)
    return models.VideoTextRetriever(
        tiny.make_backbone(
            mask_rate=mask_rate,
            hidden_dim=32,
            num_heads=4,
            intermediate_dim=64,
            pooling="attention",
        ),
        tiny.make_text_backbone(num_heads=4, hidden_dim=32),
        tiny.make_preprocessor(sequence_length=7),
        projection_dim=8,
        loss=loss,
    )


def train(folder, mask_rate=0.0, loss="nce", microbatch_size=None, files=False):
    """A retriever after two epochs, and its losses in these."""
    retriever = make_retriever(mask_rate, loss)
    retriever.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        microbatch_size=microbatch_size,
    )
    pairs, validation = make_pairs(), None
    if files:
        paths = sorted(str(path) for path in folder.glob("*.mp4"))
        captions = make_pairs(NUM_WITH_LAST)["captions"]
        pairs = {
            "videos": paths,
            "captions": [[c, f"{c} green"] for c in captions],
        }
        validation = {
            "videos": paths[:NUM_VIDEOS],
            "captions": captions[:NUM_VIDEOS],
        }
    history = retriever.fit(
        pairs,
        batch_size=BATCH,
        epochs=2,
        validation_data=validation,
        verbose=0,
    ).history
    return retriever, history


def shares(variables):
    """The part of each matrix that lies on one device."""
    return {
        v.path: v.value.addressable_shards[0].data.size / v.value.size
        for v in variables
        if "kernel" in v.path or "embeddings" in v.path
    }


def uses(retriever):
    """What retrievers are used for, with videos that make no full batch."""
    pairs = make_pairs(NUM_USED)
    videos, captions = pairs["videos"], pairs["captions"]
    dataset = tf.data.Dataset.from_tensor_slices(make_pairs())
    hits = retriever.search("a red ball", list(videos), top_k=3, verbose=0)
    return {
        "videos": retriever.encode_video(videos, verbose=0),
        "texts": retriever.encode_text(captions),
        "hits": [hit.index for hit in hits],
        "scores": [hit.score for hit in hits],
        "metrics": retriever.evaluate(pairs, verbose=0),
        "metrics of a dataset": retriever.evaluate(
            dataset.batch(BATCH, drop_remainder=True), verbose=0
        ),
        "predicted": retriever.predict(pairs, batch_size=BATCH, verbose=0),
        **uses_of_own_rows(retriever, pairs, dataset),
    }


def uses_of_own_rows(retriever, pairs, dataset):
    """What comes of a dataset that holds what this process computes alone."""
    rows = models.own_rows(BATCH)

    def pick(batch):
        return {name: tf.gather(x, rows) for name, x in batch.items()}

    distribution = keras.distribution.distribution()
    if distribution is not None:
        distribution.auto_shard_dataset = False
    own = dataset.batch(BATCH, drop_remainder=True).map(pick)
    uses = {
        "predicted of rows": retriever.predict(own, verbose=0),
        # Arrays are whole as ever.
        "predicted beside": retriever.predict(
            pairs, batch_size=BATCH, verbose=0
        ),
    }
    if distribution is not None:
        distribution.auto_shard_dataset = True
    return uses


def classes(folder):
    """What classifiers make of videos, of which 9 make no full batch."""
    keras.utils.set_random_seed(0)
    classifier = tiny.make_classifier()
    paths = sorted(str(path) for path in folder.glob("*.mp4"))
    labels = np.arange(NUM_VIDEOS) % 3
    dataset = tf.data.Dataset.from_tensor_slices(paths[:NUM_VIDEOS])
    preset = folder / f"encoder, {jax.process_count()}"
    classifier.backbone.save_to_preset(preset)
    variant = models.VideoClassifier.from_preset(
        preset,
        attention="factorized",
        num_frames=8,
        num_classes=3,
        preprocessor=classifier.preprocessor,
    )
    options = {"batch_size": BATCH, "verbose": 0}
    return {
        "predicted": classifier.predict(paths[:NUM_USED], **options),
        "of a variant": variant.predict(paths[:NUM_USED], **options),
        "of few": classifier.predict(paths[:1], verbose=0),
        "of a dataset": classifier.predict(
            dataset.batch(BATCH, drop_remainder=True), verbose=0
        ),
        "evaluated": classifier.evaluate(paths[:NUM_VIDEOS], labels, **options),
    }


def tokens_of_a_device(retriever):
    """The shape of what a device holds of the encoder's tokens."""

    @jax.jit
    def encode(variables, clips):
        outputs, _ = retriever.backbone.stateless_call(*variables, clips)
        return outputs["sequence_output"]

    variables = (
        [v.value for v in retriever.backbone.trainable_variables],
        [v.value for v in retriever.backbone.non_trainable_variables],
    )
    clips = make_pairs()["videos"][:BATCH]
    layout = keras.distribution.distribution().get_data_layout(clips.shape)
    clips = keras.distribution.distribute_tensor(clips, layout)
    tokens = encode(variables, clips)
    return tokens.addressable_shards[0].data.shape


def errors():
    """The messages of what cannot be."""

    def message(call, *args, **kwargs):
        try:
            call(*args, **kwargs)
        except ValueError as error:
            return str(error)
        return None

    retriever = make_retriever()
    retriever.compile("sgd")
    pairs = make_pairs()
    odd = {**pairs, "videos": pairs["videos"][:6], "captions": ["a"] * 6}
    manifest = {"videos": ["a.mp4"] * 6, "captions": [["a"]] * 6}
    dataset = tf.data.Dataset.from_tensor_slices(odd).batch(6, True)
    classifier = tiny.make_classifier()
    clips, labels = make_pairs()["videos"], np.zeros(16, "int32")
    return {
        "batch_size": message(retriever.fit, pairs, batch_size=6),
        "manifest": message(retriever.fit, manifest, batch_size=6),
        "examples": message(retriever.fit, odd, batch_size=BATCH),
        "dataset": message(retriever.fit, dataset),
        "validation": message(
            retriever.fit, pairs, batch_size=BATCH, validation_data=odd
        ),
        "evaluated": message(classifier.evaluate, clips, labels, batch_size=12),
        "odd": message(classifier.evaluate, clips[:9], labels[:9]),
    }


def run(
    folder,
    mesh,
    plan,
    used=None,
    is_interleaved=False,
    with_errors=False,
    with_classes=False,
):
    """What comes of a case; the weights are those that its preset holds."""
    # Names are to be the same each time.
    keras.utils.clear_session()
    distribution = make_distribution(mesh, is_interleaved)
    keras.distribution.set_distribution(distribution)
    retriever, history = train(folder, **PLANS[plan])
    result = {"history": history, "rows": models.own_rows(BATCH)}
    if distribution is not None and jax.process_count() == 1:
        result["shares"] = shares(retriever.weights)
        result["slots"] = shares(retriever.optimizer.variables)
        result["tokens"] = tokens_of_a_device(retriever)
    preset = folder / f"{jax.process_count()}, {mesh}, {plan}"
    retriever.save_to_preset(preset)
    if used == "as trained":
        result["uses"] = uses(retriever)
    if used == "as saved":
        saved = models.VideoTextRetriever.from_preset(preset)
        result["uses"] = uses(saved)
    if with_classes:
        result["classes"] = classes(folder)
    if with_errors:
        result["errors"] = errors()
        retriever.fit(make_pairs(NUM_WITH_LAST), batch_size=BATCH, verbose=0)
        result["steps"] = int(retriever.optimizer.iterations.value)
    keras.distribution.set_distribution(None)
    saved = models.VideoTextRetriever.from_preset(preset)
    result["weights"] = {w.path: np.asarray(w.value) for w in saved.weights}
    return result


def main(folder, cases, process=0, num_processes=1, port=None):
    if num_processes > 1:
        keras.distribution.initialize(
            f"127.0.0.1:{port}", num_processes, process
        )
    folder = pathlib.Path(folder)
    results = {
        (case["mesh"], case["plan"]): run(folder, **case) for case in cases
    }
    with open(folder / f"{process} of {num_processes}.pickle", "wb") as file:
        pickle.dump(results, file)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
