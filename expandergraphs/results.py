"""How results print, and how they become plain data."""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


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


@dataclass(frozen=True, repr=False)
class Table:
    """A table of text: on a terminal, as text and in a notebook.

    Attributes
    ----------
    title : str
    headings : tuple of str
    rows : tuple of tuple of str
        As many cells each as there are headings.
    left : frozenset of str
        Headings whose columns are aligned to the left; all others to the right.
    caption : str
        What is written below.
    keys : int
        Leading columns that are repeated where a narrow console makes several tables of one.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[str] = frozenset()
    caption: str = ""
    keys: int = 1

    @classmethod
    def of(
        cls,
        title: str,
        headings: Iterable[str],
        rows: Iterable[Iterable[object]],
        *,
        left: Iterable[str] = (),
        caption: str = "",
        keys: int = 1,
    ) -> "Table":
        """Make a table of any cells, as they are written."""
        cells = tuple(tuple(map(str, row)) for row in rows)
        return cls(title, tuple(headings), cells, frozenset(left), caption, keys)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich import table
        from rich.text import Text

        # Beside the grids, not as their own title and caption, which are folded to their width.
        if self.title:
            yield Text(self.title, style="table.title")
        for columns in self._parts(options.max_width):
            grid = table.Table()
            for heading in (self.headings[i] for i in columns):
                grid.add_column(Text(heading), justify="left" if heading in self.left else "right", overflow="fold")
            for row in self.rows:
                grid.add_row(*(Text(row[i]) for i in columns))
            yield grid
        if self.caption:
            yield Text(self.caption, style="table.caption")

    def _parts(self, width: int) -> list[list[int]]:
        """Return the columns of each table that fits, keys first; a cell is folded only where it does not fit alone."""
        from rich.cells import cell_len

        wide = [3 + max(cell_len(row[i]) for row in (self.headings, *self.rows)) for i in range(len(self.headings))]
        keys = list(range(min(self.keys, len(wide))))
        parts = [list(keys)]
        for i in range(len(keys), len(wide)):
            if len(parts[-1]) > len(keys) and 1 + sum(wide[j] for j in (*parts[-1], i)) > width:
                parts.append(list(keys))
            parts[-1].append(i)
        return parts

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=240, color_system=None)
        console.print(self)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.splitlines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def paragraph(text: str) -> str:  # not as the table's caption, which is folded to its width
            return "<p>" + escape(text).replace("\n", "<br>") + "</p>" if text else ""

        head = "".join(f"<th>{escape(heading)}</th>" for heading in self.headings)
        sides = ["left" if heading in self.left else "right" for heading in self.headings]
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align: {side}">{escape(cell)}</td>' for side, cell in zip(sides, row, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<div>{paragraph(self.title)}{table}{paragraph(self.caption)}</div>"


class Printable(ABC):
    """A result that is a table: on a terminal, as text and in a notebook."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries and lists, ready for JSON.

        Returns
        -------
        dict

        Examples
        --------
        >>> from expandergraphs import BipartiteGraph, report
        >>> report(BipartiteGraph.from_edges(2, 2, [(0, 0)])).to_dict()["n_edges"]
        1
        """
        return as_plain(self)  # type: ignore[no-any-return]

    @abstractmethod
    def table(self) -> Table:
        """Return everything that is printed."""

    def __rich__(self) -> Table:
        return self.table()

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def number(value: float) -> str:
    """Format a number with four significant digits, nan as a dash.

    Examples
    --------
    >>> number(13.657756), number(0.1), number(float("nan"))
    ('13.66', '0.1', '-')
    """
    return "-" if math.isnan(value) else f"{value:.4g}"
