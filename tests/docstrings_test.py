"""Every example runs: those of public objects, and those of the README."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re
import textwrap

import pytest

import keras_longvideo

# The examples are the same under every backend; JAX comes first.
pytestmark = pytest.mark.backend_free

README = pathlib.Path(__file__).parents[1] / "README.md"
# Where a call needs a token and a repository of one's own, and so is marked
# "py": it is shown, and not run.
BLOCK = re.compile(
    r"^( *)```(python|py)\n(.*?)^\1```", re.DOTALL | re.MULTILINE
)


def examples(text, languages=("python",)):
    """The code blocks of a text, without their indentation."""
    return [
        textwrap.dedent(code)
        for _, language, code in BLOCK.findall(text or "")
        if language in languages
    ]


def modules():
    """All modules of the package, by name."""
    found = pkgutil.walk_packages(
        keras_longvideo.__path__, f"{keras_longvideo.__name__}."
    )
    names = [keras_longvideo.__name__, *(module.name for module in found)]
    return {name: importlib.import_module(name) for name in names}


def docstrings():
    """The docstrings of all classes, functions and methods, by name."""
    found = {}

    def visit(node, name):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            found[name] = ast.get_docstring(node)
            for child in getattr(node, "body", ()):
                if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
                    visit(child, f"{name}.{child.name}")

    for name, module in modules().items():
        source = pathlib.Path(module.__file__).read_text("utf-8")
        visit(ast.parse(source), name)
    return found


def exported():
    """Public classes and functions: those that an `__all__` names."""
    found = {}
    for module in modules().values():
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


DOCSTRINGS = docstrings()
RUNNABLE = {name: examples(text) for name, text in DOCSTRINGS.items()}
# Plain records and errors, which nobody but the package makes.
WITHOUT_EXAMPLE = {"NonFiniteError", "SearchHit", "VideoError", "VideoInfo"}
WITHOUT_EXAMPLE |= {"SampledFrames"}


def run(code, name):
    exec(compile(code, f"<example of {name}>", "exec"), {"__name__": name})


@pytest.mark.parametrize(
    "name", [n for n, blocks in RUNNABLE.items() if blocks]
)
def test_example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for code in RUNNABLE[name]:
        run(code, name)


@pytest.mark.parametrize("name", sorted(exported()))
def test_public_objects_have_an_example(name):
    if name.rpartition(".")[2] in WITHOUT_EXAMPLE:
        assert DOCSTRINGS[name]
        return
    assert examples(DOCSTRINGS[name], ("python", "py")), (
        f"{name} has no ```python block in its docstring"
    )


def test_the_readme(tmp_path, monkeypatch):
    blocks = examples(README.read_text("utf-8")) if README.exists() else []
    if not blocks:
        pytest.skip("the README has no example")
    monkeypatch.chdir(tmp_path)
    # They build on one another.
    run("\n".join(blocks), "README.md")
