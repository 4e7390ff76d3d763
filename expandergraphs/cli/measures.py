"""The commands that measure a graph or a network: ``measure`` and ``heat``."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.text import Text

from expandergraphs._files import save_figure
from expandergraphs._words import did_you_mean
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.cli._shared import (
    GraphFile,
    Json,
    NoProgress,
    Sizes,
    check_picture,
    completing,
    integers,
    load_graph,
    names_of,
    one_of,
    print_json,
    progress_bar,
    wide_console,
    words,
)
from expandergraphs.heat.comparison import HeatComparison, compare_heat, heat_by_layer
from expandergraphs.heat.signature import heat_signature
from expandergraphs.heat.unreached import unreached_units
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.operators import KINDS as LAPLACIANS
from expandergraphs.plotting import draw_layered
from expandergraphs.plotting_heat import plot_heat_distance, plot_signature
from expandergraphs.plotting_heat_network import heat_gif
from expandergraphs.report import report
from expandergraphs.results import as_plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_TIMES = 20  # in a table


def measure(
    file: GraphFile,
    sizes: Sizes = None,
    as_json: Json = False,
    quick: Annotated[
        bool, typer.Option(help="Leave out what costs more than the spectrum: expansion, distances, paths.")
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds for the vertex expansion of each graph, both sides together; no limit if left out. The other "
            "measures have none.",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Random sets for the sampled expansion.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of these sets, and of searches.")] = 0,
    no_progress: NoProgress = False,
) -> None:
    """Measure a graph, or every layer of a network.

    A graph of 2^20 vertices and degree 16 takes some two minutes and 0.7 GiB
    with --quick, ten and 1.2 GiB without. Distances are left out above 2^15
    vertices.

    Examples
    --------
    $ expandergraphs measure g.npz
    $ expandergraphs measure random.npz --quick --json
    $ expandergraphs measure g.mtx --time-limit 10
    """
    if quick and time_limit is not None:
        raise ValueError("--time-limit is for the vertex expansion, which --quick leaves out")
    graph_or_net = load_graph(file, sizes)
    with progress_bar(no_progress) as progress:
        task = progress.add_task("measuring", total=None)

        def on_step(step: str) -> None:
            progress.update(task, description=f"measuring {step}", advance=1)

        result = report(graph_or_net, quick=quick, time_limit=time_limit, samples=samples, rng=seed, progress=on_step)
    print_json(result.to_dict()) if as_json else wide_console().print(result)


def heat(
    reference: Annotated[Path, typer.Argument(help="The network that the others are compared with.")],
    others: Annotated[list[Path] | None, typer.Argument(help="Networks with equally many units.")] = None,
    times: Annotated[
        str, typer.Option(help="Times, such as 0.1,1,saturated; 0.01..10 stands for 60 of them in even ratios.")
    ] = "0.01,0.1,1,10,saturated",
    laplacian: Annotated[
        str, typer.Option(help=f"One of {', '.join(LAPLACIANS)}.", autocompletion=completing(LAPLACIANS))
    ] = "combinatorial",
    sources: Annotated[
        str | None, typer.Option(help="Nodes that heat is put on, such as 0,1,2; the inputs if left out.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Picture to write: the distances against time; of a single network heat layer by layer or, as .gif, "
            "heat that spreads through its nodes.",
        ),
    ] = None,
    sizes: Sizes = None,
    as_json: Json = False,
) -> None:
    """Diffuse heat through networks, and measure how far the others are from the reference.

    A million vertices of degree 16 take 0.6 GB of memory for each network.

    Examples
    --------
    $ expandergraphs heat random.npz
    $ expandergraphs heat random.npz radix.npz --times 0.1,1,saturated
    $ expandergraphs heat random.npz radix.npz --times 0.01..10 --plot heat.png
    """
    files = [reference, *(others or [])]
    names, at, laplacian = names_of(files), _times(times), one_of(LAPLACIANS, "--laplacian", laplacian)
    nodes = None if sources is None else _sources(sources)
    animation = picture if picture is not None and picture.suffix.lower() == ".gif" else None
    if picture is not None:
        check_picture(picture, "gif")
    if animation and others:
        raise ValueError(f"{animation} can show one network, got {len(files)}")
    nets = {str(file): load_graph(file, sizes) for file in files}
    _check_units(nets)
    if animation:
        _check_drawable(nets[str(reference)])
    found = compare_heat(nets, at, sources=nodes, laplacian=laplacian)
    net = nets[found.reference]
    if animation:
        heat_gif(net, found.times, animation, sources=nodes, laplacian=laplacian)
    elif picture is not None:
        save_figure(_heat_figure(net, found, dict(zip(nets, names, strict=True)), nodes), picture)
    if as_json:
        print_json(found.to_dict() | ({} if others else {"mean_heat": _mean_heat(net, found, nodes)}))
        return
    console, shown = wide_console(), _some_times(found)
    console.print(shown if others else heat_by_layer(net, shown.times, nodes, laplacian))
    if shown is not found:
        console.print(f"{len(shown.times)} of {len(found.times)} times; --json prints all of them", highlight=False)
    for name, net in nets.items():
        if found.networks[name].unreached:
            console.print(Text(f"{name}:"), unreached_units(net, sources=nodes))
    if picture is not None:
        console.print(f"wrote {picture}", highlight=False)


def _check_units(nets: dict[str, BipartiteGraph | LayeredGraph]) -> None:
    units = {name: as_net(net).n_nodes for name, net in nets.items()}
    (reference, needed), *others = units.items()
    for name, count in others:
        if count != needed:
            raise ValueError(f"heat is compared unit by unit: {reference} has {needed} of them, {name} has {count}")


def _check_drawable(net: BipartiteGraph | LayeredGraph) -> None:
    """Refuse what is too large to be drawn before its heat is computed."""
    from matplotlib.figure import Figure

    draw_layered(as_net(net), Figure().subplots())


def _mean_heat(net: BipartiteGraph | LayeredGraph, found: HeatComparison, sources: list[int] | None) -> Any:
    """Return the mean heat of each layer's units, a list of lists: a layer, its times."""
    heat = heat_signature(net, found.times, sources=sources, laplacian=found.laplacian).values
    layers = np.split(heat, as_net(net).node_offsets[1:-1], axis=1)
    return as_plain([layer.mean(axis=1) if layer.size else [math.nan] * len(heat) for layer in layers])


def _some_times(found: HeatComparison) -> HeatComparison:
    """Return a comparison at so few of its times that a table of them can be read, the first and the last included."""
    if len(found.times) <= _MOST_TIMES:
        return found
    kept = np.linspace(0, len(found.times) - 1, _MOST_TIMES // 2).round().astype(int)
    networks = {
        name: replace(net, distances=tuple(net.distances[k] for k in kept)) for name, net in found.networks.items()
    }
    return replace(found, times=found.times[kept], networks=networks)


def _heat_figure(
    net: BipartiteGraph | LayeredGraph, found: HeatComparison, names: dict[str, str], sources: list[int] | None
) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.subplots()
    distances = {names[name]: other.distances for name, other in found.networks.items() if name != found.reference}
    if distances:
        plot_heat_distance(distances, found.times, ax).set_title(f"distance to {names[found.reference]}")
        return figure
    signature = heat_signature(net, found.times, sources=sources, laplacian=found.laplacian)
    plot_signature(net, signature, ax).set_title(names[found.reference])
    return figure


def _times(text: str) -> list[float]:
    times: list[float] = []
    for part in words(text):
        try:
            ends = [math.inf if end == "saturated" else float(end) for end in part.split("..")]
            one, pair = len(ends) == 1, len(ends) == 2
            if not (one and ends[0] >= 0) and not (pair and all(0 < end < math.inf for end in ends)):
                raise ValueError
        except ValueError:
            needed = "--times must be numbers of at least 0, 'saturated', or FIRST..LAST above 0"
            hint = "" if ".." in part else did_you_mean(part, ["saturated"])
            raise ValueError(f"{needed}, got {part!r}{hint}") from None
        times += ends if one else np.geomspace(ends[0], ends[-1], 60).tolist()
    return times


def _sources(text: str) -> list[int]:
    nodes = integers(text, ",", "--sources")
    if repeated := [node for node, times in Counter(nodes).items() if times > 1]:
        raise ValueError(f"--sources names node {repeated[0]} twice")
    return nodes
