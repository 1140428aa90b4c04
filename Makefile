# Everything a person does with a checkout. Needs python3 (3.11 or newer) and nothing else.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed

$(STAMP): requirements-dev.lock requirements-uv.lock pyproject.toml
	@echo "Setting up $(VENV) (once; a few minutes on an empty cache)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Biokeel needs Python 3.11 or newer; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.lock
	@$(BIN)/python -m ensurepip --quiet >/dev/null 2>&1 || true
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $(STAMP)

.PHONY: setup
setup: $(STAMP) ## set up .venv from the lock files

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
