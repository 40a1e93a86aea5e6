"""The dual encoder: videos and texts in one space."""

import functools
import math
import typing

import keras
import numpy as np
from keras import ops

from keras_longvideo.data import video_text_dataset
from keras_longvideo.evaluation import retrieval_metrics
from keras_longvideo.layers import MeanPooling
from keras_longvideo.models.export import exports
from keras_longvideo.models.keeps_weights import keeps_weights
from keras_longvideo.models.layout_map import bert_layouts
from keras_longvideo.models.layout_map import layout_map
from keras_longvideo.models.layout_map import projection_layouts
from keras_longvideo.models.layout_map import vivit_layouts
from keras_longvideo.models.microbatches import check_microbatch_size
from keras_longvideo.models.microbatches import in_microbatches
from keras_longvideo.models.processes import feeding_own_share
from keras_longvideo.models.processes import is_one_of_several
from keras_longvideo.models.processes import is_split
from keras_longvideo.models.processes import own_rows
from keras_longvideo.models.processes import own_share
from keras_longvideo.models.processes import returns_whole_outputs
from keras_longvideo.models.video_batches import Batches
from keras_longvideo.models.video_batches import as_list
from keras_longvideo.models.video_model import VideoModel
from keras_longvideo.models.video_task import VideoTask
from keras_longvideo.models.video_text_preprocessor import VideoTextPreprocessor
from keras_longvideo.models.video_text_preprocessor import check_captions
from keras_longvideo.ops import nce_loss
from keras_longvideo.ops import sigmoid_loss

# Scale and bias that training starts from: CLIP's temperature of 0.07, and
# SigLIP's, where most pairs of a batch are to start as "no".
_INITIAL_LOGITS = {"nce": (1 / 0.07, 0.0), "sigmoid": (10.0, -10.0)}
MAX_LOGIT_SCALE = 100.0


class SearchHit(typing.NamedTuple):
    """A video that a search found: its index, its score, and itself."""

    index: int
    score: float
    video: object


@keras.saving.register_keras_serializable(package="keras_longvideo")
class VideoTextRetriever(VideoTask):
    """Embeds videos and texts so that those that belong together are close.

    Two towers: the pooled output of a ViViT, and the mean over a BERT's real
    tokens; each is projected to `projection_dim` and scaled to unit length.
    Trained with a contrastive loss over the batch: of a batch of pairs, each
    video is to find its text, and each text its video. `fit`, `evaluate`,
    `encode_video` and `search` take video files as well as arrays: a path is
    an input.

    Args:
        backbone: `keras_longvideo.models.ViViTBackbone`.
        text_backbone: `keras_hub.models.BertBackbone`; see
            `keras_longvideo.models.text_tower`.
        preprocessor: `keras_longvideo.models.VideoTextPreprocessor`, or None
            where inputs come preprocessed.
        projection_dim: int. Length of an embedding. Defaults to `256`.
        loss: `"nce"`, over the batch in both directions with a learned
            temperature that starts at 0.07 and whose inverse is clipped at
            100 (as CLIP); or `"sigmoid"`, each pair by itself (as SigLIP).
            Defaults to `"nce"`.
        **kwargs: other arguments of `keras.Model`.

    Call arguments:
        inputs: dict of `pixel_values`, `frame_mask` (optional), `token_ids`
            and `padding_mask`.

    Returns:
        A dict of `video_embeddings` and `text_embeddings`, float32, of shape
        `(batch, projection_dim)` and unit length.

    Example:

    ```python
    import keras_hub
    import numpy as np
    from keras_longvideo import models

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "ball"]
    tokenizer = keras_hub.tokenizers.BertTokenizer(words, lowercase=True)
    retriever = models.VideoTextRetriever.from_preset(
        "short_vivit_tiny",
        load_weights=False,
        text_backbone=models.text_tower("tiny", vocabulary_size=len(words)),
        preprocessor=models.VideoTextPreprocessor(
            models.VideoConverter(num_frames=16, image_size=(64, 64)),
            tokenizer,
        ),
    )
    videos = np.random.randint(0, 256, size=(2, 16, 64, 64, 3)).astype("uint8")
    pairs = {"videos": videos, "captions": ["a red ball", "a ball"]}
    retriever.fit(pairs, batch_size=2, verbose=0)
    retriever.search("a red ball", videos)[0].index
    ```
    """

    preprocessor_cls = VideoTextPreprocessor
    microbatch_size = None

    def __init__(
        self,
        backbone,
        text_backbone,
        preprocessor=None,
        projection_dim=256,
        loss="nce",
        **kwargs,
    ):
        if loss not in _INITIAL_LOGITS:
            raise ValueError(
                f"`loss` must be one of {sorted(_INITIAL_LOGITS)}. "
                f"Received: loss={loss!r}"
            )

        # === Layers ===
        self.backbone = backbone
        self.text_backbone = text_backbone
        self.preprocessor = preprocessor
        # BERT's pooled output is not used, so its layer learns nothing.
        text_backbone.pooled_dense.trainable = False

        def embed(x, policy, name):
            project = keras.layers.Dense(
                projection_dim, use_bias=False, dtype=policy, name=name
            )
            normalize = keras.layers.UnitNormalization(
                dtype="float32", name=f"{name}_unit"
            )
            return normalize(ops.cast(project(x), "float32"))

        video_inputs = backbone.input
        self.video_encoder = VideoModel(
            video_inputs,
            embed(
                backbone(video_inputs)["pooled_output"],
                backbone.dtype_policy,
                "video_projection",
            ),
            name="video_encoder",
        )
        text_inputs = {
            "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
            "padding_mask": keras.Input(
                (None,), dtype="bool", name="padding_mask"
            ),
        }
        tokens = text_backbone(
            {
                **text_inputs,
                "segment_ids": ops.zeros_like(text_inputs["token_ids"]),
            }
        )["sequence_output"]
        pooler = MeanPooling(
            dtype=text_backbone.dtype_policy, name="text_pooler"
        )
        self.text_encoder = _TextEncoder(
            text_inputs,
            embed(
                pooler(tokens, text_inputs["padding_mask"]),
                text_backbone.dtype_policy,
                "text_projection",
            ),
            name="text_encoder",
        )

        # === Functional Model ===
        outputs = {
            "video_embeddings": self.video_encoder(video_inputs),
            "text_embeddings": self.text_encoder(text_inputs),
        }
        super().__init__(
            inputs={**video_inputs, **text_inputs}, outputs=outputs, **kwargs
        )

        # === Config ===
        self.projection_dim = projection_dim
        self.loss_name = loss

        # Only now: weights made before `super().__init__` would neither be
        # trained nor saved on torch.
        scale, bias = _INITIAL_LOGITS[loss]
        self.log_logit_scale = self.add_weight(
            name="log_logit_scale",
            shape=(),
            initializer=keras.initializers.Constant(math.log(scale)),
            constraint=_at_most_max_logit_scale,
            dtype="float32",
        )
        self.logit_bias = self.add_weight(
            name="logit_bias",
            shape=(),
            initializer=keras.initializers.Constant(bias),
            trainable=loss == "sigmoid",
            dtype="float32",
        )

    def compile(self, optimizer="auto", *, microbatch_size=None, **kwargs):
        """Configures the retriever for training; the loss is its own.

        With a `microbatch_size`, `fit` encodes each batch that many pairs at a
        time, keeps nothing but the embeddings, and takes the loss over all of
        them: each video still has the whole batch's texts to tell apart. The
        backward pass encodes each microbatch again, so loss and gradients are
        those of the whole batch, while the memory for activations follows
        `microbatch_size`. It costs one more forward pass.

        Args:
            optimizer: `"auto"` (AdamW, learning rate 1e-4, `beta_2` 0.98 and
                epsilon 1e-6 as CLIP, gradients clipped to a norm of 1, no
                decay of norms, biases, positions and logits), or as in
                `keras.Model.compile`.
            microbatch_size: int or None. Pairs that are encoded at a time in
                training, on all devices together; it must divide the batch,
                and a multiple of the devices keeps all of them busy. On the
                JAX backend only. Defaults to `None`: all at once. On TPU the
                compiler may crash on a text tower with dropout (seen with
                libtpu 0.0.42): then set the environment's `LIBTPU_INIT_ARGS`
                to `--xla_tpu_dot_dot_fusion=false`.
            **kwargs: see `keras.Model.compile`.

        Raises:
            ValueError: if `loss` is given, or `microbatch_size` is not a
                positive int or the backend is not JAX.
        """
        if optimizer == "auto":
            optimizer = keras.optimizers.AdamW(
                1e-4, beta_2=0.98, epsilon=1e-6, clipnorm=1.0
            )
            optimizer.exclude_from_weight_decay(
                var_names=["bias", "gamma", "beta", "positions", "logit"]
            )
        if kwargs.get("loss") is not None:
            raise ValueError(
                "The loss is an argument of `VideoTextRetriever` ('nce' or "
                "'sigmoid'), not of `compile`. "
                f"Received: loss={kwargs['loss']!r}"
            )
        check_microbatch_size(microbatch_size)
        self.microbatch_size = microbatch_size
        super().compile(optimizer, **kwargs)

    # Through it, Keras's trainer on JAX calls the model.
    def stateless_call(self, *args, training=None, **kwargs):
        call = functools.partial(super().stateless_call, training=training)
        if training and self.microbatch_size is not None:
            call = in_microbatches(call, self, self.microbatch_size)
        return call(*args, **kwargs)

    def fit(
        self, x=None, y=None, batch_size=None, validation_data=None, **kwargs
    ):
        """Trains the retriever, on files as well as on arrays.

        Under a `keras.distribution`, where a batch is split over devices, a
        last batch that is not full is left out, in validation too; a
        `tf.data.Dataset` has to leave it out itself. Each of several processes
        is given the same videos or dataset, and reads its own share.

        Args:
            x: dict of `videos` (paths) and `captions`, a list of strings for
                each video, such as `keras_longvideo.data.read_manifest`
                returns: each epoch draws one caption a video, and leaves out a
                last batch that is not full. Or a dict of `videos` and
                `captions`, one string for each. Or a `tf.data.Dataset`, such
                as `keras_longvideo.data.video_text_dataset` makes.
            y: not used.
            batch_size: int. Defaults to `32`; for a dataset, it is its own.
            validation_data: as `x`.
            **kwargs: see `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.
        """
        for pairs in (x, validation_data):
            # Before training begins, and with the caption's index.
            is_dict = isinstance(pairs, dict) and "captions" in pairs
            if is_dict and not _is_manifest(pairs):
                check_captions(pairs["captions"])
        return super().fit(
            x, y, batch_size, validation_data=validation_data, **kwargs
        )

    def _batches(self, x, y, sample_weight, batch_size, shuffle, training):
        if not _is_manifest(x):
            return super()._batches(
                x, y, sample_weight, batch_size, shuffle, training
            )
        converter = self.preprocessor.video_converter
        return video_text_dataset(
            x,
            batch_size,
            num_frames=converter.num_frames,
            fps=converter.fps,
            image_size=converter.image_size,
            shuffle=shuffle,
            drop_remainder=training or is_split(),
            rows=own_rows(batch_size) if is_one_of_several() else None,
        )

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        embeddings = (y_pred["video_embeddings"], y_pred["text_embeddings"])
        scale = ops.exp(self.log_logit_scale)
        if self.loss_name == "sigmoid":
            losses = sigmoid_loss(*embeddings, scale, self.logit_bias)
        else:
            losses = nce_loss(*embeddings, scale)
        if sample_weight is not None:
            losses = losses * ops.cast(sample_weight, losses.dtype)
        return ops.mean(losses)

    def encode_video(self, videos, batch_size=8, verbose="auto"):
        """Embeds videos.

        Files are read a batch at a time while the batch before is embedded.

        Args:
            videos: a video or a list of videos: paths, or arrays as
                `VideoConverter` takes them.
            batch_size: int. Videos in memory at a time. Defaults to `8`.
            verbose: as in `keras.Model.predict`.

        Returns:
            A float32 array of shape `(videos, projection_dim)`, unit length;
            without the first axis where one video came.

        Raises:
            keras_longvideo.video.VideoError: if a file cannot be read.
        """
        videos, is_one = as_list(videos)
        batches = Batches(videos, self.preprocessor.video_converter, batch_size)
        embeddings = _embed(self.video_encoder, batches, verbose)
        return embeddings[0] if is_one else embeddings

    def encode_text(self, texts, batch_size=32, verbose=0):
        """Embeds texts.

        Args:
            texts: a string or a list of strings.
            batch_size: int. Defaults to `32`.
            verbose: as in `keras.Model.predict`. Defaults to `0`.

        Returns:
            A float32 array of shape `(texts, projection_dim)`, unit length;
            without the first axis where one string came.
        """
        is_one = isinstance(texts, str)
        tokens = self.preprocessor.tokenize([texts] if is_one else texts)
        tokens = {k: ops.convert_to_numpy(x) for k, x in tokens.items()}
        batches = Batches(
            range(len(tokens["token_ids"])),
            lambda rows: {name: x[rows] for name, x in tokens.items()},
            batch_size,
        )
        embeddings = _embed(self.text_encoder, batches, verbose)
        return embeddings[0] if is_one else embeddings

    def search(self, query, videos, top_k=5, batch_size=8, verbose="auto"):
        """Finds the videos that a text describes best.

        Args:
            query: a string, or a list of strings.
            videos: list of paths or arrays; or what `encode_video` made of
                them, an array of shape `(videos, projection_dim)`, to search
                the same videos many times.
            top_k: int. Hits to return. Defaults to `5`.
            batch_size: int. Videos in memory at a time. Defaults to `8`.
            verbose: as in `keras.Model.predict`.

        Returns:
            A list of `SearchHit(index, score, video)`, best first, where
            `score` is a cosine and `video` the entry of `videos`; a list of
            such lists for a list of strings.
        """
        if getattr(videos, "ndim", 0) == 2:
            embeddings = np.asarray(videos)
        else:
            videos, _ = as_list(videos)
            embeddings = self.encode_video(videos, batch_size, verbose)
        if embeddings.shape[-1] != self.projection_dim:
            raise ValueError(
                "`videos` must be embeddings of length "
                f"{self.projection_dim}. Received: shape {embeddings.shape}"
            )
        queries = [query] if isinstance(query, str) else query
        scores = self.encode_text(queries) @ embeddings.T
        # Stable, so that of equal scores the earlier video comes first.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        hits = [
            [SearchHit(int(i), float(row[i]), videos[i]) for i in best]
            for row, best in zip(scores, order, strict=True)
        ]
        return hits[0] if isinstance(query, str) else hits

    def evaluate(
        self, x=None, *args, batch_size=None, verbose="auto", **kwargs
    ):
        """Measures how well videos and texts find one another.

        Args:
            x: dict of `videos` and `captions` (a string or a list of strings
                for each video), such as `keras_longvideo.data.read_manifest`
                returns; or a `tf.data.Dataset` of pairs, each of which counts
                as a video of its own.
            *args: see `keras.Model.evaluate`.
            batch_size: int. Defaults to `8` for a dict.
            verbose: as in `keras.Model.evaluate`.
            **kwargs: see `keras.Model.evaluate`.

        Returns:
            A dict of Recall@1, @5 and @10 and of the median rank, in both
            directions; see `keras_longvideo.evaluation.retrieval_metrics`.
        """
        if kwargs.get("_use_cached_eval_dataset"):
            # `fit` validates: the loss, batch by batch.
            return super().evaluate(x, *args, verbose=verbose, **kwargs)
        if not isinstance(x, dict):
            with feeding_own_share():
                pairs = self.predict(
                    own_share(x), batch_size=batch_size, verbose=verbose
                )
            return retrieval_metrics(
                pairs["video_embeddings"],
                pairs["text_embeddings"],
                np.arange(len(pairs["text_embeddings"])),
            )
        captions = [[c] if isinstance(c, str) else c for c in x["captions"]]
        videos, _ = as_list(x["videos"])
        if len(captions) != len(videos):
            raise ValueError(
                "`x` must have captions for each video. Received: "
                f"{len(videos)} videos, captions for {len(captions)}"
            )
        counts = [len(c) for c in captions]
        return retrieval_metrics(
            self.encode_video(videos, batch_size or 8, verbose),
            self.encode_text([c for several in captions for c in several]),
            np.repeat(np.arange(len(videos)), counts),
        )

    @staticmethod
    def get_layout_map(
        device_mesh,
        model_parallel_dim_name="model",
        data_parallel_dim_name="batch",
        sequence_parallel_dim_name="sequence",
    ):
        """Splits weights, examples and tokens over the chips of a mesh.

        As `ViViTBackbone.get_layout_map`, for both towers: what an axis has to
        divide, it has to in both. The tokens of a text are split over the
        sequence axis, too.

        Args:
            device_mesh: `keras.distribution.DeviceMesh`, with the data axis
                and, optionally, any of the other two.
            model_parallel_dim_name: string. Axis that attention heads and
                the width of feed-forward layers are split over. Defaults to
                `"model"`.
            data_parallel_dim_name: string. Axis that the pairs of a batch are
                split over. Defaults to `"batch"`.
            sequence_parallel_dim_name: string. Axis that the tokens of one
                video are split over. Defaults to `"sequence"`.

        Returns:
            A `keras.distribution.LayoutMap`.

        Raises:
            ValueError: if `device_mesh` lacks the data axis, or has others.

        Example:

        ```python
        import keras
        from keras_longvideo import models

        devices = keras.distribution.list_devices()
        mesh = keras.distribution.DeviceMesh(
            (len(devices),), ("batch",), devices
        )
        distribution = keras.distribution.ModelParallel(
            layout_map=models.VideoTextRetriever.get_layout_map(mesh),
            batch_dim_name="batch",
        )
        with distribution.scope():
            retriever = models.VideoTextRetriever(
                models.ViViTBackbone.from_preset(
                    "short_vivit_tiny", load_weights=False
                ),
                models.text_tower("tiny"),
            )
        retriever.video_encoder.weights[0].value.sharding
        ```
        """
        return layout_map(
            device_mesh,
            model_parallel_dim_name,
            data_parallel_dim_name,
            sequence_parallel_dim_name,
            vivit_layouts,
            bert_layouts,
            projection_layouts,
        )

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config["text_backbone"], dict):
            config["text_backbone"] = keras.layers.deserialize(
                config["text_backbone"]
            )
        return super().from_config(config)

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "text_backbone": keras.layers.serialize(self.text_backbone),
                "projection_dim": self.projection_dim,
                "loss": self.loss_name,
            }
        )
        return config


@keeps_weights
@returns_whole_outputs
@exports
class _TextEncoder(keras.Model):
    """A functional model of `token_ids` and `padding_mask`."""


def _embed(encoder, batches, verbose):
    with feeding_own_share():
        embeddings = encoder.predict(batches, verbose=verbose)
    return embeddings[: len(batches.examples)]


def _is_manifest(x):
    """Whether each video has a list of captions, not a single one."""
    return isinstance(x, dict) and any(
        isinstance(several, (list, tuple)) for several in x.get("captions", ())
    )


def _at_most_max_logit_scale(log_scale):
    return ops.minimum(log_scale, math.log(MAX_LOGIT_SCALE))
