"""Exact vertex expansion of the left side, by branch and bound.

A set S of left vertices and the set R of right vertices outside N(S) span no edge, and |N(S)| = n_right - |R|. So the
question is how large S and R can be together; `expandergraphs.expansion.blocks` answers it, choosing the vertices of
the one of the two sets that there are fewer ways to choose: R in a regular graph, S where the left side is small.

Random d-regular graphs with 60 vertices a side take a fraction of a second, whatever d is, and every 12 vertices more
five to ten times as long. The worst case is exponential, as the problem is co-NP-hard. Out of reach at 60 left vertices
are several hundred right ones of degree 2 to 4: there the bound knows too little about who shares neighbours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lgamma
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.expansion.blocks import BlockSearch


@dataclass(frozen=True)
class ExactResult:
    """An interval that holds the least |N(S)| / |S|, and a set that attains its upper end.

    Attributes
    ----------
    lower, upper : Fraction
        Equal if the search was finished.
    witness : tuple of int
        Left vertices, ascending, with ``|N(witness)| / |witness| == upper``.
    """

    lower: Fraction
    upper: Fraction
    witness: tuple[int, ...]

    @property
    def finished(self) -> bool:
        """Whether the value is known."""
        return self.lower == self.upper


def minimise_expansion(
    g: BipartiteGraph,
    k_max: int,
    *,
    start: Sequence[int] | None = None,
    floor: NDArray[np.int64] | None = None,
    deadline: float | None = None,
    progress: Callable[[Fraction, Fraction], None] | None = None,
) -> ExactResult:
    """Minimise |N(S)| / |S| over the sets S of 1 to `k_max` left vertices.

    Parameters
    ----------
    g : BipartiteGraph
        Takes some 20 n_left n_right bytes, and up to 256 MiB for the nodes of the tree.
    k_max : int
        From 1 to n_left.
    start : sequence of int, optional
        A good set to begin with: it cuts the tree short, and tells which of S and R to choose.
    floor : ndarray of int, shape (k_max + 1,), optional
        Known lower bounds: ``|N(S)| >= floor[|S|]``.
    deadline : float, optional
        Reading of `time.monotonic` at which the interval reached so far is returned.
    progress : callable, optional
        Called with the lower and the upper end whenever one of them has moved.

    Raises
    ------
    ValueError
        If `k_max`, `start` or `floor` does not fit the graph.

    Examples
    --------
    >>> from expandergraphs import BipartiteGraph
    >>> cycle = BipartiteGraph.from_edges(9, 9, [(i, (i + j) % 9) for i in range(9) for j in range(2)])
    >>> minimise_expansion(cycle, 4)
    ExactResult(lower=Fraction(5, 4), upper=Fraction(5, 4), witness=(0, 1, 7, 8))
    """
    if not 1 <= k_max <= g.n_left:
        raise ValueError(f"k_max must lie in 1..n_left = {g.n_left}, got {k_max}")
    floor = np.zeros(k_max + 1, dtype=np.int64) if floor is None else floor
    if floor.shape != (k_max + 1,):
        raise ValueError(f"floor must have shape ({k_max + 1},), got {floor.shape}")
    witness = [int(g.left_degrees.argmin())] if start is None else sorted({int(vertex) for vertex in start})
    if not 1 <= len(witness) <= k_max or witness[0] < 0 or witness[-1] >= g.n_left:
        raise ValueError(f"start must hold 1 to {k_max} of the left vertices 0..{g.n_left - 1}, got {start}")

    # As an integer, a ratio is its multiple rounded down. Fractions with denominators up to k_max lie at least
    # 2 / scale apart, so these stay different, in order, and the nearest such fraction gives a ratio back.
    scale = 2 * k_max**2
    biadjacency = sparse.csr_array(g.biadjacency, dtype=np.float32)
    upper = _ratio(biadjacency, witness)
    ratios, choose_left = _least_ratios(g, k_max, floor, scale), _chooses_left(g, k_max, upper)
    matrix, value = (biadjacency.T.tocsr(), ratios) if choose_left else (biadjacency, ratios.T)
    search = BlockSearch(matrix, value, int(upper * scale))
    ends = None
    while True:
        lower = Fraction(search.lowest, scale).limit_denominator(k_max)
        if progress is not None and ends != (lower, upper):
            progress(lower, upper)
        ends = lower, upper
        if lower == upper or (deadline is not None and monotonic() >= deadline):
            return ExactResult(lower, upper, tuple(witness))
        survivors = search.step()
        if survivors is not None:
            members = biadjacency @ survivors.astype(np.float32) == 0 if choose_left else survivors
            witness = np.flatnonzero(members)[:k_max].tolist()
            upper = _ratio(biadjacency, witness)
            search.beat(int(upper * scale))


def _least_ratios(g: BipartiteGraph, k_max: int, floor: NDArray[np.int64], scale: int) -> NDArray[np.int64]:
    """Return the least |N(S)| / |S| for S among i left vertices, if j right vertices are next to none of the i."""
    sizes = np.minimum(np.arange(g.n_left + 1), k_max)[:, None]
    neighbours = np.maximum(g.n_right - np.arange(g.n_right + 1), floor[sizes])
    ratios = neighbours * scale // np.maximum(sizes, 1)
    ratios[0] = (g.n_right + 1) * scale
    return np.minimum.accumulate(ratios, axis=0)


def _ratio(biadjacency: sparse.csr_array, vertices: list[int]) -> Fraction:
    return Fraction(np.unique(biadjacency[vertices].indices).size, len(vertices))


def _chooses_left(g: BipartiteGraph, k_max: int, upper: Fraction) -> bool:
    """Whether there are fewer sets of k_max left vertices than sets of as many right ones as these leave untouched."""
    by_a_random_set = float(np.sum((1 - k_max / g.n_left) ** g.right_degrees))
    untouched = max(by_a_random_set, float(g.n_right - k_max * upper))
    return _log_choices(g.n_left, k_max) < _log_choices(g.n_right, untouched)


def _log_choices(n: int, k: float) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
