"""Plots: graphs or results and an ``ax`` in, the Axes out. Matplotlib is imported by the caller's axes only.

Series differ in colour (the palette of Okabe and Ito, safe in colour-blind vision) and in line style, so they remain
apart in grey.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.spectral.density import SpectralDensity, spectral_density
from expandergraphs.spectral.gap import singular_values, spectral_gap

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("pattern", "spectrum", "density", "network", "adjacency")
_MOST_NODES = 100  # of a layer drawn node by node
_CELLS, _FEWER = 2000, 500  # of a biadjacency, along each side; where there are more vertices than that
_MOST_PAIRS = 2**28  # whose singular values are all computed: 2 GiB
_BOW = 0.5  # of a skip, in distances of the nodes of the widest layer
_BY_LAYER = ("spectrum", "density")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LONG = 5  # entries of a legend
MOST_LABELS = 18  # of layers, along an axis
STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))


def checked(call: str, kind: type, values: Any) -> dict[str, Any]:
    """Return a mapping from names to at least one object of the kind, or raise ``ValueError``."""
    if not isinstance(values, Mapping) or not values:
        raise ValueError(f"{call} needs at least one {kind.__name__} in a mapping {{name: ...}}, got {values!r}")
    for name, value in values.items():
        if not isinstance(value, kind):
            raise ValueError(f"{call} needs a {kind.__name__} for {name!r}, got {type(value).__name__}")
    return dict(values)


def style(k: int) -> dict[str, Any]:
    """Return colour, line and marker of the k-th of several series."""
    return {"color": COLOURS[k % 7], "linestyle": STYLES[k % 7], "marker": MARKERS[k % 7], "ms": 5.5, "lw": 1.6}


def legend_above(ax: "Axes", handles: Sequence["Artist"], labels: Sequence[str]) -> None:
    """Put a legend above all that is drawn, and extend the axis to make room for it."""
    room = ax.get_window_extent()
    for columns in (2, 1):
        legend = ax.legend(handles, labels, loc="upper left", ncols=columns, fontsize="small")
        box = legend.get_window_extent()
        if box.width < 0.95 * room.width:
            break
    share = min(0.7, 1.15 * box.height / room.height + 0.06)
    scale, (low, high) = ax.yaxis.get_transform(), ax.get_ylim()
    start, end = scale.transform([low, high])
    ax.set_ylim(low, scale.inverted().transform([start + (end - start) / (1 - share)])[0])


def legend(ax: "Axes") -> None:
    """Put the legend where it covers least, or above all that is drawn where it is long."""
    handles, labels = ax.get_legend_handles_labels()
    if len(labels) < _LONG:
        ax.legend()
    else:
        legend_above(ax, handles, labels)


def node_size(ax: "Axes", count: int, most: float) -> float:
    """Return the area, in points squared, of nodes so many in a column that do not overlap."""
    height = ax.get_window_extent().height * 72 / ax.figure.dpi
    return min(most, (0.8 * height / max(1, count)) ** 2)


def layer_labels(net: LayeredGraph) -> list[str]:
    """Return the name of each layer with its width."""
    names = net.names or [f"layer {k}" for k in range(len(net.widths))]
    return [f"{name} ({width:,})" for name, width in zip(names, net.widths, strict=True)]


def picture_of(graphs: Mapping[str, BipartiteGraph | LayeredGraph], kind: str) -> "Figure":
    """Return a figure of one kind for several graphs or networks.

    Parameters
    ----------
    graphs : mapping {name: BipartiteGraph or LayeredGraph}
    kind : {"pattern", "spectrum", "density", "network", "adjacency"}
        The biadjacency of each block, skips included; the singular values of each block, a panel for all networks that
        have it, or their density, which takes graphs of any size; each network as nodes and edges, where it is small;
        or its adjacency matrix, whatever its size.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the kind is unknown, there is no graph, or spectra of networks of different depth are to be compared.

    Examples
    --------
    >>> picture_of({"one": BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1)])}, "pattern").axes[0].get_title()
    'one'
    """
    from matplotlib.figure import Figure

    nets = {name: as_net(graph) for name, graph in graphs.items()}
    depths = sorted({len(net.layers) for net in nets.values()})
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not nets:
        raise ValueError("at least one graph is needed, got none")
    if kind in _BY_LAYER and len(depths) > 1:
        raise ValueError(f"spectra are compared layer by layer; these networks have {depths} layers of edges")
    if kind == "adjacency":
        from expandergraphs.plotting_adjacency import adjacency_figure  # which needs this module

        return adjacency_figure(nets)
    blocks = sorted({key for net in nets.values() for key in net.blocks})
    rows, columns = (1, len(blocks)) if kind in _BY_LAYER else (len(nets), 1 if kind == "network" else len(blocks))
    figure = Figure(figsize=(max(5.5, 4 * columns), 4.2 * rows), layout="constrained")
    panels = figure.subplots(rows, max(1, columns), squeeze=False)
    if kind in _BY_LAYER:
        for key, ax in zip(blocks, panels[0], strict=False):
            graphs_here = {name: net.blocks[key] for name, net in nets.items() if key in net.blocks}
            if kind == "spectrum":
                plot_singular_values(graphs_here, ax)
            else:
                found = {name: spectral_density(g, moments=64, rng=0) for name, g in graphs_here.items()}
                plot_spectral_density(found, ax)
            ax.set_title(_ends(next(iter(nets.values())), key) if len(blocks) > 1 else "")
        return figure
    for row, (name, net) in zip(panels, nets.items(), strict=True):
        if kind == "network":
            draw_layered(net, row[0]).set_title(name)
            continue
        for key, ax in zip(blocks, row, strict=False):
            if key in net.blocks:
                title = f"{name}, {_ends(net, key)}" if len(blocks) > 1 else name
                draw_biadjacency(net.blocks[key], ax).set_title(title)
            else:
                ax.set_axis_off()
    return figure


def _ends(net: LayeredGraph, block: tuple[int, int]) -> str:
    names = net.names or tuple(map(str, range(len(net.widths))))
    return f"{names[block[0]]} → {names[block[1]]}"


def draw_biadjacency(g: BipartiteGraph, ax: "Axes") -> "Axes":
    """Draw the biadjacency: one cell a pair, dark where there is an edge.

    Where a side has over 2,000 vertices, a cell stands for several of them, and is the darker the more of their pairs
    are edges; the label below says what black stands for.

    Parameters
    ----------
    g : BipartiteGraph
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If the graph has no pairs.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure(layout="constrained").subplots()
    >>> draw_biadjacency(BipartiteGraph.from_edges(2, 3, [(0, 0), (1, 2)]), ax) is ax
    True
    """
    check_graph(g)
    if g.n_left * g.n_right == 0:
        raise ValueError(f"{g!r} has no pairs to draw")
    rows, columns = (n if n <= _CELLS else _FEWER for n in (g.n_left, g.n_right))
    left, right = np.arange(g.n_left) * rows // g.n_left, np.arange(g.n_right) * columns // g.n_right
    cells = np.repeat(left, g.left_degrees) * columns + right[g.indices]
    edges = np.bincount(cells, minlength=rows * columns).reshape(rows, columns)
    filled = edges / np.outer(np.bincount(left), np.bincount(right))
    grouped = filled.size < g.n_left * g.n_right
    black = (filled.max() or 1) if grouped else 1
    extent = (-0.5, g.n_right - 0.5, g.n_left - 0.5, -0.5)
    ax.imshow(filled, cmap="Greys", vmin=0, vmax=black, extent=extent, aspect="auto", interpolation="antialiased")
    shades = f"\nblack: {100 * black:.2g} % of pairs are edges" if grouped else ""
    ax.set(xlabel=f"right vertex (of {g.n_right}){shades}", ylabel=f"left vertex (of {g.n_left})")
    ax.locator_params(integer=True)
    return ax


def draw_layered(net: LayeredGraph, ax: "Axes") -> "Axes":
    """Draw a small network: one column of nodes a layer, inputs at the left; skips are drawn dashed and bowed.

    Parameters
    ----------
    net : LayeredGraph
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If a layer has over 100 nodes, which could not be told apart: `expandergraphs.plotting_adjacency` draws those.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure(layout="constrained").subplots()
    >>> net = LayeredGraph.from_layers([BipartiteGraph.from_edges(2, 3, [(0, 0), (1, 2)])])
    >>> draw_layered(net, ax) is ax
    True
    """
    from matplotlib.collections import LineCollection

    net = as_net(net)
    if max(net.widths) > _MOST_NODES:
        raise ValueError(
            f"layers of at most {_MOST_NODES} nodes can be drawn node by node, got {max(net.widths)}; draw the "
            "adjacency matrix, or the heat of each layer"
        )
    heights = [np.linspace(0, 1, width) if width > 1 else np.array([0.5]) for width in net.widths]
    height = _BOW / max(1, *net.widths) if net.skips else 0.0
    for (s, t), block in net.blocks.items():
        skip, (left, right) = t > s + 1, block.edges.T
        along = np.linspace(0, 1, 21 if skip else 2)  # skips are bowed, past the nodes between
        bow = height * np.sin(np.pi * along) if skip else 0.0
        y = np.outer(heights[s][left], 1 - along) + np.outer(heights[t][right], along) - bow
        lines = np.stack([np.broadcast_to(s + (t - s) * along, y.shape), y], axis=2)
        style = {"colors": COLOURS[1], "linestyles": "--"} if skip else {"colors": COLOURS[0]}
        ax.add_collection(LineCollection(lines.tolist(), linewidths=0.8, alpha=0.7, zorder=1, **style))
    for layer, y in enumerate(heights):
        ax.scatter(np.full(y.size, layer), y, s=node_size(ax, y.size, 36), color="black", zorder=2)
    ax.set(xlabel="layer", yticks=[], ylim=(1.06, -0.06 - height))
    ax.set_xticks(range(len(net.widths)), net.names or list(map(str, range(len(net.widths)))))
    ax.set_ylabel(f"node (first of {max(net.widths)} on top)")
    return ax


def plot_singular_values(graphs: Mapping[str, BipartiteGraph], ax: "Axes") -> "Axes":
    """Plot sigma_2, sigma_3, ... of each graph, descending, and the bound on sigma_2.

    The bound is that of the first graph; graphs compared at equal sizes and edges share it.

    Parameters
    ----------
    graphs : mapping {name: BipartiteGraph}
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If there is no graph, or one is so large, over 2^28 pairs, that its dense matrix would take over 2 GiB:
        `plot_spectral_density` takes those.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import random_regular
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_singular_values({"regular": random_regular(20, 20, 3, rng=0)}, ax) is ax
    True
    """
    graphs = checked("plot_singular_values", BipartiteGraph, graphs)
    for name, g in graphs.items():
        if g.n_left * g.n_right > _MOST_PAIRS:
            raise ValueError(
                f"all singular values take a dense matrix, here of at most {_MOST_PAIRS:,} pairs; {name!r} is "
                f"{g.n_left} x {g.n_right}; plot the density of the singular values, which takes graphs of any size"
            )
    for k, (name, g) in enumerate(graphs.items()):
        values = singular_values(g)[1:]
        ax.plot(
            np.arange(2, values.size + 2), values, label=name, color=COLOURS[k % 7], linestyle=STYLES[k % 7], lw=1.8
        )
    gaps = [spectral_gap(g) for g in graphs.values()]
    gap, biregular = gaps[0], all(gap.bound_kind == "biregular" for gap in gaps)
    kind = "Ramanujan bound" if biregular else "bound with average degrees"
    ax.axhline(gap.bound, color="0.35", lw=1, zorder=0)
    ax.annotate(
        f"{kind} {gap.bound:.2f}", (1, gap.bound), (-4, 4), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", color="0.25",
    )  # fmt: skip
    ax.set(xlabel="index k (k = 1 left out)", ylabel=r"singular value $\sigma_k$")
    ax.set_ylim(0, 1.12 * max(ax.dataLim.y1, gap.bound) or 1)  # room for the name of the bound
    ax.legend()
    return ax


def plot_spectral_density(densities: Mapping[str, SpectralDensity], ax: "Axes") -> "Axes":
    """Plot the density of the singular values of each graph, and the law that graphs of its degrees tend to.

    A band of two standard errors is drawn where the density was estimated. A first value that was taken out is not
    shown. Each different law is a dotted black line, of Godsil and Mohar.

    Parameters
    ----------
    densities : mapping {name: SpectralDensity}
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If there is no density.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import random_regular, spectral_density
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_spectral_density({"regular": spectral_density(random_regular(50, 50, 3, rng=0))}, ax) is ax
    True
    """
    densities = checked("plot_spectral_density", SpectralDensity, densities)
    widest = max(found.grid[-1] for found in densities.values())
    for k, (name, found) in enumerate(densities.items()):
        colour, ends = COLOURS[k % 7], 2 * found.error
        if found.grid[-1] < 1e-4 * widest:  # a spike that would flatten all others
            ax.axvline(0, label=f"{name}: all values 0", color=colour, linestyle=STYLES[k % 7], lw=1.8)
            continue
        ax.fill_between(found.grid, found.density - ends, found.density + ends, color=colour, alpha=0.2, lw=0)
        ax.plot(found.grid, found.density, label=name, color=colour, linestyle=STYLES[k % 7], lw=1.8)
    for law in dict.fromkeys(found.law for found in densities.values()):
        if law is not None and law.atom is None:
            s = np.linspace(law.lower, law.upper, 500)
            name = f"limiting law, degrees {law.d_left} and {law.d_right}"
            ax.plot(s, law.density(s), label=name, color="black", linestyle=(0, (1, 1)), lw=1.2)
    ax.set(xlabel=r"singular value $\sigma$", ylabel="density")
    ax.set_ylim(bottom=0)
    legend(ax)
    return ax


def plot_accuracy(curves: Mapping[str, ArrayLike], ax: "Axes", *, epochs: Sequence[int] | None = None) -> "Axes":
    """Plot accuracy over training: the mean over seeds, shaded from the lowest to the highest.

    Parameters
    ----------
    curves : mapping {name: array-like, shape (n_seeds, n_epochs)}
        Accuracies in percent.
    ax : matplotlib.axes.Axes
    epochs : sequence of int, optional
        Their positions; 1, 2, ... by default.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If there is no curve.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_accuracy({"dense": [[90, 95, 96], [91, 94, 97]]}, ax) is ax
    True
    """
    if not curves:
        raise ValueError("plot_accuracy needs at least one curve")
    for k, (name, accuracies) in enumerate(curves.items()):
        values = np.atleast_2d(np.asarray(accuracies, dtype=float))
        x = np.arange(1, values.shape[1] + 1) if epochs is None else np.asarray(epochs)
        colour = COLOURS[k % 7]
        ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0)
        ax.plot(x, values.mean(axis=0), label=name, color=colour, linestyle=STYLES[k % 7], lw=1.8)
    ax.set(xlabel="epoch", ylabel="test accuracy (%)")
    ax.legend()
    return ax
