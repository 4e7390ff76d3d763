"""Vertex expansion: an interval that holds alpha, what proves it, and a set that attains its upper end.

alpha is the smallest |N(S)| / |S| over the sets S inside one side with at most half of its vertices [1]_. It is
co-NP-hard to compute, so what comes back is an interval: `lower` is proved, `upper` is attained by a witness, and equal
ends mean that alpha is known. A sampled mean (`sampled_expansion`) is neither.

Lower ends come from `expandergraphs.expansion.bounds`, upper ones from `expandergraphs.expansion.search`, and
`expandergraphs.expansion.exact` closes the gap on small sides by branch and bound. The bounds take O(n^3) for the
smaller side up to 4,096 vertices; beyond, they rest on a Lanczos process whose random start may mislead it with the
stated probability. The search takes some seconds at 2,048 vertices a side and degree 16, and as many times longer as
there are more edges, unless a time limit ends it.

.. [1] Stewart, Michieli, Ozay. Data-Free Model Pruning at Initialization via Expanders. CVPR Workshops 2023.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from expandergraphs._checks import as_fraction
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.expansion.bounds import neighbour_floors
from expandergraphs.expansion.cuts import envelope
from expandergraphs.expansion.exact import minimise_expansion
from expandergraphs.expansion.search import smallest_set
from expandergraphs.expansion.weighting import Weighting, spectral_weighting
from expandergraphs.rng import RNG, as_generator
from expandergraphs.spectral.bounds import second_singular_value
from expandergraphs.spectral.values import is_biregular

METHODS = ("auto", "exact", "bounds")
SIDES = ("both", "left", "right")
_MOST_PAIRS = 2**24  # of the tables of branch and bound, 20 bytes each
AUTO_LIMIT = 64  # vertices on the larger side, which take about a second
Progress = Callable[[float, float], None]


class Witness(NamedTuple):
    """A set of vertices of one side, ascending and counted from 0."""

    side: str
    vertices: tuple[int, ...]


@dataclass(frozen=True)
class VertexExpansion:
    """An interval that holds the vertex expansion alpha.

    Attributes
    ----------
    lower, upper : float
        ``lower <= alpha <= upper``.
    exact : bool
        Whether both are equal.
    certificate : {"exact", "probabilistic"}
        How `lower` is known: proved, or proved but for an event of probability `failure_probability`.
    failure_probability : float
        0 where the certificate is exact.
    witness : Witness
        ``witness.side`` and ``witness.vertices``: a set S with ``|N(S)| / |S| == upper``.
    sides : tuple of VertexExpansion
        Of both sides: the interval of each side that has an admissible set, left first; its witness names it.
    """

    lower: float
    upper: float
    exact: bool
    certificate: str
    failure_probability: float
    witness: Witness
    sides: tuple["VertexExpansion", ...] = field(default=(), repr=False)


def vertex_expansion(
    g: BipartiteGraph,
    *,
    method: str = "auto",
    side: str = "both",
    max_fraction: float = 0.5,
    time_limit: float | None = None,
    rng: RNG = None,
    progress: Progress | None = None,
) -> VertexExpansion:
    """Enclose the vertex expansion, the smallest |N(S)| / |S|, and name a set that attains the upper end.

    Parameters
    ----------
    g : BipartiteGraph
    method : {"auto", "exact", "bounds"}
        "bounds" proves and searches; "exact" goes on by branch and bound until the ends meet or the time is over;
        "auto" does so where neither side has over 64 vertices, or there is a time limit and at most 2^24 pairs of
        vertices (branch and bound takes 20 bytes for each).
    side : {"both", "left", "right"}
        Where S lies; for "both" the smaller of the two minima is meant.
    max_fraction : float
        S has at most this fraction of the vertices of its side.
    time_limit : float, optional
        Seconds after which the interval reached so far is returned. The second singular value and the minimum cuts are
        finished first, however long they take. Without a limit, the result depends on `rng` alone.
    rng : None, int, SeedSequence or Generator
        Source of randomness of the search, and of Lanczos starts above 4,096 vertices.
    progress : callable(lower, upper), optional
        Called as the interval of the side being worked on narrows.

    Returns
    -------
    VertexExpansion

    Raises
    ------
    ValueError
        If an argument is out of its range, or no side has an admissible set: one of at least ``1 / max_fraction``
        vertices.

    References
    ----------
    Tanner. Explicit concentrators from generalized N-gons. SIAM J. Alg. Disc. Meth. 5 (1984), theorem 2.1; more in
    `expandergraphs.expansion.bounds`.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> result = vertex_expansion(random_regular(16, 16, 3, rng=0), rng=0)
    >>> result.exact, result.lower == result.upper == 1.25
    (True, True)
    """
    check_graph(g)
    for name, value, choices in (("method", method, METHODS), ("side", side, SIDES)):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    fraction = as_fraction("max_fraction", max_fraction)
    if time_limit is not None and not time_limit >= 0:
        raise ValueError(f"time_limit must be None or a number of seconds, at least 0, got {time_limit!r}")
    # As it is written: 0.29 of 100 vertices are 29, though the float below 0.29 says 28.99...
    largest = {name: math.floor(Fraction(repr(fraction)) * n) for name, n in (("left", g.n_left), ("right", g.n_right))}
    names = [name for name, k_max in largest.items() if side in (name, "both") and k_max > 0]
    if not names:
        raise ValueError(
            f"no admissible set: on {'both sides' if side == 'both' else f'the {side} side'} of {g!r}, "
            f"{fraction:g} of the vertices is less than one; max_fraction must be larger, or the side"
        )
    small, fits = max(g.n_left, g.n_right) <= AUTO_LIMIT, g.n_left * g.n_right <= _MOST_PAIRS
    go_on = method == "exact" or (method == "auto" and (small or (fits and time_limit is not None)))
    generator, clock = as_generator(rng), _Clock(time_limit)
    spectrum = _Spectrum.of(g, clock.after(0.3), generator)
    intervals = []
    for position, name in enumerate(names, start=1):
        from_here, known = (g, spectrum) if name == "left" else (g.T, spectrum.T)
        until = clock.after(0.3 + 0.7 * position / len(names))
        intervals.append(_enclosed(from_here, name, largest[name], known, go_on, until, generator, progress))
    if side != "both":
        return intervals[0]
    best = min(intervals, key=lambda interval: interval.upper)
    lowest = min(intervals, key=lambda interval: interval.lower)
    return replace(
        best,
        lower=lowest.lower,
        exact=lowest.lower == best.upper,
        certificate=lowest.certificate,
        failure_probability=lowest.failure_probability,
        sides=tuple(intervals),
    )


class _Clock:
    """Deadlines, as shares of a time limit that may be none."""

    def __init__(self, time_limit: float | None) -> None:
        self.started, self.time_limit = time.monotonic(), time_limit

    def after(self, share: float) -> float | None:
        return None if self.time_limit is None else self.started + share * self.time_limit


@dataclass(frozen=True)
class _Spectrum:
    """What the lower bounds need: upper ends of second singular values, and weights that make them small."""

    plain: float
    normalised: float
    failure_probability: float
    weighting: Weighting | None

    @classmethod
    def of(cls, g: BipartiteGraph, deadline: float | None, rng: np.random.Generator) -> "_Spectrum":
        if g.n_edges == 0:
            return cls(0.0, 0.0, 0.0, None)
        biregular = is_biregular(g)
        sigma = second_singular_value(g, normalised=not biregular, rng=rng)
        first = math.sqrt(g.left_degrees[0] * g.right_degrees[0]) if biregular else 1.0
        weighting = spectral_weighting(g, deadline=deadline, rng=rng)
        failure = sigma.failure_probability + weighting.failure_probability
        return cls(sigma.upper, sigma.upper / first, failure, weighting)

    @property
    def T(self) -> "_Spectrum":
        return replace(self, weighting=self.weighting and self.weighting.T)


def _enclosed(
    g: BipartiteGraph,
    name: str,
    k_max: int,
    spectrum: _Spectrum,
    go_on: bool,
    deadline: float | None,
    rng: np.random.Generator,
    progress: Progress | None,
) -> VertexExpansion:
    """Enclose the expansion of the left side; of a limited time, half is left to branch and bound."""
    half = None if deadline is None else (time.monotonic() + deadline) / 2
    lines, sets = envelope(g, k_max)
    floors = neighbour_floors(g, k_max, spectrum.plain, spectrum.normalised, weighting=spectrum.weighting, lines=lines)
    lower = min(Fraction(int(floor), k) for k, floor in enumerate(floors[1:], start=1))
    members = smallest_set(g, k_max, rng=rng, deadline=half, candidates=sets)
    upper = Fraction(np.unique(g.biadjacency[members].indices).size, members.size)

    def tell(low: Fraction, high: Fraction) -> None:
        if progress is not None:
            progress(float(low), float(high))

    tell(lower, upper)
    if lower < upper and go_on:
        start = members.tolist()
        found = minimise_expansion(g, k_max, start=start, floor=floors, deadline=deadline, progress=tell)
        lower, upper, members = max(lower, found.lower), found.upper, np.array(found.witness)
    failure = spectrum.failure_probability if lower > 0 else 0.0
    return VertexExpansion(
        lower=float(lower),
        upper=float(upper),
        exact=lower == upper,
        certificate="probabilistic" if failure else "exact",
        failure_probability=failure,
        witness=Witness(name, tuple(members.tolist())),
    )
