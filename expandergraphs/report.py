"""All measures of a graph or a network in one printable object."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.distances import Distances, distances, girth
from expandergraphs.expansion.edge import CutInterval, conductance, edge_expansion
from expandergraphs.expansion.mixing import MixingDiscrepancy, mixing_discrepancy
from expandergraphs.expansion.sampled import SampledExpansion, sampled_expansion
from expandergraphs.expansion.vertex import VertexExpansion, vertex_expansion
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.paths import components, is_path_symmetric, n_paths
from expandergraphs.reach import dead_units, receptive_fields
from expandergraphs.results import Printable, Table, number
from expandergraphs.rng import RNG, streams
from expandergraphs.sensitivity import complete_depth
from expandergraphs.spectral.density import SpectralDensity, spectral_density
from expandergraphs.spectral.gap import SpectralGap, spectral_gap
from expandergraphs.spectral.irregular import IrregularGaps, irregular_gaps

MOST_COLUMNS = 6  # graphs beside each other
MOST_VERTICES = 2**15  # of a graph whose distances are all measured, which takes as long as vertices times edges


@dataclass(frozen=True)
class Degrees:
    """Degrees of one side: smallest, mean, largest, and how many vertices have none."""

    minimum: int
    mean: float
    maximum: int
    isolated: int

    def __str__(self) -> str:
        if self.minimum == self.maximum:
            return str(self.minimum)
        return f"{self.minimum}..{self.maximum}"


@dataclass(frozen=True)
class Intervals:
    """What only bounds are known of where a graph is large; None where there is no admissible set.

    Attributes
    ----------
    left, right : VertexExpansion or None
        Of sets inside that side.
    edge, conductance : CutInterval or None
        Of sets over both sides.
    """

    left: VertexExpansion | None
    right: VertexExpansion | None
    edge: CutInterval | None
    conductance: CutInterval | None


@dataclass(frozen=True)
class GraphReport:
    """Measures of one bipartite graph.

    `sampled` is None where neither side has two vertices; `intervals`, `mixing`, `spectral_density`, `girth` and
    `distances` are None in a quick report, `spectral_density` also where there is no value to describe, and `distances`
    also where there are over 2^15 vertices.
    """

    name: str
    n_left: int
    n_right: int
    n_edges: int
    density: float
    left_degrees: Degrees
    right_degrees: Degrees
    components: int
    spectrum: SpectralGap
    irregular: IrregularGaps
    sampled: SampledExpansion | None = None
    intervals: Intervals | None = None
    mixing: MixingDiscrepancy | None = None
    spectral_density: SpectralDensity | None = None
    girth: float | None = None
    distances: Distances | None = None


@dataclass(frozen=True)
class Paths:
    """What lies between the inputs and the outputs of a network.

    Attributes
    ----------
    count : int
        Number of directed paths from inputs to outputs.
    symmetric : bool
        Whether every input is joined to every output by the same, positive number of paths.
    fewest_inputs, mean_inputs : float
        Inputs that an output sees, over the outputs; nan where there is no output.
    depth : int or None
        The first layer of which every unit sees every input, counted from 1 behind the inputs.
    dead, isolated : int
        Units on no path from an input to an output, and units without an edge.
    """

    count: int
    symmetric: bool
    fewest_inputs: float
    mean_inputs: float
    depth: int | None
    dead: int
    isolated: int


@dataclass(frozen=True)
class Report(Printable):
    """Measures of every graph of a network, and of the whole; prints as a table.

    Attributes
    ----------
    graphs : tuple of GraphReport
        One a block, in order; a single one for a bipartite graph.
    n_nodes, n_edges, components : int
        Of the whole.
    paths : Paths or None
        Of the whole; None in a quick report.

    Examples
    --------
    >>> found = report(BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1)]))
    >>> found.n_edges, found.components
    (2, 2)
    """

    graphs: tuple[GraphReport, ...]
    n_nodes: int
    n_edges: int
    components: int
    paths: Paths | None

    def table(self) -> Table:
        """Return all measures, a column or a row a graph.

        Returns
        -------
        Table

        Examples
        --------
        >>> report(BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1)])).table().rows[0]
        ('size', '2 x 2')
        """
        title = f"{self.n_nodes} nodes, {self.n_edges} edges, components: {self.components}"
        if self.paths is not None:
            title += f"\n{_in_words(self.paths)}"
        return measures_table(title, {graph.name: graph for graph in self.graphs})


def measures_table(title: str, graphs: dict[str, GraphReport]) -> Table:
    """Build the table of several graphs: a column each or, where they are many, a row with the measures that fit."""
    quick = all(graph.intervals is None for graph in graphs.values())
    labels = [label for label in CELLS if not (quick and label in THOROUGH)]
    caption = CAPTION if quick else f"{CAPTION}\n{INTERVALS_CAPTION}"
    if not quick and any(graph.n_left + graph.n_right > MOST_VERTICES for graph in graphs.values()):
        caption += f"\ndiameter, mean distance: not measured above {MOST_VERTICES:,} vertices; use distances(g)"
    if any(_ramanujan(graph.spectrum) == "undecided" for graph in graphs.values()):
        caption += "\nundecided: no proof within some three times what σ2 took; spectral_gap(g, patience=20) goes on"
    if len(graphs) <= MOST_COLUMNS:
        rows = [[label, *(CELLS[label](graph) for graph in graphs.values())] for label in labels]
        return Table.of(title, ["", *graphs], rows, left=[""], caption=caption)
    labels = [label for label in labels if label not in WHERE_THERE_IS_ROOM]
    rows = [[name, *(CELLS[label](graph) for label in labels)] for name, graph in graphs.items()]
    return Table.of(title, ["graph", *labels], rows, left=["graph"], caption=caption)


def report(
    g_or_net: BipartiteGraph | LayeredGraph,
    *,
    quick: bool = False,
    time_limit: float | None = None,
    samples: int = 1000,
    rng: RNG = 0,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Measure a graph, or every block of a network.

    Parameters
    ----------
    g_or_net : BipartiteGraph or LayeredGraph
    quick : bool
        Leave out what costs more than the spectrum: intervals around the expansion, distances, paths. A graph of
        300 + 100 vertices takes about a second with them, one of 2,048 a side a minute. Distances are left out
        above 2^15 vertices, and the table says so: they take as long as vertices times edges, days for a million.
    time_limit : float, optional
        Seconds for the vertex expansion of each graph, see `vertex_expansion`. Without, the report depends
        on `rng` alone.
    samples : int
        Random sets for the sampled expansion, as for `sampled_expansion`.
    rng : None, int, SeedSequence or Generator
        Source of these sets, and of searches; fixed by default, so that a report can be repeated.
    progress : callable(step), optional
        Called before each measure of a graph, with words such as "0 → 1: girth".

    Returns
    -------
    Report
        With ``.to_dict()``.

    Raises
    ------
    ValueError
        If `g_or_net` is neither a graph nor a network, or an argument is out of its range.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> result = report(random_regular(8, 8, 2, rng=0))
    >>> result.graphs[0].left_degrees, result.graphs[0].intervals.left.exact
    (Degrees(minimum=2, mean=2.0, maximum=2, isolated=0), True)
    """
    net, stream = as_net(g_or_net), streams(rng)
    names = net.names or tuple(str(layer) for layer in range(len(net.widths)))
    graphs = []
    for (s, t), block in net.blocks.items():
        name, key = f"{names[s]} → {names[t]}", f"{s}-{t}"
        weights = None if net.weights is None else net.weights[s, t]
        measures: dict[str, Callable[[], Any]] = {
            "spectrum": partial(spectral_gap, block),
            "irregular": partial(irregular_gaps, block, weights),
        }
        if max(block.n_left, block.n_right) >= 2:
            measures["sampled"] = partial(sampled_expansion, block, samples=samples, rng=stream(key))
        if not quick:
            measures["intervals"] = partial(_intervals, block, time_limit, stream(f"{key} intervals"))
            measures["mixing"] = partial(mixing_discrepancy, block, rng=stream(f"{key} mixing"))
            measures["spectral_density"] = partial(_density, block, stream(f"{key} density"))
            measures["girth"] = partial(girth, block)
        if not quick and block.n_left + block.n_right <= MOST_VERTICES:
            measures["distances"] = partial(distances, block)
        found = {}
        for measure, function in measures.items():
            if progress is not None:
                progress(f"{name}: {measure.replace('_', ' ')}")
            found[measure] = function()
        graphs.append(
            GraphReport(
                name=name,
                n_left=block.n_left,
                n_right=block.n_right,
                n_edges=block.n_edges,
                density=block.density,
                left_degrees=degrees_of(block.left_degrees),
                right_degrees=degrees_of(block.right_degrees),
                components=components(block).count,
                **found,
            )
        )
    if progress is not None and not quick:
        progress("paths")
    return Report(tuple(graphs), net.n_nodes, net.n_edges, components(net).count, None if quick else _paths(net))


def degrees_of(degrees: NDArray[Any]) -> Degrees:
    """Summarise an array of degrees."""
    if degrees.size == 0:
        return Degrees(0, 0.0, 0, 0)
    return Degrees(int(degrees.min()), float(degrees.mean()), int(degrees.max()), int((degrees == 0).sum()))


def _intervals(g: BipartiteGraph, time_limit: float | None, rng: RNG) -> Intervals:
    sides: dict[str, VertexExpansion] = {}
    if max(g.n_left, g.n_right) >= 2:
        both = vertex_expansion(g, time_limit=time_limit, rng=rng)
        sides = {interval.witness.side: interval for interval in both.sides}
    return Intervals(
        sides.get("left"),
        sides.get("right"),
        edge_expansion(g, rng=rng) if g.n_left + g.n_right >= 2 else None,
        conductance(g, rng=rng) if g.n_edges else None,
    )


def _density(g: BipartiteGraph, rng: RNG) -> SpectralDensity | None:
    return spectral_density(g, rng=rng) if min(g.n_left, g.n_right) > 1 else None


def _paths(net: LayeredGraph) -> Paths:
    fields, dead = receptive_fields(net), dead_units(net)
    seen = fields.receptive
    return Paths(
        count=n_paths(net),
        symmetric=is_path_symmetric(net),
        fewest_inputs=float(seen.min()) if seen.size else math.nan,
        mean_inputs=float(seen.mean()) if seen.size else math.nan,
        depth=complete_depth(net),
        dead=dead.n_dead,
        isolated=dead.n_isolated,
    )


def _in_words(paths: Paths) -> str:
    from decimal import Decimal

    sees = f"an output sees {number(paths.mean_inputs)} inputs, at least {number(paths.fewest_inputs)}"
    count = str(paths.count) if paths.count < 1e6 else f"{Decimal(paths.count):.3e}"
    same = "as many" if paths.symmetric else "not as many"
    layer = "no layer sees every input" if paths.depth is None else f"each unit of layer {paths.depth} sees all"
    return f"{count} paths from inputs to outputs, {same} for each pair; {sees}; {layer}; dead units: {paths.dead}"


def _ends(interval: VertexExpansion | CutInterval | None) -> str:
    if interval is None:
        return "-"
    if interval.exact:
        return number(interval.upper)
    mark = "~" if interval.certificate == "probabilistic" else ""
    return f"{mark}{number(interval.lower)} .. {number(interval.upper)}"


def _ramanujan(gap: SpectralGap) -> str:
    if gap.bound_kind != "biregular":
        return "-"
    return {True: "yes", False: "no", None: "undecided"}[gap.is_ramanujan]


def _interval(name: str) -> Callable[[GraphReport], str]:
    return lambda graph: "-" if graph.intervals is None else _ends(getattr(graph.intervals, name))


def _measured(measure: str, value: str) -> Callable[[GraphReport], str]:
    def cell(graph: GraphReport) -> str:
        result = getattr(graph, measure)
        return "-" if result is None else number(getattr(result, value))

    return cell


CELLS: dict[str, Callable[[GraphReport], str]] = {
    "size": lambda graph: f"{graph.n_left} x {graph.n_right}",
    "edges": lambda graph: str(graph.n_edges),
    "density": lambda graph: number(graph.density),
    "degrees, left": lambda graph: str(graph.left_degrees),
    "degrees, right": lambda graph: str(graph.right_degrees),
    "isolated": lambda graph: str(graph.left_degrees.isolated + graph.right_degrees.isolated),
    "components": lambda graph: str(graph.components),
    "σ1": lambda graph: number(graph.spectrum.sigma1),
    "σ2": lambda graph: number(graph.spectrum.sigma2),
    "bound": lambda graph: ("" if graph.spectrum.bound_kind == "biregular" else "~") + number(graph.spectrum.bound),
    "Ramanujan": lambda graph: _ramanujan(graph.spectrum),
    "σ2/σ1": lambda graph: number(graph.spectrum.ratio),
    "normalised σ2": lambda graph: number(graph.spectrum.sigma2_normalised),
    "Δr": lambda graph: number(graph.irregular.delta_r),
    "Δs": lambda graph: number(graph.irregular.delta_s),
    "from its law": _measured("spectral_density", "law_distance"),
    "α, left": _interval("left"),
    "α, right": _interval("right"),
    "sampled mean": _measured("sampled", "mean"),
    "edge expansion": _interval("edge"),
    "conductance": _interval("conductance"),
    "mixing ratio": _measured("mixing", "ratio"),
    "girth": lambda graph: "-" if graph.girth is None else number(graph.girth),
    "diameter": _measured("distances", "diameter"),
    "mean distance": _measured("distances", "average"),
}
WHERE_THERE_IS_ROOM = (
    "density", "σ1", "σ2/σ1", "Δr", "Δs", "from its law", "sampled mean", "edge expansion", "mixing ratio", "girth",
    "diameter", "mean distance",
)  # fmt: skip
THOROUGH = (
    "from its law", "α, left", "α, right", "edge expansion", "conductance", "mixing ratio", "girth", "diameter",
    "mean distance",
)  # fmt: skip
CAPTION = (
    "bound: Ramanujan's √(d_l-1) + √(d_r-1); with ~ formed by average degrees, where no theorem makes it a yardstick\n"
    "normalised σ2: of D_l^(-1/2) B D_r^(-1/2), which irregular degrees do not flatter as they do σ2/σ1\n"
    "Δr, Δs: Hoang et al.'s gaps of irregular graphs; sampled mean: |N(S)|/|S| over random sets S, not the expansion"
)
INTERVALS_CAPTION = (
    "α: vertex expansion, the smallest |N(S)|/|S|; lower .. upper end where it is not known, ~ where the lower end is\n"
    "proved but for a probability of 1e-12\n"
    "from its law: largest difference between the shares of singular values and Godsil and Mohar's limiting law\n"
    "mixing ratio: the most found of what the mixing lemma allows; 1 is tight"
)
