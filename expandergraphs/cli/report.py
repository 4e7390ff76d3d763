"""The command ``report``: a page about a graph file, or about a checkpoint of a model."""

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from expandergraphs._files import check_place
from expandergraphs.cli._shared import CHECKPOINTS, NoProgress, Sizes, load_graph, progress_bar
from expandergraphs.html.page import write_page
from expandergraphs.html.subject import Subject, as_subject
from expandergraphs.interchange import check_format, load_graphs

INSTALL_TORCH = "a checkpoint needs the adapter for PyTorch: pip install 'expandergraphs[torch]'"


def report(
    file: Annotated[
        Path, typer.Argument(help="A graph file, its suffix is the format; or a state_dict in a .pt or .pth file.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write, ending in .html.")],
    title: Annotated[str | None, typer.Option(help="Headline of the page; the name of the file if left out.")] = None,
    thorough: Annotated[
        bool,
        typer.Option("--thorough", help="Measure everything, as the command measure does; minutes for large layers."),
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds for the vertex expansion of each layer. If left out, layers of up to 5,000 edges are "
            "searched, and larger ones bounded from below.",
        ),
    ] = None,
    include_graph: Annotated[
        bool | None,
        typer.Option(
            "--include-graph/--no-include-graph",
            help="Whether the page carries the graph; if left out, where that takes at most 1 MiB.",
        ),
    ] = None,
    sizes: Sizes = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of searches and samples.")] = 0,
    no_progress: NoProgress = False,
) -> None:
    """Write a web page about a graph or a network: what is wrong with it, every layer, spectra, heat, the data.

    Examples
    --------
    $ expandergraphs report net.npz -o report.html
    $ expandergraphs report model.pt -o report.html --time-limit 10
    $ expandergraphs report g.npz -o report.html --thorough
    """
    if output.suffix.lower() != ".html":
        raise ValueError(f"a report is written as .html, got {output.name!r}")
    check_place(output)
    subject = _subject(file, sizes, title or file.name)
    with progress_bar(no_progress) as progress:
        task = progress.add_task("measuring", total=None)
        write_page(
            output, subject, thorough=thorough, time_limit=time_limit, include_graph=include_graph, rng=seed,
            progress=lambda step: progress.update(task, description=f"measuring {step}", advance=1),
        )  # fmt: skip
    typer.echo(f"wrote {output}")


def _subject(file: Path, sizes: str | None, title: str) -> Subject:
    check_format(file, *CHECKPOINTS)
    if file.suffix in CHECKPOINTS:
        if sizes is not None:
            raise ValueError(f"--sizes is for graph files that do not state them, {file.name} does")
        return _of_checkpoint(file, title)
    try:
        return as_subject(load_graph(file, sizes), title)
    except ValueError:
        if file.suffix != ".npz" or sizes is not None:
            raise
        try:
            return as_subject(load_graphs(file), title)
        except ValueError:
            pass
        raise  # of the first attempt, which most files are meant for


def _of_checkpoint(file: Path, title: str) -> Subject:
    """Read a checkpoint by the adapter, or raise ``ValueError`` with the line that installs it."""
    (entry,) = metadata.entry_points(group="expandergraphs.commands", name="report-checkpoint")
    try:
        read = entry.load()
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ValueError(INSTALL_TORCH) from None
    subject: Subject = read(file, title)
    return subject
