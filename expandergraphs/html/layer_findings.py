"""What is wrong with single layers: parts, gaps, expansion, and edges that crowd together."""

import math
from collections.abc import Iterable
from itertools import islice

import numpy as np

from expandergraphs.expansion.vertex import VertexExpansion
from expandergraphs.html.findings import NOTE, SERIOUS, WARNING, Finding, listed, unit_findings
from expandergraphs.html.measured import Measured
from expandergraphs.html.subject import Layer
from expandergraphs.paths import components
from expandergraphs.report import GraphReport
from expandergraphs.results import number

_FAR = 4  # times the median density
_GAP = 1.25  # times the bound
_LOW = 0.5  # of the largest expansion that sizes and degrees allow
_CROWDED, _FEW = 0.9, 0.25  # a share of the edges on a share of the units
_FEWEST = 8  # units of a side of which a share says something


def find(measured: Measured) -> list[Finding]:
    """Return all findings, worst first."""
    found = [*unit_findings(measured)]
    for look in (_empty, _parts, _gaps, _expansion, _crowded, _far, _ramanujan, _one_to_one, _weightless):
        found += look(measured)
    return sorted(found, key=lambda finding: -finding.severity)


def _finding(
    severity: int, places: list[tuple[str, str]], one: str, many: str, means: str, helps: str
) -> Iterable[Finding]:
    """Yield a finding about some layers, if there are any."""
    if places:
        title = f"{places[0][0]} {one}" if len(places) == 1 else f"{len(places)} layers {many}"
        yield Finding(severity, title, tuple(places), means, helps)


def _empty(measured: Measured) -> Iterable[Finding]:
    places = [(layer.label, f"{g.n_left:,} × {g.n_right:,}") for layer, g in measured.layers if g.n_edges == 0]
    return _finding(
        SERIOUS, places, "has no edges", "have no edges",
        "Nothing passes there.", "Give the layer a share of the edges; most pruning criteria can be told a minimum.",
    )  # fmt: skip


def n_parts(graph: GraphReport) -> int:
    """Return the number of components that have an edge."""
    return graph.components - graph.left_degrees.isolated - graph.right_degrees.isolated


def _parts(measured: Measured) -> Iterable[Finding]:
    places = []
    for layer, graph in measured.layers:
        if (count := n_parts(graph)) > 1 and not layer.one_to_one:
            largest = int(components(layer.graph).sizes.max())
            places.append((layer.label, f"{count:,} parts, the largest of {largest:,} of {g_size(graph):,} units"))
    alone = measured.whole is None
    yield from _finding(
        WARNING if alone else NOTE, places, f"falls into {places[0][1].split(' ')[0]} parts" if places else "",
        "fall into parts", "Within the layer nothing passes from one part to another"
        + (", and its second singular value equals the first." if alone else "; the network as a whole may mix them."),
        "Grouped convolutions and RadiX-Net’s layers are made so. Elsewhere: more edges, or the family “regular”, "
        "which is almost never disconnected from degree 3 on.",
    )  # fmt: skip


def g_size(graph: GraphReport) -> int:
    """Return the number of vertices of both sides."""
    return graph.n_left + graph.n_right


def yardstick(graph: GraphReport) -> float | None:
    """Return σ2 as a multiple of what its degrees allow, both normalised; None where that says nothing."""
    if graph.n_edges == 0 or n_parts(graph) > 1 or graph.spectrum.bound < 0.5:
        return None
    sides = graph.n_left - graph.left_degrees.isolated, graph.n_right - graph.right_degrees.isolated
    averages = [graph.n_edges / side for side in sides]
    bound = sum(math.sqrt(max(0.0, average - 1)) for average in averages) / math.sqrt(averages[0] * averages[1])
    return graph.spectrum.sigma2_normalised / bound if bound else None


def _gaps(measured: Measured) -> Iterable[Finding]:
    places = []
    for layer, graph in measured.layers:
        found = yardstick(graph)
        if found is not None and found > _GAP:
            share = number(graph.spectrum.sigma2_normalised)
            places.append((found, layer.label, f"normalised σ2 {share}, {number(found)} times what its degrees allow"))
    yield from _finding(
        WARNING, [place[1:] for place in sorted(places, reverse=True)], "has a small spectral gap",
        "have a small spectral gap", "σ2 is far above the bound that random graphs of these degrees come close to: "
        "the layer almost falls into parts, and signals mix slowly.",
        "Draw the layer at random instead (“regular” has the smallest σ2 of the random families), or take the best of "
        "several draws.",
    )  # fmt: skip


def _ramanujan(measured: Measured) -> Iterable[Finding]:
    regular = [(layer, g) for layer, g in measured.layers if g.spectrum.bound_kind == "biregular" and g.spectrum.bound]
    above = [
        (layer.label, f"σ2 = {g.spectrum.sigma2:.5g}, the bound is {g.spectrum.bound:.5g}")
        for layer, g in regular
        if g.spectrum.is_ramanujan is False and n_parts(g) == 1 and not layer.joins_only
    ]
    return _finding(
        NOTE, above, "is no Ramanujan graph", "are no Ramanujan graphs",
        "σ2 lies above √(d_l − 1) + √(d_r − 1). Just above is usual: random regular graphs come out on either side.",
        "expandergraphs.best_of keeps the best of several draws; lps and projective_plane reach the bound by "
        "construction.",
    )  # fmt: skip


def ceiling(graph: GraphReport, side: str) -> float:
    """Return what α of a side cannot exceed: the least degree, and all of the other side for half of this one."""
    left, right = (graph.n_left, graph.left_degrees), (graph.n_right, graph.right_degrees)
    (n, degrees), (other, _) = (left, right) if side == "left" else (right, left)
    return min(float(degrees.minimum), other / max(1, n // 2))


def _expansion(measured: Measured) -> Iterable[Finding]:
    places = []
    for layer, graph in measured.layers:
        for side in ("left", "right"):
            interval = None if graph.intervals is None else getattr(graph.intervals, side)
            most = ceiling(graph, side)
            if interval is None or n_parts(graph) > 1 or layer.joins_only or interval.upper >= _LOW * most:
                continue
            places.append((interval.upper / most, layer.label, _witnessed(layer, side, interval, most)))
    yield from _finding(
        WARNING, [place[1:] for place in sorted(places)], "expands badly", "expand badly",
        "A set of units has few neighbours: what they carry is squeezed through those.",
        "More edges at the units named, or the families “regular” and “left_regular” at the same number of edges.",
    )  # fmt: skip


def _witnessed(layer: Layer, side: str, interval: VertexExpansion, most: float) -> str:
    units = np.array(interval.witness.vertices)
    graph = layer.graph if side == "left" else layer.graph.T
    reached = np.unique(graph.biadjacency[units].indices).size
    here, there = ("inputs", "outputs") if side == "left" else ("outputs", "inputs")
    return (
        f"{units.size:,} {here} have only {reached:,} {there} between them, α = {number(interval.upper)} of at most "
        f"{number(most)}: {here} {listed(units)}"
    )


def _crowded(measured: Measured) -> Iterable[Finding]:
    places = []
    for layer, report in measured.layers:
        graph = layer.graph
        for side, degrees in (("inputs", graph.left_degrees), ("outputs", graph.right_degrees)):
            if degrees.size < _FEWEST or report.n_edges < degrees.size:
                continue
            order = np.argsort(-degrees, kind="stable")
            count = 1 + int(np.searchsorted(np.cumsum(degrees[order]), _CROWDED * graph.n_edges))
            if count <= _FEW * degrees.size:
                text = f"{_CROWDED:.0%} of its edges meet {count:,} of {degrees.size:,} {side}"
                places.append((layer.label, f"{text}: {listed(order[:count])}"))
    return _finding(
        WARNING, places, "sends almost everything through few units", "send almost everything through few units",
        "The layer is in effect much narrower than it looks.",
        "Usual after global pruning by magnitude or saliency. Prune by layer, or draw the wiring before training.",
    )  # fmt: skip


def _far(measured: Measured) -> Iterable[Finding]:
    layers = [(layer, g) for layer, g in measured.layers if g.n_edges and not layer.joins_only]
    median = float(np.median([g.density for _, g in layers])) if layers else 0.0
    far = [
        (abs(math.log(g.density / median)), layer.label, f"density {number(g.density)}")
        for layer, g in layers
        if len(layers) > 2 and not 1 / _FAR <= g.density / median <= _FAR
    ]
    return _finding(
        NOTE, [place[1:] for place in sorted(far, key=lambda place: -place[0])],
        "has a density far from the others", "have a density far from the others",
        f"More than {_FAR} times above or below the median, {number(median)}.",
        "Often meant: a budget such as ERK, or a first or last layer left dense. If not, choose budget=“uniform”.",
    )  # fmt: skip


def _one_to_one(measured: Measured) -> Iterable[Finding]:
    places = [
        (layer.label, f"{graph.n_edges:,} edges")
        for layer, graph in measured.layers
        if graph.n_edges > 1 and layer.one_to_one and not layer.skip
    ]
    return _finding(
        NOTE, places, "joins units one to one", "join units one to one",
        "Nothing is mixed there, as in a depthwise convolution.", "Nothing, if it is meant.",
    )  # fmt: skip


def _weightless(measured: Measured) -> Iterable[Finding]:
    net = measured.subject.net
    weights = {} if net is None or net.weights is None else net.weights
    zeros = [int(np.count_nonzero(values == 0)) for values in weights.values()]
    places = [
        (layer.label, f"{count:,} of {layer.graph.n_edges:,}")
        for layer, count in zip(islice(measured.subject.layers, len(zeros)), zeros, strict=True)
        if count
    ]
    return _finding(
        NOTE, places, "has edges that weigh 0", "have edges that weigh 0",
        "They count as edges everywhere on this page, but heat does not cross them.",
        "Nothing; in a trained model they are weights that training or pruning made 0.",
    )  # fmt: skip
