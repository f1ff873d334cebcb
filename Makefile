# PPS Rollout. The two commands for a newcomer: `make demo` and `make test`.
# Everything is set up by the first of them; `make help` lists the others.

SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
ROLLOUT ?= bc
SITES ?= 12
T ?=
# All tests run side by side, three at a time (pilots mostly wait); a part one after another, or WORKERS=2.
WORKERS ?= $(if $(T),,3)
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo up test test-distributed test-install quick check bench docs outlines screenshots lock sbom clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## virtual environment from the lock file (the other commands do it, too)

$(VENV)/.ready: requirements.lock pyproject.toml bin/setup
	@sh bin/setup $(VENV)
	@touch $@

demo: setup ## a grid, a real Airflow, one patch, a summary (ROLLOUT=bc, non-bc, pre-deployment, release-testing, minor-pilot, major-pilot, provider, signed, attacks)
	@$(BIN)/pps sandbox demo --rollout $(ROLLOUT) --sites $(SITES)

up: setup ## the same grid and Airflow, running until Ctrl-C
	@$(BIN)/pps sandbox serve --sites $(SITES)

test: setup ## all tests, or some (T=tests/unit/domain); installs missing Debian packages; fails if a process is left behind
	@sh bin/test-parts
	@$(PY) -m tests.support.leftovers $(PY) -m pytest $(if $(WORKERS),-n $(WORKERS) --dist loadfile) $(T)

test-distributed: setup ## a rollout on several nodes (Celery, an object store), of which some are killed; alone on the machine
	@sh bin/test-parts
	@$(PY) -m tests.support.leftovers $(PY) -m pytest tests/distributed

test-install: setup ## docs/production.md, followed to the letter on a clean Debian with systemd, up to a rollout to eight sites (root)
	@sh bin/test-parts
	@$(PY) -m tests.support.leftovers $(PY) -m pytest -s tests/install

quick: setup ## unit and conformance tests that need no outside part, with fewer examples; for while you write
	@PPS_QUICK=1 $(PY) -m pytest -q -n 2 --dist loadfile -m "not needs and not slow" tests/unit tests/conformance

check: setup ## format, lint, types, import rules, lock files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=plugins $(BIN)/lint-imports
	@sh bin/lock-check $(BIN)/uv

bench: setup ## distribution to loopback sites against a shell loop and Ansible; imports; waiting pilots (BENCH=--quick)
	@sh bin/test-parts
	@sh bin/bench $(VENV) $(BENCH)

docs: setup ## write anew what docs tell of the code: sections of SD, list of decisions
	@$(PY) -m tests.support.house

outlines: ## draw the outlines of the live map anew (needs node; npm brings d3-geo and world-atlas into a folder of its own)
	@packages=$$(mktemp -d) && cp bin/draw-outlines.mjs $$packages/ && cd $$packages && npm install --silent --no-audit --no-fund d3-geo@3.1.1 world-atlas@2.0.2 topojson-client@3.1.0 && node draw-outlines.mjs $(CURDIR) $$packages/node_modules; status=$$?; rm -rf $$packages; exit $$status

screenshots: setup ## draw the pictures of docs/pictures anew, from a grid and a real Airflow (needs chromium)
	@sh bin/test-parts
	@$(PY) -m tests.support.screenshots

lock: setup ## renew the lock files within the ranges of pyproject.toml
	@sh bin/lock-check $(BIN)/uv --upgrade

sbom: setup ## what a production installs, as CycloneDX, and under which licences; fails on one that bin/licences.yaml does not allow
	@$(PY) -m tests.support.sbom build/sbom

clean: ## remove what the commands above left in this folder
	rm -rf $(VENV) .pps build/sbom .pytest_cache .mypy_cache .ruff_cache .hypothesis
