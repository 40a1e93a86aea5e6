"""From videos to the inputs of a task that takes videos alone."""

import keras
import keras_hub

from keras_longvideo.models.video_converter import VideoConverter


@keras.saving.register_keras_serializable(package="keras_longvideo")
class VideoPreprocessor(keras_hub.models.Preprocessor):
    """Turns videos into `pixel_values` and `frame_mask`.

    Args:
        video_converter: `keras_longvideo.models.VideoConverter`.
        **kwargs: other arguments of `keras_hub.models.Preprocessor`.

    Call arguments:
        x: videos as `VideoConverter` takes them; or a dict with them under
            `videos`; or a dict of clips of the right length and size under
            `pixel_values`, with an optional `frame_mask`, which pass through.
        y: labels, passed through.
        sample_weight: passed through.

    Returns:
        A dict of `pixel_values` and `frame_mask`; with `y` and
        `sample_weight`, a tuple of all.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.models import VideoConverter
    from keras_longvideo.models import VideoPreprocessor

    preprocess = VideoPreprocessor(VideoConverter(4, (32, 32)))
    x, y = preprocess(np.zeros((2, 4, 32, 32, 3), "uint8"), y=[0, 1])
    sorted(x)  # ["frame_mask", "pixel_values"]
    ```
    """

    def __init__(self, video_converter, **kwargs):
        super().__init__(**kwargs)
        self.video_converter = video_converter

    @classmethod
    def for_backbone(cls, backbone, fps=1.0):
        """The preprocessor of clips as a backbone is built for.

        Args:
            backbone: `keras_longvideo.models.ViViTBackbone`.
            fps: float or None. See `VideoConverter`. Defaults to `1.0`.

        Returns:
            A `VideoPreprocessor`.
        """
        return cls(
            VideoConverter(backbone.num_frames, backbone.image_shape[:2], fps)
        )

    # Not by way of `Layer.__call__`: it would wrap the error that names a
    # broken file in another one.
    def __call__(self, x, y=None, sample_weight=None):
        # As KerasHub: an element of a dataset may come in one piece.
        if type(x) is tuple and len(x) in (2, 3) and y is None:
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(x)
        return self.call(x, y, sample_weight)

    def call(self, x, y=None, sample_weight=None):
        x = self._convert_videos(x)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def _convert_videos(self, x):
        if not isinstance(x, dict):
            x = {"videos": x}
        if ("videos" in x) == ("pixel_values" in x):
            raise ValueError(
                "`x` must have either the key 'videos' (paths or arrays) or "
                "the key 'pixel_values' (clips of the right length and size). "
                f"Received keys: {sorted(x)}"
            )
        if "videos" in x:
            return self.video_converter(x["videos"])
        return {
            name: x[name]
            for name in ("pixel_values", "frame_mask")
            if name in x
        }
