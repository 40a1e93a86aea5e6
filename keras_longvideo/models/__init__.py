"""Models: the video encoder and the tasks built on it."""

from keras_longvideo.models.from_preset import from_preset
from keras_longvideo.models.presets import list_presets
from keras_longvideo.models.processes import own_rows
from keras_longvideo.models.search_task import SearchHit
from keras_longvideo.models.text_tower import text_tower
from keras_longvideo.models.video_classifier import VideoClassifier
from keras_longvideo.models.video_converter import VideoConverter
from keras_longvideo.models.video_model import VideoModel
from keras_longvideo.models.video_model import video_inputs
from keras_longvideo.models.video_preprocessor import VideoPreprocessor
from keras_longvideo.models.video_text_preprocessor import VideoTextPreprocessor
from keras_longvideo.models.video_text_retriever import VideoTextRetriever
from keras_longvideo.models.vivit.to_transformers import export_to_transformers
from keras_longvideo.models.vivit.vivit_backbone import ViViTBackbone
from keras_longvideo.models.vocabulary import learn_vocabulary

__all__ = [
    "SearchHit",
    "VideoClassifier",
    "VideoConverter",
    "VideoModel",
    "VideoPreprocessor",
    "VideoTextPreprocessor",
    "VideoTextRetriever",
    "ViViTBackbone",
    "export_to_transformers",
    "from_preset",
    "learn_vocabulary",
    "list_presets",
    "own_rows",
    "text_tower",
    "video_inputs",
]
