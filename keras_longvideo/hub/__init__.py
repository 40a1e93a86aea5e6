"""Presets on the Hugging Face Hub."""

from keras_longvideo.hub.card import model_card
from keras_longvideo.hub.download import download_preset
from keras_longvideo.hub.upload import upload_preset

__all__ = ["download_preset", "model_card", "upload_preset"]
