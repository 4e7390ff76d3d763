import json
import math
from xml.etree import ElementTree as ET

import pytest

import expandergraphs as eg


def test_a_network_s_report_holds_its_graphs_measures():
    net = eg.family_net("left_regular", [64, 512, 8], degree=4, rng=0)
    result = eg.report(net)
    assert (result.n_nodes, result.n_edges, result.components) == (584, net.n_edges, eg.components(net).count)
    for graph, layer in zip(result.graphs, net.layers, strict=True):
        assert (graph.n_edges, graph.density) == (layer.n_edges, layer.density)
        assert graph.spectrum == eg.spectral_gap(layer)
        assert graph.components == eg.components(layer).count
        assert graph.left_degrees.minimum == graph.left_degrees.maximum == 4
        assert graph.right_degrees.isolated == (layer.right_degrees == 0).sum()
        assert graph.right_degrees.mean == pytest.approx(layer.right_degrees.mean())
    assert eg.report(net).to_dict() == result.to_dict()


def test_it_holds_every_measure():
    """The others are named in the tests of what they measure."""
    net = eg.radix_net([[2, 2, 2], [2, 2]], [1, 2, 3, 2, 1, 1])
    result = eg.report(net)
    for graph, layer in zip(result.graphs, net.layers, strict=True):
        assert graph.irregular == eg.irregular_gaps(layer)
        assert graph.mixing.ratio == pytest.approx(eg.mixing_discrepancy(layer, rng=0).ratio)
        assert graph.spectral_density.law_distance == eg.spectral_density(layer).law_distance
        assert (graph.girth, str(graph.distances)) == (eg.girth(layer), str(eg.distances(layer)))
        for side, interval in (("left", graph.intervals.left), ("right", graph.intervals.right)):
            assert interval.upper == eg.vertex_expansion(layer, side=side, rng=0).upper
        assert graph.intervals.edge.upper == eg.edge_expansion(layer, rng=0).upper
        assert graph.intervals.conductance.upper == eg.conductance(layer, rng=0).upper
    paths = result.paths
    assert (paths.count, paths.symmetric) == (8 * 8 * 48, True)
    assert (paths.dead, paths.isolated, paths.mean_inputs, paths.fewest_inputs) == (0, 0, 8, 8)
    assert paths.depth == eg.sensitivity_depth(net).depth
    assert "3072 paths from inputs to outputs, as many for each pair" in str(result)
    quick = eg.report(net, quick=True)
    assert quick.paths is None
    assert {quick.graphs[0].intervals, quick.graphs[0].mixing, quick.graphs[0].spectral_density} == {None}
    assert "mixing ratio" in str(result)
    assert "mixing ratio" not in str(quick)


def test_it_prints_and_converts():
    result = eg.report(eg.LayeredGraph.from_layers([eg.random_regular(8, 8, 2, rng=0)], names=["in", "out"]))
    text = str(result)
    assert "in → out" in text
    assert "normalised" in text
    assert "16 nodes, 16 edges" in text
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["graphs"][0]["spectrum"]["sigma1"] == 2
    assert plain["graphs"][0]["left_degrees"] == {"minimum": 2, "mean": 2, "maximum": 2, "isolated": 0}


def test_graphs_without_edges_or_admissible_sets():
    single = eg.report(eg.BipartiteGraph.from_edges(1, 1, [(0, 0)])).graphs[0]
    assert single.sampled is None
    empty = eg.report(eg.BipartiteGraph.from_edges(0, 3, [])).graphs[0]
    assert (empty.components, empty.right_degrees.isolated) == (3, 3)
    assert math.isnan(empty.spectrum.ratio)
    assert eg.report(eg.BipartiteGraph.from_edges(0, 3, [])).to_dict()["graphs"][0]["spectrum"]["ratio"] is None
    assert str(eg.report(eg.BipartiteGraph.from_edges(0, 3, [])))
    with pytest.raises(ValueError, match="got list"):
        eg.report([])


def test_a_notebook_shows_a_table():
    """Well-formed, nothing unescaped, and every cell of the printed table in it."""
    net = eg.LayeredGraph.from_layers([eg.random_regular(8, 8, 2, rng=0)], names=["<in>", "out & on"])
    page = eg.report(net)._repr_html_()
    tree = ET.fromstring(page.replace("<br>", " "))
    assert "16 nodes, 16 edges" in tree.find("caption").text
    cells = ["".join(cell.itertext()) for cell in tree.iter("td")]
    assert "<in> → out & on" in cells or "<in> → out & on" in [cell.text for cell in tree.iter("th")]
    assert "8 x 8" in cells
