"""The heat kernel signature: how much of its own heat a node has kept after a time.

[H(t)]_ii = sum_k exp(-t l_k) u_k(i)^2. The part of the eigenvalue 0, which stays for ever, is known: 1 over the size of
i's component, or d_i over the sum of its degrees. The rest is f(t) = b'exp(-t K)b for a start b that is e_i without its
part in the null vectors.

In large networks it is expanded in Chebyshev polynomials, to a degree known beforehand
(`expandergraphs.heat.chebyshev`). As T_2k = 2 T_k^2 - 1 and T_2k+1 = 2 T_k T_k+1 - T_1, a product gives two of the
b'T_k b, and half as many products as the degree do. The span of time is doubled until no heat is left that moves, or
the latest time is reached, or rounding has become as large as the tolerance. Beyond that f lies between bounds: it
falls, but at no higher rate than before, since log f is convex.

Rounding is estimated. K + E in place of K changes f by at most |E| times the integral of the norms of exp(-s K) b and
exp(-(t - s) K) b over s from 0 to t. By the same convexity that is at most t |E| (f(0) f(t))^(1/2). Some units roundoff
of the bound on K are taken for |E|.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.chebyshev import chebyshev_vectors, coefficients, degree_for
from expandergraphs.heat.dense import dense_blocks, is_small
from expandergraphs.heat.diffusion import Array, Diffusion
from expandergraphs.heat.signature import as_times
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.paths import positions_in

_TOLERANCE = 2e-9  # of what is cut off; twice that, and rounding, make up 1e-8
_ROUNDOFF = 2.0**-51
_LATEST_TAU = 2.0**24  # 13,400 products; rounding may reach 1.5e-8
_LATEST = 1e300
_AT_REST = 40.0  # exp(-40) is no more than rounding
_AT_ONCE = 32  # nodes


@dataclass(frozen=True, eq=False)
class HeatKernelSignature:
    """The diagonal of exp(-t L) for several t; ``numpy.asarray`` of it gives the values.

    Attributes
    ----------
    times : ndarray, shape (n_t,)
    nodes : ndarray of int, shape (n_chosen,)
    values : ndarray, shape (n_t, n_chosen)
    error : ndarray, shape (n_t,)
        How far the value of any node may be from the exact one: a proved bound on what was cut off, and an estimate of
        rounding. At most 1e-8, but for heat that still moves where t times the largest eigenvalue exceeds some 1e7:
        there rounding is in the way.

    Examples
    --------
    >>> found = heat_kernel_signature(BipartiteGraph.from_edges(1, 1, [(0, 0)]), [0, 1.0])
    >>> found.values.round(4).tolist()
    [[1.0, 1.0], [0.5677, 0.5677]]
    """

    times: Array = field(repr=False)
    nodes: NDArray[np.int64] = field(repr=False)
    values: Array
    error: Array

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.times, self.nodes, self.values, self.error):
            array.setflags(write=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype=dtype, copy=copy)


def heat_kernel_signature(
    net: LayeredGraph | BipartiteGraph,
    t: ArrayLike,
    *,
    nodes: ArrayLike | None = None,
    laplacian: str = "combinatorial",
) -> HeatKernelSignature:
    r"""Compute the diagonal of the heat kernel, :math:`[e^{-tL}]_{ii}`, for chosen nodes and times.

    It is the share of its heat that a node has kept, or got back, at time t; the sum over all nodes is the heat trace.
    All eigenvectors are computed where that takes no longer than for one component of 3,000 nodes; the last digits are
    then LAPACK's and may differ with its number of threads. In other networks every 32 nodes take products of their
    own: some ``2 (t lambda)^(1/2)`` of them, lambda being the largest eigenvalue, or as many as it takes for heat to
    come to rest, and 13,400 at most: later values lie within bounds, whose distance is part of the error.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
        Weights must be non-negative.
    t : float or array-like, shape (n_t,)
        Times, at least 0; infinity is allowed.
    nodes : array-like of int, shape (n_chosen,), optional
        Node numbers, layer by layer; all by default.
    laplacian : str
        "combinatorial", "random_walk" or "symmetric"; the last two have the same diagonal.

    Returns
    -------
    HeatKernelSignature

    Raises
    ------
    ValueError
        If a weight is negative or an argument out of range.

    See Also
    --------
    heat_trace : Its sum over all nodes.

    References
    ----------
    Sun, Ovsjanikov, Guibas. A Concise and Provably Informative Multi-Scale Signature Based on Heat Diffusion. Computer
    Graphics Forum 28 (2009).

    Examples
    --------
    >>> from expandergraphs import random_bipartite
    >>> star = random_bipartite(1, 3, p=1)
    >>> heat_kernel_signature(star, [0, 1, 100]).values.round(4).tolist()
    [[1.0, 1.0, 1.0, 1.0], [0.2637, 0.4968, 0.4968, 0.4968], [0.25, 0.25, 0.25, 0.25]]
    """
    net, times = as_net(net), as_times(t)
    chosen, operator = positions_in("nodes", nodes, net.n_nodes), Diffusion(net, laplacian)
    kept = (operator.root * operator.kept(1 / operator.root))[chosen, 0] / operator.sizes[operator.labels[chosen]]
    values, error = np.tile(kept, (times.size, 1)), np.full(times.size, 8 * _ROUNDOFF)
    with np.errstate(over="ignore"):
        scaled = np.minimum(np.ldexp(times, operator.exponent), _LATEST)
    moving = np.isfinite(times) & (scaled * operator.gap < _AT_REST)
    if not moving.any():
        return HeatKernelSignature(times, chosen, values, error)
    taus = scaled[moving] * (operator.bound / 2)
    if is_small(operator):
        rest, error[moving] = _decomposed(operator, chosen, taus)
        values[moving] += rest
    else:
        for start in range(0, chosen.size, _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            rest, worst = _expanded(operator, chosen[some], taus)
            values[moving, some] += rest
            error[moving] = np.maximum(error[moving], worst)
    return HeatKernelSignature(times, chosen, values, error)


def _decomposed(operator: Diffusion, chosen: NDArray[np.int64], taus: Array) -> tuple[Array, Array]:
    """Return what nodes keep, besides what stays for ever, shape (n_t, n_chosen), and its largest errors."""
    rest, most = np.zeros((2, taus.size, operator.n))
    for nodes, blocks in dense_blocks(operator):
        null = operator.root[nodes, 0] / np.sqrt((operator.root[nodes, 0] ** 2).sum(axis=1, keepdims=True))
        null = null[:, :, None]
        # As in products: otherwise rounding mixes slow modes with what is known.
        blocks += operator.bound / 2 * null * null.mT
        values, vectors = np.linalg.eigh(blocks)
        vectors -= null * (null.mT @ vectors)
        rates = values * (2 / operator.bound) if operator.bound else values
        for found, shift in ((rest, 0.0), (most, 4 * _ROUNDOFF)):
            decay = np.exp(-np.maximum(rates - shift, 0.0)[:, :, None] * taus)
            found[:, nodes] = np.moveaxis(vectors**2 @ decay, -1, 0)
    # A decomposition rounds more than a step does, and its vectors are orthogonal to no more than this.
    skew = _ROUNDOFF * np.sqrt(operator.sizes.max(initial=0))
    return rest[:, chosen], 2 * (_rounding(taus, most[:, chosen]) + skew)


def _expanded(operator: Diffusion, nodes: NDArray[np.int64], taus: Array) -> tuple[Array, Array]:
    """Return the same for some nodes of a large network."""
    starts = np.zeros((operator.n, nodes.size))
    starts[nodes, np.arange(nodes.size)] = 1.0
    starts -= operator.kept(starts)
    moments, last, end = _moments(operator, starts), np.clip(taus.max(), 1e-9, _LATEST_TAU), 1.0
    known = [next(moments)]

    def at(times: Array, degree: int) -> tuple[Array, Array]:
        rest = np.maximum(np.einsum("tj,jk->tk", coefficients(times, degree), np.array(known[: degree + 1])), 0.0)
        return rest, 2 * _TOLERANCE + _rounding(times, rest)

    while True:
        end = min(end, last)
        degree = degree_for(end, _TOLERANCE)
        known += islice(moments, degree + 1 - len(known))
        (before, full), errors = at(np.array([end / 2, end]), degree)
        if end == last or full.max() <= _TOLERANCE:
            break
        end *= 2
    rest, error = at(np.minimum(taus, end), degree)
    later = taus > end
    # From there on it falls, but no faster than it did last.
    most, least = full + errors[1], np.maximum(full - errors[1], np.finfo(float).tiny)
    lowest = least * np.exp(-np.outer(taus[later] - end, np.log((before + errors[0]) / least) * 2 / end))
    rest[later], error[later] = (most + lowest) / 2, (most - lowest).max(axis=1) / 2 + 8 * _ROUNDOFF
    return rest, error


def _moments(operator: Diffusion, starts: Array) -> Iterator[Array]:
    """Yield b'T_k(1 - 2 K / bound)b for each column b and k = 0, 1, ...; a product gives two of them."""
    zeroth, first = _dots(starts, starts), None
    yield zeroth
    for before, here in pairwise(chebyshev_vectors(operator.apply, starts, operator.bound)):
        between = _dots(before, here)
        first = between if first is None else first
        yield 2 * between - first
        yield 2 * _dots(here, here) - zeroth


def _dots(x: Array, y: Array) -> Array:
    products: Array = np.einsum("ik,ik->k", x, y)
    return products


def _rounding(taus: Array, rest: Array) -> Array:
    """Estimate the largest error from rounding at each time, given what nodes keep."""
    most = rest.max(axis=1, initial=0.0)
    found: Array = 8 * _ROUNDOFF + np.minimum(2 * _ROUNDOFF * taus * np.sqrt(most), most)
    return found
