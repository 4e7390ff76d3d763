"""Several networks beside a reference: how far heat in them is from heat in it, and what they lost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csgraph

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.diffusion import Array
from expandergraphs.heat.distance import check_comparable
from expandergraphs.heat.signature import as_times, heat_signature
from expandergraphs.heat.unreached import unreached_units
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.operators import heat_weights
from expandergraphs.results import Printable, Table, number

_MOST_COLUMNS = 8  # times beside each other
_TOLERANCE = 1e-8  # of a distance


@dataclass(frozen=True)
class ComparedNetwork:
    """One network beside the reference.

    Attributes
    ----------
    n_edges, components, unreached : int
        Number of edges, of connected components (edges of weight 0 do not connect), and of units that heat never
        reaches.
    distances : tuple of float
        F at each time; 0 for the reference itself.
    """

    n_edges: int
    components: int
    unreached: int
    distances: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class HeatComparison(Printable):
    """Distances to a reference; prints as a table, a row a network.

    Attributes
    ----------
    reference : str
        Its name.
    times : ndarray, shape (n_times,)
        inf is saturation.
    networks : mapping {name: ComparedNetwork}
        The reference first.
    laplacian : str
        Which one.

    Examples
    --------
    >>> pair = BipartiteGraph.from_edges(1, 1, [(0, 0)])
    >>> found = compare_heat({"pair": pair, "apart": BipartiteGraph.from_edges(1, 1, [])}, [0, math.inf])
    >>> [round(distance, 4) for distance in found.networks["apart"].distances]
    [0.0, 0.7071]
    """

    reference: str
    times: Array = field(repr=False)
    networks: Mapping[str, ComparedNetwork]
    laplacian: str

    def table(self) -> Table:
        """Return the distances, a row a network or, where there are more times than networks, a column.

        Returns
        -------
        Table

        Examples
        --------
        >>> pair = BipartiteGraph.from_edges(1, 1, [(0, 0)])
        >>> compare_heat({"pair": pair}, 1.0).table().headings
        ('network', 'edges', 'components', 'never reached', 't = 1')
        """
        at = list(map(_time, self.times.tolist()))
        columns = [
            [name, net.n_edges, net.components, net.unreached, *map(_written, net.distances)]
            for name, net in self.networks.items()
        ]
        columns.insert(0, ["network", "edges", "components", "never reached", *at])
        headings, *rows = zip(*columns, strict=True) if len(at) > max(_MOST_COLUMNS, len(self.networks)) else columns
        caption = (
            f"Euclidean distance of the heat at all units to that of {self.reference!r}, {self.laplacian} Laplacian"
        )
        if self.laplacian == "combinatorial":  # with the others, degrees decide how heat comes to rest
            caption += "; where both are connected it is 0 at saturation"
        title = f"Heat, compared with {self.reference!r}"
        return Table.of(title, map(str, headings), rows, left=["network"], caption=caption)


def _written(distance: float) -> str:
    return f"{distance:.3g}" if distance == 0 or distance > _TOLERANCE else "< 1e-8"


def compare_heat(
    networks: Mapping[str, LayeredGraph | BipartiteGraph],
    t: ArrayLike | str,
    *,
    sources: ArrayLike | None = None,
    laplacian: str = "combinatorial",
) -> HeatComparison:
    """Compare networks with the first of them by the heat in them.

    Parameters
    ----------
    networks : mapping {name: LayeredGraph or BipartiteGraph}
        The reference first; all with equally many nodes.
    t, sources, laplacian
        As for `heat_distance`.

    Returns
    -------
    HeatComparison

    Raises
    ------
    ValueError
        If there is no network, and as `heat_distance` does.

    Examples
    --------
    >>> from expandergraphs import family_net, random_like
    >>> dense = family_net("random", [20, 10, 5], density=1, rng=0)
    >>> thin = family_net("random", [20, 10, 5], density=0.2, rng=0)
    >>> found = compare_heat({"dense": dense, "thin": thin}, [0.1, math.inf])
    >>> found.networks["thin"].unreached > 0, found.networks["thin"].distances[1] > 0
    (True, True)
    """
    if not isinstance(networks, Mapping) or not networks:
        raise ValueError(f"compare_heat needs a mapping {{name: network}}, the reference first; got {networks!r}")
    nets = {name: as_net(net) for name, net in networks.items()}
    (name, reference), times = next(iter(nets.items())), as_times(t)
    for net in nets.values():
        check_comparable(reference, net, sources)
    signature = heat_signature(reference, times, sources=sources, laplacian=laplacian, tolerance=_TOLERANCE / 2)
    compared = {}
    for other, net in nets.items():
        count = int(csgraph.connected_components(heat_weights(net), directed=False)[0])
        lost = unreached_units(net, sources=sources).n_unreached
        other_signature = heat_signature(net, times, sources=sources, laplacian=laplacian, tolerance=_TOLERANCE / 2)
        found = signature.distance(other_signature)
        compared[other] = ComparedNetwork(net.n_edges, count, lost, tuple(found.tolist()))
    return HeatComparison(name, signature.times, compared, laplacian)


def heat_by_layer(
    net: LayeredGraph | BipartiteGraph, t: ArrayLike | str, sources: ArrayLike | None, laplacian: str
) -> Table:
    """Tabulate the mean heat of each layer's units: a row a time, a column a layer."""
    from expandergraphs.plotting import layer_labels

    net = as_net(net)
    found = heat_signature(net, t, sources=sources, laplacian=laplacian)
    layers = np.split(found.values, net.node_offsets[1:-1], axis=1)
    means = np.stack(
        [layer.mean(axis=1) if layer.size else np.full(found.times.size, np.nan) for layer in layers], axis=1
    )
    rows = [(_time(time), *map(number, row)) for time, row in zip(found.times.tolist(), means.tolist(), strict=True)]
    return Table.of("Mean heat of each layer's units", ["time", *layer_labels(net)], rows, left=["time"])


def _time(time: float) -> str:
    return "saturated" if math.isinf(time) else f"t = {number(time)}"
