"""A retriever in training, with auxiliary losses."""

import keras
import keras_hub
from keras import ops

from keras_longvideo.training.auxiliary_losses import CaptionDecoder
from keras_longvideo.training.auxiliary_losses import MaskedTokenHead
from keras_longvideo.training.auxiliary_losses import mask_tokens
from keras_longvideo.training.auxiliary_losses import token_loss


class VideoTextPretrainer(keras.Model):
    """Trains a retriever with auxiliary losses beside its own.

    The LongViViT paper ablates two, and finds that they do not help:

    `loss = contrastive + a * masked_language_modeling + b * captioning`

    Both are read here so:

    - Masked language modelling is of the text tower alone, without the video:
      15 % of a caption's tokens are hidden as in BERT, the text tower reads
      what is left, and a head predicts the hidden ones from its tokens. The
      contrastive loss sees whole captions, in a pass of its own.
    - Captioning is of the video tower: a causal transformer of two blocks
      predicts each token of the caption from those before it and, by
      cross-attention, the video's tokens. Where tubelets are masked, it sees
      those that are kept. Tokens of padding frames are not told apart.

    Each is a mean over tokens of `-log p(token)`; start, padding and, for the
    former, end tokens do not count. The heads are for training alone: what is
    kept is the retriever, whose weights are trained.

    Args:
        retriever: `keras_longvideo.models.VideoTextRetriever` with a
            preprocessor and a `BertBackbone`.
        masked_language_modeling: float. Weight of that loss. Defaults to
            `0.0`: it is not computed.
        captioning: float. Weight of that loss. Defaults to `0.0`.
        **kwargs: other arguments of `keras.Model`.

    Call arguments:
        inputs: dict as of the retriever: what its preprocessor returns.

    Raises:
        ValueError: if the retriever has no preprocessor, or a text tower of
            another kind.

    Returns:
        A dict of `video_embeddings`, `text_embeddings` and, of the auxiliary
        losses, scalars under their names.

    Example:

    ```python
    import keras_hub
    import numpy as np
    from keras_longvideo import models
    from keras_longvideo import training

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "ball"]
    tokenizer = keras_hub.tokenizers.BertTokenizer(words, lowercase=True)
    retriever = models.VideoTextRetriever.from_preset(
        "short_vivit_tiny",
        load_weights=False,
        text_backbone=models.text_tower("tiny", vocabulary_size=len(words)),
        preprocessor=models.VideoTextPreprocessor(
            models.VideoConverter(num_frames=2, image_size=(32, 32)), tokenizer
        ),
    )
    pretrainer = training.VideoTextPretrainer(retriever, captioning=1.0)
    pretrainer.compile("adamw")
    videos = np.random.randint(0, 256, size=(2, 2, 32, 32, 3)).astype("uint8")
    pairs = {"videos": videos, "captions": ["a red ball", "a ball"]}
    pretrainer.fit(retriever.preprocessor(pairs), batch_size=2, verbose=0)
    ```
    """

    def __init__(
        self, retriever, masked_language_modeling=0.0, captioning=0.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.retriever = retriever
        self.auxiliary = {
            name: weight
            for name, weight in (
                ("masked_language_modeling", masked_language_modeling),
                ("captioning", captioning),
            )
            if weight
        }
        _check_fits(retriever)
        tokenizer = retriever.preprocessor.tokenizer
        text = retriever.text_backbone
        self.special_ids = [tokenizer.start_token_id, tokenizer.end_token_id]
        policy = {"dtype": text.dtype_policy}
        if masked_language_modeling:
            self.mask_id = tokenizer.mask_token_id
            self.seed = keras.random.SeedGenerator()
            self.token_head = MaskedTokenHead(name="token_head", **policy)
            self.token_head.build(
                (None, None, text.hidden_dim),
                (text.vocabulary_size, text.hidden_dim),
            )
        if captioning:
            length = retriever.preprocessor.sequence_length
            self.decoder = CaptionDecoder(
                text.vocabulary_size,
                length,
                text.hidden_dim,
                text.num_heads,
                text.intermediate_dim,
                name="caption_decoder",
                **policy,
            )
            self.decoder.build(
                (None, length - 1), (None, None, retriever.backbone.hidden_dim)
            )
        self.means = [
            keras.metrics.Mean(name=f"{name}_loss") for name in self.auxiliary
        ]
        self.built = True

    def call(self, inputs, training=None):
        token_ids, mask = inputs["token_ids"], inputs["padding_mask"]
        videos = {
            name: inputs[name]
            for name in ("pixel_values", "frame_mask")
            if name in inputs
        }
        seen = self.retriever.backbone(videos, training=training)
        read = self._read(token_ids, mask, training)
        outputs = {
            "video_embeddings": _project(
                self.retriever.video_encoder,
                "video_projection",
                seen["pooled_output"],
            ),
            "text_embeddings": _project(
                self.retriever.text_encoder,
                "text_projection",
                self._pool(read, mask),
            ),
        }
        if "masked_language_modeling" in self.auxiliary:
            text = self.retriever.text_backbone
            hidden, is_chosen = mask_tokens(
                token_ids,
                mask,
                self.special_ids,
                self.mask_id,
                text.vocabulary_size,
                self.seed,
            )
            scores = self.token_head(
                self._read(hidden, mask, training),
                ops.convert_to_tensor(text.token_embedding.embeddings),
            )
            outputs["masked_language_modeling"] = token_loss(
                scores, token_ids, is_chosen
            )
        if "captioning" in self.auxiliary:
            scores = self.decoder(token_ids[:, :-1], seen["sequence_output"])
            outputs["captioning"] = token_loss(
                scores, token_ids[:, 1:], mask[:, 1:]
            )
        return outputs

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = self.retriever.compute_loss(
            x, y, y_pred, sample_weight, training
        )
        for name, weight in self.auxiliary.items():
            loss = loss + weight * y_pred[name]
        return loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # Batches count as they do in the mean of the whole loss.
        count = ops.shape(y_pred["video_embeddings"])[0]
        for mean, name in zip(self.means, self.auxiliary, strict=True):
            mean.update_state(y_pred[name], sample_weight=count)
        return self.get_metrics_result()

    def _read(self, token_ids, padding_mask, training):
        inputs = {
            "token_ids": token_ids,
            "padding_mask": padding_mask,
            "segment_ids": ops.zeros_like(token_ids),
        }
        read = self.retriever.text_backbone(inputs, training=training)
        return read["sequence_output"]

    def _pool(self, tokens, padding_mask):
        pooler = self.retriever.text_encoder.get_layer("text_pooler")
        return pooler(tokens, token_mask=padding_mask)


def _check_fits(retriever):
    if retriever.preprocessor is None:
        raise ValueError(
            "`retriever` must have a preprocessor, whose tokenizer the "
            "auxiliary losses need. Received: preprocessor=None"
        )
    if not isinstance(retriever.text_backbone, keras_hub.models.BertBackbone):
        raise ValueError(
            "`retriever` must have a `keras_hub.models.BertBackbone` as its "
            "text tower. Received: "
            f"{type(retriever.text_backbone).__name__}"
        )


def _project(encoder, name, x):
    """What a tower's last layers make of its pooled output."""
    names = [layer.name for layer in encoder.layers]
    if name in names:
        x = encoder.get_layer(name)(x)
    return encoder.get_layer(f"{name}_unit")(ops.cast(x, "float32"))
