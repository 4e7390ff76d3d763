import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from tests.core.strategies import networks


@given(networks())
def test_adjacency_agrees_with_blocks_put_in_place(net):
    dense = np.zeros((net.n_nodes, net.n_nodes))
    for (s, t), block in net.blocks.items():
        part = block.biadjacency.toarray()
        if net.weights is not None:
            for (i, j), weight in zip(block.edges, net.weights[s, t], strict=True):
                part[i, j] = weight
        dense[net.node_offsets[s] : net.node_offsets[s + 1], net.node_offsets[t] : net.node_offsets[t + 1]] = part
    adjacency = net.adjacency
    np.testing.assert_array_equal(adjacency.toarray(), dense + dense.T)
    assert adjacency.nnz == 2 * net.n_edges
    assert adjacency.has_sorted_indices


def as_before(net):
    """The adjacency with transposed graphs put in place block by block: slower, by another way."""
    n, offsets, places = net.n_nodes, net.node_offsets, []
    for (s, t), block in net.blocks.items():
        weights = np.ones(block.n_edges) if net.weights is None else net.weights[s, t]
        order = np.lexsort(block.edges.T)  # by right vertex
        left, right = block.edges.T
        places.append((left + offsets[s], right + offsets[t], weights))
        left, right = block.T.edges.T
        places.append((left + offsets[t], right + offsets[s], weights[order]))
    rows, columns, data = np.concatenate(places, axis=1) if places else np.zeros((3, 0))
    order = np.lexsort([columns, rows])
    indptr = np.searchsorted(rows[order], np.arange(n + 1))
    return data[order], columns[order], indptr


@given(networks(), st.sampled_from(["none", "distinct", "zeros", "one number"]))
def test_adjacency_agrees_with_its_slow_twin(net, kind):
    rng, number = np.random.default_rng(0), 0.5 * (kind == "one number")
    sizes = {key: block.n_edges for key, block in net.blocks.items()}
    weights = {key: rng.random(m) if kind == "distinct" else np.broadcast_to(number, m) for key, m in sizes.items()}
    net = LayeredGraph(net.widths, net.blocks, None if kind == "none" else weights)
    adjacency = net.adjacency
    for name, expected in zip(("data", "indices", "indptr"), as_before(net), strict=True):
        found = getattr(adjacency, name)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == (np.float64 if name == "data" else np.int32)
        assert found.flags.writeable


@given(networks())
def test_copies_are_equal_and_read_only(net):
    for clone in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert clone == net
        assert hash(clone) == hash(net)
        with pytest.raises(TypeError):
            clone.blocks[0, 1] = None
        for values in (clone.weights or {}).values():
            with pytest.raises(ValueError, match="WRITEABLE"):
                values.setflags(write=True)
    assert net != net.widths


def test_parts():
    a, b, skip = (eg.random_bipartite(m, n, n_edges=2, rng=0) for m, n in ((3, 4), (4, 2), (3, 2)))
    net = LayeredGraph([3, 4, 2], {(1, 2): b, (0, 2): skip, (0, 1): a}, names=["in", "hidden", "out"])
    assert net.layers == (a, b)
    assert dict(net.skips) == {(0, 2): skip}
    assert (net.n_nodes, net.n_edges, net.names) == (9, 6, ("in", "hidden", "out"))
    assert net.input_nodes.tolist() == [0, 1, 2]
    assert net.output_nodes.tolist() == [7, 8]
    assert list(net.blocks) == [(0, 1), (0, 2), (1, 2)]
    assert LayeredGraph([3, 4, 2], {(0, 1): a}).layers[1] == BipartiteGraph.from_edges(4, 2, [])
    assert LayeredGraph.from_layers([a, b]).widths == (3, 4, 2)


def test_weights_and_names_count_in_equality():
    g = eg.random_bipartite(3, 3, n_edges=2, rng=0)
    plain = LayeredGraph([3, 3], {(0, 1): g})
    weighted = LayeredGraph([3, 3], {(0, 1): g}, {(0, 1): [1.0, 2.0]})
    assert plain != weighted
    assert weighted != LayeredGraph([3, 3], {(0, 1): g}, {(0, 1): [1.0, 3.0]})
    assert weighted == LayeredGraph([3, 3], {(0, 1): g}, {(0, 1): np.array([1, 2])})
    assert plain != LayeredGraph([3, 3], {(0, 1): g}, names=["a", "b"])


def test_the_caller_s_weights_are_copied():
    g, mine = eg.random_bipartite(3, 3, n_edges=2, rng=0), np.array([1.0, 2.0])
    net = LayeredGraph([3, 3], {(0, 1): g}, {(0, 1): mine})
    mine[0] = 9
    assert net.weights[0, 1].tolist() == [1, 2]


@pytest.mark.parametrize("n_edges", [0, 1, 2, 5000])
def test_one_number_for_all_edges_stays_one(n_edges):
    g, mine = eg.random_bipartite(100, 100, n_edges=n_edges, rng=0), np.array(0.25)
    net = LayeredGraph([100, 100], {(0, 1): g}, {(0, 1): np.broadcast_to(mine, n_edges)})
    mine[...] = 9
    full = LayeredGraph([100, 100], {(0, 1): g}, {(0, 1): np.full(n_edges, 0.25)})
    rebuilt = LayeredGraph(net.widths, net.blocks, net.weights)
    for clone in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net)), rebuilt):
        values = clone.weights[0, 1]
        assert values.tolist() == [0.25] * n_edges
        assert values.strides == (0,) or n_edges < 2
        with pytest.raises(ValueError, match="WRITEABLE"):
            values.setflags(write=True)
        assert clone == full
        assert hash(clone) == hash(full)
        np.testing.assert_array_equal(clone.adjacency.toarray(), full.adjacency.toarray())
    plain = LayeredGraph([100, 100], {(0, 1): g})
    assert len(pickle.dumps(net)) < len(pickle.dumps(plain)) + 500


def test_one_number_is_checked_too():
    for number in (np.nan, np.inf, True, "1", 1j):
        with pytest.raises(ValueError, match="must be finite numbers"):
            LayeredGraph([3, 3], {(0, 1): g33}, {(0, 1): np.broadcast_to(number, 2)})
    with pytest.raises(ValueError, match=r"2 edges, its weights have \(3,\)"):
        LayeredGraph([3, 3], {(0, 1): g33}, {(0, 1): np.broadcast_to(1, 3)})


g33 = eg.random_bipartite(3, 3, n_edges=2, rng=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LayeredGraph([3], {}), "at least two layers"),
        (lambda: LayeredGraph([3, 4], {(0, 1): g33}), r"block \(0, 1\) is 3 x 3, the widths need 3 x 4"),
        (lambda: LayeredGraph([3, 3], {(1, 0): g33}), "must lead forward"),
        (lambda: LayeredGraph([3, 3], {(0, 2): g33}), "must lead forward within layers 0..1"),
        (lambda: LayeredGraph([3, 3], {0: g33}), "is named"),
        (lambda: LayeredGraph([3, 3], {(0, 1): "g"}), "must be a BipartiteGraph, got str"),
        (lambda: LayeredGraph([3, 3.5], {}), "each width must be an integer, got 3.5"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33}, {(0, 1): [1.0]}), r"2 edges, its weights have \(1,\)"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33}, {(0, 1): [1.0, np.inf]}), "must be finite"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33}, {}), "the blocks are"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33}, names=["a"]), "2 layers need as many names, got 1"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33}, {(0, 1): [1j, 2]}), "must be finite numbers"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33}, {(0, 1): ["1", "2"]}), "must be finite numbers"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33}, {(0, 1): [{}, {}]}), "must be finite numbers"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33}, {(0, 1): [10**400, 1]}), "must be finite numbers"),
        (lambda: LayeredGraph([3, 3], {(0, 1): g33, "01": g33}), "is named"),
        (lambda: LayeredGraph([3, 3], [g33]), "blocks must be a mapping"),
        (lambda: LayeredGraph(5, {}), "widths must be a sequence, got 5"),
        (lambda: LayeredGraph([2**62, 2**62], {}), "add up to less"),
        (lambda: LayeredGraph([3, 3], {}, names="ab"), "names must be a sequence, got 'ab'"),
        (lambda: LayeredGraph.from_layers([np.eye(3)]), "a BipartiteGraph is needed, got ndarray"),
        (lambda: LayeredGraph.from_layers([]), "at least one graph"),
        (lambda: LayeredGraph.from_layers([g33, eg.random_bipartite(4, 3, n_edges=1)]), "the widths need"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
