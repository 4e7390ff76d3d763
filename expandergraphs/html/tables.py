"""The table of all layers."""

from collections.abc import Iterable

from expandergraphs.expansion.vertex import VertexExpansion
from expandergraphs.html.findings import Finding
from expandergraphs.html.layer_findings import yardstick
from expandergraphs.html.markup import Markup, breakable, tag
from expandergraphs.html.measured import Measured
from expandergraphs.html.subject import Dense, Layer, said
from expandergraphs.report import CELLS, THOROUGH, GraphReport
from expandergraphs.results import number

_MORE = [label for label in THOROUGH if not label.startswith("α")]  # columns that only a thorough report has
_HEADINGS = (
    ("Size", "inputs × outputs"),
    ("Edges", ""),
    ("Density", "of all pairs"),
    ("Degrees", "of inputs"),
    ("Degrees", "of outputs"),
    ("Without edge", "inputs / outputs"),
    ("σ2", "against the bound"),
    ("α", "of inputs"),
    ("α", "of outputs"),
)


def layer_table(measured: Measured, findings: list[Finding]) -> Markup:
    """Return the table, a row a layer."""
    worst: dict[str, int] = {}
    for finding in findings:
        for place, _ in finding.places:
            worst[place] = max(worst.get(place, 0), finding.severity)
    more = _MORE if measured.thorough else []
    first = ("Layer", "and where its edges come from") if measured.whole is not None else ("Layer", "")
    first = ("Graph", "") if measured.subject.one_graph else first
    head = [
        tag("th", name, tag("small", unit) if unit else "", scope="col", class_=None if k else "name")
        for k, (name, unit) in enumerate((first, *_HEADINGS, *((label, "") for label in more)))
    ]
    rows: list[Markup] = []
    for (layer, graph), searched in zip(measured.layers, measured.searched, strict=True):
        cells = [*_cells(layer, graph, searched), *(tag("td", CELLS[label](graph)) for label in more)]
        rows.append(tag("tr", _name(layer, worst.get(layer.label)), *cells))
    rows += [_dense_row(layer, len(more)) for layer in measured.subject.dense]
    caption = tag("caption", "Every layer: its edges, its degrees, and how well it expands", class_="hidden")
    return tag("table", caption, tag("thead", tag("tr", *head)), tag("tbody", *rows))


def _name(layer: Layer, severity: int | None) -> Markup:
    words = {2: "serious finding", 1: "finding", 0: "note"}
    mark = "" if severity is None else tag(
        "span", tag("span", words[severity], class_="hidden"), class_=f"mark s{severity}", title=words[severity]
    )  # fmt: skip
    below = [f"{'skip ' if layer.skip else ''}from {said(layer.source)}"] if layer.source else []
    below += [layer.detail] if layer.detail else []
    return tag(
        "th",
        mark,
        breakable(said(layer.name)),
        *(tag("small", breakable(line)) for line in below),
        scope="row",
        class_="name",
    )


def _cells(layer: Layer, graph: GraphReport, searched: bool) -> Iterable[Markup]:
    isolated = graph.left_degrees.isolated, graph.right_degrees.isolated
    yield tag("td", f"{graph.n_left:,} × {graph.n_right:,}")
    yield tag("td", f"{graph.n_edges:,}")
    yield tag("td", number(graph.density), "" if layer.joins_only else _bar(graph.density))
    for degrees in (graph.left_degrees, graph.right_degrees):
        same = degrees.minimum == degrees.maximum
        yield tag("td", str(degrees).replace("..", "–"), "" if same else tag("small", f"mean {number(degrees.mean)}"))
    text = f"{isolated[0]:,} / {isolated[1]:,}"
    yield tag("td", text if any(isolated) else "–", class_="bad" if any(isolated) else None)
    if layer.joins_only:
        yield tag("td", "joins units one to one", colspan=3, class_="quiet")
        return
    spectrum, share = graph.spectrum, yardstick(graph)
    against = tag("small", bound_of(graph))
    yield tag("td", number(spectrum.sigma2), against, "" if share is None else _bar(share / 2, 0.5))
    for side in ("left", "right"):
        yield _alpha(None if graph.intervals is None else getattr(graph.intervals, side), searched)


def bound_of(graph: GraphReport) -> str:
    """Write the bound on σ2, and the verdict where it is a theorem's."""
    if graph.spectrum.bound_kind != "biregular":
        return f"bound ~{number(graph.spectrum.bound)}"
    verdict = {True: "Ramanujan", False: "not Ramanujan", None: "undecided"}[graph.spectrum.is_ramanujan]
    return f"bound {number(graph.spectrum.bound)}, {verdict}"


def _alpha(interval: VertexExpansion | None, searched: bool) -> Markup:
    """Return a cell with the interval of one side and what it rests on."""
    if interval is None:
        return tag("td", "–")
    lower, upper = number(interval.lower), number(interval.upper)
    text = lower if interval.exact else f"{lower} – {upper}" if searched else f"≥ {lower}"
    how = "exact" if interval.exact else "proved"
    if interval.failure_probability:
        how += f" but for {interval.failure_probability:.0e}"
    return tag("td", text, tag("small", how if searched or interval.exact else f"{how}, not searched", class_="short"))


def _dense_row(layer: Dense, more: int) -> Markup:
    name = Layer(layer.name, None, detail=layer.detail)  # type: ignore[arg-type]
    n_edges = layer.n_left * layer.n_right
    cells = [f"{layer.n_left:,} × {layer.n_right:,}", f"{n_edges:,}", "1"]
    rest = tag("td", "dense: every input is joined to every output", colspan=6 + more, class_="quiet")
    return tag("tr", _name(name, None), *(tag("td", cell) for cell in cells), rest)


def _bar(share: float, line: float | None = None) -> Markup:
    """Return a bar, and a line to compare it with, which say what the number beside them says."""
    shown = [tag("i", style=f"width:{100 * min(1.0, share):.1f}%")]
    if line is not None:
        shown.append(tag("b", style=f"left:{100 * line:.0f}%"))
    return tag("span", *shown, class_="bar", aria_hidden="true")
