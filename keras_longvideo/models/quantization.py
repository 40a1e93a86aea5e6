"""Quantizing models, and loading quantized ones."""

import warnings

import keras
from keras_hub.models import Backbone


def quantizes(cls):
    """Class decorator: a model of which the encoders alone are quantized.

    Args:
        cls: subclass of `keras.Model`.

    Returns:
        `cls`.
    """

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """Quantizes the weights of the encoders, as `keras.Model.quantize`.

        Dense layers and word embeddings are; what cuts videos into tokens, and
        the layers on top of the encoders, are not. Saved and loaded as a
        preset, a model stays quantized by `mode`; a `config` of one's own is
        not saved.

        Args:
            mode: `"int8"`, or another of `keras.Model.quantize`.
            config: see `keras.Model.quantize`.
            filters: see `keras.Model.quantize`.
            **kwargs: see `keras.Model.quantize`.
        """
        models = [
            x for x in self._flatten_layers() if isinstance(x, keras.Model)
        ]
        encoders = [x for x in models if isinstance(x, Backbone)]
        with warnings.catch_warnings():
            # Keras's, of each layer that has nothing to quantize.
            warnings.filterwarnings("ignore", ".* does not have a `quantize`")
            for encoder in encoders or [self]:
                owner = super(cls, self) if encoder is self else encoder
                owner.quantize(mode, config=config, filters=filters, **kwargs)
        # What they have compiled holds the weights that were.
        for model in models:
            model.train_function = None
            model.test_function = None
            model.predict_function = None
        self._post_quantize(mode)

    cls.quantize = quantize
    return cls


def quantize_as_saved(model, config):
    """Quantizes the layers of a model that were when it was saved.

    A model that is made with the saved dtypes, as KerasHub would make it,
    could not be saved again: Keras takes its layers for not quantized.

    Args:
        model: `keras_hub.models.Backbone`. What is quantized stays as it is.
        config: the config that it was saved with.
    """
    saved = keras.dtype_policies.get(config.get("dtype"))
    if not isinstance(saved, keras.dtype_policies.DTypePolicyMap):
        return
    for layer in model._flatten_layers():
        if layer.path in saved and layer.quantization_mode is None:
            policy = saved[layer.path]
            # Apart from the weights, its dtype is as the model was made.
            policy_config = policy.get_config()
            policy_config["source_name"] = layer.dtype_policy.name
            layer.dtype_policy = type(policy).from_config(policy_config)
    model._post_quantize(None)
