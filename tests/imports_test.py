"""What importing the package costs, above what Keras and KerasHub cost."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.backend_free

SCRIPT = """
import sys

import {module}

print("loaded", *{{name.partition(".")[0] for name in sys.modules}})
"""


def loaded(module):
    """The top-level modules that are there after importing one."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.fixture(scope="module")
def added():
    return loaded("keras_longvideo") - loaded("keras_hub")


@pytest.mark.parametrize(
    "name",
    [
        "av",
        "huggingface_hub",
        "matplotlib",
        "pandas",
        "scipy",
        "skvideo",
        "tensorflow",
        "tensorflow_text",
        "torch",
        "torchvision",
    ],
)
def test_heavy_libraries_are_loaded_only_where_used(added, name):
    assert name not in added


def test_nothing_else_is_loaded_from_outside(added):
    outside = {
        name
        for name in added - set(sys.stdlib_module_names)
        if not name.startswith("_")
    }
    assert outside <= {"keras_longvideo", "tqdm"}
