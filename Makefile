# Every target works on a fresh clone with only Python >= 3.11, make and a shell.
SHELL := /bin/sh
.DELETE_ON_ERROR:
# Empty is unset. Some images forbid bytecode, and then each process compiles all of Northbound's
# sources anew at its start: a sixth of a worker's, and the tests start hundreds.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 1
CASE ?=
EVENTS ?=
RUNS ?= 1
KEEP ?=
KEEP_TOPICS ?=

.PHONY: help install demo test check bench chaos lock clean

help: ## show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is too old: Northbound needs Python 3.11 or newer (set PYTHON=/path/to/python3.11)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Northbound's packages into $(VENV) (about 300 MB the first time)"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --require-hashes -r requirements/runtime.lock
	@$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements/build.lock
	@$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.lock
	@$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements/dev.lock
	@touch $@

install: $(VENV)/.runtime ## create .venv with the northbound command

demo: install ## the whole path on real parts (SEED=n, KEEP=1)
	@$(BIN)/northbound demo --seed $(SEED) $(if $(KEEP),--keep)

check: $(VENV)/.dev ## lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check ## everything that .ci/run calls
	@echo "SEED=$(SEED)"
	NORTHBOUND_SEED=$(SEED) $(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/.dev ## benchmarks (CASE=job-j EVENTS=n RUNS=n)
	@echo "SEED=$(SEED)"
	$(BIN)/python -m bench --seed $(SEED) --runs $(RUNS) $(if $(CASE),--case $(CASE)) $(if $(EVENTS),--events $(EVENTS))

chaos: $(VENV)/.dev ## experiments that try to break the guarantee (CASE=name SEED=n KEEP_TOPICS=1)
	@echo "SEED=$(SEED)"
	$(BIN)/python -m chaos --seed $(SEED) $(if $(CASE),--case $(CASE)) $(if $(KEEP_TOPICS),--keep-topics)

lock: ## renew requirements/*.lock from pyproject.toml
	sh requirements/lock.sh

clean: ## remove .venv and build results
	rm -rf $(VENV) build
