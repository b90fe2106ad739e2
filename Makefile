# One place for every command a person or CI types. `make help` lists them.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
# Of the Dagster UI.
PORT   ?= 3000
# What a pair needs, and beside it what tests, documents and a shared instance need.
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export DAGSTER_HOME ?= $(CURDIR)
# Bytes, figures and timings must not depend on how many thread pools a library opens by itself.
export OMP_WAIT_POLICY = PASSIVE
# Every process of a suite would compile the project, and rewrite the assertions of the tests, for itself.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install install-dev demo test test-realdata test-slow test-ui test-postgres lint format bench ui lock images clean

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(STAMP) ## virtual environment with the locked dependencies of a run

install-dev: $(DEV) ## the same with those of tests, documents and shared instances

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { echo "Python 3.11 is needed: $(PYTHON) was not found, or is of another version (set PYTHON=...)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --only-binary :all: -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(STAMP) requirements-dev.lock
	$(PIP) --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@

demo: install    ## simulate the surveys, run one fusion pair end to end, print the first estimates
	$(BIN)/fusion run RECS_2015__ACS_2015 --simulate --demo

ui: install      ## open the Dagster UI on the demo's instance
	@$(BIN)/python -c "import socket; socket.create_server(('127.0.0.1', $(PORT)))" 2>/dev/null || { echo "Port $(PORT) is taken, perhaps by another Dagster UI: end that, or choose another: make ui PORT=3001"; exit 1; }
	@echo "Dagster UI: http://127.0.0.1:$(PORT)/asset-groups (Ctrl-C ends it)"
	$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

test: install-dev ## the fast test suite, a file of tests to each core at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-slow: install-dev ## tests that take longer than ten seconds, most of it waiting for services
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow and not realdata and not ui" --numprocesses 2 --dist loadfile

test-realdata: install-dev ## tests on real public-use files (../shared or FUSION_SHARED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m realdata --numprocesses auto --dist loadfile

test-ui: install-dev ## the Dagster UI in a real browser (needs Debian's chromium)
	$(BIN)/python -m pytest -m ui

test-postgres: install-dev ## the shared instance on a PostgreSQL server (needs Debian's postgresql)
	$(BIN)/python -m pytest -m postgres

lint: install-dev ## ruff, types, the definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dagster definitions validate -w workspace.yaml

format: install-dev ## put every file into the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install-dev ## measure everything, one after another, into docs/benchmarks.md
	$(BIN)/python benchmarks/run.py

# Both locks come from one resolution: the smaller one takes its versions from the larger.
LOCK := uv pip compile pyproject.toml --quiet --extra install --generate-hashes --no-emit-index-url --no-emit-find-links \
  --no-header --no-annotate --no-strip-extras --python-version 3.11

lock:            ## resolve pyproject.toml into both locks (names, versions, hashes; no address)
	$(LOCK) --extra dev --extra production --extra ray --output-file requirements-dev.lock
	$(LOCK) --constraint requirements-dev.lock --output-file requirements.lock

images: install-dev ## the documents' figures, from the demo and its validation
	$(BIN)/python docs/make_images.py

clean:           ## drop everything that was made, the environment included
	rm -rf $(VENV) data .dagster artifacts
