"""The words of a tokenizer that is made for one's own captions."""

import keras_hub

# What comes more rarely, KerasHub's learner makes no word of, however many
# words it may make.
_RAREST = 10
# Of more captions than these, such words would not be worth the time.
_FEW = 100_000


def learn_vocabulary(captions, vocabulary_size=1000, lowercase=True):
    """Learns the words of captions, for a `keras_hub.tokenizers.BertTokenizer`.

    Words are told apart as that tokenizer does: at spaces, punctuation and
    Chinese characters. The most frequent ones are kept whole, others fall to
    pieces, in the end to letters.

    Args:
        captions: list of strings.
        vocabulary_size: int. Words and pieces at most, special tokens
            included. Defaults to `1000`.
        lowercase: bool. As the tokenizer's. Defaults to `True`, as BERT's
            uncased one.

    Returns:
        A list of strings, as `BertTokenizer(vocabulary, lowercase)` takes it.

    Raises:
        ValueError: if there is no caption.

    Example:

    ```python
    from keras_longvideo.models import learn_vocabulary

    words = learn_vocabulary(["A red ball rolls away.", "A ball, at rest"])
    "ball" in words and "." in words  # True
    ```
    """
    import tensorflow as tf

    captions = list(captions)
    if not captions:
        raise ValueError("`captions` must hold at least one string.")
    dataset = tf.data.Dataset.from_tensor_slices(captions)
    if len(captions) < _FEW:
        dataset = dataset.repeat(_RAREST)
    words = keras_hub.tokenizers.compute_word_piece_vocabulary(
        dataset, vocabulary_size, lowercase=lowercase
    )
    # Unusual spaces come out as words, which no file of words would keep.
    return [word for word in words if word.split() == [word]]
