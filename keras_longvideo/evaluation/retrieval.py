"""Retrieval metrics between videos and the captions that describe them."""

import math

import numpy as np

# Scores closer than this are tied. Float64 dot products of equal vectors can
# differ in the last digits with the shape of the matrix product they are part
# of; this is far above that noise and far below a difference that matters.
TIE = 1e-9


def retrieval_ranks(similarity, relevant):
    """Returns the rank of each query's best placed relevant candidate.

    For query `q` with the set `R` of relevant candidates,

    ```
    rank(q) = 1 + |{c not in R : s(q, c) >= max over r in R of s(q, r)}|
    ```

    A tie counts against the query, so that a model which gives every pair the
    same score earns the last rank, not the first. Scores within 1e-9 of each
    other are tied.

    Args:
        similarity: Array of shape `(queries, candidates)`. The score of each
            pair; higher is more alike.
        relevant: Boolean array of shape `(queries, candidates)`. True where
            the candidate is a right answer to the query; at least one a row.

    Returns:
        Integer array of shape `(queries,)`. Ranks, 1 is best.

    Raises:
        ValueError: If a shape or dtype does not fit, a score is NaN, or a
            query has no relevant candidate.

    Example:

    ```python
    from keras_longvideo.evaluation import retrieval_ranks

    similarity = [[0.9, 0.2, 0.1], [0.5, 0.4, 0.4]]
    relevant = [[True, False, False], [False, True, False]]
    print(retrieval_ranks(similarity, relevant))  # [1 3]
    ```
    """
    similarity = np.asarray(similarity, dtype="float64")
    relevant = np.asarray(relevant)
    if similarity.ndim != 2 or 0 in similarity.shape:
        raise ValueError(
            "`similarity` must have the shape (queries, candidates), neither "
            f"of them 0. Received: similarity.shape={similarity.shape}"
        )
    if relevant.shape != similarity.shape or relevant.dtype != bool:
        raise ValueError(
            "`relevant` must be boolean and have the shape of `similarity`, "
            f"{similarity.shape}. Received: relevant.shape={relevant.shape}, "
            f"relevant.dtype={relevant.dtype}"
        )
    if np.isnan(similarity).any():
        raise ValueError("`similarity` must not hold NaN.")
    unanswerable = np.flatnonzero(~relevant.any(axis=1))
    if unanswerable.size:
        raise ValueError(
            "`relevant` must mark at least one candidate for each query. "
            f"Query {unanswerable[0]} has none."
        )
    best = np.max(
        similarity, axis=1, keepdims=True, where=relevant, initial=-np.inf
    )
    ahead = (similarity >= best - TIE) & ~relevant
    return 1 + np.count_nonzero(ahead, axis=1)


def recall_at_k(ranks, k):
    """Returns the share of queries answered within the first `k` places.

    `recall@k = |{q : rank(q) <= k}| / |queries|`

    Args:
        ranks: Integer array of shape `(queries,)`, as `retrieval_ranks`
            returns it.
        k: int. The number of places that count, at least 1.

    Returns:
        float. A fraction from 0 to 1.

    Raises:
        ValueError: If `ranks` is empty or `k` is not a positive integer.

    Example:

    ```python
    from keras_longvideo.evaluation import recall_at_k

    print(recall_at_k([1, 3, 2, 7], k=2))  # 0.5
    ```
    """
    _check_k(k)
    return float(np.mean(_check_ranks(ranks) <= k))


def median_rank(ranks):
    """Returns the median of the ranks; 1 is best.

    Args:
        ranks: Integer array of shape `(queries,)`, as `retrieval_ranks`
            returns it.

    Returns:
        float. The mean of the two middle ranks for an even number of queries.

    Raises:
        ValueError: If `ranks` is empty.

    Example:

    ```python
    from keras_longvideo.evaluation import median_rank

    print(median_rank([1, 3, 2, 7]))  # 2.5
    ```
    """
    return float(np.median(_check_ranks(ranks)))


def chance_recall(num_candidates, k, num_relevant=1):
    """Returns the recall@k to expect from candidates in random order.

    With `N` candidates of which `m` are relevant, it is the probability that
    the first `k` places hold at least one of them:
    `1 - C(N - m, k) / C(N, k)`, which is `k / N` for `m = 1`.

    Args:
        num_candidates: int. How many candidates are ranked, `N`.
        k: int. The number of places that count, at least 1.
        num_relevant: int. How many of the candidates are right answers, `m`.
            Defaults to `1`.

    Returns:
        float. A fraction from 0 to 1.

    Raises:
        ValueError: If `k` is not a positive integer, or not
            `1 <= num_relevant <= num_candidates`.

    Example:

    ```python
    from keras_longvideo.evaluation import chance_recall

    print(chance_recall(num_candidates=20, k=5))  # 0.25
    ```
    """
    _check_k(k)
    if not 1 <= num_relevant <= num_candidates:
        raise ValueError(
            "`num_relevant` must be from 1 to `num_candidates`. Received: "
            f"num_relevant={num_relevant}, num_candidates={num_candidates}"
        )
    k = min(k, num_candidates)
    misses = math.comb(num_candidates - num_relevant, k)
    return 1.0 - misses / math.comb(num_candidates, k)


def retrieval_metrics(
    video_embeddings,
    text_embeddings,
    text_to_video,
    ks=(1, 5, 10),
    block_size=256,
):
    """Scores retrieval in both directions between videos and captions.

    Embeddings are compared by their cosine, in float64. A rank counts the
    wrong answers that score at least as high as the right one, ties included
    (see `retrieval_ranks`):

    ```
    rank(text t)  = 1 + |{v != video(t) : cos(t, v) >= cos(t, video(t))}|
    rank(video v) = 1 + |{t of other videos : cos(v, t) >= best(v)}|
        where best(v) = max over the captions t of v of cos(v, t)
    ```

    A video with several captions is one query, placed by the best of them. A
    video without captions is one more wrong answer for every text, and is not
    a query itself.

    Args:
        video_embeddings: Array of shape `(videos, dim)`. Need not be
            normalized.
        text_embeddings: Array of shape `(captions, dim)`. Need not be
            normalized.
        text_to_video: Integer array of shape `(captions,)`. The row in
            `video_embeddings` of the video that each caption describes.
        ks: Sequence of positive ints. The `k` of each recall@k. Defaults to
            `(1, 5, 10)`.
        block_size: int. How many queries are scored at a time. Memory grows
            with `block_size * candidates`; the results do not depend on it.
            Defaults to `256`.

    Returns:
        dict of str to float. For each of the directions `"text_to_video"` and
        `"video_to_text"`: `"{direction}/recall@{k}"` for each `k`, a fraction
        from 0 to 1, and `"{direction}/median_rank"`, 1 is best.

    Raises:
        ValueError: If a shape does not fit, an embedding is zero or not
            finite, an entry of `text_to_video` is no row of
            `video_embeddings`, or `ks` or `block_size` is not positive.

    Example:

    ```python
    import numpy as np

    from keras_longvideo.evaluation import retrieval_metrics

    videos = np.eye(3)  # Three videos, the first with two captions.
    texts = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]])
    metrics = retrieval_metrics(videos, texts, [0, 0, 1, 2], ks=(1, 2))
    print(metrics["text_to_video/recall@1"])  # 0.75: the second text ties.
    print(metrics["video_to_text/recall@1"])  # 1.0
    ```
    """
    videos = _unit_vectors(video_embeddings, "video_embeddings")
    texts = _unit_vectors(text_embeddings, "text_embeddings")
    if videos.shape[1] != texts.shape[1]:
        raise ValueError(
            "`video_embeddings` and `text_embeddings` must have the same "
            f"number of dimensions. Received: {videos.shape[1]} and "
            f"{texts.shape[1]}"
        )
    text_to_video = _check_video_rows(text_to_video, len(texts), len(videos))
    ks = tuple(ks)
    if not ks:
        raise ValueError("`ks` must name at least one k. Received: ks=()")
    for k in ks:
        _check_k(k)
    if block_size < 1:
        raise ValueError(
            f"`block_size` must be at least 1. Received: {block_size}"
        )

    all_videos = np.arange(len(videos))
    captioned = np.unique(text_to_video)
    ranks = {
        "text_to_video": _ranks_in_blocks(
            texts, text_to_video, videos, all_videos, block_size
        ),
        "video_to_text": _ranks_in_blocks(
            videos[captioned], captioned, texts, text_to_video, block_size
        ),
    }
    metrics = {}
    for direction, direction_ranks in ranks.items():
        for k in ks:
            metrics[f"{direction}/recall@{k}"] = recall_at_k(direction_ranks, k)
        metrics[f"{direction}/median_rank"] = median_rank(direction_ranks)
    return metrics


def _ranks_in_blocks(
    queries, query_videos, candidates, candidate_videos, block_size
):
    """Ranks candidates of the same video, `block_size` queries at a time."""
    ranks = []
    for start in range(0, len(queries), block_size):
        block = slice(start, start + block_size)
        similarity = queries[block] @ candidates.T
        relevant = query_videos[block, None] == candidate_videos[None, :]
        ranks.append(retrieval_ranks(similarity, relevant))
    return np.concatenate(ranks)


def _unit_vectors(embeddings, name):
    embeddings = np.asarray(embeddings, dtype="float64")
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise ValueError(
            f"`{name}` must have two dimensions (count, dim), neither of them "
            f"0. Received: {name}.shape={embeddings.shape}"
        )
    not_finite = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if not_finite.size:
        raise ValueError(
            f"`{name}` must be finite. Row {not_finite[0]} holds NaN or "
            "infinity."
        )
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    zero = np.flatnonzero(norms == 0)
    if zero.size:
        raise ValueError(
            f"`{name}` must not hold zero vectors: they have no direction to "
            f"compare. Row {zero[0]} is zero."
        )
    return embeddings / norms


def _check_video_rows(text_to_video, num_texts, num_videos):
    rows = np.asarray(text_to_video)
    if rows.shape != (num_texts,) or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            "`text_to_video` must hold one integer a row of "
            f"`text_embeddings`, so have the shape ({num_texts},). Received: "
            f"shape={rows.shape}, dtype={rows.dtype}"
        )
    outside = np.flatnonzero((rows < 0) | (rows >= num_videos))
    if outside.size:
        raise ValueError(
            f"`text_to_video` must hold rows of `video_embeddings`, 0 to "
            f"{num_videos - 1}. Received: text_to_video[{outside[0]}]="
            f"{rows[outside[0]]}"
        )
    return rows


def _check_ranks(ranks):
    ranks = np.asarray(ranks)
    if ranks.ndim != 1 or ranks.size == 0:
        raise ValueError(
            "`ranks` must have the shape (queries,) and hold at least one "
            f"rank. Received: ranks.shape={ranks.shape}"
        )
    return ranks


def _check_k(k):
    if not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"`k` must be a positive integer. Received: k={k!r}")
