"""Settings shared by all tests."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from hub_server import hub  # noqa: F401


@pytest.fixture(autouse=True)
def seeded(request):
    """Every test starts from the same random state, whatever ran before it."""
    if request.node.get_closest_marker("backend_free") is None:
        import keras

        keras.utils.set_random_seed(0)
