"""Plots of a study: results and an ``ax`` in, the Axes out.

Families differ in colour, line style and marker, so they remain apart in colour-blind vision and in grey. Degrees are
evenly spaced, whatever their distance; everything on one grey stripe has the degree below it, families side by side.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from expandergraphs._study_summary import Summary
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.plotting import legend_above, style
from expandergraphs.results import number
from expandergraphs.study import Study

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DEGREE = "degree (edges per vertex of the larger side)"
_ASIDE, _STRIPE = 0.14, 0.92  # from one family to the next, at most, and the width of all; degrees are 1 apart
_TICKS = 12
_Series: TypeAlias = tuple[dict[str, Any], NDArray[np.float64], list[Summary]]  # style, positions, values


def figures_of(result: Study) -> dict[str, "Figure"]:
    """Return a figure for each size, by a name fit for a file: the expansion of both sides, and sigma_2 where measured.

    Sizes none of whose graphs were measured have no figure.

    Parameters
    ----------
    result : Study

    Returns
    -------
    dict {str: matplotlib.figure.Figure}

    Raises
    ------
    ValueError
        If `result` is no Study.

    Examples
    --------
    >>> from expandergraphs import study
    >>> list(figures_of(study(["regular", "random"], [8], [2, 3], 3, ["expansion", "spectrum"])))
    ['8x8']
    """
    from matplotlib.figure import Figure

    if not isinstance(result, Study):
        raise ValueError(f"a Study is needed, got {type(result).__name__}")
    figures = {}
    for n_left, n_right in dict.fromkeys((record["n_left"], record["n_right"]) for record in result.records):
        part = result.where(n_left=n_left, n_right=n_right, refused=None)
        plots: dict[str, Callable[[Axes], Axes]] = {
            "left_alpha_upper": partial(plot_expansion, part, side="left"),
            "right_alpha_upper": partial(plot_expansion, part, side="right"),
            "sigma2": partial(plot_sigma2, part),
        }
        measured = {column for record in part.records for column, value in record.items() if value is not None}
        plots = {column: plot for column, plot in plots.items() if column in measured}
        if plots:
            figure = Figure(figsize=(5 * len(plots), 4.2), layout="constrained")
            figure.suptitle(f"{n_left} x {n_right}")
            for plot, ax in zip(plots.values(), figure.subplots(1, len(plots), squeeze=False)[0], strict=True):
                plot(ax)
            figures[f"{n_left}x{n_right}"] = figure
    return figures


def plot_expansion(result: Study, ax: "Axes", *, side: str = "left", linked: bool = False) -> "Axes":
    """Plot the vertex expansion of each family against the degree, as intervals.

    The marker is at the mean of the upper ends, and a broad bar reaches down to the mean of the lower ends: where every
    value is exact there is no bar. Whiskers span the limits of the family's mean with 95 % confidence; where the graphs
    are too few for limits, the marker is hollow. The legend says which of these are there.

    Parameters
    ----------
    result : Study
        Of one size, with the measure "expansion".
    ax : matplotlib.axes.Axes
    side : {"left", "right"}
        The side of the sets S.
    linked : bool
        Leave out the isolated vertices of that side, of which one makes the expansion 0.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If the study has several sizes, or no such value.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import study
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_expansion(study("regular", [8], [2, 3], 3, ["expansion"]), ax) is ax
    True
    """
    if side not in ("left", "right"):
        raise ValueError(f"side must be 'left' or 'right', got {side!r}")
    degrees, series = _series(result, f"{side}_linked_alpha" if linked else f"{side}_alpha")
    for look, x, summaries in series:
        upper, lower = _draw(ax, look, x, summaries), [s.lower for s in summaries]
        ax.vlines(x, lower, upper, color=look["color"], lw=7, alpha=0.35, zorder=1)
    name = rf"expansion $\alpha$ of the {side} side" + (",\nisolated vertices left out" if linked else "")
    return _finished(ax, degrees, series, name)


def plot_sigma2(result: Study, ax: "Axes") -> "Axes":
    """Plot sigma_2 of each family against the degree, and at each degree the bound on it, which the families share.

    Markers are means over the graphs, whiskers and hollow markers as for `plot_expansion`.

    Parameters
    ----------
    result : Study
        Of one size, with the measure "spectrum".
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If the study has several sizes, or no such value.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import study
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_sigma2(study("regular", [8], [2, 3], 3, ["spectrum"]), ax) is ax
    True
    """
    degrees, series = _series(result, "sigma2")
    for look, x, summaries in series:
        _draw(ax, look, x, summaries)
    bounds = {s.degree: s.upper for s in result.summary("bound")}
    kinds = {record["bound_kind"] for record in result.records} - {None}
    name = "Ramanujan bound" if kinds == {"biregular"} else "Ramanujan bound\n(average degrees)"
    at, reach = np.arange(len(degrees)), _aside(len(series)) * len(series) / 2
    ax.hlines([bounds[d] for d in degrees], at - reach, at + reach, color="0.35", lw=1, label=name, zorder=0)
    return _finished(ax, degrees, series, r"second singular value $\sigma_2$")


def plot_degrees(graphs: Mapping[str, BipartiteGraph], ax: "Axes", *, side: str = "right") -> "Axes":
    """Plot the degree histogram of one side of each graph: the fraction of its vertices with each degree.

    Parameters
    ----------
    graphs : mapping {name: BipartiteGraph}
    ax : matplotlib.axes.Axes
    side : {"left", "right"}

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If there is no graph, or a graph has no vertex on that side.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import random_left_regular
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_degrees({"X-Net": random_left_regular(20, 20, 3, rng=0)}, ax, side="right") is ax
    True
    """
    if side not in ("left", "right"):
        raise ValueError(f"side must be 'left' or 'right', got {side!r}")
    degrees = {name: g.left_degrees if side == "left" else g.right_degrees for name, g in graphs.items()}
    if not degrees or not all(of.size for of in degrees.values()):
        raise ValueError(f"plot_degrees needs graphs with {side} vertices, got {dict(graphs)}")
    for k, (name, of) in enumerate(degrees.items()):
        fractions = np.bincount(of) / of.size
        first = max(0, int(of.min()) - 1)  # one empty degree on each side shows where the histogram ends
        x, y = np.arange(first, fractions.size + 1), np.append(fractions, 0)[first:]
        look = style(k)
        ax.plot(x, y, drawstyle="steps-mid", label=name, markevery=y > 0, **look)
    ax.set(xlabel=f"degree of {side} vertices", ylabel=f"fraction of the {side} vertices")
    ax.locator_params(axis="x", integer=True)
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def _series(result: Study, quantity: str) -> tuple[list[float], list[_Series]]:
    """Return the degrees, and the style, the positions and the summaries of each family."""
    sizes = dict.fromkeys((record["n_left"], record["n_right"]) for record in result.records)
    if len(sizes) > 1:
        listed = ", ".join(f"{n_left} x {n_right}" for n_left, n_right in sizes)
        raise ValueError(f"a plot shows one size, and the study has {listed}; choose by result.where(n_left=...)")
    summaries = sorted(result.summary(quantity), key=lambda s: s.degree)
    if not summaries:
        raise ValueError(f"no graph of the study has a value of {quantity!r}")
    degrees = list(dict.fromkeys(s.degree for s in summaries))
    families = list(dict.fromkeys(record["family"] for record in result.records))
    series = []
    for k, family in enumerate(families):
        mine = [s for s in summaries if s.family == family]
        aside = _aside(len(families)) * (k - (len(families) - 1) / 2)
        series.append((style(k) | {"label": family}, np.array([degrees.index(s.degree) for s in mine]) + aside, mine))
    return degrees, series


def _aside(n_families: int) -> float:
    return min(_ASIDE, _STRIPE / n_families)


def _draw(ax: "Axes", look: dict[str, Any], x: NDArray[np.float64], summaries: list[Summary]) -> NDArray[np.float64]:
    """Draw the means of the upper ends, joined, with whiskers, or hollow without; return them."""
    upper, low, high = (np.array([getattr(s, end) for s in summaries]) for end in ("upper", "low", "high"))
    known = np.isfinite(low) & np.isfinite(high)
    ax.plot(x, upper, zorder=3, **look)
    if not known.all():
        ax.plot(x[~known], upper[~known], zorder=4, **look | {"linestyle": "", "mfc": "white", "label": "_hollow"})
    margins = np.stack([upper - low, high - upper])[:, known]
    ax.errorbar(
        x[known], upper[known], margins, fmt="none", ecolor=look["color"], elinewidth=1.2, capsize=3.5, zorder=2
    )
    return upper


def _finished(ax: "Axes", degrees: list[float], series: list[_Series], name: str) -> "Axes":
    """Label the axes, put a stripe behind each degree, and the legend above whatever is drawn."""
    shown = range(0, len(degrees), -(-len(degrees) // _TICKS))
    ax.set_xticks(shown, [number(degrees[i]) for i in shown])
    reach = min(_STRIPE, _aside(len(series)) * len(series) + 0.08) / 2
    for at in range(len(degrees)):
        ax.axvspan(at - reach, at + reach, color="0.94", lw=0, zorder=-1)
    aside = ",\nfamilies side by side" if len(series) > 1 else ""
    ax.set(xlabel=_DEGREE + aside, ylabel=name)
    handles, labels = ax.get_legend_handles_labels()
    for handle, label in _signs([s for _, _, summaries in series for s in summaries]):
        handles, labels = [*handles, handle], [*labels, label]
    top = ax.dataLim.y1 or 1
    ax.set_ylim(-0.04 * top, top)  # whole markers at 0
    legend_above(ax, handles, labels)
    return ax


def _signs(summaries: list[Summary]) -> Iterator[tuple["Artist", str]]:
    """Yield what explains whiskers, bars and hollow markers, as far as they are drawn."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.path import Path

    limits = [math.isfinite(s.low) and math.isfinite(s.high) for s in summaries]
    sign: dict[str, Any] = {"color": "0.35", "linestyle": "", "ms": 9}
    if any(limits):
        ends = [(-0.3, -1), (0.3, -1), (0, -1), (0, 1), (-0.3, 1), (0.3, 1)]
        yield Line2D([], [], marker=Path(ends, [1, 2] * 3), **sign), "95 % limits of the mean"
    if not all(limits):
        yield Line2D([], [], marker="o", mfc="white", **sign | {"ms": 5.5}), "too few graphs for limits"
    if any(s.lower < s.upper for s in summaries):
        yield Patch(color="0.35", alpha=0.35, lw=0), "proved to attained"
