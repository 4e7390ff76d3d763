r"""Weights on the edges that make the spectral lower bound of the expansion as strong as it gets.

Let W have any real entries on the edges and zeros elsewhere, row sums p > 0, column sums q > 0, total vol, and let
sigma be the second singular value of ``D_p^(-1/2) W D_q^(-1/2)``, whose first pair is (sqrt p, sqrt q). Then for every
set S of left vertices, with p(S) and q(S) the sums over S,

    q(N(S)) >= p(S) / (sigma^2 + (1 - sigma^2) p(S) / vol).

Proof: y = D_q^(-1/2) W' 1_S is 0 off N(S), and its product with sqrt q is p(S), so p(S)^2 <= |y|^2 q(N(S)) by Cauchy
and Schwarz. The part of D_p^(1/2) 1_S along sqrt p has squared length p(S)^2 / vol, the rest p(S) - p(S)^2 / vol, so
|y|^2 <= p(S)^2 / vol + sigma^2 (p(S) - p(S)^2 / vol). All weights 1 give Tanner's bound on biregular graphs and the one
by volumes on others; but as the proof holds for every W, one looks for the smallest sigma. With p and q given this is a
convex problem: minimise a norm over an affine space. It is the dual of a semidefinite relaxation (Lovasz's theta
function is the same idea for independent sets), solved here to about a percent: the largest singular values are
smoothed into log sum exp and handed to L-BFGS, the singular vectors come from Chebyshev-filtered subspaces that follow
the weights, and have so few columns that LAPACK uses no threads. How well it is solved matters for strength only; the
bound returned is proven afterwards.

The volumes p, q: the degree, but at most half the mean degree of its side. So they are constant on biregular graphs
and nearly so on others, where counting neighbours by volume is what loses most, while vertices of low degree, whose
few edges cannot carry more, stay light.

Proven means: the weights are rounded to integers, so that p and q are exact, and sigma^2 I - M'M (M the normalised
weights, without the first pair) passes a Cholesky factorisation with room for all rounding errors, as
`expandergraphs.spectral.bounds` does it: n^3 / 3 operations for n vertices on the smaller side. How close sigma is to
the least possible depends on the machine in its last digits. Above 4,096 vertices, where the least sigma gains a
percent, only the volumes are evened out, and a Lanczos process with random starts bounds sigma
(`expandergraphs.spectral.bounds`).
"""

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.expansion.descent import descend
from expandergraphs.paths import components
from expandergraphs.rng import RNG, as_generator
from expandergraphs.spectral.bounds import lower_end, probable_upper, proved_upper
from expandergraphs.spectral.lanczos import Bidiagonalisation
from expandergraphs.spectral.products import Products
from expandergraphs.spectral.values import is_biregular

LARGEST = 4096  # vertices on the smaller side
_SMOOTHINGS = (40.0, 100.0, 300.0)  # the norm is exceeded by at most log(n) / smoothing, relatively
_STEPS = 10  # of L-BFGS, for each of them
_BLOCK = 32  # singular vectors followed
_FILTER_DEGREE = 6
_TOTAL = 2**45  # of the integer weights: sums are exact in float64 too
_FAILURE = 1e-12  # probability of, above `LARGEST`
_TOLERANCE = 1e-3  # relative, of the bound there
_MOST_STEPS = 2000
_EPS = 2.0**-53


@dataclass(frozen=True, eq=False)
class Weighting:
    """Volumes of the vertices, and a bound on the second singular value of the weights behind them.

    Attributes
    ----------
    left, right : ndarray of int
        Volumes of the vertices of each side: the sums of the weights of their edges. Both sides have the same total.
    sigma : float
        Upper bound on the second singular value of the normalised weights.
    failure_probability : float
        That of the bound being wrong; 0 where it is proven by a factorisation.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    sigma: float
    failure_probability: float = 0.0

    @property
    def T(self) -> "Weighting":
        """The same with its sides exchanged."""
        return Weighting(self.right, self.left, self.sigma, self.failure_probability)


def spectral_weighting(g: BipartiteGraph, *, deadline: float | None = None, rng: RNG = None) -> Weighting:
    """Find weights on the edges whose second singular value is small, and prove how small it is.

    Parameters
    ----------
    g : BipartiteGraph
    deadline : float, optional
        Reading of ``time.monotonic()`` after which no better weights are sought. What was found until then is proven,
        which takes some seconds at 4,096 vertices.
    rng : None, int, SeedSequence or Generator
        Source of the two Lanczos starts above `LARGEST` vertices on the smaller side.

    Returns
    -------
    Weighting
        Above `LARGEST` vertices, of weights that even out the volumes only, and with a failure probability of 1e-12.
        Where there is nothing to gain, of the degrees, with sigma 1: if the edges fall into more than one component,
        and on biregular graphs of that size.

    Examples
    --------
    >>> from expandergraphs import random_regular, spectral_gap
    >>> g = random_regular(64, 64, 8, rng=0)
    >>> spectral_weighting(g).sigma < 0.9 * spectral_gap(g).ratio
    True
    """
    if g.n_left < g.n_right:
        return spectral_weighting(g.T, deadline=deadline, rng=rng).T
    degrees = g.left_degrees, g.right_degrees
    occupied = [np.count_nonzero(side) for side in degrees]
    if g.n_edges == math.prod(occupied):  # a complete graph has one singular value
        return Weighting(*degrees, 0.0)
    n_isolated = g.n_left + g.n_right - sum(occupied)
    if components(g).count - n_isolated != 1 or (g.n_right > LARGEST and is_biregular(g)):
        return Weighting(*degrees, 1.0)
    search, failure = _Search(g, deadline), 0.0
    if g.n_right <= LARGEST:
        search.descend()
    weights = np.rint(search.weights * _TOTAL)
    left, right = (np.bincount(ends, weights, side.size) for ends, side in zip(g.edges.T, degrees, strict=True))
    if min(left[degrees[0] > 0].min(), right[degrees[1] > 0].min()) <= 0:
        return Weighting(*degrees, 1.0)
    p, q = np.sqrt(np.maximum(left, 1)), np.sqrt(np.maximum(right, 1))
    matrix = sparse.csr_array((weights, g.indices, g.indptr), shape=(g.n_left, g.n_right))
    matrix = (sparse.diags_array(1 / p) @ matrix @ sparse.diags_array(1 / q)).tocsr()
    known, products = np.sqrt(right / left.sum()), Products(matrix)
    if g.n_right <= LARGEST:
        sigma = proved_upper(products, matrix, known, search.sigma)
    else:
        sigma, failure = _probable(products, known, deadline, as_generator(rng)), _FAILURE
    if sigma >= 1:
        return Weighting(*degrees, 1.0)
    return Weighting(left.astype(np.int64), right.astype(np.int64), sigma, failure)


class _OutOfTime(Exception):
    pass


class _Search:
    """Minimise the second singular value over weights ``sqrt(p_i q_j) y_ij`` with row sums p and column sums q.

    In y the matrix to make small is Y - sqrt p sqrt q', the condition Y sqrt q = sqrt p and Y' sqrt p = sqrt q.
    """

    def __init__(self, g: BipartiteGraph, deadline: float | None) -> None:
        self.g, self.deadline = g, deadline
        self.i, self.j = g.edges.T
        degrees = g.left_degrees, g.right_degrees
        p, q = (np.minimum(d, d.mean() / 2) for d in degrees)
        self.p, self.q = np.sqrt(p / p.sum()), np.sqrt(q / q.sum())
        # The normal equations of the condition: [[rows, links], [links', columns]].
        self.links = self._matrix(self.p[self.i] * self.q[self.j])
        self.rows = np.maximum(np.bincount(self.i, self.q[self.j] ** 2, g.n_left), _EPS)
        self.columns = np.maximum(np.bincount(self.j, self.p[self.i] ** 2, g.n_right), _EPS)
        start = np.random.default_rng(0)
        self.basis = start.standard_normal((g.n_right, _BLOCK)) if g.n_right > _BLOCK else np.eye(g.n_right)
        self.cut = 0.0
        even = 1 / np.sqrt(degrees[0][self.i] * degrees[1][self.j])
        self.best = even - self._off(even, self.p, self.q)

    def descend(self) -> None:
        """Make the second singular value small, and keep it, nearly, as `sigma`."""
        for _ in range(3):
            self.scale = self._leading(self.best)[1][0]
        self.least = self.scale
        try:
            for smoothing in _SMOOTHINGS:
                descend(partial(self._smoothed, smoothing), self.best, _STEPS)
        except _OutOfTime:
            pass
        for _ in range(4):
            self.sigma = float(self._leading(self.best)[1][0])

    @property
    def weights(self) -> NDArray[np.float64]:
        """The best found; their total is 1."""
        weights: NDArray[np.float64] = self.p[self.i] * self.q[self.j] * self.best
        return weights

    def _smoothed(self, smoothing: float, y: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the smoothed norm and its gradient along the affine space."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise _OutOfTime
        left, values, right = self._leading(y)
        if values[0] < self.least:
            self.best, self.least = y, values[0]
        shares = np.exp(smoothing * (values - values[0]) / self.scale)
        left *= shares / shares.sum()
        gradient = np.einsum("ek,ek->e", left[self.i], right[self.j])
        gradient -= self._off(gradient)
        return (values[0] + self.scale / smoothing * np.log(shares.sum())) / self.scale, gradient / self.scale

    def _off(self, y: NDArray[np.float64], p: Any = 0.0, q: Any = 0.0) -> Any:
        """Return the smallest array that violates the condition by as much as y does: conjugate gradients."""
        a = np.bincount(self.i, y * self.q[self.j], self.g.n_left) - p
        b = np.bincount(self.j, y * self.p[self.i], self.g.n_right) - q
        x, residual = np.zeros_like(b), b - self.links.T @ (a / self.rows)
        direction = residual / self.columns
        power = residual @ direction
        goal = 1e-20 * (y @ y)
        for _ in range(60):
            if power <= goal:
                break
            image = self.columns * direction - self.links.T @ ((self.links @ direction) / self.rows)
            length = power / (direction @ image)
            x += length * direction
            residual = residual - length * image
            scaled = residual / self.columns
            previous, power = power, residual @ scaled
            direction = scaled + power / previous * direction
        return self.q[self.j] * ((a - self.links @ x) / self.rows)[self.i] + self.p[self.i] * x[self.j]

    def _leading(self, y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return leading singular triples of Y - sqrt p sqrt q', nearly, from where the last call left off."""
        matrix = self._matrix(y)
        back = matrix.T.tocsr()

        def image(x: Any) -> Any:
            return matrix @ x - np.outer(self.p, self.q @ x)

        def gram(x: Any) -> Any:
            x = image(x)
            return back @ x - np.outer(self.q, self.p @ x)

        if self.basis.shape[0] == self.basis.shape[1]:
            now = self.basis
        elif self.cut == 0.0:
            now = self.basis
            for _ in range(8):
                now = gram(now)
        else:  # the Chebyshev polynomial that is at most 1 on [0, cut], where the rest of the spectrum lies
            before, now = self.basis, gram(self.basis) * (2 / self.cut) - self.basis
            for _ in range(_FILTER_DEGREE - 1):
                before, now = now, gram(now) * (4 / self.cut) - 2 * now - before
        # Rayleigh and Ritz by einsum: the threads of BLAS take a hundred times longer where they wait for a processor.
        left = image(now)
        lengths, turn = np.linalg.eigh(np.einsum("nk,nl->kl", now, now))
        turn = (turn / np.sqrt(np.maximum(lengths, _EPS * lengths[-1])))[:, lengths > 1e-10 * lengths[-1]]
        squares, last = np.linalg.eigh(_product(turn.T, _product(np.einsum("nk,nl->kl", left, left), turn)))
        squares, turn = squares[::-1], _product(turn, last[:, ::-1])
        self.basis, self.cut = _product(now, turn), max(float(squares[-1]), 1e-3 * float(squares[0]))
        values = np.sqrt(np.maximum(squares, _EPS))
        count = np.count_nonzero(values > 0.8 * values[0])
        return _product(left, turn[:, :count]) / values[:count], values[:count], self.basis[:, :count]

    def _matrix(self, data: NDArray[np.float64]) -> sparse.csr_array:
        return sparse.csr_array((data, self.g.indices, self.g.indptr), shape=(self.g.n_left, self.g.n_right))


def _product(a: NDArray[Any], b: NDArray[Any]) -> Any:
    return np.einsum("nk,kl->nl", a, b)


def _probable(
    products: Products, known: NDArray[np.float64], deadline: float | None, rng: np.random.Generator
) -> float:
    """Return what exceeds the second singular value with all but the failure probability: by Lanczos."""
    steps = 16
    runs = [Bidiagonalisation(products, rng.standard_normal(known.size), [known]) for _ in range(2)]
    while True:
        for run in runs:
            run.advance(steps - len(run.alphas))
        upper = probable_upper(runs, _FAILURE)
        late = deadline is not None and time.monotonic() > deadline
        if upper <= (1 + _TOLERANCE) * lower_end(runs) or steps > _MOST_STEPS or late:
            return upper
        steps = steps * 5 // 4
