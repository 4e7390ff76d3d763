import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.reach import dead_units, reachability, receptive_fields
from tests.core.strategies import networks


def downstream(net):
    """Follow every edge from every unit: the slow, obvious twin. Units are pairs (layer, position)."""
    units = [(k, i) for k, width in enumerate(net.widths) for i in range(width)]
    after = {unit: {unit} for unit in units}
    for unit in reversed(units):
        for (s, t), block in net.blocks.items():
            for i, j in block.edges.tolist():
                if (s, i) == unit:
                    after[unit] |= after[t, j]
    return after


@given(networks(), st.data())
def test_reachability_agrees_with_following_every_edge(net, data):
    after, last = downstream(net), len(net.widths) - 1
    expected = np.zeros((net.widths[0], net.widths[-1]), dtype=bool)
    for i in range(net.widths[0]):
        expected[i, [j for k, j in after[0, i] if k == last]] = True
    reached = reachability(net)
    assert reached.dtype == bool
    assert np.array_equal(reached, expected)
    assert np.array_equal(reached, eg.path_counts(net) > 0)
    fields = receptive_fields(net)
    assert (fields.n_inputs, fields.n_outputs) == expected.shape
    assert np.array_equal(fields.receptive, expected.sum(axis=0))
    assert np.array_equal(fields.projective, expected.sum(axis=1))
    # In any order, and repeated.
    inputs, outputs = (
        data.draw(st.lists(st.integers(0, width - 1), max_size=6)) if width else [] for width in expected.shape
    )
    assert np.array_equal(reachability(net, inputs=inputs, outputs=outputs), expected[inputs][:, outputs])


@given(networks())
def test_dead_units_agree_with_following_every_edge(net):
    after, last = downstream(net), len(net.widths) - 1
    found = dead_units(net)
    reached = set().union(*(after[0, i] for i in range(net.widths[0])))
    useful = {unit for unit, others in after.items() if any(k == last for k, _ in others)}
    degrees = net.adjacency.astype(bool).sum(axis=0)
    ends = {(s, i) for (s, t), g in net.blocks.items() for i in g.edges[:, 0].tolist()}
    ends |= {(t, j) for (s, t), g in net.blocks.items() for j in g.edges[:, 1].tolist()}
    assert len(ends) >= np.count_nonzero(degrees)  # an edge of weight 0 is an edge
    for name, alive in (
        ("unreachable", reached),
        ("without_effect", useful),
        ("dead", reached & useful),
        ("isolated", ends),
    ):
        layers = getattr(found, name)
        assert [units.tolist() for units in layers] == [
            [i for i in range(width) if (k, i) not in alive] for k, width in enumerate(net.widths)
        ]
        assert not any(units.flags.writeable for units in layers)
    assert (found.n_units, found.n_dead) == (net.n_nodes, net.n_nodes - len(reached & useful))
    assert found.n_isolated == net.n_nodes - len(ends)


def test_more_inputs_than_a_word_a_piece_and_a_batch_hold():
    net = eg.family_net("random", [6500, 700, 900], n_edges=20_000, rng=0)
    first, second = (layer.biadjacency for layer in net.layers)
    expected = (first @ second).toarray() > 0
    assert np.array_equal(reachability(net), expected)
    fields = receptive_fields(net)
    assert np.array_equal(fields.receptive, expected.sum(axis=0))
    assert np.array_equal(fields.projective, expected.sum(axis=1))
    wide = eg.random_bipartite(17_000, 3, density=0.5, rng=0)
    assert np.array_equal(reachability(wide), wide.biadjacency.toarray() > 0)
    assert np.array_equal(receptive_fields(wide).projective, wide.left_degrees)
    assert np.array_equal(receptive_fields(wide).receptive, wide.right_degrees)


def test_chosen_inputs_of_a_wide_network_take_little_memory():
    net = LayeredGraph.from_layers([eg.random_left_regular(65_536, 65_536, 4, rng=seed) for seed in range(3)])
    tracemalloc.start()
    try:
        reached = reachability(net, inputs=[7, 65_535])
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert (reached.sum(axis=1) > 50).all()
    assert (reached.sum(axis=1) <= 4**3).all()


def test_inputs_are_taken_in_batches_that_fit_the_widest_layer():
    wide = LayeredGraph.from_layers(
        [eg.random_bipartite(600, 2**21, n_edges=600), eg.random_bipartite(2**21, 3, n_edges=5)]
    )
    tracemalloc.start()
    try:
        receptive_fields(wide)
        assert tracemalloc.get_traced_memory()[1] < 2**27  # all at once need 2**27.3 a layer
    finally:
        tracemalloc.stop()


def test_in_a_projective_plane_two_points_share_a_line():
    """Points to lines shows each input to q + 1 outputs; points to lines to points, to all."""
    plane = eg.projective_plane(5)
    assert set(receptive_fields(plane).receptive.tolist()) == {6}
    assert reachability(LayeredGraph.from_layers([plane, plane.T])).all()


def test_a_left_regular_layer_that_widens_leaves_most_outputs_without_input():
    """A right vertex is missed by 64 left vertices of degree 4 with probability (1 - 4 / 512)^64 = 0.605."""
    g = eg.random_left_regular(64, 512, 4, rng=0)
    found = dead_units(g)
    assert np.array_equal(found.unreachable[1], np.flatnonzero(g.right_degrees == 0))
    assert found.n_dead == found.n_isolated == pytest.approx(0.605 * 512, rel=0.1)


def test_a_skip_keeps_outputs_alive():
    one = BipartiteGraph.from_edges(1, 1, [(0, 0)])
    found = dead_units(LayeredGraph([1, 1, 1], {(0, 2): one}))
    assert [units.tolist() for units in found.dead] == [[], [0], []]
    assert [units.tolist() for units in found.isolated] == [[], [0], []]


def test_results_cannot_be_changed():
    fields = receptive_fields(eg.projective_plane(2))
    with pytest.raises(FrozenInstanceError):
        fields.n_inputs = 3
    with pytest.raises(ValueError, match="read-only"):
        fields.receptive[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        fields.projective[0] = 1


def test_what_cannot_be_measured_is_refused():
    for function in (reachability, receptive_fields, dead_units):
        with pytest.raises(ValueError, match="needed, got str"):
            function("net")
    with pytest.raises(ValueError, match=r"outputs must lie in 0..6, got -1..2"):
        reachability(eg.projective_plane(2), outputs=[-1, 2])
