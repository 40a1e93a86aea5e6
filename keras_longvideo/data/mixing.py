"""One stream of batches out of several data sets."""

import math

import numpy as np

from keras_longvideo.data.checks import check_int
from keras_longvideo.data.checks import check_positive

# Numbers that are drawn at once.
_BLOCK = 1024


def mix_datasets(datasets, ratios, seed=0, skip_batches=0):
    """Mixes the batches of several data sets, such as images and videos.

    Each batch comes from one data set, drawn at random by `ratios`, so that
    all in it have the same number of frames and a contrastive loss compares
    like with like. VideoPrism is trained so. Each data set is repeated as
    often as needed, whatever its size; a small one is seen more often.

    The stream never ends: give `fit` the length of an epoch, in
    `steps_per_epoch`. A data set of `n` batches with a share `p` of the ratios
    has been gone through once after about `n / p` steps. Of `s` steps, about
    `s * p` are its own, with a standard deviation of `sqrt(s * p * (1 - p))`:
    over many steps the ratios hold closely, over a few they do not.

    A batch of images trains the image kernel of an encoder and not that of
    videos, and the other way round; all above the two is shared. On JAX the
    weights that a batch does not use have a gradient of 0, so that an
    optimizer such as AdamW still moves them by their momentum and decays
    them. On torch and TensorFlow it leaves them alone.

    On TensorFlow, `compile` the model with `run_eagerly=True`: Keras traces
    one program for all batches there, and an encoder needs to know how many
    frames they have.

    Which data set a step draws from is a function of `seed` and of the number
    of the step alone. So a run that was interrupted can go on where it was:
    give functions that make the data sets, and in `skip_batches` the steps
    that are done. Each data set is then begun after as many batches as were
    drawn from it, and none of those is read again.

    Args:
        datasets: List of `tf.data.Dataset` of batches, such as
            `video_text_dataset` makes: `num_frames=1` for images. They have
            the same keys, dtypes and numbers of axes; batch size, frames and
            picture size may differ from one to the next. In place of a data
            set may stand a function that takes `skip_batches` and returns one
            without end that begins after so many batches; see the example.
        ratios: List of positive numbers, as long as `datasets`: how often a
            batch is drawn from each. They need not add up to 1.
        seed: Int, for the draws. Defaults to `0`.
        skip_batches: Int, how many batches of the mixture to leave out at the
            start. Of what is a data set and no function, those are read and
            thrown away. Defaults to `0`.

    Returns:
        A `tf.data.Dataset` without end. Axes in which `datasets` differ are
        `None` in its `element_spec`. The same seed gives the same draws, on
        each pass.

    Raises:
        ValueError: If an argument is not as described.

    Example:

    ```python
    import numpy as np
    import tensorflow as tf

    from keras_longvideo.data import mix_datasets

    def dataset(batch_size, num_frames):
        shape = (batch_size, num_frames, 64, 64, 3)
        batch = {
            "pixel_values": np.zeros(shape, "uint8"),
            "captions": ["a red ball"] * batch_size,
        }
        return tf.data.Dataset.from_tensors(batch)

    images, videos = dataset(8, num_frames=1), dataset(2, num_frames=16)
    for batch in mix_datasets([images, videos], ratios=[3, 1]).take(4):
        print(batch["pixel_values"].shape)  # 3 of 4 are (8, 1, 64, 64, 3)
    ```

    A mixture that can be gone on with:

    ```python
    import functools

    from keras_longvideo.data import mix_datasets
    from keras_longvideo.data import render_videos
    from keras_longvideo.data import video_text_dataset

    manifest = render_videos("train", "spatial", num_videos=4, progress=False)
    sources = [
        functools.partial(
            video_text_dataset,
            manifest,
            batch_size,
            num_frames,
            image_size=(64, 64),
            repeat=True,
        )
        for batch_size, num_frames in ((4, 1), (2, 8))
    ]
    whole = mix_datasets(sources, ratios=[3, 1])
    rest = mix_datasets(sources, ratios=[3, 1], skip_batches=5)
    for batch, expected in zip(rest.take(2), whole.skip(5)):
        assert (batch["captions"] == expected["captions"]).numpy().all()
    ```
    """
    import tensorflow as tf

    if not datasets or len(datasets) != len(ratios):
        raise ValueError(
            "`datasets` and `ratios` must have the same length, at least 1. "
            f"Received: {len(datasets)} datasets and ratios={ratios!r}"
        )
    ratios = [
        check_positive(f"ratios[{i}]", ratio) for i, ratio in enumerate(ratios)
    ]
    seed = check_int("seed", seed, least=0)
    skip_batches = check_int("skip_batches", skip_batches, least=0)
    bounds = np.cumsum(ratios) / math.fsum(ratios)

    def draw(block):
        numbers = tf.random.stateless_uniform(
            (_BLOCK,), tf.stack([np.int64(seed), block]), dtype=tf.float64
        )
        # The last bound is 1, but for rounding.
        return tf.searchsorted(bounds[:-1], numbers, "right", tf.int64)

    skip_blocks, skip_draws = divmod(skip_batches, _BLOCK)
    drawn = [draw(block).numpy() for block in range(skip_blocks)]
    drawn.append(draw(skip_blocks).numpy()[:skip_draws])
    counts = np.bincount(np.concatenate(drawn), minlength=len(ratios))
    datasets = [
        _begin(i, dataset, int(count))
        for i, (dataset, count) in enumerate(zip(datasets, counts, strict=True))
    ]
    _check_datasets(datasets)
    choices = tf.data.Dataset.counter(skip_blocks).map(draw).unbatch()
    return tf.data.Dataset.choose_from_datasets(
        datasets,
        choices.skip(skip_draws),
        # Going on with the others would break the ratios.
        stop_on_empty_dataset=True,
    )


def _begin(i, dataset, skip_batches):
    """The stream of a data set, after some of its batches."""
    import tensorflow as tf

    if not callable(dataset):
        return dataset.repeat().skip(skip_batches)
    dataset = dataset(skip_batches=skip_batches)
    if dataset.cardinality() != tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "A function in `datasets` must return a data set without end, as "
            "with `repeat=True`, or it would begin again where it was begun. "
            f"Received: datasets[{i}], which returns one of "
            f"{int(dataset.cardinality())} batches"
        )
    return dataset


def _check_datasets(datasets):
    layouts = []
    for i, dataset in enumerate(datasets):
        if dataset.cardinality() == 0:
            raise ValueError(
                "`datasets` must have at least one batch each. "
                f"Received: datasets[{i}], which is empty"
            )
        layouts.append(_layout(dataset))
        if layouts[i] != layouts[0]:
            raise ValueError(
                "`datasets` must have the same keys, dtypes and numbers of "
                f"axes. Received: datasets[0] with {layouts[0]} and "
                f"datasets[{i}] with {layouts[i]}"
            )


def _layout(dataset):
    import tensorflow as tf

    return tf.nest.map_structure(
        lambda spec: f"{spec.dtype.name}, {spec.shape.rank} axes",
        dataset.element_spec,
    )
