"""The units of a network that heat never reaches."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csgraph

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.signature import as_heat
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.operators import heat_weights
from expandergraphs.results import Printable, Table


@dataclass(frozen=True, eq=False)
class UnreachedUnits(Printable):
    """The units in components without a source; prints as a table of the layers that have some.

    Attributes
    ----------
    n_units, n_unreached : int
        Number of units, and of those among them that heat never reaches.
    names : tuple of str
        Names of the layers; their numbers, where they have none.
    widths : tuple of int
        Units of each layer.
    units : tuple of ndarray
        The channels heat never reaches, one array a layer: positions within the layer. Read-only.

    Examples
    --------
    >>> found = unreached_units(BipartiteGraph.from_edges(1, 3, [(0, 1)]))
    >>> found.n_unreached, [units.tolist() for units in found.units]
    (2, [[], [0, 2]])
    """

    n_units: int
    n_unreached: int
    names: tuple[str, ...]
    widths: tuple[int, ...]
    units: tuple[NDArray[np.int64], ...] = field(repr=False)

    def table(self) -> Table:
        """Return the layers with such units.

        Returns
        -------
        Table

        Examples
        --------
        >>> unreached_units(BipartiteGraph.from_edges(1, 3, [(0, 1)])).table().rows
        (('1', '2 of 3', '0, 2'),)
        """
        title = f"heat never reaches {self.n_unreached} of {self.n_units} units"
        layers = zip(self.names, self.widths, self.units, strict=True)
        rows = [(name, f"{units.size} of {width}", _ranges(units)) for name, width, units in layers if units.size]
        return Table.of(title, ["layer", "units", "channels"], rows, left=["layer", "channels"])


def unreached_units(net: LayeredGraph | BipartiteGraph, *, sources: ArrayLike | None = None) -> UnreachedUnits:
    """Find the units that heat never reaches, however long it diffuses: no path of edges leads there from a source.

    Edges are undirected and an edge of weight 0 is none. `dead_units` asks the same of directed paths.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
    sources : optional
        As for `heat_signature`: the input nodes by default. With several source vectors a unit is unreached if none of
        them reaches it.

    Returns
    -------
    UnreachedUnits

    Raises
    ------
    ValueError
        If a weight is negative, or the sources are none.

    Examples
    --------
    >>> first = BipartiteGraph.from_edges(1, 3, [(0, 1)])
    >>> second = BipartiteGraph.from_edges(3, 2, [(0, 0), (1, 1)])
    >>> found = unreached_units(LayeredGraph.from_layers([first, second], names=["in", "conv", "out"]))
    >>> found.n_unreached, [units.tolist() for units in found.units]
    (3, [[], [0, 2], [0]])
    """
    net = as_net(net)
    heat = as_heat(net, sources)
    warmed = heat != 0 if heat.ndim == 1 else heat.any(axis=1)
    count, labels = csgraph.connected_components(heat_weights(net), directed=False)
    warm = np.zeros(count, dtype=bool)
    warm[labels[warmed]] = True
    units = tuple(map(np.flatnonzero, np.split(~warm[labels], net.node_offsets[1:-1])))
    for array in units:
        array.setflags(write=False)
    names = net.names or tuple(map(str, range(len(net.widths))))
    return UnreachedUnits(net.n_nodes, sum(array.size for array in units), names, net.widths, units)


def _ranges(units: NDArray[np.int64]) -> str:
    """Write ascending numbers as ranges.

    >>> _ranges(np.array([0, 1, 2, 5]))
    '0-2, 5'
    """
    runs = np.split(units, np.flatnonzero(np.diff(units) > 1) + 1)
    return ", ".join(str(run[0]) if run.size == 1 else f"{run[0]}-{run[-1]}" for run in runs)
