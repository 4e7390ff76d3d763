"""Several networks beside a reference."""

import math

import numpy as np
import pytest

import expandergraphs as eg
from expandergraphs.heat.comparison import heat_by_layer
from expandergraphs.results import number

TIMES = [0.1, 1, math.inf]


@pytest.fixture(scope="module")
def nets():
    return {
        "dense": eg.family_net("random", [20, 10, 5], density=1),
        "half": eg.family_net("random", [20, 10, 5], density=0.5, rng=0),
        "thin": eg.family_net("random", [20, 10, 5], density=0.1, rng=0),
    }


def test_every_network_is_compared_with_the_first(nets):
    found = eg.compare_heat(nets, TIMES)
    assert found.reference == "dense"
    assert "times" not in repr(found)
    assert found.times.tolist() == TIMES
    for name, net in nets.items():
        row = found.networks[name]
        np.testing.assert_allclose(row.distances, eg.heat_distance(nets["dense"], net, TIMES), atol=1e-12)
        assert (row.n_edges, row.components) == (net.n_edges, eg.components(net).count)
        assert row.unreached == eg.unreached_units(net).n_unreached
    assert found.networks["thin"].unreached > 0


def test_edges_of_weight_0_do_not_connect(nets):
    net = nets["half"]
    weights = {key: np.zeros(block.n_edges) for key, block in net.blocks.items()}
    cold = eg.LayeredGraph(net.widths, net.blocks, weights=weights)
    row = eg.compare_heat({"half": net, "cold": cold}, "saturated").networks["cold"]
    assert (row.components, row.unreached) == (35, 15)


def test_options_reach_the_signatures(nets):
    found = eg.compare_heat(nets, 1, sources=[3], laplacian="symmetric")
    expected = eg.heat_distance(nets["dense"], nets["thin"], 1, sources=[3], laplacian="symmetric")
    assert found.networks["thin"].distances == pytest.approx(tuple(expected))
    unreached = [eg.unreached_units(nets["thin"], sources=sources).n_unreached for sources in ([3], None)]
    assert found.networks["thin"].unreached == unreached[0] > unreached[1]
    assert found.laplacian == "symmetric"


def test_rest_is_the_same_for_connected_networks_with_the_combinatorial_laplacian_alone(nets):
    connected = {name: nets[name] for name in ("dense", "half")}
    for kind in ("combinatorial", "random_walk", "symmetric"):
        found = eg.compare_heat(connected, "saturated", laplacian=kind)
        zero = found.networks["half"].distances[0] < 1e-8
        assert zero == (kind == "combinatorial") == ("0 at saturation" in str(found))


def test_it_prints_a_row_or_a_column_a_network(nets):
    wide = eg.compare_heat(nets, [1, 30, math.inf]).table()
    assert wide.headings == ("network", "edges", "components", "never reached", "t = 1", "t = 30", "saturated")
    assert [row[0] for row in wide.rows] == list(nets)
    assert wide.rows[1][5:] == ("< 1e-8", "0")
    long = eg.compare_heat(nets, np.linspace(0, 1, 9)).table()
    assert long.headings == ("network", *nets)
    assert [row[0] for row in long.rows[:5]] == ["edges", "components", "never reached", "t = 0", "t = 0.125"]


def test_heat_by_layer_is_the_mean_of_its_units(nets):
    table = heat_by_layer(nets["half"], [0.1, math.inf], None, "combinatorial")
    values = eg.heat_signature(nets["half"], [0.1, math.inf]).values
    means = [[number(float(row[a:b].mean())) for a, b in ((0, 20), (20, 30), (30, 35))] for row in values]
    assert [list(row) for row in table.rows] == [["t = 0.1", *means[0]], ["saturated", *means[1]]]
    empty = heat_by_layer(eg.LayeredGraph([2, 0, 1], {}), 0, None, "combinatorial")
    assert [list(row) for row in empty.rows] == [["t = 0", *map(number, (1.0, math.nan, 0.0))]]


def test_what_cannot_be_compared(nets):
    with pytest.raises(ValueError, match=r"needs a mapping \{name: network\}"):
        eg.compare_heat({}, 1)
    with pytest.raises(ValueError, match=r"needs a mapping \{name: network\}"):
        eg.compare_heat(list(nets.values()), 1)
    with pytest.raises(ValueError, match="equally many nodes, got 35 and 15"):
        eg.compare_heat(nets | {"other": eg.family_net("random", [10, 5], density=1)}, 1)
