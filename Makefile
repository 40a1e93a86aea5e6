# `make demo` and `make test` set themselves up in .venv; only Python >= 3.11
# and make are needed beforehand.
PYTHON ?= python3
# The backends that `make test` runs; the first runs the whole suite.
BACKENDS ?= jax tensorflow
# Processes that share the tests; each takes whole files, as they come.
WORKERS ?= 2
BIN := .venv/bin
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist=loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint clean

demo: .venv/demo
	KERAS_BACKEND=$${KERAS_BACKEND:-jax} $(BIN)/python examples/text_to_video_search.py

test: .venv/test .venv/torch
	KERAS_BACKEND=$(firstword $(BACKENDS)) $(PYTEST)
	$(foreach b,$(wordlist 2,9,$(BACKENDS)),KERAS_BACKEND=$(b) $(PYTEST) -m "not backend_free" &&) true

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

clean:
	rm -rf .venv demo_output

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable ".[jax,examples]"
	touch $@

.venv/test: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable ".[jax,examples,test]"
	# Brings the compiler for TPUs where there is one; its tests skip without.
	-$(BIN)/pip install --quiet --editable ".[jax-tpu]"
	touch $@

# A backend, and what transformers runs on, which outputs are compared with.
# Pinned: this release has a CPU wheel under its plain version number.
.venv/torch: .venv/test
	$(BIN)/pip install --quiet torch==2.13.0
	touch $@
