# Everything that can be done with a clone. Needs GNU make, a POSIX shell, Python 3.11 or newer and,
# for the first run, a network. No root, no Docker, no Java.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

UV_VERSION := 0.13.9
UV := .tools/bin/uv
PYTHON := .venv/bin/python
SIGNALBOX := $(PYTHON) -m deploy.local.cli

# uv shall use the Python that was found here and never fetch one, and write bytecode at once:
# otherwise every process of the stack compiles the same modules at its first start.
SYNC = UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --python "$$(.tools/bin/python -c 'import sys; print(sys._base_executable)')"

# Tests with servers wait for half of their time: three workers for two cores, at most eight, as each has servers of its own. A whole stack
# has sixteen processes and a replay that goes on, which keep half a core busy: one for each core, at most four.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
TEST_WORKERS ?= $(shell echo $$(( $(CORES) > 5 ? 8 : (3 * $(CORES) + 1) / 2 )))
STACK_WORKERS ?= $(shell echo $$(( $(CORES) > 4 ? 4 : $(CORES) )))
# Tests start some hundred processes, each of which would compile our modules again.
test test-data: export PYTHONDONTWRITEBYTECODE :=

# The newest Python that will do; said plainly when there is none.
FIND_PYTHON = for python in python3.13 python3.12 python3.11 python3; do \
	  if command -v $$python >/dev/null 2>&1 && $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then echo $$python; exit 0; fi; done; \
	echo "No Python 3.11 or newer with venv was found (looked for python3.13, python3.12, python3.11, python3)." >&2; \
	echo "Install one, on Debian and Ubuntu: apt-get install python3 python3-venv" >&2; exit 1

##@ Run

.PHONY: run
run: .venv/.synced ## Set up what is missing, start everything, replay real trades; Ctrl-C stops (RUN_SECONDS=30: with a summary)
	@$(PYTHON) -m deploy.local.run

.PHONY: up
up: .venv/.synced ## The same stack in the background; returns when all of it is ready
	@$(SIGNALBOX) up

.PHONY: status
status: .venv/.synced ## How each process of the stack is
	@$(SIGNALBOX) status

.PHONY: logs
logs: .venv/.synced ## Follow the logs of all processes (NAME=gateway: of one)
	@$(SIGNALBOX) logs --follow $(NAME)

.PHONY: down
down: .venv/.synced ## Stop the stack in order
	@$(SIGNALBOX) down

.PHONY: reset
reset: .venv/.synced ## Empty the data folder, after asking (YES=1: without)
	@$(SIGNALBOX) reset $(if $(filter 1,$(YES)),--yes)

.PHONY: doctor
doctor: .venv/.synced ## What is missing or in the way
	@$(SIGNALBOX) doctor

##@ Develop

.PHONY: protos
protos: .venv/.synced ## Generate gen/ from protos/
	@$(PYTHON) -m deploy.local.protos

.PHONY: docs
docs: .venv/.synced-dev protos ## Write the documents that are made from the code
	$(PYTHON) -m services.runtime.topic_docs
	$(PYTHON) -m deploy.local.settings_docs

.PHONY: lint
lint: .venv/.synced-dev protos ## ruff, mypy, import-linter, buf
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	@# The image, and not the folder: it holds google's protos, which buf would fetch from its registry.
	.venv/bin/buf lint gen/signalbox.binpb --config protos/buf.yaml
	.venv/bin/buf format --diff --exit-code protos

.PHONY: test
test: .venv/.synced-dev protos ## All tests that need only installed packages (ARGS='-k name')
ifdef ARGS
	$(PYTHON) -m pytest -m 'not data' tests/unit tests/conformance tests/integration tests/e2e $(ARGS)
else
	@# Each part is run, whatever became of those before it.
	failed=0; \
	$(PYTHON) -m pytest -n auto --dist loadfile -m 'not data' tests/unit tests/conformance || failed=1; \
	$(PYTHON) -m pytest -n $(TEST_WORKERS) --dist loadfile -m 'not data and not alone' tests/integration || failed=1; \
	$(PYTHON) -m pytest -n $(STACK_WORKERS) --dist loadfile -m 'not data and not alone' tests/e2e || failed=1; \
	$(PYTHON) -m pytest -m 'alone and not data' tests/integration tests/e2e || failed=1; \
	exit $$failed
endif

.PHONY: test-data
test-data: .venv/.synced-dev protos ## Tests on the real data sets in SIGNALBOX_DATA
	@test -d "$${SIGNALBOX_DATA:-../shared/data}" || { \
	  echo "There is no folder $${SIGNALBOX_DATA:-../shared/data}; name the one with the data sets: make test-data SIGNALBOX_DATA=<folder>" >&2; exit 1; }
	SIGNALBOX_DATA="$$(cd "$${SIGNALBOX_DATA:-../shared/data}" && pwd)" $(PYTHON) -m pytest -m data tests $(ARGS)

.PHONY: bench
bench: .venv/.synced-dev protos ## Figures of this machine, with ratios; also in build/bench.json
	$(PYTHON) -m tests.bench $(ARGS)

.PHONY: chaos
chaos: .venv/.synced-dev protos ## Kill, stop and starve the workers under load and compare every row; also in build/chaos.json (ARGS='--share 0.1')
	$(PYTHON) -m tests.chaos $(ARGS)

.PHONY: clean
clean: ## Remove what was built; data, .venv and .tools stay
	rm -rf build gen .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# -- the environment, made when it is missing or its lock file changed ------------------

.tools/bin/uv:
	@python="$$($(FIND_PYTHON))" && echo "Fetching uv $(UV_VERSION) into .tools" \
	  && $$python -m venv .tools && .tools/bin/pip install --quiet uv==$(UV_VERSION) \
	  || { rm -rf .tools; echo "uv could not be set up; the first run needs a network (behind a proxy set HTTPS_PROXY)." >&2; exit 1; }

# --inexact keeps the development packages of a clone that has them.
.venv/.synced: uv.lock pyproject.toml | .tools/bin/uv
	@echo "Setting up .venv" && $(SYNC) --no-dev --inexact \
	  || { echo "The packages could not be installed; the first run needs a network (behind a proxy set HTTPS_PROXY)." >&2; exit 1; }
	@touch $@

.venv/.synced-dev: uv.lock pyproject.toml | .tools/bin/uv
	@echo "Setting up .venv with development packages" && $(SYNC) --group dev \
	  || { echo "The packages could not be installed; the first run needs a network (behind a proxy set HTTPS_PROXY)." >&2; exit 1; }
	@touch .venv/.synced $@
