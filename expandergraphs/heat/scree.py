"""The scree curve: how much of the heat kernel its K smoothest modes carry."""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs._checks import as_fraction, as_integer
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.dense import eigenvalues, is_small
from expandergraphs.heat.diffusion import Diffusion
from expandergraphs.heat.probes import Probes, as_probability
from expandergraphs.heat.signature import as_times
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.rng import RNG, as_generator

Array = NDArray[np.float64]


class Scree(np.ndarray[Any, np.dtype[np.float64]]):
    """The shares alpha(K, t) for several t: a read-only array, with the interval that holds each value.

    Whatever is computed from it is an ordinary array.

    Attributes
    ----------
    times : ndarray, shape (n_t,)
    lower, upper : ndarray, shape (n_t,)
        Ends of the intervals; the values themselves where exact.
    exact : bool
        Whether all eigenvalues were computed; exact means to rounding.
    failure_probability : float
        Probability that any of the values lies outside its interval; 0 where exact.
    n_kept : int
        K.
    n_nodes : int
        Number of nodes, of which K is a fraction.

    Examples
    --------
    >>> found = scree(BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 0)]), [0, 1.0])
    >>> found.round(4).tolist(), found.n_kept, found.exact
    ([0.3333, 0.7679], 1, True)
    """

    times: Array
    lower: Array
    upper: Array
    exact: bool
    failure_probability: float
    n_kept: int
    n_nodes: int

    def __new__(cls, values: ArrayLike, **details: Any) -> Self:
        """Make an array of values that carries its details."""
        curve = np.array(values, dtype=np.float64).view(cls)
        for name, detail in details.items():
            if isinstance(detail, np.ndarray):
                detail.setflags(write=False)
            setattr(curve, name, detail)
        curve.setflags(write=False)
        return curve

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (np.asarray(self), vars(self))

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        if not vars(self):  # a view that numpy made
            return repr(np.asarray(self))
        kind = "exact" if self.exact else f"lower={self.lower}, upper={self.upper}"
        return f"Scree({np.asarray(self)}, K={self.n_kept} of {self.n_nodes} nodes, {kind})"


def scree(
    net: LayeredGraph | BipartiteGraph,
    t: ArrayLike,
    *,
    fraction: float = 0.06,
    laplacian: str = "combinatorial",
    products: int = 2000,
    failure_probability: float = 1e-6,
    rng: RNG = None,
) -> Scree:
    r"""Measure the share of the heat kernel's trace that its K smoothest modes carry, the constant one aside.

    .. math:: \alpha(K, t) = \sum_{k=2}^{K+1} e^{-t \lambda_k} \Big/ \sum_{k=2}^{n} e^{-t \lambda_k},
        \qquad 0 = \lambda_1 \le \dots \le \lambda_n.

    It rises from K / (n - 1) at t = 0 to 1, or to K over the multiplicity of the second eigenvalue where that is the
    larger one. A network of c components has the eigenvalue 0 c times, and the sums hold c - 1 of these.

    All eigenvalues are computed where that takes no longer than for one component of 3,000 nodes; the last digits are
    then LAPACK's and may differ with its number of threads. Above, the result is an estimate within an interval:
    Lanczos from random vectors bounds the distribution of the eigenvalues, hence every quantile of it, hence both sums.
    One event covers all times.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
        Weights must be non-negative.
    t : float or array-like, shape (n_t,)
        Times, at least 0; infinity is allowed.
    fraction : float
        K is ``max(1, round(fraction * n_nodes))``, but at most n - 1.
    laplacian : str
        "combinatorial", "random_walk" or "symmetric"; the last two have the same eigenvalues.
    products : int
        Large networks: products of the Laplacian with a vector to spend, at least 16. The interval narrows with the
        cube root.
    failure_probability : float
        Large networks: the probability with which an interval may miss.
    rng : None, int, SeedSequence or Generator
        Large networks: source of the random vectors; they must not be known to whoever made the network.

    Returns
    -------
    Scree
        An array of shape (n_t,) with ``times``, ``lower``, ``upper``, ``exact``, ``n_kept``.

    Raises
    ------
    ValueError
        If the network has fewer than two nodes or a negative weight, or an argument is out of range.

    See Also
    --------
    heat_trace : The sum of all terms.

    References
    ----------
    Subramaniam, Sharma. N2NSkip: Learning Highly Sparse Networks using Neuron-to-Neuron Skip Connections. 2020, section
    3.2. The bounds for large networks: `expandergraphs.heat.probes`.

    Examples
    --------
    >>> from expandergraphs import random_bipartite
    >>> curve = scree(random_bipartite(2, 2, p=1), [0, 1, 100], fraction=0.25)  # eigenvalues 0, 2, 2, 4
    >>> curve.round(4).tolist(), curve.n_kept, curve.exact
    ([0.3333, 0.4683, 0.5], 1, True)
    """
    net, times, share = as_net(net), as_times(t), as_fraction("fraction", fraction)
    products = as_integer("products", products, minimum=16)
    failure_probability, stream = as_probability(failure_probability), as_generator(rng)
    n = net.n_nodes
    if n < 2:
        raise ValueError(f"a scree curve needs a second eigenvalue, so at least two nodes; {net!r} has {n}")
    operator, kept = Diffusion(net, laplacian), min(max(1, round(share * n)), n - 1)
    details = {"times": times, "n_kept": kept, "n_nodes": n}
    if is_small(operator):
        every = np.ldexp(eigenvalues(operator)[1:], operator.exponent)
        values = _share(every[:kept], every[kept:], times, n * np.finfo(float).eps * every[-1])
        return Scree(values, lower=values, upper=values, exact=True, failure_probability=0.0, **details)
    probes = Probes(operator, products, stream)
    zeros = np.zeros(n - 1 - probes.n_values)
    ends = probes.enclosures(failure_probability)
    low, high = (np.concatenate([zeros, probes.unit * end]) for end in ends)
    lower = np.maximum(_share(high[:kept], low[kept:], times), kept / (n - 1))
    upper = _share(low[:kept], high[kept:], times)
    middle = (low + high) / 2
    values = np.clip(_share(middle[:kept], middle[kept:], times), lower, upper)
    return Scree(values, lower=lower, upper=upper, exact=False, failure_probability=failure_probability, **details)


def _share(first: Array, others: Array, times: Array, tie: float = 0.0) -> Array:
    """Return the first eigenvalues' share of the sum of exp(-t l), for each t.

    Shifted by the smallest, none of which is told from another within `tie`; at infinity, these alone count.
    """
    smallest = min(first.min(), others.min(initial=math.inf))

    def total(values: Array, t: float) -> float:
        above = np.where(values - smallest <= tie, 0.0, values - smallest)
        return float((np.exp(-t * above) if t < math.inf else above == 0).sum())

    with np.errstate(over="ignore"):
        sums = [(total(first, t), total(others, t)) for t in times.tolist()]
    return np.array([one / (one + other) for one, other in sums])


def _again(values: Array, details: dict[str, Any]) -> Scree:
    return Scree(values, **details)
