"""The text half of a retriever: from tokens to one vector a text."""

import keras
from keras import ops

from keras_longvideo.layers import LastTokenPooling
from keras_longvideo.layers import MeanPooling
from keras_longvideo.models.export import exports
from keras_longvideo.models.keeps_weights import keeps_weights
from keras_longvideo.models.processes import returns_whole_outputs
from keras_longvideo.models.quantization import quantizes

TEXT_POOLINGS = {"mean": MeanPooling, "last": LastTokenPooling}


@keras.saving.register_keras_serializable(package="keras_longvideo")
@keeps_weights
@returns_whole_outputs
@exports
@quantizes
class TextEncoder(keras.Model):
    """A functional model of `token_ids` and `padding_mask`."""


def text_inputs():
    """The inputs of a `TextEncoder`."""
    return {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
        "padding_mask": keras.Input((None,), dtype="bool", name="padding_mask"),
    }


def pooled_text(text_backbone, inputs, pooling):
    """One vector for each text.

    Args:
        text_backbone: a KerasHub encoder of texts, which is given those of
            `inputs` and `segment_ids` (zeros) that it takes.
        inputs: dict of `token_ids` and `padding_mask`.
        pooling: see `keras_longvideo.models.VideoTextRetriever`.

    Returns:
        A tensor of shape `(batch, dim)`.

    Raises:
        ValueError: if `pooling` is unknown, or not for such an encoder.
    """
    if pooling not in (*TEXT_POOLINGS, None):
        raise ValueError(
            f"`text_pooling` must be one of {sorted(TEXT_POOLINGS)} or None. "
            f"Received: text_pooling={pooling!r}"
        )
    available = {**inputs, "segment_ids": ops.zeros_like(inputs["token_ids"])}
    outputs = text_backbone(
        {name: available[name] for name in text_backbone.input}
    )
    if isinstance(outputs, dict):
        outputs = outputs["sequence_output"]
    if (len(outputs.shape) == 2) != (pooling is None):
        raise ValueError(
            "`text_pooling` must be None where the text backbone pools its "
            f"tokens itself, and one of {sorted(TEXT_POOLINGS)} where it does "
            f"not. Received: text_pooling={pooling!r}, and a "
            f"{type(text_backbone).__name__} whose output has shape "
            f"{tuple(outputs.shape)}"
        )
    if pooling is None:
        return outputs
    pooler = TEXT_POOLINGS[pooling](
        dtype=text_backbone.dtype_policy, name="text_pooler"
    )
    return pooler(outputs, token_mask=inputs["padding_mask"])


def check_tokens_fit(text_backbone, preprocessor):
    """Refuses captions that a text encoder has no embeddings for.

    Args:
        text_backbone: a KerasHub encoder of texts.
        preprocessor: `VideoTextPreprocessor`. Its words are looked at once it
            has them: the tokenizer of a preset gets them late.

    Raises:
        ValueError: if there are more words, or tokens a caption, than
            `text_backbone` was made for.
    """
    size = vocabulary_size(preprocessor.tokenizer)
    most = getattr(text_backbone, "vocabulary_size", None)
    if None not in (size, most) and size > most:
        raise ValueError(
            "`preprocessor` must have a tokenizer of at most "
            f"{most} words, the `vocabulary_size` of `text_backbone`. "
            f"Received: {size} words"
        )
    length = preprocessor.sequence_length
    most = getattr(text_backbone, "max_sequence_length", None)
    if most is not None and length > most:
        raise ValueError(
            "`preprocessor` must have a `sequence_length` of at most "
            f"{most}, the `max_sequence_length` of `text_backbone`. "
            f"Received: sequence_length={length}"
        )


def vocabulary_size(tokenizer):
    """The number of a tokenizer's words, or None where it has none yet."""
    try:
        return tokenizer.vocabulary_size()
    except (NotImplementedError, ValueError):
        return None
