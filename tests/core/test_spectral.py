import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import block_diag
from scipy.sparse.linalg import ArpackNoConvergence

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.spectral import gap as spectral
from tests.core.strategies import pairs


def dense(g):
    return np.linalg.svd(g.biadjacency.toarray(), compute_uv=False)


@given(pairs())
def test_agrees_with_a_dense_decomposition(example):
    g = BipartiteGraph.from_edges(*example)
    values = eg.singular_values(g)
    assert values.shape == (min(g.n_left, g.n_right),)
    np.testing.assert_allclose(values, dense(g) if values.size else values, atol=1e-12)
    gap, (s1, s2) = eg.spectral_gap(g), ([*dense(g)[:2], 0, 0] if values.size else [0, 0])[:2]
    np.testing.assert_allclose([gap.sigma1, gap.sigma2, gap.gap], [s1, s2, s1 - s2], atol=1e-12)
    assert gap.gap >= 0
    assert gap.ratio == pytest.approx(s2 / s1) if g.n_edges else math.isnan(gap.ratio)
    assert gap.connected == (eg.components(g).count == 1)
    left, right = (np.maximum(d, 1) ** -0.5 for d in (g.left_degrees, g.right_degrees))
    normalised = left[:, None] * g.biadjacency.toarray() * right
    expected = [*(np.linalg.svd(normalised, compute_uv=False) if values.size else []), 0, 0][1]
    assert gap.sigma2_normalised == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.data())
def test_the_sparse_way_agrees_with_the_dense_one(n_left, n_right, seed, data):
    """With the limit at 4 vertices, most of these graphs go through ARPACK."""
    n_edges = data.draw(st.integers(0, n_left * n_right))
    family = data.draw(st.sampled_from([eg.random_bipartite, eg.random_regular]))
    g = family(n_left, n_right, n_edges=n_edges, rng=seed)
    k = data.draw(st.integers(0, min(n_left, n_right)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectral, "DENSE_LIMIT", 4)
        values, gap = eg.singular_values(g, k), eg.spectral_gap(g)
    np.testing.assert_allclose(values, dense(g)[:k], atol=1e-7)
    np.testing.assert_allclose([gap.sigma1, gap.sigma2], [*dense(g), 0][:2], atol=1e-7)


@pytest.mark.parametrize(
    ("blocks", "values"),
    [
        (np.ones((1200, 1200)), [1200, 0]),  # complete: nothing is left once the known pair is taken out
        (np.zeros((1200, 1200)), [0, 0]),
        (np.kron(np.eye(2), np.ones((600, 600))), [600, 600]),
        (np.eye(1200), [1, 1]),
        (np.kron(np.ones((1, 1200)), np.eye(1200)[:, :1]), [math.sqrt(1200), 0]),  # a star
    ],
)
def test_degenerate_large_graphs(blocks, values):
    np.testing.assert_allclose(eg.singular_values(BipartiteGraph.from_biadjacency(blocks), 2), values, atol=1e-9)


@pytest.mark.parametrize(
    "g",
    [
        BipartiteGraph.from_biadjacency(block_diag([eg.random_bipartite(40, 42, density=0.1, rng=2).biadjacency] * 3)),
        BipartiteGraph.from_biadjacency(block_diag([eg.random_regular(40, 40, 4, rng=2).biadjacency] * 3)),
        eg.radix_net([[2] * 6], [1] * 7).layers[3],
        eg.random_left_regular(60, 600, 3, rng=0),
    ],
)
@pytest.mark.parametrize("k", [2, 3, 6])
def test_multiple_values_are_counted_on_the_sparse_way_too(g, k, monkeypatch):
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 4)
    np.testing.assert_allclose(eg.singular_values(g, k), dense(g)[:k], rtol=1e-9)


def test_where_iterating_fails_the_dense_way_is_taken(monkeypatch):
    n = 120
    path = BipartiteGraph.from_edges(n, n, [(i, i) for i in range(n)] + [(i, i + 1) for i in range(n - 1)])

    def fail(*_, **__):
        raise ArpackNoConvergence("no convergence", np.empty(0), np.empty((0, 0)))

    monkeypatch.setattr(spectral, "DENSE_LIMIT", 4)
    monkeypatch.setattr(spectral, "svds", fail)
    np.testing.assert_allclose(eg.singular_values(path, 2), dense(path)[:2])
    monkeypatch.setattr(spectral, "_DENSE_AT_ALL", 100)
    with pytest.raises(ValueError, match="120 x 120 lie too close together"):
        eg.spectral_gap(path)


def test_a_long_graph_is_not_made_dense(monkeypatch):
    g = eg.random_bipartite(40, 100_000, n_edges=4000, rng=0)
    expected = np.sqrt(np.linalg.eigvalsh((g.biadjacency @ g.biadjacency.T).toarray())[:-3:-1])
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 100)
    monkeypatch.setattr(spectral, "_dense", None)
    np.testing.assert_allclose(eg.singular_values(g, 2), expected, rtol=1e-9)


def test_a_large_graph_needs_no_dense_matrix():
    g = eg.random_regular(2000, 2000, 3, rng=0)
    np.testing.assert_allclose(eg.singular_values(g, 3), dense(g)[:3], rtol=1e-9)


def test_biregular():
    gap = eg.spectral_gap(eg.random_regular(60, 40, 8, rng=0))
    assert gap.sigma1 == math.sqrt(8 * 12)
    assert gap.bound == math.sqrt(7) + math.sqrt(11)
    assert gap.bound_kind == "biregular"
    assert gap.is_ramanujan is (gap.sigma2 <= gap.bound)
    assert gap.sigma2_normalised == gap.ratio


def test_ramanujan_needs_a_connected_graph():
    """Two 10-cycles have sigma2 = 2, which is the bound; one 20-cycle has less, and is connected."""

    def cycle(n):
        return np.eye(n) + np.roll(np.eye(n), 1, axis=0)

    two = eg.spectral_gap(BipartiteGraph.from_biadjacency(np.kron(np.eye(2), cycle(5))))
    assert (round(two.sigma2, 9), two.bound, two.is_ramanujan, two.connected) == (2, 2, False, False)
    one = eg.spectral_gap(BipartiteGraph.from_biadjacency(cycle(10)))
    assert one.sigma2 == pytest.approx(2 * math.cos(math.pi / 10))
    assert (one.is_ramanujan, one.connected) == (True, True)


def test_a_bound_within_rounding_is_undecided(monkeypatch):
    g = eg.random_regular(30, 30, 3, rng=0)
    bound = 2 * math.sqrt(2)
    for sigma2, verdict in ((bound, None), (bound - 1e-13, None), (bound + 1e-9, False), (bound - 1e-9, True)):
        monkeypatch.setattr(spectral, "_largest", lambda matrix, k, s2=sigma2: np.full(k, s2))
        assert eg.spectral_gap(g).is_ramanujan is verdict


def test_irregular_graphs_have_no_verdict():
    gap = eg.spectral_gap(eg.random_regular(784, 300, n_edges=23_520, rng=0))
    assert gap.bound_kind == "average_degree"
    assert gap.bound == pytest.approx(math.sqrt(29) + math.sqrt(77.4))
    assert gap.is_ramanujan is None


def test_the_mixing_lemma():
    """|e(S, T) - d |S||T| / n| <= s2 sqrt(|S||T|(1 - |S|/n)(1 - |T|/n)) for every S and T."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, d = int(rng.integers(4, 40)), 3
        g = eg.random_regular(n, n, d, rng=rng)
        s, t = (rng.random((n, 50)) < rng.random(50) for _ in range(2))
        between = np.einsum("ik,ij,jk->k", s, g.biadjacency.toarray(), t)
        a, b = s.sum(axis=0), t.sum(axis=0)
        bound = eg.spectral_gap(g).sigma2 * np.sqrt(a * b * (1 - a / n) * (1 - b / n))
        assert (abs(between - d * a * b / n) <= bound + 1e-9).all()


def test_a_product_of_expanders_has_no_zero():
    """X-Net: t layers of d-regular graphs join every input to every output once (d / s2)^t > n."""
    n, d = 64, 8
    layers = [eg.random_regular(n, n, d, rng=seed) for seed in range(6)]
    s2 = max(eg.spectral_gap(layer).sigma2 for layer in layers)
    t = math.floor(math.log(n) / math.log(d / s2)) + 1
    product = np.linalg.multi_dot([eg.random_regular(n, n, d, rng=seed).biadjacency.toarray() for seed in range(t)])
    assert product.min() > 0


def test_what_is_no_graph_is_refused():
    net = eg.radix_net([[2, 2]], [1, 1, 1])
    for function in (eg.singular_values, eg.spectral_gap, eg.sampled_expansion):
        with pytest.raises(ValueError, match="a BipartiteGraph is needed, got LayeredGraph"):
            function(net)


def test_more_values_than_there_are():
    with pytest.raises(ValueError, match=r"k = 4 singular values .* = 3 exist"):
        eg.singular_values(eg.random_bipartite(3, 5, n_edges=4), 4)
    with pytest.raises(ValueError, match="k must be an integer"):
        eg.singular_values(eg.random_bipartite(3, 5, n_edges=4), 1.5)
