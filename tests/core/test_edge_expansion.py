import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import block_diag

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.expansion import edge
from expandergraphs.expansion.edge import conductance, edge_expansion
from expandergraphs.expansion.edge_search import _LAST, _Search, small_cut
from tests.core.strategies import pairs


def degrees(g):
    return np.concatenate([g.left_degrees, g.right_degrees])


def all_ratios(g, weights):
    """cut / weight of every admissible set."""
    n = g.n_left + g.n_right
    sets = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    cut = sum((sets[:, i] != sets[:, g.n_left + j] for i, j in g.edges), start=np.zeros(2**n))
    weight = sets @ weights
    admissible = (weight > 0) & (2 * weight <= weights.sum())
    return cut[admissible] / weight[admissible]


def checked(g, found, weights):
    """The witness is what it is said to be."""
    inside = np.zeros(weights.size, dtype=bool)
    inside[list(found.witness)] = True
    assert list(found.witness) == np.flatnonzero(inside).tolist()
    weight = weights[inside].sum()
    assert 0 < 2 * weight <= weights.sum()
    assert found.boundary == sum(inside[i] != inside[g.n_left + j] for i, j in g.edges.tolist())
    assert found.upper == found.boundary / weight
    assert found.lower <= found.upper
    assert found.exact == (found.lower == found.upper)
    return found


def both(g):
    """The two measures with their weights."""
    return [(edge_expansion, np.ones(g.n_left + g.n_right, dtype=int)), (conductance, degrees(g))]


def ring(n):
    return BipartiteGraph.from_edges(n, n, [(i, j % n) for i in range(n) for j in (i, i + 1)])


def hypercube(dimension):
    graph = nx.convert_node_labels_to_integers(nx.hypercube_graph(dimension), label_attribute="bits")
    return BipartiteGraph.from_networkx(graph, left=[v for v, bits in graph.nodes("bits") if sum(bits) % 2 == 0])


@settings(max_examples=40)
@given(pairs())
def test_small_graphs_against_all_sets(example):
    g = BipartiteGraph.from_edges(*example)
    for measure, weights in both(g):
        ratios = all_ratios(g, weights)
        if ratios.size == 0:
            with pytest.raises(ValueError, match="no admissible set"):
                measure(g)
            continue
        found = checked(g, measure(g), weights)
        assert found.lower == found.upper == ratios.min()
        assert (found.exact, found.certificate) == (True, "exact")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(edge, "_ENUMERATED", 0)
            searched = checked(g, measure(g), weights)
        assert searched.lower <= ratios.min() <= searched.upper


@settings(max_examples=20)
@given(st.integers(2, 7), st.integers(2, 7), st.data())
def test_bounds_of_biregular_graphs(n_left, n_right, data):
    unit = n_left // math.gcd(n_left, n_right)  # left vertices that share their edges evenly among the right ones
    degree = data.draw(st.integers(1, n_left // unit)) * unit
    g = eg.random_regular(n_left, n_right, n_edges=degree * n_right, rng=data.draw(st.integers(0, 99)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge, "_ENUMERATED", 0)
        for measure, weights in both(g):
            found = checked(g, measure(g), weights)
            assert found.lower <= all_ratios(g, weights).min() <= found.upper


def test_the_rate_of_biregular_graphs_is_an_eigenvalue(monkeypatch):
    g = eg.random_regular(30, 20, 4, rng=0)
    sigma = eg.spectral_gap(g).ratio
    ((masses, rate),) = edge._by_roots(g, degrees(g), sigma)
    laplacian = np.diag(degrees(g)) - g.adjacency.toarray()
    expected = np.linalg.eigvalsh(laplacian / np.sqrt(np.outer(masses, masses)))[1]
    assert rate == pytest.approx(expected, rel=1e-12)
    near = eg.BipartiteGraph.from_edges(30, 20, g.edges[1:])  # one edge less: dense, and close by
    ((_, dense),) = edge._by_roots(near, degrees(near), math.nan)
    assert dense == pytest.approx(rate, rel=0.05)
    monkeypatch.setattr(edge, "_DENSE", 49)
    assert edge._by_roots(near, degrees(near), sigma) == []


@pytest.mark.parametrize("n", [2, 3, 7, 20, 21, 22, 150])
def test_rings(n):
    """Half of a ring is an arc, which two edges leave. Long ones are proved by parity: no cut of one edge is even."""
    assert edge_expansion(ring(n)).lower == edge_expansion(ring(n)).upper == 2 / n
    assert conductance(ring(n)).lower == conductance(ring(n)).upper == 1 / n


@pytest.mark.parametrize("d", [1, 2, 5, 8, 30, 31])
def test_complete_graphs(d):
    """Half of each side, as nearly as it goes: d^2 / 2 edges leave, rounded up. Beyond 21 the lower bound proves it."""
    g = BipartiteGraph.from_biadjacency(np.ones((d, d)))
    found = edge_expansion(g)
    assert found.lower == found.upper == math.ceil(d * d / 2) / d
    assert conductance(g).lower == conductance(g).upper == math.ceil(d * d / 2) / d**2


@pytest.mark.parametrize("n", [26, 30])
def test_low_rank_leaves_nothing_to_chance(n):
    """ARPACK starts anew at random where a graph has hardly any singular values but zero."""
    g = BipartiteGraph.from_biadjacency(np.ones((n, 2 * n)))
    found = []
    for _ in range(6):
        _LAST.clear()
        found.append((edge_expansion(g, rng=0), conductance(g, rng=0)))
    assert found == found[:1] * 6


@pytest.mark.parametrize("dimension", [2, 3, 4, 7, 9])
def test_hypercubes(dimension):
    """Of a hypercube, half is the best (Harper); there Cheeger's inequality is sharp."""
    g = hypercube(dimension)
    assert (edge_expansion(g).lower, edge_expansion(g).upper) == (1, 1)
    assert conductance(g).lower == conductance(g).upper == 1 / dimension


@pytest.mark.parametrize("leaves", [1, 2, 5, 40, 5000])
def test_stars(leaves):
    star = BipartiteGraph.from_biadjacency(np.ones((1, leaves)))
    for measure in (edge_expansion, conductance):
        assert (measure(star).upper, measure(star).exact) == (1, leaves <= 40)
        assert measure(star.T).upper == 1


def test_graphs_in_pieces():
    large, small = eg.random_regular(30, 40, 4, rng=0), eg.random_regular(5, 5, 3, rng=0)
    g = BipartiteGraph.from_biadjacency(block_diag([large.biadjacency, small.biadjacency]))
    for measure in (edge_expansion, conductance):
        found = measure(g)
        assert (found.lower, found.upper, found.exact, found.certificate) == (0, 0, True, "exact")
        assert found.witness == (*range(30, 35), *range(75, 80))


def test_isolated_vertices():
    """They are sets without edges for one measure, and no sets at all for the other."""
    core = eg.random_regular(30, 30, 3, rng=0)
    edges = core.edges + np.array([1, 0])
    g = BipartiteGraph.from_edges(32, 31, edges)
    assert edge_expansion(g).upper == 0
    assert edge_expansion(g).witness[0] in (0, 31, 62)
    found, expected = conductance(g), conductance(core)
    checked(g, found, degrees(g))
    assert (found.lower, found.upper) == (expected.lower, expected.upper)
    assert edge_expansion(BipartiteGraph.from_edges(0, 2, [])).upper == 0


@pytest.mark.parametrize("seed", range(12))
def test_the_search_finds_what_enumeration_finds(seed):
    family = (eg.random_regular, eg.random_bipartite)[seed % 2]
    g = family(13 + seed % 3, 14, n_edges=56, rng=seed)
    if eg.components(g).count == 1:
        for measure, weights in both(g):
            part = small_cut(g, weights)
            left, right = g.edges.T
            cut = (part[left] != part[g.n_left + right]).sum()
            assert cut / min(weights[part].sum(), weights[~part].sum()) == measure(g).upper


def test_sweeps_take_the_best_initial_part():
    rng = np.random.default_rng(0)
    g = eg.random_bipartite(9, 12, n_edges=40, rng=0)
    for _, weights in both(g):
        values = rng.standard_normal(21)
        ratios = []
        for threshold in np.sort(values)[:-1]:
            inside = values <= threshold
            cut = sum(inside[i] != inside[9 + j] for i, j in g.edges)
            ratios.append(cut / min(weights[inside].sum(), weights[~inside].sum()))
        ratio, members = _Search(g, weights, rng).sweep(values)
        assert ratio == min(ratios)
        assert members.tolist() == (values <= np.sort(values)[np.argmin(ratios)]).tolist()


def test_replies_are_mostly_the_best():
    """All right sides are tried; volumes can make another one the best, since not every half can be filled."""
    rng = np.random.default_rng(0)
    right = (np.arange(2**10)[:, None] >> np.arange(10)) & 1
    best = []
    for _ in range(100):
        skewed = rng.random((8, 10)) < rng.random(10) ** 2
        skewed[0], skewed[:, 0] = True, True
        g = BipartiteGraph.from_biadjacency(skewed)
        given = rng.random((1, 8)) < 0.5
        search = _Search(g, degrees(g), rng)
        (_, found) = search._reply(search.right, search.left, given, 0.0)
        cut = given @ g.left_degrees + right @ (g.right_degrees - 2 * (given[0] @ skewed.astype(int)))
        volume = given @ g.left_degrees + right @ g.right_degrees
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = cut / np.minimum(volume, 2 * g.n_edges - volume)
        best.append(found[0] == np.nanmin(ratios))
    assert np.mean(best) >= 0.8


def test_planted_cuts_are_found():
    rng = np.random.default_rng(0)
    pieces = block_diag([eg.random_regular(n, n, 6, rng=rng).biadjacency for n in (150, 150, 250)]).toarray()
    pieces[tuple(rng.integers(0, 550, (2, 40)))] = 1
    g = BipartiteGraph.from_biadjacency(pieces)
    planted = sum((i < 300) != (j < 300) for i, j in g.edges)
    found = checked(g, edge_expansion(g), np.ones(1100, dtype=int))
    assert found.upper <= planted / 500
    assert found.lower > 0


def test_tori():
    """20 columns of 30: two cuts across cost 2 * 20 edges."""
    torus = nx.grid_2d_graph(20, 30, periodic=True)
    g = BipartiteGraph.from_networkx(torus, left=[v for v in torus if sum(v) % 2 == 0])
    assert edge_expansion(g).upper == 40 / 300


@pytest.mark.parametrize("seed", range(3))
def test_cheeger_on_both_sides(seed):
    for g in (
        eg.random_regular(60, 60, 5, rng=seed),
        eg.random_regular(80, 50, 6, rng=seed),
        eg.random_bipartite(40, 60, n_edges=400, rng=seed),
    ):
        sigma = eg.spectral_gap(g).sigma2_normalised
        phi = checked(g, conductance(g), degrees(g))
        assert (1 - sigma) / 2 - 1e-9 <= phi.lower <= phi.upper <= math.sqrt(2 * (1 - sigma))


def test_on_regular_graphs_the_measures_agree():
    g = eg.random_regular(60, 60, 5, rng=0)
    h, phi = edge_expansion(g), conductance(g)
    assert h.lower == pytest.approx(5 * phi.lower)
    assert h.upper == pytest.approx(5 * phi.upper)
    assert h.lower >= (5 - eg.spectral_gap(g).sigma2) / 2
    assert h == edge_expansion(g)


def test_irregular_graphs_are_bounded_far_better_than_by_masses_of_one():
    g = eg.random_bipartite(100, 100, n_edges=2000, rng=0)
    laplacian = np.diag(degrees(g)) - g.adjacency.toarray()
    h = edge_expansion(g)
    assert np.linalg.eigvalsh(laplacian)[1] / 2 < 2
    assert (h.lower, h.exact) == (degrees(g).min(), True)


def test_volumes_left_out_do_not_matter(monkeypatch):
    """With no volume but the largest, what is left is Cheeger's inequality without rounding."""
    g = eg.random_regular(80, 50, 6, rng=0)
    sigma = eg.spectral_gap(g).sigma2_normalised
    assert conductance(g).lower > (1 - sigma) / 2 + 1e-4
    monkeypatch.setattr(edge, "_ROUNDED", 0)
    assert conductance(g).lower == pytest.approx((1 - sigma) / 2, rel=1e-8)


def test_large_graphs():
    """Above 4,096 vertices a side sigma is bounded with high probability, on a long ring by 1. That is enough there."""
    g = eg.random_regular(4100, 4100, 3, rng=0)
    stream = np.random.default_rng(0)
    h = checked(g, edge_expansion(g, rng=stream), np.ones(8200, dtype=int))
    assert stream.random() != np.random.default_rng(0).random()
    assert (h.certificate, h.failure_probability) == ("probabilistic", 1e-12)
    assert (3 - 2 * math.sqrt(2)) / 2 < 1.05 * h.lower < h.upper < 1 / 3
    long = edge_expansion(ring(4100), rng=0)
    assert long.lower == long.upper == 2 / 4100


def test_bad_input_is_refused():
    for measure in (edge_expansion, conductance):
        with pytest.raises(ValueError, match="a BipartiteGraph is needed, got list"):
            measure([])
    with pytest.raises(ValueError, match="needs at least 2 vertices, got 1 x 0"):
        edge_expansion(BipartiteGraph.from_edges(1, 0, []))
    with pytest.raises(ValueError, match=r"needs at least 1 edge, got BipartiteGraph\(3 x 2, 0 edges"):
        conductance(BipartiteGraph.from_edges(3, 2, []))


@pytest.mark.parametrize("measure", [eg.edge_expansion, eg.conductance])
@pytest.mark.parametrize("rng", ["a", -1, 1.5])
def test_a_bad_rng_is_refused_where_none_is_needed(measure, rng):
    with pytest.raises(ValueError, match="rng"):
        measure(eg.random_regular(8, 8, 2, rng=0), rng=rng)
