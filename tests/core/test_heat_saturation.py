"""Saturation times."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.heat.saturation import saturation_time
from expandergraphs.operators import laplacian
from tests.core.strategies import networks
from tests.core.test_heat_trace import KINDS, sparse_net


def deviation(net, kind, t, sources=None):
    """The norm of the docstring, from a dense exponential."""
    weights = laplacian(net).toarray()
    degrees, labels = np.diag(weights), eg.components(net).labels
    relative = np.array(
        [degrees[labels == label].mean() / d if d else 1.0 for d, label in zip(degrees, labels, strict=True)]
    )
    heat = np.zeros(net.n_nodes)
    heat[net.input_nodes if sources is None else sources] = 1
    matrix = laplacian(net, kind).toarray()
    rest = linalg.expm(-1e7 * matrix) @ heat
    power = {"combinatorial": 0, "random_walk": 1, "symmetric": 0.5}[kind]
    return (abs(linalg.expm(-t * matrix) @ heat - rest) * relative**power).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-6])
def test_is_where_the_dense_deviation_crosses(kind, tolerance):
    net = LayeredGraph.from_layers([eg.random_left_regular(12, 9, 3, rng=0), eg.random_regular(9, 12, 4, rng=0)])
    found = saturation_time(net, tolerance, sources=[0, 5], laplacian=kind)
    assert found.lower <= found.time <= found.upper <= found.lower * (1 + 1e-6)
    assert deviation(net, kind, found.time * (1 - 1e-5), [0, 5]) > tolerance
    assert deviation(net, kind, found.time * (1 + 1e-5), [0, 5]) < tolerance
    assert (float(found), found.tolerance) == (found.time, tolerance)


@settings(max_examples=20)
@given(networks().filter(lambda net: net.n_nodes > 0), st.sampled_from(KINDS), st.floats(1e-4, 1))
def test_small_networks(net, kind, tolerance):
    weights = net.weights and {key: np.where(w < 0.1, 0, w) for key, w in net.weights.items()}
    net = LayeredGraph(
        net.widths, net.blocks if weights is None else weights_away(net, weights), weights and kept(weights)
    )
    found = saturation_time(net, tolerance, laplacian=kind)
    assert deviation(net, kind, found.upper * (1 + 1e-4)) <= tolerance * (1 + 1e-9)
    if found.time:
        assert deviation(net, kind, found.lower * (1 - 1e-4)) >= tolerance * (1 - 1e-9)


def weights_away(net, weights):
    """The blocks without their edges of weight 0."""
    blocks = {}
    for key, w in weights.items():
        block = net.blocks[key]
        blocks[key] = BipartiteGraph.from_edges(block.n_left, block.n_right, block.edges[w > 0])
    return blocks


def kept(weights):
    return {key: w[w > 0] for key, w in weights.items()}


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 5), (7, 7)])
def test_complete_bipartite_graphs(a, b):
    """Heat on the left side: the deviation is exp(-(a + b) t) times max(a, b) / (a + b)."""
    found = saturation_time(eg.random_bipartite(a, b, p=1), 1e-3)
    assert found.time == pytest.approx(math.log(1e3 * max(a, b) / (a + b)) / (a + b), rel=1e-6)


def test_several_sources_take_as_long_as_the_slowest():
    net = sparse_net()
    heats = np.eye(180)[:, [0, 70, 130]]
    each = [saturation_time(net, 1e-3, sources=column).time for column in heats.T]
    assert saturation_time(net, 1e-3, sources=heats).time == pytest.approx(max(each), rel=1e-6)


def test_what_starts_saturated_takes_no_time():
    for net in (sparse_net(), BipartiteGraph.from_edges(3, 3, [])):
        found = saturation_time(net, 1e-9, sources=np.ones(net.n_nodes if isinstance(net, LayeredGraph) else 6))
        assert (found.time, found.lower, found.upper) == (0, 0, 0)
    assert saturation_time(sparse_net(), 1.0).time == 0


@pytest.mark.parametrize("tolerance", [0, -1, math.inf, math.nan, "small", True])
def test_refusals(tolerance):
    with pytest.raises(ValueError, match="tolerance must be a positive number, got"):
        saturation_time(sparse_net(), tolerance)


def test_the_tolerance_that_is_suggested_would_do():
    g = eg.random_regular(30, 30, 3, rng=0)
    with pytest.raises(ValueError, match="tolerance = 1e-16 is too close to rounding: try") as refused:
        saturation_time(g, tolerance=1e-16)
    suggested = float(str(refused.value).split()[-1])
    assert saturation_time(g, tolerance=suggested).tolerance == suggested < 1e-11


def test_ordinary_networks_have_a_saturation_time():
    """Ten layers, binary and with weights over four decades, and a long path: at coarse and fine tolerances."""
    rng = np.random.default_rng(0)
    blocks = {(k, k + 1): eg.random_bipartite(100, 100, n_edges=500, rng=k) for k in range(9)}
    weights = {key: 10 ** rng.uniform(-3, 1, g.n_edges) for key, g in blocks.items()}
    edge = eg.BipartiteGraph.from_edges(1, 1, [(0, 0)])
    nets = [
        eg.LayeredGraph([100] * 10, blocks),
        eg.LayeredGraph([100] * 10, blocks, weights=weights),
        eg.LayeredGraph.from_layers([edge] * 300),
    ]
    for net in nets:
        for kind in ("combinatorial", "random_walk"):
            times = [saturation_time(net, tolerance, laplacian=kind) for tolerance in (1e-2, 1e-3, 1e-6)]
            assert 0 < times[0].time < times[1].time < times[2].time
            assert all(found.upper <= found.lower * 1.01 for found in times)
