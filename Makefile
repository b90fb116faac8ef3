# Two commands for a newcomer: `make demo` trains CartPole-v1 until solved, `make test` runs the fast tests.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
PYTEST  = $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --jaxtyping-packages=proximax.maths,beartype.beartype

.PHONY: demo dev test coverage test-slow test-all test-cluster test-physics test-lowest test-newest lowest check docs play notebooks release clean
demo: $(VENV)/.demo
	$(BIN)/proximax demo

# The fast lane; the rest; all in one, exhaustive combinations included. OPTIONS go to pytest: make test OPTIONS="--trap 12".
test: $(VENV)/.dev
	$(PYTEST) -m "not slow and not process and not learning" --durations=20 --durations-min=2 $(OPTIONS)

# The fast lane, with the lines it runs counted: from Python 3.12 on by the interpreter itself, which costs little.
coverage: $(VENV)/.dev
	COVERAGE_CORE=$${COVERAGE_CORE-$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')} \
		$(MAKE) test OPTIONS="--cov --cov-report=term:skip-covered --cov-fail-under=90 $(OPTIONS)"

# A seventh of its time is waiting for processes: one worker more than cores.
test-slow: JOBS := $(shell expr $(JOBS) + 1)
test-slow: $(VENV)/.dev
	$(PYTEST) -m "(slow or process or learning) and not exhaustive" --durations=40 $(OPTIONS)

test-all: $(VENV)/.dev
	$(PYTEST) --durations=40 $(OPTIONS)

# On demand: Ray, Open MPI, MPICH, Slurm, network namespaces. As root; on Debian it installs what is missing.
PROGRAMS := mpirun.openmpi mpirun.mpich srun slurmctld slurmd munged ip
test-cluster: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,ray]'
	@for program in $(PROGRAMS); do PATH=$$PATH:/usr/sbin command -v $$program >/dev/null || missing=yes; done; \
		if [ -n "$$missing" ]; then apt-get install --yes --quiet openmpi-bin mpich slurm-wlm munge iproute2; fi
	$(BIN)/python -m pytest --cluster -m cluster --durations=0 $(OPTIONS)

# On demand: Brax and MuJoCo Playground for real, which takes minutes to download and to compile.
test-physics: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,brax,playground]'
	$(BIN)/python -m pytest tests/envs/test_brax_env.py --durations=0 $(OPTIONS)

.PHONY: style types pages
check: style types pages

style: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

pages: $(VENV)/.dev
	$(BIN)/python docs/check.py

# The site, in site/: an environment of its own, since its versions are pinned. Broken links and unknown references are errors.
docs: .venv-docs/.ready
	.venv-docs/bin/python docs/site/build.py

.venv-docs/.ready: requirements/docs.txt | $(BIN)/python
	@$(BIN)/python -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# For contributors: the environment of the tests and checks, and the checks before each commit.
dev: $(VENV)/.dev
	@if git rev-parse --git-dir >/dev/null 2>&1; then $(BIN)/pre-commit install; fi

# What holds with one version of the dependencies and may not with another, in an environment of its own: with the lowest
# versions that pyproject.toml allows, and with the newest. gymnax is left out of the newest: it holds Gymnasium back.
VERSIONS := tests/maths tests/runtime tests/ppo/test_learner.py tests/runs/test_loading.py tests/spaces/test_serialization.py \
	tests/networks/test_adapters.py tests/exporting tests/loggers tests/reports tests/tuning tests/cli/test_dispatch.py tests/evaluation/test_recording.py \
	tests/envs/test_env_state.py tests/envs/test_gymnasium_env.py tests/envs/test_rendering.py tests/envs/atari
FAST := -m "not slow and not process and not learning"
# A new environment from a Python of the versions given: the latest that tools/find_python.py finds, which says so.
venv_of = python=$$($(PYTHON) tools/find_python.py $(1)) && $$python -m venv --clear

test-lowest: .venv-lowest/.ready
	.venv-lowest/bin/python tools/smoke.py
	$(subst $(BIN),.venv-lowest/bin,$(PYTEST)) $(VERSIONS) tests/envs/test_gymnax_env.py $(FAST) $(OPTIONS)

test-newest: .venv-newest/.ready
	.venv-newest/bin/python tools/smoke.py
	$(subst $(BIN),.venv-newest/bin,$(PYTEST)) $(VERSIONS) $(FAST) $(OPTIONS)

# 3.11: some of the lowest versions have no wheels for a later Python.
.venv-lowest/.ready: requirements/lowest.txt pyproject.toml
	@$(call venv_of,3.11 3.11) .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Made anew each time, since tomorrow's newest are others.
.PHONY: .venv-newest/.ready
NEWEST := atari,box2d,mujoco,envpool,flax,equinox,tensorboard,export,plots,video,watch,tune,test
.venv-newest/.ready: pyproject.toml
	@$(call venv_of,3.13) .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(NEWEST)]'

# After a bound in pyproject.toml has changed. Without box2d, whose Gymnasium is a later one.
LOWEST := atari mujoco envpool gymnax flax equinox tensorboard export plots video watch tune test
lowest: $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --resolution lowest-direct --python-version 3.11 --no-annotate \
		--custom-compile-command "make lowest" $(LOWEST:%=--extra %) --output-file requirements/lowest.txt

# docs/play/index.html: the zoo's policies, playing.
play: $(VENV)/.dev
	$(BIN)/python tools/make_play.py

# The notebooks of docs, with their outputs. Only those that are named: make notebooks OPTIONS=docs/quickstart.ipynb.
notebooks: $(VENV)/.dev
	$(BIN)/python tools/run_notebooks.py $(OPTIONS)

release:
	$(PYTHON) tools/release.py

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
	rm -rf $(VENV) .venv-docs site build *.egg-info .pytest_cache .ruff_cache .mypy_cache .coverage*
