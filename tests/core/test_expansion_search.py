"""Sets with few neighbours: whether they are what they are said to be, and how often nothing is better."""

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.expansion import search
from expandergraphs.expansion.search import smallest_set
from tests.core.strategies import pairs
from tests.core.test_expansion_bounds import fewest_neighbours


def ratio(g, members):
    return Fraction(len({j for i, j in g.edges.tolist() if i in set(members.tolist())}), members.size)


@settings(max_examples=40, deadline=None)
@given(pairs(largest=8), st.data())
def test_a_set_is_admissible_and_the_best_there_is(example, data):
    g = BipartiteGraph.from_edges(*example)
    for side in (g, g.T):
        if side.n_left == 0:
            continue
        k_max = data.draw(st.integers(1, side.n_left))
        members = smallest_set(side, k_max, rng=0)
        assert members.tolist() == sorted(set(members.tolist()))
        assert 1 <= members.size <= k_max
        fewest = fewest_neighbours(side).tolist()
        assert ratio(side, members) == min(Fraction(fewest[k], k) for k in range(1, k_max + 1))


@pytest.mark.parametrize("family", [eg.random_regular, eg.random_left_regular, eg.random_bipartite])
def test_the_optimum_of_random_graphs(family):
    for seed in range(10):
        n, degree = 11 + seed % 6, 3 + seed % 4
        g = family(n, n + seed % 3, n_edges=n * degree, rng=seed)
        fewest = fewest_neighbours(g).tolist()
        assert ratio(g, smallest_set(g, n // 2, rng=seed)) == min(Fraction(fewest[k], k) for k in range(1, n // 2 + 1))


def test_a_knot_and_half_a_side():
    """The best set is a planted one of 6 vertices with 5 neighbours; without it, one of half the side."""
    large = eg.random_regular(300, 300, 6, rng=0)
    edges = [(i, j) for i, j in large.edges.tolist() if i >= 6] + [(i, j) for i in range(6) for j in range(5)]
    assert smallest_set(BipartiteGraph.from_edges(300, 300, edges), 150, rng=0).tolist() == list(range(6))
    assert ratio(large, smallest_set(large, 150, rng=0)) <= Fraction(234, 150)
    dense = eg.random_regular(300, 300, 20, rng=0)
    assert ratio(dense, smallest_set(dense, 150, rng=0)) <= Fraction(284, 150)


@pytest.mark.parametrize(
    ("way", "g"),
    [
        ("grow_all", eg.random_bipartite(21, 21, n_edges=147, rng=143)),
        ("anneal", eg.random_regular(60, 60, 6, rng=0)),
    ],
)
def test_each_way_of_searching_finds_what_the_other_does_not(way, g, monkeypatch):
    with_both = ratio(g, smallest_set(g, g.n_left // 2, rng=0))
    monkeypatch.setattr(search._Search, way, lambda *_, **__: None)
    assert ratio(g, smallest_set(g, g.n_left // 2, rng=0)) > with_both


def test_a_component_is_found():
    """Three random graphs side by side: one of them has a ratio of 1, and any other set has more."""
    blocks = [eg.random_regular(40, 40, 5, rng=seed).biadjacency.toarray() for seed in range(3)]
    g = BipartiteGraph.from_biadjacency(np.kron(np.eye(3), np.ones((40, 40))) * np.hstack([np.vstack(blocks)] * 3))
    order = np.random.default_rng(0).permutation(120)
    shuffled = BipartiteGraph.from_biadjacency(g.biadjacency.toarray()[order])
    members = smallest_set(shuffled, 60, rng=0)
    assert ratio(shuffled, members) == 1
    assert members.size == 40


def test_what_is_free_comes_along():
    """Keys that end a prefix too early: the second sweep adds the vertices all of whose neighbours are there."""
    g = BipartiteGraph.from_edges(5, 3, [(0, 0), (0, 1), (1, 0), (1, 2), (2, 0), (3, 1), (4, 0), (4, 1)])
    hunt = search._Search(g, 4, np.random.default_rng(0), None)
    hunt.offer(np.array([[0], [1], [2], [3], [4]]))  # 0 and then 1, which has a neighbour of its own
    assert hunt.members.tolist() == [0, 2, 3, 4]
    assert hunt.fewest.tolist() == [2, 2, 2, 2]


def test_growth_starts_from_every_vertex(monkeypatch):
    monkeypatch.setattr(search, "_COLUMNS", 4)
    g, started, grown = eg.random_bipartite(18, 20, n_edges=60, rng=0), [], search._Search._grown
    monkeypatch.setattr(search._Search, "_grown", lambda self, some, n: started.extend(some) or grown(self, some, n))
    search._Search(g, 5, np.random.default_rng(0), None).grow_all()
    assert sorted(started) == list(range(18))
    assert (np.diff(g.left_degrees[started]) >= 0).all()


def test_growth_takes_the_vertex_with_the_fewest_new_neighbours():
    g = BipartiteGraph.from_edges(
        4, 6, [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (2, 0), (2, 1), (2, 5), (3, 2), (3, 5)]
    )
    hunt = search._Search(g, 4, np.random.default_rng(0), None)
    # From 0: vertices 2 and 3 bring one more each; after 2, vertex 3 brings none.
    assert hunt._grown(np.array([0, 1]), 4)[:, 0].tolist() == [0, 3, 1, 2]
    assert hunt._grown(np.array([1]), 2)[:, 0].tolist() == [2, 0, 2, 1]


def test_seeds_and_candidates():
    g = eg.random_regular(200, 200, 4, rng=0)
    assert smallest_set(g, 100, rng=1).tolist() == smallest_set(g, 100, rng=1).tolist()
    found = smallest_set(g, 100, rng=1)
    late = time.monotonic() - 1
    assert smallest_set(g, 100, rng=2, deadline=late, candidates=[found[:50], found[::-1]]).tolist() == found.tolist()
    lonely = BipartiteGraph.from_edges(3, 2, [(0, 0), (2, 1)])
    assert smallest_set(lonely, 3).tolist() == [1]


def test_time_is_kept(monkeypatch):
    g = eg.random_regular(2000, 2000, 10, rng=0)
    start = time.monotonic()
    assert smallest_set(g, 1000, deadline=start).size == 1  # one vertex is admissible, and takes no time
    for rounds, ways in (((), "anneal"), ((10_000,), "grow_all")):  # neither comes to its end
        monkeypatch.setattr(search, "_ROUNDS", rounds)
        monkeypatch.setattr(search, "_GROWTH_COST", 2**40)
        with monkeypatch.context() as patch:
            patch.setattr(search._Search, ways, lambda *_: None)
            start = time.monotonic()
            members = smallest_set(g, 1000, rng=0, deadline=start + 0.2)
            assert time.monotonic() - start < 1.5
            assert ratio(g, members) < 2


def test_sizes_out_of_range():
    g = eg.random_regular(6, 6, 2, rng=0)
    for k_max in (0, 7):
        with pytest.raises(ValueError, match=rf"k_max must lie in 1\.\.6, got {k_max}"):
            smallest_set(g, k_max)


def test_the_search_ends_where_nothing_can_be_better(monkeypatch):
    """A star's largest sets have one neighbour, and none has less; nor is annealing needed where all sets are tried."""

    def never(*_):
        raise AssertionError("annealing")

    monkeypatch.setattr("expandergraphs.expansion.search._Search.anneal", never)
    star = eg.random_bipartite(200, 1, density=1)
    assert smallest_set(star, 100, rng=0, floor=Fraction(1, 100)).size == 100
    with pytest.raises(AssertionError, match="annealing"):
        smallest_set(star, 100, rng=0)
    assert eg.vertex_expansion(star, rng=0).upper == 0.01
    assert eg.vertex_expansion(eg.random_regular(20, 20, 3, rng=0), rng=0).exact
    with pytest.raises(AssertionError, match="annealing"):
        eg.vertex_expansion(eg.random_regular(20, 20, 3, rng=0), method="bounds", rng=0)
