"""What several commands share: options, how they are read, and how results are shown."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from errno import EACCES
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from expandergraphs._files import check_place
from expandergraphs._words import did_you_mean
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.interchange import load
from expandergraphs.layered import LayeredGraph

GraphFile = Annotated[Path, typer.Argument(help="A graph file; its suffix is the format.")]
Sizes = Annotated[str | None, typer.Option(help="Such as 1024-1024, for a format that does not state them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of the random generator; random if left out.")]
NoProgress = Annotated[
    bool,
    typer.Option(
        "--no-progress", envvar="EXPANDERGRAPHS_NO_PROGRESS", help="Show no progress bar, on a terminal neither."
    ),
]


CHECKPOINTS = (".pt", ".pth")
_LIKE = {"-": "64-64", ",": "2,3"}


def completing(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what completes a word to one of the choices."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def one_of(choices: Collection[str], name: str, word: str, elsewhere: Mapping[str, str] | None = None) -> str:
    """Return the choice that a word is, with - or _ in it, or raise ``ValueError`` with the one that may be meant."""
    choice = word.replace("-", "_")
    if choice not in choices:
        hint = did_you_mean(word, choices, elsewhere or {})
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {word!r}{hint}")
    return choice


def integers(text: str, separator: str, name: str) -> list[int]:
    """Read integers, or raise ``ValueError``."""
    try:
        return [int(part) for part in text.split(separator)]
    except ValueError:
        like = f"such as {_LIKE[separator]}"
        raise ValueError(f"{name} must be integers separated by '{separator}', {like}; got {text!r}") from None


def words(text: str) -> list[str]:
    """Read words separated by commas."""
    return [word.strip() for word in text.split(",")]


def load_graph(file: Path, sizes: str | None) -> BipartiteGraph | LayeredGraph:
    """Read a graph file with the sizes given on the command line, if any."""
    if file.suffix in CHECKPOINTS:
        raise ValueError(
            f"{file} is a checkpoint of a model and no graph file; the command report takes it, and in Python "
            "expandergraphs_torch.network_graph makes the model a network to save"
        )
    return load(file, sizes=None if sizes is None else integers(sizes, "-", "--sizes"))


def names_of(files: Sequence[Path]) -> list[str]:
    """Return the names of files, without folder and suffix where that tells them apart; each may be there once."""
    places = Counter(map(os.path.realpath, files))
    if repeated := [file for file in files if places[os.path.realpath(file)] > 1]:
        raise ValueError(f"{repeated[0]} is named twice")
    stems = Counter(file.stem for file in files)
    return [file.stem if stems[file.stem] == 1 else str(file) for file in files]


def check_picture(path: Path, *others: str) -> None:
    """Refuse a picture that cannot be written, for its place or its format, before anything is computed for it."""
    from matplotlib.backend_bases import FigureCanvasBase

    known = dict.fromkeys([*FigureCanvasBase.get_supported_filetypes(), *others])
    if path.suffix[1:].lower() not in known:
        raise ValueError(f"a picture's format is its suffix, one of .{', .'.join(known)}; got {path.name!r}")
    check_place(path)


def check_folder(name: str, folder: Path) -> None:
    """Refuse a folder that cannot be made or written, as far as can be told beforehand."""
    place = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not place.is_dir():
        raise ValueError(f"{name} needs a folder, and {place} is {'a file' if place.exists() else 'a link to nothing'}")
    if not os.access(place, os.W_OK):
        raise PermissionError(EACCES, os.strerror(EACCES), os.fspath(place))


def print_json(data: object) -> None:
    """Print data as JSON."""
    typer.echo(json.dumps(data, indent=1))


def wide_console() -> Console:
    """Return a console that does not fold tables when the output is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def progress_bar(no_progress: bool) -> Progress:
    """Return a progress bar on the standard error output, on a terminal only."""
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = no_progress or not sys.stderr.isatty()  # rich also takes FORCE_COLOR for a terminal
    return Progress(*columns, console=Console(stderr=True), disable=hidden, transient=True)
