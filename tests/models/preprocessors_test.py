import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from keras_longvideo import models
from keras_longvideo.video import VideoError


def numpy_of(x):
    return {
        name: keras.ops.convert_to_numpy(value) for name, value in x.items()
    }


def test_videos_with_labels(tiny):
    preprocess = models.VideoPreprocessor(tiny.converter())
    clips = tiny.clips()
    x = preprocess(clips)
    assert set(x) == {"pixel_values", "frame_mask"}
    x, y = preprocess(clips, y=[0, 1, 2, 0])
    np.testing.assert_array_equal(x["pixel_values"], clips)
    assert y == [0, 1, 2, 0]
    x, y, weight = preprocess({"videos": clips}, [0, 1], [0.5, 1.0])
    assert weight == [0.5, 1.0]


def test_an_element_of_a_dataset_in_one_piece(tiny):
    preprocess = models.VideoPreprocessor(tiny.converter())
    x, y = preprocess((tiny.clips(), [0, 1, 2, 0]))
    assert x["frame_mask"].shape == (4, 4)
    assert y == [0, 1, 2, 0]


def test_pixel_values_pass_through(tiny):
    preprocess = models.VideoPreprocessor(tiny.converter())
    x = {"pixel_values": tiny.clips()}
    assert set(preprocess(x)) == {"pixel_values"}
    x["frame_mask"] = np.ones((4, 4), bool)
    x = preprocess(x)
    assert set(x) == {"pixel_values", "frame_mask"}
    np.testing.assert_array_equal(x["pixel_values"], tiny.clips())


def test_captions_become_tokens(tiny):
    x = numpy_of(
        tiny.preprocessor(sequence_length=6)(
            {
                "videos": tiny.clips()[:3],
                "captions": [
                    "A red ball",
                    "zebra box",
                    "a red ball a blue box a green ball",
                ],
            }
        )
    )
    # [CLS] is 2, [SEP] is 3, [UNK] is 1; see the order of `tiny.words`.
    assert x["token_ids"].tolist() == [
        [2, 5, 6, 10, 3, 0],
        [2, 1, 11, 3, 0, 0],
        [2, 5, 6, 10, 5, 3],
    ]
    assert x["padding_mask"].sum(axis=1).tolist() == [5, 4, 6]
    assert x["pixel_values"].shape == (3, 4, 16, 16, 3)


@pytest.mark.parametrize("kind", ["arrays", "files"])
def test_a_tf_data_pipeline_gives_the_same(tiny, video_files, kind):
    preprocess = tiny.preprocessor()
    videos = tiny.clips() if kind == "arrays" else video_files
    pairs = {"videos": videos, "captions": tiny.captions}
    dataset = tf.data.Dataset.from_tensor_slices((pairs, [0, 1, 2, 3]))
    batches = list(dataset.batch(2).map(preprocess).as_numpy_iterator())
    assert np.concatenate([y for _, y in batches]).tolist() == [0, 1, 2, 3]
    expected = numpy_of(preprocess(pairs))
    for name, value in expected.items():
        np.testing.assert_array_equal(
            np.concatenate([x[name] for x, _ in batches]), value
        )


@pytest.mark.parametrize(
    "captions",
    [
        ("a red ball", "a box"),
        [b"a red ball", b"a box"],
        np.array(["a red ball", "a box"]),
        np.array(["a red ball", "a box"], object),
        tf.constant(["a red ball", "a box"]),
    ],
)
def test_kinds_of_captions(tiny, captions):
    tokens = numpy_of(tiny.preprocessor().tokenize(captions))
    assert tokens["token_ids"].tolist() == [
        [2, 5, 6, 10, 3, 0, 0, 0],
        [2, 5, 11, 3, 0, 0, 0, 0],
    ]


def test_another_length_of_captions(tiny):
    preprocess = tiny.preprocessor()
    preprocess.tokenize(["a red ball"])
    preprocess.sequence_length = 4
    tokens = numpy_of(preprocess.tokenize(["a red ball"]))
    assert tokens["token_ids"].tolist() == [[2, 5, 6, 3]]


def test_a_tf_data_pipeline_without_batches(tiny, video_files):
    preprocess = tiny.preprocessor()
    for videos in (tiny.clips(), video_files):
        pairs = {"videos": videos, "captions": tiny.captions}
        dataset = tf.data.Dataset.from_tensor_slices(pairs).map(preprocess)
        received = list(dataset.batch(4).as_numpy_iterator())[0]
        for name, value in numpy_of(preprocess(pairs)).items():
            np.testing.assert_array_equal(received[name], value)


def test_an_unreadable_file(tiny, video_files):
    pairs = {"videos": [video_files[0], "/no.mp4"], "captions": ["a", "a"]}
    with pytest.raises(VideoError, match="Cannot read video /no.mp4"):
        tiny.preprocessor()(pairs)
    dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(2)
    with pytest.raises(tf.errors.OpError, match="Cannot read video /no.mp4"):
        list(dataset.map(tiny.preprocessor()))


def test_config_round_trip(tiny):
    for preprocess in (
        models.VideoPreprocessor(tiny.converter(fps=3)),
        tiny.preprocessor(sequence_length=5),
    ):
        clone = type(preprocess).from_config(preprocess.get_config())
        assert clone.get_config() == preprocess.get_config()
        assert clone.video_converter.image_size == (16, 16)
    assert clone.sequence_length == 5
    # A tokenizer's vocabulary is no part of its config, but a preset's asset.
    assert isinstance(clone.tokenizer, keras_hub.tokenizers.BertTokenizer)


def test_for_backbone(tiny):
    preprocess = models.VideoPreprocessor.for_backbone(tiny.backbone(), fps=2)
    converter = preprocess.video_converter
    assert converter.num_frames == 4
    assert converter.image_size == (16, 16)
    assert converter.fps == 2


@pytest.mark.parametrize(
    "x, message",
    [
        ({"frames": 0}, "either the key 'videos'.*'frames'"),
        ({}, "either the key 'videos'"),
        ({"videos": 0, "pixel_values": 0}, "either the key 'videos'"),
    ],
)
def test_wrong_keys(tiny, x, message):
    with pytest.raises(ValueError, match=message):
        models.VideoPreprocessor(tiny.converter())(x)
    with pytest.raises(ValueError, match=message):
        tiny.preprocessor()({**x, "captions": ["a"]})


@pytest.mark.parametrize(
    "captions, message",
    [
        (["a", ""], r"captions\[1\] is empty"),
        ([" \t", "a"], r"captions\[0\] is empty"),
        (np.array(["a", ""]), r"captions\[1\] is empty"),
        (tf.constant(["a", "b", " "]), r"captions\[2\] is empty"),
        (["a", None], r"must be strings. Received: captions\[1\]=None"),
        ([3], r"must be strings. Received: captions\[0\]=3"),
        ([["a", "b"]], r"must be strings"),
        ("a red ball", "must be a list of strings. Received a single string"),
    ],
)
def test_bad_captions(tiny, captions, message):
    with pytest.raises(ValueError, match=message):
        tiny.preprocessor()({"videos": tiny.clips(), "captions": captions})


def test_without_captions(tiny):
    for x in (tiny.clips(), {"videos": tiny.clips()}):
        with pytest.raises(ValueError, match="the keys 'videos'.*'captions'"):
            tiny.preprocessor()(x)


def test_an_empty_caption_in_a_tf_data_pipeline(tiny):
    pairs = {"videos": tiny.clips(), "captions": ["a", "a", " ", "a"]}
    dataset = tf.data.Dataset.from_tensor_slices(pairs).batch(4)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"`captions` must not be empty strings.*at index\D*2",
    ):
        list(dataset.map(tiny.preprocessor()))
