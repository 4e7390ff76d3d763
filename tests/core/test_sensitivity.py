import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph, sensitivity
from expandergraphs.sensitivity import SensitivityDepth, family_sensitivity_depth, sensitivity_depth
from tests.core.strategies import networks


@given(networks())
def test_depth_agrees_with_counting_the_paths_to_each_layer(net):
    expected = None
    for t in range(len(net.widths) - 1, 0, -1):
        until = LayeredGraph(net.widths[: t + 1], {key: g for key, g in net.blocks.items() if key[1] <= t})
        if (eg.path_counts(until) > 0).all():
            expected = t
    found = sensitivity_depth(net)
    assert found.depth == expected
    assert found.n_layers == (len(net.widths) - 1 if expected is None else expected)


@given(networks(), st.integers(1, 3))
def test_inputs_in_batches_agree_with_all_at_once(net, size):
    inputs = np.arange(net.widths[0])
    with pytest.MonkeyPatch.context() as patch:
        parts = [inputs[start : start + size] for start in range(0, inputs.size, size)]
        patch.setattr(sensitivity, "batches", lambda net, starts: parts)
        in_batches = sensitivity_depth(net)
    assert in_batches == sensitivity_depth(net)


def test_memory_stays_bounded():
    """All inputs at once would take a GiB a layer."""
    layers = [eg.random_regular(2**16, 2**16, 2, rng=seed) for seed in range(2)]
    net = LayeredGraph.from_layers(layers)
    tracemalloc.start()
    try:
        assert sensitivity.complete_depth(net) is None
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()


def test_a_layer_far_behind_is_seen_through_a_skip_only():
    g, nothing = eg.random_bipartite(70, 70, p=1), BipartiteGraph.from_edges(70, 70, [])
    net = LayeredGraph([70] * 4, {(0, 1): nothing, (0, 3): g})
    assert sensitivity_depth(net) == SensitivityDepth(depth=3, bound=None, n_layers=3)


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(0, 2**32), st.data())
def test_the_theorem_of_x_net(n, seed, data):
    """Layers with (d / s2)^t > n have a product without zeros, and no fewer than log_d n can."""
    degree = data.draw(st.integers(1, min(n, 12)))
    found = family_sensitivity_depth("regular", n, degree, max_layers=40, rng=seed)

    def matrices(depth):
        net = eg.family_net("regular", [n] * (depth + 1), degree=degree, rng=seed)
        return [layer.biadjacency.toarray() for layer in net.layers]

    def sigma2(layers):
        return max([*np.linalg.svd(layer, compute_uv=False), 0][1] for layer in layers)

    worst = sigma2(matrices(found.n_layers)) / degree
    if worst > 1 - 1e-7:
        assert found.bound is None
        return
    assert n * worst**found.bound < 1
    assert n * (worst + 1e-7) ** (found.bound - 1) >= 1
    if found.bound > 40:
        return
    assert found.depth <= found.bound
    assert degree**found.depth >= n
    layers = matrices(found.bound)
    if n * (sigma2(layers) / degree) ** found.bound < 1:
        assert np.linalg.multi_dot([np.eye(n), np.eye(n), *layers]).min() > 0


@pytest.mark.parametrize("family", ["random", "left_regular", "regular"])
@pytest.mark.parametrize("seed", [0, 1, np.random.SeedSequence(5)])
def test_a_family_is_drawn_as_a_network_of_it(family, seed):
    found = family_sensitivity_depth(family, 100, 7, rng=seed)
    net = eg.family_net(family, [100] * (found.n_layers + 1), degree=7, rng=seed)
    assert sensitivity_depth(net) == found
    product = np.linalg.multi_dot([np.eye(100), *(layer.biadjacency.toarray() for layer in net.layers)])
    assert (found.depth is not None) == bool(product.min() > 0)
    assert (found.bound is None) == (family != "regular")


@pytest.mark.parametrize("systems", [[[3, 3, 4], [6, 6]], [[2, 5], [10]], [[12], [3, 4]]])
def test_a_radix_net_needs_one_system(systems):
    """Up to there each pair has one path, which every output needs; each layer alone is disconnected, so no bound."""
    net = eg.radix_net(systems, [1] * (sum(map(len, systems)) + 1))
    depth = len(systems[0])
    assert sensitivity_depth(net) == SensitivityDepth(depth, 1 if depth == 1 else None, depth)


def test_complete_layers_need_one_and_permutations_never_suffice():
    assert sensitivity_depth(eg.random_bipartite(70, 70, p=1)) == SensitivityDepth(1, 1, 1)
    assert sensitivity_depth(eg.random_bipartite(70, 71, p=1)) == SensitivityDepth(1, None, 1)
    assert family_sensitivity_depth("regular", 1, 1) == SensitivityDepth(1, 1, 1)
    assert family_sensitivity_depth("regular", 70, 1, max_layers=9) == SensitivityDepth(None, None, 9)


def test_disjoint_complete_graphs_are_the_worst_expander():
    def blocks(n_left, n_right, n_edges, rng):
        return BipartiteGraph.from_biadjacency(np.kron(np.eye(4), np.ones((n_left // 4, n_right // 4))))

    assert family_sensitivity_depth(blocks, 20, 5, max_layers=7) == SensitivityDepth(None, None, 7)


def test_a_lost_input_ends_the_search():
    def first_left_out(n_left, n_right, n_edges, rng):
        return BipartiteGraph.from_edges(
            n_left, n_right, [(i, j) for i in range(1, n_left) for j in range(n_right)][:n_edges]
        )

    assert family_sensitivity_depth(first_left_out, 8, 7) == SensitivityDepth(None, None, 1)
    assert family_sensitivity_depth("regular", 8, 0) == SensitivityDepth(None, None, 1)


def test_requests_that_make_no_sense_are_refused():
    with pytest.raises(eg.GenerationError, match="degree exceeds n = 8; the nearest feasible degree is 8"):
        family_sensitivity_depth("regular", 8, 9)
    with pytest.raises(ValueError, match="n must be an integer of at least 1"):
        family_sensitivity_depth("regular", 0, 0)
    with pytest.raises(ValueError, match="max_layers must be an integer of at least 1"):
        family_sensitivity_depth("regular", 8, 2, max_layers=0)
    with pytest.raises(ValueError, match="built as a whole"):
        family_sensitivity_depth("radix", 8, 2)
    with pytest.raises(ValueError, match="needed, got str"):
        sensitivity_depth("net")


def test_the_depth_of_large_random_layers_is_close_to_the_least():
    found = family_sensitivity_depth("regular", 2048, 16, rng=0)
    assert math.log(2048, 16) <= found.depth <= 4 < found.bound
