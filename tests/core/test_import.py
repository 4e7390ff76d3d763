"""What importing costs: in time, and in what it brings along."""

import subprocess
import sys

BASE = "import numpy, scipy.sparse, scipy.sparse.linalg, scipy.sparse.csgraph"
CLOCK = "import time; start = time.process_time(); {}; print(time.process_time() - start)"


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_it_brings_no_heavy_library():
    loaded = python("import sys, expandergraphs; print(*sys.modules)").split()
    assert not {"torch", "matplotlib", "networkx", "igraph", "typer", "rich", "pandas"} & set(loaded)


def test_it_costs_little_more_than_numpy_and_scipy():
    def seconds(code):
        return float(python(CLOCK.format(code)))

    pairs = [(seconds("import expandergraphs"), seconds(BASE)) for _ in range(15)]
    assert min(ours for ours, _ in pairs) <= 1.5 * min(theirs for _, theirs in pairs)
