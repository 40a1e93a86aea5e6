"""The dual encoder: videos and texts in one space."""

import functools
import math
import random

import keras
import numpy as np
from keras import ops

from keras_longvideo.data import video_text_dataset
from keras_longvideo.models.image_text import from_image_text
from keras_longvideo.models.layout_map import bert_layouts
from keras_longvideo.models.layout_map import image_text_layouts
from keras_longvideo.models.layout_map import layout_map
from keras_longvideo.models.layout_map import projection_layouts
from keras_longvideo.models.layout_map import vivit_layouts
from keras_longvideo.models.microbatches import check_microbatch_size
from keras_longvideo.models.microbatches import in_microbatches
from keras_longvideo.models.presets import open_preset
from keras_longvideo.models.processes import is_one_of_several
from keras_longvideo.models.processes import is_split
from keras_longvideo.models.processes import own_rows
from keras_longvideo.models.search_task import SearchTask
from keras_longvideo.models.text_encoder import TextEncoder
from keras_longvideo.models.text_encoder import check_tokens_fit
from keras_longvideo.models.text_encoder import pooled_text
from keras_longvideo.models.text_encoder import text_inputs
from keras_longvideo.models.text_encoder import vocabulary_size
from keras_longvideo.models.video_model import VideoModel
from keras_longvideo.models.video_text_preprocessor import VideoTextPreprocessor
from keras_longvideo.models.video_text_preprocessor import check_captions
from keras_longvideo.models.weight_decay import weights_without_decay
from keras_longvideo.ops import nce_loss
from keras_longvideo.ops import sigmoid_loss

# Scale and bias that training starts from: CLIP's temperature of 0.07, and
# SigLIP's, where most pairs of a batch are to start as "no".
_INITIAL_LOGITS = {"nce": (1 / 0.07, 0.0), "sigmoid": (10.0, -10.0)}
MAX_LOGIT_SCALE = 100.0


@keras.saving.register_keras_serializable(package="keras_longvideo")
class VideoTextRetriever(SearchTask):
    """Embeds videos and texts so that those that belong together are close.

    Two towers: the pooled output of a ViViT, and that of a text encoder; each
    is projected to `projection_dim` and scaled to unit length. Trained with a
    contrastive loss over the batch: of a batch of pairs, each video is to find
    its text, and each text its video. `fit`, `evaluate`, `encode_video` and
    `search` take video files as well as arrays: a path is an input.

    Args:
        backbone: `keras_longvideo.models.ViViTBackbone`.
        text_backbone: `keras_hub.models.BertBackbone` (see
            `keras_longvideo.models.text_tower`), `CLIPTextEncoder`,
            `SigLIPTextEncoder` or another KerasHub encoder of texts.
        preprocessor: `keras_longvideo.models.VideoTextPreprocessor`, or None
            where inputs come preprocessed.
        projection_dim: int or None. Length of an embedding. `None` projects
            neither tower, for two whose outputs are embeddings of one length.
            Defaults to `256`.
        loss: `"nce"`, over the batch in both directions with a learned
            temperature that starts at 0.07 and whose inverse is clipped at
            100 (as CLIP); or `"sigmoid"`, each pair by itself (as SigLIP).
            Defaults to `"nce"`. Another one than a preset's starts with a
            temperature and bias of its own.
        text_pooling: what of the text encoder's tokens stands for the text:
            `"mean"`, that of all real tokens; `"last"`, the last real token,
            as CLIP; or `None` where the encoder pools its tokens itself, as
            SigLIP's. Defaults to `"mean"`.
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
    head_arguments = ("text_backbone",)
    microbatch_size = None

    def __init__(
        self,
        backbone,
        text_backbone,
        preprocessor=None,
        projection_dim=256,
        loss="nce",
        text_pooling="mean",
        **kwargs,
    ):
        if loss not in _INITIAL_LOGITS:
            raise ValueError(
                f"`loss` must be one of {sorted(_INITIAL_LOGITS)}. "
                f"Received: loss={loss!r}"
            )
        if preprocessor is not None:
            check_tokens_fit(text_backbone, preprocessor)

        # === Layers ===
        self.backbone = backbone
        self.text_backbone = text_backbone
        self.preprocessor = preprocessor
        if not text_backbone.trainable:
            # On torch, Keras says so of the model alone, not of its weights.
            text_backbone.trainable = False
        if hasattr(text_backbone, "pooled_dense"):
            # BERT's pooled output is not used, so its layer learns nothing.
            text_backbone.pooled_dense.trainable = False

        def embed(x, policy, name):
            if projection_dim is not None:
                x = keras.layers.Dense(
                    projection_dim, use_bias=False, dtype=policy, name=name
                )(x)
            normalize = keras.layers.UnitNormalization(
                dtype="float32", name=f"{name}_unit"
            )
            return normalize(ops.cast(x, "float32"))

        videos, texts = backbone.input, text_inputs()
        self.video_encoder = VideoModel(
            videos,
            embed(
                backbone(videos)["pooled_output"],
                backbone.dtype_policy,
                "video_projection",
            ),
            name="video_encoder",
        )
        self.text_encoder = TextEncoder(
            texts,
            embed(
                pooled_text(text_backbone, texts, text_pooling),
                text_backbone.dtype_policy,
                "text_projection",
            ),
            name="text_encoder",
        )

        # === Functional Model ===
        outputs = {
            "video_embeddings": self.video_encoder(videos),
            "text_embeddings": self.text_encoder(texts),
        }
        dims = {name: x.shape[-1] for name, x in outputs.items()}
        if len(set(dims.values())) > 1:
            raise ValueError(
                "`projection_dim` must be an int where the towers' outputs "
                f"differ in length. Received: projection_dim=None, {dims}"
            )
        compiles = kwargs.pop("compile", True)
        super().__init__(
            inputs={**videos, **texts},
            outputs=outputs,
            compile=False,
            **kwargs,
        )

        # === Config ===
        self.projection_dim = projection_dim
        self.loss_name = loss
        self.text_pooling = text_pooling

        # Only now: weights made before `super().__init__` would neither be
        # trained nor saved on torch.
        scale, bias = _INITIAL_LOGITS[loss]
        self.log_logit_scale = self.add_weight(
            name="log_logit_scale",
            shape=(),
            initializer=keras.initializers.Constant(math.log(scale)),
            constraint=_at_most_max_logit_scale if loss == "nce" else None,
            dtype="float32",
        )
        self.logit_bias = self.add_weight(
            name="logit_bias",
            shape=(),
            initializer=keras.initializers.Constant(bias),
            trainable=loss == "sigmoid",
            dtype="float32",
        )
        # As every `Task`, but with all weights there: some are not to decay.
        if compiles:
            self.compile()

    # As `VideoTask`, and tells what of the preset does not go together with the
    # overrides.
    @classmethod
    def from_preset(cls, preset, load_weights=True, **overrides):
        preset = open_preset(preset, load_weights)
        has_own_tower = "text_backbone" in overrides
        if load_weights and not has_own_tower:
            _check_projection_dim(preset, overrides)
        retriever = super().from_preset(preset, load_weights, **overrides)
        if _saved_config(preset).get("loss") != retriever.loss_name:
            # What the other loss has learned is of no use: with a bias of 0,
            # each pair would be taken for one that belongs together.
            scale, bias = _INITIAL_LOGITS[retriever.loss_name]
            retriever.log_logit_scale.assign(math.log(scale))
            retriever.logit_bias.assign(bias)
        is_saved = "preprocessor" not in overrides
        if has_own_tower and is_saved and retriever.preprocessor is not None:
            _check_vocabulary(retriever)
        return retriever

    @classmethod
    def from_image_text(
        cls,
        source,
        num_frames=16,
        attention="frame",
        tubelet_size=None,
        preprocessor=None,
        fps=1.0,
        **overrides,
    ):
        """Makes a retriever of videos of one of pictures: CLIP or SigLIP.

        It searches videos at once: with frame-level attention, the default,
        each frame is encoded as a picture, and their mean is the video's. A
        still video then scores against a text as its picture does with the
        source. From there, `fit` tunes it on videos; other kinds of attention
        look across frames from the start, and what they start from is told at
        `ViViTBackbone.from_image_encoder`.

        Args:
            source: a KerasHub `CLIPBackbone`, `SigLIPBackbone` (SigLIP 2's,
                too) or `MetaCLIP2Backbone` in float32, which is left as it is;
                or the name of a preset of one. In several processes as of
                `ViViTBackbone.from_image_encoder`.
            num_frames: int. Frames of a clip. Defaults to `16`.
            attention: as of `ViViTBackbone`. Defaults to `"frame"`.
            tubelet_size: as of `ViViTBackbone.from_image_encoder`.
            preprocessor: the KerasHub preprocessor of `source`, such as
                `keras_hub.models.CLIPPreprocessor`, for its tokenizer and
                scale of pixels. `None`, the default, is that of the preset
                where `source` is one; else the retriever has none, and takes
                preprocessed inputs.
            fps: float or None. See `VideoConverter`; of no use without a
                preprocessor. Defaults to `1.0`.
            **overrides: other arguments of `ViViTBackbone`; `dtype` is that of
                both towers.

        Returns:
            A `VideoTextRetriever`, with the source's loss: `"nce"` for CLIP,
            `"sigmoid"` for SigLIP.

        Raises:
            ValueError: as `ViViTBackbone.from_image_encoder`.

        Example:

        ```python
        import keras_hub
        from keras_longvideo import models

        # Or the name of a preset, such as "siglip_base_patch16_224".
        size = {
            "hidden_dim": 16,
            "num_layers": 1,
            "num_heads": 2,
            "intermediate_dim": 32,
        }
        source = keras_hub.models.SigLIPBackbone(
            keras_hub.models.SigLIPVisionEncoder(
                patch_size=8, image_shape=(32, 32, 3), **size
            ),
            keras_hub.models.SigLIPTextEncoder(
                vocabulary_size=100, embedding_dim=16, **size
            ),
        )
        retriever = models.VideoTextRetriever.from_image_text(
            source, num_frames=4
        )
        ```
        """
        return from_image_text(
            cls,
            source,
            num_frames,
            attention,
            tubelet_size,
            preprocessor,
            fps,
            **overrides,
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
                decay of norms, biases, positions, learned tokens, gates and
                logits), or as in `keras.Model.compile`.
            microbatch_size: int or None. Pairs that are encoded at a time in
                training, on all devices together; it must divide the batch,
                and a multiple of the devices keeps all of them busy. On the
                JAX backend only. Defaults to `None`: all at once. On TPU the
                compiler may crash on a text tower with dropout (seen with
                libtpu 0.0.42): then set the environment's `LIBTPU_INIT_ARGS`
                to `--xla_tpu_dot_dot_fusion=false`.
            **kwargs: see `keras.Model.compile`.

        Raises:
            ValueError: if `loss` or metrics are given, or `microbatch_size` is
                not a positive int or the backend is not JAX.
        """
        self._has_default_optimizer = optimizer == "auto"
        if self._has_default_optimizer:
            optimizer = keras.optimizers.AdamW(
                1e-4, beta_2=0.98, epsilon=1e-6, clipnorm=1.0
            )
            optimizer.exclude_from_weight_decay(weights_without_decay(self))
        if kwargs.get("loss") is not None:
            raise ValueError(
                "The loss is an argument of `VideoTextRetriever` ('nce' or "
                "'sigmoid'), not of `compile`. "
                f"Received: loss={kwargs['loss']!r}"
            )
        unused = ("metrics", "weighted_metrics", "loss_weights")
        unused = {n: kwargs[n] for n in unused if kwargs.get(n) is not None}
        if unused:
            raise ValueError(
                f"{sorted(unused)} have no use: there are no labels to compare "
                "with. `evaluate` measures how well videos and texts find one "
                f"another. Received: {unused}"
            )
        check_microbatch_size(microbatch_size)
        self.microbatch_size = microbatch_size
        super().compile(optimizer, **kwargs)

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        if self._has_default_optimizer:
            # What it spares from decay is no part of an optimizer's config.
            config["optimizer"] = "auto"
        return {**config, "microbatch_size": self.microbatch_size}

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
            validation_data: as `x`; of a manifest the first caption of each
                video counts.
            **kwargs: see `keras.Model.fit`. There are no classes, and so no
                `class_weight`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: if a caption is empty or no string, an argument has no
                use, or each batch would be of one pair, of which nothing is
                learned by NCE.
        """
        if kwargs.get("class_weight") is not None:
            raise ValueError(
                "`class_weight` has no use: there are no classes. Received: "
                f"class_weight={kwargs['class_weight']}"
            )
        for pairs in (x, validation_data):
            # Before training begins, and with the caption's index.
            is_dict = isinstance(pairs, dict) and "captions" in pairs
            if is_dict and not _is_manifest(pairs):
                check_captions(pairs["captions"])
        return super().fit(
            x, y, batch_size, validation_data=validation_data, **kwargs
        )

    def predict(self, x=None, batch_size=None, **kwargs):
        """Embeds pairs of a video and a caption.

        Args:
            x: dict of `videos` and `captions`, one string for each, or a
                dataset of batches of such; see `fit`.
            batch_size: int. Defaults to `32`; for a dataset, it is its own.
            **kwargs: see `keras.Model.predict`.

        Returns:
            A dict of `video_embeddings` and `text_embeddings`, float32 arrays
            of shape `(pairs, dim)`.

        Raises:
            ValueError: if a caption is no string.
        """
        if isinstance(x, dict) and "captions" in x:
            check_captions(x["captions"])
        return super().predict(x, batch_size, **kwargs)

    def _batches(self, x, y, sample_weight, batch_size, shuffle, training):
        if training and self.loss_name == "nce":
            _check_negatives(self._named(x), batch_size)
        if not _is_manifest(x):
            if y is None and sample_weight is not None:
                # Keras would drop weights that come without labels.
                y = np.zeros(len(sample_weight), "float32")
            return super()._batches(
                x, y, sample_weight, batch_size, shuffle, training
            )
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` has no use for a manifest, of whose captions "
                "each epoch draws one a video: leave it out, or give one "
                "caption a video, as strings."
            )
        if not training:
            # Each epoch is to be measured by the same.
            x = {**x, "captions": [c[:1] for c in x["captions"]]}
        converter = self._required_preprocessor().video_converter
        return video_text_dataset(
            x,
            batch_size,
            # Python's random numbers, which Keras seeds alike in all processes.
            seed=random.randrange(2**31),
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
        loss = ops.mean(losses)
        # Regularizers', and what layers add.
        for other in self.losses:
            loss = loss + ops.sum(ops.cast(other, loss.dtype))
        return loss

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
            image_text_layouts,
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
                "text_pooling": self.text_pooling,
            }
        )
        return config


def _saved_config(preset):
    """The arguments of a preset's task; none where it has only an encoder."""
    return preset.task["config"] if preset.task is not None else {}


def _check_projection_dim(preset, overrides):
    """Refuses projections of another length than the trained ones."""
    saved = _saved_config(preset)
    new = {**saved, **overrides}.get("projection_dim")
    if "projection_dim" in saved and new != saved["projection_dim"]:
        raise ValueError(
            f"`projection_dim` must be {saved['projection_dim']}, that of the "
            f"preset's trained projections. Received: projection_dim={new}. "
            "Leave it out; or pass a `text_backbone` or `load_weights=False`, "
            "with which projections start afresh."
        )


def _check_vocabulary(retriever):
    """Refuses a tower of other words than those of the saved tokenizer."""
    saved = vocabulary_size(retriever.preprocessor.tokenizer)
    own = getattr(retriever.text_backbone, "vocabulary_size", saved)
    if own != saved:
        raise ValueError(
            "`preprocessor` must be given with a `text_backbone` of another "
            f"vocabulary: the preset's tokenizer has {saved} words. Received: "
            f"a `text_backbone` with vocabulary_size={own}"
        )


def _check_negatives(x, batch_size):
    """Refuses batches of one pair, with nothing to tell it from."""
    num_examples = max(map(len, x.values()))
    if 1 in (batch_size, num_examples):
        raise ValueError(
            "A batch must hold at least 2 pairs, to be told apart: the loss of "
            "one is 0, whatever the model does. Where memory is short, "
            "`compile(microbatch_size=...)` encodes fewer at a time. Received: "
            f"batch_size={batch_size} for {num_examples} examples"
        )


def _is_manifest(x):
    """Whether each video has a list of captions, not a single one."""
    return isinstance(x, dict) and any(
        isinstance(several, (list, tuple)) for several in x.get("captions", ())
    )


def _at_most_max_logit_scale(log_scale):
    return ops.minimum(log_scale, math.log(MAX_LOGIT_SCALE))
