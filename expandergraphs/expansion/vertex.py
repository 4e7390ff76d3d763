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

from expandergraphs._checks import as_fraction, as_time_limit
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.expansion.bounds import Floors, neighbour_floors
from expandergraphs.expansion.cuts import Line, envelope
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
_FEW = 32  # vertices on the larger side, where branch and bound takes less time than annealing
_MOST_SHOWN = 12  # vertices of a witness, where it is printed
_SEARCH, _SPECTRUM = 0.4, 0.7  # when they end at the latest, of a limited time
Progress = Callable[[float, float], None]


class Witness(NamedTuple):
    """A set of vertices of one side, ascending and counted from 0.

    Examples
    --------
    >>> square = BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)])
    >>> side, vertices = vertex_expansion(square, side="left", rng=0).witness
    >>> side, len(vertices)
    ('left', 1)
    """

    side: str
    vertices: tuple[int, ...]

    def __repr__(self) -> str:
        many = len(self.vertices) > _MOST_SHOWN
        shown = f"({', '.join(map(str, self.vertices[:3]))}, ...)" if many else repr(self.vertices)
        return f"Witness({self.side!r}, {shown}{f', {len(self.vertices)} vertices' if many else ''})"


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

    Examples
    --------
    >>> square = BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)])
    >>> found = vertex_expansion(square)
    >>> found.lower, found.upper, found.exact, [part.witness.side for part in found.sides]
    (2.0, 2.0, True, ['left', 'right'])
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
    """Enclose the vertex expansion, the smallest ``|N(S)| / |S|``, and name a set that attains the upper end.

    Parameters
    ----------
    g : BipartiteGraph
    method : {"auto", "exact", "bounds"}
        "bounds" proves and searches; "exact" goes on by branch and bound until the ends meet or the time is over, for
        at most 2^24 pairs of vertices, 20 bytes each; "auto" does so where neither side has over 64 vertices, or there
        is a time limit and no more pairs than that.
    side : {"both", "left", "right"}
        Where S lies; for "both" the smaller of the two minima is meant.
    max_fraction : float
        S has at most this fraction of the vertices of its side.
    time_limit : float, optional
        Seconds after which the interval reached so far is returned; steps that were begun are finished. Without a
        limit, the result depends on `rng` alone.
    rng : None, int, SeedSequence or Generator
        Source of randomness of the search, and of Lanczos starts above 4,096 vertices.
    progress : callable(lower, upper), optional
        Called as the interval of a side narrows: of the left, then of the right, by search; then again by each further
        step.

    Returns
    -------
    VertexExpansion

    Raises
    ------
    ValueError
        If an argument is out of its range, no side has an admissible set, one of at least ``1 / max_fraction``
        vertices, or the graph is too large for the method "exact".

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
    if time_limit is not None:
        time_limit = as_time_limit(time_limit)
    # As it is meant: 0.29 of 100 vertices are 29 and 1 / 3 of 3 is 1, though the floats lie below.
    exactly = Fraction(repr(fraction)).limit_denominator(10**9)
    largest = {name: math.floor(exactly * n) for name, n in (("left", g.n_left), ("right", g.n_right))}
    names = [name for name, k_max in largest.items() if side in (name, "both") and k_max > 0]
    if not names:
        raise ValueError(
            f"no admissible set: on {'both sides' if side == 'both' else f'the {side} side'} of {g!r}, "
            f"{fraction:g} of the vertices is less than one; max_fraction must be larger, or the side"
        )
    tiny = max(g.n_left, g.n_right) <= _FEW
    small, fits = max(g.n_left, g.n_right) <= AUTO_LIMIT, g.n_left * g.n_right <= _MOST_PAIRS
    if method == "exact" and not fits:
        raise ValueError(
            f"method 'exact' takes 20 bytes for each of at most {_MOST_PAIRS} pairs of vertices, got {g!r}; 'bounds' "
            "has no limit"
        )
    go_on = method == "exact" or (method == "auto" and (small or (fits and time_limit is not None)))
    generator, clock = as_generator(rng), _Clock(time_limit)
    sides = [_Side(g if name == "left" else g.T, name, largest[name], progress) for name in names]
    for position, part in enumerate(sides, start=1):
        part.search(clock.after(_SEARCH * position / len(sides)), generator, annealing=not (go_on and tiny))
    if not all(part.exact for part in sides):
        spectrum = _Spectrum.of(g, clock.after(_SPECTRUM if go_on else 1.0), generator)
        for part in sides:
            part.bound(spectrum if part.name == "left" else spectrum.T)
    if go_on:
        for position, part in enumerate(sides, start=1):
            part.enumerate(clock.after(_SPECTRUM + (1 - _SPECTRUM) * position / len(sides)))
    lower = min(part.lower for part in sides)
    intervals = tuple(part.interval(part.lower) for part in sides)
    if side != "both":
        return intervals[0]
    best = min(sides, key=lambda part: part.upper)
    failure = max(part.interval(lower).failure_probability for part in sides)
    return replace(
        best.interval(lower),
        lower=float(lower),
        exact=lower == best.upper,
        certificate="probabilistic" if failure else "exact",
        failure_probability=failure,
        sides=intervals,
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
            return cls.unknown()
        biregular = is_biregular(g)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        sigma = second_singular_value(g, normalised=not biregular, time_limit=left, rng=rng)
        first = math.sqrt(g.left_degrees[0] * g.right_degrees[0]) if biregular else 1.0
        weighting = spectral_weighting(g, deadline=deadline, rng=rng)
        failure = sigma.failure_probability + weighting.failure_probability
        return cls(sigma.upper, sigma.upper / first, failure, weighting)

    @classmethod
    def unknown(cls) -> "_Spectrum":
        return cls(math.inf, math.inf, 0.0, None)

    @property
    def T(self) -> "_Spectrum":
        return replace(self, weighting=self.weighting and self.weighting.T)

    def floors(self, g: BipartiteGraph, k_max: int, lines: list[Line]) -> Floors:
        return neighbour_floors(g, k_max, self.plain, self.normalised, weighting=self.weighting, lines=lines)


class _Side:
    """The left side of a graph, under its name, and what is known of its expansion so far."""

    def __init__(self, g: BipartiteGraph, name: str, k_max: int, progress: Progress | None) -> None:
        self.g, self.name, self.k_max, self.progress = g, name, k_max, progress
        self.failure_probability = 0.0

    @property
    def exact(self) -> bool:
        return self.lower == self.upper

    def search(self, deadline: float | None, rng: np.random.Generator, *, annealing: bool) -> None:
        """Find a set with few neighbours, and what is certain without the spectrum."""
        half = None if deadline is None else (time.monotonic() + deadline) / 2
        self.lines, sets = envelope(self.g, self.k_max, deadline=half)
        self.floors = _Spectrum.unknown().floors(self.g, self.k_max, self.lines)
        self.lower = self.certain = _least_ratio(self.floors)
        self.members = smallest_set(
            self.g, self.k_max, rng=rng, deadline=deadline, candidates=sets, floor=self.lower, annealing=annealing
        )
        self.upper = Fraction(np.unique(self.g.biadjacency[self.members].indices).size, self.members.size)
        self.tell()

    def bound(self, spectrum: "_Spectrum") -> None:
        """Raise the lower end by what is known of the spectrum."""
        self.floors = spectrum.floors(self.g, self.k_max, self.lines)
        self.lower, self.failure_probability = _least_ratio(self.floors), spectrum.failure_probability
        self.tell()

    def enumerate(self, deadline: float | None) -> None:
        """Go on by branch and bound."""
        if self.exact or (deadline is not None and time.monotonic() >= deadline):
            return

        def tell(lower: Fraction, upper: Fraction) -> None:
            self.lower, self.upper = max(self.lower, lower), upper
            self.tell()

        found = minimise_expansion(
            self.g, self.k_max, start=self.members.tolist(), floor=self.floors, deadline=deadline, progress=tell
        )
        self.lower, self.upper, self.members = max(self.lower, found.lower), found.upper, np.array(found.witness)

    def tell(self) -> None:
        if self.progress is not None:
            self.progress(float(self.lower), float(self.upper))

    def interval(self, proved: Fraction) -> VertexExpansion:
        """Return the interval, and with it how sure it is that the expansion is at least `proved`."""
        failure = self.failure_probability if self.certain < proved else 0.0
        return VertexExpansion(
            lower=float(self.lower),
            upper=float(self.upper),
            exact=self.exact,
            certificate="probabilistic" if failure else "exact",
            failure_probability=failure,
            witness=Witness(self.name, tuple(self.members.tolist())),
        )


def _least_ratio(floors: Floors) -> Fraction:
    return min(Fraction(int(floor), k) for k, floor in enumerate(floors[1:], start=1))
