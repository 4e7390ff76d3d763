"""All measures of a graph or a network in one printable object."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.expansion.sampled import SampledExpansion, sampled_expansion
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.paths import components
from expandergraphs.results import Printable, build, number
from expandergraphs.rng import RNG, streams
from expandergraphs.spectral.gap import SpectralGap, spectral_gap

if TYPE_CHECKING:
    from rich.table import Table


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
class GraphReport:
    """Measures of one bipartite graph; `expansion` is None where neither side has two vertices."""

    name: str
    n_left: int
    n_right: int
    n_edges: int
    density: float
    left_degrees: Degrees
    right_degrees: Degrees
    components: int
    spectrum: SpectralGap
    expansion: SampledExpansion | None


@dataclass(frozen=True)
class Report(Printable):
    """Measures of every graph of a network, and of the whole; prints as a table.

    Attributes
    ----------
    graphs : tuple of GraphReport
        One a block, in order; a single one for a bipartite graph.
    n_nodes, n_edges, components : int
        Of the whole.
    """

    graphs: tuple[GraphReport, ...]
    n_nodes: int
    n_edges: int
    components: int

    def __rich__(self) -> "Table":
        title = f"{self.n_nodes} nodes, {self.n_edges} edges, components: {self.components}"
        rows = [[graph.name, *measure_cells(graph)] for graph in self.graphs]
        return build(title, ["graph", *MEASURES], rows, left=["graph"], caption=CAPTION)


MEASURES = (
    "size",
    "edges",
    "density",
    "degrees l / r",
    "isolated",
    "parts",
    "σ1",
    "σ2",
    "bound",
    "σ2/σ1",
    "normalised",
    "mean |N(S)|/|S|",
)
CAPTION = (
    "bound: Ramanujan's √(d_l-1) + √(d_r-1); with ~ formed by average degrees, where no theorem makes it a yardstick\n"
    "normalised: σ2 of D_l^(-1/2) B D_r^(-1/2), which irregular degrees do not flatter as they do σ2/σ1\n"
    "mean |N(S)|/|S|: over random sets S; the expansion of a graph is the minimum over all sets"
)


def measure_cells(graph: GraphReport) -> list[str]:
    """Return the table cells of one graph, in the order of the report's columns."""
    gap = graph.spectrum
    return [
        f"{graph.n_left} x {graph.n_right}",
        str(graph.n_edges),
        number(graph.density),
        f"{graph.left_degrees} / {graph.right_degrees}",
        str(graph.left_degrees.isolated + graph.right_degrees.isolated),
        str(graph.components),
        number(gap.sigma1),
        number(gap.sigma2),
        ("" if gap.bound_kind == "biregular" else "~") + number(gap.bound),
        number(gap.ratio),
        number(gap.sigma2_normalised),
        "-" if graph.expansion is None else number(graph.expansion.mean),
    ]


def report(g_or_net: BipartiteGraph | LayeredGraph, *, samples: int = 1000, rng: RNG = 0) -> Report:
    """Measure a graph, or every block of a network.

    Parameters
    ----------
    g_or_net : BipartiteGraph or LayeredGraph
    samples : int
        Random sets for the sampled expansion, as for `sampled_expansion`.
    rng : None, int, SeedSequence or Generator
        Source of these sets; fixed by default, so that a report can be repeated.

    Returns
    -------
    Report
        With ``.to_dict()``.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> report(random_regular(8, 8, 2, rng=0)).graphs[0].left_degrees
    Degrees(minimum=2, mean=2.0, maximum=2, isolated=0)
    """
    net, stream = as_net(g_or_net), streams(rng)
    names = net.names or tuple(str(layer) for layer in range(len(net.widths)))
    graphs = []
    for (s, t), block in net.blocks.items():
        measurable = max(block.n_left, block.n_right) >= 2
        graphs.append(
            GraphReport(
                name=f"{names[s]} → {names[t]}",
                n_left=block.n_left,
                n_right=block.n_right,
                n_edges=block.n_edges,
                density=block.density,
                left_degrees=degrees_of(block.left_degrees),
                right_degrees=degrees_of(block.right_degrees),
                components=components(block).count,
                spectrum=spectral_gap(block),
                expansion=sampled_expansion(block, samples=samples, rng=stream(f"{s}-{t}")) if measurable else None,
            )
        )
    return Report(tuple(graphs), net.n_nodes, net.n_edges, components(net).count)


def degrees_of(degrees: NDArray[Any]) -> Degrees:
    """Summarise an array of degrees."""
    if degrees.size == 0:
        return Degrees(0, 0.0, 0, 0)
    return Degrees(int(degrees.min()), float(degrees.mean()), int(degrees.max()), int((degrees == 0).sum()))
