"""How results print, and how they become plain data."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

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
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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


def number(value: float) -> str:
    """Format a number with four significant digits, nan as a dash.

    Examples
    --------
    >>> number(13.657756), number(0.1), number(float("nan"))
    ('13.66', '0.1', '-')
    """
    return "-" if math.isnan(value) else f"{value:.4g}"
