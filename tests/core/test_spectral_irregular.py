"""Measures of irregular graphs, against a slow reading of their definitions."""

import collections
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.spectral.irregular import irregular_gaps
from tests.core.strategies import pairs


def leading_two(matrix):
    return [*(np.linalg.svd(matrix, compute_uv=False) if matrix.size else []), 0.0, 0.0][:2]


def delta_r(matrix):
    """The third largest absolute eigenvalue of the adjacency is the second singular value."""
    matrix = matrix[matrix.any(axis=1)][:, matrix.any(axis=0)]
    d_left, d_right = matrix.sum(axis=1).mean(), matrix.sum(axis=0).mean()
    return math.sqrt(d_left - 1) + math.sqrt(d_right - 1) - leading_two(matrix)[1]


@given(pairs(), st.integers(0, 2**32))
def test_agrees_with_a_slow_reading(example, seed):
    g = BipartiteGraph.from_edges(*example)
    weights = np.random.default_rng(seed).standard_normal(g.n_edges)
    found = irregular_gaps(g, weights)
    matrix = g.biadjacency.toarray()
    weighted = matrix.copy()
    weighted[tuple(g.edges.T)] = abs(weights)
    first, second = leading_two(weighted)
    assert found.weighted_gap == pytest.approx(first - second, abs=1e-12)
    counts = collections.Counter(int(degree) for degree in matrix.sum(axis=1) if degree)
    parts = [delta_r(matrix[matrix.sum(axis=1) == degree]) for degree, count in counts.items() if count >= 3]
    assert found.n_subgraphs == len(parts)
    assert found.imdb == pytest.approx(np.mean(parts), abs=1e-12) if parts else math.isnan(found.imdb)
    if not g.n_edges:
        assert math.isnan(found.delta_r)
        assert math.isnan(found.delta_s)
        return
    assert found.delta_r == pytest.approx(delta_r(matrix), abs=1e-12)
    first, second = leading_two(matrix)
    assert found.delta_s == pytest.approx(2 * math.sqrt(max(0, first - 1)) - second, abs=1e-7)


def test_regular_graphs():
    """There is one subgraph, the whole, and the bound is Ramanujan's."""
    g = eg.random_regular(60, 60, 8, rng=0)
    gap, found = eg.spectral_gap(g), irregular_gaps(g)
    assert found.delta_r == pytest.approx(gap.bound - gap.sigma2)
    assert found.delta_s == pytest.approx(2 * math.sqrt(7) - gap.sigma2)
    assert (found.n_subgraphs, found.imdb) == (1, pytest.approx(found.delta_r))
    assert math.isnan(found.weighted_gap)
    assert irregular_gaps(g, np.full(g.n_edges, -2)).weighted_gap == pytest.approx(2 * gap.gap)


def test_vertices_without_edges_do_not_count():
    """An output and an input that pruning has disconnected change nothing."""
    g = eg.random_bipartite(30, 20, n_edges=200, rng=0)
    larger = BipartiteGraph.from_edges(33, 24, g.edges)
    assert repr(irregular_gaps(larger)) == pytest.approx(repr(irregular_gaps(g)))


def test_weights_of_zero_are_weights():
    """The pattern stays: the weighted gap alone sees them."""
    g = eg.random_bipartite(9, 7, n_edges=30, rng=0)
    found = irregular_gaps(g, np.zeros(30))
    assert (found.weighted_gap, found.delta_r) == (0, irregular_gaps(g).delta_r)


@pytest.mark.parametrize("weights", [np.ones(29), np.full(30, np.nan), np.ones((30, 1)), ["a"] * 30, 1j * np.ones(30)])
def test_weights_are_checked(weights):
    with pytest.raises(ValueError, match="weights must be 30 finite numbers"):
        irregular_gaps(eg.random_bipartite(9, 7, n_edges=30, rng=0), weights)


def test_only_graphs():
    with pytest.raises(ValueError, match="a BipartiteGraph is needed"):
        irregular_gaps("graph")
