"""Lanczos' three-term recurrence for a symmetric operator, on several start vectors in lockstep.

For each column b of the starts, v_1 = b / |b| and

    beta_j v_{j+1} = A v_j - alpha_j v_j - beta_{j-1} v_{j-1},

so A V = V T + beta_m v_{m+1} e_m', with T tridiagonal: the alphas on its diagonal, the betas beside it. Then
f(A) b is about |b| V f(T) e_1, and b'f(A) b about |b|^2 [f(T)]_11. The columns share nothing but the calls of the
operator. Nothing is orthogonalised again: that repeats eigenvalues in T, but does a function of A no harm.

Druskin, Knizhnerman. Error bounds in the simple Lanczos procedure for computing functions of symmetric matrices and
eigenvalues. Comput. Math. Math. Phys. 31 (1991).
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_NOTHING = 4 * np.finfo(float).eps  # relative to the largest alpha or beta of a column


class Lanczos:
    """Lanczos steps that can be taken up again.

    Where a column's Krylov space is exhausted, its beta is 0, and so are all its alphas and betas that follow: T falls
    into the part that counts and a part of zeros, which [T]_1 never reaches.

    Parameters
    ----------
    apply : callable
        Takes an array of shape (n, k) and returns the operator's products with its columns, as a new array.
    starts : ndarray, shape (n, k)
        The start vectors; a zero column is exhausted from the first step on.
    memory : int
        Bytes that may be used to store basis vectors, for `basis`; those that do not fit are computed again.

    Attributes
    ----------
    norms : ndarray, shape (k,)
        Norms of the starts.
    products : int
        How often `apply` was called.
    """

    def __init__(self, apply: Callable[[Array], Array], starts: Array, memory: int = 0) -> None:
        self.norms = _norms(starts)
        self.products = 0
        self._apply = apply
        self._before, self._here = np.zeros_like(starts), _divided(starts.copy(), self.norms)
        self._scratch = np.empty_like(starts)  # fresh memory costs more than the work on it
        self._alphas: list[Array] = []
        self._betas: list[Array] = []
        self._largest = np.zeros(starts.shape[1])
        self._most_stored = max(2, memory // max(1, starts.nbytes))
        self._stored = [self._here]

    @property
    def alphas(self) -> Array:
        """The diagonals of T, shape (m, k)."""
        return np.array(self._alphas).reshape(-1, self.norms.size)

    @property
    def betas(self) -> Array:
        """What stands beside the diagonals, shape (m, k); the last row leads to the next step."""
        return np.array(self._betas).reshape(-1, self.norms.size)

    @property
    def steps(self) -> int:
        """Number of steps taken, m."""
        return len(self._alphas)

    @property
    def exhausted(self) -> bool:
        """Whether no column has a step left."""
        return bool(self._betas) and not self._betas[-1].any()

    def advance(self, steps: int) -> None:
        """Take so many steps more, or fewer where every column is exhausted."""
        for _ in range(steps):
            if self.exhausted:
                return
            before = self._betas[-1] if self._betas else np.zeros_like(self.norms)
            following = self._product(self._here, self._before, before)
            alpha = _dots(self._here, following)
            self._take(following, alpha, self._here)
            beta = _norms(following)
            self._largest = np.maximum(self._largest, np.maximum(abs(alpha), beta))
            beta[beta <= _NOTHING * self._largest] = 0.0
            self._before, self._here = self._here, _divided(following, beta)
            self._alphas.append(alpha)
            self._betas.append(beta)
            if len(self._stored) < self._most_stored:
                self._stored.append(self._here)

    def basis(self) -> Iterator[Array]:
        """Yield v_1 to v_m, shape (n, k) each: the stored ones, then the others, by the same steps again."""
        m = self.steps
        yield from self._stored[:m]
        if m > len(self._stored):
            before, here = self._stored[-2:]
            for j in range(len(self._stored) - 1, m - 1):
                following = self._product(here, before, self._betas[j - 1])
                self._take(following, self._alphas[j], here)
                before, here = here, _divided(following, self._betas[j])
                yield here

    def _product(self, here: Array, before: Array, beta: Array) -> Array:
        self.products += 1
        following = self._apply(here)
        self._take(following, beta, before)
        return following

    def _take(self, target: Array, factors: Array, x: Array) -> None:
        """Subtract from each column of the target a multiple of that of x."""
        np.multiply(factors, x, out=self._scratch)
        target -= self._scratch


def _dots(x: Array, y: Array) -> Array:
    """Return the products of the columns, without the BLAS: its threads would compete with those of the operator."""
    products: Array = np.einsum("ik,ik->k", x, y)
    return products


def _norms(x: Array) -> Array:
    return np.sqrt(_dots(x, x))


def _divided(x: Array, norms: Array) -> Array:
    """Divide columns by their norms in place; a column without one becomes 0."""
    x *= np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return x
