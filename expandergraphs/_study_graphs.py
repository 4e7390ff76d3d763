"""One graph of a study: drawn from a stream of its own, and measured into a flat record.

A measure is a function from a graph to a dictionary of numbers; what it returns becomes columns. One that samples has a
parameter ``rng`` and is given a stream of its own for every record, so no two records share their samples.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from inspect import isfunction, signature
from typing import Any, Literal, TypeAlias

import numpy as np

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.errors import GenerationError
from expandergraphs.expansion.sampled import sampled_expansion
from expandergraphs.expansion.vertex import VertexExpansion, vertex_expansion
from expandergraphs.generators.family import Family, as_family
from expandergraphs.generators.radix import radix_net
from expandergraphs.report import degrees_of
from expandergraphs.rng import streams
from expandergraphs.spectral.gap import spectral_gap

Value: TypeAlias = int | float | bool | str | None
Record: TypeAlias = dict[str, Value]
Measure: TypeAlias = Callable[..., Mapping[str, Any]]  # of a graph, and of rng if it has that parameter

Side: TypeAlias = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")


@dataclass(frozen=True)
class Cell:
    """What is asked for: one graph. `family` is a label."""

    family: str
    n_left: int
    n_right: int
    n_edges: int
    seed: int

    @property
    def columns(self) -> Record:
        """The columns that say what the graph is."""
        return {**asdict(self), "degree": self.n_edges / max(self.n_left, self.n_right), "refused": None}


def measure_cell(cell: Cell, family: str | Family, measures: Mapping[str, Measure]) -> Record:
    """Draw the graph of a cell and measure it; where the family has no such graph, the record says why."""
    record = cell.columns
    source = family if isinstance(family, str) else cell.family
    stream, name = streams(cell.seed), f"{source}/{cell.n_left}-{cell.n_right}/{cell.n_edges}"
    try:
        g = _draw(cell, family, stream(name))
    except GenerationError as refusal:
        return record | {"refused": str(refusal)}
    for label, measure in measures.items():
        chance = {"rng": stream(f"{name}/{label}")} if "rng" in signature(measure).parameters else {}
        try:
            columns = _checked(label, measure(g, **chance))
        except Exception as error:
            error.add_note(f"in measure {label!r} of {cell}")
            raise
        if taken := [column for column in columns if column in record]:
            raise ValueError(f"measure {label!r} returns the column {taken[0]!r}, which is there already")
        record |= columns
    return record


def described(function: Any) -> str:
    """Return the name of a function and the arguments bound to it: what tells one measure or family from another.

    Raises
    ------
    ValueError
        If that does not tell them apart: a lambda, a function within another, an object with a state.
    """
    if isinstance(function, str):
        return function
    if isinstance(function, partial):
        bound = [*map(repr, function.args), *(f"{key}={value!r}" for key, value in sorted(function.keywords.items()))]
        return f"{described(function.func)}({', '.join(bound)})"
    if not isfunction(function) or "<" in function.__qualname__:
        raise ValueError(
            f"a file keeps records by the names of functions, which do not tell {function!r} from others; define it "
            "at the top level of a module, its options bound by functools.partial, or give no path"
        )
    return f"{function.__module__}.{function.__qualname__}"


# --- measures ---


def measure_degrees(g: BipartiteGraph) -> Record:
    """Measure the degrees of each side: smallest, mean, largest, and the number of isolated vertices."""
    columns: Record = {}
    for side, degrees in zip(SIDES, (g.left_degrees, g.right_degrees), strict=True):
        columns |= {f"{side}_degree_{name}": value for name, value in asdict(degrees_of(degrees)).items()}
    return columns


def measure_spectrum(g: BipartiteGraph) -> Record:
    """Measure what `spectral_gap` does."""
    return asdict(spectral_gap(g))


def measure_expansion(g: BipartiteGraph, *, time_limit: float | None = None, rng: np.random.Generator) -> Record:
    """Measure the vertex expansion alpha of each side, over all its vertices and over those that have an edge.

    One isolated vertex makes alpha 0, whatever the rest of the graph does; ``left_linked_alpha`` is that of the graph
    without the isolated vertices of the left side. A side of fewer than two vertices has no admissible set, and no
    value.

    Parameters
    ----------
    g : BipartiteGraph
    time_limit : float, optional
        Seconds for both sides together, and again for each side that has isolated vertices, as for `vertex_expansion`;
        what is reached within it depends on the machine.
    """
    columns: Record = {}
    whole = _expansions(g, "both", time_limit, rng)
    for side in SIDES:
        linked = _linked(g, side)
        part = whole if linked == g else _expansions(linked, side, time_limit, rng)
        for name, intervals in (("alpha", whole), ("linked_alpha", part)):
            for end in ("lower", "upper", "exact", "certificate"):
                columns[f"{side}_{name}_{end}"] = getattr(intervals.get(side), end, None)
    return columns


def measure_sampled(g: BipartiteGraph, *, samples: int = 1000, rng: np.random.Generator) -> Record:
    """Measure what RReg's published code does: the mean of |N(S)| / |S| over random sets S; see `sampled_expansion`.

    A graph of which neither side has two vertices has no such set, and no value.
    """
    if max(g.n_left, g.n_right) < 2:
        return {"sampled_mean": None, "sampled_minimum": None}
    result = sampled_expansion(g, samples=samples, rng=rng)
    return {"sampled_mean": result.mean, "sampled_minimum": result.minimum}


MEASURES: dict[str, Measure] = {
    "degrees": measure_degrees,
    "spectrum": measure_spectrum,
    "expansion": measure_expansion,
    "sampled": measure_sampled,
}


def _expansions(
    g: BipartiteGraph, side: str, time_limit: float | None, rng: np.random.Generator
) -> dict[str, VertexExpansion]:
    """Return {side: interval} of the sides asked for, one or "both", that have an admissible set."""
    asked = {"left": g.n_left, "right": g.n_right, "both": max(g.n_left, g.n_right)}
    if asked[side] < 2:
        return {}
    result = vertex_expansion(g, side=side, time_limit=time_limit, rng=rng)
    return {interval.witness.side: interval for interval in result.sides or (result,)}


def _linked(g: BipartiteGraph, side: Side) -> BipartiteGraph:
    """Return the graph without the isolated vertices of one side."""
    if side == "right":
        return _linked(g.T, "left").T
    degrees = g.left_degrees[g.left_degrees > 0]
    return BipartiteGraph(degrees.size, g.n_right, np.concatenate([[0], np.cumsum(degrees)]), g.indices)


# --- drawing and checking ---


def _draw(cell: Cell, family: str | Family, rng: np.random.Generator) -> BipartiteGraph:
    pairs = cell.n_left * cell.n_right
    if cell.n_edges > pairs:
        raise GenerationError(f"{cell.n_edges} edges exceed the {pairs} pairs of {cell.n_left} x {cell.n_right}")
    draw = _radix_layer if family == "radix" else as_family(family)
    return draw(cell.n_left, cell.n_right, cell.n_edges, rng)


def _radix_layer(n_left: int, n_right: int, n_edges: int, rng: np.random.Generator) -> BipartiteGraph:
    """Return the first layer of the RadiX-Net of radices (r, N'/r), N' the greatest common divisor of the sizes.

    It has ``lcm(n_left, n_right) * r`` edges, r >= 2 a divisor of N', and no chance in it.
    """
    modulus, step = math.gcd(n_left, n_right), math.lcm(n_left, n_right)
    radices = [r for r in range(2, modulus + 1) if modulus % r == 0]
    if n_edges not in [step * r for r in radices]:
        below = [step * r for r in radices if step * r < n_edges][-1:]
        above = [step * r for r in radices if step * r > n_edges][:1]
        nearest = " and ".join(map(str, below + above)) or "none"
        raise GenerationError(
            f"no first layer of a RadiX-Net of two radices is {n_left} x {n_right} with {n_edges} edges; the nearest "
            f"feasible n_edges: {nearest}"
        )
    radix = n_edges // step
    system = [radix, modulus // radix] if radix < modulus else [radix]
    widths = [n_left // modulus, n_right // modulus, 1]
    return radix_net([system], widths[: len(system) + 1]).layers[0]


def _checked(name: str, columns: Any) -> Record:
    """Return what a measure gave with plain values; nan and infinities, which JSON does not have, become None."""
    if not isinstance(columns, Mapping) or not all(isinstance(column, str) for column in columns):
        raise ValueError(f"measure {name!r} must return a dictionary with names as keys, got {columns!r}")
    record: Record = {}
    for column, value in columns.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, float) and not math.isfinite(plain):
            plain = None
        if not is_value(plain):
            raise ValueError(f"measure {name!r} must return numbers, got {column} = {value!r}")
        record[column] = plain
    return record


def is_value(value: object) -> bool:
    """Tell whether a record may hold it: what every format gives back."""
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
