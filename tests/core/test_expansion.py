import itertools

import numpy as np
import pytest

import expandergraphs as eg
from expandergraphs import BipartiteGraph


def ratios(g):
    """|N(S)| / |S| of every admissible set of the left side, by size."""
    rows = g.biadjacency.toarray() > 0
    by_size = {}
    for size in range(1, g.n_left // 2 + 1):
        for subset in itertools.combinations(range(g.n_left), size):
            by_size.setdefault(size, []).append(rows[list(subset)].any(axis=0).sum() / size)
    return by_size


def test_the_mean_is_that_of_all_sets():
    """Each size is equally likely, and within a size each set; here by enumeration."""
    g = eg.random_bipartite(6, 7, n_edges=15, rng=0)
    sides = [np.mean([np.mean(values) for values in ratios(side).values()]) for side in (g, g.T)]
    found = eg.sampled_expansion(g, samples=40_000, rng=0)
    assert found.mean == pytest.approx(np.mean(sides), rel=0.01)
    assert found.minimum == min(min(map(min, ratios(side).values())) for side in (g, g.T))


def test_an_odd_number_of_samples_and_a_side_of_one():
    star = BipartiteGraph.from_edges(1, 4, [(0, 0), (0, 1)])
    assert eg.sampled_expansion(star, samples=7, rng=0).samples == 7
    assert eg.sampled_expansion(star, samples=500, rng=0).minimum == 0
    assert eg.sampled_expansion(eg.random_regular(8, 8, 2, rng=0), samples=1, rng=0).samples == 1
    # Two left vertices with three neighbours each, and three right ones with two: of five sets, three are left ones.
    assert eg.sampled_expansion(eg.random_bipartite(2, 3, p=1), samples=5, rng=0).mean == (3 * 3 + 2 * 2) / 5


def test_seeds():
    g = eg.random_regular(50, 50, 3, rng=0)
    assert eg.sampled_expansion(g, rng=1) == eg.sampled_expansion(g, rng=1) != eg.sampled_expansion(g, rng=2)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="a side needs at least 2 vertices, got 1 x 1"):
        eg.sampled_expansion(BipartiteGraph.from_edges(1, 1, [(0, 0)]))
    with pytest.raises(ValueError, match="samples must be an integer of at least 1, got 0"):
        eg.sampled_expansion(eg.random_regular(8, 8, 2), samples=0)
