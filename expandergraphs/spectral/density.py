"""Spectral density: how the singular values of a graph of any size are distributed, by the kernel polynomial method.

With S at least the largest value and x = s/S, the density is expanded in Chebyshev polynomials of even degree,
``T_2k(x) = T_k(2 x^2 - 1)``. Their mean over all singular values is the k-th moment. For small graphs it is computed
from the values; for large ones it is ``trace(T_k(2 M'M/S^2 - I)) / n``, estimated as the mean of
``r' T_k(...) r / r'r`` over Gaussian vectors r. Jackson's kernel damps the moments: the result is the density
convolved with a nearly Gaussian peak of width about ``pi S / (2 moments)`` in the middle, narrower towards S, and it is
nowhere negative.

For a biregular graph the known first value, which is not part of the bulk, is taken out, so that S can be just above
the second.

Cost: a product and one with the transpose for every two moments and each vector.

Weisse, Wellein, Alvermann, Fehske. The kernel polynomial method. Rev. Mod. Phys. 78 (2006), section II.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.rng import RNG, as_generator
from expandergraphs.spectral.bounds import second_singular_value
from expandergraphs.spectral.dense import is_small
from expandergraphs.spectral.law import BiregularLaw, biregular_law
from expandergraphs.spectral.products import Products, Vector, dot, square
from expandergraphs.spectral.values import constant, is_biregular, singular_values

_MARGIN = 1.01  # of S above the largest value: the kernel needs room


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """Density of the singular values of the biadjacency, smoothed.

    Attributes
    ----------
    grid : ndarray, shape (n_points,)
        Where the density is given, ascending from above 0 to below ``grid[-1] + grid[0]``, at which it ends.
    density : ndarray, shape (n_points,)
        Its values; the integral is 1.
    cumulative : ndarray, shape (n_points,)
        Share of the values up to each point of the grid.
    error : ndarray, shape (n_points,)
        Standard error of the density over the random vectors; 0 where all singular values were computed.
    n_values : int
        How many singular values are described: ``min(n_left, n_right)``, less those taken out.
    taken_out : tuple of float
        Known values that are not described: sqrt(d_l d_r) for a biregular graph.
    width : float
        Standard deviation of the smoothing peak in the middle.
    law : BiregularLaw or None
        What it tends to for large random graphs of these degrees; None where a side has several.
    law_distance : float
        Largest difference between the cumulative shares of both (Kolmogorov's distance); nan where there is no law. Of
        the smoothed shares, on the grid, where not all values were computed.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> found = spectral_density(random_regular(100, 100, 3, rng=0))
    >>> found.n_values, found.taken_out, found.law_distance < 0.05
    (99, (3.0,), True)
    """

    grid: NDArray[np.float64] = field(repr=False)
    density: NDArray[np.float64] = field(repr=False)
    cumulative: NDArray[np.float64] = field(repr=False)
    error: NDArray[np.float64] = field(repr=False)
    n_values: int
    taken_out: tuple[float, ...]
    width: float
    law: BiregularLaw | None
    law_distance: float


def spectral_density(
    g: BipartiteGraph, *, moments: int = 256, vectors: int = 8, points: int = 512, rng: RNG = None
) -> SpectralDensity:
    """Estimate the density of the singular values of the biadjacency.

    Parameters
    ----------
    g : BipartiteGraph
    moments : int
        Moments of s^2, at least 2: the more, the sharper.
    vectors : int
        Random vectors, at least 2, for graphs too large to compute all values; the error falls with the root of
        ``vectors * min(n_left, n_right)``.
    points : int
        Points of the grid.
    rng : None, int, SeedSequence or Generator
        Source of the random vectors.

    Returns
    -------
    SpectralDensity

    Raises
    ------
    ValueError
        If a number is too small, or the graph has no singular value besides those taken out.

    See Also
    --------
    biregular_law : What it tends to for large random biregular graphs.
    singular_values : All of them, for small graphs.

    References
    ----------
    Weisse, Wellein, Alvermann, Fehske. The kernel polynomial method. Rev. Mod. Phys. 78 (2006).

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> measured = spectral_density(random_regular(300, 300, 4, rng=0))
    >>> measured.n_values, measured.taken_out, measured.law_distance < 0.02
    (299, (4.0,), True)
    """
    check_graph(g)
    moments, vectors = as_integer("moments", moments, minimum=2), as_integer("vectors", vectors, minimum=2)
    points, stream = as_integer("points", points, minimum=1), as_generator(rng)
    known, n = g.n_edges > 0 and is_biregular(g), min(g.n_left, g.n_right)
    law = biregular_law(int(g.left_degrees[0]), int(g.right_degrees[0])) if known else None
    if n <= known:
        raise ValueError(f"{g!r} has no singular value{' besides its first' if known else ''}")
    taken_out = (math.sqrt(g.left_degrees[0] * g.right_degrees[0]),) if known else ()
    exact = is_small((g.n_left, g.n_right))
    if exact:
        first, *rest = singular_values(g)
        values = np.array(rest if known else [first, *rest])
        scale = _scale(values[0], first)
        angles = 2 * np.arccos(np.minimum(1, values / scale))
        means = np.cos(np.outer(np.arange(moments), angles)).mean(axis=1)[None]
    else:
        products, directions = Products(g.biadjacency), [constant(n)] if known else []
        largest = second_singular_value(g, tolerance=0.01, rng=stream).upper if known else products.norm_bound
        scale = _scale(largest, products.norm_bound)
        starts = (stream.standard_normal(n) for _ in range(vectors))
        means = np.stack([_moments(products, directions, r, scale, moments) for r in starts])
    x = (np.arange(points) + 0.5) / points
    each, cumulative = _expanded(means, x)
    error = each.std(axis=0, ddof=1) / math.sqrt(vectors) if len(means) > 1 else np.zeros(points)
    arrays = (scale * x, each.mean(axis=0) / scale, cumulative.mean(axis=0), error / scale)
    for array in arrays:
        array.setflags(write=False)
    return SpectralDensity(
        *arrays,
        n_values=n - known,
        taken_out=taken_out,
        width=math.pi * scale / (2 * moments),
        law=law,
        law_distance=_distance(law, *(_steps(values) if exact else (arrays[0], arrays[2], arrays[2]))),
    )


def _steps(values: Vector) -> tuple[Vector, Vector, Vector]:
    """Return the values ascending, and the shares of values up to and below each."""
    shares = np.arange(values.size + 1) / values.size
    return np.sort(values), shares[1:], shares[:-1]


def _distance(law: BiregularLaw | None, points: Vector, up_to: Vector, below: Vector) -> float:
    if law is None:
        return math.nan
    if law.atom is not None:  # the graph consists of equal stars
        return 0.0
    expected = law.cdf(points)
    return float(np.maximum(up_to - expected, expected - below).max())


def _scale(largest: float, first: float) -> float:
    """Return the S of the expansion: a little above the largest value described, and above rounding."""
    return max(_MARGIN * float(largest), 1e-6 * float(first)) or 1.0


def _moments(products: Products, known: Sequence[Vector], r: Vector, scale: float, moments: int) -> Vector:
    """Return ``r' T_k(2 M'M / scale^2 - I) r / r'r`` for all k below `moments`; every vector ``T_k r`` gives two."""
    found: list[float] = []
    for here, following in pairwise(islice(_chebyshev(products, known, r, scale), (moments + 3) // 2)):
        found += [square(here), dot(here, following)]
    products_of_two = np.array(found[:moments])
    first, second = found[:2]
    products_of_two[2::2] = 2 * products_of_two[2::2] - first
    products_of_two[3::2] = 2 * products_of_two[3::2] - second
    return products_of_two / first


def _chebyshev(products: Products, known: Sequence[Vector], r: Vector, scale: float) -> Iterator[Vector]:
    """Yield ``T_k(2 M'M / scale^2 - I) r`` for k = 0, 1, ...; each is overwritten two steps later."""
    image, before, here, factor = np.zeros(products.shape[0]), np.zeros_like(r), r.copy(), 1.0
    for vector in known:
        products.take_out(here, vector)
    while True:
        yield here
        products.forward(here, image, 0.0, 2 * factor / scale**2)
        before += factor * here
        products.backward(image, before, 1.0)
        for vector in known:
            products.take_out(before, vector)
        before, here, factor = here, before, 2.0


def _expanded(means: Vector, x: Vector) -> tuple[Vector, Vector]:
    """Return density and cumulative share at x in (0, 1) of the values in [0, 1], a row for each row of moments."""
    n = 2 * means.shape[1]
    k = np.arange(0, n, 2)
    angle = math.pi / (n + 1)
    jackson = ((n - k + 1) * np.cos(angle * k) + np.sin(angle * k) / math.tan(angle)) / (n + 1)
    weighted, phi = means * jackson, np.arccos(x)
    weighted[:, 1:] *= 2
    density = weighted @ np.cos(np.outer(k, phi)) * 2 / (math.pi * np.sin(phi))
    # The integral of each term, from 0 to x; the first is that of a constant.
    sines = np.sin(np.outer(k[1:], phi)) / k[1:, None]
    cumulative = 1 - 2 / math.pi * (weighted[:, :1] * phi + weighted[:, 1:] @ sines)
    return density, cumulative
