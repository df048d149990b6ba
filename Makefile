# Two commands: `make demo` and `make test`. Both build .venv from constraints.txt first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DELETE_ON_ERROR:
.PHONY: help demo test lint docs types format clean

help:
	@echo "make demo    train the tiny base to chat and to write JSON, with scores before and after (minutes, no GPU)"
	@echo "make test    run the tests (offline, CPU)"
	@echo "make lint    style and the order of imports;  make types  type checks;  make format  rewrite the style"
	@echo "make docs    build the pages of docs/ into site/, strictly: a broken link is an error"
	@echo "make clean   remove the virtual environment (runs/ stays)"

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or later is needed: make PYTHON=/path/to/python3.12 ..." >&2; exit 2; }
	@echo "installing into $(VENV), which takes minutes"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[report,monty,serve,gguf,docs,dev]"
	@touch $@

demo: $(READY)
	$(BIN)/python scripts/demo.py

# Three processes on two cores, because tests wait for processes and clocks a quarter of the time.
# Bytecode is kept even where the environment says not to: rewriting the assertions anew takes 6 s in each worker.
test: $(READY)
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)
