"""Everything a page shows, measured once.

What is left out where it would take too long is written on the page: of a graph of over `SEARCHED_EDGES` edges the
expansion is bounded from below and no small set is searched, unless there is a time limit; all singular values are
computed where they are decomposed densely, elsewhere their distribution is estimated; receptive fields are counted up
to `_FIELD_WORK` inputs times edges.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.expansion.vertex import vertex_expansion
from expandergraphs.heat.signature import heat_signature
from expandergraphs.heat.unreached import UnreachedUnits, unreached_units
from expandergraphs.html.subject import Layer, Subject
from expandergraphs.layered import LayeredGraph
from expandergraphs.paths import n_paths
from expandergraphs.reach import DeadUnits, ReceptiveFields, dead_units, receptive_fields
from expandergraphs.report import GraphReport, Intervals, Report, report
from expandergraphs.rng import RNG, streams
from expandergraphs.spectral.dense import is_small
from expandergraphs.spectral.density import spectral_density
from expandergraphs.spectral.gap import singular_values

SEARCHED_EDGES = 5_000
HEAT_TIMES = (0.01, 0.1, 1.0, 10.0, 100.0, math.inf)
_FIELD_WORK = 10**11  # inputs times edges: some seconds
_POINTS = 48  # of a curve
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values by rank, the first left out: `values` at `ranks`, which are shares in [0, 1]; or why not."""

    ranks: Array
    values: Array
    exact: bool
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Heat:
    """Mean heat of each layer's units, shape (n_times, n_layers), and units it never reaches; or why not."""

    means: Array
    unreached: UnreachedUnits | None
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Whole:
    """What is known of a network as a whole.

    Attributes
    ----------
    net : LayeredGraph
    dead : DeadUnits
    paths : int
        From inputs to outputs.
    fields : ReceptiveFields or None
        None where they were not counted.
    heat : Heat
    """

    net: LayeredGraph
    dead: DeadUnits
    paths: int
    fields: ReceptiveFields | None
    heat: Heat


@dataclass(frozen=True, eq=False)
class Measured:
    """A subject and all that is shown of it.

    Attributes
    ----------
    report : Report
        A graph a layer, in order.
    spectra : tuple of Spectrum
        One a layer.
    searched : tuple of bool
        One a layer: whether small sets were searched, not only bounded.
    whole : Whole or None
    thorough : bool
    time_limit : float or None
        With which it was measured.
    """

    subject: Subject
    report: Report
    spectra: tuple[Spectrum, ...]
    searched: tuple[bool, ...]
    whole: Whole | None
    thorough: bool
    time_limit: float | None

    @property
    def layers(self) -> list[tuple[Layer, GraphReport]]:
        """Each layer with its measures."""
        return list(zip(self.subject.layers, self.report.graphs, strict=True))


def measured(
    subject: Subject, *, thorough: bool, time_limit: float | None, rng: RNG, progress: Callable[[str], None]
) -> Measured:
    """Measure a subject for a page."""
    stream, layers = streams(rng), subject.layers

    def measure(g_or_net: BipartiteGraph | LayeredGraph, step: Callable[[str], None]) -> Report:
        return report(g_or_net, quick=not thorough, time_limit=time_limit, rng=rng, progress=step)

    if isinstance(subject.source, BipartiteGraph | LayeredGraph):
        found = measure(subject.source, progress)
    else:
        parts = [measure(layer.graph, lambda _, name=layer.name: progress(name)) for layer in layers]  # type: ignore[misc]
        found = Report(
            tuple(replace(part.graphs[0], name=layer.name) for layer, part in zip(layers, parts, strict=True)),
            n_nodes=sum(part.n_nodes for part in parts),
            n_edges=sum(part.n_edges for part in parts),
            components=sum(part.components for part in parts),
            paths=None,
        )
    searched = tuple(
        thorough or layer.graph.n_edges <= SEARCHED_EDGES if time_limit is None else time_limit > 0 for layer in layers
    )
    if not thorough:
        graphs = []
        for k, (layer, graph, search) in enumerate(zip(layers, found.graphs, searched, strict=True)):
            progress(f"expansion of {layer.label}")
            limit = time_limit if search else 0.0
            graphs.append(replace(graph, intervals=_intervals(layer.graph, limit, stream(f"expansion {k}"))))
        found = replace(found, graphs=tuple(graphs))
    progress("spectra")
    spectra = tuple(_spectrum(layer.graph, stream(f"spectrum {k}")) for k, layer in enumerate(layers))
    whole = None if subject.net is None else _whole(subject.net, progress)
    return Measured(subject, found, spectra, searched, whole, thorough, time_limit)


def _intervals(g: BipartiteGraph, time_limit: float | None, rng: RNG) -> Intervals | None:
    """Enclose the vertex expansion of both sides; no time at all still gives the bounds that are proved."""
    if max(g.n_left, g.n_right) < 2:
        return None
    sides = {side.witness.side: side for side in vertex_expansion(g, time_limit=time_limit, rng=rng).sides}
    return Intervals(sides.get("left"), sides.get("right"), None, None)


def _spectrum(g: BipartiteGraph, rng: RNG) -> Spectrum:
    """Return the singular values but the first, thinned to what a picture shows."""
    try:
        if is_small((g.n_left, g.n_right)) or g.n_edges == 0:
            values = singular_values(g)[1:] if g.n_edges else np.zeros(0)
            chosen = np.unique(np.linspace(0, values.size - 1, min(_POINTS, values.size)).round().astype(int))
            return Spectrum(chosen / max(1, values.size - 1), values[chosen], True)
        found = spectral_density(g, moments=64, rng=rng)
    except ValueError as error:
        return Spectrum(np.zeros(0), np.zeros(0), False, str(error))
    shares = np.linspace(0, 1, _POINTS)
    return Spectrum(shares, np.interp(1 - shares, found.cumulative, found.grid), False)


def _whole(net: LayeredGraph, progress: Callable[[str], None]) -> Whole:
    progress("paths and dead units")
    fields = receptive_fields(net) if net.widths[0] * net.n_edges <= _FIELD_WORK else None
    dead, paths = dead_units(net), n_paths(net)
    progress("heat")
    return Whole(net, dead, paths, fields, _heat(net))


def _heat(net: LayeredGraph) -> Heat:
    try:
        values, unreached = heat_signature(net, HEAT_TIMES).values, unreached_units(net)
    except ValueError as error:  # negative weights, or ones of too many decades
        return Heat(np.empty((0, 0)), None, str(error))
    layers = np.split(values, net.node_offsets[1:-1], axis=1)
    means = [layer.mean(axis=1) if layer.size else np.full(len(HEAT_TIMES), np.nan) for layer in layers]
    return Heat(np.stack(means, axis=1), unreached)
