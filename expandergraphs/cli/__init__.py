"""The command line ``expandergraphs``, and the only package that prints.

A command is a function with its options as parameters; its docstring is its help. Commands that need torch live in the
adapter and arrive through the entry-point group ``expandergraphs.commands``.
"""

import sys
from importlib import metadata
from typing import Annotated

import typer
from rich.console import Console

from expandergraphs.cli import compare, demo, graphs, measures, report
from expandergraphs.cli._ends import Commands, in_words

EXIT_CODES = "Exit codes: 0 done; 1 refused, one line on stderr; 2 wrong usage; 130 Ctrl-C."

app = typer.Typer(
    cls=Commands,
    help="Expander graphs, their measures, and the sparse networks they make.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    graphs.generate,
    graphs.convert,
    graphs.plot,
    measures.measure,
    measures.heat,
    report.report,
    compare.compare,
    demo.demo,
):
    app.command(epilog=EXIT_CODES)(command)


def main() -> None:
    """Run the command line; an error is one line on the standard error output, and exit code 1."""
    try:
        app()
    except (ValueError, OSError, MemoryError) as error:
        Console(stderr=True).print(
            f"error: {in_words(error)}", style="red", highlight=False, markup=False, soft_wrap=True
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
