"""The largest singular value of a large sparse matrix, by Golub-Kahan steps from a random start.

With v_1 the normalised start and P the projection that takes known right singular vectors out, step j is

    alpha_j u_j = M v_j - beta_{j-1} u_{j-1},        beta_j v_{j+1} = P M' u_j - alpha_j v_j,

so M P V = U R with R upper bidiagonal, whose singular values approach those of M P from the largest on. B'B is never
squared: small values keep their digits. Only v and u are stored. The basis loses its orthogonality as values converge;
that repeats values in R, but moves none beyond rounding (Paige), so the largest is right, and it alone is used.

A value is accepted by its residual: *some* singular value lies within `error` of it. That it is the largest is certain
only with a certificate (`expandergraphs.spectral.bounds`); otherwise the start would have had to miss its vector.

Cost: two products a step, some 230 steps for 65,536 vertices a side and degree 32, growing as n^(1/3) on random graphs.

Golub, Kahan. Calculating the singular values and pseudo-inverse of a matrix. SIAM J. Numer. Anal. B 2 (1965). Paige.
Accuracy and effectiveness of the Lanczos algorithm for the symmetric eigenproblem. Linear Algebra Appl. 34 (1980).
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

import numpy as np
from scipy import linalg

from expandergraphs.spectral.products import Products, Vector, square

MOST_STEPS = 20_000
_NOTHING = 1e-10  # relative to the largest alpha or beta: below, going on would be building on rounding
# Of a residual, relative to the largest singular value. Far below the accuracy of values: where two lie close together,
# one that is nearly a mixture of both vectors must not pass.
_TOLERANCE = 5e-11


class NoConvergenceError(Exception):
    """`MOST_STEPS` were not enough."""


class Bidiagonalisation:
    """Golub-Kahan steps that can be taken up again.

    Attributes
    ----------
    alphas, betas : list of float
        R so far: its diagonal, and what stands above it; the last beta leads to the next step.
    start_norm : float
        Norm of the projected start.
    exhausted : bool
        No step is left: the start's Krylov space is invariant.
    """

    def __init__(self, products: Products, start: Vector, known: Sequence[Vector] = ()) -> None:
        self.products, self.known = products, list(known)
        self._start = start
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self._largest = 0.0
        self._v, self._u = start.copy(), np.zeros(products.shape[0])
        self.start_norm = products.normalise(self._v, square(start), self.known)
        self.exhausted = self.start_norm <= 1e-8 * math.sqrt(square(start))

    def advance(self, n_steps: int) -> None:
        """Take so many steps more, or fewer where none is left."""
        for _ in range(n_steps):
            if self.exhausted:
                return
            smallest = max(_NOTHING * self._largest, np.finfo(float).eps * 100 * self.products.norm_bound)
            # u is not divided by its norm alpha, but multiplied by 1 / alpha wherever it is used.
            before = self.betas[-1] / self.alphas[-1] if self.betas else 0.0
            alpha = math.sqrt(self.products.forward(self._v, self._u, before))
            beta = 0.0
            if alpha > smallest:
                squared = self.products.backward(self._u, self._v, alpha, 1 / alpha)
                beta = self.products.normalise(self._v, squared, self.known)
            self.alphas.append(alpha)
            self.betas.append(beta)
            self._largest = max(self._largest, alpha, beta)
            self.exhausted = beta <= smallest

    def leading(self) -> tuple[float, float]:
        """Return the largest singular value so far, and how far at most it is from one of the matrix."""
        value, vector = self._leading_pair()
        return value, abs(float(vector[-1])) * self.betas[-1] if self.betas else 0.0

    def converge(self, deadline: float = math.inf) -> None:
        """Take steps until `leading` is within 5e-11 times the largest singular value of one of the matrix.

        Parameters
        ----------
        deadline : float
            Reading of ``time.monotonic()`` at which it ends before.

        Raises
        ------
        NoConvergenceError
            If it takes more than `MOST_STEPS`.
        """
        largest = max((self.products.length(vector) for vector in self.known), default=0.0)
        while len(self.alphas) < MOST_STEPS:
            self.advance(1 + len(self.alphas) // 16)
            value, error = self.leading()
            if self.exhausted or error <= _TOLERANCE * max(value, largest) or monotonic() >= deadline:
                return
        raise NoConvergenceError

    def attempt(self, deadline: float = math.inf) -> None:
        """Converge, or take `MOST_STEPS`, or the time there is."""
        with suppress(NoConvergenceError):
            self.converge(deadline)

    def right_vector(self) -> Vector:
        """Return the right singular vector that belongs to `leading`, by taking all steps again."""
        weights = self._leading_pair()[1][::2]
        again, vector = Bidiagonalisation(self.products, self._start, self.known), np.zeros(self._v.size)
        for weight in weights:
            vector += weight * again._v
            again.advance(1)
        vector /= math.sqrt(square(vector))
        return vector

    def _leading_pair(self) -> tuple[float, Vector]:
        """Return the largest eigenpair of [[0, R'], [R, 0]], ordered v_1, u_1, v_2, u_2, ..."""
        n = 2 * len(self.alphas)
        if n == 0:
            return 0.0, np.zeros(0)
        beside = np.stack([self.alphas, self.betas], axis=1).ravel()[: n - 1]
        values, vectors = linalg.eigh_tridiagonal(np.zeros(n), beside, select="i", select_range=(n - 1, n - 1))
        return float(values[0]), vectors[:, 0]
