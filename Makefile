SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
LOCKS  := $(wildcard docker/requirements/*.txt)

.PHONY: help setup test test-unit lint lock

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/.complete ## make .venv with `byoc`, `train` and `serve` in it
$(VENV)/.complete: pyproject.toml $(LOCKS) docker/setup_venv.sh
	docker/setup_venv.sh $(VENV) $(PYTHON)

test: setup ## all tests
	$(VENV)/bin/pytest

test-unit: setup ## tests that need no Docker
	$(VENV)/bin/pytest tests/unit

lint: setup ## ruff, mypy, shellcheck
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	git ls-files '*.sh' .ci/run | xargs $(VENV)/bin/shellcheck

lock: setup ## resolve pyproject.toml's versions anew into docker/requirements/*.txt
	UV=$(VENV)/bin/uv docker/requirements/lock.sh
