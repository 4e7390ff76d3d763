"""How a command ends that was refused or interrupted: with one line on the standard error output."""

import os
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from expandergraphs._words import did_you_mean


class Commands(TyperGroup):
    """Commands that say a word when the keyboard interrupts them: that of the interrupt, where it has one."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            typer.echo(f"interrupted; {str(stop) or 'no file is half written'}", err=True)
            raise typer.Exit(130) from None


def in_words(error: Exception) -> str:
    """Return what an error says: of the system's, the file and what is wrong with it, without their numbers."""
    if isinstance(error, OSError) and error.strerror:
        file = error.filename
        if isinstance(error, FileNotFoundError) and isinstance(file, str):
            return f"there is no file {file}{_near(Path(file))}"
        return f"{file}: {error.strerror}" if isinstance(file, str) else error.strerror
    return str(error) or "out of memory"


def _near(path: Path) -> str:
    """Return the end of a message about a missing file: the folder that is missing, or a name like it in the folder."""
    if path.is_symlink():
        return f": the link leads to {os.path.realpath(path)}, which is missing"
    try:
        return did_you_mean(path.stem, (), {file.stem: file.name for file in sorted(path.parent.iterdir())})
    except FileNotFoundError:
        return f": there is no folder {path.parent}"
    except OSError:  # one that may not be read
        return ""
