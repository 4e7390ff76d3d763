"""Explicit expanders: graphs given by arithmetic, whose singular values theorems state.

* Array code [1]_: l q by q^2 vertices of degrees q and l; sqrt(l q), then sqrt(q), l (q - 1) times, then 0.
* Projective plane: q^2 + q + 1 vertices a side of degree q + 1; q + 1, then sqrt(q).
* LPS [2]_: q (q^2 - 1) / 2 vertices a side of degree p + 1; p + 1, then at most 2 sqrt(p).
* Cayley graph of (Z/2)^m: 2^m vertices a side; ``abs(sum_s (-1)^<s, y>)``, s the generators, y any vertex.

Nothing is random and no property is taken on trust: `singular_values` and `spectral_gap` measure any of them. Trap: a
Cayley graph need not be an expander, or connected. The primes here are primes: a prime power is refused, for want of
arithmetic in its field. Time and memory are O(n_edges).

.. [1] Burnwal, Sinha, Vidyasagar. New and explicit constructions of unbalanced Ramanujan bipartite graphs. The
   Ramanujan Journal, 2021, doi:10.1007/s11139-021-00384-0, section 3.
.. [2] Lubotzky, Phillips, Sarnak. Ramanujan graphs. Combinatorica 8 (1988).
"""

import math
from collections.abc import Callable, Iterable
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

from expandergraphs._checks import as_integer, as_list
from expandergraphs.bipartite import BipartiteGraph, check_sizes
from expandergraphs.errors import GenerationError

_LARGEST_CUBE = 31  # (2^m)^2 must fit in 63 bits


def array_code(q: int, l: int) -> BipartiteGraph:  # noqa: E741
    """Build the bigraph of an array code: l by q blocks, of which block (i, j) is the cyclic shift P^(i j).

    Row a of P^k has its one in column (a - k) mod q. Two left vertices have at most one neighbour in common.

    Parameters
    ----------
    q : int
        A prime; the degree of every left vertex. There are ``q**2`` right vertices.
    l : int
        From 1 to `q`; the degree of every right vertex. There are ``l * q`` left vertices.

    Returns
    -------
    BipartiteGraph
        Singular values sqrt(l q) once, sqrt(q) with multiplicity l (q - 1), and 0 with multiplicity l - 1. From l = 2
        on it is a Ramanujan graph; for l = 1 it is q disjoint stars.

    Raises
    ------
    GenerationError
        If `q` is not prime, or `l` exceeds it.
    ValueError
        If an argument is no integer of its range.

    References
    ----------
    Burnwal, Sinha, Vidyasagar. New and explicit constructions of unbalanced Ramanujan bipartite graphs. 2021,
    section 3.

    Examples
    --------
    >>> from expandergraphs import singular_values
    >>> g = array_code(5, 2)
    >>> g, (singular_values(g) ** 2).round(9).tolist()
    (BipartiteGraph(10 x 25, 50 edges, density 0.2), [10.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 0.0])
    """
    q, l = as_integer("q", q, minimum=2), as_integer("l", l, minimum=1)  # noqa: E741
    check_sizes(l * q, q * q)
    _check_prime(f"array_code({q}, {l})", "q", q)
    if l > q:
        raise GenerationError(f"array_code({q}, {l}): l exceeds q = {q}; the nearest feasible l is {q}")
    return _from_rows(q * q, _shifts(q, l))


def projective_plane(q: int) -> BipartiteGraph:
    """Build the incidence graph of the projective plane over the integers modulo a prime: points by lines.

    Left are the points (x, y) at ``x * q + y``, then the directions of slope 0..q-1 and of the vertical lines. Right
    are the lines y = m x + b at ``m * q + b``, then the vertical lines x = 0..q-1 and the line at infinity. Any two
    points lie on exactly one common line, so B B' = q I + J.

    Parameters
    ----------
    q : int
        A prime, the order of the plane.

    Returns
    -------
    BipartiteGraph
        ``q**2 + q + 1`` vertices a side, all of degree q + 1; singular values q + 1 once, sqrt(q) for all others.

    Raises
    ------
    GenerationError
        If `q` is not prime. (Planes of other prime powers exist; their fields are not built here.)
    ValueError
        If `q` is no integer of its range.

    References
    ----------
    Tanner. Explicit concentrators from generalized N-gons. SIAM J. Algebraic Discrete Methods 5 (1984), 287-293; planes
    are the case N = 3. Their singular values follow from B B' above.

    Examples
    --------
    >>> from expandergraphs import singular_values
    >>> fano = projective_plane(2)
    >>> fano, (singular_values(fano) ** 2).round(9).tolist()
    (BipartiteGraph(7 x 7, 21 edges, density 0.4286), [9.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    """
    q = as_integer("q", q, minimum=2)
    n = q * q + q + 1
    check_sizes(n, n)
    _check_prime(f"projective_plane({q})", "q", q)
    residues = np.arange(q)
    # The affine points and the lines that are not vertical are the array code with l = q.
    points = np.column_stack([_shifts(q, q), q * q + np.repeat(residues, q)])
    slopes = np.column_stack([q * residues[:, None] + residues, np.full(q, n - 1)])
    return _from_rows(n, np.vstack([points, slopes, np.arange(q * q, n)]))


def lps(p: int, q: int) -> BipartiteGraph:
    """Build the bipartite Ramanujan graph X^{p,q} of Lubotzky, Phillips and Sarnak.

    It is a Cayley graph of PGL(2, q). Its p + 1 generators are ``[[a + i b, c + i d], [-c + i d, a - i b]]`` for all
    ways to write p = a^2 + b^2 + c^2 + d^2 with a > 0 odd and the others even; i^2 = -1 modulo q. Their determinant p
    is no square, so each leads from PSL(2, q), the left side, to its other coset, the right side.

    Parameters
    ----------
    p, q : int
        Distinct primes, both 1 modulo 4, p no square modulo q. The graph must have no repeated edges, for which
        ``q > sqrt(p)`` is enough.

    Returns
    -------
    BipartiteGraph
        ``q * (q**2 - 1) / 2`` vertices a side, all of degree p + 1; connected, sigma2 at most 2 sqrt(p).

    Raises
    ------
    GenerationError
        If `p` and `q` are not as required: the message names the nearest that are.
    ValueError
        If an argument is no integer of its range.

    Notes
    -----
    Why q > sqrt(p) is enough: generators that agree have (a, b, c, d) = +-(a', b', c', d') modulo q. Differences and
    sums are even, so 2q divides them; at most 2 sqrt(p) < 2q in size, they are 0. But a + a' is positive.

    Vertices are matrices scaled to 1 as their first entry that is not 0, in the order of their first row, (1, 0) to
    (1, q - 1) and then (0, 1), then of their determinant, then of the entry below the leading 1 (of the last entry in
    the case (0, 1)).

    References
    ----------
    Lubotzky, Phillips, Sarnak. Ramanujan graphs. Combinatorica 8 (1988).

    Examples
    --------
    >>> from expandergraphs import spectral_gap
    >>> g = lps(13, 5)
    >>> g, spectral_gap(g).is_ramanujan
    (BipartiteGraph(60 x 60, 840 edges, density 0.2333), True)
    """
    p, q = as_integer("p", p, minimum=2), as_integer("q", q, minimum=2)
    call, n = f"lps({p}, {q})", q * (q * q - 1) // 2
    check_sizes(n, n)
    _check_prime(call, "q", q, remainder=1)
    if p >= n:
        raise GenerationError(f"{call}: p must be below q (q^2 - 1) / 2 = {n}, the number of vertices of a side")
    _check_prime(call, "p", p, remainder=1)

    def suits(q: int) -> bool:
        return q * q > p and _is_prime_of_1_mod_4(q) and pow(p, q // 2, q) == q - 1

    def refused(reason: str) -> GenerationError:
        nearest = _nearest(q, suits)
        return GenerationError(f"{call}: {reason}; with p = {p} the nearest q > sqrt(p) that will do: {nearest}")

    if p == q:
        raise refused("p and q must differ")
    if pow(p, q // 2, q) == 1:
        raise refused(f"{p} is a square modulo {q}, where X^{{p,q}} is not bipartite")
    field = _Matrices(q)
    generators = field.quaternions(_four_squares(p))
    if np.unique(field.places(generators)).size <= p:
        raise refused(f"two of the {p + 1} generators agree modulo {q}, so edges would repeat")
    left = field.of_square_determinant()
    rows = np.stack([field.places(left @ generator % q) for generator in generators], axis=1)
    rows.sort(axis=1)
    return _from_rows(n, rows)


def cayley_f2(m: int, generators: Iterable[int]) -> BipartiteGraph:
    """Build the bipartite double cover of a Cayley graph of (Z/2)^m: x is joined to x ^ s for every generator s.

    Parameters
    ----------
    m : int
        At most 31. Vertices are the numbers 0..2**m - 1, their bits the coordinates.
    generators : iterable of int
        Distinct, from 0..2**m - 1, in any order. 0, a loop of the Cayley graph, joins x to x; no generator, no edge.

    Returns
    -------
    BipartiteGraph
        ``2**m`` vertices a side, the number of generators as degree.

    Raises
    ------
    ValueError
        If `m` or a generator is out of its range, or a generator is repeated.

    Notes
    -----
    The singular values are ``abs(sum_s (-1)^<s, y>)`` for y in 0..2**m - 1: an expander is the same thing as a set of
    generators with small bias. The graph is connected exactly if only y = 0 gives every generator the same sign. The
    unit vectors alone, a hypercube, fail: y of all ones gives each the sign -1, so the double cover is two copies of
    the hypercube, and sigma1 = sigma2. Adding 0, or any vector of an even number of ones, joins them.

    References
    ----------
    Alon, Roichman. Random Cayley graphs and expanders. Random Structures & Algorithms 5 (1994): a random set of O(m)
    generators will do. X-Net's explicit family: Prabhu, Varma, Namboodiri. Deep Expander Networks. ECCV 2018.

    Examples
    --------
    >>> from expandergraphs import spectral_gap
    >>> cube, mended = (spectral_gap(cayley_f2(3, generators)) for generators in ([1, 2, 4], [0, 1, 2, 4]))
    >>> cube.sigma1 - cube.sigma2 < 1e-9, cube.connected
    (True, False)
    >>> round(mended.sigma2, 9), mended.connected
    (2.0, True)
    """
    m = as_integer("m", m)
    if m > _LARGEST_CUBE:
        raise ValueError(f"m must be at most {_LARGEST_CUBE}, got {m}")
    steps = [as_integer("each generator", s) for s in as_list("generators", generators)]
    steps.sort()
    if steps and steps[-1] >= 2**m:
        raise ValueError(f"generators must lie in 0..{2**m - 1}, got {steps[-1]}")
    repeated = [s for s, following in pairwise(steps) if s == following]
    if repeated:
        raise ValueError(f"generator {repeated[0]} is given more than once; a pattern holds each edge once")
    rows = np.bitwise_xor.outer(np.arange(2**m), np.array(steps, dtype=np.int64))
    rows.sort(axis=1)
    return _from_rows(2**m, rows)


class _Matrices:
    """PGL(2, q): 2 x 2 matrices modulo q up to a factor, and their places in the order stated in `lps`."""

    def __init__(self, q: int) -> None:
        self.q = q
        self.inverses = np.array([0, *(pow(x, -1, q) for x in range(1, q))])
        self.is_square = np.zeros(q, dtype=bool)
        self.is_square[np.arange(1, q) ** 2 % q] = True
        # Rank of a determinant among the squares or among the others, 0 left out of both.
        self.ranks = np.where(self.is_square, np.cumsum(self.is_square), np.cumsum(~self.is_square) - 1) - 1

    def quaternions(self, solutions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn rows (a, b, c, d) into matrices, shape (n, 2, 2)."""
        i = next(x for x in range(self.q) if x * x % self.q == self.q - 1)
        a, b, c, d = solutions.T
        return np.stack([a + i * b, c + i * d, -c + i * d, a - i * b], axis=-1).reshape(-1, 2, 2) % self.q

    def of_square_determinant(self) -> NDArray[np.int64]:
        """List PSL(2, q) in order, shape (q (q^2 - 1) / 2, 2, 2)."""
        q = self.q
        axes = np.meshgrid(np.arange(q + 1), np.flatnonzero(self.is_square), np.arange(q), indexing="ij")
        row, determinant, free = (axis.ravel() for axis in axes)
        finite = row < q
        first = [finite.astype(np.int64), np.where(finite, row, 1)]
        second = [np.where(finite, free, -determinant), np.where(finite, determinant + row * free, free)]
        return np.stack([*first, *second], axis=-1).reshape(-1, 2, 2) % q

    def places(self, matrices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place of each matrix, entries in 0..q-1, within its own coset of PSL(2, q)."""
        q = self.q
        (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
        scale = self.inverses[np.where(a > 0, a, b)]
        row = np.where(a > 0, b * scale % q, q)
        rank = self.ranks[(a * d - b * c) % q * scale % q * scale % q]
        free = np.where(a > 0, c, d) * scale % q
        place: NDArray[np.int64] = (row * (q // 2) + rank) * q + free
        return place


def _four_squares(p: int) -> NDArray[np.int64]:
    """Return the (a, b, c, d) with squares adding up to p = 1 mod 4, a > 0 odd, the others even.

    There are p + 1 of them, by Jacobi's theorem on four squares.
    """
    half = math.isqrt(p) // 2
    evens = 2 * np.arange(-half, half + 1)
    found = []
    for a in range(1, math.isqrt(p) + 1, 2):
        rest = p - a * a - evens[:, None] ** 2 - evens**2
        root = np.sqrt(np.maximum(rest, 0)).round().astype(np.int64)
        b, c = np.nonzero(root**2 == rest)
        d = root[b, c]
        found += [(np.full(d.size, a), evens[b], evens[c], d)]
        nonzero = d > 0
        found += [(np.full(d.size, a)[nonzero], evens[b][nonzero], evens[c][nonzero], -d[nonzero])]
    return np.concatenate([np.column_stack(part) for part in found])


def _shifts(q: int, l: int) -> NDArray[np.int64]:  # noqa: E741
    """Return the neighbours of each left vertex of the array code, ascending; shape (l q, q)."""
    block_row, row = np.divmod(np.arange(l * q), q)
    blocks = np.arange(q)
    return q * blocks + (row[:, None] - block_row[:, None] * blocks) % q


def _from_rows(n_right: int, rows: NDArray[np.int64]) -> BipartiteGraph:
    """Build a graph from equally many neighbours of each left vertex, ascending."""
    n_left, degree = rows.shape
    return BipartiteGraph(n_left, n_right, degree * np.arange(n_left + 1), rows.ravel())


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % k for k in range(2, math.isqrt(n) + 1))


def _is_prime_of_1_mod_4(n: int) -> bool:
    return n % 4 == 1 and _is_prime(n)


def _check_prime(call: str, name: str, n: int, remainder: int | None = None) -> None:
    """Raise unless `n` is a prime (of this remainder modulo 4), naming the nearest that are."""
    fits, kind = (_is_prime, "a prime") if remainder is None else (_is_prime_of_1_mod_4, "a prime that is 1 modulo 4")
    if not fits(n):
        raise GenerationError(f"{call}: {name} = {n} is not {kind}; the nearest: {_nearest(n, fits)}")


def _nearest(n: int, fits: Callable[[int], bool]) -> str:
    """Name the nearest numbers that fit, below and above."""
    below = next((k for k in range(n - 1, 1, -1) if fits(k)), None)
    above = next(k for k in count(n + 1) if fits(k))
    return str(above) if below is None else f"{below} and {above}"
