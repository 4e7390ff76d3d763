"""The command line ``expandergraphs``, and the only module that prints.

Commands that need torch live in the adapter and arrive through the entry-point group ``expandergraphs.commands``.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from expandergraphs import demo as job
from expandergraphs._study_files import check_place
from expandergraphs._study_graphs import MEASURES
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.budget import BUDGETS
from expandergraphs.generators.family import FAMILIES, as_family, family_net
from expandergraphs.generators.radix import radix_net, radix_net_for
from expandergraphs.heat.comparison import HeatComparison, compare_heat, heat_by_layer
from expandergraphs.heat.signature import heat_signature
from expandergraphs.heat.unreached import unreached_units
from expandergraphs.interchange import load, save
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.operators import KINDS as LAPLACIANS
from expandergraphs.plotting import KINDS, picture_of
from expandergraphs.plotting_heat import plot_heat_distance, plot_signature
from expandergraphs.plotting_heat_network import heat_gif
from expandergraphs.plotting_study import figures_of
from expandergraphs.report import report
from expandergraphs.rng import as_generator
from expandergraphs.study import study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _one_of(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what completes a word to one of the choices."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


SHOWN = {  # the column that compare prints, by the first of these measures that is made
    "expansion": "left_alpha",
    "spectrum": "sigma2",
    "sampled": "sampled_mean",
    "degrees": "right_degree_maximum",
}
INSTALL_TORCH = "training needs the adapter for PyTorch: pip install 'expandergraphs[demo]'"

app = typer.Typer(
    help="Expander graphs, their measures, and the sparse networks they make.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
GraphFile = Annotated[Path, typer.Argument(help="A graph file; its suffix is the format.")]
Sizes = Annotated[str | None, typer.Option(help="Such as 1024-1024, for a format that does not state them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the random generator; random if left out.")]


def main() -> None:
    """Run the command line; an error is one line on the standard error output, and exit code 1."""
    try:
        app()
    except (ValueError, OSError, MemoryError) as error:
        Console(stderr=True).print(
            f"error: {error or 'out of memory'}", style="red", highlight=False, markup=False, soft_wrap=True
        )
        sys.exit(1)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Answer --version."""
    if show:
        typer.echo(f"expandergraphs {metadata.version('expandergraphs')}")
        raise typer.Exit


@app.command()
def generate(
    family: Annotated[str, typer.Argument(help=f"One of {', '.join(FAMILIES)}.", autocompletion=_one_of(FAMILIES))],
    sizes: Annotated[str, typer.Argument(help="Layer sizes, such as 64-64 or 784-300-100.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; its suffix is the format.")],
    density: Annotated[float | None, typer.Option(help="Fraction of the possible edges.")] = None,
    degree: Annotated[
        int | None, typer.Option(help="Degree of every left vertex; for 'regular', of the larger side.")
    ] = None,
    edges: Annotated[int | None, typer.Option(help="Number of edges in all.")] = None,
    budget: Annotated[
        str, typer.Option(help=f"How a total is spread: {', '.join(BUDGETS)}.", autocompletion=_one_of(BUDGETS))
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
    """Generate a graph, or a network of several layers, and write it to a file."""
    net: LayeredGraph
    family = family.replace("-", "_")
    if systems is not None:
        if family != "radix" or (density, degree, edges) != (None, None, None):
            raise ValueError("--systems decides a radix network's edges; it goes with no other family or budget")
        radices = [_integers(system, ",", "--systems") for system in systems.split(";")]
        if multipliers is not None:
            net = radix_net(radices, _integers(multipliers, ",", "--multipliers"))
            if sizes not in ("-", "-".join(map(str, net.widths))):
                raise ValueError(f"these multipliers give the sizes {net.widths}, not {sizes}; write '-' to take them")
        elif sizes == "-":
            raise ValueError("sizes '-' takes them from --multipliers, which is missing")
        else:
            net = radix_net_for(_integers(sizes, "-", "sizes"), radices).net
    elif multipliers is not None:
        raise ValueError("--multipliers goes with --systems")
    else:
        widths = _integers(sizes, "-", "sizes")
        net = family_net(family, widths, density=density, degree=degree, n_edges=edges, budget=budget, rng=seed)
        if len(widths) == 2 and family != "radix":  # a single graph is that of its generator with this seed
            draw = as_family(family)
            net = as_net(draw(widths[0], widths[1], net.n_edges, as_generator(seed)))
    result = net.layers[0] if len(net.widths) == 2 else net
    save(output, result)
    _say_written(output, result, as_json)


@app.command()
def convert(
    file: GraphFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; its suffix is the new format.")],
    sizes: Sizes = None,
    as_json: Json = False,
) -> None:
    """Convert a graph from one file format to another, by their suffixes."""
    result = _load(file, sizes)
    save(output, result)
    _say_written(output, result, as_json)


@app.command()
def plot(
    files: Annotated[list[Path], typer.Argument(help="Graph files; several are drawn beside each other.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .png, .pdf, .svg, ...")],
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.", autocompletion=_one_of(KINDS))] = "pattern",
    sizes: Sizes = None,
) -> None:
    """Draw biadjacencies, singular values against the bound or their density, or whole networks."""
    graphs = {file.stem: _load(file, sizes) for file in files}
    picture_of(graphs, kind).savefig(output, dpi=150)
    typer.echo(f"wrote {output}")


@app.command()
def heat(
    reference: Annotated[Path, typer.Argument(help="The network that the others are compared with.")],
    others: Annotated[list[Path] | None, typer.Argument(help="Networks with equally many units.")] = None,
    times: Annotated[
        str, typer.Option(help="Times, such as 0.1,1,saturated; 0.01..10 stands for 60 of them in even ratios.")
    ] = "0.01,0.1,1,10,saturated",
    laplacian: Annotated[
        str, typer.Option(help=f"One of {', '.join(LAPLACIANS)}.", autocompletion=_one_of(LAPLACIANS))
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
    """Diffuse heat through networks, and measure how far the others are from the reference."""
    nets = {str(file): _load(file, sizes) for file in [reference, *(others or [])]}
    nodes = None if sources is None else _integers(sources, ",", "--sources")
    found = compare_heat(nets, _times(times), sources=nodes, laplacian=laplacian)
    if picture is not None and picture.suffix == ".gif":
        if others:
            raise ValueError(f"{picture} can show one network, got {len(nets)}")
        heat_gif(nets[found.reference], found.times, picture, sources=nodes, laplacian=laplacian)
    elif picture is not None:
        _heat_figure(nets, found, nodes).savefig(picture, dpi=150)
    if as_json:
        _print_json(found.to_dict())
        return
    console = _wide_console()
    console.print(found if others else heat_by_layer(nets[found.reference], found.times, nodes, laplacian))
    for name, net in nets.items():
        if found.networks[name].unreached:
            console.print(Text(f"{name}:"), unreached_units(net, sources=nodes))
    if picture is not None:
        console.print(f"wrote {picture}", highlight=False)


@app.command()
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
) -> None:
    """Measure a graph, or every layer of a network."""
    graph_or_net = _load(file, sizes)
    with _progress() as progress:
        task = progress.add_task("measuring", total=len(as_net(graph_or_net).blocks))

        def on_graph(name: str) -> None:
            progress.update(task, description=f"measuring {name}", advance=1)

        result = report(graph_or_net, quick=quick, time_limit=time_limit, samples=samples, rng=seed, progress=on_graph)
    _print_json(result.to_dict()) if as_json else _wide_console().print(result)


@app.command()
def compare(
    families: Annotated[str, typer.Argument(help="Such as random,left_regular,regular.")],
    sizes: Annotated[str, typer.Argument(help="Such as 64,256 for 64 x 64 and 256 x 256, or 784-300.")],
    degrees: Annotated[str, typer.Argument(help="Such as 3,15: degrees of the larger side; equal edges for all.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Records to write: .csv, .json or .parquet.")],
    seeds: Annotated[int, typer.Option(min=1, help="Graphs of each family, size and degree.")] = 10,
    measures: Annotated[str, typer.Option(help=f"Of {', '.join(MEASURES)}.")] = "degrees,spectrum,expansion",
    show: Annotated[
        str | None,
        typer.Option(help="Column to print as a table: left_alpha, right_alpha, sigma2, ratio, ...; by the measures."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="File that keeps every finished record, so that a later run goes on from there.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Graphs measured at once.")] = 1,
    time_limit: Annotated[
        float | None,
        typer.Option(
            help="Seconds for the vertex expansion of each graph, both sides together, and again for each side that "
            "has isolated vertices; no limit if left out."
        ),
    ] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for plots of expansion and sigma2.")] = None,
) -> None:
    """Compare families of graphs at equal sizes and edges, over many seeds."""
    functions: dict[str, Any] = {name: MEASURES.get(name, name) for name in _words(measures)}
    if time_limit is not None:
        if "expansion" not in functions:
            raise ValueError("--time-limit is for the measure expansion, which --measures leaves out")
        functions["expansion"] = partial(MEASURES["expansion"], time_limit=time_limit)
    rehearsal = study("regular", [2], [1], 1, functions)  # what is wrong shows before hours of measuring
    show = show or next(column for name, column in SHOWN.items() if name in functions)
    rehearsal.summary(show)
    check_place(output)
    if pictures is not None and pictures.exists() and not pictures.is_dir():
        raise ValueError(f"--pictures needs a folder, and {pictures} is a file")
    shapes = [_integers(size, "-", "sizes") for size in sizes.split(",")]
    with _progress() as bar:
        task = bar.add_task("measuring")
        result = study(
            _words(families.replace("-", "_")),
            [shape[0] if len(shape) == 1 else shape for shape in shapes],
            _integers(degrees, ",", "degrees"),
            seeds,
            functions,
            path=resume,
            processes=processes,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    result.save(output)
    console = _wide_console()
    console.print(result.table(show))
    console.print(f"wrote {output}", highlight=False)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for name, figure in figures_of(result).items():
            figure.savefig(pictures / f"{name}.png", dpi=150)
            console.print(f"wrote {pictures / name}.png", highlight=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for pictures and results.")] = Path("demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Networks trained for each family, each with its own graphs.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training digits.")] = 15,
) -> None:
    """Run the main job: four families at equal edges, measured, drawn and trained on real digits; and N2NSkip."""
    console = _wide_console()
    output.mkdir(parents=True, exist_ok=True)
    nets = [job.families(seed) for seed in range(seeds)]
    reports, heat = job.measure(nets[0]), job.heat(nets[0])
    console.print(*job.measures_tables(reports), sep="\n")
    train, train_deep = _training("demo-training"), _training("demo-n2nskip")
    accuracies: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    deep: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    trained: dict[str, list[LayeredGraph]] = {}
    if train is None or train_deep is None:
        console.print(INSTALL_TORCH, markup=False)
    else:
        names, methods = [*nets[0], job.DENSE], [job.RP, job.SKIPS, job.DENSE]
        with _progress() as progress:
            task = progress.add_task("training", total=len(names + methods) * seeds * epochs)
            for name in names:
                progress.update(task, description=f"training {job.TITLES.get(name, name)}")
                runs = [
                    train(nets[seed].get(name), seed=seed, epochs=epochs, on_epoch=lambda: progress.advance(task))
                    for seed in range(seeds)
                ]
                accuracies[name] = np.array(runs)
            for name in methods:
                progress.update(task, description=f"training deep {name}")
                pairs = [
                    train_deep(name, seed=seed, epochs=epochs, on_epoch=lambda: progress.advance(task))
                    for seed in range(seeds)
                ]
                deep[name], trained[name] = np.array([run for run, _ in pairs]), [net for _, net in pairs]
    for path in job.draw_pictures(nets[0], heat, accuracies, output):
        console.print(f"wrote {path}", highlight=False)
    records = output / "results.json"
    records.write_text(json.dumps(job.as_records(reports, heat, accuracies, range(seeds), deep), indent=1) + "\n")
    console.print(f"wrote {records}", highlight=False)
    console.print(job.results_table(reports, heat, accuracies))
    if deep:
        console.print(job.skips_table(trained, deep))


def _training(name: str) -> Callable[..., Any] | None:
    """Return one of the adapter's training functions, or None where torch or the digits are not installed."""
    (entry,) = metadata.entry_points(group="expandergraphs.commands", name=name)
    try:
        return entry.load()  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "mlxtend"):
            raise
        return None


def _load(file: Path, sizes: str | None) -> BipartiteGraph | LayeredGraph:
    return load(file, sizes=None if sizes is None else _integers(sizes, "-", "--sizes"))


def _say_written(path: Path, result: BipartiteGraph | LayeredGraph, as_json: bool) -> None:
    if as_json:
        _print_json({"file": str(path), "n_edges": result.n_edges, "widths": as_net(result).widths})
    else:
        typer.echo(f"{path}: {result!r}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


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
        for part in _words(text):
            first, dots, last = part.partition("..")
            if dots:
                times += map(float, np.geomspace(float(first), float(last), 60))
            else:
                times.append(math.inf if part == "saturated" else float(part))
    except ValueError:
        raise ValueError(f"--times must be numbers, 'saturated', or FIRST..LAST above 0, got {text!r}") from None
    return times


def _integers(text: str, separator: str, name: str) -> list[int]:
    try:
        return [int(part) for part in text.split(separator)]
    except ValueError:
        raise ValueError(f"{name} must be integers separated by '{separator}', got {text!r}") from None


def _print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=1))


def _wide_console() -> Console:
    """Return a console that does not fold tables when the output is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def _progress() -> Progress:
    """Return a progress bar on the standard error output, on a terminal only."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
