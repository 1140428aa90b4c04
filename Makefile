# Everything a person does with a checkout. Needs python3 (3.11 or newer) and nothing else.
.DEFAULT_GOAL := help
# What we start, tests most of all, starts many processes: each would compile anew whatever it imports.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed
PEOPLE ?= 300
SEED ?= 7
DEMO_DATA ?=
BENCH ?=
FAULTS ?=

$(STAMP): requirements-dev.lock requirements-uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Biokeel needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV) from the lock files (once; about half a minute with an empty cache)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $(STAMP)

.PHONY: help
help: ## list what make can do
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## set up .venv from the lock files (every other target does it by itself)

.PHONY: demo
demo: $(STAMP) ## the whole way on real parts: PEOPLE=300 SEED=7 DEMO_DATA="folder ..."
	@$(BIN)/biokeel demo --people $(PEOPLE) --seed $(SEED) $(foreach folder,$(DEMO_DATA),--data "$(folder)")

.PHONY: check
check: $(STAMP) ## format, lint, types, import order, spelling, schemas, suites, sources
	@$(BIN)/ruff format --check --quiet src tests bench
	@$(BIN)/ruff check --quiet src tests bench
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check-types check-rest

# Types take as long as all the rest: the two run beside each other.
.PHONY: check-types
check-types:
	@$(BIN)/mypy --no-error-summary

.PHONY: check-rest
check-rest:
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/codespell src tests bench docs README.md CHANGELOG.md Makefile
	@$(BIN)/biokeel schema check
	@$(BIN)/biokeel suite check
	@$(BIN)/biokeel source check
	@$(BIN)/biokeel suite test

.PHONY: test
test: check ## make check, then every test, on a real Kafka and a real object store
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 30 --durations-min 5

.PHONY: faults
faults: $(STAMP) ## the fault experiments, some 45 minutes: FAULTS="--fault-minutes 20", FAULTS="--runs full"
	@$(BIN)/python -m pytest -v -m "faults or long" tests/faults tests/conformance --run-long $(FAULTS)

.PHONY: runbooks
runbooks: $(STAMP) ## the runbooks of docs/operations.md as they stand there, and other long ways, some 15 minutes
	@$(BIN)/python -m pytest -v -m long tests --ignore tests/faults --ignore tests/conformance --run-long

.PHONY: laws
laws: $(STAMP) ## the property tests with ten times as many examples, some 15 minutes
	@$(BIN)/python -m pytest -n 2 -m hypothesis --run-long

.PHONY: bench
bench: $(STAMP) ## how fast it is, on a stack of its own: BENCH="pressures --events 200000" (ten minutes)
	@$(BIN)/python -m bench $(BENCH)

.PHONY: lock
lock: $(STAMP) ## rewrite the lock files from pyproject.toml
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements-dev.lock

.PHONY: clean
clean: ## remove .venv and what the demo left
	@rm -rf $(VENV) .biokeel-demo .biokeel-bench.json .biokeel-faults.json .biokeel-faults.md .mypy_cache .ruff_cache .pytest_cache .hypothesis
