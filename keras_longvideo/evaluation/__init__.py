"""Measures of how well a model's embeddings find the right answers."""

from keras_longvideo.evaluation.retrieval import chance_recall
from keras_longvideo.evaluation.retrieval import median_rank
from keras_longvideo.evaluation.retrieval import recall_at_k
from keras_longvideo.evaluation.retrieval import retrieval_metrics
from keras_longvideo.evaluation.retrieval import retrieval_ranks

__all__ = [
    "chance_recall",
    "median_rank",
    "recall_at_k",
    "retrieval_metrics",
    "retrieval_ranks",
]
