"""The command ``compare``: families of graphs over many seeds."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from expandergraphs._files import check_place, save_figure
from expandergraphs._study_files import check_records_place
from expandergraphs._study_graphs import MEASURES, Record
from expandergraphs._words import did_you_mean
from expandergraphs.cli._shared import (
    Json,
    NoProgress,
    check_folder,
    integers,
    one_of,
    print_json,
    progress_bar,
    wide_console,
    words,
)
from expandergraphs.generators.family import FAMILIES, IN_PAPERS
from expandergraphs.plotting_study import figures_of
from expandergraphs.results import as_plain
from expandergraphs.study import study

SHOWN = {  # the column that compare prints, by the first of these measures that is made
    "expansion": "left_alpha",
    "spectrum": "sigma2",
    "sampled": "sampled_mean",
    "degrees": "right_degree_maximum",
}
_MOST_REASONS = 3  # in the line that says why nothing can be measured
_OF_A_CELL = ("family", "n_left", "n_right", "n_edges", "degree", "refused")


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
            min=0,
            help="Seconds for the vertex expansion of each graph, both sides together, and again for each side that "
            "has isolated vertices; no limit if left out.",
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
    known = [one_of(FAMILIES, "each family", word, IN_PAPERS) for word in words(families)]
    names = [one_of(MEASURES, "each of --measures", word) for word in words(measures)]
    functions: dict[str, Any] = {name: MEASURES[name] for name in names}
    if time_limit is not None:
        if "expansion" not in functions:
            raise ValueError("--time-limit is for the measure expansion, which --measures leaves out")
        functions["expansion"] = partial(MEASURES["expansion"], time_limit=time_limit)
    show = show or next(column for name, column in SHOWN.items() if name in functions)
    _rehearse(functions, show)
    check_records_place(output)
    if pictures is not None:
        check_folder("--pictures", pictures)
    if resume is not None and not resume.exists():
        check_place(resume)
    with progress_bar(no_progress) as bar:
        task = bar.add_task("measuring")
        try:
            result = study(
                known,
                [_size(word) for word in words(sizes)],
                integers(degrees, ",", "degrees"),
                seeds,
                functions,
                path=resume,
                processes=processes,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except KeyboardInterrupt:
            kept = f"{resume} keeps what is finished, and the same command goes on from there"
            raise KeyboardInterrupt(kept if resume else "nothing is kept without --resume") from None
    refused = [record for record in result.records if record["refused"] is not None]
    if len(refused) == len(result.records):
        raise ValueError(f"no graph can be measured: {_reasons(refused)}")
    result.save(output)
    written = [output]
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for name, figure in figures_of(result).items():
            written.append(pictures / f"{name}.png")
            save_figure(figure, written[-1])
    if as_json:
        summary = [as_plain(row) for row in result.summary(show)]
        print_json({"summary": summary, "refused": _cells(refused), "files": list(map(str, written))})
        return
    console = wide_console()
    console.print(result.table(show))
    if refused:
        left_out = f"{len(refused)} of {len(result.records)} graphs do not exist and are left out"
        console.print(f"{left_out}; the table says why", highlight=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False)


def _rehearse(functions: Mapping[str, Any], show: str) -> None:
    """Measure a little graph, so that what is wrong shows before hours of measuring."""
    rehearsal = study("regular", [2], [1], 1, functions)
    try:
        rehearsal.summary(show)
    except ValueError as error:
        columns = [
            name.removesuffix("_lower") for name, value in rehearsal.records[0].items() if not isinstance(value, str)
        ]
        raise ValueError(f"--show: {error}{did_you_mean(show, columns)}") from None


def _size(text: str) -> int | list[int]:
    sides = integers(text, "-", "each size")
    if len(sides) > 2:
        raise ValueError(f"each size must be one number or two, such as 64 or 784-300; got {text!r}")
    return sides[0] if len(sides) == 1 else sides


def _cells(refused: Iterable[Record]) -> list[Record]:
    """Return what there is no graph of, and why, once for all seeds."""
    cells = [{key: value for key, value in record.items() if key in _OF_A_CELL} for record in refused]
    return list({tuple(cell.values()): cell for cell in cells}.values())


def _reasons(refused: Iterable[Record]) -> str:
    reasons = list(dict.fromkeys(str(record["refused"]).replace("n_edges", "numbers of edges") for record in refused))
    more = f"; and {len(reasons) - _MOST_REASONS} more" if len(reasons) > _MOST_REASONS else ""
    return "; ".join(reasons[:_MOST_REASONS]) + more
