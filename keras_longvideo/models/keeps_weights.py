"""A model that computes with the weights that it has, and keeps them."""

import contextlib
import functools
import threading

import keras

# By weight, the thread that a model of it predicts in.
_IN_USE = {}
_CHANGED = threading.Condition()


def keeps_weights(cls):
    """Class decorator: `evaluate` and `predict` may fail, and meet in threads.

    Keras's trainer on JAX takes the weights out of the model while it runs,
    and puts them back from the outcome of the last batch. Where the first
    batch fails, as with a video that cannot be read or a shape that does not
    fit, there is none; and `evaluate` and `predict` do not put them back after
    any error: the model would be left without weights. So would it be where
    two threads predict at once with models that share weights; here, one waits
    for the other.

    On TensorFlow it goes on with a graph of the weights that there were: one
    without adapters that came since, or with a LoRA that was merged. Here, a
    model of other weights draws a new one.

    Args:
        cls: subclass of `keras.Model`.

    Returns:
        `cls`.
    """

    # No public names of Keras, and called on JAX alone.
    def _get_jax_state(self, *args, purge_model_variables=False, **wanted):
        values = super(cls, self)._get_jax_state(
            *args, purge_model_variables=purge_model_variables, **wanted
        )
        if purge_model_variables:
            names = [name for name, is_wanted in wanted.items() if is_wanted]
            self._jax_state = dict(zip(names, values, strict=True))
        return values

    cls._get_jax_state = _get_jax_state
    cls.evaluate = _putting_back(cls.evaluate)
    cls.predict = _putting_back(cls.predict)
    return cls


def _putting_back(method):
    @functools.wraps(method)
    def wrapped(self, *args, **kwargs):
        is_jax = keras.backend.backend() == "jax"
        with _alone(self) if is_jax else contextlib.nullcontext():
            _forget_graphs_of_others(self)
            try:
                return method(self, *args, **kwargs)
            except BaseException:
                _put_back(self)
                raise

    return wrapped


@contextlib.contextmanager
def _alone(model):
    """Waits for other threads whose models have weights of this one.

    Not for any others: what predicts may read data that are predicted.
    """
    thread = threading.get_ident()
    weights = set(map(id, model.weights))
    with _CHANGED:
        _CHANGED.wait_for(
            lambda: all(_IN_USE.get(i, thread) == thread for i in weights)
        )
        weights -= _IN_USE.keys()
        _IN_USE.update(dict.fromkeys(weights, thread))
    try:
        yield
    finally:
        with _CHANGED:
            for i in weights:
                del _IN_USE[i]
            _CHANGED.notify_all()


def _forget_graphs_of_others(model):
    weights = hash(tuple(map(id, model.weights)))
    if weights != getattr(model, "_weights_of_graphs", weights):
        model.test_function = model.predict_function = None
    model._weights_of_graphs = weights


def _put_back(model):
    if getattr(model, "_jax_state", None):
        model.jax_state_sync()
        model._jax_state = None
