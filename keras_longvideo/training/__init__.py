"""Stages of pre-training: what they are, and running them."""

from keras_longvideo.training.errors import NonFiniteError
from keras_longvideo.training.pretraining import pretrain
from keras_longvideo.training.stage import Source
from keras_longvideo.training.stage import Stage
from keras_longvideo.training.video_text_pretrainer import VideoTextPretrainer

__all__ = [
    "NonFiniteError",
    "Source",
    "Stage",
    "VideoTextPretrainer",
    "pretrain",
]
