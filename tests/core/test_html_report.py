import csv
import io
import json
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph, cli
from expandergraphs.html import page as module
from expandergraphs.html.layer_findings import find
from expandergraphs.html.markup import Markup, tag
from expandergraphs.html.measured import HEAT_TIMES, measured
from expandergraphs.html.subject import as_subject
from tests.core.html_page import Page

EMPTY = BipartiteGraph.from_edges(4, 4, [])
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x00\ud800\n"


def complete(n_left, n_right):
    return BipartiteGraph.from_edges(n_left, n_right, [(i, j) for i in range(n_left) for j in range(n_right)])


def identity(n):
    return BipartiteGraph.from_edges(n, n, [(i, i) for i in range(n)])


def page_of(tmp_path, given, **options):
    eg.save_report(tmp_path / "r.html", given, **options)
    return Page(tmp_path / "r.html")


def findings(given, time_limit=0):
    """Return what is found; bad sets are only searched where there is no limit, or enough time."""
    subject = as_subject(given, None)
    return find(measured(subject, thorough=False, time_limit=time_limit, rng=0, progress=lambda step: None))


def titles(given):
    return [finding.title for finding in findings(given)]


regular = eg.random_regular(32, 32, 6, rng=0)
DEGENERATE = {
    "no vertices": BipartiteGraph.from_edges(0, 0, []),
    "one vertex": BipartiteGraph.from_edges(1, 0, []),
    "one edge": BipartiteGraph.from_edges(1, 1, [(0, 0)]),
    "one input": BipartiteGraph.from_edges(1, 5, [(0, 2)]),
    "no edges": EMPTY,
    "complete": complete(6, 7),
    "identity": identity(5),
    "a hundred layers": eg.family_net("regular", [8] * 101, degree=3, rng=0),
    "no units": LayeredGraph([0, 0, 0], {}),
    "no blocks": LayeredGraph([3, 0, 2], {}),
    "loose ends": LayeredGraph([1, 2, 1], {(0, 1): BipartiteGraph.from_edges(1, 2, [(0, 1)])}),
    "skips": LayeredGraph([4, 4, 4], {(0, 1): identity(4), (1, 2): EMPTY, (0, 2): complete(4, 4)}),
    "only a skip": LayeredGraph([4, 4, 4], {(0, 2): identity(4)}),
    "weights": LayeredGraph([4, 4], {(0, 1): identity(4)}, {(0, 1): [0, 1, 2.5, 1e-9]}),
    "negative weights": LayeredGraph([4, 4], {(0, 1): identity(4)}, {(0, 1): [-1, 1, 1, 1]}),
    "no graphs": {},
    "graphs by name": {"fc1": regular, "": EMPTY},
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_every_graph_gets_a_page(tmp_path, name):
    page = page_of(tmp_path, DEGENERATE[name], time_limit=0)
    assert page.source.startswith('<!doctype html>\n<html lang="en">')
    assert page.count("h1") == 1
    assert page.count("section") >= 4
    assert {"layers.csv", "report.json"} <= page.files.keys()
    for attributes in (attributes for element, attributes in page.elements if element == "a"):
        target = attributes["href"].removeprefix("#")
        assert "download" in attributes or page.count("section", id=target) == 1
    assert page.count("table") == page.count("caption")
    assert all("scope" in attributes for element, attributes in page.elements if element == "th")
    assert (
        page.count("svg")
        == page.count("svg", role="img")
        == page.source.count("</title><pol")
        + (page.source.count("</title></svg>") + page.source.count("</title><line"))
    )


@settings(max_examples=15)
@given(st.data())
def test_random_networks_get_the_same_page_twice(tmp_path_factory, data):
    widths = data.draw(st.lists(st.integers(0, 9), min_size=2, max_size=5))
    pairs = [(s, t) for s in range(len(widths)) for t in range(s + 1, len(widths))]
    blocks = {}
    for s, t in data.draw(st.lists(st.sampled_from(pairs), unique=True)):
        cells = data.draw(st.sets(st.integers(0, max(0, widths[s] * widths[t] - 1)), max_size=30))
        edges = [divmod(cell, widths[t]) for cell in cells] if widths[s] * widths[t] else []
        blocks[s, t] = BipartiteGraph.from_edges(widths[s], widths[t], edges)
    net, folder = LayeredGraph(widths, blocks), tmp_path_factory.mktemp("pages")
    for name in ("a.html", "b.html"):
        eg.save_report(folder / name, net, time_limit=0)
    page = Page(folder / "a.html")
    assert page.source == (folder / "b.html").read_text("utf-8")
    assert page.count("tr") == (0 if not blocks else 1 + len(blocks)) + 1 + len(widths)
    dead = eg.dead_units(net)
    assert f"Dead units {dead.n_dead}on no path" in page.text


def test_it_needs_nothing_else(tmp_path):
    page = page_of(tmp_path, eg.family_net("random", [20, 30, 10], density=0.2, rng=0))
    assert "http:" not in page.source
    assert "https:" not in page.source
    assert page.count("script") == page.count("link") == page.count("img") == page.count("iframe") == 0
    assert not any("src" in attributes or "onload" in attributes for _, attributes in page.elements)
    assert "url(" not in page.source
    assert page.count("meta", **{"http-equiv": "Content-Security-Policy"}) == 1


def test_names_are_only_text(tmp_path):
    net = LayeredGraph([4, 4, 4], {(0, 1): EMPTY, (1, 2): regular_of(4)}, names=[HOSTILE] * 3)
    page = page_of(tmp_path, net, title=HOSTILE)
    assert page.count("script") == page.count("img") == 0
    assert "<script>alert(1)</script>" in page.text
    page = page_of(tmp_path, {HOSTILE: EMPTY, "=1+1": regular})
    assert page.count("script") == page.count("img") == 0
    assert [row["layer"] for row in csv.DictReader(io.StringIO(page.files["layers.csv"].decode()))][1] == "=1+1"


def regular_of(n):
    return eg.random_regular(n, n, 2, rng=0)


def test_markup_escapes_all_but_markup():
    assert tag("p", "<b>", Markup("<i></i>"), title='"') == '<p title="&quot;">&lt;b&gt;<i></i></p>'


def test_the_files_hold_the_measures(tmp_path):
    net = eg.family_net("random", [20, 30, 10], density=0.3, rng=0)
    page = page_of(tmp_path, net)
    report = eg.report(net, quick=True).to_dict()
    carried = json.loads(page.files["report.json"])
    for graph, kept in zip(report["graphs"], carried["graphs"], strict=True):
        assert {key for key in graph if graph[key] != kept[key]} == {"intervals"}
        assert kept["intervals"]["left"]["lower"] <= kept["intervals"]["left"]["upper"]
    assert {key: carried[key] for key in carried if key != "graphs"} == {
        key: report[key] for key in report if key != "graphs"
    }
    rows = list(csv.DictReader(io.StringIO(page.files["layers.csv"].decode())))
    assert [row["layer"] for row in rows] == ["layer 1", "layer 2"]
    for row, graph in zip(rows, carried["graphs"], strict=True):
        assert int(row["n_edges"]) == graph["n_edges"]
        assert float(row["spectrum_sigma2"]) == graph["spectrum"]["sigma2"]
        assert float(row["left_degrees_mean"]) == graph["left_degrees"]["mean"]
        assert float(row["intervals_right_upper"]) == graph["intervals"]["right"]["upper"]
        assert row["spectrum_connected"] == str(graph["spectrum"]["connected"])
    (tmp_path / "g.npz").write_bytes(page.files["graph.npz"])
    assert eg.load(tmp_path / "g.npz") == net


def test_graphs_by_name_are_carried_and_left_out(tmp_path):
    graphs = {"fc1": regular, "fc2": EMPTY}
    (tmp_path / "g.npz").write_bytes(page_of(tmp_path, graphs).files["graph.npz"])
    assert eg.load_graphs(tmp_path / "g.npz") == graphs
    page = page_of(tmp_path, graphs, include_graph=False)
    assert "graph.npz" not in page.files
    assert "is left out; include_graph puts it here" in page.text


def test_a_large_graph_says_what_was_left_out(tmp_path):
    g = eg.random_regular(1100, 1100, 5, rng=0)
    page = page_of(tmp_path, g)
    assert "proved, not searched" in page.text
    assert "Small sets were not searched where a layer has over 5,000 edges (1 of them)" in page.text
    assert "estimated by the kernel polynomial method" in page.text
    interval = json.loads(page.files["report.json"])["graphs"][0]["intervals"]["left"]
    assert interval["upper"] == 5  # of a single vertex: a search would have found better
    assert interval["lower"] > 1
    assert page_of(tmp_path, g, time_limit=0.1).text.count("limit of 0.1 seconds each") == 1
    text = page_of(tmp_path, regular, time_limit=0).text
    assert "no set was searched, as the time limit is 0" in text
    assert text.count("proved, not searched") == 2


def test_thorough_is_the_whole_report(tmp_path):
    g = eg.random_bipartite(10, 8, density=0.4, rng=0)
    page = page_of(tmp_path, g, thorough=True)
    assert json.loads(page.files["report.json"]) == json.loads(json.dumps(eg.report(g).to_dict()))
    assert "conductance" in page.text
    assert "Left out" not in page.text
    net = LayeredGraph.from_layers([g])
    assert json.loads(page_of(tmp_path, net, thorough=True).files["report.json"]) == json.loads(
        json.dumps(eg.report(net).to_dict())
    )


def test_good_graphs_have_no_finding(tmp_path):
    for good in (eg.random_regular(64, 64, 8, rng=0), eg.projective_plane(5), complete(8, 8)):
        assert titles(good) == []
    for limit in (0, None):
        page = page_of(tmp_path, eg.random_regular(24, 24, 5, rng=0), time_limit=limit)
        assert "Nothing wrong found. This was checked: " in page.text
    assert titles(eg.family_net("regular", [64, 64, 64, 64], degree=8, rng=0)) == []


def test_units_that_receive_nothing():
    a, b = complete(6, 9), complete(9, 4)
    a = BipartiteGraph.from_edges(6, 9, [edge for edge in a.edges.tolist() if edge[1] not in (2, 5)])
    b = BipartiteGraph.from_edges(9, 4, [edge for edge in b.edges.tolist() if edge[0] != 7 and edge[1] != 3])
    net = LayeredGraph.from_layers([a, b], names=["in", "layer3.conv2", "fc"])
    found = {finding.title: finding for finding in findings(net)}
    assert found["layer3.conv2: 2 outputs receive nothing"].places == (("layer3.conv2", "2 of 9: 2, 5"),)
    assert found["layer3.conv2: 1 output is used by nothing"].places == (("layer3.conv2", "1 of 9: 7"),)
    assert next(iter(found)) == "fc: 1 output of the network depends on no input"
    assert titles({"fc": b})[:2] == ["fc: 1 output receives nothing", "fc: 1 input is not used"]


def test_units_that_are_cut_off():
    first = BipartiteGraph.from_edges(2, 3, [(0, 0)])
    middle = BipartiteGraph.from_edges(3, 3, [(0, 0), (1, 1), (0, 2)])
    last = BipartiteGraph.from_edges(3, 2, [(0, 0), (0, 1)])
    found = titles(LayeredGraph.from_layers([first, middle, last]))
    alike = LayeredGraph.from_layers([EMPTY, EMPTY, identity(4)], names=["same"] * 4)
    assert "8 outputs receive nothing, in 2 layers" in titles(alike)
    assert "layer 1: 2 outputs receive nothing" in found
    assert "layer 2: 1 unit receives only from units that no input reaches" in found
    assert "layer 1: 1 unit leads only to dead ends" in found
    assert "input: 1 input is not used" in found


def test_a_network_without_a_path_or_in_parts():
    through = LayeredGraph.from_layers([complete(3, 3), BipartiteGraph.from_edges(3, 3, [])])
    assert titles(through)[:2] == ["No path leads from any input to any output", "layer 2 has no edges"]
    halves = eg.disjoint_union([complete(4, 4), complete(4, 4)])
    found = findings(LayeredGraph.from_layers([halves, halves]))
    assert found[0].title == "The network falls into 2 parts that share nothing"
    assert "The largest holds 12 of 24 units" in found[0].means
    mixed = findings(LayeredGraph.from_layers([halves, complete(8, 8)]))
    assert [(finding.severity, finding.title) for finding in mixed] == [(0, "layer 1 falls into 2 parts")]
    assert [(f.severity, f.title) for f in findings(halves)] == [(1, "graph falls into 2 parts")]


def test_few_units_in_between():
    narrow = LayeredGraph.from_layers([complete(40, 4), complete(4, 40)])
    assert titles(narrow) == ["Everything passes through few units: layer 1"]
    past = LayeredGraph([40, 4, 40], {**narrow.blocks, (0, 2): identity(40)})
    assert "Everything passes through few units: layer 1" not in titles(past)
    hubs = BipartiteGraph.from_edges(16, 16, [(i, j) for i in range(4) for j in range(16)] + [(9, 0)])
    assert "graph sends almost everything through few units" in titles(hubs)
    spread = BipartiteGraph.from_edges(16, 16, [(i, j) for i in range(6) for j in range(16)])
    assert "graph sends almost everything through few units" not in titles(spread)


def test_gap_and_expansion():
    # Two dense halves and two edges between them: hardly a gap, and each half reaches little more than itself.
    halves = eg.disjoint_union([eg.random_regular(24, 24, 8, rng=k) for k in range(2)])
    joined = BipartiteGraph.from_edges(48, 48, [*halves.edges.tolist(), [0, 47], [47, 0]])
    found = findings(joined)
    assert [finding.title for finding in found] == ["graph has a small spectral gap"]
    assert "normalised σ2 0.99" in found[0].places[0][1]
    # Ten inputs that share their two outputs.
    crowd = [(i, j) for i in range(10) for j in (0, 1)]
    others = [(10 + i, j) for i in range(10) for j in (1, 2 + i, 2 + (i + 1) % 10)]
    poor = BipartiteGraph.from_edges(20, 20, crowd + others)
    place = next(f for f in findings(poor, time_limit=None) if f.title.endswith("expands badly")).places[0][1]
    assert (
        place
        == "10 inputs have only 2 outputs between them, α = 0.2 of at most 2: inputs 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
    )


def test_ramanujan_is_said_where_it_is_a_theorem(tmp_path):
    ring = BipartiteGraph.from_edges(6, 6, [(i, (i + k) % 6) for i in range(6) for k in (0, 1, 2)])
    gap = eg.spectral_gap(ring)
    assert gap.is_ramanujan == ("graph is no Ramanujan graph" not in titles(ring))
    radix = eg.radix_net([[4, 4]], [1, 1, 1]).layers[0]
    assert eg.spectral_gap(radix).is_ramanujan is False
    assert "not Ramanujan" in page_of(tmp_path, radix).text
    assert "Ramanujan yeseach side has one degree" in page_of(tmp_path, eg.projective_plane(3)).text
    assert "Ramanujan noeach side has one degree" in page_of(tmp_path, radix).text
    layers = {"plane": eg.projective_plane(3), "radix": radix}
    assert "Ramanujan 1 of 2layers with one degree a side" in page_of(tmp_path, layers).text
    assert "bound ~" in page_of(tmp_path, eg.random_bipartite(20, 20, density=0.3, rng=0)).text


def test_densities_identities_and_zeros():
    nets = eg.family_net("regular", [32, 32, 32, 32], degree=3, rng=0)
    net = LayeredGraph([32] * 5, {**nets.blocks, (3, 4): complete(32, 32)})
    assert "layer 4 has a density far from the others" in titles(net)
    assert "layer 2 joins units one to one" in titles(LayeredGraph.from_layers([complete(4, 4), identity(4)]))
    skip = LayeredGraph([4, 4, 4], {(0, 1): complete(4, 4), (1, 2): complete(4, 4), (0, 2): identity(4)})
    assert titles(skip) == []
    zeros = LayeredGraph([4, 4], {(0, 1): complete(4, 4)}, {(0, 1): np.arange(16.0)})
    assert findings(zeros)[0].places == (("layer 1", "1 of 16"),)


def test_one_to_one_is_measured_unless_it_is_a_skip(tmp_path):
    assert page_of(tmp_path, identity(5), time_limit=0).count("svg") == 1
    skip = LayeredGraph([4, 4, 4], {(0, 1): complete(4, 4), (1, 2): complete(4, 4), (0, 2): identity(4)})
    assert page_of(tmp_path, skip, time_limit=0).count("svg") == 2


def test_heat(tmp_path):
    net = LayeredGraph.from_layers([complete(2, 2), BipartiteGraph.from_edges(2, 2, [(0, 0)])])
    page = page_of(tmp_path, net)
    assert "Heat never reaches 1 of 6 units (layer 2: 1 of 2)." in page.text
    for name, units in (("input", [0, 1]), ("layer 2", [4, 5])):
        means = eg.heat_signature(net, HEAT_TIMES).values[:, units].mean(axis=1)
        assert f"{name}2 units {' '.join(f'{mean:.2g}' for mean in means)}" in page.text
    assert "Not computed: heat needs weights of at least 0" in page_of(tmp_path, DEGENERATE["negative weights"]).text
    assert "layers one by one" in page_of(tmp_path, {"one": regular, "two": regular}).text
    assert "heat_signature takes a single graph" in page_of(tmp_path, regular).text


def test_a_single_graph_is_called_no_layer(tmp_path):
    page = page_of(tmp_path, regular)
    assert "The graph in numbers" in page.text
    assert "Graph Sizeinputs × outputs" in page.text
    assert "layer" not in page.text.lower().replace("layers.csv", "").split("this was checked")[0]
    assert "Sparse layers 2 Edges" in page_of(tmp_path, {"one": regular, "two": regular}).text


def test_a_layer_that_is_called_by_a_number_reads_as_one(tmp_path):
    """The modules of a Sequential are "0", "2", ...; the data keep these names."""
    lacking = BipartiteGraph.from_edges(2, 3, [(0, 0), (1, 1)])
    page = page_of(tmp_path, {"2": lacking, "3.1": regular, "conv1": regular})
    assert "layer 2: 1 output receives nothing" in page.text
    assert "layer 3.1 32 × 32" in page.text
    assert "layer conv1" not in page.text
    assert page.files["layers.csv"].decode().splitlines()[1].startswith("2,")
    net = LayeredGraph([2, 3, 2], {(0, 1): lacking, (1, 2): lacking.T, (0, 2): complete(2, 2)}, names=["in", "0", "2"])
    page = page_of(tmp_path, net)
    assert "layer 2from layer 0 3 × 2" in page.text
    assert "layer 2skip from in 2 × 2" in page.text
    assert "layer 0: 1 output receives nothing" in page.text


def test_paths_and_refusals(tmp_path, monkeypatch):
    (tmp_path / "r.html").write_text("before")
    with pytest.raises(ValueError, match=r"written as \.html, got 'r\.htm'"):
        eg.save_report(tmp_path / "r.htm", regular)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        eg.save_report(tmp_path / "no" / "r.html", regular)
    with pytest.raises(ValueError, match="mapping from names to graphs is needed, got list"):
        eg.save_report(tmp_path / "r.html", [regular])
    with pytest.raises(ValueError, match="BipartiteGraph"):
        eg.save_report(tmp_path / "r.html", {"fc": 3})
    with pytest.raises(ValueError, match="time_limit must be"):
        eg.save_report(tmp_path / "r.html", regular, time_limit=-1)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_page", interrupt)
    with pytest.raises(KeyboardInterrupt):
        eg.save_report(tmp_path / "r.html", regular)
    assert (tmp_path / "r.html").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_progress_names_what_is_measured(tmp_path):
    steps = []
    eg.save_report(tmp_path / "r.html", eg.family_net("regular", [8, 8, 8], degree=3, rng=0), progress=steps.append)
    assert "expansion of layer 2" in steps
    assert steps[-1] == "heat"


def test_command(tmp_path):
    def run(*arguments):
        return CliRunner().invoke(cli.app, ["report", *map(str, arguments)], catch_exceptions=False)

    net = eg.family_net("regular", [8, 8, 8], degree=3, rng=0)
    eg.save(tmp_path / "net.npz", net)
    eg.save_graphs(tmp_path / "wiring.npz", {"fc1": regular})
    result = run(tmp_path / "net.npz", "-o", tmp_path / "page.html")
    assert result.output == f"wrote {tmp_path / 'page.html'}\n"
    eg.save_report(tmp_path / "same.html", net, title="net.npz")
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "same.html").read_bytes()
    run(tmp_path / "wiring.npz", "-o", tmp_path / "page.html", "--title", "Wiring", "--no-include-graph")
    assert "graph.npz" not in (page := Page(tmp_path / "page.html")).files
    assert page.text.startswith("Wiring")
    with pytest.raises(ValueError, match=r"written as \.html"):
        run(tmp_path / "net.npz", "-o", tmp_path / "page.pdf")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="is not a graph file written by expandergraphs"):
        run(tmp_path / "broken.npz", "-o", tmp_path / "page.html")
    with pytest.raises(ValueError, match="--sizes is for graph files"):
        run(tmp_path / "model.pt", "--sizes", "3-4", "-o", tmp_path / "page.html")


def test_a_checkpoint_without_torch_names_the_line_that_installs_it(tmp_path, monkeypatch):
    class Entry:
        def load(self):
            raise ModuleNotFoundError("no torch", name="torch")

    monkeypatch.setattr(metadata, "entry_points", lambda **_: (Entry(),))
    with pytest.raises(ValueError, match=r"pip install 'expandergraphs\[torch\]'"):
        CliRunner().invoke(
            cli.app, ["report", str(tmp_path / "m.pt"), "-o", str(tmp_path / "r.html")], catch_exceptions=False
        )
