r"""How many neighbours k left vertices have at least: several bounds, the best of them for every k.

Write k = |S|, x_j for the number of members of S next to the right vertex j, so N(S) = {j: x_j > 0}, and v for the sum
of the degrees of S, which is at least that of the k smallest.

By degrees. Sum_j x_j = v and x_j <= min(k, d_j): N(S) holds at least the fewest vertices of largest such capacity that
reach v. And the vertex of largest degree in S has at least the k-th smallest of all degrees.

By volumes. ``q(N(S)) >= p(S) / (sigma^2 + (1 - sigma^2) p(S) / vol)``, see `expandergraphs.expansion.weighting`. With
the degrees as volumes and sigma the second singular value of the normalised biadjacency this is Tanner's bound on
biregular graphs (sigma = s2 / s1), Chung's on others. Haemers' bound on two sets S, U without an edge between them,
``|S| |U| <= sigma^2 (n_l - |S|) (n_r - |U|)``, is the same inequality on biregular graphs, U the complement of N(S).

By pairs, on biregular graphs. Let P be the number of pairs of members that share j, summed over j, which is sum_j x_j
(x_j - 1) / 2. As sum_j x_j^2 = |B' 1_S|^2 <= (s1^2 - s2^2) k^2 / n_l + s2^2 k, P is bounded, and it is an integer. For
integers x >= 0 and t >= 1, ``t (t + 1) [x > 0] >= 2 t x - x (x - 1)``, with equality at 0, t and t + 1; summed over j,
``|N(S)| >= (2 t v - 2 P) / (t (t + 1))``, which is best for t = 1 + floor(2 P / v). With real x and the best real t it
would be Tanner's bound. (The inequality is Dawson and Sankoff's; this is the linear program over the degree profile of
N(S), given its first two moments.)

By cuts: lines below the envelope of the numbers, see `expandergraphs.expansion.cuts`.

Floating-point results are lowered by a relative 1e-12 before they are rounded up, a thousand times their error: sums of
volumes are exact integers, and a dozen operations follow.

Sources: Tanner. Explicit concentrators from generalized N-gons. SIAM J. Alg. Disc. Meth. 5 (1984), theorem 2.1; Chung.
Spectral Graph Theory. AMS 1997, chapter 6; Haemers. Interlacing eigenvalues and graphs. Linear Algebra Appl. 226-228
(1995); Dawson and Sankoff. An inequality for probabilities. Proc. AMS 18 (1967).
"""

import numpy as np
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.expansion.cuts import Line
from expandergraphs.expansion.weighting import Weighting

Floors = NDArray[np.int64]

_SAFE = 1e-12


def neighbour_floors(
    g: BipartiteGraph,
    k_max: int,
    sigma_upper: float,
    sigma_normalised_upper: float,
    *,
    weighting: Weighting | None = None,
    lines: list[Line] | None = None,
) -> Floors:
    """Bound the number of neighbours of k left vertices from below, for every k up to `k_max`.

    Parameters
    ----------
    g : BipartiteGraph
        For the right side, pass ``g.T``.
    k_max : int
        At most ``n_left``.
    sigma_upper, sigma_normalised_upper : float
        Upper bounds on the second singular values of the biadjacency and of its normalised form ``D_l^(-1/2) B
        D_r^(-1/2)``. The first is used on biregular graphs only. ``inf`` stands for not known.
    weighting : Weighting, optional
        From `expandergraphs.expansion.weighting.spectral_weighting`.
    lines : list of (a, b, c), optional
        From `expandergraphs.expansion.cuts.envelope`.

    Returns
    -------
    ndarray of int64, shape (k_max + 1,)
        Ascending; entry k is at most ``|N(S)|`` for every set S of k left vertices.

    Examples
    --------
    >>> ring = BipartiteGraph.from_edges(3, 3, [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 0)])
    >>> neighbour_floors(ring, 3, 1.0, 0.5).tolist()
    [0, 2, 3, 3]
    """
    floors = np.zeros(k_max + 1, dtype=np.int64)
    if k_max == 0 or g.n_edges == 0:
        return floors
    left, right = g.left_degrees, g.right_degrees
    bounds = [by_degrees(g, k_max), by_volumes(left, right, sigma_normalised_upper, k_max)]
    if left.min() == left.max() and right.min() == right.max():
        bounds.append(_by_pairs(g, k_max, sigma_upper))
    if weighting is not None:
        bounds.append(by_volumes(weighting.left, weighting.right, weighting.sigma, k_max))
    sizes = np.arange(1, k_max + 1)
    bounds += [-((c - a * sizes) // b) for a, b, c in lines or []]
    floors[1:] = np.maximum.accumulate(np.max(bounds, axis=0))
    return floors


def by_degrees(g: BipartiteGraph, k_max: int) -> Floors:
    """Return the bound by degrees, for 1..k_max."""
    ascending, capacities = np.sort(g.left_degrees), np.sort(g.right_degrees)[::-1]
    volumes = np.cumsum(ascending[:k_max])
    bound = np.searchsorted(np.cumsum(capacities), volumes) + 1
    for k in range(1, min(k_max, int(capacities[0])) + 1):
        bound[k - 1] = np.searchsorted(np.cumsum(np.minimum(capacities, k)), volumes[k - 1]) + 1
    bound[volumes == 0] = 0
    return np.maximum(bound, ascending[:k_max])


def by_volumes(left: NDArray[np.int64], right: NDArray[np.int64], sigma: float, k_max: int) -> Floors:
    """Return the bound by volumes, for 1..k_max; `sigma` is an upper bound, anything above 1 counts as 1."""
    square = min(sigma, 1.0) ** 2
    volumes = np.cumsum(np.sort(left)[:k_max])
    with np.errstate(invalid="ignore"):  # 0 / 0 where there is no volume and sigma is 0
        needed = volumes / (square + (1 - square) * volumes / left.sum()) * (1 - _SAFE)
    bound: Floors = np.searchsorted(np.cumsum(np.sort(right)[::-1]), needed) + 1
    bound[volumes == 0] = 0
    return bound


def _by_pairs(g: BipartiteGraph, k_max: int, sigma: float) -> Floors:
    """Return the bound by pairs on a biregular graph, for 1..k_max."""
    d_left, d_right = int(g.left_degrees[0]), int(g.right_degrees[0])
    first = d_left * d_right  # s1^2
    second = min(sigma**2, first)
    k = np.arange(1, k_max + 1)
    volumes = k * d_left
    squares = np.floor((k * ((first - second) * k / g.n_left + second)) * (1 + _SAFE)).astype(np.int64)
    pairs = (squares - volumes) // 2
    t = np.maximum(1, 1 + 2 * pairs // volumes)  # the best integer, by Dawson and Sankoff
    bound: Floors = -((2 * pairs - 2 * t * volumes) // (t * (t + 1)))
    return bound
