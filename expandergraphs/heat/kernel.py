"""The heat kernel signature: how much of its own heat a node has kept after a time.

[H(t)]_ii = sum_k exp(-t l_k) u_k(i)^2. The part of the eigenvalue 0, which stays for ever, is known: 1 over the size of
i's component, or d_i over the sum of its degrees. The rest is b'exp(-t L)b for a start b that is e_i without its part
in the null vectors. Gauss' rule and Radau's with a node at 0 enclose it (`expandergraphs.heat.quadrature`). Rounding
moves eigenvalues by some unit roundoffs of the norm of L; how far that moves the ends is added to the stated error.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.diffusion import Diffusion
from expandergraphs.heat.lanczos import Lanczos
from expandergraphs.heat.probes import Components
from expandergraphs.heat.quadrature import Array, gauss, radau
from expandergraphs.heat.signature import as_times
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.paths import positions_in

_TOLERANCE = 5e-9  # leaves as much for rounding
_ROUNDING = 8 * np.finfo(float).eps  # of the eigenvalues, in units of their bound
_MOST_STEPS = 3000  # for one node these take some seconds
_DENSE_LIMIT = 1500  # nodes; that many take a second
_LATEST = 1e300
_AT_ONCE = 32  # nodes


@dataclass(frozen=True, eq=False)
class HeatKernelSignature:
    """The diagonal of exp(-t L) for several t; ``numpy.asarray`` of it gives the values.

    Attributes
    ----------
    times : ndarray, shape (n_t,)
    nodes : ndarray of int, shape (n_chosen,)
    values : ndarray, shape (n_t, n_chosen)
    error : float
        No value is further from the exact one, by the bounds and an estimate of rounding; at most 1e-8 but for times
        so late that rounding alone is more. 0 where all eigenvectors were computed, and then exact to rounding.
    """

    times: Array = field(repr=False)
    nodes: NDArray[np.int64] = field(repr=False)
    values: Array
    error: float

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.times, self.nodes, self.values):
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
    Networks whose components can be decomposed in about two seconds are; in others every node takes Lanczos steps of
    its own, until the error is at most 1e-8. All 27,000 nodes of a large network take as many times longer than one.
    Where decomposed, the last digits are LAPACK's and may differ with its number of threads.

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
        If a weight is negative, an argument out of range, or the bounds are still too far apart after 3,000 steps: late
        times, for which weights over many decades matter, may take more than any number of steps.

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
    chosen = positions_in("nodes", nodes, net.n_nodes)
    components, diffusion = Components(net, laplacian), Diffusion(net, laplacian)
    saturated = (diffusion.root * diffusion.kept(1 / diffusion.root))[:, 0] / components.sizes[components.labels]
    values, error, finite = np.tile(saturated[chosen], (times.size, 1)), 0.0, np.isfinite(times)
    if components.work <= _DENSE_LIMIT**3:
        values[finite] = _dense(components, times[finite])[:, chosen]
    else:
        unit = 2.0**diffusion.exponent
        scaled = np.minimum(times[finite], _LATEST / unit) * unit
        for start in range(0, chosen.size, _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            rest, worst = _enclosed(diffusion, chosen[some], scaled)
            values[finite, some] += rest
            error = max(error, worst)
    return HeatKernelSignature(times, chosen, values, error)


def _dense(components: Components, times: Array) -> Array:
    """Return the signature of all nodes by dense decompositions."""
    values = np.empty((times.size, components.labels.size))
    for nodes, blocks in components.blocks():
        eigenvalues, vectors = np.linalg.eigh(blocks)
        eigenvalues[:, 0] = 0.0  # what rounding made of it would decay at last
        for row, time in zip(values, times, strict=True):
            with np.errstate(over="ignore"):
                decay = np.exp(-time * np.maximum(eigenvalues, 0.0))
            row[nodes] = np.einsum("kij,kj->ki", vectors**2, decay)
    return values


def _enclosed(diffusion: Diffusion, nodes: NDArray[np.int64], times: Array) -> tuple[Array, float]:
    """Return what some nodes keep, besides what stays for ever, shape (n_t, n_nodes), and its largest error."""
    columns = np.arange(nodes.size)
    starts = np.zeros((diffusion.n, nodes.size))
    starts[nodes, columns] = 1.0
    starts -= diffusion.kept(starts)
    run, steps, blur = Lanczos(diffusion.apply, starts), 8, _ROUNDING * diffusion.bound
    while True:
        run.advance(steps - run.steps)
        ends = np.zeros((4, times.size, nodes.size))
        for column, (alphas, betas, norm) in enumerate(zip(run.alphas.T, run.betas.T, run.norms, strict=True)):
            low, high = gauss(alphas, betas), radau(alphas, betas, 0.0)
            for end, rule, shift in zip(ends, (low, high, low, high), (0.0, 0.0, blur, -blur), strict=True):
                above = np.maximum(rule.nodes + shift, 0.0)
                end[:, column] = norm**2 * (np.exp(-np.outer(times, above)) @ rule.weights)
        half, error = (max(float((ends[i + 1] - ends[i]).max(initial=0.0)) / 2, 0.0) for i in (0, 2))
        if half <= _TOLERANCE or run.exhausted:
            return ends[:2].mean(axis=0), error
        if steps >= _MOST_STEPS:
            raise ValueError(
                f"after {steps} steps the heat kernel signature is known to {half:.1g}, not to {2 * _TOLERANCE:.0e}, "
                f"and more steps would hardly help: ask for earlier times, or for inf, which is exact"
            )
        steps = min(steps * 3 // 2, _MOST_STEPS)
