# Every command that people and CI share. `make` alone lists them.

export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
# Without bytecode every process compiles what it imports, and tests start many.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# A uv that works, or one of our own under .cache (a shim on PATH may exist and not run).
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .cache/uv/bin/uv)
UV_WANTED := uv>=0.9

FUZZ_SECONDS ?= 60
SECONDS ?= 60
FUZZ_REQUESTS ?= 1000000
# Test files that run side by side. Each worker may start servers of its own. They keep their order: those of
# integration, few tests that take long, would come last otherwise.
WORKERS ?= 2
ARGS ?=

SYNCED := .venv/.synced
WARM := .venv/.warm
DOCS_SYNCED := .venv/.synced-docs
BENCH_SYNCED := .venv/.synced-bench

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench bench-delivery e2e image release wheel docs reference picture browser fuzz attack prove clean
.DELETE_ON_ERROR:

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(WARM)  ## install everything into .venv (uv is fetched when missing) and compile the pass
	@echo "ready: .venv"

demo: $(WARM)  ## generate a small insurer's database, make journeys of it and show them
	@$(BIN)/journeymesh demo --once $(ARGS)

test: $(WARM)  ## run the tests (ARGS="-k name" to choose)
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(SYNCED)  ## formatting, lint, types, layers, generated pages, lock, the tree in customization
	@$(BIN)/ruff format --check --quiet . || { echo "ruff format: run \`make format\`"; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python docs/generate_reference.py --check
	@$(UV) lock --check
	@if command -v kustomize >/dev/null || command -v kubectl >/dev/null; then \
	  $(BIN)/journeymesh delivery check && $(BIN)/journeymesh workload render --check; \
	else echo "the tree in customization/ was not checked: kustomize is not installed"; fi

format: $(SYNCED)  ## let ruff format and mend what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(WARM) $(BENCH_SYNCED)  ## measure against peers, write benchmarks/results/latest.json
	@$(BIN)/python -m benchmarks $(ARGS)

e2e: $(WARM)  ## delivery on the cluster of KUBECONFIG, or of kind where there is one; a workload's own tests: SERVICE=name
	@$(if $(SERVICE),deploy/image/workload e2e $(SERVICE),\
	  if [ -z "$$KUBECONFIG" ] && command -v kind >/dev/null; then eval "$$(deploy/kind/cluster up)"; fi; \
	  $(BIN)/pytest -rA tests/cluster $(ARGS))

bench-delivery: $(WARM)  ## drift, bad and good releases, workloads on that cluster: benchmarks/results/delivery.json
	@$(BIN)/python -m benchmarks.delivery $(ARGS)

image: $(SYNCED)  ## build a workload's image from its source and push it (SERVICE=name)
	@deploy/image/workload image $(SERVICE)

release: $(SYNCED)  ## sign a workload's image and bring its digest into dev (SERVICE=name)
	@deploy/image/workload release $(SERVICE)

wheel: $(SYNCED)  ## build a wheel into dist/, with kernels compiled ahead for this Python on x86-64
	@rm -rf src/journeymesh/compiled_ahead src/journeymesh/*/compiled_ahead src/journeymesh/*/*/compiled_ahead
	@$(BIN)/journeymesh warm --ahead >/dev/null
	@$(UV) build --quiet --wheel --out-dir dist
	@ls dist/*.whl

docs: $(DOCS_SYNCED)  ## build the documentation strictly into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "documentation: site/index.html"

reference: $(SYNCED)  ## write docs/reference and the capabilities' files from the code
	@$(BIN)/python docs/generate_reference.py

browser: $(SYNCED)  ## put the console's browser libraries into the package, as npm's lock has them
	@$(BIN)/python docs/make_browser_files.py

picture: $(WARM)  ## take the README's picture of a report in Chromium
	@$(BIN)/python docs/make_picture.py

fuzz: $(WARM)  ## hostile BSON, requests, files for FUZZ_SECONDS (60) each, FUZZ_REQUESTS (1,000,000) decisions
	@$(BIN)/python -m tests.fuzz.fuzz_bson --seconds $(FUZZ_SECONDS)
	@$(BIN)/python -m tests.fuzz.fuzz_columns --seconds $(FUZZ_SECONDS)
	@$(BIN)/python -m tests.fuzz.fuzz_parsers --seconds $(FUZZ_SECONDS)
	@$(BIN)/python -m tests.differential --requests $(FUZZ_REQUESTS)

attack: $(WARM)  ## hostile clients against both services for SECONDS (60) an input (ARGS="--only text" to choose)
	@$(BIN)/python -m tests.attack --seconds $(SECONDS) $(ARGS)

prove: $(WARM)  ## proofs that take long, in full: 2,000 timings of forbidden, kill -9 at every point, operators' accidents, the console's actions
	@mkdir -p .cache
	@{ date -u +%FT%TZ; git log -1 --format=%h 2>/dev/null; \
	  JOURNEYMESH_PROVE=1 $(BIN)/pytest -n 0 -s -rA --timeout 3600 \
	    tests/integration/test_forbidden_like_unknown.py tests/integration/test_kill_run.py \
	    tests/integration/test_kill_store.py tests/integration/test_kill_recompute.py \
	    tests/integration/test_live_sync_from_mongodb.py tests/integration/test_operator_states.py \
	    tests/unit/services/console/test_every_action.py \
	    -k "by_time or kill or operators_on or every_action" $(ARGS); } 2>&1 \
	  | grep -v '"event":"answered"' | tee .cache/proved.txt; grep -q ' passed' .cache/proved.txt && ! grep -q ' failed' .cache/proved.txt

clean:  ## remove what these commands made, but not journeys
	@rm -rf .venv .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist site
	@find src tests benchmarks docs \( -name __pycache__ -o -name compiled_ahead \) -type d -prune -exec rm -rf {} +

# --- how the environment comes about -------------------------------------------------------------------------------

$(SYNCED): pyproject.toml uv.lock | $(UV)
	@$(UV) sync --frozen --quiet
	@touch $@

$(DOCS_SYNCED): $(SYNCED)
	@$(UV) sync --frozen --inexact --quiet --group docs
	@touch $@

$(BENCH_SYNCED): $(SYNCED)
	@$(UV) sync --frozen --inexact --quiet --group bench
	@touch $@

# Numba keeps what it compiled beside the source; done here, the first result of the command line comes at once.
$(WARM): $(SYNCED) $(wildcard src/journeymesh/*/*.py src/journeymesh/*/*/*.py)
	@$(BIN)/journeymesh warm >/dev/null
	@touch $@

# pip --target works without venv, without root and where Debian marks its Python as externally managed (PEP 668);
# where pip is absent, a venv brings one; where Debian left out both, root may install them.
.cache/uv/bin/uv:
	@mkdir -p .cache
	@echo "fetching uv into .cache/uv"
	@python3 -m pip install --quiet --disable-pip-version-check --target .cache/uv '$(UV_WANTED)' 2>.cache/uv.log \
	  || { rm -rf .cache/uv; python3 -m venv .cache/uv 2>>.cache/uv.log && .cache/uv/bin/pip install --quiet '$(UV_WANTED)'; } \
	  || { rm -rf .cache/uv; test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	       && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null \
	       && python3 -m venv .cache/uv && .cache/uv/bin/pip install --quiet '$(UV_WANTED)'; } \
	  || { rm -rf .cache/uv; cat .cache/uv.log >&2; \
	       echo "uv could not be installed: install python3-venv (or uv itself) and call make again" >&2; exit 1; }
