"""The commands that measure a graph or a network: ``measure`` and ``heat``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.text import Text

from expandergraphs._files import save_figure
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.cli._shared import (
    GraphFile,
    Json,
    NoProgress,
    Sizes,
    check_picture,
    integers,
    load_graph,
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
from expandergraphs.plotting_heat import plot_heat_distance, plot_signature
from expandergraphs.plotting_heat_network import heat_gif
from expandergraphs.report import report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
            help="Seconds for the vertex expansion of each graph, both sides together; no limit if left out. The other "
            "measures have none."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Random sets for the sampled expansion.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of these sets, and of searches.")] = 0,
    no_progress: NoProgress = False,
) -> None:
    """Measure a graph, or every layer of a network.

    With --quick, 2^17 vertices of degree 16 take 0.3 GB of memory; without, half
    as many take 0.5 GB. Distances are left out above 2^15 vertices.

    Examples
    --------
    $ expandergraphs measure g.npz
    $ expandergraphs measure random.npz --quick --json
    $ expandergraphs measure g.mtx --time-limit 10
    """
    graph_or_net = load_graph(file, sizes)
    with progress_bar(no_progress) as progress:
        task = progress.add_task("measuring", total=len(as_net(graph_or_net).blocks))

        def on_graph(name: str) -> None:
            progress.update(task, description=f"measuring {name}", advance=1)

        result = report(graph_or_net, quick=quick, time_limit=time_limit, samples=samples, rng=seed, progress=on_graph)
    print_json(result.to_dict()) if as_json else wide_console().print(result)


def heat(
    reference: Annotated[Path, typer.Argument(help="The network that the others are compared with.")],
    others: Annotated[list[Path] | None, typer.Argument(help="Networks with equally many units.")] = None,
    times: Annotated[
        str, typer.Option(help="Times, such as 0.1,1,saturated; 0.01..10 stands for 60 of them in even ratios.")
    ] = "0.01,0.1,1,10,saturated",
    laplacian: Annotated[
        str, typer.Option(help=f"One of {', '.join(LAPLACIANS)}.", autocompletion=one_of(LAPLACIANS))
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
    if picture is not None:
        check_picture(picture, "gif")
    nets = {str(file): load_graph(file, sizes) for file in [reference, *(others or [])]}
    nodes = None if sources is None else integers(sources, ",", "--sources")
    found = compare_heat(nets, _times(times), sources=nodes, laplacian=laplacian)
    if picture is not None and picture.suffix == ".gif":
        if others:
            raise ValueError(f"{picture} can show one network, got {len(nets)}")
        heat_gif(nets[found.reference], found.times, picture, sources=nodes, laplacian=laplacian)
    elif picture is not None:
        save_figure(_heat_figure(nets, found, nodes), picture)
    if as_json:
        print_json(found.to_dict())
        return
    console = wide_console()
    console.print(found if others else heat_by_layer(nets[found.reference], found.times, nodes, laplacian))
    for name, net in nets.items():
        if found.networks[name].unreached:
            console.print(Text(f"{name}:"), unreached_units(net, sources=nodes))
    if picture is not None:
        console.print(f"wrote {picture}", highlight=False)


def _heat_figure(
    nets: dict[str, BipartiteGraph | LayeredGraph], found: HeatComparison, sources: list[int] | None
) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.subplots()
    distances = {Path(name).stem: net.distances for name, net in found.networks.items() if name != found.reference}
    if distances:
        plot_heat_distance(distances, found.times, ax).set_title(f"distance to {Path(found.reference).stem}")
        return figure
    net = nets[found.reference]
    signature = heat_signature(net, found.times, sources=sources, laplacian=found.laplacian)
    plot_signature(net, signature, ax).set_title(Path(found.reference).stem)
    return figure


def _times(text: str) -> list[float]:
    times: list[float] = []
    try:
        for part in words(text):
            first, dots, last = part.partition("..")
            if dots:
                times += map(float, np.geomspace(float(first), float(last), 60))
            else:
                times.append(math.inf if part == "saturated" else float(part))
    except ValueError:
        raise ValueError(f"--times must be numbers, 'saturated', or FIRST..LAST above 0, got {text!r}") from None
    return times
