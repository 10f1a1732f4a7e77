# One command for each thing people do with a checkout; `make help` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv/bin
INSTALLED := .venv/installed

.PHONY: help install demo test bench lint lock

help: ## List the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(INSTALLED) ## Create .venv from the lock file (again only when that changed)

$(INSTALLED): requirements.lock
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Reckoner needs Python 3.11 or newer. Found: $$("$(PYTHON)" --version 2>&1 || echo none). Set PYTHON=/path/to/python3.11." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) has no venv module. On Debian: apt-get install python3-venv." >&2; exit 1; }
	@test -x $(VENV)/python || "$(PYTHON)" -m venv .venv
	@# The lock names everything, so nothing is resolved: pip would look at newer versions of extras and refuse them.
	$(VENV)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(VENV)/python -m pip check --disable-pip-version-check
	@$(VENV)/python -m config.libraries
	@touch $(INSTALLED)

demo: install ## Start everything with demonstration data on 127.0.0.1:8000 (PORT changes it)
	$(VENV)/python manage.py demo

test: install ## Run all tests
	$(VENV)/python -m pytest $(ARGS)

bench: install ## Measure the speed and write docs/benchmarks.md
	DATA_DIR="$${BENCH_DATA_DIR:-.data-bench}" $(VENV)/python -m pytest $(or $(ARGS),tests/benchmarks) \
	    -o addopts="--import-mode=importlib" -o faulthandler_timeout=0 -q -s

lint: install ## Check style, types, import directions, templates and migrations
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/djlint templates --lint --quiet
	$(VENV)/python manage.py makemigrations --check --dry-run

lock: install ## Resolve pyproject.toml into requirements.lock again (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-header --no-annotate -o requirements.lock
