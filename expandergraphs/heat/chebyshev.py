"""The heat kernel expanded in Chebyshev polynomials, of a degree that is known beforehand.

For eigenvalues in [0, bound], with tau = t bound / 2 and x = 1 - 2 lambda / bound in [-1, 1],

    exp(-t lambda) = exp(-tau) exp(tau x) = exp(-tau) (I_0(tau) + 2 sum_{k>0} I_k(tau) T_k(x)).

The numbers exp(-tau) I_k(tau), over all integers k, are the probabilities of the difference X of two independent
Poisson variables of mean tau / 2: positive, and 1 in total. So what is cut off behind degree K is at most P(|X| > K),
which Chernoff's inequality bounds: E exp(s X) = exp(tau (cosh s - 1)), smallest against exp(-s K) at sinh s = K / tau.

Only the last two vectors are kept.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def tail(tau: float, degree: float) -> float:
    """Bound what the terms behind a degree add up to, ``2 P(X >= degree)``."""
    s = math.asinh(degree / tau)
    return 2 * math.exp(degree * (degree / (math.hypot(tau, degree) + tau) - s))


def degree_for(tau: float, error: float) -> int:
    """Return the smallest degree behind which the terms add up to at most `error`."""
    if tau == 0:
        return 0
    low, high = 0, 1
    while tail(tau, high) > error:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tail(tau, middle) > error else (low, middle)
    return high


def coefficients(taus: Array, degree: int) -> Array:
    """Return the factors of T_0 to T_degree, shape (n_taus, degree + 1), scaled to 1 in total.

    The ratios I_k / I_{k-1} = tau / (2 k + tau I_{k+1} / I_k) are found from the last to the first, which is stable.
    """
    ratios = np.ones((degree + 1, taus.size))
    following = taus / (degree + 1 + np.hypot(degree + 1, taus))
    for k in range(degree, 0, -1):
        following = taus / (2 * k + taus * following)
        ratios[k] = following
    factors = np.cumprod(ratios, axis=0)
    factors[1:] *= 2
    scaled: Array = (factors / factors.sum(axis=0)).T
    return scaled


def chebyshev_vectors(apply: Callable[[Array], Array], start: Array, bound: float) -> Iterator[Array]:
    """Yield ``T_k(1 - 2 A / bound)`` times the columns of the start, for k = 0, 1, ..."""
    before, here = np.zeros_like(start), start
    scratch, factor = np.empty_like(start), 1.0
    while True:
        yield here
        following = apply(here)
        following *= -2 * factor / bound
        following += np.multiply(here, factor, out=scratch)
        following -= before
        before, here, factor = here, following, 2.0
