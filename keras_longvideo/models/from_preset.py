"""One call for whatever a preset holds."""

import keras

from keras_longvideo.models.presets import open_preset
from keras_longvideo.models.vivit.vivit_backbone import ViViTBackbone


def from_preset(preset, load_weights=True, **overrides):
    """Loads the task that a preset holds, or else its encoder.

    Args:
        preset: string or path. A built-in name (see
            `keras_longvideo.list_presets()`), a directory, or a handle
            `"hf://org/name"` or `"hf://org/name@revision"`. Those may be of
            transformers' format, of ViViT or VideoMAE; a
            `...ForVideoClassification` is a
            `keras_longvideo.models.VideoClassifier`.
        load_weights: bool. If `False`, weights are random.
        **overrides: arguments of the task or the encoder in place of the
            preset's, such as `dtype="bfloat16"`.

    Returns:
        A task such as `keras_longvideo.models.VideoTextRetriever`, or a
        `keras_longvideo.models.ViViTBackbone`.

    Raises:
        ValueError: if there is no such preset, an override is unknown, or
            weights are wanted that are not published.

    Example:

    ```python
    import keras_longvideo

    encoder = keras_longvideo.from_preset(
        "short_vivit_tiny", load_weights=False
    )
    ```
    """
    opened = open_preset(preset, load_weights)
    cls = ViViTBackbone
    if opened.task is not None:
        name = opened.task["registered_name"]
        cls = keras.saving.get_registered_object(name)
        if cls is None:
            raise ValueError(
                f"The preset {opened.name!r} holds a task that is not known "
                f"here: {name}. Import the package that defines it first."
            )
    return cls.from_preset(opened, load_weights=load_weights, **overrides)
