"""Plots of heat: networks or results and an ``ax`` in, the Axes out.

Heat is shown by a colour map that is even to the eye and rises in lightness, so it survives colour-blind vision and
grey. The axis of times is logarithmic where that spaces them more evenly; saturation, and time 0 where it has no place
on a logarithmic axis, stand aside.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs._checks import as_integer
from expandergraphs._files import as_path, replacing
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.scree import Scree
from expandergraphs.heat.signature import HeatSignature, as_times, heat_signature
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.plotting import COLOURS, draw_layered
from expandergraphs.plotting_study import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_MAP = "viridis"
_UNITS = 60  # as many rows can be told apart
_CELLS = 1000
_LABELS = 18  # along an axis
_GAP = 0.02  # between times and what stands aside, as a part of the axis


def plot_signature(net: LayeredGraph | BipartiteGraph, signature: HeatSignature, ax: "Axes") -> "Axes":
    """Plot heat over time: one row a layer, the mean of its units; in networks of at most 60 units one row a unit.

    Colours are logarithmic where most of the heats are below a twentieth of the largest, those below a millionth of it
    left out; these are then black, as are layers that heat never reaches.

    Raises
    ------
    ValueError
        If the signature is not one of this network, of one source vector and at least one time.
    """
    from matplotlib import colormaps

    net = as_net(net)
    values = _heat_of(net, signature)
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
    colours = colormaps[_MAP].with_extremes(under="black")
    mesh = ax.pcolormesh(axis.edges, rows, cells, norm=norm, cmap=colours, rasterized=True)
    ax.hlines(bounds[1:-1], *axis.edges[[0, -1]], color="white", lw=min(0.6, 8 / bounds.size))
    axis.set_on(ax)
    shown = np.arange(0, len(net.widths), -(-len(net.widths) // _LABELS))
    ax.set_yticks(((bounds[:-1] + bounds[1:]) / 2)[shown], np.array(_layer_labels(net))[shown])
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

    Raises
    ------
    ValueError
        If there is no curve, or a distance is negative or has no time.
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
    ax.legend()
    return ax


def plot_scree(curves: Mapping[str, Scree], ax: "Axes") -> "Axes":
    """Plot scree curves alpha(K, t) against time; the interval is shaded where a curve is not exact.

    Raises
    ------
    ValueError
        If there is no curve, or one without times.
    """
    if not curves or not all(curve.times.size for curve in curves.values()):
        raise ValueError("plot_scree needs at least one curve, and each needs a time")
    labelled = {}
    for name, curve in curves.items():
        interval = None if curve.exact else (curve.lower, curve.upper)
        label = f"{name}, $K = {curve.n_kept}$ of {curve.n_nodes}"
        labelled[label if curve.exact else f"{label}, shaded: interval"] = (curve.times, np.asarray(curve), interval)
    _draw_curves(labelled, ax)
    ax.set(ylabel=r"share $\alpha(K, t)$ of the $K$ smoothest modes", ylim=(0, 1.03))
    ax.legend()
    return ax


def draw_adjacency(net: LayeredGraph | BipartiteGraph, ax: "Axes") -> "Axes":
    """Draw the adjacency matrix: dark where nodes are joined, white where no two are; weights do not matter.

    Thin lines part the layers; skips lie beside the blocks along the diagonal. At most 1,000 x 1,000 cells are drawn:
    in larger networks a cell stands for several nodes, and shows the fraction of their pairs that are edges, on a
    logarithmic scale.

    Raises
    ------
    ValueError
        If the network has no nodes.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection
    from matplotlib.colors import ListedColormap, LogNorm

    net = as_net(net)
    n = net.n_nodes
    if n == 0:
        raise ValueError(f"{net!r} has no nodes to draw")
    filled = _cells_filled(net)
    faintest = 10.0 ** min(-1, math.floor(math.log10(filled.min(where=filled > 0, initial=1))))
    greys = ListedColormap(colormaps["Greys"](np.linspace(0.15, 1, 256)))  # the faintest cell is no white one
    image = np.ma.masked_equal(filled, 0)
    ax.imshow(image, cmap=greys, norm=LogNorm(faintest, 1), extent=(0, n, n, 0), interpolation="antialiased")
    for draw_lines in (ax.hlines, ax.vlines):
        draw_lines(net.node_offsets[1:-1], 0, n, color=COLOURS[0], lw=min(0.5, 5 / len(net.widths)))
    centres = (net.node_offsets[:-1] + net.node_offsets[1:]) / 2
    shown = list(range(len(net.widths)))
    if len(shown) > _LABELS:  # only layers whose labels have room
        shown = shown[:1]
        for k, centre in enumerate(centres):
            if centre >= centres[shown[-1]] + n / _LABELS:
                shown.append(k)
    places = _apart(centres[shown] / n, 1 / _LABELS) * n
    labels = np.array(_layer_labels(net))[shown]
    ax.set_xticks(places, labels, rotation=90, fontsize="small")
    ax.set_yticks(places, labels, fontsize="small")
    ax.tick_params(length=0, pad=9)
    # A line leads from each layer to its label, which may have had to give way to others.
    out = np.zeros_like(places)
    ends = np.stack([np.stack([out, centres[shown]], axis=1), np.stack([out - 0.025, places], axis=1)], axis=1)
    for axis_ends, transform in ((ends, ax.get_yaxis_transform()), (ends[:, :, ::-1], ax.get_xaxis_transform())):
        ax.add_collection(
            LineCollection(axis_ends.tolist(), colors="0.4", linewidths=0.6, transform=transform, clip_on=False),
            autolim=False,
        )
    ax.set(xlim=(0, n), ylim=(n, 0), xlabel="layer (nodes)", ylabel="layer (nodes)")
    return ax


def adjacency_figure(nets: Mapping[str, LayeredGraph | BipartiteGraph]) -> "Figure":
    """Return a figure of several networks' adjacency matrices, in the same shades.

    Raises
    ------
    ValueError
        If there is no network, or one without nodes.
    """
    from matplotlib.figure import Figure

    if not nets:
        raise ValueError("adjacency_figure needs at least one network")
    figure = Figure(figsize=(4.4 * len(nets) + 0.9, 4.6), layout="constrained")
    panels = figure.subplots(1, len(nets), squeeze=False)[0]
    for ax, (name, net) in zip(panels, nets.items(), strict=True):
        draw_adjacency(net, ax).set_title(f"{name}, {net.n_edges:,} edge{'s' if net.n_edges != 1 else ''}")
    images = [ax.images[0] for ax in panels]
    for image in images:
        image.set_clim(min(image.norm.vmin for image in images), 1)
    figure.colorbar(images[0], ax=list(panels), label="fraction of pairs that are edges; white: none", shrink=0.7)
    return figure


def draw_heat(net: LayeredGraph | BipartiteGraph, signature: HeatSignature, ax: "Axes", time_index: int = -1) -> "Axes":
    """Draw a small network at one of the signature's times, its nodes coloured by their heat; skips are dashed.

    The colours are the same for all times of the signature.

    Raises
    ------
    ValueError
        If the signature is not one of this network, of one source vector, or has no such time.
    """
    net = as_net(net)
    values = _heat_of(net, signature)
    if as_integer("time_index", time_index, minimum=-len(values)) >= len(values):
        raise ValueError(f"time_index must be one of the signature's {len(values)} times, got {time_index}")
    _paint(_draw_nodes(net, values, ax), net, values[time_index], float(signature.times[time_index]), ax)
    return ax


def heat_gif(
    net: LayeredGraph | BipartiteGraph,
    times: ArrayLike | str,
    path: str | Path,
    *,
    sources: ArrayLike | None = None,
    laplacian: str = "combinatorial",
    frames_per_second: float = 8,
    progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Write an animation of heat that spreads through a small network, one frame a time, as a GIF.

    The file is there once it is complete. Interrupted, what stood there before is unchanged.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
    times, sources, laplacian
        See `heat_signature`; one source vector.
    path : str or path
        Ends in ``.gif``.
    frames_per_second : float
        Between 0 and 50, which is as fast as a GIF can be relied on.
    progress : callable (done, total), optional
        Called before the first frame and after each.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ValueError
        If an argument is none of these, or there is no time.
    """
    from matplotlib.animation import PillowWriter
    from matplotlib.figure import Figure

    net, path = as_net(net), as_path("path", path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"an animation is written as .gif, got {path}")
    if not isinstance(frames_per_second, Real) or not 0 < frames_per_second <= 50:
        raise ValueError(f"frames_per_second must be a number above 0 and at most 50, got {frames_per_second!r}")
    signature = heat_signature(net, times, sources=sources, laplacian=laplacian)
    values = _heat_of(net, signature)
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    ax = figure.subplots()
    nodes = _draw_nodes(net, values, ax)
    with replacing(path) as file, TemporaryDirectory() as folder:
        unfinished = Path(folder) / "heat.gif"
        writer = PillowWriter(fps=frames_per_second)
        writer.setup(figure, unfinished, dpi=100)
        if progress is not None:
            progress(0, len(values))
        for k, (heat, time) in enumerate(zip(values, signature.times.tolist(), strict=True)):
            _paint(nodes, net, heat, time, ax)
            if k == 0:  # the layout of the first frame stays: nothing moves, and it takes half of the time
                figure.draw_without_rendering()
                figure.set_layout_engine("none")
            writer.grab_frame()
            if progress is not None:
                progress(k + 1, len(values))
        writer.finish()
        file.write(unfinished.read_bytes())
    return path


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
        style, order = _style(k), np.argsort(times, kind="stable")
        x, inner = axis.place(times, (k + 0.5) / len(curves) - 0.5)[order], axis.is_inner(times[order])
        y = values[order]
        ax.plot(x[inner], y[inner], label=name, markevery=max(1, int(inner.sum()) // 8), **style)
        ax.plot(x[~inner], y[~inner], **style | {"linestyle": ""})
        if interval is not None:
            lower, upper = (end[order] for end in interval)
            ax.fill_between(x[inner], lower[inner], upper[inner], color=style["color"], alpha=0.2, lw=0)
            ax.vlines(x[~inner], lower[~inner], upper[~inner], color=style["color"], lw=5, alpha=0.3)
    for band in axis.bands:
        ax.axvspan(*band.tolist(), color="0.93", lw=0, zorder=0)
    axis.set_on(ax)
    ax.set_xlim(*axis.limits.tolist())


def _heat_of(net: LayeredGraph, signature: HeatSignature) -> Array:
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


def _range(values: Array) -> tuple[float, float]:
    """Return the ends of a scale: from 0 on, unless there is negative heat that is not rounding."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if low < -1e-6 * abs(high) else (0.0, high or 1.0)


def _norm(values: Array) -> "Normalize":
    """Return a scale of colours, logarithmic where most values are small."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = _range(values)
    seen = values[values > 1e-6 * high]
    if low == 0 and seen.size and np.median(seen) < high / 20:
        return LogNorm(seen.min(), high)
    return Normalize(low, high)


def _layer_labels(net: LayeredGraph) -> list[str]:
    names = net.names or [f"layer {k}" for k in range(len(net.widths))]
    return [f"{name} ({width:,})" for name, width in zip(names, net.widths, strict=True)]


def _cells_filled(net: LayeredGraph) -> Array:
    """Return for every two groups of nodes the fraction of their pairs that are edges."""
    n, offsets = net.n_nodes, net.node_offsets
    m = min(n, _CELLS)
    group = np.arange(n) * m // n
    count = np.zeros(m * m, dtype=np.int64)
    for (s, t), block in net.blocks.items():
        rows = np.repeat(group[offsets[s] : offsets[s + 1]], block.left_degrees)
        count += np.bincount(rows * m + group[offsets[t] + block.indices], minlength=m * m)
    matrix, sizes = count.reshape(m, m), np.bincount(group)
    filled: Array = (matrix + matrix.T) / np.outer(sizes, sizes)
    return filled


def _apart(places: Array, gap: float) -> Array:
    """Move ascending places within [0, 1] as far apart as asked."""
    moved = places.copy()
    for k in range(1, moved.size):
        moved[k] = max(moved[k], moved[k - 1] + gap)
    moved[-1] = min(moved[-1], 1.0)
    for k in range(moved.size - 1, 0, -1):
        moved[k - 1] = min(moved[k - 1], moved[k] - gap)
    return moved


def _draw_nodes(net: LayeredGraph, values: Array, ax: "Axes") -> list["Collection"]:
    """Draw a network in grey and a colour bar for all values; return its nodes, one collection a layer."""
    from matplotlib.colors import Normalize

    start = len(ax.collections)
    draw_layered(net, ax)
    drawn = list(ax.collections)[start:]
    edges, nodes = drawn[: len(net.blocks)], drawn[len(net.blocks) :]
    for block in edges:
        block.set_color("0.6")
    scale = Normalize(*_range(values))
    for layer in nodes:
        layer.set(norm=scale, cmap=_MAP, linewidth=0.8, sizes=[90.0])
    ax.set_xticks(range(len(net.widths)), net.names or list(map(str, range(len(net.widths)))))
    ax.figure.colorbar(nodes[0], ax=ax, label="heat of the node")
    return nodes


def _paint(nodes: list["Collection"], net: LayeredGraph, heat: Array, time: float, ax: "Axes") -> None:
    """Colour the nodes by their heat, and name the time."""
    for layer, its_heat in zip(nodes, np.split(heat, net.node_offsets[1:-1]), strict=True):
        layer.set_array(its_heat)
    ax.set_title("saturated" if math.isinf(time) else f"$t$ = {time:.3g}")
