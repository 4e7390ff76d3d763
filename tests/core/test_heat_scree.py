"""Scree curves."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.heat import dense as dense_way
from expandergraphs.heat import probes
from expandergraphs.heat.scree import scree
from expandergraphs.operators import laplacian
from tests.core.strategies import networks
from tests.core.test_heat_trace import KINDS, positive, sparse_net

TIMES = np.array([0, 1e-3, 0.1, 1, 20, 300])


def eigenvalues(net, kind="combinatorial"):
    matrix = laplacian(net, "combinatorial" if kind == "combinatorial" else "symmetric").toarray()
    return np.linalg.eigvalsh(matrix)


def alpha(values, kept, t):
    """The definition, with the second eigenvalue taken out above and below."""
    terms = np.exp(-np.outer(t, values[1:] - values[1]))
    return terms[:, :kept].sum(axis=1) / terms.sum(axis=1)


@given(networks().filter(lambda net: net.n_nodes > 1), st.sampled_from(KINDS), st.floats(0, 1))
def test_agrees_with_the_definition(net, kind, fraction):
    net = positive(net)
    curve = scree(net, TIMES, fraction=fraction, laplacian=kind)
    kept = min(max(1, round(fraction * net.n_nodes)), net.n_nodes - 1)
    np.testing.assert_allclose(curve, alpha(eigenvalues(net, kind), kept, TIMES), atol=1e-10)
    assert (curve.n_kept, curve.exact, curve.failure_probability) == (kept, True, 0)
    assert curve.lower.tolist() == curve.upper.tolist() == curve.tolist()


@given(networks().filter(lambda net: net.n_nodes > 1), st.sampled_from(KINDS), st.floats(0, 1))
def test_the_intervals_of_large_networks_hold_the_curve(net, kind, fraction):
    net = positive(net)
    exact = scree(net, [*TIMES, math.inf], fraction=fraction, laplacian=kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_way, "DENSE_LIMIT", 0)
        curve = scree(net, [*TIMES, math.inf], fraction=fraction, laplacian=kind, products=60, rng=0)
    assert (curve.lower <= exact + 1e-7).all()
    assert (exact <= curve.upper + 1e-7).all()
    np.testing.assert_allclose(curve[0], exact[0], rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["combinatorial", "symmetric"])
def test_failures_are_rarer_than_stated(kind, weighted, monkeypatch):
    """With a failure probability of one half; and the enclosures of single eigenvalues hold all at once."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    net = sparse_net(weighted=weighted)
    true = alpha(eigenvalues(net, kind), 11, TIMES)
    missed = 0
    for seed in range(30):
        curve = scree(net, TIMES, laplacian=kind, products=100, failure_probability=0.5, rng=seed)
        missed += not ((curve.lower <= true + 1e-9) & (true <= curve.upper + 1e-9)).all()
        assert ((curve.lower <= np.asarray(curve)) & (np.asarray(curve) <= curve.upper)).all()
    assert missed <= 15
    widths = [
        np.max(one.upper - one.lower)
        for one in (scree(net, TIMES, laplacian=kind, products=k, rng=0) for k in (50, 20000))
    ]
    assert widths[1] < 0.5 * widths[0]
    found = scree(net, TIMES, laplacian=kind, products=20000, rng=0)
    assert (found.exact, found.failure_probability) == (False, 1e-6)
    np.testing.assert_allclose(found, true, atol=0.05)
    assert (abs(found - true) <= 0.25 * (found.upper - found.lower) + 1e-12).all()


def test_the_enclosures_are_of_quantiles():
    """Shares of chi-squared masses of the first eigenvalues: below `least` or above `most` rarely, but at times."""
    net = sparse_net()
    values = eigenvalues(net)
    values = values[eg.components(net).count :]
    missed = 0
    for seed in range(30):
        drawn = probes.Probes(probes.Diffusion(net, "combinatorial"), 400, np.random.default_rng(seed))
        low, high = drawn.enclosures(0.9)
        assert (low <= high).all()
        assert (np.diff(low) >= 0).all()
        assert (np.diff(high) >= 0).all()
        missed += not ((low <= values + 1e-9) & (values <= high + 1e-9)).all()
    assert missed <= 27
    assert (high - low).mean() < 0.5 * values[-1]


def test_closed_forms(monkeypatch):
    """K_{a,b} has the eigenvalues 0, a (b - 1 times), b (a - 1 times), a + b."""
    a, b, t = 3, 6, np.array([0, 0.2, 1])
    curve = scree(eg.random_bipartite(a, b, p=1), [*t, math.inf, 1e308], fraction=0.25)
    whole = (b - 1) * np.exp(-a * t) + (a - 1) * np.exp(-b * t) + np.exp(-(a + b) * t)
    np.testing.assert_allclose(curve, [*(2 * np.exp(-a * t) / whole), 2 / 5, 2 / 5])
    assert curve.n_kept == round(0.25 * 9) == 2
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    large = scree(eg.random_bipartite(190, 195, p=1), [0, 1e-2, math.inf], rng=0)
    assert not large.exact
    kept, first = large.n_kept, 194 * math.exp(-1.9)
    at = kept * math.exp(-1.9) / (first + 189 * math.exp(-1.95) + math.exp(-3.85))
    expected = np.array([kept / 384, at, kept / 194])
    assert (large.lower <= expected + 1e-9).all()
    assert (expected <= large.upper + 1e-9).all()


def test_components_are_counted_exactly(monkeypatch):
    """Two zeros besides the first: at infinity they share what is left, whatever else there is."""
    net = BipartiteGraph.from_biadjacency(np.kron(np.eye(3), np.ones((30, 30))))
    t = [0, 0.05, math.inf]
    exact = scree(net, t, fraction=1 / 180)
    np.testing.assert_allclose(exact, [1 / 179, exact[1], 1 / 2])
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    curve = scree(net, t, fraction=1 / 180, rng=0)
    assert not curve.exact
    np.testing.assert_allclose(curve[[0, 2]], exact[[0, 2]])
    assert curve.lower[1] - 1e-12 <= exact[1] <= curve.upper[1] + 1e-12
    empty = scree(BipartiteGraph.from_edges(9, 9, []), t)
    np.testing.assert_allclose(empty, 1 / 17)
    assert empty.exact
    assert scree(BipartiteGraph.from_edges(1, 1, [(0, 0)]), t).tolist() == [1, 1, 1]


def test_the_failure_probability_is_spent_once(monkeypatch):
    spent, enclosures = [], probes.Probes.enclosures
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    monkeypatch.setattr(probes.Probes, "enclosures", lambda self, p: spent.append(p) or enclosures(self, p))
    assert scree(sparse_net(), [0.1, 1], failure_probability=0.03, rng=0).failure_probability == 0.03
    assert sum(spent) <= 0.03


def test_is_an_array(monkeypatch):
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    net = sparse_net()
    curve = scree(net, [0.1, 1], rng=0)
    assert isinstance(curve, np.ndarray)
    assert curve.shape == (2,)
    for plain in (curve + 1, curve[:1], np.asarray(curve), np.sqrt(curve)):
        assert type(plain) is np.ndarray
    assert isinstance(curve.max(), float)
    for again in (pickle.loads(pickle.dumps(curve)), copy.deepcopy(curve), scree(net, [0.1, 1], rng=0)):
        assert again.tolist() == curve.tolist()
        assert again.upper.tolist() == curve.upper.tolist()
    assert scree(net, 0.1, rng=1).tolist() != curve[:1].tolist()
    for array in (curve, curve.lower, curve.upper, curve.times):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert repr(curve).startswith("Scree([")
    assert "K=11 of 180 nodes, lower=" in repr(curve)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scree(BipartiteGraph.from_edges(1, 0, []), 1), "at least two nodes; .* has 1"),
        (lambda: scree(sparse_net(), [-1.0]), "times must be numbers of at least 0"),
        (lambda: scree(sparse_net(), 1, fraction=1.5), "fraction must be a number between 0 and 1, got 1.5"),
        (lambda: scree(sparse_net(), 1, laplacian="L"), "laplacian must be one of"),
        (lambda: scree(sparse_net(), 1, products=1), "products must be an integer of at least 16, got 1"),
        (lambda: scree(sparse_net(), 1, failure_probability=1), "failure_probability must be .* below 1, got 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
