"""Retrieval metrics, against cases worked by hand and a plain reference."""

import numpy as np
import pytest

from keras_longvideo.evaluation import chance_recall
from keras_longvideo.evaluation import median_rank
from keras_longvideo.evaluation import recall_at_k
from keras_longvideo.evaluation import retrieval_metrics
from keras_longvideo.evaluation import retrieval_ranks

pytestmark = pytest.mark.backend_free


def reference_ranks(similarity, relevant):
    """The definition, pair by pair."""
    ranks = []
    for scores, answers in zip(similarity, relevant, strict=True):
        best = max(s for s, right in zip(scores, answers, strict=True) if right)
        wrong = [
            s for s, right in zip(scores, answers, strict=True) if not right
        ]
        ranks.append(1 + sum(s >= best for s in wrong))
    return ranks


def test_ranks_by_hand():
    similarity = [
        [0.9, 0.5, 0.1],  # The right one is ahead: 1.
        [0.9, 0.5, 0.1],  # One is ahead: 2.
        [0.9, 0.5, 0.5],  # One ahead and one tied: 3.
        [0.9, 0.5, 0.1],  # Two right ones: the better one counts, 1.
    ]
    relevant = [
        [True, False, False],
        [False, True, False],
        [False, False, True],
        [True, False, True],
    ]
    ranks = retrieval_ranks(similarity, np.array(relevant))
    np.testing.assert_array_equal(ranks, [1, 2, 3, 1])


def test_ranks_match_the_reference():
    rng = np.random.default_rng(0)
    # Few distinct scores, so that there are many ties.
    similarity = rng.integers(0, 4, size=(50, 12)) / 4
    relevant = rng.random((50, 12)) < 0.2
    relevant[:, 0] |= ~relevant.any(axis=1)
    np.testing.assert_array_equal(
        retrieval_ranks(similarity, relevant),
        reference_ranks(similarity, relevant),
    )


def test_recall_and_median():
    assert recall_at_k([1, 2, 3, 10], 1) == 0.25
    assert recall_at_k([1, 2, 3, 10], 3) == 0.75
    assert recall_at_k([1, 2, 3, 10], 10) == 1.0
    assert median_rank([1, 2, 3, 10]) == 2.5
    assert median_rank([5]) == 5.0


def test_perfect_embeddings():
    metrics = retrieval_metrics(np.eye(4), np.eye(4), np.arange(4), ks=(1, 3))
    assert metrics == {
        "text_to_video/recall@1": 1.0,
        "text_to_video/recall@3": 1.0,
        "text_to_video/median_rank": 1.0,
        "video_to_text/recall@1": 1.0,
        "video_to_text/recall@3": 1.0,
        "video_to_text/median_rank": 1.0,
    }


@pytest.mark.parametrize("count", [2, 7, 300])
def test_a_constant_model_earns_nothing(count):
    # Awkward dimensions: equal rows give products that are equal only up to
    # rounding, which must not decide who is ahead.
    row = np.random.default_rng(0).normal(size=(1, 37)).astype("float32")
    same = np.repeat(row, count, axis=0)
    metrics = retrieval_metrics(same, same, np.arange(count), ks=(1,))
    assert metrics["text_to_video/recall@1"] == 0.0
    assert metrics["text_to_video/median_rank"] == count
    assert metrics["video_to_text/recall@1"] == 0.0
    assert metrics["video_to_text/median_rank"] == count


def test_several_captions_and_a_distractor():
    # Unit vectors at these degrees; the cosine falls with the angle between.
    def at(*degrees):
        angles = np.deg2rad(degrees)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    videos = at(0, 40, 90)  # The last one has no captions.
    texts = at(10, 80, 30, 15)
    text_to_video = np.array([0, 0, 1, 1])
    metrics = retrieval_metrics(videos, texts, text_to_video, ks=(1, 2, 3))
    # Text at 10: videos at 10, 30, 80 degrees away, its own is first: 1.
    # Text at 80: videos at 80, 40, 10 away, its own is last: 3.
    # Text at 30: videos at 30, 10, 60 away: 1.
    # Text at 15: videos at 15, 25, 75 away: 2.
    assert metrics["text_to_video/recall@1"] == 0.5
    assert metrics["text_to_video/recall@2"] == 0.75
    assert metrics["text_to_video/recall@3"] == 1.0
    assert metrics["text_to_video/median_rank"] == 1.5
    # Video at 0: own texts 10 and 80 away, others 30 and 15: 1.
    # Video at 40: own texts 10 and 25 away, others 30 and 40: 1.
    assert metrics["video_to_text/recall@1"] == 1.0
    assert metrics["video_to_text/median_rank"] == 1.0


def test_length_does_not_matter():
    rng = np.random.default_rng(1)
    videos, texts = rng.normal(size=(6, 5)), rng.normal(size=(9, 5))
    text_to_video = rng.integers(0, 6, size=9)
    expected = retrieval_metrics(videos, texts, text_to_video)
    scaled = videos * rng.uniform(0.1, 10, size=(6, 1))
    assert retrieval_metrics(scaled, 3 * texts, text_to_video) == expected


@pytest.mark.parametrize("block_size", [1, 3, 64, 1000])
def test_blocks_change_nothing(block_size):
    rng = np.random.default_rng(2)
    videos = rng.normal(size=(40, 8))
    text_to_video = rng.integers(0, 30, size=70)  # Ten are never described.
    texts = videos[text_to_video] + rng.normal(size=(70, 8))
    metrics = retrieval_metrics(
        videos, texts, text_to_video, block_size=block_size
    )

    similarity = (texts @ videos.T) / np.outer(
        np.linalg.norm(texts, axis=1), np.linalg.norm(videos, axis=1)
    )
    relevant = text_to_video[:, None] == np.arange(40)
    captioned = np.unique(text_to_video)
    text_ranks = reference_ranks(similarity, relevant)
    video_ranks = reference_ranks(
        similarity.T[captioned], relevant.T[captioned]
    )
    for k in (1, 5, 10):
        assert metrics[f"text_to_video/recall@{k}"] == np.mean(
            np.array(text_ranks) <= k
        )
        assert metrics[f"video_to_text/recall@{k}"] == np.mean(
            np.array(video_ranks) <= k
        )
    assert metrics["text_to_video/median_rank"] == np.median(text_ranks)
    assert metrics["video_to_text/median_rank"] == np.median(video_ranks)


def test_chance():
    assert chance_recall(4, 1) == 0.25
    assert chance_recall(4, 10) == 1.0
    # Two of four: both of the first two are wrong in 1 of the 6 pairs.
    assert chance_recall(4, 2, num_relevant=2) == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video_embeddings": np.ones(3)}, "`video_embeddings`.*two dim"),
        ({"text_embeddings": np.ones((0, 3))}, "`text_embeddings`.*0"),
        ({"text_embeddings": np.ones((2, 4))}, "same number of dimensions"),
        ({"video_embeddings": np.diag([1, 0, 1])}, "Row 1 is zero"),
        ({"text_embeddings": [[1, 2, 3], [np.nan, 0, 0]]}, "Row 1 holds NaN"),
        ({"text_to_video": [0]}, "`text_to_video`.*shape"),
        ({"text_to_video": [0.0, 1.0]}, "`text_to_video`.*integer"),
        ({"text_to_video": [0, 3]}, r"0 to 2.*text_to_video\[1\]=3"),
        ({"text_to_video": [0, -1]}, r"text_to_video\[1\]=-1"),
        ({"ks": ()}, "`ks`"),
        ({"ks": (1, 0)}, "`k`.*k=0"),
        ({"ks": (0.5,)}, "`k`.*k=0.5"),
        ({"block_size": 0}, "`block_size`"),
    ],
)
def test_bad_input_is_named(changes, message):
    arguments = {
        "video_embeddings": np.eye(3),
        "text_embeddings": np.eye(3)[:2],
        "text_to_video": [0, 1],
    }
    with pytest.raises(ValueError, match=f"(?s){message}"):
        retrieval_metrics(**(arguments | changes))


@pytest.mark.parametrize(
    ("similarity", "relevant", "message"),
    [
        (np.ones(3), np.ones(3, bool), "`similarity`"),
        (np.ones((2, 2)), np.ones((2, 3), bool), "`relevant`.*shape"),
        (np.ones((2, 2)), np.ones((2, 2)), "`relevant` must be boolean"),
        (np.full((2, 2), np.nan), np.ones((2, 2), bool), "NaN"),
        (np.ones((2, 2)), np.eye(2, dtype=bool) * [[1], [0]] > 0, "Query 1"),
    ],
)
def test_bad_ranks_input_is_named(similarity, relevant, message):
    with pytest.raises(ValueError, match=message):
        retrieval_ranks(similarity, relevant)


def test_bad_recall_input_is_named():
    with pytest.raises(ValueError, match="`ranks`"):
        recall_at_k([], 1)
    with pytest.raises(ValueError, match="`ranks`"):
        median_rank([])
    with pytest.raises(ValueError, match="`num_relevant`"):
        chance_recall(3, 1, num_relevant=4)


def test_integer_scores():
    ranks = retrieval_ranks([[1, 2], [1, 2]], np.eye(2, dtype=bool))
    np.testing.assert_array_equal(ranks, [2, 1])
