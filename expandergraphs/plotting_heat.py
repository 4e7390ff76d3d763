"""Plots of heat: networks or results and an ``ax`` in, the Axes out.

Heat is shown by a colour map that is even to the eye and rises in lightness, so it survives colour-blind vision and
grey. The axis of times is logarithmic where that spaces them more evenly; saturation, and time 0 where it has no place
on a logarithmic axis, stand aside.

Small networks drawn with their heat, and as an animation: `expandergraphs.plotting_heat_network`.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.scree import Scree
from expandergraphs.heat.signature import HeatSignature, as_times
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.plotting import MOST_LABELS, checked, layer_labels, legend, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

Array = NDArray[np.float64]

COLOUR_MAP = "viridis"
_UNITS = 60  # as many rows can be told apart
_GAP = 0.02  # between times and what stands aside, as a part of the axis


def plot_signature(net: LayeredGraph | BipartiteGraph, signature: HeatSignature, ax: "Axes") -> "Axes":
    """Plot heat over time: one row a layer, the mean of its units; in networks of at most 60 units one row a unit.

    Colours are logarithmic where most of the heats are below a twentieth of the largest, those below a millionth of it
    left out; these are then black, as are layers that heat never reaches.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
    signature : HeatSignature
        Of `net`.
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If the signature is not one of this network, of one source vector and at least one time.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import heat_signature, radix_net
    >>> ax, net = Figure(layout="constrained").subplots(), radix_net([[2, 2]], [1, 1, 1])
    >>> plot_signature(net, heat_signature(net, [0, 0.5, 1, 2]), ax) is ax
    True
    """
    from matplotlib import colormaps

    net = as_net(net)
    values = heat_of(net, signature)
    times, where = np.unique(signature.times, return_index=True)
    values, offsets, each = values[where], net.node_offsets, net.n_nodes <= _UNITS
    if not each:
        layers = pairwise(offsets)
        values = np.stack([values[:, a:b].mean(axis=1) if b > a else values[:, 0] * np.nan for a, b in layers], axis=1)
    axis, norm = _TimeAxis(times, 0.05), _norm(values)
    lowest = norm.vmin or 0.0
    below = lowest > 0 and bool((values < lowest).any())
    values = np.maximum(values, lowest / 10 if lowest > 0 else lowest)  # zeros are below the scale, not missing
    cells = np.insert(values.T, axis.gaps, np.nan, axis=1)
    rows, bounds = np.arange(len(cells) + 1), offsets if each else np.arange(len(cells) + 1)
    colours = colormaps[COLOUR_MAP].with_extremes(under="black")
    mesh = ax.pcolormesh(axis.edges, rows, cells, norm=norm, cmap=colours, rasterized=True)
    ax.hlines(bounds[1:-1], *axis.edges[[0, -1]], color="white", lw=min(0.6, 8 / bounds.size))
    axis.set_on(ax)
    shown = np.arange(0, len(net.widths), -(-len(net.widths) // MOST_LABELS))
    ax.set_yticks(((bounds[:-1] + bounds[1:]) / 2)[shown], np.array(layer_labels(net))[shown])
    ax.tick_params(axis="y", length=0)
    ax.set(ylabel="layer (units)", xlim=axis.edges[[0, -1]], ylim=(rows[-1], 0))
    label = "heat of the unit" if each else "mean heat of the layer's units"
    ax.figure.colorbar(mesh, ax=ax, label=label, extend="min" if below else "neither")
    return ax


def plot_heat_distance(
    distances: Mapping[str, ArrayLike], times: ArrayLike | str, ax: "Axes", *, tolerance: float = 1e-8
) -> "Axes":
    """Plot the distance F of several networks to the reference against time.

    The axis of distances is logarithmic; where some are zero, or no larger than the tolerance with which they were
    computed, it is linear from 0 to the first decade above.

    Parameters
    ----------
    distances : mapping {name: array-like, shape (n_times,)}
        As `heat_distance` returns them.
    times : array-like, shape (n_times,)
    ax : Axes
    tolerance : float
        That of `heat_distance`.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If there is no curve, or a distance is negative or has no time.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_heat_distance({"thin": [0, 0.3, 0.2]}, [0, 1, 2], ax) is ax
    True
    """
    times = as_times(times)
    curves = {name: np.asarray(values, dtype=np.float64).reshape(-1) for name, values in distances.items()}
    if not curves or not times.size:
        raise ValueError("plot_heat_distance needs at least one curve and one time")
    for name, values in curves.items():
        if values.shape != times.shape or not (values >= 0).all():
            raise ValueError(f"{name!r} needs {times.size} distances of at least 0, one a time, got {values}")
    _draw_curves({name: (times, values, None) for name, values in curves.items()}, ax)
    every = np.concatenate(list(curves.values()))
    above = every[every > tolerance]
    if above.size == every.size:
        ax.set_yscale("log")
    elif above.size:
        decade = 10.0 ** math.floor(math.log10(above.min()))
        ax.set_yscale("symlog", linthresh=decade, linscale=0.5)
        ax.set_ylim(-decade / 5, 2 * above.max())  # room for whole markers
    ax.set_ylabel(r"distance $F$ to the reference")
    legend(ax)
    return ax


def plot_scree(curves: Mapping[str, Scree], ax: "Axes") -> "Axes":
    """Plot scree curves alpha(K, t) against time; the interval is shaded where a curve is not exact.

    Parameters
    ----------
    curves : mapping {name: Scree}
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If there is no curve, or one without times.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import radix_net, scree
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_scree({"RadiX-Net": scree(radix_net([[2, 2]], [1, 1, 1]), [0, 1, 2])}, ax) is ax
    True
    """
    curves = checked("plot_scree", Scree, curves)
    if not all(curve.times.size for curve in curves.values()):
        raise ValueError("plot_scree needs at least one curve, and each needs a time")
    labelled = {}
    for name, curve in curves.items():
        interval = None if curve.exact else (curve.lower, curve.upper)
        label = f"{name}, $K = {curve.n_kept}$ of {curve.n_nodes}"
        labelled[label if curve.exact else f"{label}, shaded: interval"] = (curve.times, np.asarray(curve), interval)
    _draw_curves(labelled, ax)
    ax.set(ylabel=r"share $\alpha(K, t)$ of the $K$ smoothest modes", ylim=(0, 1.03), yticks=np.linspace(0, 1, 6))
    legend(ax)
    return ax


class _TimeAxis:
    """Where times are drawn: as they are, but inf and, on a logarithmic scale, 0 stand in bands aside.

    The width of a band is a part of the range of the other times, or of their logarithms.
    """

    def __init__(self, times: Array, width: float) -> None:
        finite = np.unique(times[np.isfinite(times)])
        self.log = _even_by_ratio(finite[finite > 0])
        self.inner = finite[self.is_inner(finite)]
        self.aside = np.unique(times[~self.is_inner(times)])
        x = np.log10(self.inner) if self.log else self.inner
        low, high = (float(x[0]), float(x[-1])) if x.size else (0.0, 0.0)
        low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
        near, self.width = _GAP * (high - low), width * (high - low)
        far = near + self.width
        self.middles = low - (near + far) / 2, high + (near + far) / 2
        before = [low - far, low - near] if 0 in self.aside else []
        after = [high + near, high + far] if math.inf in self.aside else []
        between = [low, *((x[1:] + x[:-1]) / 2).tolist(), high] if x.size else []
        self.bands = [self.unscaled(np.array(band)) for band in (before, after) if band]
        self.edges = self.unscaled(np.array(before + between + after))  # of one cell a time, and of gaps
        self.gaps = ([1] if before else []) + ([times.size - 1] if after and between else [])
        self.limits = self.unscaled(np.array([*(before or [low - near]), *(after or [high + near])])[[0, -1]])

    def unscaled(self, x: Array) -> Array:
        """Return positions along the axis as times."""
        return 10.0**x if self.log else x

    def is_inner(self, times: Array) -> NDArray[np.bool_]:
        """Tell which times do not stand aside."""
        return np.isfinite(times) & ((times > 0) | (not self.log))

    def place(self, times: Array, shift: float = 0.0) -> Array:
        """Return where times are drawn; those in a band are shifted by a part of its width."""
        in_band = self.unscaled(np.where(times == 0, *self.middles) + shift * self.width)
        return np.where(self.is_inner(times), times, in_band)

    def set_on(self, ax: "Axes") -> None:
        """Set the scale, the ticks and the label."""
        from matplotlib.ticker import FixedLocator, MaxNLocator

        ticks, minor, first, last = self.inner, np.empty(0), self.inner.min(initial=math.inf), self.inner.max(initial=0)
        decades = self.log and last >= 100 * first
        if self.log:
            ax.set_xscale("log")
            powers = 10.0 ** np.arange(math.floor(math.log10(first)), math.log10(last) + 1)
            minor = np.outer(powers, np.arange(2, 10)).ravel()
            ticks = powers if decades else np.outer(powers, [1, 2, 5]).ravel()
        elif ticks.size > 1:
            ticks = np.asarray(MaxNLocator(6).tick_values(first, last))
        ticks, minor = (x[(x >= first * (1 - 1e-9)) & (x <= last * (1 + 1e-9))] for x in (ticks, minor))
        ticks = ticks[:: max(1, -(-ticks.size // 8))]
        labels = [f"$10^{{{math.log10(tick):.0f}}}$" if decades else f"{tick:g}" for tick in ticks.tolist()]
        labels += ["\n0" if time == 0 else "\nsaturated" for time in self.aside]
        ax.set_xticks(np.concatenate([ticks, self.place(self.aside)]), labels)
        ax.xaxis.set_minor_locator(FixedLocator(minor.tolist()))
        ax.set_xlabel("time $t$")


def _even_by_ratio(times: Array) -> bool:
    """Tell whether ascending positive times span a decade and are spaced more evenly on a logarithmic axis."""
    if times.size < 2 or times[-1] < 10 * times[0]:
        return False
    linear, log = (np.diff(x).max() / (x[-1] - x[0]) for x in (times, np.log(times)))
    return bool(log <= linear)


def _draw_curves(curves: Mapping[str, tuple[Array, Array, tuple[Array, Array] | None]], ax: "Axes") -> None:
    """Draw values against times, and intervals around them; those in a band are markers, beside each other."""
    axis = _TimeAxis(np.concatenate([times for times, _, _ in curves.values()]), 0.03 + 0.02 * len(curves))
    for k, (name, (times, values, interval)) in enumerate(curves.items()):
        look, order = style(k), np.argsort(times, kind="stable")
        x, inner = axis.place(times, (k + 0.5) / len(curves) - 0.5)[order], axis.is_inner(times[order])
        y = values[order]
        ax.plot(x[inner], y[inner], label=name, markevery=max(1, int(inner.sum()) // 8), **look)
        ax.plot(x[~inner], y[~inner], **look | {"linestyle": ""})
        if interval is not None:
            lower, upper = (end[order] for end in interval)
            ax.fill_between(x[inner], lower[inner], upper[inner], color=look["color"], alpha=0.2, lw=0)
            ax.vlines(x[~inner], lower[~inner], upper[~inner], color=look["color"], lw=5, alpha=0.3)
    for band in axis.bands:
        ax.axvspan(*band.tolist(), color="0.93", lw=0, zorder=0)
    axis.set_on(ax)
    ax.set_xlim(*axis.limits.tolist())


def heat_of(net: LayeredGraph, signature: HeatSignature) -> Array:
    """Return the heat at each time and node, or raise ``ValueError``."""
    if signature.values.ndim != 2:
        raise ValueError(
            f"a plot shows one source vector, the signature has {signature.values.shape[2]}; choose by "
            "dataclasses.replace(signature, values=signature.values[:, :, 0])"
        )
    n_times, n_nodes = signature.values.shape
    if not n_times or not n_nodes or n_nodes != net.n_nodes:
        raise ValueError(
            f"heat at {n_times} times of {n_nodes} nodes cannot be plotted for {net!r}: one time is needed, "
            f"and {net.n_nodes} nodes"
        )
    return signature.values


def range_of(values: Array) -> tuple[float, float]:
    """Return the ends of a scale: from 0 on, unless there is negative heat that is not rounding."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if low < -1e-6 * abs(high) else (0.0, high or 1.0)


def _norm(values: Array) -> "Normalize":
    """Return a scale of colours, logarithmic where most values are small."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = range_of(values)
    seen = values[values > 1e-6 * high]
    if low == 0 and seen.size and np.median(seen) < high / 20:
        return LogNorm(seen.min(), high)
    return Normalize(low, high)
