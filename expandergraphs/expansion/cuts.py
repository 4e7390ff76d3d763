r"""Minimum cuts: the convex lower envelope of the number of neighbours, exactly, and the sets that attain it.

For any rate a/b, the minimum of ``b |N(S)| - a |S|`` over *all* sets S of left vertices is a minimum cut between a
source joined to every left vertex with capacity a and a sink joined to every right vertex with capacity b. If it is -c,
then ``|N(S)| >= (a |S| - c) / b`` for every S: a line below the least numbers of neighbours by size. The sets behind
the cuts are corners of their convex envelope, so they are the best of their size. This is the linear program of the
problem, which is totally unimodular.

On a biregular graph the envelope is one straight line, and the degrees give it. Elsewhere it finds what decides the
expansion of irregular graphs, a few vertices of low degree that share neighbours: where the best ratio over all sets is
attained by a small one, it is the answer.

A cut takes 1.5 s at 65,536 vertices of degree 32. Source: Eisner and Severance. Mathematical techniques for efficient
record segmentation in large shared databases. J. ACM 23 (1976): every corner of an envelope by one optimisation.
"""

from fractions import Fraction
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from expandergraphs.bipartite import BipartiteGraph

Line = tuple[int, int, int]

MOST_CUTS = 24
_LARGEST_FLOW = 2**31 - 1  # of SciPy's maximum flow


def envelope(
    g: BipartiteGraph, k_max: int, *, deadline: float | None = None
) -> tuple[list[Line], list[NDArray[np.int64]]]:
    """Find lines below the least numbers of neighbours of 1..k_max left vertices, and sets on the envelope.

    Parameters
    ----------
    g : BipartiteGraph
    k_max : int
    deadline : float, optional
        Reading of ``time.monotonic()`` after which no further cut is begun.

    Returns
    -------
    lines : list of (a, b, c)
        For every set S of left vertices ``b |N(S)| >= a |S| - c``. At most `MOST_CUTS`, across the widest gaps first;
        those whose numbers are too large for SciPy's flow (at over 46,000 vertices a side) are left out.
    sets : list of ndarray of int
        Left vertices; each has at most `k_max` of them, and no set of its size has fewer neighbours.

    Examples
    --------
    >>> g = BipartiteGraph.from_edges(4, 4, [(0, 0), (1, 0), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)])
    >>> lines, sets = envelope(g, 2)
    >>> lines, [s.tolist() for s in sets]
    ([(1, 1, 1), (1, 2, 0), (3, 2, 4)], [[0, 1]])
    """
    lines: list[Line] = []
    sets: list[NDArray[np.int64]] = []
    rows = g.biadjacency
    everything = (g.n_left, int(np.count_nonzero(g.right_degrees)))
    gaps = [((0, 0), everything)]
    while gaps and len(lines) < MOST_CUTS and (deadline is None or monotonic() < deadline):
        gaps.sort(key=lambda gap: gap[1][0] - gap[0][0])
        low, high = gaps.pop()
        rate = Fraction(high[1] - low[1], high[0] - low[0])
        a, b = rate.numerator, rate.denominator
        if max(a * g.n_left, b * g.n_right) > _LARGEST_FLOW:
            continue
        members = _least(g, a, b)
        corner = (members.size, np.unique(rows[members].indices).size)
        c = a * corner[0] - b * corner[1]
        lines.append((a, b, c))
        if c > a * low[0] - b * low[1]:  # below the chord
            if corner[0] <= k_max:
                sets.append(members)
                gaps.append((corner, high))
            gaps.append((low, corner))
    return lines, sets


def _least(g: BipartiteGraph, a: int, b: int) -> NDArray[np.int64]:
    """Return the smallest set S of left vertices with the least ``b |N(S)| - a |S|``."""
    n = g.n_left + g.n_right + 2
    source, sink = n - 2, n - 1
    # Rows: each left vertex leads to its neighbours, each right vertex to the sink, the source to each left vertex.
    # No more than a flows through a left vertex, so a is as good as no limit.
    heads = np.concatenate([g.indices + g.n_left, np.full(g.n_right, sink), np.arange(g.n_left)])
    capacities = np.repeat([a, b, a], [g.n_edges, g.n_right, g.n_left]).astype(np.int32)
    starts = np.concatenate([g.indptr, g.n_edges + np.arange(1, g.n_right + 1), [heads.size, heads.size]])
    network = sparse.csr_array((capacities, heads.astype(np.int32), starts.astype(np.int32)), shape=(n, n))
    residual = network - csgraph.maximum_flow(network, source, sink).flow
    residual.eliminate_zeros()
    reached = csgraph.breadth_first_order(residual, source, return_predecessors=False)
    return np.sort(reached[reached < g.n_left]).astype(np.int64)
