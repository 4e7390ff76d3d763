# make demo: the main job end to end.  make test: every test.  Each makes the environment it needs.
PYTHON ?= python3
PIP = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-core lint clean

demo: .venv/installed
	.venv/bin/expandergraphs demo --output demo

# The core's tests in an environment without torch, then everything in the full one.
test: test-core .venv/installed
	.venv/bin/python -m pytest

test-core: .venv-core/installed
	! .venv-core/bin/python -c "import torch" 2>/dev/null
	.venv-core/bin/python -m pytest expandergraphs tests/core

lint: .venv/installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python $(PIP) --editable '.[dev,demo]'
	touch $@

.venv-core/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv-core
	.venv-core/bin/python $(PIP) --editable '.[test]'
	touch $@

clean:
	rm -rf .venv .venv-core demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
