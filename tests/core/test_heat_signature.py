import copy
import math
import pickle
import re
import subprocess
import sys
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from scipy.sparse.linalg import expm_multiply

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.heat import dense as dense_way
from expandergraphs.heat import exponential
from expandergraphs.heat.diffusion import Diffusion
from expandergraphs.heat.signature import heat_signature
from expandergraphs.operators import laplacian
from tests.core.strategies import networks

KINDS = ["combinatorial", "random_walk", "symmetric"]
CONSERVING = KINDS[:2]
TOLERANCE = 1e-8


def random_net(widths, density, rng=0, decades=None):
    rng = np.random.default_rng(rng)
    layers = [eg.random_bipartite(a, b, density=density, rng=rng) for a, b in pairwise(widths)]
    net = LayeredGraph.from_layers(layers)
    if decades is None:
        return net
    weights = {key: 10 ** rng.uniform(-decades / 2, decades / 2, block.n_edges) for key, block in net.blocks.items()}
    return LayeredGraph(net.widths, net.blocks, weights)


def path(n, weights=None):
    edge = BipartiteGraph.from_edges(1, 1, [(0, 0)])
    net = LayeredGraph.from_layers([edge] * (n - 1))
    if weights is None:
        return net
    return LayeredGraph(net.widths, net.blocks, {(k, k + 1): [w] for k, w in enumerate(weights)})


def by_definition(net, times, heat, kind):
    """D - W and its like written out, decomposed densely; the kernel's eigenvalues are known to be 0."""
    w = net.adjacency.toarray()
    degrees = w.sum(axis=1)
    root = np.sqrt(np.where(degrees > 0, degrees, 1))
    matrix = np.diag(degrees) - w if kind == "combinatorial" else np.diag(degrees > 0) - w / np.outer(root, root)
    values, vectors = eigh(matrix)
    values[: eg.components(positive(net)).count] = 0
    scale = root if kind == "random_walk" else np.ones(len(w))
    return np.array([((scale[:, None] * vectors) * np.exp(-t * values)) @ (vectors.T / scale) @ heat for t in times])


def positive(net):
    """The same network without its edges of weight 0."""
    if net.weights is None:
        return net
    blocks = {
        key: BipartiteGraph.from_edges(b.n_left, b.n_right, b.edges[net.weights[key] > 0])
        for key, b in net.blocks.items()
    }
    return LayeredGraph(net.widths, blocks)


@st.composite
def heated(draw):
    """A small network with weights of at least 0, times, and sources."""
    net = draw(networks())
    if net.weights is not None:
        net = LayeredGraph(net.widths, net.blocks, {key: abs(w).round(2) for key, w in net.weights.items()})
    times = draw(st.lists(st.sampled_from([0.0, 1e-9, 0.1, 1.0, 7.0, 1e3]), max_size=4))
    k = draw(st.integers(0, 3))
    seed = draw(st.integers(0, 2**32))
    return net, times, np.random.default_rng(seed).uniform(-1, 1, (net.n_nodes, k) if k else net.n_nodes)


@settings(max_examples=200)
@given(heated(), st.sampled_from(KINDS))
def test_it_is_the_exponential(example, kind):
    net, times, heat = example
    found = heat_signature(net, times, sources=heat, laplacian=kind)
    assert found.values.shape == (len(times), *heat.shape)
    np.testing.assert_allclose(found, by_definition(net, times, heat, kind).reshape(found.values.shape), atol=TOLERANCE)
    assert (found.error <= TOLERANCE).all()
    for time, values in zip(times, found.values, strict=True):
        if time == 0:
            assert np.array_equal(values, heat)


@given(heated(), st.sampled_from(KINDS))
def test_a_semigroup(example, kind):
    """H(s) H(t) = H(s + t)."""
    net, _, heat = example
    first = heat_signature(net, 0.7, sources=heat, laplacian=kind).values[0]
    then = heat_signature(net, 1.1, sources=first, laplacian=kind)
    at_once = heat_signature(net, 1.8, sources=heat, laplacian=kind)
    np.testing.assert_allclose(then, at_once, atol=3 * TOLERANCE)


@given(heated(), st.sampled_from(CONSERVING))
def test_heat_is_conserved_in_every_component(example, kind):
    net, _, heat = example
    labels = eg.components(positive(net)).labels
    found = heat_signature(net, [0.01, 1, 50, math.inf], sources=heat, laplacian=kind)
    for label in np.unique(labels):
        before, after = heat[labels == label].sum(axis=0), found.values[:, labels == label].sum(axis=1)
        np.testing.assert_allclose(after, np.broadcast_to(before, after.shape), atol=1e-10)


@given(heated())
def test_it_stays_between_cold_and_hot(example):
    net = example[0]
    values = heat_signature(net, [0.001, 0.1, 1, 50, math.inf]).values
    assert values.min(initial=0) >= -TOLERANCE
    assert values.max(initial=1) <= 1 + TOLERANCE


@given(heated())
def test_saturation_is_the_share_of_sources(example):
    net = example[0]
    found = heat_signature(net, "saturated")
    parts = eg.components(positive(net))
    sources = np.bincount(parts.labels[: net.widths[0]], minlength=parts.count)
    expected = (sources / np.maximum(1, parts.sizes))[parts.labels]
    assert np.array_equal(found.values, expected[None])  # to the last digit
    assert (found.method, found.products, found.times.tolist()) == ("closed form", 0, [math.inf])


def test_saturation_of_the_others():
    """In proportion to the degree, and to its root."""
    net = random_net([4, 6, 5], 0.5, decades=1)
    degrees = net.adjacency.sum(axis=1)
    labels = eg.components(net).labels
    for kind, power in (("random_walk", 1), ("symmetric", 0.5)):
        late, last = (heat_signature(net, t, laplacian=kind).values[0] for t in (1e4, "saturated"))
        np.testing.assert_allclose(late, last, atol=TOLERANCE)
        for label in np.unique(labels):
            part = labels == label
            if degrees[part].any():
                np.testing.assert_allclose(np.ptp(last[part] / degrees[part] ** power), 0, atol=1e-12)


@pytest.mark.parametrize("decades", [None, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_against_a_dense_decomposition(kind, decades):
    net = random_net([120, 250, 200, 30], 0.03, decades=decades)
    heat, times = np.zeros(net.n_nodes), [0.01, 0.3, 2, 100]
    heat[:120] = 1
    found = heat_signature(net, times, laplacian=kind)
    off = np.linalg.norm(found - by_definition(net, times, heat, kind), axis=1)
    assert (off <= found.error + 1e-10).all()  # the decomposition rounds, too
    assert (found.error <= TOLERANCE).all()


@pytest.mark.parametrize("kind", KINDS)
def test_against_expm_multiply(kind):
    net = random_net([300, 1500, 900, 100], 0.01, rng=1)
    heat = np.zeros(net.n_nodes)
    heat[:300] = 1
    expected = expm_multiply(-laplacian(net, kind), heat, start=0.0, stop=1.5, num=4)
    found = heat_signature(net, np.linspace(0, 1.5, 4), laplacian=kind)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert found.method == "Lanczos"


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_is_bounded_at_every_tolerance(kind):
    net = random_net([40, 60, 50], 0.1, decades=2)
    heat, times = np.zeros(150), np.geomspace(1e-3, 30, 9)
    heat[:40] = 1
    expected = by_definition(net, times, heat, kind)
    products = []
    for tolerance in (0.5, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10):
        found = heat_signature(net, times, laplacian=kind, tolerance=tolerance)
        assert (np.linalg.norm(found - expected, axis=1) <= found.error + 1e-12).all()
        assert (found.error <= tolerance).all()
        products.append(found.products)
    assert products == sorted(products)
    assert products[0] < products[-1]


def test_the_switch_to_chebyshev():
    """Weights over six decades: Lanczos has not converged by half of the degree."""
    net = random_net([300, 500, 300], 0.02, decades=6)
    heat, times = np.zeros(1100), np.array([0.01, 0.02, 0.05])
    heat[:300] = 1
    found = heat_signature(net, times)
    assert found.method == "Chebyshev"
    off = np.linalg.norm(found - by_definition(net, times, heat, "combinatorial"), axis=1)
    assert (off <= found.error + 1e-10).all()
    assert (found.error <= TOLERANCE).all()


def test_the_switch_to_a_dense_decomposition():
    """Where Lanczos takes more steps than there are nodes."""
    net = path(200, 10 ** np.random.default_rng(0).uniform(-2, 2, 199))
    heat, times = np.zeros((200, 2)), np.array([1.0, 1e3])
    heat[0, 0] = heat[70, 1] = 1
    found = heat_signature(net, times, sources=heat)
    assert found.method == "dense"
    np.testing.assert_allclose(found, by_definition(net, times, heat, "combinatorial"), atol=TOLERANCE)


def test_all_ways_agree(monkeypatch):
    net, heat = random_net([60, 90, 50], 0.05), np.random.default_rng(0).random((200, 3))
    times = [0.5, 0, 3, math.inf, 3]
    expected = heat_signature(net, times, sources=heat)
    assert (expected.method, expected.products) == ("Lanczos", expected.products)
    monkeypatch.setattr(exponential, "_FEWEST_STEPS", 1)
    monkeypatch.setattr(exponential, "MOST_STEPS", 1)
    other = heat_signature(net, times, sources=heat)
    assert other.method == "Chebyshev"
    np.testing.assert_allclose(other, expected, atol=2 * TOLERANCE)
    monkeypatch.setattr(exponential, "MOST_STEPS", 2)
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    assert heat_signature(net, times, sources=heat).method == "Chebyshev"


def test_what_is_not_stored_is_computed_again(monkeypatch):
    net = random_net([60, 90, 50], 0.1)
    expected = heat_signature(net, [0.1, 5])
    monkeypatch.setattr(exponential, "_STORED", -(10**9))
    again = heat_signature(net, [0.1, 5])
    assert np.array_equal(again, expected)
    assert expected.products < again.products <= 2 * expected.products


@pytest.mark.parametrize("t", [1e12, 1e300])
@pytest.mark.parametrize(
    "net",
    [
        path(500),
        path(2),
        eg.random_bipartite(30, 50, p=1),
        eg.random_bipartite(1, 100, p=1),
        eg.random_bipartite(100, 1, p=1),
        random_net([20, 30, 20], 0.1),
        random_net([20, 30, 20], 0.2, decades=4),
    ],
)
def test_after_ages_it_is_saturated(net, t):
    for kind in KINDS:
        late, last = (heat_signature(net, time, laplacian=kind) for time in (t, "saturated"))
        np.testing.assert_allclose(late, last, atol=TOLERANCE)
        assert late.error[0] <= TOLERANCE


def test_complete_graphs_are_done_after_two_steps():
    """K_{a,b} has three eigenvalues besides 0, of which a start on one side meets one: a + b."""
    net = eg.random_bipartite(30, 50, p=1)
    found = heat_signature(net, [0.01, 0.1])
    assert found.products <= 4
    decay = np.exp(-80 * np.array([0.01, 0.1]))[:, None]
    expected = 30 / 80 + decay * np.where(np.arange(80) < 30, 50 / 80, -30 / 80)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_path_of_500_layers():
    """Reflected waves: the heat of an infinite path, e^(-2t) I_k(2t), folded at both ends."""
    from scipy.special import ive

    n, times = 500, np.array([1.0, 100.0, 3e4])
    k = np.arange(-50 * n, 50 * n)
    node = np.where(k % (2 * n) < n, k % (2 * n), 2 * n - 1 - k % (2 * n))
    expected = [np.bincount(node, ive(abs(k), 2 * t)) for t in times]
    np.testing.assert_allclose(heat_signature(path(n), times), expected, atol=TOLERANCE)


@pytest.mark.parametrize("weight", [5e-324, 1e-310, 1e-200, 1.0, 1e200, 1e307])
def test_any_weight(weight):
    net = path(2, [weight])
    with np.errstate(over="ignore"):
        times = np.minimum(np.array([0.5, 2]) / weight, 1e300)
    expected = (1 + np.exp(-2 * weight * times)) / 2
    np.testing.assert_allclose(heat_signature(net, times).values[:, 0], expected, atol=TOLERANCE)
    for kind in KINDS[1:]:
        expected = (1 + np.exp(-2 * np.array([0.5, 2]))) / 2
        np.testing.assert_allclose(heat_signature(net, [0.5, 2], laplacian=kind).values[:, 0], expected, atol=TOLERANCE)


def test_weak_and_strong_edges():
    """Weights from 1e-6 to 1e6 side by side, for times at which the strong ones have levelled."""
    found = heat_signature(path(3, [1e6, 1e-6]), [1.0, 1e5], tolerance=1e-3).values
    np.testing.assert_allclose(found[0], [0.5, 0.5, 0], atol=1e-3)
    share = (1 - math.exp(-1.5 * 1e-6 * 1e5)) / 3  # two nodes as one of twice the size
    np.testing.assert_allclose(found[1], [(1 - share) / 2, (1 - share) / 2, share], atol=1e-3)


def test_what_rounding_forbids_is_refused():
    net = path(60, 10 ** np.random.default_rng(0).uniform(-6, 6, 59))
    with pytest.raises(ValueError, match=r"rounding may add up to .*ask for tolerance=") as refused:
        heat_signature(net, 1e7)
    reached, suggested = (float(number) for number in re.findall(r"\d\S*e[-+]\d+", str(refused.value))[::2])
    assert reached < suggested < 1.2 * reached
    assert heat_signature(net, 1e7, tolerance=suggested).error[0] <= suggested
    with pytest.raises(ValueError, match="rounding may add"):
        heat_signature(path(5), 1, tolerance=1e-17)
    with pytest.raises(ValueError, match="rounding may add"):
        heat_signature(path(5), 1, sources=np.array([1e12, 0, 0, 0, 0]))
    assert heat_signature(path(5), 1, tolerance=1e-14).error[0] <= 1e-14


def test_late_times_are_saturation_without_steps():
    """No positive eigenvalue of a path of n nodes lies below 1 / n^2: later than that heat is at rest."""
    net = path(2500)
    found = heat_signature(net, [1e10, 1e300])
    assert (found.method, found.products) == ("closed form", 0)
    np.testing.assert_allclose(found, np.full((2, 2500), 1 / 2500), atol=1e-8)
    for kind in KINDS:
        late = heat_signature(net, 1e12, laplacian=kind)
        np.testing.assert_allclose(late, heat_signature(net, "saturated", laplacian=kind), atol=1e-8)


@given(networks(), st.sampled_from(KINDS))
def test_no_positive_eigenvalue_lies_below_the_gap(net, kind):
    weights = net.weights and {key: np.round(abs(values), 6) for key, values in net.weights.items()}
    net = LayeredGraph(net.widths, net.blocks, weights)
    operator = Diffusion(net, kind)
    matrix = operator.apply(np.eye(net.n_nodes)) - operator.bound / 2 * operator.kept(np.eye(net.n_nodes))
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)[operator.count :]
    assert (values >= operator.gap - 1e-13 * operator.bound).all()
    assert operator.gap > 0 or not net.n_edges or weights


def test_times_that_underflow_are_the_start():
    assert heat_signature(path(2, [1e-20]), 1e-310).values.tolist() == [[1, 0]]
    assert heat_signature(path(2, [0.1]), 5e-324).values.tolist() == [[1, 0]]


@pytest.mark.parametrize("kind", ["combinatorial", "random_walk"])
def test_heat_is_conserved_in_large_networks(kind):
    """To 1e-10 of 5,000, by sums without rounding; with a component apart."""
    rng = np.random.default_rng(0)
    connected = eg.random_bipartite(5000, 15_000, n_edges=60_000, rng=rng)
    for net in (eg.LayeredGraph.from_layers([connected]), eg.LayeredGraph([5001, 15_000], {(0, 1): apart(connected)})):
        for value in heat_signature(net, [0.3, 40, math.inf], laplacian=kind).values:
            assert abs(math.fsum(value) - net.widths[0]) < 1e-10


def apart(g):
    """The same graph and a left vertex of its own component."""
    return BipartiteGraph.from_edges(g.n_left + 1, g.n_right, g.edges)


def test_ordinary_networks_are_not_refused():
    """Ten layers, weights of all sizes that training gives, times to 1e4; and weights over six decades."""
    rng = np.random.default_rng(0)
    blocks = {(k, k + 1): eg.random_bipartite(100, 100, n_edges=500, rng=k) for k in range(10)}
    for draw in (lambda m: abs(rng.standard_normal(m)) ** 3, lambda m: 10 ** rng.uniform(-4, 1, m)):
        net = eg.LayeredGraph([100] * 11, blocks, weights={key: draw(g.n_edges) for key, g in blocks.items()})
        for kind in KINDS:
            assert heat_signature(net, [1, 1e4], laplacian=kind).error.max() <= TOLERANCE
    wide = {(0, 1): eg.random_bipartite(2000, 2000, n_edges=8000, rng=0)}
    weights = {(0, 1): 10 ** rng.uniform(-6, 0, 8000)}
    assert heat_signature(eg.LayeredGraph([2000, 2000], wide, weights=weights), 100).error.max() <= TOLERANCE


def test_several_sources_take_the_memory_of_their_values():
    """Not that of the eigenvectors of all their recurrences at once."""
    net = eg.LayeredGraph.from_layers([eg.random_bipartite(300, 300, n_edges=1500, rng=0)])
    sources = np.eye(600)[:, :60]
    tracemalloc.start()
    try:
        found = heat_signature(net, [1.0, 300.0], sources=sources)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20 * 40
    np.testing.assert_allclose(found.values[..., 7], heat_signature(net, [1.0, 300.0], sources=[7]), atol=1e-8)


def test_isolated_sources_keep_their_heat():
    net = LayeredGraph([3, 2], {(0, 1): BipartiteGraph.from_edges(3, 2, [(0, 0), (1, 0)])})
    for kind in KINDS:
        values = heat_signature(net, [0.1, 5, 1e9, math.inf], laplacian=kind).values
        assert (values[:, 2] == 1).all()
        assert (values[:, 4] == 0).all()


def test_no_heat_no_times_no_nodes():
    net = random_net([3, 4], 0.5)
    assert not heat_signature(net, [0, 1, math.inf], sources=[]).values.any()
    assert (heat_signature(net, [0, 1, math.inf], sources=np.arange(7)).values == 1).all()
    assert heat_signature(net, []).values.shape == (0, 7)
    assert heat_signature(net, 1, sources=np.ones((7, 0))).values.shape == (1, 7, 0)
    assert heat_signature(LayeredGraph([0, 0], {}), [0, 1]).values.shape == (2, 0)
    assert heat_signature(LayeredGraph([1, 0], {}), [0, 1]).values.tolist() == [[1], [1]]
    assert heat_signature(LayeredGraph([0, 2], {}), [1]).values.tolist() == [[0, 0]]
    for kind in KINDS:
        zero = heat_signature(path(3, [0, 0]), [1, math.inf], laplacian=kind)
        assert zero.values.tolist() == [[1, 0, 0]] * 2
        assert zero.method == "closed form"


def test_sources_may_be_nodes_booleans_or_heats():
    net = random_net([4, 5, 3], 0.5)
    expected = heat_signature(net, 0.4, sources=[2, 7]).values
    chosen = np.isin(np.arange(12), [2, 7])
    for sources in (chosen, chosen.astype(float), np.array([7, 2], dtype=np.uint8), chosen.astype(np.float32)):
        assert np.array_equal(heat_signature(net, 0.4, sources=sources), expected)
    together = heat_signature(net, 0.4, sources=np.eye(12)[:, [2, 7]]).values
    np.testing.assert_allclose(together.sum(axis=2), expected, atol=3 * TOLERANCE)
    default, inputs = heat_signature(net, 1), heat_signature(net, 1, sources=net.input_nodes)
    assert np.array_equal(default, inputs)


def test_a_bipartite_graph_is_a_net_of_two_layers():
    g = eg.random_bipartite(5, 6, density=0.4, rng=0)
    assert np.array_equal(heat_signature(g, 1), heat_signature(LayeredGraph.from_layers([g]), 1))


def test_skips_carry_heat():
    net = LayeredGraph([1, 1, 1], {(0, 2): BipartiteGraph.from_edges(1, 1, [(0, 0)])})
    half = (1 + math.exp(-2)) / 2
    np.testing.assert_allclose(heat_signature(net, 1), [[half, 0, 1 - half]], atol=1e-12)


def test_the_result_is_an_array_that_tells_about_itself():
    found = heat_signature(random_net([4, 5], 0.5), [2, 0, 2])
    assert found.times.tolist() == [2, 0, 2]
    assert np.array_equal(found.values[0], found.values[2])
    assert np.asarray(found) is found.values
    assert np.array(found, dtype=np.float32).dtype == np.float32
    assert np.array(found) is not found.values
    with pytest.raises(ValueError, match="copy"):
        np.array(found, dtype=np.float32, copy=False)
    for array in (found.times, found.values, found.error):
        assert not array.flags.writeable
    assert repr(found).startswith("HeatSignature(3 times in [0, 2], 9 nodes, combinatorial, Lanczos, ")
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert np.array_equal(again, found)
    values = np.linalg.eigvalsh(laplacian(random_net([4, 5], 0.5)).toarray())
    assert values[-1] <= found.lambda_bound <= 2 * values[-1]


@given(heated(), st.sampled_from(KINDS))
def test_the_bound_on_the_spectrum(example, kind):
    net = example[0]
    values = np.linalg.eigvals(laplacian(net, kind).toarray()).real
    operator = Diffusion(net, kind)
    bound = math.ldexp(operator.bound, operator.exponent)
    assert values.max(initial=0) <= bound * (1 + 1e-12) + 1e-12
    x = np.eye(net.n_nodes)
    kept = operator.kept(x)
    np.testing.assert_allclose(kept @ kept, kept, atol=1e-12)
    np.testing.assert_allclose(operator.apply(kept), operator.bound / 2 * kept, atol=1e-12)
    assert np.linalg.matrix_rank(kept) == eg.components(positive(net)).count if net.n_nodes else True


@pytest.mark.parametrize("decades", [None, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_laplacians_are_as_defined(kind, decades):
    net = random_net([5, 7, 4], 0.3, decades=decades)
    w = net.adjacency.toarray()
    degrees = w.sum(axis=1)
    inverse = np.diag([1 / d if d else 0 for d in degrees])
    expected = {
        "combinatorial": np.diag(degrees) - w,
        "random_walk": np.diag(degrees > 0) - w @ inverse,
        "symmetric": np.diag(degrees > 0) - np.sqrt(inverse) @ w @ np.sqrt(inverse),
    }[kind]
    found = laplacian(net, kind)
    assert (found.format, found.dtype) == ("csr", np.float64)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-13, atol=1e-15)


CODE = """
import os, sys
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:int(sys.argv[1])]))
import numpy as np, hashlib, expandergraphs as eg
from expandergraphs.heat.signature import heat_signature
net = eg.LayeredGraph.from_layers([eg.random_bipartite(20000, 20000, n_edges=400_000, rng=0)])
heat = np.random.default_rng(0).random((40000, 2))
values = np.asarray(heat_signature(net, np.linspace(0, 1, 11), sources=heat))
print(hashlib.sha256(np.ascontiguousarray(values)).hexdigest())
"""


def test_the_number_of_threads_changes_nothing():
    run = [
        subprocess.run([sys.executable, "-c", CODE, str(n)], capture_output=True, text=True, check=True).stdout
        for n in (1, 2)
    ]
    assert run[0] == run[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t": -1}, "at least 0.*got -1.0"),
        ({"t": [1, math.nan]}, "at least 0.*got nan"),
        ({"t": "late"}, "got 'late'"),
        ({"t": [[1, 2]]}, "at most one dimension"),
        ({"t": [[1], [2, 3]]}, "different lengths"),
        ({"t": True}, "got True"),
        ({"t": 1j}, "got 1j"),
        ({"sources": [0, 9]}, r"in 0..8, got 0..9"),
        ({"sources": [-1]}, r"in 0..8, got -1"),
        ({"sources": [1, 1]}, "more than once"),
        ({"sources": [[1], [2, 3]]}, "sources must be an array, got lists of different lengths"),
        ({"tolerance": True}, "positive number, got True"),
        ({"tolerance": 10**400}, "positive number, got 1000"),
        ({"sources": [True, False]}, "9 booleans"),
        ({"sources": [0.5, 0.5]}, r"floats of shape \(9,\)"),
        ({"sources": np.ones((9, 2, 1))}, r"shape \(9, 2, 1\)"),
        ({"sources": np.full(9, math.inf)}, "finite"),
        ({"sources": np.full(9, math.nan)}, "finite"),
        ({"sources": "in"}, "node numbers"),
        ({"laplacian": "normalised"}, "one of combinatorial, random_walk, symmetric, got 'normalised'"),
        ({"tolerance": 0}, "positive number, got 0"),
        ({"tolerance": "small"}, "positive number, got 'small'"),
        ({"net": 3}, "a BipartiteGraph or a LayeredGraph is needed, got int"),
        ({"net": path(2, [-1])}, "weights of at least 0, got -1"),
        ({"net": path(2, [1.7e308])}, "more than floats can hold"),
        ({"net": path(4, [1e-280, 1, 1]), "laplacian": "random_walk"}, "200 decades"),
    ],
)
def test_refusals(options, message):
    given = {"net": random_net([4, 5], 0.5), "t": 1} | options
    with pytest.raises(ValueError, match=message):
        heat_signature(given.pop("net"), given.pop("t"), **given)


def deep_net(sizes, density, rng):
    """Layers in a chain, and skips over one layer."""
    blocks = {
        (k, k + 1): eg.random_bipartite(a, b, density=density, rng=rng) for k, (a, b) in enumerate(pairwise(sizes))
    }
    skips = enumerate(zip(sizes, sizes[2:], strict=False))
    return LayeredGraph(
        sizes, blocks | {(k, k + 2): eg.random_bipartite(a, b, density=density, rng=rng) for k, (a, b) in skips}
    )


def test_two_thousand_nodes_by_eigenvectors():
    """Six layers with skips, weights over two decades, times to 1e4."""
    rng = np.random.default_rng(0)
    net = deep_net([100, 500, 500, 400, 300, 200], 0.02, rng)
    net = LayeredGraph(
        net.widths, net.blocks, {key: 10 ** rng.uniform(-2, 0, g.n_edges) for key, g in net.blocks.items()}
    )
    values, vectors = eigh(laplacian(net).toarray())
    heat, times = np.zeros(2000), np.array([0.1, 3, 100, 1e4])
    heat[:100] = 1
    expected = np.exp(-np.outer(times, values)) * (vectors.T @ heat) @ vectors.T
    found = heat_signature(net, times)
    assert np.linalg.norm(found.values - expected, axis=1).max() <= TOLERANCE
    assert all(abs(math.fsum(value) - 100) < 1e-10 for value in found.values)


def test_memory_is_linear_in_the_edges():
    peaks = []
    for n_edges in (250_000, 1_000_000):
        net = eg.LayeredGraph.from_layers([eg.random_bipartite(3000, 9000, n_edges=n_edges, rng=0)])
        tracemalloc.start()
        try:
            heat_signature(net, [0.01, 2])
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 4.2 * peaks[0]
    assert peaks[1] < 60 * 2_000_000
