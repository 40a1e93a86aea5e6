"""Configurations of the text tower."""

from keras_hub.models import BertBackbone

_SIZES = {
    "tiny": {
        "hidden_dim": 128,
        "num_layers": 2,
        "num_heads": 2,
        "intermediate_dim": 512,
    },
    "medium": {
        "hidden_dim": 512,
        "num_layers": 8,
        "num_heads": 8,
        "intermediate_dim": 2048,
    },
    "base": {
        "hidden_dim": 768,
        "num_layers": 12,
        "num_heads": 12,
        "intermediate_dim": 3072,
    },
}


def text_tower(size, vocabulary_size=30522, **overrides):
    """A BERT encoder of a published size, with random weights.

    Any `keras_hub.models.BertBackbone` is a text tower; this names the sizes
    that the LongViViT paper uses (medium and base) and a tiny one.

    Args:
        size: `"tiny"`, `"medium"` or `"base"`.
        vocabulary_size: int. Entries of the tokenizer's vocabulary. Defaults
            to `30522`, as BERT's uncased English one.
        **overrides: other arguments of `keras_hub.models.BertBackbone`, such
            as `dropout`, `max_sequence_length` or `dtype`.

    Returns:
        A `keras_hub.models.BertBackbone`.

    Example:

    ```python
    from keras_longvideo.models import text_tower

    text_tower("tiny", vocabulary_size=100).count_params()
    ```
    """
    if size not in _SIZES:
        raise ValueError(
            f"`size` must be one of {sorted(_SIZES)}. Received: size={size!r}"
        )
    config = {"vocabulary_size": vocabulary_size, **_SIZES[size], **overrides}
    return BertBackbone(**config)
