# Runs, tests and checks this project. `make help` lists the targets.
# Needs make and Python 3.11 or later; everything else is installed into .venv/.

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
PEERS := $(VENV)/.peers
PIP := $(PY) -m pip --disable-pip-version-check --quiet --quiet install --require-hashes
SOURCES := app candlewick client simulator workers tests benchmarks examples tools celeryconfig.py

FUZZED := tests/integration/test_api_fuzz.py tests/integration/test_any_answer.py tests/unit/exchange/coinbase \
  tests/unit/test_any_settings.py tests/unit/test_any_config_file.py tests/unit/test_redis_address.py

unexport PYTHONDONTWRITEBYTECODE # else each of hundreds of processes in a test run compiles everything again

.PHONY: help demo run test fuzz check lint audit docs commands pictures pythons lock soak endurance chaos downtime simulate \
  cures mutants bench image-test clean

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## the whole system on a local exchange at 60 times the speed; Ctrl-C stops it
	@exec $(PY) -m candlewick demo

run: $(RUNTIME) ## the whole system on the real exchange's public feed; Ctrl-C stops it
	@exec $(PY) -m candlewick run

test: $(DEV) ## all tests, in parallel; some: make test ARGS="tests/unit"
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

fuzz: $(DEV) ## random requests, frames, responses, settings and files, many more than in the tests
	$(PY) -m pytest --hypothesis-profile=fuzz $(FUZZED)

check: $(DEV) ## format, lint, types, layers, English and known vulnerabilities, in seconds
	@$(MAKE) --no-print-directory --keep-going --jobs=2 lint audit

lint: $(DEV)
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) tools/prose.py
	@$(PY) tools/settings_page.py --check
	@$(PY) -m tools.links

audit: $(DEV)
	@$(PY) tools/audit.py

docs: $(DEV) ## rewrites the pages made from the code, and builds the documentation as a site in var/site
	$(PY) tools/settings_page.py
	$(PY) tools/cli_page.py
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict && echo "var/site/index.html"

commands: $(DEV) ## executes every command in the README and docs/, also the slow ones
	ALL_COMMANDS=1 $(PY) -m pytest tests/integration/test_commands.py

pictures: $(DEV) ## the pictures of the pages in docs/images, from the pages as they are now
	$(PY) -m tests.pictures

pythons: $(DEV) ## the unit tests with every supported Python that is here, or that uv can install: VERSIONS="3.12 3.13"
	@$(PY) tools/pythons.py $(VERSIONS)

lock: $(DEV) ## rebuilds requirements*.lock after a change in requirements*.txt
	$(PY) tools/lock.py

endurance: $(DEV) ## 8 market hours with 100 products, fails if anything grows: HOURS=8 PRODUCTS=100
	$(PY) -m tests.faults.endurance --hours $(or $(HOURS),8) --products $(or $(PRODUCTS),100)

soak: $(DEV) ## 24 market hours with a fault in each, in 25 minutes; fewer: make soak HOURS=2 SEED=7
	$(PY) -m tests.faults.soak --hours $(or $(HOURS),24) --seed $(or $(SEED),1)

chaos: $(DEV) ## the whole system under faults: make chaos SEEDS="1-200" JOBS=2
	$(PY) -m tests.faults.chaos $(or $(SEEDS),1-5) --jobs $(or $(JOBS),1)

downtime: $(DEV) ## stops everything for market hours and checks its recovery: HOURS="1 6 30 48 100 1000" PRODUCTS=25
	$(PY) -m tests.faults.downtime --hours $(or $(HOURS),1 6 30 48 100 1000) --products $(or $(PRODUCTS),25)

mutants: $(DEV) ## small faults made in copies, each of which a test must see; some: make mutants ONLY="missing interpret" JOBS=2
	$(PY) -m tests.mutants $(ONLY) --jobs $(or $(JOBS),1) --generate $(or $(GENERATE),0) --seed $(or $(SEED),1)

simulate: $(DEV) ## one installation in virtual time, days in seconds: make simulate SEEDS="1-10000" JOBS=2
	$(PY) -m tests.simulation $(or $(SEEDS),1-200) --jobs $(or $(JOBS),1)

cures: $(DEV) ## removes each fix of a data loss and finds the simulation seed that detects it: JOBS=2
	$(PY) -m tests.simulation.cures $(MATCH) --seeds $(or $(SEEDS),1-1000) --jobs $(or $(JOBS),1)

bench: $(PEERS) ## measures this project's promises on this machine; some: make bench ONLY="latency api"
	$(PY) -m benchmarks $(ONLY)

image-test: $(DEV) ## builds the container image without Docker and runs the compose file in it; as root, on Debian
	$(PY) -m tests.image

clean: ## removes the virtual environment, caches, the demo's data and the image; the data of `make run` stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis var/demo var/image
	find app candlewick client simulator workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements.lock | $(PY)
	@echo "installing runtime packages (about a minute, once) ..."
	@$(PIP) -r requirements.lock
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	@echo "installing packages for tests and checks ..."
	@$(PIP) -r requirements-dev.lock
	@touch $@

$(PEERS): requirements-bench.lock $(DEV)
	@echo "installing libraries to compare with in benchmarks ..."
	@if $(PIP) --no-deps -r requirements-bench.lock; then touch $@; \
	  else echo "some cannot be installed here: the comparison leaves them out" >&2; fi

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is required (PYTHON=$(PYTHON)); use another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "$(PYTHON) cannot create a virtual environment: first run apt install python3-venv" >&2; exit 1; }
	@echo "creating a virtual environment in $(VENV)/ ..."
	@$(PYTHON) -m venv $(VENV)
