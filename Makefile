# make demo: set everything up and run the NEOSTED IOC with simulated cameras
# make test: set everything up and run every check and every test
# make test-latest: try the wheel with the newest libraries, in each Python that is here
# make soak: kill the gateway a thousand times at random, and see that nothing is lost
PYTHON ?= $(shell command -v python3.11 || echo python3)
EXTRAS ?= dev,clients
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test test-latest soak check bench format clean pytest

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

demo: install
	$(BIN)/python -m tosip.iocs.neosted --simulate

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check pytest

# Two files of tests at a time, because many wait. No test bounds a time by the clock, but each wait
# for a process, a record or a file ends some day: a test that failed so beside busy neighbours must
# pass alone.
pytest: install
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile \
		|| $(BIN)/python -m pytest --last-failed --last-failed-no-failures=none

test-latest: install
	$(BIN)/python -m tests.latest

soak: install
	$(BIN)/python -m tests.gateway.faults.soak

bench: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[benchmarks]'
	$(BIN)/python -m benchmarks

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
