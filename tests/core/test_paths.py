import tracemalloc
from functools import cache

import numpy as np
import pytest
from hypothesis import given

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.paths import _is_prime
from tests.core.strategies import networks, pairs


def walk(net):
    """Count paths by walking them: the slow, obvious twin."""
    outgoing = {}
    for (s, t), block in net.blocks.items():
        for i, j in block.edges.tolist():
            outgoing.setdefault((s, i), []).append((t, j))
    last = len(net.widths) - 1

    @cache
    def count(node, end):
        return int(node == end) + sum(count(after, end) for after in outgoing.get(node, []))

    return [[count((0, i), (last, j)) for j in range(net.widths[-1])] for i in range(net.widths[0])]


@given(networks())
def test_path_counts_agree_with_walking(net):
    counts = eg.path_counts(net)
    assert counts.shape == (net.widths[0], net.widths[-1])
    assert counts.tolist() == walk(net)
    assert eg.n_paths(net) == sum(map(sum, walk(net)))
    flat = {count for row in walk(net) for count in row}
    assert eg.is_path_symmetric(net) == (len(flat) <= 1 and 0 not in flat)


def test_counts_beyond_64_bits_are_exact():
    complete = eg.random_bipartite(9, 9, p=1)
    counts = eg.path_counts(LayeredGraph.from_layers([complete] * 70))
    assert (counts == 9**69).all()
    assert all(type(count) is int for count in counts.ravel())
    assert eg.n_paths(LayeredGraph.from_layers([complete] * 70)) == 9**71


def test_chosen_inputs_and_outputs():
    net = eg.family_net("random", [9, 8, 7], density=0.5, rng=0)
    chosen = eg.path_counts(net, inputs=[7, 2], outputs=[6])
    assert (chosen == eg.path_counts(net)[[7, 2]][:, [6]]).all()
    with pytest.raises(ValueError, match=r"inputs must lie in 0..8, got 9..9"):
        eg.path_counts(net, inputs=[9])
    with pytest.raises(ValueError, match="outputs must be a list of integers"):
        eg.path_counts(net, outputs=[0.5])


def test_one_input_of_many_takes_little_memory():
    net = eg.LayeredGraph.from_layers([eg.random_bipartite(20_000, 3, n_edges=9, rng=0)])
    tracemalloc.start()
    try:
        eg.path_counts(net, inputs=[7])
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_deep_network_takes_the_memory_of_a_few_layers():
    layer = eg.random_left_regular(1000, 1000, 2, rng=0)
    net = LayeredGraph.from_layers([layer] * 100)
    tracemalloc.start()
    try:
        eg.path_counts(net, inputs=range(16), outputs=[0])
        assert tracemalloc.get_traced_memory()[1] < 2**22  # a layer takes 2**17 bytes
    finally:
        tracemalloc.stop()


def test_what_is_no_network_is_refused():
    for function in (eg.components, eg.path_counts, eg.n_paths, eg.is_path_symmetric):
        with pytest.raises(ValueError, match="needed, got str"):
            function("net")


def test_primes():
    sieve = [n for n in range(13, 4000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]
    assert [n for n in range(13, 4000, 2) if _is_prime(n)] == sieve
    assert _is_prime(2**31 - 1)
    assert not _is_prime(46337 * 46327)


@given(pairs())
def test_components_agree_with_a_flood(example):
    n_left, n_right, edges = example
    g = BipartiteGraph.from_edges(n_left, n_right, edges)
    label = list(range(n_left + n_right))
    for _ in label:
        for i, j in edges:
            label[i] = label[n_left + j] = min(label[i], label[n_left + j])
    found = eg.components(g)
    assert found.count == len(set(label))
    assert not found.labels.flags.writeable
    assert sorted(found.sizes.tolist()) == sorted(label.count(x) for x in set(label))
    assert len(set(zip(label, found.labels.tolist(), strict=True))) == found.count


def test_components_of_a_network_see_the_skips():
    net = LayeredGraph([1, 1, 1], {(0, 2): BipartiteGraph.from_edges(1, 1, [(0, 0)])})
    assert eg.components(net).count == 2
    assert np.array_equal(eg.components(net).sizes, [2, 1])
