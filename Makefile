# One place for every command a person or CI types. `make help` lists them.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
# Of the Dagster UI.
PORT   ?= 3000
STAMP  := $(VENV)/.installed
export DAGSTER_HOME ?= $(CURDIR)
# Bytes, figures and timings must not depend on how many thread pools a library opens by itself.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: help install demo test test-realdata test-slow test-ui test-postgres lint format bench ui lock images clean

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(STAMP) ## virtual environment with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: $(PYTHON) was not found (set PYTHON=...)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install    ## simulate the surveys, run one fusion pair end to end, print the first estimates
	$(BIN)/fusion run RECS_2015__ACS_2015 --simulate --demo

ui: install      ## open the Dagster UI on the demo's instance
	@$(BIN)/python -c "import socket; socket.create_server(('127.0.0.1', $(PORT)))" 2>/dev/null || { echo "Port $(PORT) is taken, perhaps by another Dagster UI: end that, or choose another: make ui PORT=3001"; exit 1; }
	@echo "Dagster UI: http://127.0.0.1:$(PORT)/asset-groups (Ctrl-C ends it)"
	$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

test: install    ## the fast test suite, a file of tests to each core at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-slow: install ## tests that take longer than ten seconds, most of it waiting for services
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow and not realdata and not ui" --numprocesses 3 --dist loadfile

test-realdata: install ## tests on real public-use files (../shared or FUSION_SHARED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m realdata --numprocesses auto --dist loadfile

test-ui: install ## the Dagster UI in a real browser (needs Debian's chromium)
	$(BIN)/python -m pytest -m ui

test-postgres: install ## the shared instance on a PostgreSQL server (needs Debian's postgresql)
	$(BIN)/python -m pytest -m postgres

lint: install    ## ruff, types, the definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dagster definitions validate -w workspace.yaml

format: install  ## put every file into the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install   ## measure everything, one after another, into docs/benchmarks.md
	$(BIN)/python benchmarks/run.py

lock:            ## resolve pyproject.toml into requirements.lock (names, versions, hashes; no address)
	uv pip compile pyproject.toml --extra dev --extra production --extra ray --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --no-strip-extras --python-version 3.11 --output-file requirements.lock

images: install  ## the documents' figures, from the demo and its validation
	$(BIN)/python docs/make_images.py

clean:           ## drop everything that was made, the environment included
	rm -rf $(VENV) data .dagster artifacts
