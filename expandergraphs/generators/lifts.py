"""Larger graphs out of a good one, and the best of several random ones.

A *2-lift* doubles every vertex and every edge: the copies of an edge run straight (sign +1) or crossed (sign -1), so
with B+ and B- for the edges of either sign the lift has the biadjacency ``[[B+, B-], [B-, B+]]``. Degrees stay. Its
singular values are the old ones, those of B = B+ + B-, and the *new* ones, those of the signed B+ - B- [1]_. No lift
mends a small gap of the graph itself; a good one adds no large value.

Every graph of largest degree d has a signing whose new values are O(sqrt(d log^3 d)) [2]_; a bipartite graph of degrees
d_l and d_r even has one with all of them at most sqrt(d_l - 1) + sqrt(d_r - 1), the Ramanujan bound [3]_, so K_{d,d}
can be lifted again and again and stay Ramanujan. Finding that signing is another matter. Random ones come near the
bound, the best of a few nearer; `two_lift` chooses by the largest new value, and promises no bound.

Cost: a lift sorts its edges; a signing that competes costs its largest singular value as well.

.. [1] Hoory, Linial, Wigderson. Expander graphs and their applications. Bulletin of the AMS 43 (2006), proposition 6.4.
.. [2] Bilu, Linial. Lifts, discrepancy and nearly optimal spectral gap. Combinatorica 26 (2006).
.. [3] Marcus, Spielman, Srivastava. Interlacing families I: bipartite Ramanujan graphs of all degrees. Annals of
   Mathematics 182 (2015).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse.linalg import svds

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.layered import LayeredGraph
from expandergraphs.rng import RNG, streams
from expandergraphs.spectral.dense import DENSE_LIMIT

Drawn = TypeVar("Drawn", bound=BipartiteGraph | LayeredGraph)


@dataclass(frozen=True)
class BestOf(Generic[Drawn]):
    """The best of several random graphs.

    Attributes
    ----------
    graph : BipartiteGraph or LayeredGraph
        The one with the largest score, the first of equals.
    score : float
        Its score.
    scores : tuple of float
        The scores of all, in the order in which they were drawn.

    Examples
    --------
    >>> from expandergraphs import random_bipartite, spectral_gap
    >>> best = best_of(5, lambda rng: random_bipartite(8, 8, n_edges=24, rng=rng), lambda g: spectral_gap(g).gap, rng=0)
    >>> len(best.scores), best.score == max(best.scores) == spectral_gap(best.graph).gap
    (5, True)
    """

    graph: Drawn
    score: float
    scores: tuple[float, ...] = field(repr=False)


def two_lift(g: BipartiteGraph, *, signings: int = 1, rng: RNG = None) -> BipartiteGraph:
    """Draw a random 2-lift, the best of several signings.

    Parameters
    ----------
    g : BipartiteGraph
        Of any degrees.
    signings : int
        How many uniformly random signings are drawn. Of several, the one whose largest new singular value is smallest
        is taken; more signings of one seed never give a larger one.
    rng : None, int, SeedSequence or Generator
        Source of randomness; each signing has its own stream.

    Returns
    -------
    BipartiteGraph
        Vertex i has the copies i and i + n_left (j + n_right on the right side).

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph, or `signings` not a positive integer.

    References
    ----------
    Bilu, Linial. Lifts, discrepancy and nearly optimal spectral gap. 2006. Marcus, Spielman, Srivastava. Interlacing
    families I. 2015: there is a signing within the Ramanujan bound; that it is found here is not promised.

    Examples
    --------
    >>> from expandergraphs import spectral_gap
    >>> complete = BipartiteGraph.from_biadjacency(np.ones((3, 3)))
    >>> lift = two_lift(two_lift(complete, signings=20, rng=0), signings=20, rng=1)
    >>> lift, spectral_gap(lift).is_ramanujan
    (BipartiteGraph(12 x 12, 36 edges, density 0.25), True)
    """
    check_graph(g)
    signings, stream = as_integer("signings", signings, minimum=1), streams(rng)
    drawn = (stream(f"two_lift/{k}").integers(2, size=g.n_edges, dtype=np.bool_) for k in range(signings))
    crossed = next(drawn) if signings == 1 else min(drawn, key=lambda signs: _largest_new(g, signs))
    left, right = g.edges.astype(np.int64).T
    copies = [np.column_stack([left + copy * g.n_left, right + (crossed ^ bool(copy)) * g.n_right]) for copy in (0, 1)]
    return BipartiteGraph.from_edges(2 * g.n_left, 2 * g.n_right, np.concatenate(copies))


def best_of(
    k: int, family: Callable[[np.random.Generator], Drawn], score: Callable[[Drawn], float], *, rng: RNG = None
) -> BestOf[Drawn]:
    """Draw several graphs and keep the one with the largest score.

    Parameters
    ----------
    k : int
        How many are drawn, one after the other.
    family : callable(rng)
        Draws a graph or a network from a Generator.
    score : callable(graph)
        Larger is better; what should be small is returned with a minus sign.
    rng : None, int, SeedSequence or Generator
        Source of randomness; each draw has its own stream, so the first draws do not depend on `k`.

    Returns
    -------
    BestOf
        With the graph, its score, and all scores.

    Raises
    ------
    ValueError
        If `k` is not a positive integer, `family` draws no graph, or a score is no number or nan.

    Examples
    --------
    >>> from expandergraphs import random_regular, spectral_gap
    >>> best = best_of(5, lambda rng: random_regular(32, 32, 3, rng=rng), lambda g: spectral_gap(g).gap, rng=0)
    >>> best.graph, best.score == max(best.scores), len(best.scores)
    (BipartiteGraph(32 x 32, 96 edges, density 0.09375), True, 5)
    """
    k, stream = as_integer("k", k, minimum=1), streams(rng)
    for name, function in (("family", family), ("score", score)):
        if not callable(function):
            raise ValueError(f"{name} must be a function, got {function!r}")

    def draw(i: int) -> tuple[Drawn, float]:
        graph = family(stream(f"best_of/{i}"))
        if not isinstance(graph, BipartiteGraph | LayeredGraph):
            raise ValueError(f"the family must return a BipartiteGraph or a LayeredGraph, got {type(graph).__name__}")
        value = score(graph)
        if not isinstance(value, Real) or math.isnan(value):
            raise ValueError(f"the score of draw {i} must be a number, got {value!r}; return -inf for the worst")
        return graph, float(value)

    best, highest = draw(0)
    scores = [highest]
    for i in range(1, k):
        graph, value = draw(i)
        scores.append(value)
        if value > highest:
            best, highest = graph, value
    return BestOf(best, highest, tuple(scores))


def _largest_new(g: BipartiteGraph, crossed: NDArray[np.bool_]) -> float:
    """Return the largest singular value of the signed biadjacency."""
    if g.n_edges == 0:
        return 0.0
    signed = g.biadjacency
    signed.data[crossed] = -1
    if g.n_left > g.n_right:
        signed = signed.T.tocsr()
    n = min(g.n_left, g.n_right)
    if n > DENSE_LIMIT:
        start = np.random.default_rng(0).standard_normal(n)
        return float(svds(signed, k=1, v0=start, tol=1e-9, return_singular_vectors=False, solver="arpack")[0])
    gram = (signed @ signed.T).toarray()
    return math.sqrt(linalg.eigvalsh(gram, subset_by_index=[n - 1, n - 1])[0])
