"""What tasks are trained and measured on, as datasets of batches."""

import os
import random
from collections.abc import Iterator
from collections.abc import Sized

import keras
import numpy as np

from keras_longvideo.models.processes import is_split
from keras_longvideo.models.processes import split


def is_dataset(x):
    """Whether `x` is a dataset of batches: tf.data's, or the like."""
    # A column of pandas has a `map`, too.
    is_column = hasattr(x, "__array__")
    return hasattr(x, "__iter__") and hasattr(x, "map") and not is_column


def check_examples(x):
    """Refuses what has examples, and gives them as no task takes them.

    Args:
        x: what was given to `fit`, `evaluate` or `predict`.

    Raises:
        ValueError: if it is a generator or a `PyDataset`, or empty.
    """
    if isinstance(x, Iterator | keras.utils.PyDataset):
        raise ValueError(
            "`x` must be videos, as paths or arrays, a dict of these, or a "
            "`tf.data.Dataset` of batches, such as "
            "`tf.data.Dataset.from_generator` makes. "
            f"Received: x of type {type(x).__name__}"
        )
    if is_dataset(x):
        return
    columns = x.values() if isinstance(x, dict) else [x]
    if any(isinstance(c, Sized) and not len(c) for c in columns):
        raise ValueError("`x` must hold at least one example.")


def check_length(x, name, steps):
    """Refuses an epoch without end, which Keras would go on with for ever.

    Args:
        x: what may be a `tf.data.Dataset`.
        name: string. The argument that says how many batches to take.
        steps: int or None. Its value.

    Raises:
        ValueError: if there is no end.
    """
    import tensorflow as tf

    if (
        isinstance(x, tf.data.Dataset)
        and x.cardinality() == tf.data.INFINITE_CARDINALITY
        and not steps
    ):
        raise ValueError(
            f"`{name}` must be given for a dataset without end. "
            f"Received: {name}={steps}"
        )


def batches(
    x, y=None, sample_weight=None, batch_size=32, shuffle=False, pads=False
):
    """A `tf.data.Dataset` of this process's share of batches.

    Args:
        x: dict of arrays or lists, with as many examples each.
        y: labels or None.
        sample_weight: weights of the examples or None.
        batch_size: int.
        shuffle: bool. Whether examples come in a new order each time.
        pads: bool. Whether the last example is repeated until all batches are
            full. Under a `keras.distribution`, where they have to be, a last
            batch that is not is left out otherwise.

    Returns:
        A `tf.data.Dataset`.

    Raises:
        ValueError: if the examples are not as many, or too few.
    """
    import tensorflow as tf

    columns = {name: _as_array(name, values) for name, values in x.items()}
    for name, values in (("y", y), ("sample_weight", sample_weight)):
        if values is not None:
            columns[name] = _as_array(name, values)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            "`x`, `y` and `sample_weight` must have the same number of "
            f"examples, and at least one. Received: {lengths}"
        )
    num_examples = num_rows = lengths.popitem()[1]
    if pads:
        num_rows += -num_rows % batch_size
    if is_split() and num_rows < batch_size:
        raise ValueError(
            "Under a `keras.distribution`, `batch_size` must not exceed the "
            f"number of examples, {num_examples}. "
            f"Received: batch_size={batch_size}"
        )
    with tf.device("cpu"):
        columns = {name: tf.constant(x) for name, x in columns.items()}

    def pick(rows):
        indices = tf.minimum(rows, num_examples - 1)
        batch = {name: tf.gather(x, indices) for name, x in columns.items()}
        y, weight = batch.pop("y", None), batch.pop("sample_weight", None)
        return keras.utils.pack_x_y_sample_weight(batch, y, weight)

    dataset = tf.data.Dataset.range(num_rows)
    if shuffle:
        # Python's random numbers, which Keras seeds alike in all processes:
        # each is to deal from the same order.
        seed = random.randrange(2**31)
        dataset = dataset.shuffle(num_rows, seed=seed)
    # A batch that is not full cannot be split over devices.
    dataset = dataset.batch(batch_size, drop_remainder=is_split())
    return split(dataset).map(pick)


def string_paths(videos):
    """A list of paths as strings, which tf.data knows; all else as it is."""
    if isinstance(videos, dict):
        return {name: string_paths(x) for name, x in videos.items()}
    if hasattr(videos, "to_list"):
        # A table's column.
        videos = videos.to_list()
    if isinstance(videos, (list, tuple)):
        return [
            os.fspath(v) if isinstance(v, os.PathLike) else v for v in videos
        ]
    return videos


def _as_array(name, values):
    try:
        array = np.asarray(string_paths(values))
    except ValueError as e:
        raise ValueError(
            f"`{name}` must be paths, or arrays of one shape; arrays of "
            "several shapes go through `preprocessor` first, or come from a "
            "`tf.data.Dataset`."
        ) from e
    if not array.ndim:
        raise ValueError(
            f"`{name}` must be a list or an array, an entry for each example. "
            f"Received: {name}={values!r}"
        )
    return array
