"""Loading quantized models."""

import keras


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
