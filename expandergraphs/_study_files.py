"""Tidy records as files: CSV, JSON and Parquet, chosen by suffix; each comes back as it was."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from expandergraphs._files import as_path, check_place, reading, replacing, said
from expandergraphs._study_graphs import Record, Value

T = TypeVar("T")

_FEW = 1 << 20  # values a Parquet file may hold whatever its size


class Format(NamedTuple):
    """How records become bytes, and bytes records."""

    dump: Callable[[Sequence[Record]], bytes]
    parse: Callable[[bytes], list[Record]]


def save_records(path: Any, records: Sequence[Record]) -> None:
    """Write records in the format of the suffix; the file is whole or not there."""
    path = as_path("path", path)
    check_records_place(path)
    content = _format(path).dump(records)
    with replacing(path) as file:
        file.write(content)


def check_records_place(path: Path) -> None:
    """Refuse a place for records whose format is unknown or needs what is missing, or that cannot be written."""
    _format(path).dump([])
    check_place(path)


def load_records(path: Any, check: Callable[[Sequence[Record]], T]) -> T:
    """Return what `check` makes of the records, read in the format of the suffix, or raise ``ValueError``."""
    path = as_path("path", path)
    parse = _format(path).parse
    with reading(path) as file:
        content = file.read()
    try:
        return check(parse(content))
    except Exception as error:  # what damaged bytes provoke in csv, json or pyarrow
        raise ValueError(f"{path} holds no records of a study: {said(error)}") from None


def _format(path: Path) -> Format:
    try:
        return FORMATS[path.suffix]
    except KeyError:
        raise ValueError(f"records are kept as {', '.join(FORMATS)}; got the suffix {path.suffix!r}") from None


def _to_csv(records: Sequence[Record]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    for record in records:
        for column, value in record.items():
            if isinstance(value, str) and (_value(value) != value or "\r" in value):
                raise ValueError(f"CSV would not give back the text {value!r} of {column!r}; choose .json or .parquet")
        writer.writerow(record)
    return text.getvalue().encode()


def _from_csv(content: bytes) -> list[Record]:
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    columns = next(rows, [])
    if len(set(columns)) < len(columns):
        raise ValueError(f"a column is there twice in {columns}")
    records = []
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"line {rows.line_num} has {len(row)} values for {len(columns)} columns")
        records.append(dict(zip(columns, map(_value, row), strict=True)))
    if columns and not records:
        raise ValueError(f"it has the columns {columns} and no record")
    return records


def _value(text: str) -> Value:
    constants: Mapping[str, Value] = {"": None, "True": True, "False": False}
    if text in constants:
        return constants[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


def _to_json(records: Sequence[Record]) -> bytes:
    return json.dumps(list(records), indent=1, allow_nan=False).encode()


def _from_json(content: bytes) -> list[Record]:
    records = json.loads(content)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("a list of objects is needed")
    return records


def _to_parquet(records: Sequence[Record]) -> bytes:
    pa, parquet = _pyarrow()
    buffer = io.BytesIO()
    try:
        parquet.write_table(pa.Table.from_pylist(list(records)), buffer)
    except OverflowError:
        raise ValueError("Parquet holds integers below 2^63; choose .csv or .json") from None
    return buffer.getvalue()


def _from_parquet(content: bytes) -> list[Record]:
    _, parquet = _pyarrow()
    file = parquet.ParquetFile(io.BytesIO(content))
    n_values = file.metadata.num_rows * file.metadata.num_columns
    if n_values > max(_FEW, len(content)):  # repeated values take no space there, and much here
        raise ValueError(f"it states {n_values} values in {len(content)} bytes; write it as .csv or .json")
    records: list[Record] = file.read().to_pylist()
    return records


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise ValueError("Parquet needs pyarrow: pip install pyarrow; .csv and .json need nothing") from None


FORMATS = {
    ".csv": Format(_to_csv, _from_csv),
    ".json": Format(_to_json, _from_json),
    ".parquet": Format(_to_parquet, _from_parquet),
}
