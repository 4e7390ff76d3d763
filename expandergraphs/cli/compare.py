"""The command ``compare``: families of graphs over many seeds."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from expandergraphs._files import save_figure
from expandergraphs._study_files import check_records_place
from expandergraphs._study_graphs import MEASURES
from expandergraphs.cli._shared import Json, NoProgress, integers, print_json, progress_bar, wide_console, words
from expandergraphs.plotting_study import figures_of
from expandergraphs.results import as_plain
from expandergraphs.study import study

SHOWN = {  # the column that compare prints, by the first of these measures that is made
    "expansion": "left_alpha",
    "spectrum": "sigma2",
    "sampled": "sampled_mean",
    "degrees": "right_degree_maximum",
}


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
    as_json: Json = False,
    no_progress: NoProgress = False,
) -> None:
    """Compare families of graphs at equal sizes and edges, over many seeds.

    Examples
    --------
    $ expandergraphs compare random,regular 12,6-9 3 --seeds 5 -o study.csv
    $ expandergraphs compare random,regular 64 3,8 --measures spectrum -o s.json
    $ expandergraphs compare regular 12 3 -o s.csv --resume s.jsonl --pictures .
    """
    functions: dict[str, Any] = {name: MEASURES.get(name, name) for name in words(measures)}
    if time_limit is not None:
        if "expansion" not in functions:
            raise ValueError("--time-limit is for the measure expansion, which --measures leaves out")
        functions["expansion"] = partial(MEASURES["expansion"], time_limit=time_limit)
    rehearsal = study("regular", [2], [1], 1, functions)  # what is wrong shows before hours of measuring
    show = show or next(column for name, column in SHOWN.items() if name in functions)
    rehearsal.summary(show)
    check_records_place(output)
    if pictures is not None and pictures.exists() and not pictures.is_dir():
        raise ValueError(f"--pictures needs a folder, and {pictures} is a file")
    shapes = [integers(size, "-", "sizes") for size in sizes.split(",")]
    with progress_bar(no_progress) as bar:
        task = bar.add_task("measuring")
        result = study(
            words(families.replace("-", "_")),
            [shape[0] if len(shape) == 1 else shape for shape in shapes],
            integers(degrees, ",", "degrees"),
            seeds,
            functions,
            path=resume,
            processes=processes,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    result.save(output)
    written = [output]
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for name, figure in figures_of(result).items():
            written.append(pictures / f"{name}.png")
            save_figure(figure, written[-1])
    if as_json:
        print_json(
            {"summary": [as_plain(summary) for summary in result.summary(show)], "files": list(map(str, written))}
        )
        return
    console = wide_console()
    console.print(result.table(show))
    for path in written:
        console.print(f"wrote {path}", highlight=False)
