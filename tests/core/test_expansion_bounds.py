"""Lower bounds of |N(S)|: against every set of small graphs, and against what is known of large ones."""

import math
import time
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.expansion import bounds
from expandergraphs.expansion import weighting as weights
from expandergraphs.expansion.bounds import by_degrees, by_volumes, neighbour_floors
from expandergraphs.expansion.cuts import envelope
from expandergraphs.expansion.weighting import Weighting, spectral_weighting
from expandergraphs.spectral.bounds import proved_upper
from expandergraphs.spectral.products import Products
from tests.core.strategies import pairs

INF = math.inf


def fewest_neighbours(g):
    """The least |N(S)| over all sets of each size 0..n_left: every set a bit mask."""
    masks = np.zeros(1, dtype=np.int64)
    for row in g.biadjacency.toarray().astype(np.int64) @ (1 << np.arange(g.n_right)):
        masks = np.concatenate([masks, masks | row])
    fewest = np.full(g.n_left + 1, g.n_right)
    np.minimum.at(fewest, np.bitwise_count(np.arange(masks.size)), np.bitwise_count(masks))
    return fewest


def sigmas(g):
    """Second singular values, of B and normalised, with room for rounding."""
    rows = g.biadjacency.toarray()
    scale = [np.maximum(degrees, 1) ** -0.5 for degrees in (g.left_degrees, g.right_degrees)]
    normalised = scale[0][:, None] * rows * scale[1]
    return [[*np.linalg.svd(matrix, compute_uv=False), 0.0, 0.0][1] + 1e-12 for matrix in (rows, normalised)]


def small_graphs(seeds):
    """Graphs of up to 10 x 10 of every family, lopsided, disconnected, with isolated vertices; both ways round."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n_left, n_right = (int(n) for n in rng.integers(1, 11, size=2))
        n_edges = int(rng.integers(1, n_left * n_right + 1))
        halves = [eg.random_regular(n, n, n_edges=min(n_edges, n * n), rng=rng).biadjacency for n in (n_left // 2, 3)]
        apart = np.zeros((n_left // 2 + 3, n_left // 2 + 4))
        apart[:3, :3], apart[3:, 3:-1] = halves[1].toarray(), halves[0].toarray()
        for g in (
            eg.random_bipartite(n_left, n_right, n_edges=n_edges, rng=rng),
            eg.random_left_regular(n_left, n_right, n_edges=n_edges, rng=rng),
            eg.random_regular(n_left, n_right, n_edges=n_edges, rng=rng),
            eg.random_regular(n_left, n_left, 1 + seed % n_left, rng=rng),
            BipartiteGraph.from_biadjacency(apart),
        ):
            yield g
            yield g.T


@pytest.mark.parametrize("first", [0, 15, 30])
def test_no_bound_exceeds_the_minimum_over_all_sets(first):
    """Each bound by itself, so that none hides behind another; 450 graphs."""
    for g in small_graphs(range(first, first + 15)):
        n, fewest, (plain, normalised) = g.n_left, fewest_neighbours(g), sigmas(g)
        weighting, (lines, _) = spectral_weighting(g), envelope(g, n)
        for floors in (
            neighbour_floors(g, n, INF, INF),
            neighbour_floors(g, n, plain, INF),
            neighbour_floors(g, n, INF, normalised),
            neighbour_floors(g, n, INF, INF, lines=lines),
            neighbour_floors(g, n, INF, INF, weighting=weighting),
            neighbour_floors(g, n, plain, normalised, weighting=weighting, lines=lines),
        ):
            assert floors.shape == (n + 1,)
            assert (np.diff(floors) >= 0).all()
            assert (floors <= fewest).all(), (g.edges.tolist(), floors, fewest)


def test_tanner_on_a_projective_plane():
    """s2 = sqrt q exactly, so |N(S)| >= (q + 1)^2 k / (q + ((q + 1)^2 - q) k / n), rounded up."""
    q = 7
    g, n = eg.projective_plane(q), q * q + q + 1
    k = np.arange(1, n + 1)
    expected = np.ceil((q + 1) ** 2 * k / (q + ((q + 1) ** 2 - q) * k / n) - 1e-9)
    ratio = math.sqrt(q) / (q + 1)
    np.testing.assert_array_equal(by_volumes(g.left_degrees, g.right_degrees, ratio, n), expected)
    # A line and the points off it: the bound is attained at k = q^2, where all but one right vertex are neighbours.
    assert neighbour_floors(g, n, math.sqrt(q), ratio)[[1, q * q]].tolist() == [q + 1, n - 1]


def test_tanner_is_haemers():
    """Two sets without an edge between: |S||U| <= sigma^2 (n - |S|)(n - |U|) allows exactly the same numbers."""
    n, sigma = 40, 0.4
    degrees = np.full(n, 5)
    for k, floor in enumerate(by_volumes(degrees, degrees, sigma, n), start=1):
        allowed = [t for t in range(n + 1) if k * (n - t) <= sigma**2 * (n - k) * t + 1e-9]
        assert floor == min(allowed)


def test_pairs_are_at_least_as_good_as_tanner():
    better = 0
    for seed in range(12):
        n, degree = 24 + 4 * seed, 3 + seed % 5
        g = eg.random_regular(n, n, degree, rng=seed)
        plain, normalised = sigmas(g)
        pairs, tanner = neighbour_floors(g, n, plain, INF), neighbour_floors(g, n, INF, normalised)
        assert (pairs >= tanner).all()
        better += bool((pairs > tanner).any())
    assert better == 12


def test_the_best_line_of_each_moment_is_taken():
    """Dawson and Sankoff's t, against all of them."""
    g = eg.random_regular(40, 20, 4, rng=0)
    sigma = eg.spectral_gap(g).sigma2
    found = bounds._by_pairs(g, 20, sigma)
    for k in range(1, 21):
        squares = math.floor(k * ((32 - sigma**2) * k / 40 + sigma**2) * (1 + 1e-12))
        pairs = (squares - 4 * k) // 2
        assert found[k - 1] == max(math.ceil(Fraction(2 * t * 4 * k - 2 * pairs, t * (t + 1))) for t in range(1, 50))


def test_pairs_take_memory_by_the_set_not_by_the_degree():
    g = eg.random_regular(65_536, 64, 8, rng=0)
    tracemalloc.start()
    try:
        bounds._by_pairs(g, 32_768, 3.0)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


@given(pairs())
def test_the_bound_by_degrees_fills_the_largest_first(example):
    """k vertices bring at least the k least degrees, of which a right vertex takes its degree, and k at most."""
    g = BipartiteGraph.from_edges(*example)
    found = by_degrees(g, g.n_left).tolist() if g.n_edges else []
    least = sorted(g.left_degrees.tolist())
    for k, bound in enumerate(found, 1):
        takes = sorted((min(degree, k) for degree in g.right_degrees.tolist()), reverse=True)
        needed = next(t for t in range(g.n_right + 1) if sum(takes[:t]) >= sum(least[:k]))
        assert bound == max(needed, least[k - 1])


def test_by_degrees():
    # Degrees 1, 1, 2 meet 3, 1: two edge ends fit one vertex of degree 3, if two vertices bring them.
    g = BipartiteGraph.from_edges(3, 2, [(0, 0), (1, 0), (2, 0), (2, 1)])
    assert by_degrees(g, 3).tolist() == [1, 1, 2]
    # One vertex alone has as many neighbours as its degree, whatever the others can take.
    assert by_degrees(eg.random_left_regular(20, 30, 7, rng=0), 2).tolist() == [7, 7]
    # Two vertices bring six ends, and no vertex takes more than two of them, though one has degree 10.
    hub = BipartiteGraph.from_edges(10, 21, [(i, j) for i in range(10) for j in (0, 2 * i + 1, 2 * i + 2)])
    assert by_degrees(hub, 2).tolist() == [3, 5]
    # Three vertices could take two of six ends each, but one of the two vertices has five neighbours.
    mixed = BipartiteGraph.from_edges(4, 5, [(0, 0), *((i, j) for i in (1, 2, 3) for j in range(5))])
    assert by_degrees(mixed, 2).tolist() == [1, 5]
    lonely = BipartiteGraph.from_edges(3, 2, [(0, 0), (0, 1)])
    assert by_degrees(lonely, 3).tolist() == [0, 0, 2]


def test_graphs_without_a_choice():
    assert neighbour_floors(BipartiteGraph.from_edges(4, 3, []), 4, 0.0, 0.0).tolist() == [0] * 5
    assert neighbour_floors(eg.random_regular(4, 4, 2, rng=0), 0, INF, INF).tolist() == [0]
    complete = BipartiteGraph.from_biadjacency(np.ones((5, 6)))
    assert neighbour_floors(complete, 5, 0.0, 0.0).tolist() == [0] + [6] * 5
    assert spectral_weighting(complete).sigma == 0


def test_floors_ascend():
    """Whatever sigma is said to be: the bound by pairs alone would be 3, 4, 3 here."""
    assert neighbour_floors(eg.random_regular(3, 3, 2, rng=0), 3, 0.0, INF).tolist() == [0, 3, 4, 4]


def test_lines_are_rounded_up():
    star = BipartiteGraph.from_biadjacency(np.ones((4, 1)))
    assert neighbour_floors(star, 4, INF, INF, lines=[(3, 2, 1), (1, 1, 9)]).tolist() == [0, 1, 3, 4, 6]


# --- weights ---


@pytest.mark.parametrize(
    ("g", "gain"),
    [
        (eg.random_regular(64, 64, 8, rng=0), 1.06),
        (eg.random_regular(256, 256, 16, rng=0), 1.04),
        (eg.random_bipartite(128, 128, n_edges=2048, rng=0), 1.2),
        (eg.random_left_regular(128, 128, 8, rng=0), 1.15),
        (eg.random_regular(196, 75, n_edges=1470, rng=0), 1.08),
    ],
)
def test_weights_pay(g, gain):
    """Bounds at half the vertices of each side, against those by degrees as volumes."""
    weighting, normalised = spectral_weighting(g), sigmas(g)[1]
    for side, volumes in ((g, weighting), (g.T, weighting.T)):
        k = side.n_left // 2
        plain = by_volumes(side.left_degrees, side.right_degrees, normalised, k)[-1]
        assert by_volumes(volumes.left, volumes.right, volumes.sigma, k)[-1] >= gain * plain


def test_the_proof_holds_for_any_weights():
    """The upper end lies above the second singular value of a dense decomposition, and close."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        n_left, n_right = (int(n) for n in rng.integers(2, 30, size=2))
        matrix = rng.random((n_left, n_right)) * (rng.random((n_left, n_right)) < 0.6)
        matrix[0], matrix[:, 0] = 1, 1
        left, right = matrix.sum(axis=1), matrix.sum(axis=0)
        normalised = weights.sparse.csr_array(matrix / np.sqrt(np.outer(left, right)))
        second = np.linalg.svd(normalised.toarray(), compute_uv=False)[1]
        known = np.sqrt(right / right.sum())
        if n_left < n_right:
            normalised, known = normalised.T.tocsr(), np.sqrt(left / left.sum())
        products = Products(normalised)
        assert proved_upper(products, normalised, known, second / 2) >= second
        assert second <= proved_upper(products, normalised, known, second) <= second * (1 + 1e-3) + 1e-6


@pytest.mark.parametrize(
    "g", [eg.random_bipartite(60, 40, n_edges=500, rng=0), eg.random_left_regular(40, 60, 9, rng=0)]
)
def test_large_graphs_get_even_volumes_and_a_probable_bound(g, monkeypatch):
    proven = spectral_weighting(g)
    assert proven.failure_probability == 0
    monkeypatch.setattr(weights, "LARGEST", 10)
    probable = spectral_weighting(g, rng=0)
    assert probable.failure_probability == 1e-12
    assert proven.sigma < probable.sigma < 1
    k = g.n_left // 2
    even, plain = (
        by_volumes(left, right, sigma, k)[-1]
        for left, right, sigma in (
            (probable.left, probable.right, probable.sigma),
            (g.left_degrees, g.right_degrees, sigmas(g)[1]),
        )
    )
    assert even > plain
    assert spectral_weighting(eg.random_regular(40, 40, 5, rng=0), rng=0).sigma == 1  # nothing to even out


def test_weightings():
    g = eg.random_left_regular(30, 50, 6, rng=0)
    weighting, other = spectral_weighting(g), spectral_weighting(g.T)
    np.testing.assert_array_equal(weighting.left, other.right)
    np.testing.assert_array_equal(weighting.right, other.left)
    assert weighting.left.sum() == weighting.right.sum()
    assert weighting.T.sigma == weighting.sigma == other.sigma
    late = spectral_weighting(g, deadline=time.monotonic() - 1)
    assert weighting.sigma < late.sigma < 1
    apart = BipartiteGraph.from_biadjacency(np.kron(np.eye(2), np.ones((3, 3))))
    plain = spectral_weighting(apart)
    assert (plain.sigma, plain.left.tolist(), plain.right.tolist()) == (1, [3] * 6, [3] * 6)


def test_bounds_by_volumes_use_the_smallest_and_the_largest():
    """Three of volume 1 on the left face 4, 2, 2, 1 on the right: needed are 1, 2, 3 (sigma 1), and all 9 (sigma 0)."""
    left, right = np.array([5, 1, 1, 1, 1]), np.array([2, 4, 1, 2])
    assert by_volumes(left, right, 1.0, 5).tolist() == [1, 1, 1, 1, 4]
    assert by_volumes(left, right, 0.0, 5).tolist() == [4] * 5
    assert by_volumes(left, right, 7.0, 5).tolist() == [1, 1, 1, 1, 4]  # no bound says more than 1
    assert isinstance(Weighting(left, right, 1.0).T, Weighting)


# --- cuts ---


def test_lines_and_corners_of_the_envelope():
    for g in small_graphs(range(100, 115)):
        fewest, sizes = fewest_neighbours(g), np.arange(g.n_left + 1)
        lines, sets = envelope(g, g.n_left // 2)
        for a, b, c in lines:
            assert (b * fewest >= a * sizes - c).all()
            assert (b * fewest == a * sizes - c).any()
        for members in sets:
            assert members.size <= g.n_left // 2
            assert np.unique(g.biadjacency[members].indices).size == fewest[members.size]


def test_an_envelope_that_decides():
    """Five pendant vertices share one neighbour in a graph of 500: the best ratio of all, and a small set."""
    g = eg.random_left_regular(500, 500, 8, rng=0)
    edges = [(i, j) for i, j in g.edges.tolist() if i >= 5] + [(i, 499) for i in range(5)]
    g = BipartiteGraph.from_edges(500, 500, edges)
    lines, sets = envelope(g, 250)
    assert [0, 1, 2, 3, 4] in [members.tolist() for members in sets]
    floors = neighbour_floors(g, 250, INF, INF, lines=lines)
    assert min(floors[1:] / np.arange(1, 251)) == 1 / 5


def test_cuts_stop_in_time(monkeypatch):
    g = eg.random_bipartite(60, 60, n_edges=150, rng=0)
    lines, _ = envelope(g, 30)
    assert len(lines) > 3
    assert envelope(g, 30, deadline=time.monotonic() + 1000)[0] == lines
    assert envelope(g, 30, deadline=time.monotonic() - 1) == ([], [])
    monkeypatch.setattr("expandergraphs.expansion.cuts.MOST_CUTS", 2)
    assert envelope(g, 30)[0] == lines[:2]
    monkeypatch.setattr("expandergraphs.expansion.cuts._LARGEST_FLOW", 10)
    assert envelope(g, 30) == ([], [])
