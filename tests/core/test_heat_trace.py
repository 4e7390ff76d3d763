"""Heat trace and heat kernel signature."""

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.heat import dense as dense_way
from expandergraphs.heat import kernel, probes, quadrature, trace
from expandergraphs.heat.diffusion import Diffusion
from expandergraphs.heat.kernel import heat_kernel_signature
from expandergraphs.heat.lanczos import Lanczos
from expandergraphs.heat.trace import heat_trace
from expandergraphs.operators import laplacian
from tests.core.strategies import networks

KINDS = ("combinatorial", "random_walk", "symmetric")
TIMES = np.array([0, 1e-3, 0.1, 0.7, 3, 50, 1e4])


def positive(net):
    """Weights of at least 0, many of them 0."""
    return LayeredGraph(
        net.widths, net.blocks, net.weights and {k: np.where(w < 1e-3, 0, w) for k, w in net.weights.items()}
    )


def dense_kernel(net, t, kind="combinatorial"):
    """exp(-t L) by the eigenvectors of the symmetric twin; all the heat there is at t = 0."""
    symmetric = laplacian(net, "combinatorial" if kind == "combinatorial" else "symmetric").toarray()
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.exp(-t * np.maximum(values, 0))) @ vectors.T


def sparse_net(seed=0, width=60, weighted=False):
    """Three layers and a skip, with several components."""
    rng = np.random.default_rng(seed)
    blocks = {
        key: eg.random_bipartite(width, width, n_edges=n_edges, rng=rng)
        for key, n_edges in (((0, 1), 2 * width), ((1, 2), 2 * width), ((0, 2), width // 2))
    }
    weights = {key: rng.random(block.n_edges) + 0.1 for key, block in blocks.items()} if weighted else None
    return LayeredGraph([width] * 3, blocks, weights)


@given(networks(), st.sampled_from(KINDS))
def test_agree_with_the_dense_kernel(net, kind):
    net = positive(net)
    trace, signature = heat_trace(net, TIMES, laplacian=kind), heat_kernel_signature(net, TIMES, laplacian=kind)
    diagonals = np.array([np.diag(dense_kernel(net, t, kind)) for t in TIMES]).reshape(TIMES.size, net.n_nodes)
    np.testing.assert_allclose(signature.values, diagonals, atol=1e-10)
    np.testing.assert_allclose(trace, diagonals.sum(axis=1), atol=1e-10)
    assert trace.exact
    assert trace.failure_probability == 0
    assert (signature.error <= 1e-8).all()


@given(networks(), st.sampled_from(KINDS))
def test_the_steps_that_large_networks_take_agree_too(net, kind):
    net = positive(net)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_way, "DENSE_LIMIT", 0)
        signature = heat_kernel_signature(net, [*TIMES, math.inf], laplacian=kind)
        trace = heat_trace(net, [*TIMES, math.inf], laplacian=kind, products=60, rng=0)
    diagonals = np.array([np.diag(dense_kernel(net, t, kind)) for t in TIMES]).reshape(TIMES.size, net.n_nodes)
    assert (signature.error <= 1e-8).all()
    np.testing.assert_allclose(signature.values[:-1], diagonals, atol=1e-8)
    np.testing.assert_allclose(signature.values[-1], heat_kernel_signature(net, math.inf, laplacian=kind).values[0])
    true, count = diagonals.sum(axis=1), eg.components(eg.LayeredGraph(net.widths, net.blocks)).count
    assert (trace.lower[:-1] <= true + 1e-9).all()
    assert (true <= trace.upper[:-1] + 1e-9).all()
    assert trace.lower[-1] == trace.values[-1] == trace.upper[-1] >= count


@pytest.mark.parametrize(("a", "b"), [(3, 5), (4, 4), (1, 6)])
def test_complete_bipartite_graphs(a, b):
    """Eigenvalues 0, a (b - 1 times), b (a - 1 times), a + b; normalised 0, 2 and 1 (the rest)."""
    g, t = eg.random_bipartite(a, b, p=1), np.array([0, 0.1, 1, math.inf])
    expected = 1 + (b - 1) * np.exp(-t * a) + (a - 1) * np.exp(-t * b) + np.exp(-t * (a + b))
    np.testing.assert_allclose(heat_trace(g, t), expected)
    expected = 1 + (a + b - 2) * np.exp(-t) + np.exp(-2 * t)
    np.testing.assert_allclose(heat_trace(g, t, laplacian="random_walk"), expected)


def test_paths_and_cycles():
    """A path's eigenvalues are 2 - 2 cos(pi k / n), a cycle's 2 - 2 cos(2 pi k / n)."""
    n, t = 12, np.array([0.2, 2.0])
    path = BipartiteGraph.from_edges(n, n, [(i, i) for i in range(n)] + [(i + 1, i) for i in range(n - 1)])
    cycle = BipartiteGraph.from_biadjacency(np.eye(n) + np.roll(np.eye(n), 1, axis=0))
    for g, turn in ((path, 1), (cycle, 2)):
        eigenvalues = 2 - 2 * np.cos(turn * math.pi * np.arange(2 * n) / (2 * n))
        np.testing.assert_allclose(heat_trace(g, t), np.exp(-np.outer(t, eigenvalues)).sum(axis=1))
    ring = heat_kernel_signature(cycle, t).values
    np.testing.assert_allclose(ring, np.repeat(heat_trace(cycle, t).values[:, None] / (2 * n), 2 * n, axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_large_networks_hold_the_trace(kind, monkeypatch):
    """With a failure probability of one half: it is a bound, and far from attained."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    net = sparse_net(weighted=True)
    eigenvalues = np.linalg.eigvalsh(
        laplacian(net, "combinatorial" if kind == "combinatorial" else "symmetric").toarray()
    )
    t = np.array([0, 0.01, 0.1, 0.5, 2, 10, 100])
    true, missed = np.exp(-np.outer(t, np.maximum(eigenvalues, 0))).sum(axis=1), 0
    for seed in range(100):
        trace = heat_trace(net, t, laplacian=kind, products=200, failure_probability=0.5, rng=seed)
        missed += not ((trace.lower <= true + 1e-9) & (true <= trace.upper + 1e-9)).all()
        assert (trace.values >= trace.lower).all()
        assert (trace.values <= trace.upper).all()
    assert missed <= 50
    assert trace.lower[0] == pytest.approx(180)
    assert trace.upper[0] == pytest.approx(180)
    wide, narrow = (heat_trace(net, t, laplacian=kind, products=k, rng=0) for k in (200, 5000))
    assert not narrow.exact
    assert narrow.failure_probability == 1e-6
    np.testing.assert_allclose(narrow.values, true, rtol=0.1)
    assert (narrow.upper - narrow.lower <= wide.upper - wide.lower + 1e-9).all()
    assert (narrow.upper[1:] - narrow.lower[1:] < 0.7 * (wide.upper - wide.lower)[1:]).any()


def test_chernoff_bounds_hold_chi_squares():
    """The interval for F from Q = sum f chi^2 / p misses with at most the stated probability, and not hardly ever."""
    from expandergraphs.heat.trace import _enclosed

    rng, f, p, tail = np.random.default_rng(0), np.array([1.0] * 3 + [0.3] * 10), 4, 0.1
    q = (rng.chisquare(p, (4000, f.size)) * f).sum(axis=1) / p
    ends = np.array([_enclosed(one, one, 2 * math.log(1 / tail) / p) for one in q])
    low, high = (ends[:, 0] > f.sum()).mean(), (ends[:, 1] < f.sum()).mean()
    assert 1e-3 < low <= tail
    assert 1e-3 < high <= tail
    for one, (lower, upper) in zip(q[:20], ends[:20], strict=True):
        for end in (lower, upper):
            if end:
                assert one - end + end * math.log(end / one) == pytest.approx(2 * math.log(1 / tail) / p)


def test_rules_and_masses_enclose_the_measure():
    """Against the measure itself, at every point, for few and for many steps."""
    net = sparse_net()
    matrix = laplacian(net)
    eigenvalues, vectors = np.linalg.eigh(matrix.toarray())
    for seed, steps in enumerate([1, 2, 5, 12, 30, 90]):
        start = np.random.default_rng(seed).standard_normal(180)
        run = Lanczos(lambda x: matrix @ x, start[:, None])
        run.advance(steps)
        alphas, betas = run.alphas[:, 0], run.betas[:, 0]
        masses = (vectors.T @ start) ** 2 / (start @ start)
        for t in (0.1, 1, 10):
            integral = masses @ np.exp(-t * eigenvalues)
            for rule, sign in ((quadrature.gauss(alphas, betas), 1), (quadrature.radau(alphas, betas, -0.1), -1)):
                assert sign * (integral - rule.weights @ np.exp(-t * rule.nodes)) >= -1e-12
                assert rule.weights.sum() == pytest.approx(1)
        found = quadrature.mass_bounds(alphas, betas)
        for blur, bound, sign in ((-1e-9, found.lower, 1), (1e-9, found.upper, -1)):
            upto = np.array([masses[eigenvalues <= x - blur].sum() for x in found.points])
            assert (sign * (upto - bound) >= -1e-12).all()
        assert (np.diff(found.points) >= 0).all()
        if steps == 90:  # a third of the way up
            middle = slice(*np.searchsorted(found.points, [2, 3]))
            assert (found.upper - found.lower)[middle].mean() < 0.05


def test_the_largest_mass_far_from_the_measure():
    """Of T with 0 on the diagonal and 1 beside it: its polynomials are integers at 10, of up to 120 digits."""
    before, here, total = 0, 1, 1
    for steps in range(1, 121):
        before, here = here, 10 * here - before
        total += here**2
        found = quadrature.largest_mass(np.zeros(steps), np.ones(steps), np.array([10.0, 0.0]))
        np.testing.assert_allclose(found, [1 / total, 1 / (1 + steps // 2)], rtol=1e-12)


def test_weights_over_decades():
    """All the heat that moves at all moves slowly; nodes ask for more steps."""
    rng = np.random.default_rng(3)
    g = eg.random_bipartite(25, 25, n_edges=80, rng=rng)
    net = LayeredGraph([25, 25], {(0, 1): g}, {(0, 1): 10.0 ** rng.uniform(-6, 0, g.n_edges)})
    t = np.array([1.0, 1e3, 1e6])
    true = np.array([np.diag(dense_kernel(net, time)) for time in t])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_way, "DENSE_LIMIT", 0)
        np.testing.assert_allclose(heat_kernel_signature(net, t).values, true, atol=1e-8)
        some = heat_kernel_signature(net, t, nodes=[40, 3, 3])
        np.testing.assert_allclose(some, true[:, [40, 3, 3]], atol=1e-8)
        assert some.nodes.tolist() == [40, 3, 3]


def test_the_signature_keeps_its_tolerance(monkeypatch):
    """Each time has another degree, asked for alone or with later ones."""
    net, times = sparse_net(weighted=True), np.geomspace(0.03, 30, 25)
    exact = heat_kernel_signature(net, times, nodes=[0, 70])
    assert (exact.error < 1e-13).all()
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    for found in (heat_kernel_signature(net, times, nodes=[0, 70]), heat_kernel_signature(net, 30, nodes=[0, 70])):
        assert (found.error <= 1e-8).all()
        assert (abs(found - exact.values[-len(found.times) :]).max(axis=1) <= found.error + 1e-12).all()


def test_two_moments_a_product():
    diffusion = Diffusion(sparse_net(weighted=True), "combinatorial")
    starts = np.random.default_rng(0).standard_normal((180, 2))
    starts -= diffusion.kept(starts)
    x = np.eye(180) - 2 / diffusion.bound * diffusion.apply(np.eye(180))
    calls, apply = [], diffusion.apply
    diffusion.apply = lambda vectors: calls.append(0) or apply(vectors)
    found = np.array(list(islice(kernel._moments(diffusion, starts), 12)))
    before, here, expected = starts, x @ starts, []
    for _ in range(12):
        expected.append((starts * before).sum(axis=0))
        before, here = here, 2 * x @ here - before
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    assert len(calls) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_heat_at_rest_ends_the_steps(kind, monkeypatch):
    """On an expander, times later than that of saturation cost nothing more."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    net, calls, apply = eg.random_regular(60, 60, 8, rng=0), [], Diffusion.apply
    monkeypatch.setattr(Diffusion, "apply", lambda self, x: calls.append(0) or apply(self, x))
    t = np.array([1.0, 30.0, 1e6])
    found = heat_kernel_signature(net, t, nodes=[0, 80], laplacian=kind)
    assert len(calls) < 80
    assert (found.error <= 1e-8).all()
    for row, time, error in zip(found.values, t, found.error, strict=True):
        np.testing.assert_allclose(row, np.diag(dense_kernel(net, time, kind))[[0, 80]], atol=error + 1e-12)


def test_products_have_an_end_and_the_error_is_honest(monkeypatch):
    """Weights over twelve decades: all modes matter at some time, most of them below rounding."""
    rng = np.random.default_rng(3)
    g = eg.random_bipartite(60, 60, n_edges=300, rng=rng)
    net = LayeredGraph([60, 60], {(0, 1): g}, {(0, 1): 10.0 ** rng.uniform(-12, 0, g.n_edges)})
    t = np.array([1, 1e5, 1e7, 1e8, 1e9, 1e12, math.inf])
    exact = heat_kernel_signature(net, t, nodes=[0, 1])
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    calls, apply = [], Diffusion.apply
    monkeypatch.setattr(Diffusion, "apply", lambda self, x: calls.append(0) or apply(self, x))
    found = heat_kernel_signature(net, t, nodes=[0, 1])
    assert len(calls) < 13_500
    assert (abs(found - exact.values).max(axis=1) <= found.error + exact.error).all()
    assert (found.error[[0, 1]] <= 1e-8).all()
    assert (np.diff(found.error[2:6]) >= 0).all()
    assert 1e-8 < found.error[3] < 0.1
    assert found.error[-1] < 1e-14


def two_parts(weight):
    """Two complete parts of 20 nodes joined by one edge, and an isolated node, number 20."""
    dense = np.vstack([np.kron(np.eye(2), np.ones((10, 10))), np.zeros(20)])
    dense[0, 10] = weight
    return LayeredGraph([21, 20], {(0, 1): BipartiteGraph.from_biadjacency(dense)}, {(0, 1): dense[dense > 0]})


def test_rounding_is_part_of_the_error(monkeypatch):
    """Parts joined by an edge so light that its eigenvalue is hard to tell from 0."""
    net = two_parts(1e-10)
    # First order: the vector is +-1 / sqrt(40), the eigenvalue 1e-10 * 4 / 40.
    t = np.array([1e8, 1e10, 1e12, 1e14, 1e300, math.inf])
    decayed = 1 / 40 + np.exp(-1e-11 * t) / 40
    for limit, most in ((40, 1e-4), (0, 2e-3)):
        monkeypatch.setattr(dense_way, "DENSE_LIMIT", limit)
        found = heat_kernel_signature(net, t, nodes=[3])
        assert 1e-8 < found.error[1] < most
        assert (abs(found.values[:, 0] - decayed) <= found.error + 1e-12).all()
        assert (found.error[-2:] < 1e-14).all()
        assert limit == 0 or found.error[3] < 1e-13  # not mixed with what is known
    # The largest over all nodes, whichever are taken together.
    np.testing.assert_allclose(heat_kernel_signature(net, t, nodes=[3] * 32 + [20]).error, found.error, rtol=1e-6)


@pytest.mark.parametrize("weight", np.geomspace(1e-16, 1e-12, 17).tolist())
def test_eigenvalues_lost_in_rounding_are_part_of_the_error(weight):
    t = np.geomspace(0.1, 100, 7) * 10 / weight
    found = heat_kernel_signature(two_parts(weight), t, nodes=[3])
    assert (abs(found.values[:, 0] - (1 + np.exp(-weight / 10 * t)) / 40) <= found.error + 1e-12).all()


def test_saturation_does_not_ask_for_eigenvalues():
    """The light edge joins, though its bound on the eigenvalues falls below what floats can hold."""
    edge = BipartiteGraph.from_edges(1, 1, [(0, 0)])
    net = LayeredGraph([1, 1, 1], {(0, 1): edge, (1, 2): edge}, {(0, 1): np.array([1.0]), (1, 2): np.array([5e-324])})
    np.testing.assert_allclose(heat_kernel_signature(net, math.inf).values, 1 / 3)


def test_failure_probability_and_blur_are_spent_once(monkeypatch):
    """Two sides of every time, and the single eigenvalues: the probabilities add up to what is stated."""
    enclosed, ends, spent = trace._enclosed, [], []
    monkeypatch.setattr(trace, "_enclosed", lambda *ask: ends.append(ask) or enclosed(*ask))
    enclosures = probes.Probes.enclosures
    monkeypatch.setattr(probes.Probes, "enclosures", lambda self, p: spent.append((self, p)) or enclosures(self, p))
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    monkeypatch.setattr(probes, "BLUR", 1e-3)
    times = [0.1, 1.0, 4.0]
    heat_trace(sparse_net(), times, products=400, failure_probability=0.03, rng=0)
    drawn, single = spent[0]
    assert sum(2 * math.exp(-c * drawn.count / 2) for _, _, c in ends) + single == pytest.approx(0.03)
    assert drawn.blur == pytest.approx(1e-3 * Diffusion(sparse_net(), "combinatorial").bound)
    for t, (lower, upper, _) in zip(times, ends, strict=True):
        assert upper / lower >= math.exp(2 * t * drawn.blur) * (1 - 1e-9)


@pytest.mark.parametrize(("n_values", "p"), [(2, 1), (5, 4), (40, 3)])
def test_quantiles_are_those_of_the_beta_distribution(n_values, p, monkeypatch):
    """Where the mass up to x is x itself, the enclosures are the quantiles, whose probabilities add up."""
    drawn = probes.Probes(Diffusion(sparse_net(), "combinatorial"), 16, np.random.default_rng(0))
    grid = np.linspace(0, 1, 1_000_001)
    monkeypatch.setattr(drawn, "_masses", lambda: quadrature.MassBounds(grid, grid, grid))
    for name, value in (("n_values", n_values), ("count", p), ("blur", 0.0), ("_bound", 1.0)):
        monkeypatch.setattr(drawn, name, value)
    low, high = drawn.enclosures(0.06)
    below = np.arange(1, n_values)
    shares = stats.beta(p * below / 2, p * (n_values - below) / 2)
    tails = np.concatenate([shares.cdf(low[:-1]), shares.sf(high[:-1])])
    chosen = np.isclose(tails, tails.max(), rtol=0.02)  # what lies between them follows from these
    assert tails[~chosen].max(initial=0) < tails.max()
    assert 0.029 <= tails[chosen].sum() <= 0.06


def test_masses_are_blurred():
    """Eigenvalues 30, 40, 70: Lanczos comes to an end, and rounding is all that the enclosures have to allow for."""
    diffusion = Diffusion(LayeredGraph.from_layers([eg.random_bipartite(30, 40, p=1)]), "combinatorial")
    true = np.array([30.0] * 39 + [40.0] * 29 + [70.0])
    for seed in range(5):
        low, high = probes.Probes(diffusion, 3000, np.random.default_rng(seed)).enclosures(1e-6)
        assert (low <= true).all()
        assert (true <= high).all()
        assert high[-1] - low[-1] < 1e-8


def test_the_same_seed_gives_the_same_result(monkeypatch):
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    t, net = [0.1, 1, 10], sparse_net()
    for ask in (heat_trace, eg.scree):
        first, again, other = (ask(net, t, products=100, rng=seed) for seed in (7, np.random.default_rng(7), 8))
        assert not first.exact
        for name in ("lower", "upper"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        np.testing.assert_array_equal(np.asarray(first), np.asarray(again))
        assert (np.asarray(first) != np.asarray(other)).any()


def test_no_times_give_no_values(monkeypatch):
    for limit in (dense_way.DENSE_LIMIT, 0):
        monkeypatch.setattr(dense_way, "DENSE_LIMIT", limit)
        found = heat_trace(sparse_net(), [], rng=0)
        assert (found.exact, found.values.shape, found.lower.shape) == (limit > 0, (0,), (0,))
        assert eg.scree(sparse_net(), [], rng=0).shape == (0,)
        assert heat_kernel_signature(sparse_net(), []).values.shape == (0, 180)


def test_at_infinity_only_components_count(monkeypatch):
    """However few products: also where they leave 0 as a lower bound on every eigenvalue."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    net = sparse_net()
    for products in (16, 400):
        trace = heat_trace(net, [1, math.inf], products=products, rng=0)
        assert trace.lower[1] == trace.values[1] == trace.upper[1] == eg.components(net).count


def test_results_are_frozen_arrays():
    trace = heat_trace(sparse_net(), "saturated")
    assert (trace.times.tolist(), trace.values.size) == ([math.inf], 1)
    assert np.asarray(trace).tolist() == trace.values.tolist()
    signature = heat_kernel_signature(sparse_net(), 1)
    for array in (trace.values, trace.lower, signature.values, signature.nodes, signature.error):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert heat_trace(BipartiteGraph.from_edges(0, 0, []), [0, 1]).values.tolist() == [0, 0]
    assert heat_kernel_signature(BipartiteGraph.from_edges(0, 0, []), [0, 1]).values.shape == (2, 0)
    assert heat_trace(BipartiteGraph.from_edges(2, 1, []), [0, 1, 1e308]).values.tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: heat_trace(net, -1), "times must be numbers of at least 0"),
        (lambda net: heat_trace(net, 1, laplacian="signless"), "laplacian must be one of .*, got 'signless'"),
        (lambda net: heat_trace(net, 1, products=3), "products must be an integer of at least 16, got 3"),
        (lambda net: heat_trace(net, 1, failure_probability=0), "failure_probability must be a number above 0"),
        (lambda net: heat_trace(net, 1, rng=-1), "rng must be"),
        (lambda net: heat_trace("net", 1), "a BipartiteGraph or a LayeredGraph is needed"),
        (lambda net: heat_kernel_signature(net, 1, nodes=[180]), "nodes .*180"),
        (lambda net: heat_kernel_signature(net, 1, laplacian=None), "laplacian must be one of"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(sparse_net())
