"""Heat: errors that hold what they state, and times at which little happens."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.heat import dense as dense_way
from expandergraphs.heat import exponential, kernel
from expandergraphs.heat.diffusion import Diffusion
from expandergraphs.heat.kernel import heat_kernel_signature
from expandergraphs.heat.saturation import saturation_time
from expandergraphs.heat.signature import evaluate, heat_signature
from expandergraphs.operators import laplacian

EDGE = BipartiteGraph.from_edges(1, 1, [(0, 0)])


def path(weights):
    return LayeredGraph(
        [1] * (len(weights) + 1),
        dict.fromkeys(pairwise(range(len(weights) + 1)), EDGE),
        {(k, k + 1): [w] for k, w in enumerate(weights)},
    )


def path_modes(n):
    """Eigenvalues and vectors of the path of n nodes, with angles reduced by integers."""
    k = np.arange(n)
    values = 4 * np.sin(math.pi * k / (2 * n)) ** 2
    vectors = np.cos(math.pi / (2 * n) * (np.outer(2 * k + 1, k) % (4 * n)))
    return values, vectors * np.sqrt(np.where(k == 0, 1, 2) / n)


def test_vectors_that_are_not_quite_orthogonal_are_part_of_the_error():
    """At times at which nothing else has gone wrong yet."""
    n, t = 600, np.array([0.01, 0.1, 1.0, 30.0, 1e4])
    values, vectors = path_modes(n)
    net, decay = path([1.0] * (n - 1)), np.exp(-np.outer(t, values))
    found = heat_kernel_signature(net, t)
    assert (abs(found.values - decay @ (vectors**2).T).max(axis=1) <= found.error).all()
    assert found.error[0] < 1e-13
    operator, start = Diffusion(net, "combinatorial"), np.eye(n)[:, :1]
    dense = exponential._dense(operator, start - operator.kept(start), np.ldexp(t, operator.exponent), 0)
    expected = (decay[:, 1:] * vectors[0, 1:]) @ vectors[:, 1:].T
    assert (np.linalg.norm(dense.vectors[:, 0] - expected, axis=1) <= dense.error).all()
    assert dense.error[0] < 1e-13


@pytest.mark.parametrize("seed", range(8))
def test_slow_modes_beside_fast_ones(seed):
    """A path of three nodes with weights over a dozen decades: its two rates are known to the last digit."""
    rng = np.random.default_rng(seed)
    heavy, light = (Fraction(w) for w in (10 ** rng.uniform(3, 6), 10 ** rng.uniform(-6, -3)))
    net = path([float(heavy), float(light)])
    product, total = 3 * heavy * light, heavy + light
    fast = float(total) + math.sqrt(float(total**2 - product))
    slow = float(product) / fast
    t = np.geomspace(1e-3, 1, 5) / slow
    # A start on the last node: its part in the slow mode decays, that in the fast one is gone.
    rest = (Fraction(slow) - 2 * heavy) / -heavy  # of the vector (1, 1 - slow / heavy, -(2 - slow / heavy))
    vector = np.array([1, float(1 - Fraction(slow) / heavy), -float(rest)])
    expected = 1 / 3 + np.exp(-slow * t)[:, None] * vector * vector[2] / (vector @ vector)
    heat = evaluate(Diffusion(net, "combinatorial"), np.array([0.0, 0, 1]), t, 1e-12)
    assert (np.linalg.norm(heat.values - expected, axis=1) <= heat.error + 1e-15).all()
    kept = heat_kernel_signature(net, t, nodes=[2])
    assert (abs(kept.values[:, 0] - expected[:, 2]) <= kept.error + 1e-15).all()


@pytest.mark.parametrize("limit", [dense_way.DENSE_LIMIT, 0])
def test_rounding_of_what_is_known_is_part_of_the_error(limit, monkeypatch):
    """One over 2 or 3, at times at which nothing else is left, be it by bounds."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", limit)
    for b, share in ((1, Fraction(1, 2)), (2, Fraction(1, 3))):
        for t in (50.0, 80.0, 130.0, math.inf):
            found = heat_kernel_signature(eg.random_bipartite(1, b, p=1), t)
            assert abs(Fraction(float(found.values[0, 0])) - share) <= Fraction(float(found.error[0]))
            found = heat_kernel_signature(eg.random_bipartite(1, b, p=1), t, laplacian="symmetric")
            assert abs(Fraction(float(found.values[0, 0])) - Fraction(1, 2)) <= Fraction(float(found.error[0]))


@pytest.mark.parametrize("tolerance", [1e-3, 0.01, 0.03, 0.1, 0.2])
@pytest.mark.parametrize("latest", [1.0, 3.0, 20.0])
def test_bounds_hold_after_the_last_product(tolerance, latest, monkeypatch):
    """Heat that has hardly moved yet, and heat that has long come to rest."""
    light = 1e-4
    net, t = path([1.0, light]), np.array([2.0, 5.0, 10.0, 50.0, 1e3, 1e4])
    values, vectors = np.linalg.eigh(laplacian(net).toarray())
    values[0] = 0
    true = np.exp(-np.outer(t, values)) @ (vectors**2).T
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    monkeypatch.setattr(kernel, "_TOLERANCE", tolerance)
    monkeypatch.setattr(kernel, "_LATEST_TAU", latest)
    for node in range(3):
        found = heat_kernel_signature(net, t, nodes=[node])
        assert (abs(found.values[:, 0] - true[:, node]) <= found.error + 1e-13).all()


@pytest.mark.parametrize("tolerance", [1e-12, 1e-3, 0.02, 0.1])
def test_bounds_hold_at_any_tolerance(tolerance, monkeypatch):
    """Also at coarse ones, where what is cut off, and not rounding, decides."""
    net = LayeredGraph.from_layers([eg.random_bipartite(20, 20, n_edges=70, rng=0)])
    values, vectors = np.linalg.eigh(laplacian(net).toarray())
    t = np.geomspace(1e-3, 1e3, 40)
    values[: eg.components(net).count] = 0
    true = np.exp(-np.outer(t, values)) @ (vectors**2).T
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    monkeypatch.setattr(kernel, "_TOLERANCE", tolerance)
    for times, exact in ((t, true), *((t[k : k + 1], true[k : k + 1]) for k in range(0, 40, 4))):
        found = heat_kernel_signature(net, times)
        assert (abs(found.values - exact).max(axis=1) <= found.error + 1e-13).all()


def test_rounding_of_products_is_part_of_the_error(monkeypatch):
    """The heat of a light component moves slowly, while products have rounded thousands of times."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    found = heat_kernel_signature(path([1.0, 1e-9]), [1.0, 1e6], nodes=[2])
    assert found.values[1, 0] > 0.9
    assert found.error[0] < 4.01e-9
    assert found.error[1] > 4e-9 + 1e6 * 2.0**-51


def test_no_time_at_all(monkeypatch):
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 0)
    for t in (0.0, 1e-300, 1e-20):
        found = heat_kernel_signature(eg.random_bipartite(3, 4, p=1), t)
        np.testing.assert_allclose(found.values, 1, atol=1e-8)
        assert found.error[0] <= 1e-8


@pytest.mark.parametrize("light", [1e-9, 1e-13])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_saturation_times_of_nodes_of_hardly_any_degree(light, tolerance):
    """The relative heat of the last node follows that of a pair, which levels as exp(-2 t)."""
    found = saturation_time(path([1.0, light]), tolerance, laplacian="random_walk")
    assert found.time == pytest.approx(-math.log(1 - math.sqrt(1 - 3 * tolerance)), rel=1e-6)
    assert found.lower <= found.time <= found.upper <= found.lower * 1.0001


def test_conserved_where_lapack_decides(monkeypatch):
    """Of a hundred sources at every time, by sums without rounding."""
    net = path(10 ** np.random.default_rng(0).uniform(-2, 2, 199))
    heat = np.zeros(200)
    heat[:100] = 1
    found = heat_signature(net, [1.0, 1e3, math.inf], sources=heat)
    assert found.method == "dense"
    assert all(abs(math.fsum(value) - 100) < 1e-10 for value in found.values)


def test_rounding_is_part_of_saturation_times():
    """Less of a degree leaves fewer digits; the interval holds the time all the same, and says how few."""
    expected = -math.log(1 - math.sqrt(1 - 3e-4))
    found = saturation_time(path([1.0, 1e-20]), 1e-4, laplacian="random_walk")
    assert found.lower <= expected <= found.upper
    assert found.upper > 1.01 * found.lower


def test_between_steps_and_rest_no_time_is_refused():
    """Heat is taken to be at rest only where the bound on what still moves is well within the tolerance."""
    found = heat_signature(path([1.0]), np.linspace(50, 100, 101))
    assert (found.error <= 1e-8).all()
    for t in np.linspace(60, 100, 41):
        assert heat_signature(path([1.0]), t).error[0] <= 1e-8


def test_a_saturated_signature_tells_its_rounding_and_its_bound():
    found = heat_signature(path([4.0, 4.0]), math.inf)
    off = sum((Fraction(float(value)) - Fraction(1, 3)) ** 2 for value in found.values[0])
    assert 0 < off <= Fraction(float(found.error[0])) ** 2
    assert 12 <= found.lambda_bound <= 16  # the eigenvalues are 0, 4 and 12
