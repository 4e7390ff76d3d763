"""Pictures of the adjacency matrices of networks, of any size."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.plotting import COLOURS, MOST_LABELS, layer_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_CELLS = 1000


def draw_adjacency(net: LayeredGraph | BipartiteGraph, ax: "Axes") -> "Axes":
    """Draw the adjacency matrix: dark where nodes are joined, white where no two are; weights do not matter.

    Thin lines part the layers; skips lie beside the blocks along the diagonal. At most 1,000 x 1,000 cells are drawn:
    in larger networks a cell stands for several nodes, and shows the fraction of their pairs that are edges, on a
    logarithmic scale.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If the network has no nodes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import radix_net
    >>> ax = Figure(layout="constrained").subplots()
    >>> draw_adjacency(radix_net([[2, 2]], [1, 1, 1]), ax) is ax
    True
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
    if len(shown) > MOST_LABELS:  # only layers whose labels have room
        shown = shown[:1]
        for k, centre in enumerate(centres):
            if centre >= centres[shown[-1]] + n / MOST_LABELS:
                shown.append(k)
    places = _apart(centres[shown] / n, 1 / MOST_LABELS) * n
    labels = np.array(layer_labels(net))[shown]
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

    Parameters
    ----------
    nets : mapping {name: LayeredGraph or BipartiteGraph}

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no network, or one without nodes.

    Examples
    --------
    >>> from expandergraphs import radix_net
    >>> adjacency_figure({"RadiX-Net": radix_net([[2, 2]], [1, 1, 1])}).axes[0].get_title()
    'RadiX-Net, 16 edges'
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
