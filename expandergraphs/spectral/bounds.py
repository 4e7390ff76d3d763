"""An interval that holds the second singular value, and what proves it.

A small residual shows that *some* singular value is near. That none is larger needs an argument of its own.

*Exact.* Up to `DENSE_LIMIT` vertices on the smaller side, all values are computed; up to `CHOLESKY_LIMIT`, sigma < s is
proved by a Cholesky factorisation of ``s^2 I - P M'M P``, where P takes the first singular vector out. If it runs to
its end, the computed factor R has ``R'R = C + E`` with ``norm(E) <= gamma_(n+1) / (1 - gamma_(n+1)) trace(C)`` and
gamma_k = k u / (1 - k u) [1]_: that is added to s^2, with what rounding may have done to C.

*Probabilistic.* Two Gaussian starts g are drawn, and Golub-Kahan steps taken from each. Let x be the unit right
singular vector of M P with the largest value sigma, w = M x / sigma. Then y_j = x'v_j and z_j = w'u_j obey the
recurrence that made the vectors,

    sigma y_j = alpha_j z_j + beta_{j-1} z_{j-1},    sigma z_j = alpha_j y_j + beta_j y_{j+1},    |y_j|, |z_j| <= 1,

where y_1 = x'g / norm(P g). For sigma above the largest value of R all y_j, z_j grow from y_1 = 1 as polynomials f_j
with positive values, the faster the larger sigma is; so ``|x'g| <= norm(P g) / f_j(sigma)``: a large singular value can
have stayed unseen only if both starts were almost orthogonal to x. But x'g is a standard normal number, and the sum
of two squares exceeds ``-2 log(1 - p)`` with probability 1 - p. The bound is the smallest sigma for which this is
violated. Rounding adds to each line of the recurrence at most `Products.noise`; its largest effect, another solution
of the same recurrence, is carried along. Orthogonality of the basis is never used. This is the argument of Kuczynski
and Wozniakowski [2]_ with the polynomials of the run itself in place of Chebyshev's, as in [3]_; two starts instead of
one keep x'g, which may be as small as 1e-6 instead of 1e-12, far above rounding. All steps are covered by the one
event on the starts, so that one may look at the bound as often as one likes.

For irregular graphs P takes out a computed vector p; norm(M P) >= sigma_2 holds for every unit vector p (Courant and
Fischer).

The lower end is the computed value less its residual and rounding; computed values never exceed the largest singular
value by more than that (Paige, see `expandergraphs.spectral.lanczos`).

.. [1] Higham. Accuracy and Stability of Numerical Algorithms. 2nd edition, 2002, theorem 10.3 and what follows it.
.. [2] Kuczynski, Wozniakowski. Estimating the largest eigenvalue by the power and Lanczos algorithms with a random
   start. SIAM J. Matrix Anal. Appl. 13 (1992).
.. [3] van Dorsselaer, Hochstenbach, van der Vorst. Computing probabilistic bounds for extreme eigenvalues of symmetric
   matrices with the Lanczos method. SIAM J. Matrix Anal. Appl. 22 (2001).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from expandergraphs._checks import as_time_limit
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.operators import normalised_biadjacency
from expandergraphs.rng import RNG, as_generator
from expandergraphs.spectral.dense import dense_error, dense_values, is_small
from expandergraphs.spectral.lanczos import MOST_STEPS, Bidiagonalisation
from expandergraphs.spectral.products import Products, Vector
from expandergraphs.spectral.values import is_biregular, started

CHOLESKY_LIMIT = 4096
_FAILURE = 1e-12  # probability that a verdict is wrong
_UNIT_ROUNDOFF = 2.0**-53
_ENTRIES = 2**22  # of a dense array, at least


@dataclass(frozen=True)
class SingularValueBounds:
    """An interval that holds a singular value.

    Attributes
    ----------
    lower, upper : float
        Its ends.
    certificate : str
        "exact" where the upper end is proved, up to rounding that is allowed for; "probabilistic" where the random
        starts may have missed a larger value.
    failure_probability : float
        Probability of that; 0 where exact.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> found = second_singular_value(random_regular(200, 200, 4, rng=0), rng=0)
    >>> found.lower <= found.upper, found.certificate
    (True, 'exact')
    """

    lower: float
    upper: float
    certificate: str
    failure_probability: float


def second_singular_value(
    g: BipartiteGraph,
    *,
    normalised: bool = False,
    tolerance: float = 1e-3,
    failure_probability: float = 1e-12,
    time_limit: float | None = None,
    rng: RNG = None,
) -> SingularValueBounds:
    """Enclose the second singular value of the biadjacency between proved bounds.

    Parameters
    ----------
    g : BipartiteGraph
    normalised : bool
        Of ``D_l^(-1/2) B D_r^(-1/2)`` instead.
    tolerance : float
        Above 4,096 vertices on the smaller side: the upper end exceeds the lower by at most this fraction. The number
        of steps grows with its inverse square root: 1e-3 takes about as long as the value itself at 65,536 vertices a
        side, 1e-5 ten times as long.
    failure_probability : float
        Above 4,096 vertices on the smaller side: the probability with which the upper end may be wrong.
    time_limit : float, optional
        Seconds after which no further steps are taken: the ends, whatever the tolerance, are those reached so far. What
        smaller graphs need, some seconds, is finished.
    rng : None, int, SeedSequence or Generator
        Source of the two starts; they must not be known to whoever made the graph.

    Returns
    -------
    SingularValueBounds

    Raises
    ------
    ValueError
        If `tolerance` is not positive, `failure_probability` not between 0 and 1, or the tolerance is not reached
        in 20,000 steps.

    References
    ----------
    Kuczynski, Wozniakowski. SIAM J. Matrix Anal. Appl. 13 (1992); see the module for the theorem as used.

    Examples
    --------
    >>> from expandergraphs import projective_plane
    >>> bounds = second_singular_value(projective_plane(7))
    >>> bounds.certificate, bounds.lower <= 7**0.5 <= bounds.upper, bounds.upper - bounds.lower < 1e-12
    ('exact', True, True)
    """
    check_graph(g)
    for name, value, most in (("tolerance", tolerance, math.inf), ("failure_probability", failure_probability, 1)):
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < most:
            raise ValueError(f"{name} must be a number above 0 and below {most:g}, got {value!r}")
    deadline = math.inf if time_limit is None else monotonic() + as_time_limit(time_limit)
    matrix = normalised_biadjacency(g) if normalised else g.biadjacency
    if min(matrix.shape) < 2 or g.n_edges == 0:
        return SingularValueBounds(0.0, 0.0, "exact", 0.0)
    if is_small(matrix.shape):
        first, second = dense_values(matrix)[:2].tolist()
        error = dense_error(matrix.shape, first)
        return SingularValueBounds(max(0.0, second - error), second + error, "exact", 0.0)
    if matrix.shape[0] < matrix.shape[1]:
        matrix, g = matrix.T.tocsr(), g.T
    products = Products(matrix)
    if normalised or is_biregular(g):
        first = 1.0 if normalised else math.sqrt(g.left_degrees[0] * g.right_degrees[0])
        known, slack, most = np.sqrt(g.right_degrees / g.n_edges), 0.0, math.nextafter(first, math.inf)
    else:
        leading = started(products)
        leading.attempt(deadline)
        first, error = leading.leading()
        first -= error  # may lie above the second, where these are close together
        # By so much the matrix differs from one of which the vector is exact; and once more what is left of it.
        known, slack, most = leading.right_vector(), 3 * error, products.norm_bound
    if g.n_right <= CHOLESKY_LIMIT:
        run = started(products, [known], 1)
        run.attempt(deadline)
        lower, upper = lower_end([run], slack), min(proved_upper(products, matrix, known, run.leading()[0]), most)
        return SingularValueBounds(min(lower, first, upper), upper, "exact", 0.0)
    stream, n_steps = as_generator(rng), 16
    runs = [Bidiagonalisation(products, stream.standard_normal(g.n_right), [known]) for _ in range(2)]
    while n_steps <= MOST_STEPS:
        for run in runs:
            run.advance(n_steps - len(run.alphas))
        lower, upper = min(lower_end(runs, slack), first), min(probable_upper(runs, failure_probability), most)
        reached = upper <= (1 + tolerance) * lower or all(run.exhausted for run in runs)
        if reached or monotonic() >= deadline:
            return SingularValueBounds(min(lower, upper), upper, "probabilistic", failure_probability)
        n_steps = n_steps * 5 // 4
    raise ValueError(
        f"tolerance = {tolerance:g} is not reached in {MOST_STEPS} steps, which end with {lower:.9g}..{upper:.9g}"
    )


def lower_end(runs: Sequence[Bidiagonalisation], slack: float = 0.0) -> float:
    """Return what the largest computed value shows for certain; `slack` is for the known vector's residual."""
    value, error = max(run.leading() for run in runs)
    rounding = math.sqrt(max(len(run.alphas) for run in runs)) * runs[0].products.noise
    return max(0.0, value - error - slack - rounding)


def probable_upper(runs: Sequence[Bidiagonalisation], failure_probability: float) -> float:
    """Return a bound on the largest singular value; infinity where the runs are too short for any.

    The runs have Gaussian starts, independent of each other and of the matrix.
    """
    largest = max(run.leading()[0] for run in runs)
    candidates = largest + runs[0].products.norm_bound * np.geomspace(1e-10, 1, 400)
    unseen = sum(_most_unseen(run, candidates) ** 2 for run in runs)
    # The sum of len(runs) squared normal numbers is smaller with the failure probability.
    from scipy import special  # here, as it takes longer to load than all of this package

    excluded = unseen < 2 * special.gammaincinv(len(runs) / 2, failure_probability)
    return float(candidates[excluded][0]) * (1 + 1e-12) if excluded.any() else math.inf


def proved_below(run: Bidiagonalisation, bound: float, most_steps: int, rng: np.random.Generator) -> bool:
    """Tell whether a second start proves the largest value to be at most the bound, with 1e-12 probability of error.

    Each start takes at most so many steps; none is taken where more would be needed.
    """
    value = run.leading()[0]
    # A step multiplies the part of a hidden vector by the exponential of this, as Chebyshev polynomials do.
    growth = 2 * math.acosh(max(1.0, bound / value)) if value else math.inf
    if growth * most_steps < math.log(run.start_norm / math.sqrt(2 * _FAILURE)):
        return False
    other, n_steps = Bidiagonalisation(run.products, rng.standard_normal(run.products.shape[1]), run.known), 16
    while True:
        for one in (run, other):
            one.advance(n_steps - len(one.alphas))
        if probable_upper((run, other), _FAILURE) <= bound:
            return True
        if n_steps >= most_steps:
            return False
        n_steps = min(most_steps, n_steps * 5 // 4)


def proved_upper(products: Products, matrix: sparse.csr_array, known: Vector, guess: float) -> float:
    """Return a proved bound on the largest value of ``M (I - known known')``, a little above the guess; or infinity.

    `matrix` is M, with at least as many rows as columns, `products` its products, `known` a unit vector up to rounding.
    """
    n, bound = matrix.shape[1], products.norm_bound
    gram = _gram(matrix)
    image = gram @ known
    gram -= np.outer(image, known)
    gram -= np.outer(known, image - (known @ image) * known)
    rounding = (8 * n * _UNIT_ROUNDOFF * bound + products.noise) * bound
    gamma = (n + 1) * _UNIT_ROUNDOFF / (1 - 2 * (n + 1) * _UNIT_ROUNDOFF)  # gamma / (1 - gamma)
    for excess in (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1):
        square = guess**2 * (1 + excess) + 4 * rounding
        factor = -gram
        factor.flat[:: n + 1] += square
        trace = float(np.trace(factor))
        try:
            linalg.cholesky(factor, lower=True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            continue
        return math.sqrt(square + gamma * trace + rounding)
    return math.inf


def _gram(matrix: sparse.csr_array) -> NDArray[np.float64]:
    """Return M'M, dense; in whole rows at a time where M is not sparse enough for a sparse product to be cheaper."""
    n_rows, n = matrix.shape
    if matrix.nnz**2 / n_rows < n_rows * n * n / 50:
        return (matrix.T @ matrix).toarray()  # type: ignore[no-any-return]
    gram = np.zeros((n, n))
    step = max(n, _ENTRIES // n)
    for start in range(0, n_rows, step):
        rows = matrix[start : start + step].toarray()
        gram += rows.T @ rows
    return gram


def _most_unseen(run: Bidiagonalisation, sigma: Vector) -> Vector:
    """Return how large |x'g| can be for a right vector x of values `sigma` above the run's own; it falls with sigma."""
    noise = run.products.noise
    # Two solutions: what grows from y_1 = 1, and at most from the rounding of every step. All are scaled by `unit`.
    y, z, kick = np.stack([np.ones_like(sigma), np.zeros_like(sigma)]), np.zeros((2, sigma.size)), [[0.0], [noise]]
    unit, beta, most = np.full_like(sigma, 1 + 1e-6), 0.0, np.full_like(sigma, np.inf)  # norms are 1 up to rounding

    def narrow(solutions: Vector) -> None:
        grown, noisy = solutions
        np.minimum(most, np.divide(unit + noisy, grown, out=np.full_like(most, np.inf), where=grown > 0), out=most)

    for alpha, next_beta in zip(run.alphas, run.betas, strict=True):
        z = (sigma * y - beta * z + kick * unit) / max(alpha, noise)
        narrow(z)
        if alpha < noise:
            break
        y = (sigma * z - alpha * y + kick * unit) / max(next_beta, noise)
        narrow(y)
        if next_beta < noise:
            break
        beta, scale = next_beta, np.where(y[0] > 1e100, 1e-100, 1.0)
        y, z, unit = y * scale, z * scale, unit * scale
    return run.start_norm * most
