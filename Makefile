# make demo   creates the venv, installs, trains an MLP on the digits data through the llvm engine
# make test   creates the venv, installs, runs lint, types and tests
# make test-jax  runs conformance kit, tests of ops and of the Keras backend, and Keras examples on jax
# make bench  times symtensor beside every peer that installs; writes docs/benchmarks.md
# make docs   builds the site of docs/ in build/site
# make exhaustive  runs all 2**32 float32 numbers through each vector function
# The rest assumes nothing either: every target makes the venv it needs.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# tests of what every engine must do
ON_ENGINES := $(patsubst %,tests/test_%.py,composite contraction control counts elementwise function fuzz gradients \
  indexing jvp loops movement operators pickle random reduction scan sort wrong_programs) tests/backend

.PHONY: demo test test-jax lint types format bench docs exhaustive clean help

help:
	@sed -n '1,7p' Makefile

$(VENV)/.base: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[examples]'
	@touch $@

$(VENV)/.test: $(VENV)/.base pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[examples,formats,test,docs,dev]'
	@touch $@

demo: $(VENV)/.base
	$(BIN)/python examples/demo.py

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --durations=10

$(VENV)/.jax: $(VENV)/.test pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[jax]'
	@touch $@

test-jax: $(VENV)/.jax
	SYMTENSOR_TEST_ENGINES=jax $(BIN)/python -m pytest -q -n 2 tests/test_jax_*.py
	SYMTENSOR_TEST_ENGINES=jax $(BIN)/python -m pytest -q -n 2 tests/test_examples.py -k on_jax
	SYMTENSOR_ENGINE=jax SYMTENSOR_TEST_ENGINES=jax $(BIN)/python -m pytest -q -n 2 $(ON_ENGINES) \
	  --deselect tests/test_function.py::test_one_compile_serves_all_sizes \
	  --deselect tests/backend/test_keras_recurrent.py::test_any_length_with_one_compile
	$(BIN)/python -m symtensor.testing.conformance numpy llvm jax

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# an environment of its own: Keras 3, which TensorFlow brings, and the Keras 2.3.1 of the tests have one name
$(VENV)-bench/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-bench/bin/python -m pip install --quiet -e '.[bench]'
	-$(VENV)-bench/bin/python -m pip install --quiet -e '.[bench-tensorflow]'
	$(VENV)-bench/bin/python -m pip install --quiet --no-deps --upgrade --target $(VENV)-bench/keras-2 \
	  Keras==2.3.1 Keras-Applications==1.0.8 Keras-Preprocessing==1.1.2 six pyyaml
	@touch $@

bench: $(VENV)-bench/.done
	$(VENV)-bench/bin/python -m benchmarks --write docs/benchmarks.md

docs: $(VENV)/.test
	$(BIN)/python -m sphinx -W -q -b html docs build/site

exhaustive: $(VENV)/.test
	$(BIN)/python tools/exhaustive.py

clean:
	rm -rf $(VENV) $(VENV)-bench .mypy_cache .ruff_cache .pytest_cache
