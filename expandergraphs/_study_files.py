"""Tidy records as files: CSV, JSON and Parquet, chosen by suffix; each comes back as it was."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from errno import EACCES, EISDIR, ENOENT
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from expandergraphs._files import as_path, replacing
from expandergraphs._study_graphs import Record, Value


class Format(NamedTuple):
    """How records become bytes, and bytes records."""

    dump: Callable[[Sequence[Record]], bytes]
    parse: Callable[[bytes], list[Record]]


def save_records(path: Any, records: Sequence[Record]) -> None:
    """Write records in the format of the suffix; the file is whole or not there."""
    path = as_path("path", path)
    check_place(path)
    content = _format(path).dump(records)
    with replacing(path) as file:
        file.write(content)


def check_place(path: Path) -> None:
    """Refuse a place for records whose format is unknown or needs what is missing, or whose folder is not there."""
    _format(path).dump([])
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(path.parent))
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(EACCES, os.strerror(EACCES), str(path.parent))


def load_records(path: Any) -> list[Record]:
    """Read records in the format of the suffix, or raise ``ValueError``."""
    path = as_path("path", path)
    parse = _format(path).parse
    try:
        records = parse(path.read_bytes())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} holds no records of a study: {error}") from None
    return records


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
    rows = csv.reader(io.StringIO(content.decode(), newline=""))
    columns = next(rows, [])
    return [dict(zip(columns, map(_value, row), strict=True)) for row in rows]


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
    if not isinstance(records, list):
        raise ValueError(f"a list of records is needed, got {type(records).__name__}")
    return [dict(record.items()) for record in records]


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
    records: list[Record] = parquet.read_table(io.BytesIO(content)).to_pylist()
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
