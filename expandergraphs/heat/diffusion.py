"""A network's Laplacian as a symmetric operator: threaded products, null vectors, and a bound on the spectrum.

All three Laplacians are similar to a symmetric matrix, G^(-1) K G, with K symmetric and positive semidefinite:

    combinatorial   D - W                   G = 1
    symmetric       I - D^(-1/2) W D^(-1/2) G = 1
    random_walk     I - W D^(-1)            G = D^(-1/2), D scaled to at most 1 in each component

K has one null vector g for each component, zero elsewhere: ones, or the roots of the degrees. What heat keeps for ever
is the projection on these; they are known exactly and taken out first. Rounding brings them back, and a recurrence
amplifies what lies at the edge of the spectrum from step to step. So in products these vectors are given the eigenvalue
in the middle, bound / 2, instead of 0: nothing that is iterated on has a part in them.

Every eigenvalue of D - W is at most the largest d_u + (sum_v w_uv d_v) / d_u: the matrix has the modulus D + W at most,
and D^(-1) (D + W) D has these row sums. The normalised ones have theirs in [0, 2]. Weights are scaled by a power of
two, which changes no digit and keeps squares within the range of floats.

And with w the smallest weight, no positive eigenvalue of D - W lies below w / n^2, nor one of the normalised below
w / (n vol), vol the sum of all degrees. In a component, let f, which is not constant and has mean 0 (weighted by the
degrees), be largest in size at u, and of the other sign at v. Along a path from u to v, of less than n edges, the sum
of w (f_i - f_j)^2 is at least w f_u^2 / n, while the sum of f_i^2 is at most n f_u^2 (of d_i f_i^2: vol f_u^2).

Merris. A note on Laplacian graph eigenvalues. Linear Algebra Appl. 285 (1998).
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from expandergraphs._threads import n_processors
from expandergraphs.layered import LayeredGraph
from expandergraphs.operators import check_kind, heat_weights, normalise
from expandergraphs.spectral.products import row_blocks

Array = NDArray[np.float64]
Job = TypeVar("Job")

_GROUP = 32  # vectors added up at once
_SMALL = 1 << 13  # entries of a factor: matrix products this small are not spread over the threads of the BLAS
_ROWS = 1 << 14  # a thread's share


class Diffusion:
    """The Laplacian of a network, made symmetric.

    Attributes
    ----------
    kind : str
        Which Laplacian.
    bound, gap : float
        No eigenvalue of the scaled K exceeds the bound, and no positive one lies below the gap.
    exponent : int
        K is the symmetric form of the Laplacian times ``2**-exponent``, so times are multiplied by ``2**exponent``.
    count : int
        Number of components.
    labels : ndarray of int, shape (n,)
        Component of each node.
    sizes : ndarray of int, shape (count,)
        Number of nodes of each component.
    root : ndarray, shape (n, 1)
        The null vectors of K, one beside the other: the entries of g.
    scale : ndarray, shape (n, 1)
        The diagonal of the similarity: heat is ``scale`` times the vectors that K acts on.
    nbytes : int
        Memory of the matrix.
    """

    def __init__(self, net: LayeredGraph, kind: str) -> None:
        check_kind(kind)
        weights = heat_weights(net)
        self.n = weights.shape[0]
        # Edges lead both ways, so that the strong components are the components; the weak ones take a transposition.
        self.count, self.labels = csgraph.connected_components(weights, connection="strong")
        self.sizes = np.bincount(self.labels, minlength=self.count)
        # Sums over components, for `kept`, are taken over nodes in this order.
        self._order = np.argsort(self.labels, kind="stable") if self.count > 1 else slice(None)
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self.kind, self.exponent, self.scale = kind, 0, np.ones((self.n, 1))
        self._outer: Array | None = None
        if kind == "combinatorial":
            largest = weights.data.max(initial=0.0)
            if net.weights is not None and largest:
                self.exponent = int(np.frexp(largest)[1])
                weights.data = np.ldexp(weights.data, -self.exponent)
            degrees = weights.sum(axis=1)
            self.root, self._diagonal = np.ones((self.n, 1)), degrees[:, None]
            some = np.flatnonzero(degrees)
            around = (weights @ degrees)[some] / degrees[some]
            self.bound = float((degrees[some] + around).max(initial=0.0))
            self.gap = float(weights.data.min()) / self.n**2 if weights.nnz else 0.0
        else:
            degrees, lightest = weights.sum(axis=1), float(weights.data.min(initial=1.0))
            largest = np.zeros(self.count)
            np.maximum.at(largest, self.labels, degrees)
            joined = degrees > 0
            relative = np.divide(degrees, largest[self.labels], out=np.ones(self.n), where=joined)
            if relative.min(initial=1.0) < 1e-200:
                raise ValueError("the degrees of one component range over more than 200 decades: rescale the weights")
            self.root, self._diagonal = np.sqrt(relative)[:, None], joined[:, None].astype(float)
            if net.weights is None:  # the ones stay ones, which saves memory traffic
                self._outer = np.divide(1.0, np.sqrt(degrees), out=np.zeros(self.n), where=joined)[:, None]
            else:
                normalise(weights, degrees)
            if kind == "random_walk":
                self.scale = self.root
            self.bound, self.gap = (2.0, lightest / float(degrees.sum()) / self.n) if joined.any() else (0.0, 0.0)
        self.nbytes = weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes
        self._weights = self._sums(self.root)
        members = (self.root[:, 0], self.labels, np.arange(self.n + 1))
        self._members = sparse.csr_array(members, shape=(self.n, self.count)).T.tocsr()
        self._blocks = row_blocks(weights)
        n_threads = min(n_processors(), max(len(self._blocks), self.n // _ROWS))
        self._threads = ThreadPoolExecutor(n_threads) if n_threads > 1 else None

    def apply(self, x: Array) -> Array:
        """Return the products of K with the columns of x, shape (n, k); null vectors are multiplied by bound / 2."""
        product = np.empty_like(x)
        y = x if self._outer is None else self._outer * x

        def fill(block: tuple[slice, sparse.csr_array]) -> None:
            rows, matrix = block
            part = (matrix @ y.ravel())[:, None] if y.shape[1] == 1 else matrix @ y
            if self._outer is not None:
                part *= self._outer[rows]
            np.multiply(self._diagonal[rows], x[rows], out=product[rows])
            product[rows] -= part

        self.together(fill, self._blocks)
        if self.count == 1:
            sums = np.einsum("ij,ik->jk", self.root, x)
        elif x.shape[1] == 1:
            sums = (self._members @ x[:, 0])[:, None]
        else:
            sums = self._members @ x
        product += self._spread(sums * (self.bound / 2))
        return product

    def matrix(self) -> sparse.csr_array:
        """Return K itself, with its null vectors."""
        weights = sparse.vstack([sparse.csr_array((0, self.n)), *(matrix for _, matrix in self._blocks)])
        if self._outer is not None:
            outer = sparse.diags_array(self._outer[:, 0])
            weights = outer @ weights @ outer
        return (sparse.diags_array(self._diagonal[:, 0]) - weights).tocsr()

    def kept(self, x: Array) -> Array:
        """Return the projection of the columns of x on the null vectors: what is left at saturation."""
        return self._spread(self._sums(x))

    def _sums(self, x: Array) -> Array:
        """Return the products of the null vectors with the columns of x, added up in pairs: to a few units roundoff."""
        terms = np.ascontiguousarray((self.root * x).T[:, self._order])
        sums: Array = np.add.reduceat(terms, self._starts, axis=1).T if self.n else np.zeros((0, x.shape[1]))
        return sums

    def _spread(self, sums: Array) -> Array:
        spread: Array = np.take(sums / self._weights, self.labels, axis=0)
        spread *= self.root
        return spread

    def add_up(self, vectors: Iterable[Array], coefficients: Array) -> Array:
        """Return sums of vectors of shape (n, k): ``sum_j coefficients[c, t, j] v_j[:, c]``, shape (n_times, k, n)."""
        k, n_times, _ = coefficients.shape
        total, buffer = np.zeros((n_times, k, self.n)), np.empty((_GROUP, k, self.n))
        step = max(1, min(256, _SMALL // max(1, n_times)))
        waiting, done = iter(vectors), 0
        while group := list(islice(waiting, _GROUP)):
            for place, vector in enumerate(group):
                buffer[place] = vector.T
            factors = coefficients[:, :, done : done + len(group)]
            done += len(group)

            def add(start: int, factors: Array = factors) -> None:
                for first in range(start, min(start + _ROWS, self.n), step):
                    rows = slice(first, min(first + step, start + _ROWS))
                    for c in range(k):
                        total[:, c, rows] += factors[c] @ buffer[: factors.shape[2], c, rows]

            self.together(add, range(0, self.n, _ROWS))
        return total

    def together(self, work: Callable[[Job], None], jobs: Iterable[Job]) -> None:
        """Do all jobs, which write to places of their own, in threads."""
        list(map(work, jobs) if self._threads is None else self._threads.map(work, jobs))
