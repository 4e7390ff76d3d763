"""The time that heat takes to come to rest.

Let delta(t) be the heat at time t less what it tends to. For the combinatorial Laplacian, 1'L = 0 and L1 = 0 and no
entry off the diagonal is positive; so H(t) = exp(-t L) = lim (I - t L / m)^m is non-negative with rows and columns of
sum 1. Then ``max |H(s) delta(t)| <= max |delta(t)|``: the largest deviation never grows, and the time from which on it
is within a tolerance is the one at which it first is.

For the others that does not hold: heat flows to nodes of large degree, which may move away from rest before they
approach it. But D^(-1) exp(-t (I - W D^(-1))) D and D^(-1/2) exp(-t (I - D^(-1/2) W D^(-1/2))) D^(1/2) both are
exp(-t (I - D^(-1) W)), which is non-negative with rows of sum 1. So the largest ``|delta_i| m / d_i`` for the random
walk, and the largest ``|delta_i| (m / d_i)^(1/2)`` for the symmetric Laplacian, never grow either; m is the mean degree
of i's component. Where all degrees are equal, these are the largest deviation.
"""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.diffusion import Array, Diffusion
from expandergraphs.heat.signature import as_heat, evaluate
from expandergraphs.layered import LayeredGraph, as_net

_ACCURACY = 1e-6  # relative, of the time
_POWERS = {"combinatorial": 0.0, "random_walk": 1.0, "symmetric": 0.5}  # of m / d_i


@dataclass(frozen=True)
class SaturationTime:
    """When heat has come to rest, to within a tolerance; ``float`` of it is `time`.

    Attributes
    ----------
    time : float
    lower, upper : float
        An interval that holds the exact time: usually no wider than ``2e-6 * time``, wider where the deviation hardly
        changes around it. All three are 0 where heat starts within the tolerance.
    tolerance : float
        The deviation that was allowed.

    Examples
    --------
    >>> found = saturation_time(BipartiteGraph.from_edges(1, 1, [(0, 0)]), 0.005)
    >>> round(float(found), 4), found.lower <= found.time <= found.upper
    (2.3026, True)
    """

    time: float
    lower: float
    upper: float
    tolerance: float

    def __float__(self) -> float:
        return self.time


def saturation_time(
    net: LayeredGraph | BipartiteGraph,
    tolerance: float,
    *,
    sources: ArrayLike | None = None,
    laplacian: str = "combinatorial",
) -> SaturationTime:
    """Find the smallest time at which every node is within a tolerance of its saturated heat, and stays there.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
        Weights must be non-negative.
    tolerance : float
        The deviation allowed at a node: of its heat for "combinatorial"; for "random_walk" times ``m / d_i`` and for
        "symmetric" times its root, with m the mean degree of the node's component, as these never grow with time.
    sources : array-like, optional
        Where heat starts, as for `heat_signature`; the input nodes by default.
    laplacian : str
        "combinatorial", "random_walk" or "symmetric".

    Returns
    -------
    SaturationTime

    Raises
    ------
    ValueError
        If the tolerance is not positive or too small for floating point, or another argument is out of range.

    Examples
    --------
    >>> pair = BipartiteGraph.from_edges(1, 1, [(0, 0)])  # the deviation is exp(-2 t) / 2
    >>> round(saturation_time(pair, 0.005).time, 5), round(math.log(100) / 2, 5)
    (2.30259, 2.30259)
    """
    net = as_net(net)
    if not isinstance(tolerance, Real) or isinstance(tolerance, bool) or not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance must be a positive number, got {tolerance!r}")
    operator, start = Diffusion(net, laplacian), as_heat(net, sources)
    rest = evaluate(operator, start, np.array([math.inf]), 1.0).values[0]
    scale = _scale(operator).reshape(-1, *(1,) * (start.ndim - 1))
    at_start = _largest(scale * (start - rest))
    allowed = float(tolerance)
    if at_start <= allowed:
        return SaturationTime(0.0, 0.0, 0.0, allowed)
    # The error is that of the vectors K acts on, which heat is a multiple of.
    factor = float((_scale(operator) * operator.scale[:, 0]).max())
    # Of each source vector in the 2-norm, well below the tolerance; where rounding is more, the error says so.
    accuracy = 1e-7 * allowed / factor

    def deviations(times: ArrayLike) -> tuple[Array, Array]:
        heat = evaluate(operator, start, np.atleast_1d(np.asarray(times, dtype=np.float64)), accuracy)
        found = np.array([_largest(scale * (values - rest)) for values in heat.values])
        return found, factor * heat.error

    # The deviation falls at most at the rate of the norm of I - D^(-1) W or D - W: no more than twice the bound.
    low = (at_start - allowed) / at_start / (2 * math.ldexp(operator.bound, operator.exponent))
    high = low
    while True:
        times = high * 2.0 ** np.arange(1, 5)
        found, _ = deviations(times)
        above = found > allowed
        if not above.all():
            break
        low = high = float(times[-1])
    first = int(np.argmin(above))
    low, high = (low if first == 0 else float(times[first - 1])), float(times[first])
    from scipy import optimize  # here, as it takes longer to load than all of this package

    def excess(logarithm: float) -> float:
        return math.log(max(float(deviations(math.exp(logarithm))[0][0]), 1e-300) / allowed)

    ends = math.log(low), math.log(high)
    time = math.exp(optimize.brentq(excess, *ends, xtol=_ACCURACY / 8)) if excess(ends[0]) > 0 else low
    width = _ACCURACY / 4
    while True:
        around = np.array([time * math.exp(-width), time, time * math.exp(width)])
        found, error = deviations(around)
        if found[0] - error[0] > allowed >= found[2] + error[2]:
            return SaturationTime(time, float(around[0]), float(around[2]), allowed)
        width *= 4
        if width > 1:
            raise ValueError(f"tolerance = {tolerance:g} is too close to rounding: try {16 * error.max():.1e}")


def _scale(operator: Diffusion) -> Array:
    """Return what a node's deviation is multiplied by."""
    degrees = operator.root[:, 0] ** 2  # relative to the largest of the component; for the combinatorial one, equal
    means = np.bincount(operator.labels, degrees, minlength=operator.count) / operator.sizes
    scale: Array = (means[operator.labels] / degrees) ** _POWERS[operator.kind]
    return scale


def _largest(deviations: Array) -> float:
    return float(abs(deviations).max(initial=0.0))
