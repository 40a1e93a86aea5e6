"""Read and write video files: which frames, at what times, at what size.

An image file (JPEG, PNG, WebP and so on) is a video of one frame.

Only this folder knows PyAV, and loads it when a file is first touched.
"""

from keras_longvideo.video.errors import VideoError
from keras_longvideo.video.frames import frames_at
from keras_longvideo.video.info import VideoInfo
from keras_longvideo.video.info import probe
from keras_longvideo.video.resize import resize_frames
from keras_longvideo.video.sampling import SampledFrames
from keras_longvideo.video.sampling import sample_frames
from keras_longvideo.video.write import write_image
from keras_longvideo.video.write import write_video

__all__ = [
    "SampledFrames",
    "VideoError",
    "VideoInfo",
    "frames_at",
    "probe",
    "resize_frames",
    "sample_frames",
    "write_image",
    "write_video",
]
