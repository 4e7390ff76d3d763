"""Singular values of the biadjacency: all of them, or the largest.

Small matrices are decomposed densely, O(n_left n_right min). Of large ones the largest value is found by Golub-Kahan
steps (`expandergraphs.spectral.lanczos`), its vector is taken out, and the largest that is left is found in the same
way: so values are counted with multiplicity, although one run sees one vector of a multiple value.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.rng import streams
from expandergraphs.spectral.dense import dense_values, is_small
from expandergraphs.spectral.lanczos import Bidiagonalisation, NoConvergenceError
from expandergraphs.spectral.products import Products, Vector

_DENSE_AT_ALL = 8000  # where iterating fails


def singular_values(g: BipartiteGraph, k: int | None = None) -> NDArray[np.float64]:
    """Compute the singular values of the biadjacency, descending.

    Parameters
    ----------
    g : BipartiteGraph
    k : int, optional
        Only the `k` largest, counted with multiplicity; all ``min(n_left, n_right)`` by default.

    Returns
    -------
    ndarray of float, shape (k,)
        Each within 1e-8 times the largest.

    Raises
    ------
    ValueError
        If `k` is negative or exceeds ``min(n_left, n_right)``, or a graph of over 8,000 vertices on both sides has
        leading values too close together for an iterative method.

    Notes
    -----
    All of them need the dense matrix: 8 n_left n_right bytes. The `k` largest of a large graph need `k` vectors, and
    about `k` times as long as the largest.

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
    if g.n_edges == 0 or not is_biregular(g):
        return leading_values(g.biadjacency, k)
    first = math.sqrt(g.left_degrees[0] * g.right_degrees[0])
    others = leading_values(g.biadjacency, max(0, k - 1), [constant(n)])
    return np.concatenate([[first], np.minimum(others, first)])[:k]


def is_biregular(g: BipartiteGraph) -> bool:
    """Tell whether each side has vertices, all of one degree."""
    return all(degrees.size and degrees.min() == degrees.max() for degrees in (g.left_degrees, g.right_degrees))


def constant(n: int) -> Vector:
    """Return the unit vector of equal entries: both leading singular vectors of a biregular graph look like it."""
    return np.full(n, n**-0.5)


def leading_values(matrix: sparse.csr_array, k: int, known: Sequence[Vector] = ()) -> NDArray[np.float64]:
    """Return the `k` largest singular values, descending, of a matrix with known right singular vectors taken out.

    Right vectors are those of the shorter side, whichever that is, and of the columns where the sides are equal.
    """
    n = min(matrix.shape)
    if k == 0:
        return np.empty(0)
    if matrix.shape[1] > n:
        matrix = matrix.T.tocsr()
    few = n // 2 if n > _DENSE_AT_ALL else min(n // 2, 20 + n // 50)
    if k > few or is_small(matrix.shape):
        return dense_values(matrix, known)[:k]
    products, vectors, values = Products(matrix), list(known), [0.0] * k
    try:
        for i in range(k):
            run = started(products, vectors, i)
            run.converge()
            values[i] = run.leading()[0]
            if values[i] == 0:  # nothing is left
                break
            if i < k - 1:
                vectors.append(run.right_vector())
    except NoConvergenceError:
        if n > _DENSE_AT_ALL:
            raise ValueError(
                f"the singular values of {matrix.shape[0]} x {matrix.shape[1]} lie too close together for an iterative "
                f"method, and the matrix is too large for a dense one (smaller side at most {_DENSE_AT_ALL})"
            ) from None
        return dense_values(matrix, known)[:k]
    return np.sort(values)[::-1]


def started(products: Products, known: Sequence[Vector] = (), start: int = 0) -> Bidiagonalisation:
    """Return Golub-Kahan steps beside known vectors, from a start that depends on its number alone.

    A start must not be used again beside the vector that it led to: it has no other part in that vector's space.
    """
    vector = streams(0)(f"start {start}").standard_normal(products.shape[1])
    return Bidiagonalisation(products, vector, known)
