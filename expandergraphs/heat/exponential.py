"""exp(-t K) b for many times at once, to a stated error: Lanczos, and where it is slow, a method known to end.

With K V = V T + beta_m v_{m+1} e_m' (`expandergraphs.heat.lanczos`) the approximation |b| V exp(-t T) e_1 leaves the
residual |b| beta_m [exp(-s T)]_{m1} v_{m+1}. The error obeys the same equation with this as its source, and exp(-s K)
does not expand, so the error at t is at most |b| beta_m times the integral of |[exp(-s T)]_{m1}| over s from 0 to t. T
has positive numbers beside its diagonal, so that this entry never changes its sign, and the integral is
|[T^(-1) (1 - exp(-t T))]_{m1}|. One run serves all times, the largest of which decides when it ends.

Lanczos may take half as many steps as Chebyshev's expansion is known to need. Then that follows or, where it is the
cheaper one, a dense decomposition.

Rounding is estimated, not bounded: each step adds a relative error of some units roundoff times the bound on K, which
acts on what heat has not yet levelled out. Against slow modes it cannot be made smaller by more steps; where it exceeds
the tolerance, the error that is returned says so.

Saad. Analysis of some Krylov subspace approximations to the matrix exponential operator. SIAM J. Numer. Anal. 29
(1992), section 5.1 for the residual.
"""

import math
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy import linalg

from expandergraphs.heat import dense
from expandergraphs.heat.chebyshev import chebyshev_vectors, coefficients, degree_for
from expandergraphs.heat.diffusion import Array, Diffusion
from expandergraphs.heat.lanczos import Lanczos

MOST_STEPS = 2000  # of Lanczos: the eigenvectors of T take 32 MB
_FEWEST_STEPS = 32
_STORED = 1 << 26  # bytes, besides a multiple of the matrix's
_ROUNDOFF = 2.0**-50


class Diffused(NamedTuple):
    """Vectors exp(-t K) b, and how they were found.

    Attributes
    ----------
    vectors : ndarray, shape (n_times, k, n)
    method : str
        "Lanczos", "Chebyshev" or "dense".
    products : int
        Products of the operator with a block of k vectors.
    error : ndarray, shape (n_times,)
        Largest error of a column, in the 2-norm: a bound for what was cut off, and an estimate of rounding.
    """

    vectors: Array
    method: str
    products: int
    error: Array


class Part(NamedTuple):
    """A start in the eigenbasis of its T, or of K itself: |b| times a unit vector."""

    norm: float
    values: Array
    vectors: Array
    entries: Array

    def at(self, times: Array) -> Array:
        """Return exp(-t T) e_1, or its like, in the eigenbasis: shape (n_times, m)."""
        found: Array = np.exp(-np.outer(times, self.values)) * self.entries
        return found

    def factors(self, times: Array) -> Array:
        """Return the factors of the basis vectors, shape (n_times, m); without the BLAS, whose threads round."""
        found: Array = self.norm * np.einsum("tj,ij->ti", self.at(times), self.vectors)
        return found

    def cut_off(self, times: Array, beta: float) -> Array:
        """Bound the error of stopping before `beta`."""
        safe = np.where(self.values > 0, self.values, 1.0)
        integrals = np.where(self.values > 0, -np.expm1(-np.outer(times, safe)) / safe, times[:, None])
        found: Array = self.norm * beta * abs(integrals @ (self.vectors[-1] * self.entries))
        return found

    def rounding(self, times: Array, bound: float, beta: float = 0.0) -> Array:
        """Estimate what rounding adds: the integral of the norm of exp(-s K) b, which never rises, from above.

        Where the steps end before `beta`, that norm is known to what was cut off.
        """
        halvings = 4 + max(0, math.frexp(times.max())[1] + math.frexp(bound)[1])  # down to where nothing happens
        grid = np.unique(np.concatenate([[0.0], np.ldexp(times.max(), -np.arange(halvings)), times]))
        parts = self.at(grid)
        norms = self.norm * np.sqrt(np.einsum("tj,tj->t", parts, parts))
        known = np.minimum(norms + self.cut_off(grid, beta), norms[0])
        integrals = np.concatenate([[0.0], np.cumsum(known[:-1] * np.diff(grid))])
        found: Array = _ROUNDOFF * (4 * norms[0] + bound * integrals[np.searchsorted(grid, times)])
        return found


def diffuse(operator: Diffusion, starts: Array, times: Array, tolerance: float) -> Diffused:
    """Return exp(-t K) times the columns of the starts, shape (n, k), which have no part in the null space.

    At least one start is not zero, and one time is positive. The error exceeds the tolerance where rounding does.
    """
    last = times.max(keepdims=True)
    largest = float(np.sqrt(np.einsum("ik,ik->k", starts, starts)).max())
    degree = degree_for(float(last[0]) * operator.bound / 2, tolerance / 8 / largest)
    most_steps = min(max(degree // 2, _FEWEST_STEPS), MOST_STEPS)
    is_dense = operator.n <= dense.DENSE_LIMIT and degree > operator.n**2 / 100  # by then that is cheaper
    if is_dense:
        most_steps = min(most_steps, max(operator.n, _FEWEST_STEPS))
    run = Lanczos(operator.apply, starts, 2 * operator.nbytes + _STORED)
    while run.steps < most_steps:
        run.advance(min(4 + run.steps // 8, most_steps - run.steps))
        if all(_is_enough(part, last, operator.bound, beta, tolerance) for part, beta in _parts(run)):
            found = [
                (part.factors(times), part.rounding(times, operator.bound) + part.cut_off(times, beta))
                for part, beta in _parts(run)
            ]
            factors, errors = map(np.stack, zip(*found, strict=True))
            return Diffused(operator.add_up(run.basis(), factors), "Lanczos", run.products, errors.max(axis=0))
    if is_dense:
        return _dense(operator, starts, times, run.products)
    rounded = np.max([part.rounding(times, operator.bound, beta) for part, beta in _parts(run)], axis=0)
    factors = coefficients(times * operator.bound / 2, degree)
    vectors = islice(chebyshev_vectors(operator.apply, starts, operator.bound), degree + 1)
    sums = operator.add_up(vectors, np.broadcast_to(factors, (starts.shape[1], *factors.shape)))
    return Diffused(sums, "Chebyshev", run.products + degree, rounded + tolerance / 4)


def _parts(run: Lanczos) -> Iterator[tuple[Part, float]]:
    """Yield each column's part, and the beta behind it; one at a time, as the eigenvectors of many fill the memory."""
    for norm, alphas, betas in zip(run.norms.tolist(), run.alphas.T, run.betas.T, strict=True):
        values, vectors = linalg.eigh_tridiagonal(alphas, betas[:-1], check_finite=False)
        yield Part(norm, np.maximum(values, 0.0), vectors, vectors[0]), float(betas[-1])


def _is_enough(part: Part, last: Array, bound: float, beta: float, tolerance: float) -> bool:
    """Tell whether what is cut off lies within the tolerance or, at least, within rounding."""
    rounding = float(part.rounding(last, bound)[0])
    return float(part.cut_off(last, beta)[0]) <= max(tolerance - rounding, rounding)


def _dense(operator: Diffusion, starts: Array, times: Array, products: int) -> Diffused:
    matrix = operator.apply(np.eye(operator.n))
    # By division: the vectors of SciPy's default driver are orthogonal to far fewer digits.
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    sums, errors = np.empty((times.size, starts.shape[1], operator.n)), []
    for c, start in enumerate(starts.T):
        part = Part(1.0, np.maximum(values, 0.0), vectors, vectors.T @ start)
        sums[:, c] = part.factors(times)
        skew = _ROUNDOFF * math.sqrt(operator.n) * float(np.sqrt((part.entries**2).sum()))
        errors.append(part.rounding(times, operator.bound) + skew)
    return Diffused(sums, "dense", products, np.max(errors, axis=0))
