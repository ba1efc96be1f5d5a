# The one door: `make help` lists what it can do. People and CI call the same targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
RUN := $(BIN)/python
# Folders of hand-written Python that exist so far.
SOURCES := $(wildcard engine server worker_sdk migrations local cli conformance tests tools examples benchmarks)
# Each of these writes one page of docs/, and with --check says whether the page is fresh.
PAGE_GENERATORS := $(wildcard tools/draw_*.py tools/document_*.py)
# More arguments for pytest: make test ARGS='-k lease -x'
ARGS ?=
# Histories that the simulator plays, and the only one of them where one is named.
SEEDS ?= 10000
SEED ?=
# Documents for the demo: make demo DOCS='notes.md https://example.org/'
DOCS ?=

.PHONY: help setup fmt lint types imports protos-lint gen gen-check breaking thin pages pages-check \
	verify test test-pg go-sdk typescript-sdk conformance simulate chaos demo examples bench bench-check bench-peers profile clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## Make .venv and install everything (fast when nothing changed)
	@:

.venv/.installed: pyproject.toml
	@tools/bootstrap.sh .venv --editable '.[server,s3,examples,dev]'

.venv-gen/.installed: pyproject.toml
	@tools/bootstrap.sh .venv-gen --group gen

.venv-peers/.installed: pyproject.toml
	@tools/bootstrap.sh .venv-peers --group peers

RESTATE := build/peers/node_modules/.bin/restate-server

$(RESTATE):
	@npm install --silent --no-audit --no-fund --prefix build/peers @restatedev/restate-server@1.7.12

fmt: setup ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lint: setup ## Check style and formatting (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## Check the types (mypy, strict)
	$(BIN)/mypy $(SOURCES)

imports: setup ## Check that imports go one way (import-linter)
	$(BIN)/lint-imports --config pyproject.toml

protos-lint: setup ## Check the style and comments of the protos (buf)
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

gen: .venv-gen/.installed ## Generate the code of every language from protos/ (needs Go and Node, too)
	tools/gen.sh
	tools/gen_go.sh
	tools/gen_typescript.sh

gen-check: .venv-gen/.installed ## Check that protos/gen is fresh
	@tools/check_gen_drift.sh

breaking: setup ## Check that the protos break no client of the main branch
	@tools/check_proto_breaking.sh

thin: setup ## Check that a default install is thin: no server, no database
	@$(RUN) tools/check_thin_install.py

pages: setup ## Write the pages of docs/ that are made from code
	@for page in $(PAGE_GENERATORS); do PYTHONPATH=. $(RUN) $$page; done

pages-check: setup ## Check that those pages are fresh
	@for page in $(PAGE_GENERATORS); do PYTHONPATH=. $(RUN) $$page --check; done

verify: lint types imports protos-lint gen-check breaking pages-check thin ## Run every check that is not a test

test: setup ## Run all tests
	$(RUN) -m pytest $(ARGS)

test-pg: setup ## Run the tests against STAGELINE_TEST_DATABASE_URL, or a private PostgreSQL
	$(RUN) tools/with_postgres.py $(RUN) -m pytest -m 'not packaging' $(ARGS)

go-sdk: ## Check, test and build the Go SDK (needs Go)
	@tools/build_go.sh

typescript-sdk: ## Check, test and build the TypeScript SDK (needs Node)
	@tools/build_typescript.sh

conformance: setup go-sdk typescript-sdk ## Hold the workers in every language to docs/worker-protocol.md
	$(BIN)/stageline conformance --quiet --worker "$(RUN) -m examples.conformance_worker"
	$(BIN)/stageline conformance --quiet --worker build/workers/conformance-go
	$(BIN)/stageline conformance --quiet --worker "node worker_sdk/typescript/dist/conformance/worker.js"

simulate: setup ## Play random histories: make simulate [SEEDS=10000] [SEED=7] [ARGS='--json']
	$(RUN) -m tests.property --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos: setup ## Break servers, workers, network and database for half an hour: make chaos [ARGS='poison --short --json']
	$(RUN) -m tests.chaos $(ARGS)

demo: setup ## Process real documents with a dev server and a worker
	$(RUN) -m examples.demo $(DOCS)

examples: setup ## Run the examples, against a fake AI provider (with OPENAI_API_KEY or its like set, the real one)
	$(RUN) -m examples.embedded
	$(RUN) -m examples.summarise_corpus
	$(RUN) -m examples.overnight_batch
	$(RUN) -m pytest --quiet tests/integration/waits/test_approval.py

bench: setup ## Measure stages per second and the latency of one idle run
	$(RUN) -m benchmarks $(ARGS)

bench-check: setup ## Measure, and fail where a ratio is 15 % worse than the committed baseline
	$(RUN) -m benchmarks --output bench-result.json $(ARGS)
	$(RUN) -m benchmarks.check bench-result.json

bench-peers: setup .venv-peers/.installed $(RESTATE) ## Measure Restate, DBOS and Temporal beside Stageline (needs Node)
	$(RUN) -m benchmarks.peers $(ARGS)

profile: setup ## Show where the server's time goes while it is saturated
	$(RUN) -m benchmarks --profile server-profile.txt $(ARGS)

clean: ## Remove environments, caches and builds (keeps the dev server's data)
	rm -rf .venv .venv-gen .venv-peers build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
