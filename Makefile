# How this project is run, tested and checked. `make help` lists it.
# Needs make and Python 3.11 or later; everything else is installed into .venv/.

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
PIP := $(PY) -m pip --disable-pip-version-check --quiet --quiet install
SOURCES := app workers tests celeryconfig.py

.PHONY: help demo run test check soak chaos bench clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## the whole system on a local exchange that runs 60 times as fast; Ctrl-C ends it
	@exec $(PY) -m app.launch demo

run: $(RUNTIME) ## the whole system on the real exchange's public feed; Ctrl-C ends it
	@exec $(PY) -m app.launch run

test: $(DEV) ## all tests
	$(PY) -m pytest $(ARGS)

check: $(DEV) ## format, lint and types, in seconds
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy

soak: $(DEV) ## 24 market hours with a fault in each, in 25 minutes; fewer: make soak HOURS=2 SEED=7
	$(PY) -m tests.faults.soak --hours $(or $(HOURS),24) --seed $(or $(SEED),1)

chaos: $(DEV) ## the whole system under faults: make chaos SEEDS="1-200" JOBS=2
	$(PY) -m tests.faults.chaos $(or $(SEEDS),1-5) --jobs $(or $(JOBS),1)

bench: $(DEV) ## what this project promises, measured on this machine
	$(PY) -m benchmarks.bench_macdv
	$(PY) -m benchmarks.bench_repair
	$(PY) -m benchmarks.bench_dashboard

clean: ## removes the virtual environment, caches and the demo's data; the data of `make run` stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis var/demo
	find app workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements.txt | $(PY)
	@echo "installing what a running system needs (about a minute, once) ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "installing tools for tests and checks ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed (PYTHON=$(PYTHON)); name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make a virtual environment; install that part first: apt install python3-venv" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV)/ ..."
	@$(PYTHON) -m venv $(VENV)
