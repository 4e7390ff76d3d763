import importlib
import math
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.distances import distances, girth
from tests.core.strategies import networks, pairs


def flood(neighbours, start, without=None):
    """Distances from a vertex, breadth first, not crossing one edge: the slow, obvious twin."""
    found, front = {start: 0}, [start]
    while front:
        vertex = front.pop(0)
        for other in sorted(neighbours[vertex]):
            if other not in found and {vertex, other} != without:
                found[other] = found[vertex] + 1
                front.append(other)
    return found


def check_against_a_flood(neighbours, graph_or_net):
    n = len(neighbours)
    lengths = [flood(neighbours, a).get(b) for a, b in combinations(range(n), 2)]
    finite = [length for length in lengths if length is not None]
    found = distances(graph_or_net)
    assert found.longest == max(finite, default=0)
    assert found.diameter == (found.longest if len(finite) == len(lengths) else math.inf)
    assert found.average == pytest.approx(np.mean(finite)) if finite else math.isnan(found.average)
    assert (found.n_pairs, found.n_unjoined) == (len(finite), len(lengths) - len(finite))
    assert found.counts.tolist() == [finite.count(length) for length in range(found.longest + 1)]
    edges = [(a, b) for a in range(n) for b in neighbours[a] if a < b]
    cycles = [flood(neighbours, a, without={a, b}).get(b, math.inf) + 1 for a, b in edges]
    assert girth(graph_or_net) == min(cycles, default=math.inf)


@given(pairs())
def test_graphs_agree_with_a_flood(example):
    n_left, n_right, edges = example
    neighbours = {vertex: set() for vertex in range(n_left + n_right)}
    for i, j in edges:
        neighbours[i].add(n_left + j)
        neighbours[n_left + j].add(i)
    g = BipartiteGraph.from_edges(*example)
    check_against_a_flood(neighbours, g)
    assert math.isinf(girth(g)) or girth(g) % 2 == 0


@given(pairs())
def test_squares_are_found_in_any_rows(example):
    g = BipartiteGraph.from_edges(*example)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("expandergraphs.distances"), "_WORK", 1)
        assert (girth(g) == 4) == bool((np.triu((g.biadjacency.astype(int) @ g.T.biadjacency).toarray(), 1) > 1).any())


@pytest.mark.parametrize("turned", [False, True])
def test_hubs_without_squares_cost_little(turned):
    """Pairs of neighbours of a hub are not all looked at: here 2^40 of them."""
    n = 2**20
    star = BipartiteGraph.from_edges(n, 1, np.column_stack([np.arange(n), np.zeros(n, dtype=int)]))
    assert girth(star.T if turned else star) == math.inf
    both = [(i, 0) for i in range(5000)] + [(0, j) for j in range(1, 5000)]
    assert girth(BipartiteGraph.from_edges(5000, 5000, both)) == math.inf


@given(networks())
def test_networks_agree_with_a_flood(net):
    neighbours = {vertex: set() for vertex in range(net.n_nodes)}
    for (s, t), block in net.blocks.items():
        for i, j in block.edges.tolist():
            a, b = int(net.node_offsets[s]) + i, int(net.node_offsets[t]) + j
            neighbours[a].add(b)
            neighbours[b].add(a)
    check_against_a_flood(neighbours, net)


@given(st.integers(0, 2**32), st.integers(2, 4))
def test_agrees_with_networkx(seed, degree):
    g = eg.random_regular(12, 15, degree, rng=seed)
    graph, found = g.to_networkx(), distances(g)
    assert girth(g) == nx.girth(graph)
    if nx.is_connected(graph):
        assert found.diameter == nx.diameter(graph)
        assert found.average == pytest.approx(nx.average_shortest_path_length(graph))
    parts = [nx.diameter(graph.subgraph(part)) for part in nx.connected_components(graph)]
    assert found.longest == max(parts)


@pytest.mark.parametrize(
    ("g", "shortest", "diameter"),
    [
        (eg.random_bipartite(3, 5, p=1), 4, 2),  # complete
        (BipartiteGraph.from_biadjacency(np.eye(9) + np.roll(np.eye(9), 1, axis=0)), 18, 9),  # a cycle
        (eg.projective_plane(3), 6, 3),  # a generalised triangle
        (eg.projective_plane(5), 6, 3),
        (eg.array_code(5, 2), 8, 4),
        (eg.array_code(7, 3), 6, 4),
        (BipartiteGraph.from_edges(1, 4, [(0, j) for j in range(4)]), math.inf, 2),  # a star
        (BipartiteGraph.from_edges(1, 0, []), math.inf, 0),
        (BipartiteGraph.from_edges(0, 0, []), math.inf, 0),
    ],
)
def test_known_graphs(g, shortest, diameter):
    assert girth(g) == shortest
    assert distances(g).diameter == diameter


def test_the_girth_of_lps_graphs():
    """At least 4 log_p q - log_p 4 where p is no residue (Lubotzky, Phillips, Sarnak 1988, theorem 3.4)."""
    for p, q in ((5, 13), (13, 5)):
        assert girth(eg.lps(p, q)) >= 4 * math.log(q, p) - math.log(4, p)


def test_a_skip_closes_an_odd_cycle():
    one = BipartiteGraph.from_edges(1, 1, [(0, 0)])
    net = LayeredGraph(
        [1, 1, 1], {(0, 1): one, (1, 2): one, (0, 2): one}, weights={(0, 1): [0], (1, 2): [5], (0, 2): [-1]}
    )
    assert girth(net) == 3
    assert distances(net).diameter == 1


def test_what_is_no_network_is_refused_and_results_are_read_only():
    for function in (distances, girth):
        with pytest.raises(ValueError, match="needed, got str"):
            function("net")
    with pytest.raises(ValueError, match="read-only"):
        distances(eg.projective_plane(2)).counts[0] = 1
