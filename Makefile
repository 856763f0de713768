# What can be done here. On a fresh clone `make demo` and `make test` do all their own set-up;
# all they need is Python 3.11 or newer (PYTHON=python3.12 make … chooses one).

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=

BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLER ?= $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo test session faults fuzz model lint format types contracts check compile interpret bench clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv with everything that development needs

# Only pyproject.toml decides what is installed: the packages themselves are used where they are.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Headwater needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version 2>&1); try PYTHON=python3.12 make …" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "No venv can be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) …"
	@$(INSTALLER) --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Run the whole system on this machine and watch it live; Ctrl-C stops it
	@$(BIN)/headwater demo $(ARGS)

test: $(INSTALLED) ## Run the tests; ARGS="-k freshness" chooses, ARGS=--require-services allows no skip
	@$(BIN)/python -m pytest $(ARGS)

session: $(INSTALLED) ## Fresh clone, install, demo, every command right and wrong, every hint pasted; into session.txt
	@$(BIN)/python -m tests.support.session $(ARGS)

faults: $(INSTALLED) ## Kill, freeze, cut off; RUNS=100 SEED=1: seeded schedules of faults, 40 s each
ifdef RUNS
	@$(BIN)/python -m tests.support.lab --seed $(or $(SEED),1) --runs $(RUNS) $(ARGS)
else
	@$(BIN)/python -m pytest tests/faults --require-services $(ARGS)
endif

fuzz: $(INSTALLED) ## Hostile payloads against the decode path; PAYLOADS=1000000 SEED=1, two minutes
	@$(BIN)/python -m tests.support.fuzz --seed $(or $(SEED),1) --payloads $(or $(PAYLOADS),1000000) $(ARGS)

model: $(INSTALLED) ## Two workers in memory, stepped in every order, compared with the oracle; RUNS=10000 SEED=1, five minutes
	@$(BIN)/python -m tests.support.model --seed $(or $(SEED),1) --runs $(or $(RUNS),10000) $(ARGS)

lint: $(INSTALLED) ## Look for mistakes and for code that is not formatted
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(INSTALLED) ## Format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

types: $(INSTALLED) ## Check the types
	@$(BIN)/mypy

contracts: $(INSTALLED) ## Check which package imports which
	@$(BIN)/lint-imports --no-logo

check: lint types contracts test ## All of these

compile: $(INSTALLED) ## Compile the hot path in place (needs a C compiler and Python's headers); interpret undoes it
	@$(BIN)/python hatch_build.py

interpret: ## Back to plain Python, as after a change of a compiled module
	@find processor schemas -name '*.so' -delete

bench: $(INSTALLED) ## Measure on a Kafka and Redis of its own, into REPORT=bench-report.md; MODES="throughput sdk" ARGS="--kafka …"
	@$(BIN)/python -m tests.support.run_bench $(or $(MODES),all) --report $(or $(REPORT),bench-report.md) $(ARGS)

clean: ## Remove what was made here
	rm -rf $(VENV) .cache .headwater dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find processor schemas -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
