"""Speed of the random families at 2^20 vertices a side and degree 32, against named peers in one run.

    python -m pytest benchmarks/test_generators.py --benchmark-only --benchmark-columns=median,min,max

Each row's extra_info holds million edges a second. Peers that are not installed are left out: networkit is not a
dependency of the tests. A square biadjacency is a directed graph with loops, which is how NetworKit is asked for it.
"""

import importlib.util

import igraph
import numpy as np
import pytest

import expandergraphs as eg

N, D = 1 << 20, 32


def measured(benchmark, draw, rounds=3):
    edges = N * D
    benchmark.pedantic(draw, rounds=rounds, warmup_rounds=1 if rounds > 1 else 0)
    benchmark.extra_info["million_edges_per_second"] = round(edges / benchmark.stats.stats.median / 1e6, 2)


@pytest.mark.benchmark(group="left_regular")
def test_random_left_regular(benchmark):
    measured(benchmark, lambda: eg.random_left_regular(N, N, D, rng=0), rounds=7)


@pytest.mark.benchmark(group="random")
def test_random_bipartite(benchmark):
    measured(benchmark, lambda: eg.random_bipartite(N, N, n_edges=N * D, rng=0), rounds=5)


@pytest.mark.benchmark(group="random")
def test_random_igraph(benchmark):
    measured(benchmark, lambda: igraph.Graph.Random_Bipartite(N, N, m=N * D), rounds=1)


@pytest.mark.benchmark(group="regular")
@pytest.mark.parametrize("mixing_rounds", [0, 10, 20])
def test_random_regular(benchmark, mixing_rounds):
    measured(benchmark, lambda: eg.random_regular(N, N, D, rng=0, mixing_rounds=mixing_rounds))


@pytest.mark.benchmark(group="regular")
@pytest.mark.skipif(not importlib.util.find_spec("networkit"), reason="networkit is not installed")
@pytest.mark.parametrize("mixing_rounds", [10, 20])
def test_networkit_global_curveball(benchmark, mixing_rounds):
    import networkit

    sources = np.repeat(np.arange(N), D)
    targets = (sources + np.tile(np.arange(D), N)) % N
    circulant = networkit.GraphFromCoo((sources, targets), n=N, directed=True)

    def draw():
        chain = networkit.randomization.GlobalCurveball(
            circulant, mixing_rounds, allowSelfLoops=True, degreePreservingShufflePreprocessing=False
        )
        chain.run()
        return chain.getGraph()

    measured(benchmark, draw, rounds=1)
