"""What importing `keras_longvideo.data` costs."""

import subprocess
import sys

import pytest

import keras_longvideo

pytestmark = pytest.mark.backend_free

# Under a bare parent package: what its other parts import is their business.
SCRIPT = """
import sys
import types

parent = types.ModuleType("keras_longvideo")
parent.__path__ = sys.argv[1:]
sys.modules["keras_longvideo"] = parent
import keras_longvideo.data

print(*{"av", "keras", "matplotlib", "tensorflow"} & set(sys.modules))
"""


def test_heavy_libraries_are_loaded_only_where_used():
    command = [sys.executable, "-c", SCRIPT, *keras_longvideo.__path__]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
