"""The page itself: written from what was measured, into one file that needs nothing else.

No script and no address of another place: the page says so to the browser, which then runs and fetches nothing,
whatever a layer is called. The same input gives the same bytes; there is no date on it.
"""

import os
from collections.abc import Callable
from decimal import Decimal
from importlib import metadata, resources

from expandergraphs._checks import as_time_limit
from expandergraphs._files import as_path, check_place, replacing
from expandergraphs.html.data import files
from expandergraphs.html.findings import NOTE, Finding
from expandergraphs.html.layer_findings import find
from expandergraphs.html.markup import Markup, breakable, joined, tag
from expandergraphs.html.measured import Measured, measured
from expandergraphs.html.method import method
from expandergraphs.html.pictures import heat_table, spectra
from expandergraphs.html.subject import Given, Subject, as_subject, unit_names
from expandergraphs.html.tables import layer_table
from expandergraphs.rng import RNG

_KINDS = {2: "Serious", 1: "Look at this", 0: "Note"}
_PLACES = 5  # of a finding that are shown at once
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def save_report(
    path: str | os.PathLike[str],
    g_or_net: Given,
    *,
    title: str | None = None,
    thorough: bool = False,
    time_limit: float | None = None,
    include_graph: bool | None = None,
    rng: RNG = 0,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Write a page about a graph or a network: what is wrong with it, every layer, spectra, heat, and the data.

    One HTML file that needs no network, no other file and no script. What the defaults leave out is said on the page.

    Parameters
    ----------
    path : path
        Ending in ``.html``; what is there is replaced once the page is complete.
    g_or_net : BipartiteGraph, LayeredGraph or mapping from names to BipartiteGraph
        A mapping, such as the wiring of a model, is reported layer by layer: without paths and heat.
    title : str, optional
        Headline of the page.
    thorough : bool
        Measure all that `report` does: expansion searched in every graph, distances, conductance. A graph of 2,048
        vertices a side takes a minute. By default, small sets are searched in graphs of up to 5,000 edges; of larger
        ones the expansion is bounded from below.
    time_limit : float, optional
        Seconds for the expansion of each graph, which is then searched in every graph, or in none if that is 0. The
        page then depends on the speed of the machine.
    include_graph : bool, optional
        Whether the page carries the graph itself as an ``.npz`` file; by default if that takes at most 1 MiB.
    rng : None, int, SeedSequence or Generator
        Source of searches and samples; fixed by default, so that equal graphs give equal pages.
    progress : callable(step), optional
        Called with what is measured next, in words.

    Raises
    ------
    ValueError
        If the path has another suffix, or an argument is none of these.
    OSError
        If the file cannot be written; then what was there before is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from expandergraphs import random_regular
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_report(f"{folder}/report.html", random_regular(64, 64, 8, rng=0))
    ...     "Nothing wrong found" in Path(f"{folder}/report.html").read_text("utf-8")
    True
    """
    write_page(
        path, as_subject(g_or_net, title), thorough=thorough, time_limit=time_limit, include_graph=include_graph,
        rng=rng, progress=progress,
    )  # fmt: skip


def write_page(
    path: str | os.PathLike[str],
    subject: Subject,
    *,
    thorough: bool = False,
    time_limit: float | None = None,
    include_graph: bool | None = None,
    rng: RNG = 0,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Measure a subject and write its page; arguments as for `save_report`."""
    path = as_path("path", path)
    if path.suffix.lower() != ".html":
        raise ValueError(f"a report is written as .html, got {path.name!r}")
    check_place(path)
    if time_limit is not None:
        time_limit = as_time_limit(time_limit)
    found = measured(
        subject, thorough=thorough, time_limit=time_limit, rng=rng, progress=progress or (lambda step: None)
    )
    page = _page(found, include_graph)
    with replacing(path) as file:
        file.write(page.encode("utf-8", "xmlcharrefreplace"))


def _page(found: Measured, include_graph: bool | None) -> str:
    findings = find(found)
    sections = [("findings", "Findings", _findings(found, findings))]
    if found.layers or found.subject.dense:
        heading = "The graph in numbers" if found.subject.one_graph else "Layers"
        sections.append(("layers", heading, _layers(found, findings)))
    if any(layer.graph.n_edges for layer in found.subject.layers):
        sections.append(("spectra", "Spectrum" if found.subject.one_graph else "Spectra", spectra(found)))
    sections += [
        ("heat", "Heat", _heat(found)),
        ("data", "Data", files(found, include_graph)),
        ("method", "How this was computed", method(found)),
    ]
    version = f"expandergraphs {metadata.version('expandergraphs')}"
    links = [tag("a", heading, href=f"#{name}") for name, heading, _ in sections]
    title = found.subject.title
    body = tag(
        "body",
        tag("header", tag("h1", breakable(title)), tag("nav", *links, aria_label="Sections"), _facts(found)),
        tag("main", *(tag("section", tag("h2", heading), inside, id=name) for name, heading, inside in sections)),
        tag("footer", tag("p", f"Written by {version}. Works offline; runs no script.")),
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="generator" content="{version}">'
        f"{tag('title', title)}<style>{resources.files(__package__).joinpath('style.css').read_text('utf-8')}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>{body}</html>\n'


def _facts(found: Measured) -> Markup:
    report, whole, subject = found.report, found.whole, found.subject
    layers = [layer for layer in subject.layers if not layer.joins_only]
    n_edges = sum(layer.graph.n_edges for layer in layers)
    pairs = sum(layer.graph.n_left * layer.graph.n_right for layer in layers)
    facts: list[tuple[str, str, str]] = []
    if len(layers) == 1 and not subject.dense:
        facts.append(("Size", f"{layers[0].graph.n_left:,} × {layers[0].graph.n_right:,}", "inputs × outputs"))
    elif whole is None:
        dense = f"and {len(subject.dense)} dense, not counted below" if subject.dense else ""
        facts.append(("Sparse layers", f"{len(layers):,}", dense))
    if whole is not None:
        facts.append(("Units", f"{whole.net.n_nodes:,}", f"in {len(whole.net.widths)} layers"))
    between = f"between {len(layers)} pairs of layers" if whole is not None and len(layers) > 1 else ""
    facts.append(("Edges", f"{n_edges:,}", between))
    facts.append(("Density", f"{100 * n_edges / pairs:.3g} %" if pairs else "–", "of all pairs"))
    if whole is not None:
        facts.append(("Dead units", f"{whole.dead.n_dead:,}", "on no path from an input to an output"))
        facts.append(("Paths", _rounded(whole.paths), "from inputs to outputs"))
    else:
        lost = sum(g.left_degrees.isolated + g.right_degrees.isolated for g in report.graphs)
        facts.append(("Units without an edge", f"{lost:,}", "inputs and outputs"))
    regular = [g.spectrum for g in report.graphs if g.spectrum.bound_kind == "biregular" and g.spectrum.bound >= 1]
    if regular:
        proved = sum(spectrum.is_ramanujan is True for spectrum in regular)
        verdict = {True: "yes", False: "no", None: "undecided"}[regular[0].is_ramanujan]
        count = verdict if subject.one_graph else f"{proved} of {len(regular)}"
        what = "each side has one degree: is σ2 within the bound?"
        facts.append(("Ramanujan", count, what if subject.one_graph else "layers with one degree a side, by their σ2"))
    cards = [tag("div", tag("dt", name), tag("dd", value, tag("small", unit))) for name, value, unit in facts]
    return tag("dl", *cards, class_="facts")


def _rounded(count: int) -> str:
    """Write a count, of seven digits and more by its first three."""
    if count < 10**6:
        return f"{count:,}"
    first, power = f"{Decimal(count):.2e}".split("e+")
    return f"{first} · 10{power.translate(_RAISED)}"


def _findings(found: Measured, findings: list[Finding]) -> Markup:
    counts = [sum(finding.severity == severity for finding in findings) for severity in (2, 1, 0)]
    nothing = not found.layers and not findings
    if nothing:
        verdict, style = "Nothing to measure: there is no sparse layer.", "s0"
    elif counts[0] + counts[1] == 0:
        verdict, style = "Nothing wrong found.", "ok"
    else:
        words = ("serious", "to look at", "to note")
        verdict = "Found: " + ", ".join(f"{n} {word}" for n, word in zip(counts, words, strict=True) if n) + "."
        style = "s2" if counts[0] else "s1"
    parts = [tag("p", verdict, class_=f"verdict {style}"), tag("div", *map(_finding, findings), class_="findings")]
    if nothing:
        return joined(parts)
    checked = tag("p", "This was checked: ", "; ".join(_checked(found)), ".")
    quiet = any(finding.severity > NOTE for finding in findings)
    parts.append(tag("details", tag("summary", "What was checked"), checked) if quiet else checked)
    return joined(parts)


def _finding(finding: Finding) -> Markup:
    def items(places: tuple[tuple[str, str], ...]) -> Markup:
        return tag("ul", *(tag("li", tag("b", breakable(name)), ": ", text) for name, text in places))

    first, more = finding.places[:_PLACES], finding.places[_PLACES:]
    folded = tag("details", tag("summary", f"{len(more)} more layers"), items(more)) if more else ""
    return tag(
        "article",
        tag("span", _KINDS[finding.severity], class_="kind"),
        tag("h3", breakable(finding.title)),
        tag("p", first[0][1]) if len(first) == 1 else items(first) if first else "",
        folded,
        tag("p", finding.means),
        tag("p", tag("b", "What helps: "), finding.helps),
        class_=f"finding s{finding.severity}",
    )


def _checked(found: Measured) -> list[str]:
    checks = ["inputs and outputs without an edge", "layers without edges or in parts"]
    if found.whole is not None:
        checks += ["units on no path", "parts of the network", "layers that everything has to squeeze through"]
        checks += ["what each output sees"] if found.whole.fields is not None else []
    checks += [
        "the spectral gap against the bound", "expansion of small sets, where it was searched",
        "edges that crowd on few units", "densities far from the others",
    ]  # fmt: skip
    return checks


def _layers(found: Measured, findings: list[Finding]) -> Markup:
    legend = tag(
        "p", "Inputs are the left vertices of a graph, outputs the right ones; the degree of a unit is the number of "
        "its edges. α: vertex expansion, the smallest number of neighbours of a set of units for each unit of the set, "
        "over sets of at most half of a side; what it is proved to be, or between which ends it lies. σ2: the second "
        "singular value; the bar compares it, normalised, with what random graphs of these degrees reach (the line). "
        "The bound is √(d_l − 1) + √(d_r − 1) for inputs of degree d_l and outputs of degree d_r; after ~ these are "
        "averages, and no theorem makes it a bound.", class_="quiet",
    )  # fmt: skip
    table = layer_table(found, findings)
    return joined([legend, tag("div", table, class_="box", tabindex=0, role="region", aria_label="Table of layers")])


def _heat(found: Measured) -> Markup:
    whole = found.whole
    if found.subject.one_graph:
        return tag(
            "p", "Shown for networks of several layers. expandergraphs.heat_signature takes a single graph, too."
        )
    if whole is None:
        return tag("p", "Not computed: heat runs through a network as a whole, and this is about layers one by one.")
    if whole.heat.unreached is None:
        return tag("p", f"Not computed: {whole.heat.problem}.")
    unreached = whole.heat.unreached
    lost = [
        f"{name}: {units.size:,} of {width:,}"
        for name, width, units in zip(unit_names(whole.net), unreached.widths, unreached.units, strict=True)
        if units.size
    ]
    never = f"Heat never reaches {unreached.n_unreached:,} of {unreached.n_units:,} units ({', '.join(lost)})."
    about = (
        "Heat 1 is put on every input and spreads along the edges, in both directions; shown is the mean over each "
        "layer’s units, brighter is hotter, on a logarithmic scale; 0 is less than a millionth of the hottest. "
    )
    label = {"class_": "box", "tabindex": 0, "role": "region", "aria_label": "Table of heat"}
    table = tag("div", heat_table(whole.net, whole.heat), **label)
    return joined([tag("p", about, never if lost else "It reaches every unit.", class_="quiet"), table])
