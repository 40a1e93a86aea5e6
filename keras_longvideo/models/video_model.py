"""The functional model that takes videos as its input."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_longvideo")
class VideoModel(keras.Model):
    """A functional `keras.Model` with an input named `pixel_values`.

    Base of every model here. It differs from `keras.Model` in two ways:

    - Pixels keep their dtype, where Keras casts inputs to that of their
      `keras.Input`: uint8 means raw, float means scaled already, and a float
      copy of a long video would not fit a device.
    - Optional inputs may be left out, where Keras wants a `None`; and a model
      that requires pixels alone takes them without a dict.

    Args:
        inputs: dict of `keras.Input`, by name.
        outputs: nested structure of `keras.KerasTensor`.
        **kwargs: other arguments of `keras.Model`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_longvideo.models.video_model import VideoModel

    pixels = keras.Input((None, None, None, 3), name="pixel_values")
    model = VideoModel({"pixel_values": pixels}, keras.ops.max(pixels))
    model(np.full((1, 2, 4, 4, 3), 255, "uint8")).dtype  # uint8
    ```
    """

    def __call__(self, inputs, *args, **kwargs):
        return super().__call__(self._complete(inputs), *args, **kwargs)

    # JAX's trainer runs `call` without going through `__call__`.
    def call(self, inputs, *args, **kwargs):
        return super().call(self._complete(inputs), *args, **kwargs)

    def _complete(self, inputs):
        """`inputs` as a dict with an entry for every input of the model."""
        expected = {x.name: x for x in self.inputs}
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
                f"`inputs` must be a dict with the keys {sorted(required)}, "
                f"and may have {sorted(set(expected) - required)}. "
                f"Received: {received}"
            )
        for name, x in inputs.items():
            rank, wanted = len(getattr(x, "shape", ())), expected[name].shape
            if x is not None and rank != len(wanted):
                raise ValueError(
                    f"`{name}` must have {len(wanted)} axes, of the shape "
                    f"{tuple(wanted)} where None is any size. Received: "
                    f"{name}.shape={tuple(getattr(x, 'shape', ()))}"
                )
        return {name: inputs.get(name) for name in expected}

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


def video_inputs(num_channels=3):
    """The inputs of a video: `pixel_values` and an optional `frame_mask`.

    Args:
        num_channels: int. Channels of a pixel. Defaults to `3`.

    Returns:
        A dict of `keras.Input`.
    """
    return {
        "pixel_values": keras.Input(
            (None, None, None, num_channels), name="pixel_values"
        ),
        "frame_mask": keras.Input(
            (None,), dtype="bool", name="frame_mask", optional=True
        ),
    }
