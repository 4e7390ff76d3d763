"""Spectral measures of irregular graphs, as pruned networks have them.

None of them is the Ramanujan bound, which is stated for biregular graphs only: they put average degrees, or the
largest singular value, in the place of the degrees. They are reported under the names under which they were published,
to be compared with those publications.

Hoang, Liu, Marculescu, Wang. Revisiting pruning at initialization through the lens of Ramanujan graph. ICLR 2023.
Hoang, Kundu, Liu, Wang. Don't just prune by magnitude! Your mask topology is a secret weapon. NeurIPS 2023.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.spectral.values import leading_values

_FEWEST = 3  # left vertices of a subgraph


@dataclass(frozen=True)
class IrregularGaps:
    """Measures of an irregular graph; each is nan where it is not defined.

    With s1 >= s2 the largest singular values of the biadjacency, and average degrees over the vertices that have an
    edge.

    Attributes
    ----------
    delta_r : float
        ``sqrt(d_l - 1) + sqrt(d_r - 1) - s2`` with average degrees; nan without edges.
    delta_s : float
        ``2 sqrt(s1 - 1) - s2``; nan without edges.
    imdb : float
        Iterative mean difference of bound: the mean of `delta_r` over the subgraphs of all left vertices of one degree
        and their neighbours, where there are at least three such vertices; nan where there is no such subgraph.
    n_subgraphs : int
        Over how many subgraphs that is.
    weighted_gap : float
        Weighted spectral gap: the first less the second singular value of the matrix of absolute weights; nan without
        weights.

    Examples
    --------
    >>> found = irregular_gaps(BipartiteGraph.from_edges(3, 2, [(0, 0), (0, 1), (1, 0), (2, 1)]))
    >>> round(found.delta_s, 4), found.n_subgraphs
    (0.7112, 0)
    """

    delta_r: float
    delta_s: float
    imdb: float
    n_subgraphs: int
    weighted_gap: float


def irregular_gaps(g: BipartiteGraph, weights: ArrayLike | None = None) -> IrregularGaps:
    """Measure how far an irregular graph is from its average-degree and spectral bounds.

    Parameters
    ----------
    g : BipartiteGraph
        Inputs left, outputs right.
    weights : array-like of float, shape (n_edges,), optional
        Weights of the edges, in the order of ``g.edges``.

    Returns
    -------
    IrregularGaps

    Raises
    ------
    ValueError
        If the weights are not as many as the edges, or not finite.

    Notes
    -----
    The code published with the first paper leaves out of the mean, and of everything else, graphs whose average degree
    is below 3 on either side. Here they count.

    References
    ----------
    Hoang, Liu, Marculescu, Wang. ICLR 2023: delta_r, delta_s, imdb. Hoang, Kundu, Liu, Wang. NeurIPS 2023: the weighted
    spectral gap.

    Examples
    --------
    >>> from expandergraphs import random_bipartite
    >>> gaps = irregular_gaps(random_bipartite(300, 100, density=0.1, rng=0))
    >>> round(gaps.delta_r, 2), round(gaps.delta_s, 2), round(gaps.imdb, 2), gaps.n_subgraphs
    (0.24, 0.18, 0.19, 14)
    """
    check_graph(g)
    first, second = _leading_two(g.biadjacency)
    subgraphs = [_delta_r(part, _leading_two(part.biadjacency)[1]) for part in _of_equal_degrees(g)]
    return IrregularGaps(
        delta_r=_delta_r(g, second) if g.n_edges else math.nan,
        delta_s=2 * math.sqrt(max(0.0, first - 1)) - second if g.n_edges else math.nan,
        imdb=float(np.mean(subgraphs)) if subgraphs else math.nan,
        n_subgraphs=len(subgraphs),
        weighted_gap=math.nan if weights is None else _weighted_gap(g, weights),
    )


def _leading_two(matrix: sparse.csr_array) -> tuple[float, float]:
    first, second = [*leading_values(matrix, min(2, *matrix.shape)).tolist(), 0.0, 0.0][:2]
    return first, second


def _delta_r(g: BipartiteGraph, second: float) -> float:
    averages = (g.n_edges / np.count_nonzero(degrees) for degrees in (g.left_degrees, g.right_degrees))
    return sum(math.sqrt(average - 1) for average in averages) - second


def _of_equal_degrees(g: BipartiteGraph) -> Iterator[BipartiteGraph]:
    """Yield the subgraph of the left vertices of each degree, if they are not too few, and their neighbours."""
    left_degrees = g.left_degrees
    for degree in np.unique(left_degrees[left_degrees > 0]).tolist():
        alike = left_degrees == degree
        count = int(np.count_nonzero(alike))
        if count >= _FEWEST:
            neighbours, indices = np.unique(g.indices[np.repeat(alike, left_degrees)], return_inverse=True)
            yield BipartiteGraph.adopt(count, neighbours.size, np.arange(count + 1) * degree, indices)


def _weighted_gap(g: BipartiteGraph, weights: ArrayLike) -> float:
    values = np.asarray(weights)
    if values.shape != (g.n_edges,) or values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise ValueError(f"weights must be {g.n_edges} finite numbers, one for each edge, got {weights!r}")
    matrix = g.biadjacency
    matrix.data = np.abs(values.astype(np.float64))
    first, second = _leading_two(matrix)
    return first - second
