"""The commands that write graphs and draw them: ``generate``, ``convert``, ``plot``."""

from pathlib import Path
from typing import Annotated

import typer

from expandergraphs._checks import exactly_one
from expandergraphs._files import check_place, save_figure
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.budget import BUDGETS
from expandergraphs.cli._shared import (
    GraphFile,
    Json,
    Seed,
    Sizes,
    check_picture,
    completing,
    integers,
    load_graph,
    names_of,
    one_of,
    print_json,
)
from expandergraphs.errors import GenerationError
from expandergraphs.generators.family import FAMILIES, IN_PAPERS, as_family, family_net
from expandergraphs.generators.radix import radix_net, radix_net_for
from expandergraphs.interchange import check_format, save
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.plotting import KINDS, picture_of
from expandergraphs.rng import as_generator


def generate(
    family: Annotated[str, typer.Argument(help=f"One of {', '.join(FAMILIES)}.", autocompletion=completing(FAMILIES))],
    sizes: Annotated[str, typer.Argument(help="Layer sizes, such as 64-64 or 784-300-100.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; its suffix is the format.")],
    density: Annotated[float | None, typer.Option(help="Fraction of the possible edges.")] = None,
    degree: Annotated[
        int | None, typer.Option(min=0, help="Degree of every left vertex; for 'regular', of the larger side.")
    ] = None,
    edges: Annotated[int | None, typer.Option(min=0, help="Number of edges in all.")] = None,
    budget: Annotated[
        str, typer.Option(help=f"How a total is spread: {', '.join(BUDGETS)}.", autocompletion=completing(BUDGETS))
    ] = "uniform",
    systems: Annotated[
        str | None, typer.Option(help="radix only: mixed-radix systems, such as '10,10' or '2,2,2;2,2'.")
    ] = None,
    multipliers: Annotated[
        str | None, typer.Option(help="radix only, with --systems and sizes '-': widths B_0..B_L, such as '8,30,1'.")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Generate a graph, or a network of several layers, and write it to a file.

    A million vertices of degree 16 take 0.4 GB of memory.

    Examples
    --------
    $ expandergraphs generate regular 64-64 --degree 8 --seed 3 -o g.npz
    $ expandergraphs generate random 784-300-100 --density 0.1 -o random.npz
    $ expandergraphs generate radix 784-300-100 --systems 10,10 -o radix.npz
    """
    check_format(output)
    check_place(output)
    net: LayeredGraph
    family = one_of(FAMILIES, "family", family, IN_PAPERS)
    budget = one_of(BUDGETS, "--budget", budget)
    if sizes == "-" and multipliers is None:
        raise ValueError("sizes '-' takes them from --multipliers, which is missing")
    if systems is not None:
        if family != "radix" or (density, degree, edges) != (None, None, None):
            raise ValueError("--systems decides a radix network's edges; it goes with no other family or budget")
        radices = [integers(system, ",", "--systems") for system in systems.split(";")]
        if multipliers is not None:
            net = radix_net(radices, integers(multipliers, ",", "--multipliers"))
            if sizes not in ("-", "-".join(map(str, net.widths))):
                raise ValueError(f"these multipliers give the sizes {net.widths}, not {sizes}; write '-' to take them")
        else:
            net = radix_net_for(integers(sizes, "-", "sizes"), radices).net
    elif multipliers is not None:
        raise ValueError("--multipliers goes with --systems")
    else:
        widths = integers(sizes, "-", "sizes")
        exactly_one("generate", **{"--density": density, "--degree": degree, "--edges": edges})
        try:
            net = family_net(family, widths, density=density, degree=degree, n_edges=edges, budget=budget, rng=seed)
        except GenerationError as refusal:
            raise GenerationError(str(refusal).replace("n_edges", "--edges")) from None
        if len(widths) == 2 and family != "radix":  # a single graph is that of its generator with this seed
            draw = as_family(family)
            net = as_net(draw(widths[0], widths[1], net.n_edges, as_generator(seed)))
    result = net.layers[0] if len(net.widths) == 2 else net
    save(output, result)
    _say_written(output, result, as_json)


def convert(
    file: GraphFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; its suffix is the new format.")],
    sizes: Sizes = None,
    as_json: Json = False,
) -> None:
    """Convert a graph from one file format to another, by their suffixes.

    .npz keeps everything; .mtx (Matrix Market), .tsv (Graph Challenge) and .edges
    hold one graph, and may be compressed: .mtx.gz. A million vertices of degree
    16 take 0.6 GB of memory.

    Examples
    --------
    $ expandergraphs convert g.npz -o g.mtx
    $ expandergraphs convert g.npz -o g.tsv.gz
    $ expandergraphs convert g.tsv.gz --sizes 64-64 -o again.npz
    """
    check_format(output)
    check_place(output)
    result = load_graph(file, sizes)
    save(output, result)
    _say_written(output, result, as_json)


def plot(
    files: Annotated[list[Path], typer.Argument(help="Graph files; several are drawn beside each other.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .png, .pdf, .svg, ...")],
    kind: Annotated[
        str, typer.Option(help=f"One of {', '.join(KINDS)}.", autocompletion=completing(KINDS))
    ] = "pattern",
    sizes: Sizes = None,
    as_json: Json = False,
) -> None:
    """Draw biadjacencies, singular values against the bound or their density, or whole networks.

    The kinds pattern, density and adjacency take graphs of any size, a million
    vertices of degree 16 in 0.7 GB of memory; spectrum takes up to 2^28 pairs,
    network takes layers of up to 100 nodes.

    Examples
    --------
    $ expandergraphs plot g.npz -o pattern.png
    $ expandergraphs plot random.npz radix.npz --kind spectrum -o spectra.pdf
    """
    check_picture(output)
    kind, names = one_of(KINDS, "--kind", kind), names_of(files)
    graphs = {name: load_graph(file, sizes) for name, file in zip(names, files, strict=True)}
    save_figure(picture_of(graphs, kind), output)
    print_json({"file": str(output)}) if as_json else typer.echo(f"wrote {output}")


def _say_written(path: Path, result: BipartiteGraph | LayeredGraph, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(path), "n_edges": result.n_edges, "widths": as_net(result).widths})
    else:
        typer.echo(f"{path}: {result!r}")
    blocks = as_net(result).blocks.values()
    if empty := sum(block.n_edges == 0 for block in blocks):
        where = f"between {empty} of {len(blocks)} pairs of layers" if len(blocks) > 1 else "in this graph"
        typer.echo(f"warning: 0 edges {where}", err=True)
