# make demo: the main job end to end.  make test: every test.  make docs: the site.  Each makes the environment it needs.
PYTHON ?= python3
PYTHONS ?= $(PYTHON)
PIP = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-core test-browser docs package lint clean

demo: .venv/installed
	.venv/bin/expandergraphs demo --output demo

# The core's tests in an environment without torch, then everything in the full one.
test: test-core .venv/installed
	.venv/bin/python -m pytest

test-core: .venv-core/installed
	! .venv-core/bin/python -c "import torch" 2>/dev/null
	.venv-core/bin/python -m pytest expandergraphs tests/core

# The report's page in a real browser: Debian's chromium.
test-browser: .venv/installed
	.venv/bin/python -m pytest tests/browser

# The site, in docs/_build/html; it needs no network.
docs: .venv/installed
	.venv/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	.venv/bin/python docs/check_links.py docs/_build/html

# Source and wheel; the wheel in a clean environment of each of PYTHONS, the command line from it.
package: .venv/installed
	rm -rf dist
	.venv/bin/python -m build --outdir dist . >/dev/null
	for python in $(PYTHONS); do .ci/wheel $$python dist/*.whl || exit 1; done

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
	rm -rf .venv .venv-core demo dist docs/_build docs/auto_* docs/records docs/reference/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis
