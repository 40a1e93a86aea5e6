"""Models: the video encoder and the tasks built on it."""

from keras_longvideo.models.vivit.vivit_backbone import ViViTBackbone

__all__ = ["ViViTBackbone"]
