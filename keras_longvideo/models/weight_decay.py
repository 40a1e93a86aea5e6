"""Which weights an optimizer is to leave without weight decay."""

# Parts of a weight's name: norms, biases, positions and logits; tokens that
# stand before a picture, or look at it; and gates, which decay would close.
_NAMES = ("bias", "gamma", "beta", "positions", "logit")
_NAMES += ("prefix", "query", "gate")


def weights_without_decay(model):
    """The weights of a model that weight decay would only harm.

    Args:
        model: `keras.Model`.

    Returns:
        A list of weights, for `exclude_from_weight_decay` of an optimizer.
    """
    return [w for w in model.weights if _is_spared(w)]


def _is_spared(weight):
    # Positions of KerasHub's text encoders are named as their words are.
    is_position = "position_embedding" in weight.path
    return is_position or any(name in weight.name for name in _NAMES)
