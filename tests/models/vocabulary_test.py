"""Learning the words of captions."""

import keras_hub
import numpy as np
import pytest

from keras_longvideo.models import learn_vocabulary

pytestmark = pytest.mark.backend_free


def read(vocabulary, caption, lowercase=True):
    """What a tokenizer makes of a caption."""
    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase)
    return [tokenizer.id_to_token(int(i)) for i in np.array(tokenizer(caption))]


def test_few_captions_are_read_word_by_word():
    vocabulary = learn_vocabulary(
        ["A man rides a bike.", "A dog runs, then sleeps", "红色的球", "café"]
    )
    words = ["a", "dog", "rides", ",", "then", "café", "."]
    assert read(vocabulary, "A dog rides, then café.") == words
    assert read(vocabulary, "的红") == ["的", "红"]
    # Of letters that are known, any word.
    assert read(vocabulary, "mane") == ["man", "##e"]
    assert vocabulary[:5] == ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]


def test_cased_words():
    vocabulary = learn_vocabulary(["A Dog"], lowercase=False)
    assert read(vocabulary, "A Dog", lowercase=False) == ["A", "Dog"]


def test_no_more_than_asked_for():
    captions = [f"word{a}{b}" for a in "abcdefghi" for b in "ab"]
    assert len(learn_vocabulary(captions, vocabulary_size=40)) <= 40


def test_unusual_spaces_are_no_words(tmp_path):
    captions = ["a red\u00a0box", "a line\u2028break", "a\u3000wide \u00b4x"]
    vocabulary = learn_vocabulary(captions)
    assert [word for word in vocabulary if word.split() != [word]] == []
    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase=True)
    tokenizer.save_assets(str(tmp_path))
    saved = str(tmp_path / "vocabulary.txt")
    for caption in captions:
        assert read(saved, caption) == read(vocabulary, caption)


def test_no_captions():
    with pytest.raises(ValueError, match="`captions` must hold at least one"):
        learn_vocabulary([])
