"""Distances and cycles of the undirected graph: diameter, average path length, girth.

Directions are forgotten, and a network's skips count as edges. Every edge has length 1, whatever its weight. igraph
does the work: distances by a breadth-first search from each vertex, O(n_nodes * n_edges) time, a second or two for
8,192 vertices of degree 8.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.layered import LayeredGraph, as_net

if TYPE_CHECKING:
    import igraph

_PATIENCE = 256  # pairs looked at for each edge, before igraph is asked
_WORK = 2**22  # pairs of edges looked at together, for squares


@dataclass(frozen=True, eq=False)
class Distances:
    """Lengths of the shortest paths between pairs of different vertices, a pair counted once.

    Attributes
    ----------
    diameter : float
        The largest distance between two vertices: infinite if the graph is not connected, 0 if it has no pair.
    longest : int
        The largest finite distance; that of the worst component, where there are several. 0 if there is no edge.
    average : float
        Average of the finite distances, or nan if there is no edge.
    n_pairs : int
        Number of pairs joined by a path: those of `longest` and `average`.
    n_unjoined : int
        Number of pairs that lie in different components.
    counts : ndarray of int, shape (longest + 1,)
        Number of pairs at each distance; none at 0. Read-only.

    Examples
    --------
    >>> found = distances(BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 1)]))
    >>> found.diameter, found.counts.tolist()
    (3, [0, 3, 2, 1])
    """

    diameter: float
    longest: int
    average: float
    n_pairs: int
    n_unjoined: int
    counts: NDArray[np.int64] = field(repr=False)


def distances(graph_or_net: BipartiteGraph | LayeredGraph) -> Distances:
    """Measure diameter and average path length, edges taken as undirected.

    Parameters
    ----------
    graph_or_net : BipartiteGraph or LayeredGraph

    Returns
    -------
    Distances

    Raises
    ------
    ValueError
        If `graph_or_net` is neither a LayeredGraph nor a BipartiteGraph.

    Examples
    --------
    >>> distances(BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 1)]))
    Distances(diameter=3, longest=3, average=1.6666666666666667, n_pairs=6, n_unjoined=0)
    >>> distances(BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1)]))
    Distances(diameter=inf, longest=1, average=1.0, n_pairs=2, n_unjoined=4)
    """
    histogram = _undirected(graph_or_net).path_length_hist(directed=False)
    counts = np.array([0, *(count for _, _, count in histogram.bins())], dtype=np.int64)
    counts.setflags(write=False)
    longest, n_pairs, n_unjoined = counts.size - 1, int(counts.sum()), int(histogram.unconnected)
    return Distances(
        diameter=math.inf if n_unjoined else longest,
        longest=longest,
        average=int(counts @ np.arange(counts.size)) / n_pairs if n_pairs else math.nan,
        n_pairs=n_pairs,
        n_unjoined=n_unjoined,
        counts=counts,
    )


def girth(graph_or_net: BipartiteGraph | LayeredGraph) -> float:
    """Measure the length of the shortest cycle, edges taken as undirected; infinite if there is none.

    The girth of a bipartite graph is even, and so is that of a network without skips; skips may close odd cycles.

    Parameters
    ----------
    graph_or_net : BipartiteGraph or LayeredGraph

    Returns
    -------
    int, or the float inf

    Raises
    ------
    ValueError
        If `graph_or_net` is neither a LayeredGraph nor a BipartiteGraph.

    Examples
    --------
    >>> from expandergraphs import projective_plane
    >>> girth(projective_plane(3))
    6
    >>> girth(BipartiteGraph.from_edges(1, 2, [(0, 0), (0, 1)]))
    inf
    """
    net = as_net(graph_or_net)
    if all(t == s + 1 for s, t in net.blocks) and any(map(_has_square, net.blocks.values())):
        return 4  # without skips there are no triangles
    # No cycle leaves the 2-core, and searching from the vertices of the trees around it takes igraph long.
    length: float = _undirected(net).k_core(2).girth()
    return length


def _has_square(g: BipartiteGraph) -> bool:
    """Tell whether a square is soon found: two vertices of the side that costs less with two neighbours in common."""
    if (g.left_degrees**2).sum() < (g.right_degrees**2).sum():
        g = g.T
    matrix, across = (part.astype(np.int32) for part in (g.biadjacency, g.T.biadjacency))
    work = np.cumsum(matrix @ g.right_degrees)
    start = 0
    while start < g.n_left and work[start] <= _PATIENCE * g.n_edges:
        stop = max(start + 1, int(np.searchsorted(work, work[start] + _WORK)))
        shared = matrix[start:stop] @ across
        if np.count_nonzero(shared.data > 1) > np.count_nonzero(g.left_degrees[start:stop] > 1):
            return True
        start = stop
    return False


def _undirected(graph_or_net: BipartiteGraph | LayeredGraph) -> "igraph.Graph":
    """Return the igraph graph whose vertices are numbered left before right, or layer by layer."""
    import igraph  # loads matplotlib where it is installed

    net = as_net(graph_or_net)
    edges = [block.edges + net.node_offsets[[s, t]] for (s, t), block in net.blocks.items()]
    return igraph.Graph(n=net.n_nodes, edges=np.concatenate([np.empty((0, 2), dtype=np.int64), *edges]))
