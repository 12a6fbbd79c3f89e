# Two commands do everything on a fresh machine with Python 3.11+ and make:
#   make demo [PHOTOS=folder]   set up, index the photos (sample photos by default), open the page's address
#   make test                   set up, run all checks and tests

PYTHON ?= python3
VENV ?= .venv
PHOTOS ?=
LIBRARY ?= demo/library
PORT ?= 8410
PIP_ARGS ?=
EXAMPLES ?= 250

BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench quality audit contract browser screenshots clean

help:
	@echo "make demo [PHOTOS=folder]  index photos and open the page"
	@echo "make test                  all checks and tests"
	@echo "make lint | format | bench | quality [DATA=folder] | contract | audit | clean"

$(VENV)/installed: setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "unseen needs Python 3.11 or newer; name one with PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(PIP_ARGS) --editable '.[demo]'
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet $(PIP_ARGS) --editable '.[demo,research,test]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/unseen demo --library $(LIBRARY) --port $(PORT) $(if $(PHOTOS),"$(PHOTOS)")

test: $(VENV)/installed-test browser
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

browser:
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	  else echo "Chromium is missing: the browser tests will be skipped" >&2; fi; }

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-test
	$(BIN)/python -m tests.benchmarks

quality: $(VENV)/installed-test
	$(BIN)/python -m tests.benchmarks.quality $(DATA)

audit: $(VENV)/installed
	$(BIN)/pip install --quiet $(PIP_ARGS) pip-audit
	$(BIN)/pip-audit

contract: $(VENV)/installed-test
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n 0 -s --timeout 0 tests/webapp/test_contract.py

screenshots: $(VENV)/installed-test browser
	$(BIN)/python docs/screenshots.py build/screenshots

clean:
	rm -rf $(VENV) demo build dist *.egg-info
