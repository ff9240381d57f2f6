# Needs make and Python 3.12 or newer, nothing else; everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.set-up
INSTALL := $(BIN)/python -m pip install --constraint constraints.txt

# compiled programs are kept, so that the second run starts quickly
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0

.PHONY: help setup demo test long check format lint types verify bench docs package tables lowest clean

help:
	@echo 'make demo     a selection of the experiments; ends with the path of a page'
	@echo 'make test     tests, and all examples in docstrings'
	@echo 'make long     tests that make test leaves out, since each takes seconds or minutes'
	@echo 'make check    format, lint, types, all tests, the long ones too'
	@echo 'make verify   the long calibration of every program with every method that draws'
	@echo 'make bench    speed beside other libraries; writes the numbers into the documentation'
	@echo 'make docs     the documentation, into out/docs; its first page is printed last'
	@echo 'make package  wheel and sdist, built, installed into empty environments, and used'
	@echo 'make lowest   quick tests with the oldest packages that pyproject.toml allows'
	@echo 'make tables   the tables of the documentation, made anew'
	@echo 'make setup    what all of these do first: .venv with pinned packages'
	@echo 'make clean    remove what the others made, except .venv'

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
	  echo 'Python 3.12 or newer is needed: make PYTHON=/path/to/python3.12 ...' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/python -m experiments.demo

# examples in docstrings are tests too, see pyproject.toml; a file's tests share their fits, so
# that files, not tests, are spread over two processes
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not long'

# what tests/long_tests.txt lists, and what is marked as long: samplers against samplers, published
# posteriors, every program by every method
long: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m long

check: format lint types test long

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

verify: setup
	$(BIN)/python -m experiments.verification

bench: setup
	$(INSTALL) --quiet --editable '.[dev,peers]'
	env -u OPENBLAS_CORETYPE $(BIN)/python -m experiments.benchmarks
	$(BIN)/python -m ppl_models.tables

# examples and notebooks run, and every warning is a failure; experiments run where out/gallery has
# no page of theirs yet
docs: setup
	$(INSTALL) --quiet --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs out/docs
	@echo $(CURDIR)/out/docs/index.html

package: setup
	$(BIN)/python .ci/package.py

tables: setup
	$(BIN)/python -m ppl_models.tables

# the lower bounds of pyproject.toml: what other people's environments may hold (old versions of
# jaxlib write a warning of their own where they read the cache of compiled programs)
lowest: .venv-lowest/.set-up
	.venv-lowest/bin/python -m pytest -m 'not long' tests/data tests/distributions tests/program \
	  tests/models tests/posterior/test_storage.py tests/test_cli.py \
	  --deselect tests/test_cli.py::test_a_reader_that_goes_away_is_no_error

.venv-lowest/.set-up: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --constraint constraints-lowest.txt --editable . \
	  funsor hypothesis nltk polars pytest
	@touch $@

clean:
	rm -rf out build .cache .hypothesis .venv-lowest .pytest_cache .mypy_cache .ruff_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +
