# Two commands do everything on a fresh clone: `make demo` and `make test`.
# Both set the project up first: uv (fetched into .uv/ where it is missing), Python 3.12,
# and every dependency at the version and hash of the lock file.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
CQX := $(VENV)/bin/cqx
SETUP := $(VENV)/.set-up
# Where `make demo` finds archive files; empty: a download, or a generated tape.
DATA ?=
NAME ?=
RUNS ?= 20
KILLS ?= 200
# Test processes side by side; a file's tests stay together and in order.
WORKERS ?= 2

.PHONY: help demo test test-fast check format bench kill-drill drills kill-campaign risk-month soak memory swarm-test lock clean set-up

help: ## what there is to run
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(SETUP) ## the whole path on this machine: data, research, trading, a crash, the kill switch (DATA=PATH: your own archive files)
	$(CQX) demo $(if $(DATA),--data "$(DATA)")

test: $(SETUP) ## every test
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile

test-fast: $(SETUP) ## the tests that take seconds
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

check: $(SETUP) ## format, lint, types, contracts, spelling
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --config importlinter.toml --no-logo
	$(VENV)/bin/codespell src tests docs benchmarks deploy README.md CHANGELOG.md CONTRIBUTING.md

format: $(SETUP) ## put the code into its one format
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# The memory runs take twenty minutes and are run by name alone.
BENCHMARKS := $(filter-out benchmarks/simulator_memory.py benchmarks/memory_flat.py,$(sort $(wildcard benchmarks/*.py)))

bench: $(SETUP) ## benchmarks, one JSON line a contender (NAME=ingest: only that one)
	@for file in $(if $(NAME),benchmarks/$(NAME).py,$(BENCHMARKS)); do $(PYTHON) $$file || exit 1; done

kill-drill: $(SETUP) ## the kill switch against a crash, RUNS=20 times: three venues, 15 positions, 60 resting orders
	$(CQX) drill flash-crash --runs $(RUNS)

drills: $(SETUP) ## every drill, at three simulated venues (docs/drills.md)
	$(CQX) drill all

kill-campaign: $(SETUP) ## the daemon killed at every step of a halt, 200 times (KILLS=200)
	$(PYTHON) tests/risk_server/kill_campaign.py $(KILLS)

risk-month: $(SETUP) ## a month of noisy readings without a false halt, 1,000 crashes without a missed one
	CRYPTOQUANTIX_NOISE_DAYS=30 CRYPTOQUANTIX_NOISE_CRASHES=1000 $(PYTHON) -m pytest -s -n 2 tests/risk/test_noise.py

soak: $(SETUP) ## three venues for ten minutes with everything going wrong (SECONDS=600 SEED=1)
	$(PYTHON) tests/live/soak.py --seconds $(or $(SECONDS),600) --seed $(or $(SEED),1)

memory: $(SETUP) ## every process's memory at 500 trades a second, after ten minutes of warm-up (SECONDS=1200)
	$(PYTHON) benchmarks/memory_flat.py --seconds $(or $(SECONDS),1200)

swarm-test: $(SETUP) ## build the images, deploy the stack on a one-node Swarm, kill the feed
	$(PYTHON) deploy/swarm_test.py

lock: $(SETUP) ## pin every dependency anew, with hashes and without the name of any index
	@compile="$$(scripts/find-uv) pip compile -q --universal --python-version 3.12 --generate-hashes --no-annotate --custom-compile-command 'make lock'"; \
	eval "$$compile --group build pyproject.toml -o requirements.lock"; \
	eval "$$compile --group build --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock"

set-up: $(SETUP) ## the virtual environment alone

$(SETUP): requirements-dev.lock requirements-bootstrap.lock pyproject.toml .python-version scripts/set-up scripts/find-uv
	scripts/set-up
	@touch $@

clean: ## remove what set-up made; your data in var/ stays
	rm -rf $(VENV) .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis
