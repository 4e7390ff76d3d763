"""The heat trace: the sum of exp(-t l) over all eigenvalues.

For large networks two intervals are found, and what they share is the result. One sums the enclosures of the single
eigenvalues (`expandergraphs.heat.probes`): exact at t = 0, good while t is small. The other is of use later. Take f_i =
exp(-t l_i) for the N eigenvalues that are not 0, F their sum and M at least their largest. The average Q of z'exp(-tL)z
over p random vectors z is ``sum f_i chi^2_i / p`` with p degrees of freedom each. As log(1 + s f) is a concave function
of f that starts at 0, Chernoff's argument gives

    P(Q <= r F) for r < 1, and P(Q >= r F) for r > 1, are at most exp(-(p F / 2 M) (r - 1 - log r)).

So surely F (r - 1 - log r) is small for r = Q / F, which is solved for F by Lambert's function. Gauss' and Radau's
rules enclose Q, and M comes from the enclosure of the smallest eigenvalue.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.dense import eigenvalues, is_small
from expandergraphs.heat.diffusion import Diffusion
from expandergraphs.heat.probes import Probes, as_probability
from expandergraphs.heat.quadrature import Array, Rule, gauss, radau
from expandergraphs.heat.signature import as_times
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.rng import RNG, as_generator


@dataclass(frozen=True, eq=False)
class HeatTrace:
    """The trace of exp(-t L) for several t; ``numpy.asarray`` of it gives the values.

    Attributes
    ----------
    times : ndarray, shape (n_t,)
    values : ndarray, shape (n_t,)
    lower, upper : ndarray, shape (n_t,)
        Intervals that hold the values; the values themselves where exact.
    exact : bool
        Whether all eigenvalues were computed; exact means to rounding.
    failure_probability : float
        Probability that any of the traces lies outside its interval; 0 where exact.

    Examples
    --------
    >>> found = heat_trace(BipartiteGraph.from_edges(1, 1, [(0, 0)]), [0, 1.0])
    >>> found.values.round(4).tolist(), found.exact
    ([2.0, 1.1353], True)
    """

    times: Array = field(repr=False)
    values: Array
    lower: Array
    upper: Array
    exact: bool
    failure_probability: float

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.times, self.values, self.lower, self.upper):
            array.setflags(write=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype=dtype, copy=copy)


def heat_trace(
    net: LayeredGraph | BipartiteGraph,
    t: ArrayLike,
    *,
    laplacian: str = "combinatorial",
    products: int = 2000,
    failure_probability: float = 1e-6,
    rng: RNG = None,
) -> HeatTrace:
    r"""Compute the trace of the heat kernel, :math:`\sum_k e^{-t \lambda_k}`, a fingerprint of the network's shape.

    It falls from the number of nodes at t = 0 to the number of components. All eigenvalues are computed where that
    takes no longer than for one component of 3,000 nodes; above, random vectors give an estimate and an interval.
    Where all are, the last digits are LAPACK's and may differ with its number of threads.

    NetLSD's heat signature is this trace for the symmetric Laplacian: its default, without normalisation, is
    ``heat_trace(net, numpy.logspace(-2, 2, 250), laplacian="symmetric")``. It gives isolated nodes the eigenvalue 0, as
    here.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
        Weights must be non-negative.
    t : float or array-like, shape (n_t,)
        Times, at least 0; infinity is allowed.
    laplacian : str
        "combinatorial", "random_walk" or "symmetric"; the last two have the same trace.
    products : int
        Large networks: products of the Laplacian with a vector to spend, at least 16.
    failure_probability : float
        Large networks: the probability with which an interval may miss.
    rng : None, int, SeedSequence or Generator
        Large networks: source of the random vectors; they must not be known to whoever made the network.

    Returns
    -------
    HeatTrace

    Raises
    ------
    ValueError
        If a weight is negative or an argument out of range.

    See Also
    --------
    heat_kernel_signature : The terms of the trace, node by node.

    References
    ----------
    Tsitsulin, Mottin, Karras, Bronstein, Müller. NetLSD: Hearing the Shape of a Graph. KDD 2018.

    Examples
    --------
    >>> from expandergraphs import random_bipartite
    >>> heat_trace(random_bipartite(2, 2, p=1), [0, 0.5]).values.round(4).tolist()  # eigenvalues 0, 2, 2, 4
    [4.0, 1.8711]
    """
    net, times, failure_probability = as_net(net), as_times(t), as_probability(failure_probability)
    products, stream = as_integer("products", products, minimum=16), as_generator(rng)
    operator = Diffusion(net, laplacian)
    n_zeros = operator.count
    if is_small(operator):
        moving = np.ldexp(eigenvalues(operator)[n_zeros:], operator.exponent)
        values = np.array([n_zeros + _sum(moving, t) for t in times.tolist()])
        return HeatTrace(times, values, values, values, exact=True, failure_probability=0.0)
    probes = Probes(operator, products, stream)
    low, high = probes.enclosures(failure_probability / 2)
    tail = failure_probability / (4 * max(1, times.size))
    # No eigenvalue lies below the least: what rounding put there is moved up.
    least = float(low[0])
    rules = list(zip(probes.alphas.T, probes.betas.T, strict=True))
    below = _joined([gauss(*rule) for rule in rules], probes.squares, least)
    above = _joined([radau(*rule, least) for rule in rules], probes.squares, least)
    found = np.zeros((times.size, 3))
    with np.errstate(over="ignore"):
        scaled = times * probes.unit
    for row, time in zip(found, scaled.tolist(), strict=True):
        if time < math.inf:
            unit = math.exp(-time * least)
            means = [_sum(rule.nodes, time, rule.weights) for rule in (below, above)]
            slack = math.exp(min(time * probes.blur, 700.0))
            ends = _enclosed(means[0] / slack, means[1] * slack, 2 * math.log(1 / tail) / probes.count)
            row[1] = max(unit * ends[0], _sum(high, time))
            row[2] = max(row[1], min(unit * ends[1], _sum(low, time)))
            row[0] = min(max(unit * means[0], row[1]), row[2])
    values, lower, upper = n_zeros + found.T
    return HeatTrace(times, values, lower, upper, exact=False, failure_probability=failure_probability)


def _sum(eigenvalues: Array, time: float, weights: Array | float = 1.0) -> float:
    """Return the weighted sum of exp(-t l) over eigenvalues that are not 0."""
    if time == math.inf:
        return 0.0
    with np.errstate(over="ignore"):
        return float((weights * np.exp(-time * eigenvalues)).sum())


def _joined(rules: list[Rule], squares: Array, least: float) -> Rule:
    """Return one rule for the average over the vectors, its nodes counted from the least eigenvalue on."""
    nodes = np.maximum(np.concatenate([rule.nodes for rule in rules]) - least, 0.0)
    weights = np.concatenate([rule.weights * square for rule, square in zip(rules, squares, strict=True)])
    return Rule(nodes, weights / squares.size)


def _enclosed(lower: float, upper: float, c: float) -> tuple[float, float]:
    """Return the least and the largest F for which ``Q - F + F log(F / Q) <= c``, for Q between two bounds.

    With F = e^(1 + w) Q that is ``w e^w = (c / Q - 1) / e``, solved by both branches of Lambert's function.
    """
    from scipy import special  # here, as it takes longer to load than all of this package

    upper = max(upper, 1e-290)  # keeps c / Q finite
    largest = upper * math.exp(1 + special.lambertw((c / upper - 1) / math.e, 0).real)
    if lower <= c:
        return 0.0, largest
    return lower * math.exp(1 + special.lambertw((c / lower - 1) / math.e, -1).real), largest
