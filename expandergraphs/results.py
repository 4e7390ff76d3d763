"""How results print, and how they become plain data."""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.table import Table


def as_plain(value: Any) -> Any:
    """Turn results into dictionaries, lists and numbers as JSON has them; nan and infinities become None.

    Examples
    --------
    >>> as_plain({"ratio": float("nan"), "sizes": (2, 3)})
    {'ratio': None, 'sizes': [2, 3]}
    """
    if is_dataclass(value):
        return {field.name: as_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Printable(ABC):
    """A result that is a table: on a terminal, as text and in a notebook."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries and lists, ready for JSON."""
        return as_plain(self)  # type: ignore[no-any-return]

    @abstractmethod
    def __rich__(self) -> "Table": ...

    def __str__(self) -> str:
        return as_text(self.__rich__())

    def _repr_html_(self) -> str:
        return as_html(self.__rich__())


def build(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    left: Sequence[str],
    caption: str | None = None,
) -> "Table":
    """Build a table; the columns named in `left` are aligned to the left, all others to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def as_text(table: "Table") -> str:
    """Render a rich table as plain text, as wide as it needs."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=240, color_system=None)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def as_html(table: "Table") -> str:
    """Render a rich table as an HTML table, title and caption above it."""
    above = [str(text) for text in (table.title, table.caption) if text]
    caption = f"<caption>{'<br>'.join(escape(text) for text in above).replace(chr(10), '<br>')}</caption>"
    head = "".join(f"<th>{escape(str(column.header))}</th>" for column in table.columns)
    rows = zip(*(column.cells for column in table.columns), strict=True)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align: {column.justify}">{escape(str(cell))}</td>'
            for column, cell in zip(table.columns, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def number(value: float) -> str:
    """Format a number with four significant digits, nan as a dash.

    Examples
    --------
    >>> number(13.657756), number(0.1), number(float("nan"))
    ('13.66', '0.1', '-')
    """
    return "-" if math.isnan(value) else f"{value:.4g}"
