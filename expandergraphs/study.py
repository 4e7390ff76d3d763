"""A study: families of graphs compared at equal sizes and equal numbers of edges, over many seeds.

One graph a family, size, number of edges and seed; each draws from a random stream keyed by these four, so adding a
family, a size, a degree or a seed changes no other graph. The result is tidy: one record a graph, one column a number.

Where a cell has no graph of its family (RadiX-Net realises only certain counts; a degree may exceed a side) its record
says so in the column ``refused``, and its measures are None.

What is compared, and how sure a comparison is: `Study.summary` and `Study.table`. Plots:
`expandergraphs.plotting_study`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from expandergraphs._checks import as_integer, as_list, exactly_one
from expandergraphs._files import as_path
from expandergraphs._study_files import load_records, save_records
from expandergraphs._study_graphs import MEASURES as MEASURES
from expandergraphs._study_graphs import Cell, Measure, Record, Value, is_value
from expandergraphs._study_run import run
from expandergraphs._study_summary import Summary, summarise, table_of
from expandergraphs.generators.family import FAMILIES, Family
from expandergraphs.results import Table

T = TypeVar("T")

KEYS = ("family", "n_left", "n_right", "n_edges", "seed", "degree", "refused")
_SHOWN = 10  # records in a notebook


@dataclass(frozen=True, repr=False)
class Study:
    """Tidy records: one a graph, all with the same columns.

    Attributes
    ----------
    records : tuple of dict
        Columns ``family, n_left, n_right, n_edges, seed, degree, refused``, then those of the measures. `degree` is
        ``n_edges / max(n_left, n_right)``; a value that does not exist, or is not finite, is None.
        ``pandas.DataFrame(study.records)`` is a data frame.

    Raises
    ------
    ValueError
        If a record lacks a column that another has, or one of those above, a value is none of the above: a text, a
        bool, an integer, a finite float or None, a family is no text, or a size, the edges or a seed no integer.

    Examples
    --------
    >>> found = study(["random", "regular"], [8], [2], 2, ["degrees"])
    >>> found
    Study(4 records: random, regular; 8 x 8; 16 edges)
    >>> found.records[0]["n_edges"]
    16
    """

    records: tuple[Record, ...]

    def __post_init__(self) -> None:
        columns = list(self.records[0]) if self.records else list(KEYS)
        for record in self.records:
            if list(record) != columns or not set(KEYS) <= set(columns):
                raise ValueError(
                    f"every record needs the columns {', '.join(KEYS)} and those of the first; got {record}"
                )
            if bad := [(column, value) for column, value in record.items() if not is_value(value)]:
                raise ValueError(
                    "a value must be a text, a bool, an integer, a finite float or None; got "
                    f"{bad[0][0]} = {bad[0][1]!r}"
                )
            if not isinstance(record["family"], str) or not all(isinstance(record[key], int) for key in KEYS[1:5]):
                raise ValueError(f"a family is a text, sizes, edges and seed are integers; got {record}")

    @classmethod
    def load(cls, path: str | Path) -> "Study":
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or Path
            Ending in .csv, .json or .parquet.

        Returns
        -------
        Study

        Raises
        ------
        ValueError
            If the suffix is unknown, or the file holds no records of a study.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import tempfile
        >>> found = study("regular", [8], [2], 2, ["degrees"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found.save(f"{folder}/records.csv")
        ...     Study.load(f"{folder}/records.csv") == found
        True
        """
        return load_records(path, lambda records: cls(tuple(records)))

    def save(self, path: str | Path) -> None:
        """Write the records; the suffix is the format: .csv, .json or .parquet, which needs pyarrow.

        Parameters
        ----------
        path : str or Path
            What is there is replaced.

        Raises
        ------
        ValueError
            If the suffix is unknown, or the format needs what is not installed.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     study("regular", [8], [2], 2, ["degrees"]).save(f"{folder}/records.json")
        """
        save_records(path, self.records)

    def where(self, **columns: Value) -> "Study":
        """Return the records with these values.

        Parameters
        ----------
        **columns : str, int, float, bool or None
            What every record returned has.

        Returns
        -------
        Study

        Raises
        ------
        ValueError
            If there is no such column.

        Examples
        --------
        >>> study("regular", [6, 8], [2], 3, ["degrees"]).where(n_left=8, seed=0)
        Study(1 record: regular; 8 x 8; 16 edges)
        """
        if unknown := [name for name in columns if self.records and name not in self.records[0]]:
            raise ValueError(f"there is no column {unknown[0]!r}; there are {', '.join(self.records[0])}")
        return Study(tuple(record for record in self.records if columns.items() <= record.items()))

    def summary(self, quantity: str) -> tuple[Summary, ...]:
        """Summarise a quantity over the graphs of every size, number of edges and family.

        Parameters
        ----------
        quantity : str
            A column such as ``"sigma2"``, or the common part of two, ``"left_alpha"`` for ``left_alpha_lower`` and
            ``left_alpha_upper``.

        Returns
        -------
        tuple of Summary
            With limits of the mean over the family, at 95 % confidence, and ``a.versus(b)``: "higher", "lower" or
            "unresolved". `Summary` says how they are formed, and what they cannot see.

        Raises
        ------
        ValueError
            If graphs were measured, and no column of numbers has that name.

        Examples
        --------
        >>> regular, random = study(["regular", "random"], [64], [3], 10, ["spectrum"]).summary("sigma2")
        >>> regular.graphs, regular.versus(random), random.versus(regular)
        (10, 'lower', 'higher')
        """
        return summarise(self.records, quantity)

    def table(self, quantity: str) -> Table:
        """Build the summary of a quantity as a table: one row a family, ordered against those above it.

        A family that has no such graph says why.

        Parameters
        ----------
        quantity : str
            As for `summary`.

        Returns
        -------
        Table

        Raises
        ------
        ValueError
            As `summary` does.

        Examples
        --------
        >>> study(["random", "regular"], [8], [2], 6, ["degrees"]).table("right_degree_maximum").headings
        ('size', 'edges', 'degree', 'family', 'graphs', 'mean', '95 % limits', 'against those above')
        """
        return table_of(self.records, quantity)

    def __repr__(self) -> str:
        def distinct(text: Callable[[Any], str]) -> list[str]:
            return list(dict.fromkeys(map(text, self.records)))

        def many(names: list[str]) -> str:
            return ", ".join(names if len(names) <= 4 else [*names[:3], "...", names[-1]])

        families, edges = distinct(lambda record: record["family"]), distinct(lambda record: str(record["n_edges"]))
        sizes = distinct(lambda record: f"{record['n_left']} x {record['n_right']}")
        count = f"{len(self.records)} record{'s' if len(self.records) != 1 else ''}"
        return (
            f"Study({count}: {many(families)}; {many(sizes)}; {many(edges)} edges)"
            if self.records
            else "Study(0 records)"
        )

    def _repr_html_(self) -> str:
        shown = self.records[:_SHOWN]
        rows = [["–" if value is None else value for value in record.values()] for record in shown]
        more = f"and {len(self.records) - len(shown)} more" if len(self.records) > len(shown) else ""
        headings = self.records[0] if self.records else KEYS
        return Table.of(repr(self), headings, rows, left=["family"], caption=more)._repr_html_()


def study(
    families: str | Family | Iterable[str | Family] | Mapping[str, str | Family],
    sizes: Iterable[int | Sequence[int]],
    degrees: Iterable[int] | None = None,
    seeds: int | Iterable[int] = 10,
    measures: str | Measure | Iterable[str | Measure] | Mapping[str, str | Measure] = (
        "degrees",
        "spectrum",
        "expansion",
    ),
    *,
    n_edges: Iterable[int] | None = None,
    path: str | Path | None = None,
    processes: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> Study:
    """Draw and measure graphs of several families at equal sizes and equal numbers of edges.

    Parameters
    ----------
    families : str, function, sequence or mapping
        Names ("random", "left_regular", "regular", "radix") or functions (n_left, n_right, n_edges, rng) -> graph; as a
        mapping, what the records shall call them: ``{"X-Net": "left_regular"}``. A function that raises GenerationError
        has no such graph. "radix" is the first layer of the RadiX-Net of two radices (r, N'/r), N' the greatest common
        divisor of the sizes: it has ``lcm(n_left, n_right) * r`` edges, r a divisor of N', and is the same for every
        seed.
    sizes : sequence of int or (int, int)
        n for n x n, or (n_left, n_right).
    degrees : sequence of int, optional
        Of the larger side: ``degree * max(n_left, n_right)`` edges, for every family.
    seeds : int or sequence of int
        ``k`` stands for 0..k-1.
    measures : str, function, sequence or mapping
        Names ("degrees", "spectrum", "expansion", "sampled") or functions from a graph to a dictionary of numbers, each
        a column; one with a parameter ``rng`` is given a Generator. As a mapping, what they shall be called, and with
        ``functools.partial`` their options: ``{"expansion": partial(MEASURES["expansion"], time_limit=5)}``.
    n_edges : sequence of int, optional
        Instead of `degrees`, numbers of edges.
    path : str or Path, optional
        A file that keeps every finished record, one JSON object a line. A later call, with any families, sizes, degrees
        and seeds, measures only what is not in it. A file of other measures, other options or other versions of the
        libraries is refused. A function must be one defined at the top level of a module, or a ``functools.partial`` of
        one, and counts as the same if its name and bound arguments are; so give another path when you change what it
        does.
    processes : int
        How many at once; 1 is this process itself. More are new Python processes, with one BLAS thread each: functions
        must then be importable, and a script needs its ``if __name__ == "__main__":``.
    progress : callable (done, total), optional
        Called at the start and after every record.

    Returns
    -------
    Study
        Records ordered by size, number of edges, family and seed as given, the same whatever `processes` is (a measure
        with a time limit aside, which depends on what else the machine does).

    Raises
    ------
    ValueError
        If an argument is out of its range or names something twice, a measure returns what is no number or a column
        that is there already, or the file at `path` belongs to another study.
    OSError
        If `path` cannot be read or written, or a process ends abruptly.

    Notes
    -----
    Interrupting (Ctrl-C) loses only the graphs being measured, where there is a `path`.

    Examples
    --------
    >>> result = study({"X-Net": "left_regular", "RReg": "regular"}, [16], [3], seeds=2, measures=["degrees"])
    >>> result
    Study(4 records: X-Net, RReg; 16 x 16; 48 edges)
    >>> [(record["family"], record["seed"], record["right_degree_mean"]) for record in result.records]
    [('X-Net', 0, 3.0), ('X-Net', 1, 3.0), ('RReg', 0, 3.0), ('RReg', 1, 3.0)]
    """
    draw: dict[str, str | Family] = _named("families", families, FAMILIES)
    functions = {
        name: MEASURES[measure] if isinstance(measure, str) else measure
        for name, measure in _named("measures", measures, MEASURES).items()
    }
    seeds = seeds if isinstance(seeds, Iterable) else range(as_integer("seeds", seeds))
    numbers = _distinct("seeds", [as_integer("each seed", seed) for seed in as_list("seeds", seeds)])
    counts = _counts(sizes, degrees, n_edges)
    cells = [Cell(family, *count, seed) for count in counts for family in draw for seed in numbers]
    path = None if path is None else as_path("path", path)
    processes = as_integer("processes", processes, minimum=1)
    records = run(cells, draw, functions, path=path, processes=processes, progress=progress)
    names = dict.fromkeys(name for record in records for name in record)
    return Study(tuple({name: record.get(name) for name in names} for record in records))


def _named(kind: str, values: Any, known: Iterable[str]) -> dict[str, Any]:
    """Return {label: name or function}; a function in a sequence is called by its own name."""
    if isinstance(values, str) or callable(values):
        values = [values]
    if not isinstance(values, Mapping):
        values = [
            (value if isinstance(value, str) else getattr(value, "__name__", repr(value)), value)
            for value in as_list(kind, values)
        ]
        _distinct(kind, [label for label, _ in values])
        values = dict(values)
    for label, value in values.items():
        if not isinstance(label, str) or not (value in known if isinstance(value, str) else callable(value)):
            raise ValueError(
                f"{kind} must be of {', '.join(known)}, or functions, with a name each; got {label!r}: {value!r}"
            )
    if not values:
        raise ValueError(f"{kind} must not be empty")
    return dict(values)


def _counts(sizes: Any, degrees: Any, n_edges: Any) -> list[tuple[int, int, int]]:
    """Return (n_left, n_right, n_edges) for every size and degree or number of edges."""
    shapes = []
    for size in as_list("sizes", sizes):
        shape = size if isinstance(size, tuple | list) else (size, size)
        if len(shape) != 2:
            raise ValueError(f"each size must be n or (n_left, n_right), got {size!r}")
        shapes.append(tuple(as_integer("each size", n, minimum=1) for n in shape))
    given = exactly_one("study", degrees=degrees, n_edges=n_edges)
    asked = as_list(given, degrees if degrees is not None else n_edges)
    counts = _distinct(given, [as_integer(f"each of {given}", count) for count in asked])
    return [
        (n_left, n_right, count * max(n_left, n_right) if given == "degrees" else count)
        for n_left, n_right in _distinct("sizes", shapes)
        for count in counts
    ]


def _distinct(name: str, values: list[T]) -> list[T]:
    """Return the values, at least one, none twice: a graph counted twice would feign certainty."""
    repeated = [value for value, times in Counter(values).items() if times > 1]
    if repeated or not values:
        raise ValueError(f"{name} has {repeated[0]!r} twice" if repeated else f"{name} must not be empty")
    return values
