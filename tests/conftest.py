"""Settings shared by all tests."""

import gc
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On such small arrays, torch's threads do little but wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hub_server import hub  # noqa: F401

if os.environ["KERAS_BACKEND"] == "jax":
    import jax

    # Tests compile many programs and run each once: half the time.
    jax.config.update("jax_disable_most_optimizations", True)


def pytest_collection_modifyitems(items):
    """Puts files of slow tests first: parallel workers then end together."""
    slow = {i.path for i in items if i.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def quick_garbage_collection():
    """Collections look through what the tests of a module made, no further.

    Keras collects garbage for each layer that it quantizes: seconds, in a
    process that has loaded and compiled much before.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded(request):
    """Every test starts from the same random state, whatever ran before it."""
    if request.node.get_closest_marker("backend_free") is None:
        import keras

        keras.utils.set_random_seed(0)
