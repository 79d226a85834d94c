# One command each, the same for you and for CI. GNU make 3.81, as on macOS, is enough.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
RUN := $(BIN)/python
PIP := $(RUN) -m pip install -qq --disable-pip-version-check --no-input

# Tests at a time. Two fit the smallest machine; a bigger one may say more: make test JOBS=8
JOBS ?= 2
# How long `make fuzz` and `make soak` go on.
SECONDS ?= 60
# How many worlds `make simulate` tries.
SEEDS ?= 20000
# More options for pytest: make pytest ARGS='-k deadline'
ARGS ?=

# The first Python here that starts, is new enough and can make environments.
CANDIDATES := python3.11 python3 python3.13 python3.12 python3.14 python
PROBE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c '$(PROBE)' >/dev/null 2>&1 && echo $(p))))

# Pyright: the Node that pip installed, and no question to the network whether it is the newest.
export PYRIGHT_PYTHON_GLOBAL_NODE := 0
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

NODE := npm --version >/dev/null 2>&1 && node -e 'process.exit(+(parseInt(process.versions.node) < 20))' 2>/dev/null
NPM_INSTALL := npm install --no-package-lock --no-audit --no-fund --silent
BROWSERS := $(NODE) && { command -v "$${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome; } >/dev/null

PYTEST := $(RUN) -m pytest -q -n $(JOBS) --dist=worksteal

.PHONY: help test check lint types spelling pytest pytest-loop js terminal browser screenshots coverage demo chat bench fuzz soak simulate format clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: check js pytest pytest-loop ## Check everything: style, types, spelling, tests on both loops, JavaScript
	@echo "== all good"

demo: $(VENV)/.runs ## Show framerpc at work, in half a minute; ARGS=--stay keeps the chat open
	@$(RUN) -m examples.demo $(ARGS)

chat: $(VENV)/.runs ## Chat in the terminal; ARGS says more, as in ARGS=--help
	@$(RUN) -m examples.chat $(ARGS)

bench: $(VENV)/.runs ## Measure speed and memory against a bare echo
	@$(RUN) -m benchmarks

fuzz: $(VENV)/.tests ## Feed the protocol with broken bytes for SECONDS (60)
	@$(RUN) -m tests.fuzz --seconds $(SECONDS)

soak: $(VENV)/.tests ## Repeat calls and faults for SECONDS (60) and look for leaks
	@$(RUN) -m tests.soak --seconds $(SECONDS)

simulate: $(VENV)/.tests ## Try SEEDS (20000) simulated worlds with faults against the promises
	@$(RUN) -m tests.simulation --seeds $(SEEDS)

check: lint types spelling ## Check style, types and spelling only

lint: $(VENV)/.tests
	@echo "== ruff: style and format"
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --quiet --check --diff .

types: $(VENV)/.tests
	@echo "== mypy"
	@$(RUN) -m mypy
	@echo "== pyright"
	@$(RUN) -m pyright --pythonpath $(RUN)

spelling: $(VENV)/.tests
	@echo "== codespell"
	@$(RUN) -m codespell_lib

pytest: $(VENV)/.tests ## Run the tests on asyncio's loop only; ARGS='-k name' narrows
	@echo "== pytest on asyncio"
	@$(PYTEST) --loop=asyncio $(ARGS)

# What does not depend on the loop was just run.
pytest-loop: $(VENV)/.tests
	@if $(RUN) -c 'import uvloop' 2>/dev/null; then \
		echo "== pytest on uvloop: what depends on the loop"; \
		$(PYTEST) --loop=uvloop -m "loop and not slow_ui"; \
	else \
		echo "== pytest on uvloop: SKIPPED, this platform has no uvloop"; \
	fi

js: $(VENV)/.tests ## Try the JavaScript client, where there is node (20 or newer)
	@if $(NODE); then \
		echo "== node: the JavaScript client"; \
		cd js && $(NPM_INSTALL) && \
		PYTHON="$(CURDIR)/$(RUN)" npm test --silent; \
	else \
		echo "== node: the JavaScript client: SKIPPED, there is no node 20 with npm"; \
	fi

terminal: $(VENV)/.tests ## Try the chat's terminal client at length, where there is tmux in it
	@echo "== pytest: the chat in a terminal"
	@$(PYTEST) -m slow_ui tests/examples

browser: $(VENV)/.tests ## Try the chat's page in a browser, where there is chromium and node
	@if $(BROWSERS); then \
		echo "== chromium: the chat's page"; \
		cd tests/browser && $(NPM_INSTALL) && PYTHON="$(CURDIR)/$(RUN)" npm test --silent; \
	else \
		echo "== chromium: the chat's page: SKIPPED, there is no chromium, or no node 20 with npm"; \
	fi

screenshots: $(VENV)/.tests ## Take the pictures of the chat for the README anew
	@$(BROWSERS) || { echo "this needs chromium, and node 20 with npm" >&2; exit 1; }
	@cd tests/browser && $(NPM_INSTALL) && PYTHON="$(CURDIR)/$(RUN)" npm run --silent screenshots

coverage: $(VENV)/.tests ## Measure which branches the tests reach
	@$(RUN) -m coverage erase
	@$(RUN) -m coverage run -m pytest -q $(ARGS)
	@$(RUN) -m coverage combine --quiet
	@$(RUN) -m coverage report

format: $(VENV)/.tests ## Format the code and mend what ruff can mend
	@$(RUN) -m ruff check --quiet --fix-only .
	@$(RUN) -m ruff format --quiet .

clean: ## Remove the environment and all caches
	@rm -rf $(VENV) js/node_modules tests/browser/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made anew when pyproject.toml changes, and only then. Running needs few
# packages, testing many: two steps, so that `make demo` starts soon.
$(VENV)/.runs: pyproject.toml
	@test -n "$(PYTHON)" || { echo "framerpc needs Python 3.11 or newer with the venv module: \
	install one (Debian: apt install python3-venv), or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c '$(PROBE)' || { echo "$(PYTHON) is not Python 3.11 or newer with venv" >&2; exit 1; }
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@echo "== installing framerpc and what it needs"
	@$(PIP) -e '.[chat]'
	@touch $@

$(VENV)/.tests: $(VENV)/.runs
	@echo "== installing the tools for testing (about half a minute)"
	@$(PIP) -e '.[dev]'
	@touch $@
