"""Plots of a study: results and an ``ax`` in, the Axes out.

Families differ in colour, line style and marker, so they remain apart in colour-blind vision and in grey; where several
have a value at one degree they stand side by side. Degrees are evenly spaced, whatever their distance.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expandergraphs._study_summary import Summary
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.plotting import style
from expandergraphs.results import number
from expandergraphs.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DEGREE = "degree (edges per vertex of the larger side)"
_ASIDE = 0.14  # from one family to the next; degrees are 1 apart
_TICKS = 12


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
    are too few for limits, the marker is hollow.

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
        upper = _draw(ax, look, x, summaries)
        ax.vlines(x, [s.lower for s in summaries], upper, color=look["color"], lw=7, alpha=0.35, zorder=1)
    name = rf"expansion $\alpha$ of the {side} side" + (",\nisolated vertices left out" if linked else "")
    return _finished(ax, degrees, name)


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
    at, reach = np.arange(len(degrees)), _ASIDE * len(series) / 2
    ax.hlines([bounds[d] for d in degrees], at - reach, at + reach, color="0.35", lw=1, label=name, zorder=0)
    return _finished(ax, degrees, r"second singular value $\sigma_2$")


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


def _series(
    result: Study, quantity: str
) -> tuple[list[float], list[tuple[dict[str, Any], NDArray[np.float64], list[Summary]]]]:
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
        aside = _ASIDE * (k - (len(families) - 1) / 2)
        series.append((style(k) | {"label": family}, np.array([degrees.index(s.degree) for s in mine]) + aside, mine))
    return degrees, series


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


def _finished(ax: "Axes", degrees: list[float], name: str) -> "Axes":
    """Label the axes, and put the legend above whatever is drawn."""
    shown = range(0, len(degrees), -(-len(degrees) // _TICKS))
    ax.set_xticks(shown, [number(degrees[i]) for i in shown])
    ax.set(xlabel=_DEGREE, ylabel=name)
    hollow = any(line.get_label() == "_hollow" for line in ax.lines)
    labels = ax.get_legend_handles_labels()[1]
    rows = -(-len(labels) // 2) + any("\n" in label for label in labels) + hollow
    top = (ax.dataLim.y1 or 1) / (0.95 - 0.075 * rows)
    ax.set_ylim(-0.025 * top, top)  # whole markers at 0
    ax.legend(loc="upper left", ncols=2, title="hollow: too few graphs for limits" if hollow else None)
    return ax
