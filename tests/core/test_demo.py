"""The demo's tables and pictures, without training."""

import math
from dataclasses import replace

import numpy as np
import pytest

import expandergraphs as eg
from expandergraphs import demo
from expandergraphs.report import Intervals


@pytest.fixture(scope="module")
def nets():
    return demo.families(0)


def enclosed(g):
    """Quick bounds of both sides, in place of those that take seconds."""
    left, right = (eg.vertex_expansion(g, side=side, time_limit=0, rng=0) for side in ("left", "right"))
    return Intervals(left, right, None, None)


def test_one_row_a_network(nets):
    reports = {}
    for name in ("random", "radix"):
        result = eg.report(nets[name], quick=True)
        graphs = zip(result.graphs, nets[name].layers, strict=True)
        reports[name] = replace(result, graphs=tuple(replace(graph, intervals=enclosed(g)) for graph, g in graphs))
    assert reports["random"].graphs[0].spectrum == eg.spectral_gap(nets["random"].layers[0])
    heat = demo.heat({name: nets[name] for name in reports})
    accuracies = dict.fromkeys((*reports, "dense"), np.array([[95.0, 90.0], [99.0, 92.0]]))
    table = demo.results_table(reports, heat, accuracies)
    columns = dict(zip(table.headings, zip(*table.rows, strict=True), strict=False))
    assert columns["edges"] == ("26520", "26520", "265200")
    assert columns["test accuracy %"] == ("91.00 ± 1.41",) * 3
    dense = eg.LayeredGraph.from_layers([eg.random_bipartite(784, 300, p=1), eg.random_bipartite(300, 100, p=1)])
    distances = [float(eg.heat_distance(dense, nets[name], demo.TIME)[0]) for name in reports]
    assert columns["heat F"] == (*(f"{distance:.2f}" for distance in distances), "0")
    for row, name in zip(table.rows, reports, strict=False):
        left = [graph.intervals.left for graph in reports[name].graphs]
        assert list(row[4:6]) == [f"{alpha.lower:.4g} .. {alpha.upper:.4g}" for alpha in left]


def test_the_heat_of_the_demo_runs_from_the_start_to_the_end(nets):
    heat = demo.heat(nets)
    assert heat.reference == "dense"
    assert list(heat.networks) == ["dense", *demo.TITLES.values()]
    assert (heat.times[0], heat.times[-1]) == (1e-4, math.inf)
    assert heat.networks["dense"].distances == (0,) * heat.times.size
    for net in heat.networks.values():  # all are connected
        assert (net.components, net.unreached, net.distances[-1]) == (1, 0, 0)


def test_one_row_a_method_over_all_seeds():
    drawn = {
        demo.RP: [eg.family_net("random", demo.DEEP_SIZES, density=0.02, rng=seed) for seed in (0, 1)],
        demo.SKIPS: [eg.n2nskip_net(demo.DEEP_SIZES, density=0.02, rng=seed) for seed in (0, 1)],
        demo.DENSE: [eg.family_net("random", demo.DEEP_SIZES, density=1)] * 2,
    }
    table = demo.skips_table(drawn, dict.fromkeys(drawn, np.array([[50.0, 90.0], [60.0, 92.0]])))
    columns = dict(zip(table.headings, zip(*table.rows, strict=True), strict=True))
    assert columns["edges"] == ("6724", "6724", "336200")
    assert columns["in skips"] == ("0", "3362", "0")
    assert columns["test accuracy %"] == ("91.00 ± 1.41",) * 3
    dense = drawn[demo.DENSE][0]
    for row, nets in zip(table.rows, drawn.values(), strict=True):
        distances = [eg.heat_distance(dense, net, demo.TIME)[0] for net in nets]
        assert row[3] == f"{np.mean(distances):.2f} ± {np.std(distances, ddof=1):.2f}"
        assert row[4] == f"{np.mean([eg.unreached_units(net).n_unreached for net in nets]):.1f}"
