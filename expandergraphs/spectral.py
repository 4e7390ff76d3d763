"""Singular values of the biadjacency, and the spectral gap.

Write s1 >= s2 >= ... for the singular values of B. In the spectrum of the whole adjacency each comes as a pair
+-s, so the second largest *absolute* eigenvalue there is s1 again; here s2 is meant. If every left degree is d_l and
every right degree d_r, s1 = sqrt(d_l d_r) exactly with constant singular vectors: they are deflated, not computed.

Small graphs are decomposed densely, O(n_left n_right min); above `DENSE_LIMIT` vertices on the smaller side, ARPACK
finds the leading values of the sparse B.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, svds

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.operators import normalised_biadjacency
from expandergraphs.paths import components

DENSE_LIMIT = 1000
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
        If `k` is negative or exceeds ``min(n_left, n_right)``.

    Notes
    -----
    All of them need the dense matrix: 8 n_left n_right bytes. The `k` largest of a large graph do not.

    Examples
    --------
    >>> ring = BipartiteGraph.from_edges(3, 3, [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 0)])
    >>> singular_values(ring).round(6).tolist()
    [2.0, 1.0, 1.0]
    """
    n = min(g.n_left, g.n_right)
    k = n if k is None else as_integer("k", k)
    if k > n:
        raise ValueError(f"k = {k} singular values asked for, min(n_left, n_right) = {n} exist")
    if not (_is_biregular(g) and g.n_edges > 0):
        return _largest(g.biadjacency, k)
    # The known pair is taken out: B - s1 u v' with constant u, v has the other singular values.
    known = math.sqrt(g.left_degrees[0] * g.right_degrees[0])
    others = _largest(_Deflated(g.biadjacency, known), min(k, n - 1)) if n > 1 else np.empty(0)
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
    """``B - s u v'`` for the constant unit vectors u, v, without forming it."""

    def __init__(self, matrix: sparse.csr_array, known: float) -> None:
        super().__init__(matrix.dtype, matrix.shape)
        self.matrix, self.transposed = matrix, matrix.T.tocsr()
        self.constant = known / math.sqrt(matrix.shape[0] * matrix.shape[1])  # every entry of s u v'

    def _matvec(self, x: NDArray[Any]) -> NDArray[Any]:
        return self.matrix @ x - self.constant * x.sum(axis=0)  # type: ignore[no-any-return]

    def _rmatvec(self, x: NDArray[Any]) -> NDArray[Any]:
        return self.transposed @ x - self.constant * x.sum(axis=0)  # type: ignore[no-any-return]

    def toarray(self) -> NDArray[np.float64]:
        return self.matrix.toarray() - self.constant  # type: ignore[no-any-return]


def _is_biregular(g: BipartiteGraph) -> bool:
    return all(degrees.size and degrees.min() == degrees.max() for degrees in (g.left_degrees, g.right_degrees))


def _largest(matrix: Any, k: int) -> NDArray[np.float64]:
    """Return the `k` largest singular values, descending."""
    n = min(matrix.shape)
    if k == 0:
        return np.empty(0)
    # ARPACK works in a basis of at least 20 vectors; where it would fill half the space, dense is the cheaper way.
    if n <= DENSE_LIMIT or k > n // 2 or k == n:
        values: NDArray[np.float64] = linalg.svdvals(matrix.toarray())[:k]
        return values
    start = np.random.default_rng(0).standard_normal(n)
    image = matrix @ start if matrix.shape[1] == n else matrix.T @ start
    if np.linalg.norm(image) < 1e-6:  # its expected size is the Frobenius norm, 1/2 at least unless the matrix is 0
        return np.zeros(k)  # which ARPACK refuses
    found = svds(matrix, k=k, v0=start, return_singular_vectors=False, solver="arpack")
    return np.sort(found)[::-1]


def _padded(values: NDArray[np.float64]) -> tuple[float, float]:
    first, second = [*values[:2].tolist(), 0.0, 0.0][:2]
    return first, second
