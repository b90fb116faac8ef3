# Two commands for a newcomer: `make demo` trains CartPole-v1 until solved, `make test` runs the fast tests.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --jaxtyping-packages=proximax.maths,beartype.beartype

.PHONY: demo test test-slow test-all check clean
demo: $(VENV)/.demo
	$(BIN)/proximax train CartPole-v1 --stop-at-return 475

# The fast lane; the rest; all in one. OPTIONS go to pytest: make test OPTIONS="--trap 12".
test: $(VENV)/.dev
	$(PYTEST) -m "not slow and not process and not learning" --durations=20 --durations-min=2 $(OPTIONS)

test-slow: $(VENV)/.dev
	$(PYTEST) -m "slow or process or learning" --durations=40 $(OPTIONS)

test-all: $(VENV)/.dev
	$(PYTEST) --durations=40 $(OPTIONS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/check.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "proximax needs Python >= 3.11; $(PYTHON) is $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .coverage*
