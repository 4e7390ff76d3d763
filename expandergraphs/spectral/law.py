"""The limiting law of the singular values of random biregular graphs.

Around almost every vertex, a large random graph with degrees d_l, d_r looks like the biregular tree, so the empirical
law of its singular values tends to the tree's spectral measure (Godsil and Mohar). With D and d the larger and the
smaller degree, and q = (D - 1)(d - 1), it has on the smaller side, whose vertices have degree D, the density

    f(s) = D sqrt(4 q - (s^2 - (D - 1) - (d - 1))^2) / (pi s (D d - s^2))

between sqrt(D-1) - sqrt(d-1) and sqrt(D-1) + sqrt(d-1), the Ramanujan bound. For one degree this is the law of Kesten
and McKay for +-s. Marchenko and Pastur's law is its limit as both degrees grow.

Godsil, Mohar. Walk generating functions and spectral measures of infinite graphs. Linear Algebra Appl. 107 (1988).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs._checks import as_integer


@dataclass(frozen=True)
class BiregularLaw:
    """Limiting law of the ``min(n_left, n_right)`` singular values.

    Attributes
    ----------
    d_left, d_right : int
        The degrees.
    lower, upper : float
        Ends of its support.
    atom : float or None
        Where a degree is 1 the graph consists of stars, and every singular value is the root of the other degree: the
        whole mass is in this point, and there is no density. Else None, and there are no point masses.
    zero_share : float
        Share of zeros among all ``n_left + n_right`` eigenvalues of the adjacency that unequal sides cause,
        ``|d_l - d_r| / (d_l + d_r)``. The others come in pairs +-s with s from this law.

    Examples
    --------
    >>> law = biregular_law(3, 3)
    >>> law.lower, round(law.upper, 4), law.zero_share
    (0.0, 2.8284, 0.0)
    """

    d_left: int
    d_right: int
    lower: float
    upper: float
    atom: float | None
    zero_share: float

    def density(self, s: ArrayLike) -> NDArray[np.float64]:
        """Return the density at `s`, of the same shape; 0 outside the support, and everywhere if there is an atom.

        Parameters
        ----------
        s : float or array-like

        Returns
        -------
        ndarray of float, of the shape of `s`

        Raises
        ------
        ValueError
            If `s` holds no numbers.

        Examples
        --------
        >>> biregular_law(3, 3).density([0, 1, 2, 3]).round(3).tolist()
        [0.3, 0.316, 0.382, 0.0]
        """
        s = np.asarray(s, dtype=np.float64)
        if self.atom is not None:
            return np.zeros_like(s)
        inside = (s < self.upper) & ((s >= 0) if self.lower == 0 else (s > self.lower))
        x = s[inside]
        # The root over s, without 0 / 0 where the support begins at 0.
        root = np.sqrt(self.upper**2 - x**2) * (np.sqrt(1 - (self.lower / x) ** 2) if self.lower else 1.0)
        density = np.zeros_like(s)
        density[inside] = max(self.d_left, self.d_right) * root / (math.pi * (self.d_left * self.d_right - x**2))
        return density

    def cdf(self, s: ArrayLike) -> NDArray[np.float64]:
        """Return the mass of values up to `s`, of the same shape.

        Parameters
        ----------
        s : float or array-like

        Returns
        -------
        ndarray of float, of the shape of `s`

        Raises
        ------
        ValueError
            If `s` holds no numbers.

        Examples
        --------
        >>> biregular_law(3, 3).cdf([0, 1, 2, 3]).round(3).tolist()
        [0.0, 0.305, 0.648, 1.0]
        """
        s = np.asarray(s, dtype=np.float64)
        if self.atom is not None:
            return np.where(s >= self.atom, 1.0, 0.0)
        # s^2 = centre - radius cos(angle); the density splits into partial fractions in s^2.
        q_left, q_right, product = self.d_left - 1, self.d_right - 1, self.d_left * self.d_right
        centre, radius = q_left + q_right, 2 * math.sqrt(q_left * q_right)
        angle = np.arccos(np.clip((centre - np.clip(s, 0, self.upper) ** 2) / radius, -1, 1))
        parts = _sine_integral(centre, -radius, angle) + _sine_integral(product - centre, radius, angle)
        return radius**2 / (2 * math.pi * min(self.d_left, self.d_right)) * parts


def biregular_law(d_left: int, d_right: int) -> BiregularLaw:
    """Return the limiting law of the singular values of random graphs with left degree `d_left`, right `d_right`.

    Parameters
    ----------
    d_left, d_right : int
        At least 1. The law does not depend on their order.

    Returns
    -------
    BiregularLaw

    Raises
    ------
    ValueError
        If a degree is not a positive integer.

    References
    ----------
    Godsil, Mohar. Walk generating functions and spectral measures of infinite graphs. 1988.

    Examples
    --------
    >>> law = biregular_law(3, 6)
    >>> law.upper == 2**0.5 + 5**0.5, law.cdf([law.lower, law.upper]).round(12).tolist(), round(law.zero_share, 3)
    (True, [0.0, 1.0], 0.333)
    """
    d_left, d_right = as_integer("d_left", d_left, minimum=1), as_integer("d_right", d_right, minimum=1)
    roots = math.sqrt(d_left - 1), math.sqrt(d_right - 1)
    atom = math.sqrt(max(d_left, d_right)) if min(d_left, d_right) == 1 else None
    lower, upper = (abs(roots[0] - roots[1]), sum(roots)) if atom is None else (atom, atom)
    return BiregularLaw(d_left, d_right, lower, upper, atom, abs(d_left - d_right) / (d_left + d_right))


def _sine_integral(a: float, b: float, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral of ``sin(t)^2 / (a + b cos(t))`` from 0 to the angle, for ``a >= |b| > 0``."""
    half = np.arctan2(math.sqrt(a - b) * np.sin(angle / 2), math.sqrt(a + b) * np.cos(angle / 2))
    return (a * angle - b * np.sin(angle) - 2 * math.sqrt(a * a - b * b) * half) / b**2
