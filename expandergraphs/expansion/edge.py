"""Edge expansion and conductance: how few edges leave a set of vertices, for its size or for its volume.

For a set S of vertices, left and right ones together, cut(S) counts the edges with one end in S, and vol(S) sums the
degrees. The edge expansion is the least cut(S) / |S| over sets of at most half the vertices, the conductance the least
cut(S) / vol(S) over sets of at most half the volume. Both are NP-hard: what is returned is an interval, and a set that
attains its upper end.

Above: the best set there is, where all can be tried (`expandergraphs.expansion.edge_exact`), else the best found by
spectral sweeps and local search (`expandergraphs.expansion.edge_search`). A graph in pieces has the value 0.

Below: Cheeger's easy inequality. Give each vertex v a mass p_v > 0, p(S) over a set, P in all, and let rate be the
second smallest eigenvalue of ``diag(p)^(-1/2) (D - A) diag(p)^(-1/2)``. Then for every S

    cut(S) >= rate p(S) (P - p(S)) / P,

since x' (D - A) x = cut(S) for the indicator x of S, and still so when its mean by mass is taken off, which makes it
orthogonal to the constants. Masses of 1 give h >= rate / 2 (Mohar); the degrees give Chung's form, where rate is 1 -
sigma, sigma the second singular value of the normalised biadjacency. On irregular graphs the roots of the degrees are
often better than both. For every size or volume of S, the best bound is rounded up to what a cut can be: at least 1 in
a connected graph, and odd just where vol(S) is.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.expansion.edge_exact import enumeration_work, least_cut
from expandergraphs.expansion.edge_search import small_cut
from expandergraphs.paths import components
from expandergraphs.rng import RNG, as_generator
from expandergraphs.spectral.bounds import second_singular_value

_ENUMERATED = 2**28  # table entries: a second at most
_DENSE = 2000  # vertices, for eigenvalues of dense matrices
_ROUNDED = 2**22  # volumes of sets; for those below, rounding up gains nothing
_SAFE = 1e-9  # relative, taken off before rounding up: more than the errors of sums of millions of masses


@dataclass(frozen=True)
class CutInterval:
    """An interval that holds the edge expansion or the conductance.

    Attributes
    ----------
    lower, upper : float
        Its ends. `upper` is `boundary` over the number of vertices of the witness (edge expansion) or over its volume
        (conductance).
    exact : bool
        Whether the ends are equal.
    certificate : str
        How `lower` is known: "exact" where it is proved, with rounding allowed for; "probabilistic" where it is proved
        but for an event of probability `failure_probability`.
    failure_probability : float
        0 where the certificate is exact.
    boundary : int
        Number of edges with one end in the witness.
    witness : tuple of int
        Ascending; left vertex i is i, right vertex j is ``n_left + j``.

    Examples
    --------
    >>> ring = BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)])
    >>> found = edge_expansion(ring)
    >>> found.lower, found.upper, found.exact, found.boundary, len(found.witness)
    (1.0, 1.0, True, 2, 2)
    """

    lower: float
    upper: float
    exact: bool
    certificate: str
    failure_probability: float
    boundary: int
    witness: tuple[int, ...] = field(repr=False)


def edge_expansion(g: BipartiteGraph, *, rng: RNG = None) -> CutInterval:
    r"""Bound the edge expansion, the least number of edges leaving a set of vertices, for each vertex of the set.

    .. math:: h = \min_{1 \le |S| \le (n_l + n_r) / 2} \mathrm{cut}(S) / |S|

    over sets S of left and right vertices.

    Parameters
    ----------
    g : BipartiteGraph
    rng : None, int, SeedSequence or Generator
        Source of the certificate of graphs with over 4,096 vertices on both sides. The search draws from a stream of
        its own, so that a graph has one witness, under one version of SciPy and its BLAS.

    Returns
    -------
    CutInterval

    Raises
    ------
    ValueError
        If the graph has fewer than two vertices: no set is admissible.

    Notes
    -----
    Exact on all graphs of up to 21 vertices a side, and of 16 x 100 or 10 x 1000, within a second. Beyond, spectral
    bounds below and local search above, seconds for a million edges.

    References
    ----------
    Lower end: Mohar. Isoperimetric numbers of graphs. J. Combin. Theory B 47 (1989); with masses, see the module.

    Examples
    --------
    >>> ring = BipartiteGraph.from_edges(5, 5, [(i, j % 5) for i in range(5) for j in (i, i + 1)])
    >>> h = edge_expansion(ring)
    >>> h.upper, h.exact, h.boundary, len(h.witness)
    (0.4, True, 2, 5)
    """
    check_graph(g)
    n = g.n_left + g.n_right
    if n < 2:
        raise ValueError(f"no admissible set: edge expansion needs at least 2 vertices, got {g.n_left} x {g.n_right}")
    return _interval(g, np.ones(n, dtype=np.int64), np.arange(n), rng)


def conductance(g: BipartiteGraph, *, rng: RNG = None) -> CutInterval:
    r"""Bound the conductance, the least share of a set's edge ends whose edges leave it.

    .. math:: \phi = \min_{0 < \mathrm{vol}(S) \le m} \mathrm{cut}(S) / \mathrm{vol}(S)

    over sets S of left and right vertices, m the number of edges, so 2 m the volume of all. Isolated vertices have no
    volume and are left out.

    Parameters
    ----------
    g : BipartiteGraph
    rng : None, int, SeedSequence or Generator
        Source of the certificate of graphs with over 4,096 vertices on both sides. The search draws from a stream of
        its own, so that a graph has one witness, under one version of SciPy and its BLAS.

    Returns
    -------
    CutInterval

    Raises
    ------
    ValueError
        If the graph has no edge: every set has volume 0.

    Notes
    -----
    Exact on graphs of up to 21 vertices a side if each side has one degree, else of up to 17, with few edges more.
    Beyond, spectral bounds below and local search above, as for `edge_expansion`.

    References
    ----------
    Lower end: Chung. Spectral Graph Theory. AMS 1997, lemma 2.1. By theorem 2.2 a sweep along the second singular
    vector comes below sqrt(2 (1 - sigma)).

    Examples
    --------
    >>> ring = BipartiteGraph.from_edges(5, 5, [(i, j % 5) for i in range(5) for j in (i, i + 1)])
    >>> conductance(ring).upper
    0.2
    """
    check_graph(g)
    if g.n_edges == 0:
        raise ValueError(f"no admissible set: conductance needs at least 1 edge, got {g!r}")
    left, right = g.left_degrees, g.right_degrees
    core = BipartiteGraph.from_biadjacency(g.biadjacency[left > 0][:, right > 0])
    degrees = np.concatenate([left, right])
    vertices = np.flatnonzero(degrees)
    return _interval(core, degrees[vertices], vertices, rng)


def sparsest(g: BipartiteGraph, weights: NDArray[np.int64]) -> tuple[NDArray[np.bool_], bool]:
    """Find a set with a small cut for its weight, of at most half the weight; say whether none can be better.

    Parameters
    ----------
    g : BipartiteGraph
        With at least two vertices.
    weights : ndarray of int, shape (n_left + n_right,)
        Positive.
    """
    parts = components(g)
    if parts.count > 1:
        return parts.labels == np.bincount(parts.labels, weights).argmin(), True
    few = enumeration_work(g, weights) <= _ENUMERATED
    members = least_cut(g, weights) if few else small_cut(g, weights)
    return members if 2 * weights[members].sum() <= weights.sum() else ~members, few


def _interval(g: BipartiteGraph, weights: NDArray[np.int64], vertices: NDArray[np.int64], rng: RNG) -> CutInterval:
    rng = as_generator(rng)  # a bad one is refused whether or not it is needed
    members, best = sparsest(g, weights)
    left, right = (g.edges + np.array([0, g.n_left])).T
    boundary = int(np.count_nonzero(members[left] != members[right]))
    upper = boundary / int(weights[members].sum())
    witness = tuple(vertices[members].tolist())
    if best:
        return CutInterval(upper, upper, True, "exact", 0.0, boundary, witness)
    sigma = second_singular_value(g, normalised=True, rng=rng)
    lower = _cheeger(g, weights, sigma.upper)
    return CutInterval(lower, upper, lower == upper, sigma.certificate, sigma.failure_probability, boundary, witness)


def _cheeger(g: BipartiteGraph, weights: NDArray[np.int64], sigma: float) -> float:
    """Bound ``cut / weight`` from below, over sets of at most half the weight of a connected graph."""
    degrees = np.concatenate([g.left_degrees, g.right_degrees])
    by_volume = bool((weights == degrees).all())
    masses_and_rates = [(degrees.astype(float), 1 - sigma)]
    if not by_volume and degrees.min() < degrees.max():
        masses_and_rates += _by_roots(g, degrees, sigma)
    unit = int(np.gcd.reduce(weights))
    largest = int(weights.sum()) // (2 * unit)
    sizes = unit * np.arange(max(1, largest - _ROUNDED) if by_volume else 1, largest + 1)
    bound = np.zeros(sizes.size)
    for masses, rate in masses_and_rates:
        total = float(masses.sum())
        # Of the sets of one size, that of least mass has the smallest bound: no mass is farther from P / 2.
        least = sizes if by_volume else np.cumsum(np.sort(masses))[sizes - 1]
        np.maximum(bound, rate / total * (least * (total - least)), out=bound)
    bound *= 1 - _SAFE
    floors = np.maximum(np.ceil(bound), 1)
    if by_volume:
        floors += (floors - sizes) % 2
    elif (degrees % 2 == degrees[0] % 2).all():
        floors += (floors - sizes * degrees[0]) % 2
    lower = float((floors / sizes).min())
    # Smaller volumes that were left out: there the bound is larger for its size.
    return lower if sizes[0] == unit else min(lower, float(bound[0] / sizes[0]))


def _by_roots(g: BipartiteGraph, degrees: NDArray[np.int64], sigma: float) -> list[tuple[NDArray[np.float64], float]]:
    """Return the roots of the degrees as masses and at most their rate, where that is within reach."""
    masses = np.sqrt(degrees)
    x, y = float(masses[0]), float(masses[-1])
    if (masses[: g.n_left] == x).all() and (masses[g.n_left :] == y).all():
        # The scaled Laplacian is [[x, -M], [-M', y]] with M = B / sqrt(xy), so (x - rate) (y - rate) = xy sigma^2.
        return [(masses, 2 * x * y * (1 - sigma**2) / (x + y + math.hypot(x - y, 2 * sigma * math.sqrt(x * y))))]
    if degrees.size > _DENSE:
        return []
    laplacian = np.diag(degrees) - g.adjacency.toarray()
    values = linalg.eigvalsh(laplacian / np.sqrt(np.outer(masses, masses)))
    return [(masses, float(values[1] - 4 * masses.size * np.finfo(float).eps * values[-1]))]
