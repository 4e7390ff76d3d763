"""Singular values of the biadjacency, and the spectral gap.

Write s1 >= s2 >= ... for the singular values of B. In the spectrum of the whole adjacency each comes as a pair
+-s, so the second largest *absolute* eigenvalue there is s1 again; here s2 is meant. If every left degree is d_l and
every right degree d_r, s1 = sqrt(d_l d_r) exactly with constant singular vectors: they are deflated, not computed.

Small graphs are decomposed densely, O(n_left n_right min); above `DENSE_LIMIT` vertices on the smaller side, ARPACK
finds the leading values of the sparse B, and those already found are taken out to look for equal ones.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, svds

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.operators import normalised_biadjacency
from expandergraphs.paths import components

DENSE_LIMIT = 1000
_LONGEST = 10_000  # of the other side, in a dense matrix
_DENSE_AT_ALL = 8000  # where iterating fails
_ROUNDING = 1e-12  # relative to s1; what a dense decomposition and a converged ARPACK stay well below


@dataclass(frozen=True)
class SpectralGap:
    """The two largest singular values and what follows from them.

    Attributes
    ----------
    sigma1, sigma2 : float
        The largest singular values of the biadjacency, counted with multiplicity; a missing sigma2 is 0.
    gap : float
        ``sigma1 - sigma2``.
    ratio : float
        ``sigma2 / sigma1``, or nan where sigma1 is 0.
    sigma2_normalised : float
        Second singular value of ``D_l^(-1/2) B D_r^(-1/2)``, whose first is 1.
    bound : float
        ``sqrt(d_l - 1) + sqrt(d_r - 1)``; degrees below 1 count as 1.
    bound_kind : str
        "biregular" where each side has one degree, else "average_degree": then the bound is formed with the average
        degrees, and no theorem makes it a yardstick.
    is_ramanujan : bool or None
        Biregular graphs: connected, and sigma2 at most the bound. None for others, and where rounding leaves it
        undecided.
    connected : bool
        Whether the graph is connected, isolated vertices counting as components.
    """

    sigma1: float
    sigma2: float
    gap: float
    ratio: float
    sigma2_normalised: float
    bound: float
    bound_kind: str
    is_ramanujan: bool | None
    connected: bool


def singular_values(g: BipartiteGraph, k: int | None = None) -> NDArray[np.float64]:
    """Compute the singular values of the biadjacency, descending.

    Parameters
    ----------
    g : BipartiteGraph
    k : int, optional
        Only the `k` largest; all ``min(n_left, n_right)`` by default.

    Returns
    -------
    ndarray of float, shape (k,)

    Raises
    ------
    ValueError
        If `k` is negative or exceeds ``min(n_left, n_right)``, or a graph of over 8,000 vertices on both sides has
        leading values too close together for an iterative method.

    Notes
    -----
    All of them need the dense matrix: 8 n_left n_right bytes. The `k` largest of a large graph do not.

    Examples
    --------
    >>> ring = BipartiteGraph.from_edges(3, 3, [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 0)])
    >>> singular_values(ring).round(6).tolist()
    [2.0, 1.0, 1.0]
    """
    check_graph(g)
    n = min(g.n_left, g.n_right)
    k = n if k is None else as_integer("k", k)
    if k > n:
        raise ValueError(f"k = {k} singular values asked for, min(n_left, n_right) = {n} exist")
    if not (_is_biregular(g) and g.n_edges > 0):
        return _largest(g.biadjacency, k)
    # The known pair is taken out: B - s1 u v' with constant u, v has the other singular values.
    known = math.sqrt(g.left_degrees[0] * g.right_degrees[0])
    constant = [np.full((size, 1), size**-0.5) for size in (g.n_left, g.n_right)]
    rest = _Deflated(g.biadjacency, constant[0], np.array([known]), constant[1])
    others = _largest(rest, min(k, n - 1))
    return np.concatenate([[known], np.minimum(others, known)])[:k]


def spectral_gap(g: BipartiteGraph) -> SpectralGap:
    """Measure the spectral gap, and compare sigma2 with the Ramanujan bound.

    Parameters
    ----------
    g : BipartiteGraph

    Returns
    -------
    SpectralGap

    References
    ----------
    Bound: Feng and Li. Spectra of hypergraphs and applications. J. Number Theory 60 (1996), theorem 3; for one degree
    d it is ``2 sqrt(d - 1)``.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> gap = spectral_gap(random_regular(64, 64, 8, rng=0))
    >>> gap.sigma1, gap.bound_kind, gap.connected, gap.sigma2 < 8
    (8.0, 'biregular', True, True)
    """
    check_graph(g)
    n = min(g.n_left, g.n_right)
    sigma1, sigma2 = _padded(singular_values(g, min(2, n)))
    connected = components(g).count == 1
    biregular = _is_biregular(g)
    if biregular:
        normalised = sigma2 / sigma1 if sigma1 else 0.0
    else:
        normalised = _padded(_largest(normalised_biadjacency(g), min(2, n)))[1]
    degrees = (g.n_edges / max(1, g.n_left), g.n_edges / max(1, g.n_right))
    bound = sum(math.sqrt(max(0.0, degree - 1)) for degree in degrees)
    ramanujan: bool | None = None
    if biregular:
        error = _ROUNDING * sigma1 if n > 1 else 0.0
        if not connected or sigma2 > bound + error:
            ramanujan = False
        elif sigma2 + error <= bound or n == 1:
            ramanujan = True
    return SpectralGap(
        sigma1=sigma1,
        sigma2=sigma2,
        gap=sigma1 - sigma2,
        ratio=sigma2 / sigma1 if sigma1 else math.nan,
        sigma2_normalised=normalised,
        bound=bound,
        bound_kind="biregular" if biregular else "average_degree",
        is_ramanujan=ramanujan,
        connected=connected,
    )


class _Deflated(LinearOperator):  # type: ignore[misc]
    """A matrix less known singular triples, ``B - U diag(s) V'``, without forming it."""

    def __init__(
        self,
        matrix: Any,
        left: NDArray[np.float64] | None = None,
        values: NDArray[np.float64] | None = None,
        right: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(np.dtype(np.float64), matrix.shape)
        self.matrix, self.transposed = matrix, matrix.T if isinstance(matrix, LinearOperator) else matrix.T.tocsr()
        self.left = np.empty((matrix.shape[0], 0)) if left is None else left
        self.right = np.empty((matrix.shape[1], 0)) if right is None else right
        self.values = np.empty(0) if values is None else values

    def without(
        self, left: NDArray[np.float64], values: NDArray[np.float64], right: NDArray[np.float64]
    ) -> "_Deflated":
        """Take out further triples."""
        columns = (np.hstack([self.left, left]), np.concatenate([self.values, values]), np.hstack([self.right, right]))
        return _Deflated(self.matrix, *columns)

    def _matvec(self, x: NDArray[Any]) -> NDArray[Any]:
        x = x.reshape(-1)
        return self.matrix @ x - self.left @ (self.values * (self.right.T @ x))  # type: ignore[no-any-return]

    def _rmatvec(self, x: NDArray[Any]) -> NDArray[Any]:
        x = x.reshape(-1)
        return self.transposed @ x - self.right @ (self.values * (self.left.T @ x))  # type: ignore[no-any-return]

    def toarray(self) -> NDArray[np.float64]:
        return self.matrix.toarray() - (self.left * self.values) @ self.right.T  # type: ignore[no-any-return]


def _is_biregular(g: BipartiteGraph) -> bool:
    return all(degrees.size and degrees.min() == degrees.max() for degrees in (g.left_degrees, g.right_degrees))


def _largest(matrix: Any, k: int) -> NDArray[np.float64]:
    """Return the `k` largest singular values, descending."""
    n = min(matrix.shape)
    if k == 0:
        return np.empty(0)
    # Iterating needs a basis of some 60 vectors; where that would fill half the space, dense is the cheaper way.
    if k > n // 2 or (n <= DENSE_LIMIT and math.prod(matrix.shape) <= DENSE_LIMIT * _LONGEST):
        return _dense(matrix)[:k]
    try:
        return _iterated(matrix, k)
    except ArpackNoConvergence:
        if n > _DENSE_AT_ALL:
            raise ValueError(
                f"the singular values of {matrix.shape[0]} x {matrix.shape[1]} lie too close together for an iterative "
                f"method, and the matrix is too large for a dense one (smaller side at most {_DENSE_AT_ALL})"
            ) from None
        return _dense(matrix)[:k]


def _dense(matrix: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = linalg.svdvals(matrix.toarray())
    return values


def _iterated(matrix: Any, k: int) -> NDArray[np.float64]:
    """Find leading triples by ARPACK, and look for more beside them until none is left above the k-th.

    One Krylov space holds one vector of each multiple singular value; the others appear once it is taken out.
    """
    n, rng = min(matrix.shape), np.random.default_rng(0)
    found = _Deflated(matrix)
    while True:
        missing = max(1, k - found.values.size)
        start = rng.standard_normal(n)
        image = found @ start if matrix.shape[1] == n else found.T @ start
        # Its expected size is the Frobenius norm, 1/2 at least unless the matrix is 0, which ARPACK refuses.
        if np.linalg.norm(image) < 1e-6:
            return np.sort(np.concatenate([found.values, np.zeros(k)]))[::-1][:k]
        basis = min(n - 1, max(60, 2 * missing + 1))
        left, values, right = svds(found, k=missing, v0=start, ncv=basis, solver="arpack")
        if found.values.size >= k and values.max() <= np.sort(found.values)[-k] + _ROUNDING:
            return np.sort(found.values)[::-1][:k]
        found = found.without(left, values, right.T)


def _padded(values: NDArray[np.float64]) -> tuple[float, float]:
    first, second = [*values[:2].tolist(), 0.0, 0.0][:2]
    return first, second
