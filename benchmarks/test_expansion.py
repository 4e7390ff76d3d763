"""Speed of the exact vertex expansion of one side of random d-regular graphs, against named peers in one run.

    OPENBLAS_NUM_THREADS=1 python -m pytest benchmarks/test_expansion.py --benchmark-only --benchmark-columns=min,median

Each row's extra_info holds the value, and the steps of the search. Peers: enumeration of all 2^n sets in NumPy, and
HiGHS, through SciPy, for the single size n / 2 (the ratio needs all sizes).
"""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

import expandergraphs as eg
from expandergraphs.expansion import blocks
from expandergraphs.expansion.exact import minimise_expansion


@pytest.mark.parametrize("n", [36, 44, 52, 60, 72])
@pytest.mark.parametrize("d", [3, 4, 6, 8, 16])
def test_branch_and_bound(benchmark, d, n):
    benchmark.group = f"d={d}, n={n}"
    g = eg.random_regular(n, n, d, rng=0)
    steps, step = [], blocks.BlockSearch.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks.BlockSearch, "step", lambda search: steps.append(search) or step(search))
        result = minimise_expansion(g, n // 2)
    benchmark.pedantic(minimise_expansion, (g, n // 2), rounds=3)
    benchmark.extra_info["value"] = f"{result.upper}"
    benchmark.extra_info["steps"] = len(steps)


@pytest.mark.parametrize(("d", "n"), [(3, 36), (3, 44), (8, 36)])
def test_highs_for_one_size(benchmark, d, n):
    benchmark.group = f"d={d}, n={n}"
    g = eg.random_regular(n, n, d, rng=0)
    edge, ends = np.tile(np.arange(g.n_edges), 2), g.edges + np.array([0, n])
    implied = sparse.csr_array((np.repeat([1, -1], g.n_edges), (edge, ends.T.ravel())), shape=(g.n_edges, 2 * n))
    count = np.repeat([0, 1], n)
    constraints = [LinearConstraint(implied, -np.inf, 0), LinearConstraint(1 - count, n // 2, n // 2)]
    options = {"c": count, "constraints": constraints, "integrality": np.ones(2 * n), "bounds": Bounds(0, 1)}
    result = benchmark.pedantic(milp, kwargs=options, rounds=1)
    assert round(result.fun) >= n // 2 * minimise_expansion(g, n // 2).upper


@pytest.mark.parametrize("method", ["enumeration", "branch and bound"])
def test_plain_enumeration(benchmark, method):
    benchmark.group, n = "d=3, n=24", 24
    g = eg.random_regular(n, n, 3, rng=0)

    def enumerate_all():
        covered = np.zeros(1, dtype=np.uint32)
        for row in g.biadjacency.toarray().astype(np.uint32) @ (np.uint32(1) << np.arange(n, dtype=np.uint32)):
            covered = np.concatenate([covered, covered | row])
        sizes, found = np.bitwise_count(np.arange(2**n, dtype=np.uint32)), np.bitwise_count(covered)
        return min(Fraction(int(found[sizes == k].min()), k) for k in range(1, n // 2 + 1))

    search = enumerate_all if method == "enumeration" else lambda: minimise_expansion(g, n // 2).upper
    assert benchmark.pedantic(search, rounds=1) == minimise_expansion(g, n // 2).upper
