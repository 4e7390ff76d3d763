"""What importing costs: in time, and in what it brings along."""

import os
import subprocess
import sys

BASE = "import numpy, scipy.sparse, scipy.sparse.linalg, scipy.sparse.csgraph"
CLOCK = "import time; start = time.process_time(); {}; print(time.process_time() - start)"


def python(code, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment).stdout


def test_it_brings_no_heavy_library():
    loaded = python("import sys, expandergraphs; print(*sys.modules)").split()
    assert not {"torch", "matplotlib", "networkx", "igraph", "typer", "rich", "pandas"} & set(loaded)


def test_it_costs_little_more_than_numpy_and_scipy(tmp_path):
    """Compiled, as it is for a user from the second time on, whatever the tests' own process may write."""

    def seconds(code):
        return float(python(CLOCK.format(code), PYTHONPYCACHEPREFIX=str(tmp_path), PYTHONDONTWRITEBYTECODE=""))

    pairs = [(seconds("import expandergraphs"), seconds(BASE)) for _ in range(15)]
    assert min(ours for ours, _ in pairs) <= 1.5 * min(theirs for _, theirs in pairs)
