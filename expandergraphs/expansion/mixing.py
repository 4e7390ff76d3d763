"""How tight the expander mixing lemma is on a graph: the two sets that come closest to its bound.

Let S be a set of left and T one of right vertices, e(S, T) the number of edges between them, vol the sum of degrees, m
the number of edges, and sigma the second singular value of N, the normalised biadjacency. Then

    |e(S, T) - vol(S) vol(T) / m| <= sigma sqrt(vol(S) vol(T) (1 - vol(S) / m) (1 - vol(T) / m)).

With one degree on each side this is |e(S, T) - d_l |S| |T| / n_r| <= s2 sqrt(|S| |T| (1 - |S| / n_l) (1 - |T| / n_r)),
as s2 = sigma sqrt(d_l d_r). Proof: let x = D_l^(1/2) 1_S and y = D_r^(1/2) 1_T, less their parts along the first
singular pair of N. On the left stands |x' N y|, and the root is |x| |y|.

For a given S the best T is found exactly. Each T is a point (vol(T), e(S, T)), and the sets of points where the ratio
of both sides stays below a value are convex, so the ratio is largest at a corner of the hull of all points. There T
holds the right vertices with the largest shares of edges into S, or their complement, which has the same ratio. So the
sides take turns, each time with a larger ratio, from many sets, until none rises.

Sources: Haemers. Interlacing eigenvalues and graphs. Linear Algebra Appl. 226-228 (1995), for one degree a side; Chung.
Spectral Graph Theory. AMS 1997, chapter 5.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.expansion.edge import sparsest
from expandergraphs.expansion.edge_search import orders
from expandergraphs.rng import RNG, as_generator
from expandergraphs.spectral.gap import spectral_gap
from expandergraphs.spectral.values import is_biregular

Members = NDArray[np.bool_]
Sets = NDArray[np.int16] | NDArray[np.int64]  # one a column, of zeros and ones
Floats = NDArray[np.float64]

_ENTRIES = 2**24  # of the arrays of sets that are held at once
_EVERY = 2**22
_ALL = 12  # vertices of a side: all of its sets are tried
_RISE = 1e-9  # of a ratio; less is rounding


@dataclass(frozen=True)
class MixingDiscrepancy:
    """The sets found with the largest ratio of both sides of the mixing lemma.

    Attributes
    ----------
    ratio : float
        ``|n_edges - expected| / bound``, at most 1 up to rounding; nan where sigma is 0: then every pair of sets has as
        many edges as expected.
    n_edges : int
        Number of edges between the sets.
    expected : float
        ``vol(S) vol(T) / m``, which is ``d_l |S| |T| / n_r`` on biregular graphs.
    bound : float
        Right side of the lemma.
    form : str
        "biregular" where each side has one degree, else "volume": the lemma with sizes, or with volumes.
    exact : bool
        Whether no sets have a larger ratio; otherwise they may.
    left, right : tuple of int
        The sets S and T, ascending, each of at most half the volume of its side.

    Examples
    --------
    >>> found = mixing_discrepancy(BipartiteGraph.from_biadjacency(np.kron(np.eye(2), np.ones((2, 2)))))
    >>> found.form, found.exact, len(found.left), len(found.right)
    ('biregular', True, 2, 2)
    """

    ratio: float
    n_edges: int
    expected: float
    bound: float
    form: str
    exact: bool
    left: tuple[int, ...] = field(repr=False)
    right: tuple[int, ...] = field(repr=False)


def mixing_discrepancy(g: BipartiteGraph, *, samples: int = 100, rng: RNG = None) -> MixingDiscrepancy:
    r"""Look for the sets S and T that come closest to the bound of the expander mixing lemma.

    .. math:: \max_{S, T} \frac{|e(S, T) - d_l |S| |T| / n_r|}{\sigma_2 \sqrt{|S| |T| (1 - |S| / n_l) (1 - |T| / n_r)}}

    and on irregular graphs the same with volumes for sizes and the normalised biadjacency. A ratio near 1 says that the
    lemma is tight: some sets have as uneven a share of the edges as sigma_2 lets them.

    Parameters
    ----------
    g : BipartiteGraph
    samples : int
        Number of random sets to start from, on both sides together, besides some 17 spectral ones and a vertex of
        least degree on each.
    rng : None, int, SeedSequence or Generator
        Source of the random sets.

    Returns
    -------
    MixingDiscrepancy

    Raises
    ------
    ValueError
        If `samples` is negative.

    Notes
    -----
    Exact where a side has at most 12 vertices (and the other up to two thousand). Elsewhere the sides take turns, some
    20 of them, in O(m + n log n) for each set, O(m + n) where degrees differ little.

    References
    ----------
    Haemers. Interlacing eigenvalues and graphs. Linear Algebra Appl. 226-228 (1995); Chung. Spectral Graph Theory. AMS
    1997, chapter 5.

    Examples
    --------
    Two squares side by side: the edges of one lie within its half of both sides, twice as many as expected.

    >>> g = BipartiteGraph.from_biadjacency(np.kron(np.eye(2), np.ones((2, 2))))
    >>> found = mixing_discrepancy(g)
    >>> found.n_edges, found.expected, round(found.ratio, 12), found.exact
    (4, 2.0, 1.0, True)
    """
    check_graph(g)
    samples = as_integer("samples", samples)
    generator = as_generator(rng)
    degrees = g.left_degrees, g.right_degrees
    form = "biregular" if is_biregular(g) else "volume"
    left, right = (np.flatnonzero(d) for d in degrees)
    if g.n_edges == left.size * right.size:  # what is not isolated is complete: N has rank 1
        return MixingDiscrepancy(math.nan, 0, 0.0, 0.0, form, True, (), ())
    core = BipartiteGraph.from_biadjacency(g.biadjacency[left][:, right])
    (s, t), exact = _closest(core, samples, generator)
    m = g.n_edges
    s, t = (~part if 2 * d[part].sum() > m else part for part, d in ((s, core.left_degrees), (t, core.right_degrees)))
    n_edges = int((core.biadjacency @ t)[s].sum())
    a, b = int(core.left_degrees[s].sum()), int(core.right_degrees[t].sum())
    bound = spectral_gap(g).sigma2_normalised * math.sqrt(a * b * (1 - a / m) * (1 - b / m))
    sets = (tuple(vertices[part].tolist()) for vertices, part in ((left, s), (right, t)))
    return MixingDiscrepancy(abs(n_edges - a * b / m) / bound, n_edges, a * b / m, bound, form, exact, *sets)


class _Side:
    """One side of a graph without isolated vertices, and its answers to sets of the other.

    A vertex of degree d with a neighbours in the set is of kind (d, a). Which kinds there can be, and their rank by
    ``a / d``, does not depend on the set. So vertices are counted by rank, and sorted only where degrees differ so much
    that there are many more kinds than vertices.
    """

    def __init__(self, neighbours: sparse.csr_array, degrees: NDArray[np.int64]) -> None:
        distinct, which = np.unique(degrees, return_inverse=True)
        kinds = distinct + 1
        first = np.cumsum(kinds) - kinds
        self.degrees = degrees
        self.first = first[which][:, None]  # the kind of each vertex without a neighbour in the set
        self.neighbours = neighbours.astype(np.int16 if distinct[-1] < 2**15 else np.int64)
        volume = np.repeat(distinct, kinds)
        inside = np.arange(volume.size) - np.repeat(first, kinds)
        order = np.argsort(-inside / volume, kind="stable")
        self.rank = np.argsort(order)
        self.volume, self.inside = volume[order], inside[order]
        self.sorts = order.size > 2 * degrees.size  # kinds that most vertices are not of
        self.width = degrees.size + (0 if self.sorts else order.size)

    def reply(self, given: Sets, share: Floats) -> tuple[Sets, Floats, Floats]:
        """Return the best set for each column, a set of the other side with this share of the volume.

        Its share comes second, and last the ratio of the two sets, times sigma.
        """
        m, n_kinds = float(self.degrees.sum()), self.rank.size
        ranks = self.rank[self.first + self.neighbours @ given]
        counts: NDArray[np.int64] | int = 1
        if self.sorts:
            seen = np.sort(ranks, axis=0).T
        else:
            where = ranks + n_kinds * np.arange(share.size)
            seen = np.arange(n_kinds)[None]
            counts = np.bincount(where.ravel(), minlength=n_kinds * share.size).reshape(-1, n_kinds)
        volume = np.cumsum(counts * self.volume[seen], axis=1) / m
        excess = np.cumsum(counts * self.inside[seen], axis=1) / m - share[:, None] * volume
        scale = np.sqrt((share * (1 - share))[:, None] * volume * np.maximum(1 - volume, 0))
        ratios = np.divide(excess, scale, out=np.zeros_like(scale), where=scale > 0)
        last = ratios.argmax(axis=1)[:, None]
        most = np.take_along_axis(np.broadcast_to(seen, ratios.shape), last, axis=1)[:, 0]
        chosen = (ranks <= most).astype(given.dtype)
        return chosen, self.degrees @ chosen / m, np.take_along_axis(ratios, last, axis=1)[:, 0]


def _closest(g: BipartiteGraph, samples: int, rng: np.random.Generator) -> tuple[list[Members], bool]:
    """Return a left and a right set with a large ratio, and whether it is the largest; no vertex is isolated."""
    sizes = g.n_left, g.n_right
    sides = _Side(g.biadjacency, g.left_degrees), _Side(g.T.biadjacency, g.right_degrees)
    n, small = min(sizes), sizes.index(min(sizes))
    if n <= _ALL and max(sizes) << (n - 1) <= _EVERY:
        # Of a set and its complement, which have one ratio, one lacks the last vertex.
        every = np.arange(1 << (n - 1)) >> np.arange(n)[:, None] & 1 == 1
        return _rise(sides[small], sides[1 - small], every)[1][:: 1 - 2 * small], True
    cut, _ = sparsest(g, np.concatenate([g.left_degrees, g.right_degrees]))
    vectors = list(orders(g, np.random.default_rng(0)))
    found = []
    for i, part in enumerate((slice(None, g.n_left), slice(g.n_left, None))):
        halves = [values[part] > np.median(values[part]) for values in vectors]
        shares = sizes[i] ** -rng.random((samples + 1 - i) // 2)  # small sets are as likely as large ones
        random = [rng.random(sizes[i]) < share for share in shares]
        least = np.arange(sizes[i]) == sides[i].degrees.argmin()  # joined to some of the others only: no ratio of 0
        ratio, sets = _rise(sides[i], sides[1 - i], np.array([least, cut[part], *halves, *random]).T)
        found.append((ratio, sets[:: 1 - 2 * i]))
    return max(found, key=lambda pair: pair[0])[1], False


def _rise(side: _Side, other: _Side, starts: NDArray[np.bool_]) -> tuple[float, list[Members]]:
    """Return the largest ratio, times sigma, to which turns lead from sets of one side, and its sets of both."""
    best, found = -1.0, [starts[:, 0], np.zeros(other.degrees.size, dtype=bool)]
    step = max(1, _ENTRIES // (side.width + other.width))
    for start in range(0, starts.shape[1], step):
        sets = starts[:, start : start + step].astype(side.neighbours.dtype)
        shares, ratios = side.degrees @ sets / side.degrees.sum(), np.zeros(sets.shape[1])
        while sets.size:
            answers, shares, _ = other.reply(sets, shares)
            sets, shares, risen = side.reply(answers, shares)
            k = risen.argmax()
            if risen[k] > best:
                best, found = float(risen[k]), [sets[:, k] > 0, answers[:, k] > 0]
            on = risen > ratios + _RISE
            sets, shares, ratios = sets[:, on], shares[on], risen[on]
    return best, found
