"""Pictures: spectra as small curves in SVG, and heat as a table in colours. Both follow the reader's colour scheme."""

import math

import numpy as np

from expandergraphs.html.markup import Markup, breakable, tag
from expandergraphs.html.measured import HEAT_TIMES, Heat, Measured, Spectrum
from expandergraphs.html.subject import Layer, unit_names
from expandergraphs.html.tables import bound_of
from expandergraphs.layered import LayeredGraph
from expandergraphs.report import GraphReport
from expandergraphs.results import number

_WIDTH, _HEIGHT = 160, 90
_TALLEST = 2.5  # times the bound: what is above is cut off
_VISIBLE = 12  # spectra; the others are folded away
# Viridis at even steps: dark to light, so that it survives colour-blind vision and grey.
_COLOURS = ("440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")


def spectra(measured: Measured) -> Markup:
    """Return the curve of each layer, those whose second value is largest against its bound first."""
    shown = [
        (graph.spectrum.sigma2 / graph.spectrum.bound if graph.spectrum.bound else math.inf, layer, graph, found)
        for (layer, graph), found in zip(measured.layers, measured.spectra, strict=True)
        if not layer.joins_only and graph.n_edges
    ]
    shown.sort(key=lambda item: -item[0])
    cards = [_card(layer, graph, found) for _, layer, graph, found in shown]
    legend = tag(
        "p", "Curve: the singular values σ2, σ3, … from the largest to the smallest, without the first. Dashed: the "
        "bound √(d_l − 1) + √(d_r − 1), a theorem’s where every unit of a side has the same degree, elsewhere formed "
        "with average degrees. A curve that starts below it is that of a graph that mixes well."
        + ("" if measured.subject.one_graph else " Worst first."), class_="quiet",
    )  # fmt: skip
    grid = tag("div", *cards[:_VISIBLE], class_="grid")
    if len(cards) <= _VISIBLE:
        return Markup(legend + grid)
    summary = tag("summary", f"{len(cards) - _VISIBLE} more layers")
    return Markup(legend + grid + tag("details", summary, tag("div", *cards[_VISIBLE:], class_="grid")))


def _card(layer: Layer, graph: GraphReport, found: Spectrum) -> Markup:
    spectrum = graph.spectrum
    words = f"σ2 {number(spectrum.sigma2)}, {bound_of(graph)}"
    if found.problem:
        picture = tag("p", f"not computed: {found.problem}", class_="quiet")
    else:
        picture = _curve(found, spectrum.bound, f"Singular values of {layer.label}: {words}")
    estimated = "" if found.exact or found.problem else tag("small", "estimated density")
    caption = tag("figcaption", tag("span", breakable(layer.label)), tag("small", words), estimated)
    return tag("figure", picture, caption)


def _curve(found: Spectrum, bound: float, words: str) -> Markup:
    unit = bound or float(found.values.max(initial=0.0)) or 1.0
    heights = np.minimum(found.values / unit, _TALLEST)
    top = max(1.15, float(heights.max(initial=0.0)) * 1.05)
    x, y = found.ranks * _WIDTH, _HEIGHT * (1 - heights / top)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    drawn = [tag("polyline", points=points)]
    if x.size:
        drawn.insert(0, tag("polygon", points=f"0,{_HEIGHT} {points} {x[-1]:.1f},{_HEIGHT}"))
    if bound:
        at = f"{_HEIGHT * (1 - 1 / top):.1f}"
        drawn.append(tag("line", x1=0, x2=_WIDTH, y1=at, y2=at))
    return tag("svg", tag("title", words), *drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img")


def heat_table(net: LayeredGraph, heat: Heat) -> Markup:
    """Return the mean heat of each layer's units at each time, coloured."""
    means, names = heat.means, unit_names(net)
    highest = float(np.nanmax(means, initial=0.0))
    seen = means[means > 1e-6 * highest]
    lowest = max(float(seen.min(initial=highest)), 1e-6 * highest) if seen.size else highest

    def cell(value: float) -> Markup:
        if math.isnan(value):
            return tag("td", "–")
        span = math.log(highest / lowest) if highest > lowest > 0 else 1.0
        share = math.log(max(value, lowest) / lowest) / span if value > 0 and highest > 0 else 0.0
        step = min(len(_COLOURS) - 1, int(share * len(_COLOURS)))
        colour = "fff" if step < 5 else "000"
        return tag(
            "td",
            f"{value:.2g}" if value >= 1e-6 * highest else "0",
            style=f"background:#{_COLOURS[step]};color:#{colour}",
        )

    times = ["saturated" if math.isinf(time) else f"t = {time:g}" for time in HEAT_TIMES]
    head = [
        tag("th", "Layer", scope="col", class_="name"),
        *(tag("th", time, scope="col", class_="middle") for time in times),
    ]
    rows = [
        tag("tr", tag("th", breakable(name), tag("small", f"{width:,} units"), scope="row", class_="name"),
            *(cell(value) for value in column))
        for name, width, column in zip(names, net.widths, means.T.tolist(), strict=True)
    ]  # fmt: skip
    caption = tag("caption", "Mean heat of each layer’s units over time", class_="hidden")
    return tag("table", caption, tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="heat")
