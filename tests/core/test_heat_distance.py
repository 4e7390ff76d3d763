from itertools import pairwise

import numpy as np
import pytest

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.heat.distance import heat_distance
from expandergraphs.heat.signature import heat_signature
from expandergraphs.heat.unreached import unreached_units


def chain(*widths, density=0.3, rng=0):
    rng = np.random.default_rng(rng)
    pairs = pairwise(widths)
    return LayeredGraph.from_layers([eg.random_bipartite(a, b, density=density, rng=rng) for a, b in pairs])


def test_it_is_the_norm_of_the_difference():
    one, other = chain(5, 8, 7), chain(5, 8, 7, rng=1)
    times = [0.3, 0, np.inf, 2]
    difference = np.asarray(heat_signature(one, times)) - np.asarray(heat_signature(other, times))
    found = heat_distance(one, other, times)
    np.testing.assert_allclose(found, np.linalg.norm(difference, axis=1), atol=1e-8)
    assert found[1] == 0
    assert not found.flags.writeable
    np.testing.assert_array_equal(heat_distance(other, one, times), found)


def test_several_sources_give_the_frobenius_norm():
    one, other, heat = chain(5, 8, 7), chain(5, 8, 7, rng=1), np.eye(20)[:, :5]
    each = [heat_distance(one, other, [0.1, 1], sources=[node]) for node in range(5)]
    found = heat_distance(one, other, [0.1, 1], sources=heat)
    np.testing.assert_allclose(found, np.linalg.norm(each, axis=0), atol=1e-8)


def test_at_saturation_connected_networks_do_not_differ():
    """Whatever their edges: exactly 0. Cut off one node, and they do."""
    dense, sparse = chain(6, 9, 5, density=1), chain(6, 9, 5, density=0.6)
    assert [eg.components(net).count for net in (dense, sparse)] == [1, 1]
    assert heat_distance(dense, sparse, "saturated").tolist() == [0.0]
    assert heat_distance(dense, sparse, 0.1)[0] > 0.1
    edges = sparse.layers[1].edges
    cut = BipartiteGraph.from_edges(9, 5, edges[edges[:, 1] != 4])
    isolated = heat_distance(dense, LayeredGraph.from_layers([sparse.layers[0], cut]), "saturated")[0]
    assert isolated == pytest.approx(np.hypot(6 / 20, np.sqrt(19) * (6 / 19 - 6 / 20)))


def test_another_laplacian():
    one, other = chain(5, 8, 7), chain(5, 8, 7, rng=1)
    difference = np.subtract(*(heat_signature(net, 1, laplacian="random_walk").values for net in (one, other)))
    found = heat_distance(one, other, 1, laplacian="random_walk")
    assert found[0] == pytest.approx(np.linalg.norm(difference), abs=1e-8)
    assert abs(found[0] - heat_distance(one, other, 1)[0]) > 1e-3


def test_the_tolerance_is_kept_to():
    one, other = chain(5, 8, 7), chain(5, 8, 7, rng=1)
    with pytest.raises(ValueError, match="more than the tolerance of 5e-18"):
        heat_distance(one, other, 1, tolerance=1e-17)


def test_networks_that_do_not_correspond():
    with pytest.raises(ValueError, match="equally many nodes, got 20 and 21"):
        heat_distance(chain(5, 8, 7), chain(5, 8, 8), 1)
    with pytest.raises(ValueError, match="have 5 and 7 inputs: name the same sources"):
        heat_distance(chain(5, 8, 7), chain(7, 8, 5), 1)
    assert heat_distance(chain(5, 8, 7), chain(7, 8, 5), 0, sources=[3]).tolist() == [0.0]
    with pytest.raises(ValueError, match="a BipartiteGraph or a LayeredGraph is needed, got int"):
        heat_distance(chain(5, 8, 7), 3, 1)


def example(weights=None):
    first = BipartiteGraph.from_edges(2, 4, [(0, 1), (1, 1)])
    second = BipartiteGraph.from_edges(4, 3, [(0, 0), (2, 0), (1, 1)])
    return LayeredGraph([2, 4, 3], {(0, 1): first, (1, 2): second}, weights, ["image", "conv1", "fc"])


def test_unreached_units_are_those_that_stay_cold():
    found = unreached_units(example())
    assert [units.tolist() for units in found.units] == [[], [0, 2, 3], [0, 2]]
    assert (found.n_units, found.n_unreached, found.names) == (9, 5, ("image", "conv1", "fc"))
    assert np.flatnonzero(heat_signature(example(), "saturated").values[0] == 0).tolist() == [2, 4, 5, 6, 8]
    text = str(found)
    assert "heat never reaches 5 of 9 units" in text
    assert "conv1" in text
    assert "3 of 4" in text
    assert "0, 2-3" in text
    assert "image" not in text
    assert found.to_dict()["units"] == [[], [0, 2, 3], [0, 2]]
    assert not any(units.flags.writeable for units in found.units)


def test_unreached_units_from_other_sources():
    found = unreached_units(example(), sources=[2, 8])
    assert [units.tolist() for units in found.units] == [[0, 1], [1, 3], [1]]
    opposite = np.zeros(9)
    opposite[[0, 1]] = 1, -1  # adds up to no heat, but reaches the same
    assert unreached_units(example(), sources=opposite).n_unreached == 5
    assert unreached_units(example(), sources=np.eye(9)[:, [0, 3]]).n_unreached == 5
    assert unreached_units(example(), sources=[]).n_unreached == 9
    assert unreached_units(example(), sources=np.ones((9, 0))).n_unreached == 9


def test_an_edge_of_weight_zero_carries_no_heat():
    weights = {(0, 1): [1.0, 0.0], (1, 2): [1.0, 0.0, 1.0]}
    found = unreached_units(example(weights), sources=[0])
    assert [units.tolist() for units in found.units] == [[1], [0, 2, 3], [0, 1, 2]]


def test_layers_without_names_are_numbered():
    assert unreached_units(BipartiteGraph.from_edges(1, 2, [(0, 0)])).names == ("0", "1")


def test_signatures_that_cannot_be_compared():
    one = heat_signature(chain(5, 8, 7), [1, 2])
    assert one.distance(one).tolist() == [0, 0]
    assert heat_signature(LayeredGraph([0, 0], {}), []).distance(heat_signature(LayeredGraph([0, 0], {}), [])).size == 0
    for other in (
        heat_signature(chain(5, 8, 7), [1, 3]),
        heat_signature(chain(5, 8, 8), [1, 2]),
        heat_signature(chain(5, 8, 7), [1, 2], sources=np.ones((20, 2))),
    ):
        with pytest.raises(ValueError, match="same times, nodes and source vectors"):
            one.distance(other)
