"""Feeds videos and captions to a model, and renders a set to begin with."""

from keras_longvideo.data.clips import decode_videos
from keras_longvideo.data.clips import decode_windows
from keras_longvideo.data.clips import video_windows
from keras_longvideo.data.manifest import read_manifest
from keras_longvideo.data.manifest import write_manifest
from keras_longvideo.data.mixing import mix_datasets
from keras_longvideo.data.pipeline import video_text_dataset
from keras_longvideo.data.record_reading import record_dataset
from keras_longvideo.data.records import encode_record
from keras_longvideo.data.records import write_records
from keras_longvideo.data.rendering import render_videos

__all__ = [
    "decode_videos",
    "decode_windows",
    "encode_record",
    "mix_datasets",
    "read_manifest",
    "record_dataset",
    "render_videos",
    "video_text_dataset",
    "video_windows",
    "write_manifest",
    "write_records",
]
