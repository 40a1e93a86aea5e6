"""A video encoder with a classification head."""

import operator

import keras

from keras_longvideo.models.processes import check_full_batches
from keras_longvideo.models.processes import feeding_own_share
from keras_longvideo.models.processes import is_split
from keras_longvideo.models.processes import own_share
from keras_longvideo.models.task_data import batches
from keras_longvideo.models.task_data import check_examples
from keras_longvideo.models.task_data import is_dataset
from keras_longvideo.models.task_data import string_paths
from keras_longvideo.models.video_preprocessor import VideoPreprocessor
from keras_longvideo.models.video_task import VideoTask


@keras.saving.register_keras_serializable(package="keras_longvideo")
class VideoClassifier(VideoTask):
    """Tells which of several classes a video belongs to.

    Logits are a linear function of the encoder's `pooled_output`. `fit`,
    `evaluate` and `predict` take lists of paths of video files as well as
    arrays.

    Args:
        backbone: `keras_longvideo.models.ViViTBackbone`.
        num_classes: int. May be left out where `labels` are given.
        preprocessor: `keras_longvideo.models.VideoPreprocessor`, or None where
            inputs come preprocessed.
        activation: activation of the output. Defaults to `None`: logits.
        dropout: float. Dropout before the head. Defaults to `0.0`.
        labels: list of strings. Names of the classes, in order; `predict`'s
            column `i` is `labels[i]`. Defaults to `None`: no names.
        **kwargs: other arguments of `keras.Model`.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.models import VideoClassifier

    classifier = VideoClassifier.from_preset(
        "short_vivit_tiny", load_weights=False, num_classes=3
    )
    videos = np.random.randint(0, 256, size=(2, 16, 64, 64, 3)).astype("uint8")
    classifier.fit(videos, [0, 2], batch_size=2, verbose=0)
    classifier.predict(videos, verbose=0).shape  # (2, 3)
    ```
    """

    preprocessor_cls = VideoPreprocessor
    head_arguments = ("num_classes", "labels")

    def __init__(
        self,
        backbone,
        num_classes=None,
        preprocessor=None,
        activation=None,
        dropout=0.0,
        labels=None,
        **kwargs,
    ):
        if num_classes is None and labels is not None:
            num_classes = len(labels)
        _check_classes(num_classes, labels)
        # Numpy's ints are none to Keras.
        num_classes = operator.index(num_classes)
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.output_dropout = keras.layers.Dropout(
            dropout, dtype=backbone.dtype_policy, name="output_dropout"
        )
        # In float32, as a softmax over many classes wants it.
        self.output_dense = keras.layers.Dense(
            num_classes,
            activation=activation,
            dtype="float32",
            name="predictions",
        )

        # === Functional Model ===
        x = backbone(backbone.input)["pooled_output"]
        outputs = self.output_dense(self.output_dropout(x))
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)

        # === Config ===
        self.num_classes = num_classes
        self.activation = activation
        self.dropout = dropout
        self.labels = None if labels is None else list(labels)

    @classmethod
    def default_preprocessor(cls, backbone, video_converter=None):
        if video_converter is None:
            return VideoPreprocessor.for_backbone(backbone)
        return VideoPreprocessor(video_converter)

    def evaluate(
        self, x=None, y=None, batch_size=None, sample_weight=None, **kwargs
    ):
        """Measures the loss and the metrics, on files as well as on arrays.

        Under a `keras.distribution`, where a batch is split over devices, all
        batches have to be full. Each of several processes is given the same
        videos or dataset, and reads its own share.

        Args:
            x: videos as `fit` takes them.
            y: labels, where `x` is no dataset.
            batch_size: int. Defaults to `32`; for a dataset, it is its own.
            sample_weight: optional weights of the examples.
            **kwargs: see `keras.Model.evaluate`.

        Returns:
            As `keras.Model.evaluate`.

        Raises:
            ValueError: if batches are not full that have to be; the message
                says which would be.
        """
        check_examples(x)
        # Those of `fit` are shares already.
        if is_split() and not kwargs.get("_use_cached_eval_dataset"):
            if is_dataset(x):
                x = own_share(x)
            else:
                x = self._named(x)
                num_examples = len(next(iter(x.values())))
                size = batch_size or 32
                check_full_batches(size, num_examples)
                x = batches(x, y, sample_weight, min(size, num_examples))
                y = sample_weight = batch_size = None
        with feeding_own_share():
            return super().evaluate(
                string_paths(x), y, batch_size, sample_weight, **kwargs
            )

    def compile(self, optimizer="auto", loss="auto", metrics="auto", **kwargs):
        """Configures the classifier for training.

        Args:
            optimizer: `"auto"` (Adam, learning rate 5e-5, as KerasHub's image
                classifiers), or as in `keras.Model.compile`.
            loss: `"auto"` (sparse categorical cross-entropy: labels are ints),
                or as in `keras.Model.compile`.
            metrics: `"auto"` (accuracy, of such labels as the loss takes), or
                as in `keras.Model.compile`.
            **kwargs: see `keras.Model.compile`.
        """
        if optimizer == "auto":
            optimizer = keras.optimizers.Adam(5e-5)
        if loss == "auto":
            loss = keras.losses.SparseCategoricalCrossentropy(
                from_logits=self.output_dense.activation
                is keras.activations.linear
            )
        if metrics == "auto":
            metrics = ["accuracy"]
        super().compile(optimizer, loss, metrics=metrics, **kwargs)

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "num_classes": self.num_classes,
                "activation": keras.activations.serialize(
                    keras.activations.get(self.activation)
                ),
                "dropout": self.dropout,
                "labels": self.labels,
            }
        )
        return config


def _check_classes(num_classes, labels):
    if num_classes is None:
        raise ValueError(
            "A `VideoClassifier` needs `num_classes`, an int, or `labels`, the "
            "names of the classes. Received neither."
        )
    if num_classes < 1:
        raise ValueError(
            "A `VideoClassifier` needs at least one class. "
            f"Received: num_classes={num_classes}, labels={labels}"
        )
    if labels is not None and len(labels) != num_classes:
        raise ValueError(
            f"`labels` must name each of the {num_classes} classes. "
            f"Received: {len(labels)} labels"
        )
