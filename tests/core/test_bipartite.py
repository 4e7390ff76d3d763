import copy
import pickle
import tracemalloc

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from tests.core.strategies import pairs


@given(pairs())
def test_agrees_with_a_set_of_pairs(example):
    n_left, n_right, edges = example
    g = BipartiteGraph.from_edges(n_left, n_right, edges)
    assert g.edges.tolist() == [list(edge) for edge in sorted(edges)]
    assert g.n_edges == len(edges)
    assert g.left_degrees.tolist() == [sum(a == i for a, _ in edges) for i in range(n_left)]
    assert g.right_degrees.tolist() == [sum(b == j for _, b in edges) for j in range(n_right)]
    assert g.density == (len(edges) / (n_left * n_right) if n_left * n_right else 0)
    dense = np.zeros((n_left, n_right))
    for i, j in edges:
        dense[i, j] = 1
    np.testing.assert_array_equal(g.biadjacency.toarray(), dense)
    both = np.block([[np.zeros((n_left, n_left)), dense], [dense.T, np.zeros((n_right, n_right))]])
    np.testing.assert_array_equal(g.adjacency.toarray(), both)
    assert {tuple(edge) for edge in g.T.edges.tolist()} == {(j, i) for i, j in edges}
    every = {(i, j) for i in range(n_left) for j in range(n_right)}
    assert {tuple(edge) for edge in g.complement.edges.tolist()} == every - set(edges)


@given(pairs())
def test_every_way_in_gives_the_same_graph(example):
    n_left, n_right, edges = example
    g = BipartiteGraph.from_edges(n_left, n_right, edges)
    assert BipartiteGraph.from_biadjacency(g.biadjacency) == g
    assert BipartiteGraph.from_biadjacency(g.biadjacency.toarray() * -2.5) == g
    assert BipartiteGraph.from_networkx(g.to_networkx()) == g
    assert BipartiteGraph.from_igraph(g.to_igraph()) == g
    assert BipartiteGraph(n_left, n_right, g.indptr, g.indices) == g
    assert g == g.T.T


@given(pairs(), pairs())
def test_equality_hash_and_digest_agree(one, other):
    a, b = BipartiteGraph.from_edges(*one), BipartiteGraph.from_edges(*other)
    same = one[:2] == other[:2] and set(one[2]) == set(other[2])
    assert (a == b) is same
    assert (a.digest == b.digest) is same
    assert a == BipartiteGraph.from_edges(one[0], one[1], one[2][::-1])
    assert hash(a) == hash(pickle.loads(pickle.dumps(a)))
    assert a != "a graph"


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g)), lambda g: g.T])
def test_nothing_can_be_written_to(clone):
    g = clone(eg.random_bipartite(8, 6, n_edges=20, rng=0))
    for array in (g.edges, g.indptr, g.indices):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for array in (g.indptr, g.indices):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
    with pytest.raises(AttributeError):
        g.n_left = 3
    before = g.digest
    g.biadjacency.data[:] = 7
    g.biadjacency.indices[:] = 0
    g.adjacency.indices[:] = 0
    g.left_degrees[:] = 0
    assert g.digest == before


def test_the_constructor_copies_what_others_can_write_to():
    indptr, indices = np.array([0, 1, 2]), np.array([0, 1])
    g = BipartiteGraph(2, 2, indptr, indices)
    view = indices[:]
    view.setflags(write=False)
    h = BipartiteGraph(2, 2, indptr, view)
    later = indices.astype(np.int32)
    writer = later[:]
    later.setflags(write=False)
    k = BipartiteGraph(2, 2, indptr, later)
    indices[0] = writer[0] = 1
    assert g.edges.tolist() == h.edges.tolist() == k.edges.tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1), (0, 0)]), r"1 repeated edges, the first is \(0, 0\)"),
        (lambda: BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 2)]), r"edge 1 is \(0, 2\): right vertices .* 0..1"),
        (lambda: BipartiteGraph.from_edges(2, 2, [(-1, 0)]), r"edge 0 is \(-1, 0\): left vertices"),
        (lambda: BipartiteGraph.from_edges(2, 2, [(0.5, 0)]), "must be integers"),
        (lambda: BipartiteGraph.from_edges(2, 2, [0, 1]), r"shape \(m, 2\), got \(2,\)"),
        (lambda: BipartiteGraph.from_edges(2.0, 2, []), "n_left must be an integer, got 2.0"),
        (lambda: BipartiteGraph.from_edges(2, -1, []), "n_right must be an integer of at least 0, got -1"),
        (lambda: BipartiteGraph.from_edges(2**32, 2**32, []), "below 2"),
        (lambda: BipartiteGraph.from_biadjacency(np.ones(3)), r"two dimensions, got shape \(3,\)"),
        (lambda: BipartiteGraph.from_biadjacency([[np.nan, 1]]), "nan"),
        (lambda: BipartiteGraph(1, 3, [0, 2], [1, 1]), "ascend strictly"),
        (lambda: BipartiteGraph(1, 3, [0, 2], [1, 0]), "ascend strictly"),
        (lambda: BipartiteGraph(1, 3, [0, 1], [3]), r"lie in 0..2, got 3..3"),
        (lambda: BipartiteGraph(2, 3, [0, 2, 1], [0, 1]), "indptr must rise from 0 to 2"),
        (lambda: BipartiteGraph(5, 99, np.array([0, 90, -90, -10, 80, 99], np.int8), range(99)), "indptr must rise"),
        (lambda: BipartiteGraph(1, 1, [0, 1], np.array(0)), r"one dimension, got shape \(\)"),
        (lambda: BipartiteGraph(0, 5, [0], np.zeros((0, 5), int)), "one dimension"),
        (lambda: BipartiteGraph.from_keys(1, 3, np.array([0.5, 1.5])), "keys must be integers"),
        (lambda: BipartiteGraph.from_keys(1, 3, [2, 1]), "ascend strictly"),
        (lambda: BipartiteGraph.from_keys(1, 3, [3]), r"keys must lie in 0..2"),
        (lambda: BipartiteGraph.from_edges(0, 2**70, []), "below 2"),
        (lambda: BipartiteGraph.from_networkx(nx.empty_graph(3), [0, 0, 1]), "3 nodes, of which only 2 are different"),
        (lambda: BipartiteGraph.from_networkx(nx.path_graph(3)), "no attribute bipartite"),
        (lambda: BipartiteGraph.from_networkx(nx.complete_graph(3), [0, 1]), r"edge \(0, 1\) does not lead"),
        (lambda: BipartiteGraph.from_networkx(nx.path_graph(2), [5]), "left names 5"),
        (lambda: BipartiteGraph.from_networkx(nx.MultiGraph([(0, 1), (0, 1)]), [0]), "repeated"),
        (lambda: BipartiteGraph.from_networkx(nx.DiGraph([(1, 0)]), [0]), r"edge \(1, 0\) does not lead"),
        (lambda: BipartiteGraph.from_igraph(igraph.Graph(2)), "no vertex attribute 'type'"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_networkx_keeps_the_order_it_is_given():
    graph = nx.Graph([("b", "y"), ("x", "a"), ("a", "y")])
    assert BipartiteGraph.from_networkx(graph, ["a", "b"]).edges.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert BipartiteGraph.from_networkx(graph, ["b", "a"]).edges.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert BipartiteGraph.from_networkx(graph, {"a", "b"}).edges.tolist() == [[0, 0], [1, 0], [1, 1]]


def test_igraph_sides_may_be_mixed():
    graph = igraph.Graph(4, [(1, 0), (2, 3)])
    graph.vs["type"] = [True, False, False, True]
    assert BipartiteGraph.from_igraph(graph).edges.tolist() == [[0, 0], [1, 1]]
    graph.add_edge(0, 3)
    with pytest.raises(ValueError, match="joins two vertices of one side"):
        BipartiteGraph.from_igraph(graph)
    backwards = igraph.Graph(2, [(1, 0)], directed=True, vertex_attrs={"type": [False, True]})
    with pytest.raises(ValueError, match=r"edge \(1, 0\) does not lead from the left"):
        BipartiteGraph.from_igraph(backwards)
    for value in (None, "right", 2):
        with pytest.raises(ValueError, match="must be False"):
            BipartiteGraph.from_igraph(igraph.Graph(1, vertex_attrs={"type": [value]}))


def test_explicit_zeros_and_repeats_of_a_sparse_matrix():
    matrix = sparse.coo_array(([1.0, 2.0, 0.0, 3.0, -3.0], ([0, 0, 1, 1, 1], [1, 1, 0, 1, 1])), shape=(2, 2))
    assert BipartiteGraph.from_biadjacency(matrix).edges.tolist() == [[0, 1]]
    assert BipartiteGraph.from_biadjacency(sparse.csr_matrix(matrix)).edges.tolist() == [[0, 1]]


def test_indices_take_32_bits_where_they_fit():
    assert BipartiteGraph.from_edges(2, 5, [(0, 1)]).edges.dtype == np.int32
    wide = BipartiteGraph.from_edges(2, 2**32, [(0, 2**32 - 1)])
    assert wide.edges.dtype == np.int64
    assert wide.edges.tolist() == [[0, 2**32 - 1]]


@pytest.mark.parametrize(
    "use",
    [
        lambda edges, g: BipartiteGraph.from_edges(g.n_left, g.n_right, edges),
        lambda edges, g: g.T,
        lambda edges, g: g.adjacency,
        lambda edges, g: eg.LayeredGraph.from_layers([g]).adjacency,
        lambda edges, g: g.biadjacency,
        lambda edges, g: g.edges,
        lambda edges, g: g.digest,
        lambda edges, g: pickle.loads(pickle.dumps(g)),
    ],
)
def test_peak_memory_stays_below_five_times_the_edges(use):
    g = eg.random_left_regular(1 << 15, 1 << 15, 32, rng=0)
    edges = np.random.default_rng(0).permutation(g.edges)
    tracemalloc.start()
    try:
        use(edges, g)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * edges.nbytes
