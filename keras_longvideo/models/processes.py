"""Batches split over devices, and the processes that hold these.

Keras trains a model that several processes compute together. But a process
holds only those parts of weights and outputs that lie on its own devices: it
can neither save weights nor return what a model predicts, before it has the
others' parts.
"""

import contextlib
import contextvars

import keras

# What the distribution said before `feeding_own_share` had its way.
_AUTO_SHARD = contextvars.ContextVar("auto_shard", default=None)


def is_split():
    """Whether batches are split over devices, so that each has to be full."""
    return keras.distribution.distribution() is not None


def is_one_of_several():
    """Whether other processes take part in what this one computes."""
    return is_split() and keras.distribution.distribution().num_processes > 1


def is_first():
    """Whether this process is the one to write files."""
    if not is_one_of_several():
        return True
    import jax

    return jax.process_index() == 0


@contextlib.contextmanager
def undistributed():
    """Makes and calls models on the default device, whole in each process."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def num_parts():
    """How many equal parts a batch is split into."""
    if not is_split():
        return 1
    distribution = keras.distribution.distribution()
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def check_batch_size(batch_size):
    """Refuses a batch that cannot be split evenly.

    Args:
        batch_size: int.

    Raises:
        ValueError: if it is no multiple of the parts.
    """
    if batch_size % num_parts():
        raise ValueError(
            "Under a `keras.distribution`, `batch_size` must be a multiple of "
            f"{num_parts()}, the number of parts that a batch is split into. "
            f"Received: batch_size={batch_size}"
        )


def check_full_batches(batch_size, num_examples):
    """Refuses batches of which the last one would not be full.

    Args:
        batch_size: int. More than there are examples make one batch of all.
        num_examples: int.

    Raises:
        ValueError: if the examples make no full batches that can be split
            evenly; the message says what would.
    """
    parts = num_parts()
    sizes = range(parts, num_examples + 1, parts)
    fitting = [size for size in sizes if num_examples % size == 0]
    if min(batch_size, num_examples) not in fitting:
        below = [size for size in fitting if size <= batch_size]
        advice = f"leave out {num_examples % parts}"
        if fitting:
            advice = f"{(below or fitting[:1])[-1]} would fit"
        raise ValueError(
            "Under a `keras.distribution`, `batch_size` must be a multiple of "
            f"{parts}, the number of parts that a batch is split into, and "
            f"divide the number of examples, {num_examples}. "
            f"Received: batch_size={batch_size}; {advice}"
        )


def padded_batch_size(batch_size, num_examples):
    """The size of batches that are padded to be split evenly.

    Args:
        batch_size: int.
        num_examples: int. Of fewer than `batch_size` one batch is made.

    Returns:
        An int, a multiple of the parts.
    """
    size = min(batch_size, num_examples)
    return size + -size % num_parts()


def own_rows(batch_size):
    """Which examples of a batch this process feeds its devices.

    Where several processes train one model, `fit` picks them out of whole
    batches. A dataset whose batches hold no others, so that no process reads
    what another one needs, is for a distribution with
    `auto_shard_dataset=False`, as in Keras.

    Where they lie is the mesh's to say: of devices that share a network
    closely, those of a process need not follow one another.

    Args:
        batch_size: int. Size of the whole batch, a multiple of the parts that
            it is split into.

    Returns:
        A list of ints; all rows where no `keras.distribution` is set.

    Example:

    ```python
    import keras
    from keras_longvideo import data
    from keras_longvideo import models

    def fit_on_shards(retriever, pattern, batch_size):
        distribution = keras.distribution.distribution()
        distribution.auto_shard_dataset = False
        rows = models.own_rows(batch_size)
        retriever.fit(data.record_dataset(pattern, batch_size, rows=rows))
    ```
    """
    rows = range(batch_size)
    if not is_one_of_several():
        return list(rows)
    distribution = keras.distribution.distribution()
    sharding = distribution.get_data_layout((batch_size,)).backend_layout
    parts = sharding.addressable_devices_indices_map((batch_size,)).values()
    return sorted({row for (part,) in parts for row in rows[part]})


def own_share(dataset):
    """What this process reads of a user's dataset.

    Args:
        dataset: `tf.data.Dataset`: of whole batches, the same in each process,
            or, where the distribution has `auto_shard_dataset=False`, of this
            process's rows.

    Returns:
        A `tf.data.Dataset`.

    Raises:
        ValueError: if batches cannot be split evenly.
    """
    if is_one_of_several() and not _is_auto_sharded():
        return dataset
    return split(dataset)


def _is_auto_sharded():
    """Whether a user's datasets are whole, in callbacks of `fit` too."""
    before = _AUTO_SHARD.get()
    distribution = keras.distribution.distribution()
    return distribution.auto_shard_dataset if before is None else before


def split(dataset):
    """Picks this process's rows out of whole batches.

    Args:
        dataset: `tf.data.Dataset`, the same in each process.

    Returns:
        A `tf.data.Dataset`.

    Raises:
        ValueError: if batches cannot be split evenly.
    """
    if not is_split():
        return dataset
    import tensorflow as tf

    specs = tf.nest.flatten(dataset.element_spec)
    sizes = {x.shape[0] if x.shape.rank else None for x in specs}
    if None in sizes:
        if not is_one_of_several():
            return dataset
        raise ValueError(
            "Several processes must be given a dataset of full batches of "
            "one size, such as of `dataset.batch(batch_size, "
            "drop_remainder=True)`; or each its own rows, see "
            "`keras_longvideo.models.own_rows`. "
            f"Received: x with batches like {dataset.element_spec}"
        )
    (batch_size,) = sizes
    check_batch_size(batch_size)
    rows = own_rows(batch_size)
    if len(rows) == batch_size:
        return dataset

    def pick(*batch):
        batch = batch if len(batch) > 1 else batch[0]
        return tf.nest.map_structure(lambda x: tf.gather(x, rows), batch)

    return dataset.map(pick)


@contextlib.contextmanager
def feeding_own_share():
    """Inside, each process gives `fit` and `predict` its own share."""
    if not is_one_of_several():
        yield
        return
    distribution = keras.distribution.distribution()
    is_automatic = distribution.auto_shard_dataset
    token = _AUTO_SHARD.set(_is_auto_sharded())
    distribution.auto_shard_dataset = False
    try:
        yield
    finally:
        distribution.auto_shard_dataset = is_automatic
        _AUTO_SHARD.reset(token)


def returns_whole_outputs(cls):
    """Class decorator: each process gets all that `predict` computes.

    Args:
        cls: subclass of `keras.Model`.

    Returns:
        `cls`.
    """

    def predict_step(self, *args):
        step = super(cls, self).predict_step
        if not is_one_of_several():
            return step(*args)
        outputs, state = step(*args)
        return keras.tree.map_structure(_on_every_device, outputs), state

    cls.predict_step = predict_step
    return cls


def _on_every_device(x):
    mesh = keras.distribution.distribution().device_mesh
    layout = keras.distribution.TensorLayout([None] * len(x.shape), mesh)
    return keras.distribution.distribute_tensor(x, layout)


@contextlib.contextmanager
def whole_weights(model):
    """Inside, each process holds all weights of a model, in its host's memory.

    Every process has to enter it, and leaves it when all have done so.

    Args:
        model: `keras.Model`.
    """
    # Those that are whole already stay: a task's encoder may enter it, too.
    parts = [
        (variable, variable.value)
        for variable in (model.variables if is_one_of_several() else ())
        if not getattr(variable.value, "is_fully_addressable", True)
    ]
    if not parts:
        yield
        return
    from jax.experimental import multihost_utils

    try:
        for variable, value in parts:
            # No public name of Keras: `assign` would split it again.
            variable._value = multihost_utils.process_allgather(
                value, tiled=True
            )
        yield
    finally:
        for variable, value in parts:
            variable._value = value
    multihost_utils.sync_global_devices("whole_weights")
