"""What a study says of each family: an interval for the mean over all its graphs, and which family lies higher."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandergraphs._study_graphs import Record
from expandergraphs.results import Table, number

CONFIDENCE = 0.95
_ROUNDING = 1e-9  # of values beside the ends of their range
_FEWEST_EQUAL = 5  # values; of fewer, the graphs unlike them may well be most of the family
_AT_LEAST_0 = re.compile(r"(left|right)_(alpha|linked_alpha|degree_\w+)|sigma\w+|gap|ratio|bound|sampled_\w+")
CAPTION = (
    "mean: over the graphs, a .. b where their values are known within intervals\n"
    "95 % limits: of the mean over the whole family, cut to what the quantity can be (no alpha is below 0), infinite "
    "where\nthe graphs are too few to say\n"
    "unresolved: where limits overlap"
)


@dataclass(frozen=True)
class Summary:
    """One quantity over the graphs of one family, size and number of edges.

    Attributes
    ----------
    quantity, family : str
    n_left, n_right, n_edges : int
    degree : float
        ``n_edges / max(n_left, n_right)``.
    graphs : int
        Number of graphs that have a value.
    lower, upper : float
        Means of the lower and of the upper ends; equal where every value is exact.
    low, high : float
        Limits of the mean over the family, with 95 % confidence; infinite where the graphs are too few to say.

    Notes
    -----
    A quantity may itself be known only within an interval, as the expansion of a large graph is. For k graphs drawn
    independently, with lower ends a_i and upper ends b_i, the mean over the family lies, with 95 % confidence, between

        mean(a) - t s(a) / sqrt(k)   and   mean(b) + t s(b) / sqrt(k),

    t the 97.5 % quantile of Student's law with k - 1 degrees of freedom, s the standard deviation: each end is a
    one-sided limit of 97.5 %, so the two together hold with 95 % whatever their dependence, and the unknown place of
    each value between its ends counts in full. What this assumes: means of k values are about normal.

    Limits are cut to what the quantity can be, which loses nothing, as the mean is not outside: no measure of this
    package is below 0; alpha is at most n' / floor(n / 2), n and n' the sizes of its side and of the other; the ratios
    of singular values are at most 1. A quantity is known by its name: one of your own with another name is not cut, nor
    one of the same name whose values lie outside.

    Where all k values are equal, a common thing as alpha is a fraction, s says nothing. Graphs unlike them may still be
    up to a fraction ``1 - 0.025^(1/k)`` of the family (31 % for k = 10), of a family without chance too. They count as
    being, on either side, as far off as the furthest value of any family of the study at that size and number of edges,
    and at least a step, the smallest difference between two of these values. What this cannot see: graphs further off.
    So another family in the study may widen these limits; and where no other value was seen, they have no width. Fewer
    than 5 equal values say nothing, and their limits are infinite.

    Two families are ordered where their intervals are disjoint, a cautious test: a difference found this way has
    p < 0.05, and p < 0.01 where the widths are equal. Nothing is corrected for the number of comparisons.
    """

    quantity: str
    family: str
    n_left: int
    n_right: int
    n_edges: int
    degree: float
    graphs: int
    lower: float
    upper: float
    low: float
    high: float

    def versus(self, other: "Summary") -> str:
        """Return "higher" or "lower" where the intervals are disjoint, else "unresolved"."""
        if self.low > other.high:
            return "higher"
        return "lower" if self.high < other.low else "unresolved"


def summarise(records: Iterable[Record], quantity: str) -> tuple[Summary, ...]:
    """Summarise a quantity for every size, number of edges and family; see `Study.summary`."""
    rows: list[dict[str, Any]] = [row for row in records if row["refused"] is None]
    if not rows:
        return ()
    ends = _columns_of(rows, quantity)
    cells: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        if None not in (row[ends[0]], row[ends[1]]):
            families = cells.setdefault((row["n_left"], row["n_right"], row["n_edges"]), {})
            families.setdefault(row["family"], []).append(row)
    found = []
    for families in cells.values():
        rows = [row for group in families.values() for row in group]
        seen = [np.unique(np.array([row[end] for row in rows], dtype=float)) for end in ends]
        found += [_summary(quantity, group, ends, seen) for group in families.values()]
    return tuple(found)


def table_of(records: Iterable[Record], quantity: str) -> Table:
    """Build the table of a quantity; see `Study.table`."""
    rows: list[dict[str, Any]] = list(records)
    found = {(s.n_left, s.n_right, s.n_edges, s.family): s for s in summarise(rows, quantity)}
    lines: list[list[object]] = []
    before, above = None, list[Summary]()
    for row in {(row["n_left"], row["n_right"], row["n_edges"], row["family"]): row for row in rows}.values():
        size = row["n_left"], row["n_right"], row["n_edges"]
        above = above if size == before else []
        first = ["", "", ""] if size == before else [f"{size[0]} x {size[1]}", size[2], number(row["degree"])]
        summary, before = found.get((*size, row["family"])), size
        if summary is None:
            lines.append([*first, row["family"], 0, "-", "-", row["refused"] or "no graph has a value"])
            continue
        orders: dict[str, list[str]] = {}
        for other in above:
            orders.setdefault(summary.versus(other), []).append(other.family)
        mean, limits = _interval(summary.lower, summary.upper), _interval(summary.low, summary.high)
        order = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in orders.items())
        lines.append([*first, row["family"], summary.graphs, mean, limits, order])
        above.append(summary)
    headings = ["size", "edges", "degree", "family", "graphs", "mean", "95 % limits", "against those above"]
    return Table.of(quantity, headings, lines, left=["size", "family", "against those above"], caption=CAPTION, keys=4)


def _interval(lower: float, upper: float) -> str:
    return number(lower) if lower == upper else f"{number(lower)} .. {number(upper)}"


def _columns_of(rows: Sequence[dict[str, Any]], quantity: str) -> tuple[str, str]:
    """Return the columns of the lower and the upper ends."""
    columns = dict.fromkeys(column for row in rows for column in row)
    numeric = [c for c in columns if all(row[c] is None or isinstance(row[c], int | float) for row in rows)]
    for ends in ((quantity, quantity), (f"{quantity}_lower", f"{quantity}_upper")):
        if set(ends) <= set(numeric):
            return ends
    known = [column.removesuffix("_lower") for column in numeric if not column.endswith("_upper")]
    raise ValueError(f"the records have no numbers named {quantity!r}; there are {', '.join(known) or 'none'}")


def _summary(
    quantity: str, group: Sequence[dict[str, Any]], ends: tuple[str, str], seen: Sequence[NDArray[np.float64]]
) -> Summary:
    values, first = np.array([[row[end] for row in group] for end in ends], dtype=float), group[0]
    # Rounding must not move the mean of equal values away from them.
    lower, upper = np.clip(values.mean(axis=1), values.min(axis=1), values.max(axis=1)).tolist()
    low = lower - _margin(values[0], seen[0], lower - float(seen[0][0]))
    high = upper + _margin(values[1], seen[1], float(seen[1][-1]) - upper)
    least, most = _possible(quantity, first["n_left"], first["n_right"])
    if values.min() < least - _ROUNDING or values.max() > most + _ROUNDING:  # another quantity of this name
        least, most = -math.inf, math.inf
    return Summary(
        quantity=quantity,
        **{name: first[name] for name in ("family", "n_left", "n_right", "n_edges", "degree")},
        graphs=len(group),
        lower=lower,
        upper=upper,
        low=max(low, min(least, lower)) if math.isfinite(low) else low,
        high=min(high, max(most, upper)) if math.isfinite(high) else high,
    )


def _possible(quantity: str, n_left: int, n_right: int) -> tuple[float, float]:
    """Return ends between which every value of a quantity lies; infinite where none is known."""
    most = {"left_alpha": n_right / max(1, n_left // 2), "right_alpha": n_left / max(1, n_right // 2)}
    most |= {"ratio": 1.0, "sigma2_normalised": 1.0}
    return 0.0 if _AT_LEAST_0.fullmatch(quantity) else -math.inf, most.get(quantity, math.inf)


def _margin(values: NDArray[np.float64], seen: NDArray[np.float64], furthest: float) -> float:
    """Return how far the family's mean may lie from that of its values, to the side where others lie `furthest` off."""
    from scipy.special import stdtrit

    k, tail = values.size, (1 - CONFIDENCE) / 2
    if values.min() < values.max():
        return float(stdtrit(k - 1, 1 - tail) * values.std(ddof=1) / math.sqrt(k))
    if k < _FEWEST_EQUAL:
        return math.inf
    step = min(np.diff(seen).tolist(), default=0.0)
    return float((1 - tail ** (1 / k)) * max(step, furthest))
