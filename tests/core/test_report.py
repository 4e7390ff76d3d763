import io
import json
import math
import sys
from xml.etree import ElementTree as ET

import numpy as np
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
        assert repr(graph.irregular) == repr(eg.irregular_gaps(layer))  # nan is not nan
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


def test_it_passes_on_its_time_limit_and_tells_what_it_measures(monkeypatch):
    limits, steps = [], []

    def spy(g, *, time_limit, rng):
        limits.append(time_limit)
        return eg.vertex_expansion(g, time_limit=time_limit, rng=rng)

    monkeypatch.setattr(sys.modules["expandergraphs.report"], "vertex_expansion", spy)
    net = eg.family_net("regular", [4, 4, 4], degree=2, rng=0)
    assert eg.report(net, time_limit=9, progress=steps.append).graphs[1].name == "1 → 2"
    assert limits == [9, 9]
    measures = "spectrum", "irregular", "sampled", "intervals", "mixing", "spectral density", "girth", "distances"
    assert steps == [f"{graph}: {measure}" for graph in ("0 → 1", "1 → 2") for measure in measures] + ["paths"]
    steps.clear()
    eg.report(net, quick=True, progress=steps.append)
    assert steps == [f"{graph}: {measure}" for graph in ("0 → 1", "1 → 2") for measure in measures[:3]]


def test_weights_count_where_they_should():
    g = eg.random_bipartite(6, 5, n_edges=15, rng=0)
    weights = [np.arange(1.0, 16), -np.ones(15)]
    net = eg.LayeredGraph([6, 5, 6], {(0, 1): g, (1, 2): g.T}, dict(zip([(0, 1), (1, 2)], weights, strict=True)))
    for graph, layer, of in zip(eg.report(net).graphs, net.layers, weights, strict=True):
        assert repr(graph.irregular) == repr(eg.irregular_gaps(layer, of)) != repr(eg.irregular_gaps(layer))


def test_paths_of_a_net_in_which_everything_differs():
    """Of 4 inputs one is isolated; hidden 2 leads nowhere; hidden 3 and the last output have no edge."""
    first = eg.BipartiteGraph.from_edges(4, 4, [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2)])
    second = eg.BipartiteGraph.from_edges(4, 4, [(0, 0), (1, 0), (1, 1), (0, 2)])
    result = eg.report(eg.LayeredGraph.from_layers([first, second]))
    paths = result.paths
    assert (paths.count, paths.symmetric, paths.depth) == (8, False, None)
    assert (paths.fewest_inputs, paths.mean_inputs) == (0, (3 + 2 + 2 + 0) / 4)
    assert (paths.dead, paths.isolated) == (4, 3)
    for words in (
        "8 paths from inputs to outputs, not as many for each pair; an output sees 1.75 inputs, at least 0;",
        "no layer sees every input; dead units: 4",
    ):
        assert words in str(result)


@pytest.mark.parametrize("size", [2, 9])
def test_a_narrow_console_folds_no_cell(size):
    """What does not fit beside each other stands below each other, the first column repeated."""
    from rich.console import Console

    table = eg.report(eg.family_net("left_regular", [40] * size, degree=3, rng=0)).table()
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(table)
    text = console.file.getvalue()
    rows = [[cell.strip() for cell in line.strip("│┃").split(line[0])] for line in text.splitlines() if line[0] in "│┃"]
    shown = {(row[0], cell) for row in rows for cell in row[1:]}
    assert {(row[0], cell) for row in (table.headings, *table.rows) for cell in row[1:]} == shown
    assert text.count("┏") == {2: 1, 9: 3}[size]
    assert max(map(len, text.splitlines())) <= 80
    assert str(table).count("┏") == 1


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
    layers = [eg.random_regular(8, 8, 2, rng=0)] * 7
    names = ["<in>", "out & on", *"abcdef"]  # in the cells: so many graphs are rows
    page = eg.report(eg.LayeredGraph.from_layers(layers, names=names))._repr_html_()
    tree = ET.fromstring(page.replace("<br>", " "))
    assert "64 nodes, 112 edges" in tree.find("p").text
    cells = ["".join(cell.itertext()) for cell in tree.iter("td")]
    assert "<in> → out & on" in cells
    few = eg.report(eg.LayeredGraph.from_layers(layers[:1], names=names[:2]))._repr_html_()
    assert "<in> → out & on" in [cell.text for cell in ET.fromstring(few.replace("<br>", " ")).iter("th")]
    assert "8 x 8" in cells


def test_distances_of_a_large_graph_are_left_out_and_the_table_says_so(monkeypatch):
    g = eg.random_regular(8, 8, 3, rng=0)
    monkeypatch.setattr(sys.modules["expandergraphs.report"], "MOST_VERTICES", 16)
    assert eg.report(g).graphs[0].distances.diameter == eg.distances(g).diameter
    assert "not measured" not in str(eg.report(g))
    monkeypatch.setattr(sys.modules["expandergraphs.report"], "MOST_VERTICES", 15)
    large = eg.report(g)
    assert large.graphs[0].distances is None
    assert large.graphs[0].girth == eg.girth(g)
    assert "diameter, mean distance: not measured above 15 vertices; use distances(g)" in str(large)
    assert "not measured" not in str(eg.report(g, quick=True))
