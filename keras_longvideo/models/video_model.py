"""The functional model that takes videos as its input."""

import keras
from keras import ops

from keras_longvideo.models.export import exports
from keras_longvideo.models.keeps_weights import keeps_weights
from keras_longvideo.models.processes import returns_whole_outputs
from keras_longvideo.models.quantization import quantizes


def takes_videos(cls):
    """Class decorator: a functional model with an input named `pixel_values`.

    It changes two things about the inputs of a functional `keras.Model`:

    - Pixels keep their dtype, where Keras casts inputs to that of their
      `keras.Input`: uint8 means raw, float means scaled already, and a float
      copy of a long video would not fit a device.
    - Optional inputs may be left out, where Keras wants a `None`; and a model
      that requires pixels alone takes them without a dict.

    A decorator and no base class, since Keras and KerasHub swap the bases of
    functional models while these are made.

    Args:
        cls: subclass of `keras.Model`.

    Returns:
        `cls`.
    """

    def __call__(self, inputs, *args, **kwargs):
        inputs = _complete(self, inputs)
        return super(cls, self).__call__(inputs, *args, **kwargs)

    # JAX's trainer runs `call` without going through `__call__`. Keras passes
    # `training` on only where it is an argument by name.
    def call(self, inputs, training=None, mask=None, **kwargs):
        inputs = _complete(self, inputs)
        return super(cls, self).call(
            inputs, training=training, mask=mask, **kwargs
        )

    # No public name of Keras: it is the one place where inputs are cast.
    def _convert_inputs_to_tensors(self, flat_inputs):
        return [
            x
            if x is None
            else ops.convert_to_tensor(
                x, dtype=None if spec.name == "pixel_values" else spec.dtype
            )
            for x, spec in zip(flat_inputs, self.inputs, strict=True)
        ]

    cls.__call__ = __call__
    cls.call = call
    cls._convert_inputs_to_tensors = _convert_inputs_to_tensors
    return cls


def _complete(model, inputs):
    """`inputs` as a dict with an entry for every input of the model."""
    expected = {x.name: x for x in model.inputs}
    required = {
        name
        for name, x in expected.items()
        if not x._keras_history.operation.optional
    }
    if not isinstance(inputs, dict) and required == {"pixel_values"}:
        inputs = {"pixel_values": inputs}
    keys = set(inputs) if isinstance(inputs, dict) else set()
    if not required <= keys <= set(expected):
        received = sorted(keys) or type(inputs).__name__
        raise ValueError(
            f"`inputs` must be a dict with the keys {sorted(required)}, and "
            f"may have {sorted(set(expected) - required)}. "
            f"Received: {received}"
        )
    for name, x in inputs.items():
        shape = tuple(getattr(x, "shape", ()))
        wanted = tuple(expected[name].shape)
        if x is not None and len(shape) != len(wanted):
            raise ValueError(
                f"`{name}` must have {len(wanted)} axes, of the shape {wanted} "
                f"where None is any size. Received: {name}.shape={shape}"
            )
    return {name: inputs.get(name) for name in expected}


@keras.saving.register_keras_serializable(package="keras_longvideo")
@keeps_weights
@returns_whole_outputs
@exports
@quantizes
@takes_videos
class VideoModel(keras.Model):
    """A functional model of one's own that takes videos.

    Unlike `keras.Model`, it leaves the dtype of its inputs as it is: an encoder
    tells raw pixels by their uint8.

    Args:
        inputs: dict of `keras.Input`, one of them `pixel_values`; see
            `video_inputs`.
        outputs: nested structure of `keras.KerasTensor`.
        **kwargs: other arguments of `keras.Model`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_longvideo.models import VideoModel
    from keras_longvideo.models import video_inputs

    inputs = video_inputs()
    model = VideoModel(inputs, keras.ops.max(inputs["pixel_values"]))
    int(model(np.full((1, 2, 4, 4, 3), 255, "uint8")))  # 255
    ```
    """


def video_inputs(num_channels=3):
    """The inputs of a video: `pixel_values` and an optional `frame_mask`.

    Args:
        num_channels: int. Channels of a pixel. Defaults to `3`.

    Returns:
        A dict of `keras.Input`.

    Example:

    ```python
    from keras_longvideo.models import video_inputs

    video_inputs()["pixel_values"].shape  # (None, None, None, None, 3)
    ```
    """
    return {
        "pixel_values": keras.Input(
            (None, None, None, num_channels), name="pixel_values"
        ),
        "frame_mask": keras.Input(
            (None,), dtype="bool", name="frame_mask", optional=True
        ),
    }
