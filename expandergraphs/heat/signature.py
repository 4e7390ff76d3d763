"""Heat signatures: what heat put on some units of a network has become after a time.

Nodes are all units, inputs and outputs included; edges are undirected. With L the Laplacian and A the heat at time 0,
``S(t) = exp(-t L) A`` solves ``dS/dt = -L S``. What heat tends to is known from the components alone and taken out
first; the rest is found by `expandergraphs.heat.exponential`.

Cost: a few dozen to a few hundred products with the Laplacian, about ``sqrt(t)`` times the root of its largest
eigenvalue, for all times together; memory for the results and a fixed multiple of the network's.
"""

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.diffusion import Array, Diffusion
from expandergraphs.heat.exponential import diffuse
from expandergraphs.layered import LayeredGraph, as_net

_HOTTEST = 1e100
_LATEST = 1e300
_ROUNDOFF = 2.0**-51


@dataclass(frozen=True, eq=False, repr=False)
class HeatSignature:
    """Heat at every node at every time; ``numpy.asarray`` of it is `values`.

    Attributes
    ----------
    times : ndarray, shape (n_times,)
        As asked for, in order; inf is saturation. Read-only.
    values : ndarray, shape (n_times, n_nodes) or (n_times, n_nodes, k)
        Heat; the last axis is there where several source vectors were given. Read-only.
    error : ndarray, shape (n_times,)
        How far the heat of a source vector may be from the truth, in the 2-norm over the nodes: a proved bound on what
        was cut off, and an estimate of rounding. 0 at time 0.
    method : str
        "closed form", "Lanczos", "Chebyshev" or "dense".
    products : int
        Products of the Laplacian with all source vectors.
    lambda_bound : float
        No eigenvalue of the Laplacian is larger.
    laplacian : str
        Which one.

    Examples
    --------
    >>> found = heat_signature(BipartiteGraph.from_edges(1, 1, [(0, 0)]), [0, 1.0])
    >>> found.values.round(4).tolist(), found.times.tolist()
    ([[1.0, 0.0], [0.5677, 0.4323]], [0.0, 1.0])
    """

    times: Array
    values: Array = field(repr=False)
    error: Array
    method: str
    products: int
    lambda_bound: float
    laplacian: str

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def distance(self, other: "HeatSignature") -> Array:
        """Return the Euclidean norms of the differences, shape (n_times,), over nodes and source vectors.

        Parameters
        ----------
        other : HeatSignature
            At the same times, and of as many nodes.

        Returns
        -------
        ndarray, shape (n_times,)

        Raises
        ------
        ValueError
            If times, nodes or source vectors differ.

        Examples
        --------
        >>> pair, apart = (BipartiteGraph.from_edges(1, 1, edges) for edges in ([(0, 0)], []))
        >>> heat_signature(pair, [0, 1.0]).distance(heat_signature(apart, [0, 1.0])).round(4).tolist()
        [0.0, 0.6114]
        """
        if not np.array_equal(self.times, other.times) or self.values.shape != other.values.shape:
            raise ValueError(f"signatures of the same times, nodes and source vectors are needed, got {self}, {other}")
        difference = self.values - other.values
        distances: Array = np.sqrt((difference**2).sum(axis=tuple(range(1, difference.ndim))))
        distances.setflags(write=False)
        return distances

    def __repr__(self) -> str:
        times = f"{self.times.size} time{'s' if self.times.size != 1 else ''}"
        if self.times.size:
            times += f" in [{self.times.min():g}, {self.times.max():g}]"
        sources = f", {self.values.shape[2]} source vectors" if self.values.ndim == 3 else ""
        return (
            f"HeatSignature({times}, {self.values.shape[1]} nodes{sources}, {self.laplacian}, {self.method}, "
            f"{self.products} products, error {self.error.max(initial=0.0):.1e}, "
            f"lambda_bound {self.lambda_bound:.4g})"
        )


def heat_signature(
    net: LayeredGraph | BipartiteGraph,
    t: ArrayLike | str,
    *,
    sources: ArrayLike | None = None,
    laplacian: str = "combinatorial",
    tolerance: float = 1e-8,
) -> HeatSignature:
    r"""Diffuse heat through a network.

    .. math:: S(t) = e^{-tL} A

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
        Weights of at least 0; an edge of weight 0 is none.
    t : float, 1-D array of floats, or "saturated"
        Times of at least 0, in any order; inf and "saturated" ask for what heat tends to. Many cost little more than
        the latest one of them.
    sources : optional
        Numbers of the nodes that heat 1 is put on, the input nodes by default; or booleans, shape (n_nodes,); or the
        heat A itself in floats, shape (n_nodes,), or (n_nodes, k) for k source vectors at once.
    laplacian : {"combinatorial", "random_walk", "symmetric"}
        ``D - W`` as in the paper, ``I - W D^(-1)``, or ``I - D^(-1/2) W D^(-1/2)``. The total heat of each component is
        kept by the first two; it is shared equally, or in proportion to the degrees.
    tolerance : float
        The largest error of a source vector, in the 2-norm over the nodes.

    Returns
    -------
    HeatSignature

    Raises
    ------
    ValueError
        If an argument is none of these, a weight is negative, or rounding may exceed the tolerance: where eigenvalues
        that matter at these times lie a dozen decades below the largest, say.

    References
    ----------
    Subramaniam, Sharma. N2NSkip: Learning Highly Sparse Networks using Neuron-to-Neuron Skip Connections. BMVC 2020,
    section 3.2.

    Examples
    --------
    >>> path = LayeredGraph.from_layers([BipartiteGraph.from_edges(1, 1, [(0, 0)])] * 2)
    >>> heat_signature(path, [0, 0.5]).values.round(4).tolist()
    [[1.0, 0.0, 0.0], [0.6738, 0.259, 0.0673]]
    >>> heat_signature(path, "saturated").values.round(4).tolist()
    [[0.3333, 0.3333, 0.3333]]
    """
    net = as_net(net)
    times, heat = as_times(t), as_heat(net, sources)
    tolerance = as_tolerance(tolerance)
    found = evaluate(Diffusion(net, laplacian), heat, times, tolerance)
    if (reached := found.error.max(initial=0.0)) > tolerance:
        raise ValueError(
            f"rounding may add up to {reached:.1e}, more than the tolerance of {tolerance:g}; ask for tolerance="
            f"{1.1 * reached:.1e}, for shorter times, or for weights over fewer decades"
        )
    return found


def evaluate(operator: Diffusion, heat: Array, times: Array, tolerance: float) -> HeatSignature:
    """Return the signature for an operator, heat of shape (n,) or (n, k) and times as they are after their checks.

    Where rounding exceeds the tolerance, the error says so.
    """
    columns = heat if heat.ndim == 2 else heat[:, None]
    start = columns / operator.scale
    kept = operator.kept(start)
    start -= kept
    whole, moving = (float(np.sqrt((x**2).sum(axis=0)).max(initial=0.0)) for x in (columns, start))
    with np.errstate(over="ignore", under="ignore"):
        scaled = np.minimum(np.ldexp(times, operator.exponent), _LATEST)
        rest = np.where(np.isinf(times), 0.0, moving * np.exp(-operator.gap * scaled))
    at_start, at_rest = scaled == 0, (rest <= tolerance / 8) & (scaled > 0)
    scaled[at_rest] = 0.0
    if scaled.any():
        values, method, products, error = diffuse(operator, start, scaled, tolerance)
    else:
        values, method, products, error = np.empty((times.size, *columns.T.shape)), "closed form", 0, rest
    for value, begun, ended in zip(values, at_start.tolist(), at_rest.tolist(), strict=True):
        if begun:
            value[:] = columns.T
            continue
        if ended:
            value[:] = kept.T
        else:
            value -= operator.kept(value.T).T
            value += kept.T
        if operator.kind == "random_walk":
            value *= operator.scale.T
    error = np.where(at_start, 0.0, np.where(at_rest, rest, error) + 4 * _ROUNDOFF * whole)
    shaped = values[:, 0] if heat.ndim == 1 else values.transpose(0, 2, 1)
    for array in (times, shaped, error):
        array.setflags(write=False)
    bound = math.ldexp(operator.bound, operator.exponent)
    return HeatSignature(times, shaped, error, method, products, bound, operator.kind)


def as_times(t: ArrayLike | str) -> Array:
    """Return times as an array of at least 0, shape (n_times,), or raise ``ValueError``."""
    needed = 'times must be numbers of at least 0, in at most one dimension, or "saturated"'
    try:
        times = np.array(math.inf if isinstance(t, str) and t == "saturated" else t)
    except ValueError:
        raise ValueError(f"{needed}; got lists of different lengths") from None
    if times.ndim > 1 or (times.size and times.dtype.kind not in "iuf"):
        raise ValueError(f"{needed}; got {t!r}")
    times = times.astype(np.float64).reshape(-1)
    if not (times >= 0).all():
        raise ValueError(f"{needed}; got {times[~(times >= 0)][0]}")
    return times


def as_heat(net: LayeredGraph, sources: ArrayLike | None) -> Array:
    """Return the heat at time 0, shape (n_nodes,) or (n_nodes, k)."""
    n = net.n_nodes
    try:
        given = net.input_nodes if sources is None else np.asarray(sources)
    except ValueError:
        raise ValueError("sources must be an array, got lists of different lengths") from None
    if given.size == 0 and given.ndim == 1 and n:
        given = given.astype(np.int64)
    if given.dtype.kind in "iu" and given.ndim == 1:
        if given.size and (given.min() < 0 or given.max() >= n):
            raise ValueError(f"sources must be nodes in 0..{n - 1}, got {given.min()}..{given.max()}")
        if np.unique(given).size < given.size:
            raise ValueError(
                "sources name a node more than once; give the heats themselves, as floats, to add them up, or booleans"
            )
        heat = np.zeros(n)
        heat[given] = 1.0
        return heat
    if given.dtype.kind not in "bf" or given.ndim not in (1, 2) or given.shape[0] != n:
        raise ValueError(
            f"sources must be node numbers, {n} booleans, or floats of shape ({n},) or ({n}, k); "
            f"got {given.dtype} of shape {given.shape}"
        )
    if not (abs(given.astype(np.float64)) <= _HOTTEST).all():
        raise ValueError(f"heats must be finite numbers, of at most {_HOTTEST:g}")
    return given.astype(np.float64)


def as_tolerance(tolerance: Any) -> float:
    """Return a tolerance as a positive float, or raise ``ValueError``."""
    if not isinstance(tolerance, Real) or isinstance(tolerance, bool) or not 0 < tolerance < _LATEST:  # type: ignore[operator]
        raise ValueError(f"tolerance must be a positive number, got {tolerance!r}")
    return float(tolerance)
