"""The spectrum of a Laplacian too large to decompose: what random vectors tell of it, with stated certainty.

Each component has one eigenvalue 0, whose vector is known; these are counted, not computed. Write l_1 <= ... <= l_N for
the others. Take vectors of independent standard normal numbers, without their part in the known vectors. Their parts in
the eigenvectors are then independent standard normal numbers too, whatever the network. So each of p vectors puts on
l_i a mass that is distributed as chi^2 with one degree of freedom; and of the mass of all p together, the share on
l_1, ..., l_j follows the beta distribution with parameters p j / 2 and p (N - j) / 2. Its quantiles and the bounds of
`quadrature.mass_bounds` enclose l_j: where surely less than that share lies, l_j has not come yet.
"""

from numbers import Real
from typing import Any

import numpy as np

from expandergraphs.heat.diffusion import Diffusion
from expandergraphs.heat.lanczos import Lanczos
from expandergraphs.heat.quadrature import BLUR, Array, MassBounds, mass_bounds

_POSITIONS = 2000  # eigenvalues bounded by quantiles of their own
_ROUNDING = 1e-11  # of sums of shares


class Probes:
    """Lanczos steps from random vectors.

    Attributes
    ----------
    n_values : int
        Number of eigenvalues that are not 0, N; at least 1.
    count : int
        Number of vectors, p.
    alphas, betas : ndarray, shape (m, p)
        Their T. Its unit is that of the scaled operator, `unit` of the Laplacian's.
    squares : ndarray, shape (p,)
        Squared norms of the vectors.
    blur : float
        How far rounding may have moved the masses.
    """

    def __init__(self, diffusion: Diffusion, products: int, rng: np.random.Generator) -> None:
        self.n_values = diffusion.n - diffusion.count
        # The steps of the masses are like 1 / m, chance like (p N)^(-1/2): this makes both about equal.
        steps = min(self.n_values, products // 2, max(8, round(0.5 * (products * diffusion.n) ** (1 / 3))))
        self.count = products // steps
        starts = rng.standard_normal((diffusion.n, self.count))
        starts -= diffusion.kept(starts)
        run = Lanczos(diffusion.apply, starts)
        run.advance(steps)
        self.alphas, self.betas, self.squares = run.alphas, run.betas, run.norms**2
        self.unit = 2.0**diffusion.exponent
        self._bound = diffusion.bound
        self.blur = BLUR * self._bound

    def enclosures(self, failure_probability: float) -> tuple[Array, Array]:
        """Return lower and upper bounds on every eigenvalue of the scaled operator that is not 0, shape (N,) each.

        The failure probability is that of all of them together.
        """
        from scipy import special  # here, as it takes longer to load than all of this package

        total, p = self.n_values, self.count
        positions = np.unique(np.geomspace(1, total, min(total, _POSITIONS)).round().astype(np.int64))
        below, above = positions[:-1] * p / 2, (total - positions[:-1]) * p / 2
        tail = failure_probability / (2 * positions.size)
        least = np.append(special.betaincinv(below, above, tail), 1.0) * (1 - _ROUNDING)
        most = np.append(1 - special.betaincinv(above, below, tail), 1.0) + _ROUNDING
        points, lower, upper = self._masses()
        # l_j lies above a point up to which surely less mass lies than `least`, and not above one with surely `most`.
        passed, reached = np.searchsorted(upper, least), np.searchsorted(lower, most)
        lowest = np.append(0.0, points)[passed] - self.blur
        highest = np.append(points, self._bound)[reached] + self.blur
        every = np.arange(1, total + 1)
        before = np.searchsorted(positions, every, side="right") - 1
        after = np.searchsorted(positions, every)
        return np.maximum(lowest[before], 0.0), np.minimum(highest[after], self._bound)

    def _masses(self) -> MassBounds:
        """Bound the distribution of the mass of all vectors together."""
        each = [mass_bounds(alphas, betas) for alphas, betas in zip(self.alphas.T, self.betas.T, strict=True)]
        shares = self.squares / self.squares.sum()
        points = np.concatenate([one.points for one in each])
        order = np.argsort(points, kind="stable")
        # Each lower bound rises at its points, each upper one after them.
        rises = [share * np.diff(one.lower, prepend=0.0) for one, share in zip(each, shares, strict=True)]
        later = [share * np.diff(one.upper, append=1.0) for one, share in zip(each, shares, strict=True)]
        first = sum(float(share * one.upper[0]) for one, share in zip(each, shares, strict=True))
        lower, upper = np.cumsum(np.concatenate(rises)[order]), np.cumsum(np.concatenate(later)[order])
        return MassBounds(points[order], lower, first + np.append(0.0, upper[:-1]))


def as_probability(failure_probability: Any) -> float:
    """Return a number above 0 and below 1 as a ``float``, or raise ``ValueError``."""
    if not isinstance(failure_probability, Real) or not 0 < failure_probability < 1:  # type: ignore[operator]
        raise ValueError(f"failure_probability must be a number above 0 and below 1, got {failure_probability!r}")
    return float(failure_probability)
