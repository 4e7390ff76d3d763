"""Small networks drawn with their nodes coloured by heat: at one time, or as an animation."""

import math
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs._checks import as_integer
from expandergraphs._files import as_path, replacing
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.signature import HeatSignature, heat_signature
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.plotting import draw_layered, node_size
from expandergraphs.plotting_heat import COLOUR_MAP, heat_of, range_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection

Array = NDArray[np.float64]


def draw_heat(
    net: LayeredGraph | BipartiteGraph,
    signature: HeatSignature,
    ax: "Axes",
    time_index: int = -1,
    *,
    colorbar: bool = True,
) -> "Axes":
    """Draw a small network at one of the signature's times, its nodes coloured by their heat; skips are dashed.

    The colours are the same for all times of the signature.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
    signature : HeatSignature
        Of `net`.
    ax : matplotlib.axes.Axes
    time_index : int
        Which of its times.
    colorbar : bool
        False leaves the colour bar out: several times of one signature share
        ``figure.colorbar(ax.collections[-1], ax=axes, label="heat of the node")``.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If the signature is not one of this network, of one source vector, or has no such time.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from expandergraphs import heat_signature, radix_net
    >>> ax, net = Figure(layout="constrained").subplots(), radix_net([[2, 2]], [1, 1, 1])
    >>> draw_heat(net, heat_signature(net, [0, 0.5]), ax, time_index=1) is ax
    True
    """
    net = as_net(net)
    values = heat_of(net, signature)
    if as_integer("time_index", time_index, minimum=-len(values)) >= len(values):
        raise ValueError(f"time_index must be one of the signature's {len(values)} times, got {time_index}")
    _paint(_draw_nodes(net, values, ax, colorbar), net, values[time_index], float(signature.times[time_index]), ax)
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

    Examples
    --------
    >>> import tempfile
    >>> from expandergraphs import radix_net
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     heat_gif(radix_net([[2, 2]], [1, 1, 1]), [0, 0.5], f"{folder}/heat.gif").name
    'heat.gif'
    """
    from matplotlib.animation import PillowWriter
    from matplotlib.figure import Figure

    net, path = as_net(net), as_path("path", path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"an animation is written as .gif, got {path}")
    if not isinstance(frames_per_second, Real) or not 0 < frames_per_second <= 50:
        raise ValueError(f"frames_per_second must be a number above 0 and at most 50, got {frames_per_second!r}")
    signature = heat_signature(net, times, sources=sources, laplacian=laplacian)
    values = heat_of(net, signature)
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    ax = figure.subplots()
    nodes = _draw_nodes(net, values, ax, colorbar=True)
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


def _draw_nodes(net: LayeredGraph, values: Array, ax: "Axes", colorbar: bool) -> list["Collection"]:
    """Draw a network in grey, its nodes coloured by a scale for all values; return these, one collection a layer."""
    from matplotlib.colors import Normalize

    start = len(ax.collections)
    draw_layered(net, ax)
    drawn = list(ax.collections)[start:]
    edges, nodes = drawn[: len(net.blocks)], drawn[len(net.blocks) :]
    for block in edges:
        block.set_color("0.6")
    scale = Normalize(*range_of(values))
    for layer, width in zip(nodes, net.widths, strict=True):
        layer.set(norm=scale, cmap=COLOUR_MAP, linewidth=0.8, sizes=[node_size(ax, width, 90)])
    if colorbar:
        ax.figure.colorbar(nodes[0], ax=ax, label="heat of the node")
    return nodes


def _paint(nodes: list["Collection"], net: LayeredGraph, heat: Array, time: float, ax: "Axes") -> None:
    """Colour the nodes by their heat, and name the time."""
    for layer, its_heat in zip(nodes, np.split(heat, net.node_offsets[1:-1]), strict=True):
        layer.set_array(its_heat)
    ax.set_title("saturated" if math.isinf(time) else f"$t$ = {time:.3g}")
