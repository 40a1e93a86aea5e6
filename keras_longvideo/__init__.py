"""Video-first encoders for seconds to an hour of video, in Keras 3."""

from keras_longvideo import data
from keras_longvideo import evaluation
from keras_longvideo import hub
from keras_longvideo import layers
from keras_longvideo import models
from keras_longvideo import ops
from keras_longvideo import training
from keras_longvideo import video
from keras_longvideo.hub import upload_preset
from keras_longvideo.models import from_preset
from keras_longvideo.models import list_presets

__version__ = "0.1.0"

__all__ = [
    "data",
    "evaluation",
    "from_preset",
    "hub",
    "layers",
    "list_presets",
    "models",
    "ops",
    "training",
    "upload_preset",
    "video",
]
