# `make demo` runs the main job, `make test` everything that CI checks. Both make `.venv` first, once.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/installed
	$(BIN)/equipoise bench recipes/quickstart.yaml
	$(BIN)/equipoise report studies/quickstart

test: .venv/installed-with-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto

lint: .venv/installed-with-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Equipoise needs Python 3.11 or newer; '$(PYTHON)' is older. Call: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

# PyTorch comes first and alone because it is by far the largest part: several gigabytes with CUDA. README.md has the CPU-only way.
.venv/torch: | .venv/bin/python
	@echo "Installing PyTorch (once; several gigabytes where it comes with CUDA) ..."
	$(BIN)/python -m pip install --disable-pip-version-check --no-input 'torch>=2.6' 'torchvision>=0.21'
	@touch $@

.venv/installed: pyproject.toml | .venv/torch
	@echo "Installing Equipoise and its laboratory ..."
	$(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet --editable '.[lab]'
	@touch $@

.venv/installed-with-tests: .venv/installed
	@echo "Installing the test tools ..."
	$(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet --editable '.[lab,test]'
	@touch $@

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
