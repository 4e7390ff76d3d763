"""What Lanczos' T tells about the measure of its start vector, without forming any vector.

A start b puts the mass (u_i'b)^2 on each eigenvalue l_i, u_i being the unit eigenvectors; so the integral of f is
b'f(A) b. The eigenvalues of T and the squares of the first entries of its eigenvectors are the nodes and weights of a
Gauss rule for that measure. Masses are stated as shares of |b|^2.

* For f = exp(-t x), whose even derivatives are positive and odd ones negative, the Gauss rule is at most the integral,
  and the Gauss-Radau rule with a node below the support at least ([1]_, chapter 6).
* Chebyshev, Markov, Stieltjes ([2]_, section 3.41): the mass below a node is at least that of the nodes below, and
  the mass up to a node at most that of the nodes up to it. So it is for every rule of positive weights that is as exact
  as T allows; a family of them comes from T with one more row, whose diagonal entry is free.
* One of these rules has a node at any given x, of weight rho(x) = 1 / sum p_k(x)^2, the p_k being the orthonormal
  polynomials. Between its two bounds lie the masses up to x of the measure and of the Gauss rule, which share the
  moments that matter: so they differ by at most rho(x). In a gap of the spectrum that is next to nothing.

In floating point T belongs to a measure whose masses are spread a little around the eigenvalues [3]_: `BLUR` times
the norm of A is allowed for that: an allowance, some ten thousand times the unit roundoff, and no theorem.

.. [1] Golub, Meurant. Matrices, Moments and Quadrature with Applications. 2010.
.. [2] Szego. Orthogonal Polynomials. 4th edition, 1975.
.. [3] Greenbaum. Behavior of slightly perturbed Lanczos and conjugate-gradient recurrences. Linear Algebra Appl. 113
   (1989).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]

BLUR = 1e-11
_FAMILY = 8  # rules besides Gauss': the distance between their nodes is that of Gauss' over so much
_PLACES = np.array([1e-6, 0.01, 0.5, 0.99, 1 - 1e-6])  # in the gap between two nodes


class Rule(NamedTuple):
    """Ascending nodes, and weights that add up to 1."""

    nodes: Array
    weights: Array


class MassBounds(NamedTuple):
    """Ascending points, and rising bounds on the mass up to each of them."""

    points: Array
    lower: Array
    upper: Array


def gauss(alphas: Array, betas: Array) -> Rule:
    """Return the Gauss rule of m steps; the last of the m betas, which leads on, is not used."""
    nodes, vectors = linalg.eigh_tridiagonal(alphas, betas[:-1])
    weights = vectors[0] ** 2
    return Rule(nodes, weights / weights.sum())


def radau(alphas: Array, betas: Array, end: float) -> Rule:
    """Return the Gauss-Radau rule of m steps with a node at `end`, which lies below the support."""
    if not betas[-1]:
        return gauss(alphas, betas)  # which is exact
    # Pivots are positive; one that is not is rounding, and T has an eigenvalue at the end, as the rule then has.
    least = np.finfo(float).eps * (abs(alphas).max() + betas.max())
    pivot = max(alphas[0] - end, least)
    for alpha, beta in zip(alphas[1:], betas, strict=False):
        pivot = max(alpha - end - beta**2 / pivot, least)
    return _extended(alphas, betas, end + betas[-1] ** 2 / pivot)


def mass_bounds(alphas: Array, betas: Array) -> MassBounds:
    """Bound the distribution of the mass of a positive operator's measure."""
    rule = gauss(alphas, betas)
    before = np.concatenate([[0.0], np.cumsum(rule.weights)])
    nodes = np.concatenate([[0.0], rule.nodes])
    between = nodes[:-1, None] + np.diff(nodes)[:, None] * _PLACES
    rho = largest_mass(alphas, betas, between)
    found = [(between.ravel(), (before[:-1, None] - rho).ravel(), (before[:-1, None] + rho).ravel())]
    phases = math.pi * ((np.arange(_FAMILY) + 0.5) / _FAMILY - 0.5)
    family = [_extended(alphas, betas, alphas[-1] + betas[-1] * math.tan(phase)) for phase in phases]
    for nodes, weights in [rule, *family]:
        upto = np.cumsum(weights)
        found.append((nodes, upto - weights, upto))
    points, lower, upper = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(points, kind="stable")
    lower, upper = np.clip(lower[order], 0, 1), np.clip(upper[order], 0, 1)
    return MassBounds(points[order], np.maximum.accumulate(lower), np.minimum.accumulate(upper[::-1])[::-1])


def largest_mass(alphas: Array, betas: Array, x: Array) -> Array:
    """Return rho(x); 0 where the steps came to an end, as then the Gauss rule is the measure."""
    if not betas.all():
        return np.zeros_like(x)
    before, here, last_beta = np.zeros_like(x), np.ones_like(x), 0.0
    total, unit = np.ones_like(x), np.ones_like(x)  # what is computed is a multiple of it
    for alpha, beta in zip(alphas, betas, strict=True):
        before, here = here, ((x - alpha) * here - last_beta * before) / beta
        total += here**2
        scale = np.where(total > 1e200, 1e-100, 1.0)
        before, here, total, unit = before * scale, here * scale, total * scale**2, unit * scale
        last_beta = beta
    return unit**2 / total


def _extended(alphas: Array, betas: Array, entry: float) -> Rule:
    """Return the rule of T with one more row, which ends with the given entry."""
    return gauss(np.append(alphas, entry), np.append(betas, 0.0))
