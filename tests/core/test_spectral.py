import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import block_diag

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.spectral import dense as dense_way
from expandergraphs.spectral import gap as gap_module
from expandergraphs.spectral import lanczos, values
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
    """With the limit at 4 vertices, most of these graphs are iterated."""
    n_edges = data.draw(st.integers(0, n_left * n_right))
    family = data.draw(st.sampled_from([eg.random_bipartite, eg.random_regular]))
    g = family(n_left, n_right, n_edges=n_edges, rng=seed)
    k = data.draw(st.integers(0, min(n_left, n_right)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_way, "DENSE_LIMIT", 4)
        found, gap = eg.singular_values(g, k), eg.spectral_gap(g)
    np.testing.assert_allclose(found, dense(g)[:k], atol=1e-8 * dense(g)[0])
    np.testing.assert_allclose([gap.sigma1, gap.sigma2], [*dense(g), 0][:2], atol=1e-8 * dense(g)[0])


def any_shape(rng):
    """Graphs of every awkward kind: one vertex, no edge, low rank, equal components, rings, almost all edges."""
    kind, (a, b) = rng.integers(9), rng.integers(1, 50, 2).tolist()
    if kind <= 1:
        return eg.random_bipartite(*((1, b) if kind else (a, 1)), p=0.6, rng=rng)
    if kind == 2:
        return eg.random_bipartite(a, b, n_edges=0)
    if kind in (3, 4):
        small = eg.random_bipartite(*rng.integers(1, 10, 2).tolist(), p=rng.random(), rng=rng).biadjacency.toarray()
        repeated = np.ones(rng.integers(1, 6, 2)) if kind == 3 else np.eye(rng.integers(2, 5))
        return BipartiteGraph.from_biadjacency(np.kron(repeated, small))
    if kind == 5:
        return eg.random_regular(a, a, int(rng.integers(1, a + 1)), rng=rng)
    if kind == 6:
        return BipartiteGraph.from_biadjacency(np.eye(a + 2) + np.roll(np.eye(a + 2), 1, axis=0))
    if kind == 7:
        return eg.random_bipartite(a, b, n_edges=a * b - min(a * b, int(rng.integers(1, 9))), rng=rng)
    return eg.random_bipartite(a, b, n_edges=int(rng.integers(0, a * b + 1)), rng=rng)


def test_a_thousand_shapes(monkeypatch):
    """Within 1e-8 of the largest value, none of them decomposed densely unless half of the values are asked for."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 1)
    rng = np.random.default_rng(0)
    for _ in range(1000):
        g = any_shape(rng)
        expected = dense(g)
        k = min(expected.size, int(rng.integers(1, 9)))
        found = eg.singular_values(g, k)
        np.testing.assert_allclose(found, expected[:k], atol=1e-8 * expected[0], err_msg=repr(g))


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
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 4)
    np.testing.assert_allclose(eg.singular_values(g, k), dense(g)[:k], rtol=1e-9)


def test_where_iterating_fails_the_dense_way_is_taken(monkeypatch):
    n = 120
    path = BipartiteGraph.from_edges(n, n, [(i, i) for i in range(n)] + [(i, i + 1) for i in range(n - 1)])
    ring = BipartiteGraph.from_biadjacency(np.eye(n) + np.roll(np.eye(n), 1, axis=0))
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 4)
    monkeypatch.setattr(lanczos, "MOST_STEPS", 3)
    np.testing.assert_allclose(eg.singular_values(path, 2), dense(path)[:2])
    np.testing.assert_allclose(eg.spectral_gap(ring).sigma2, dense(ring)[1])
    monkeypatch.setattr(values, "_DENSE_AT_ALL", 100)
    for g in (path, ring):
        with pytest.raises(ValueError, match="120 x 120 lie too close together"):
            eg.spectral_gap(g)


def test_a_long_graph_is_not_made_dense(monkeypatch):
    g = eg.random_bipartite(40, 100_000, n_edges=4000, rng=0)
    expected = np.sqrt(np.linalg.eigvalsh((g.biadjacency @ g.biadjacency.T).toarray())[:-3:-1])
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 100)
    monkeypatch.setattr(values, "dense_values", None)
    np.testing.assert_allclose(eg.singular_values(g, 2), expected, rtol=1e-9)


def test_many_values_are_computed_densely(monkeypatch):
    g = eg.random_bipartite(60, 50, n_edges=300, rng=0)
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 4)
    monkeypatch.setattr(values, "Products", None)
    np.testing.assert_allclose(eg.singular_values(g), dense(g), atol=1e-12)


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
    for sigma2, verdict in ((bound, None), (bound - 1e-15, None), (bound + 1e-9, False), (bound - 1e-9, True)):
        monkeypatch.setattr(gap_module, "singular_values", lambda g, k, s2=sigma2: np.array([3, s2]))
        assert eg.spectral_gap(g).is_ramanujan is verdict


def circulant(n, shifts):
    return BipartiteGraph.from_biadjacency(sum(np.roll(np.eye(n), shift, axis=1) for shift in shifts))


@pytest.mark.parametrize(
    ("g", "verdict"),
    [
        (eg.random_regular(200, 200, 8, rng=0), True),
        (eg.random_regular(300, 200, 8, rng=1), True),
        (eg.projective_plane(11), True),
        (eg.lps(5, 13), True),
        (circulant(150, range(8)), False),
        (BipartiteGraph.from_biadjacency(block_diag([circulant(40, range(3)).biadjacency] * 2)), False),
    ],
)
def test_verdicts_on_the_sparse_way(g, verdict, monkeypatch):
    bound = sum(math.sqrt(degrees[0] - 1) for degrees in (g.left_degrees, g.right_degrees))
    assert (dense(g)[1] <= bound) == verdict
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    assert eg.spectral_gap(g).is_ramanujan is verdict
    # Where no step may be spent on the proof, what is true is undecided; what is false stays so.
    monkeypatch.setattr(gap_module, "_AFFORDABLE", 0)
    assert eg.spectral_gap(g, patience=0).is_ramanujan is (None if verdict else False)


def test_a_mixture_of_close_values_does_not_pass(monkeypatch):
    """One block and copies of another with nearly its largest value: within 1e-8 all the same."""
    from tests.core.test_spectral_bounds import tied

    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    for seed in range(6):
        g = tied(seed, copies=150)
        np.testing.assert_allclose(eg.singular_values(g, 2), dense(g)[:2], rtol=1e-8)


def test_what_sigma2_costs_is_enough_for_a_verdict(monkeypatch):
    """Random regular graphs, where the bound is as close as it commonly is."""
    monkeypatch.setattr(gap_module, "_AFFORDABLE", 0)
    assert eg.spectral_gap(eg.random_regular(20_000, 20_000, 8, rng=0)).is_ramanujan is True
    for patience in (-1, math.nan, "long"):
        with pytest.raises(ValueError, match="patience must be a number of at least 0, got"):
            eg.spectral_gap(eg.random_regular(8, 8, 2, rng=0), patience=patience)


def test_verdicts_agree_with_the_truth(monkeypatch):
    """Random cubic graphs lie on both sides of the bound, and close to it."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    verdicts = []
    for seed in range(60):
        g = eg.random_regular(80, 80, 3, rng=seed)
        truth = eg.components(g).count == 1 and bool(dense(g)[1] <= math.sqrt(8))
        verdicts.append((truth, eg.spectral_gap(g).is_ramanujan))
    assert {verdict for truth, verdict in verdicts if truth} == {True}
    assert {verdict for truth, verdict in verdicts if not truth} == {False}


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
