"""Files that are whole or not there, and the optional gzip around them."""

import gzip
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file for writing that takes the place of `path` once it is complete.

    It is written beside `path` under another name; where anything fails it is removed, and `path` is as it was. A link
    stays a link, and a file that is replaced hands on its mode. A name that ends in ``.gz`` is compressed.
    """
    path = path.resolve()
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    unfinished = unfinished_name(path)
    try:
        with creating(unfinished, compressed=path.suffix == ".gz") as file:
            yield file
        if path.exists():
            shutil.copymode(path, unfinished)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def creating(path: Path, *, compressed: bool) -> Iterator[IO[bytes]]:
    """Open a file that must not exist yet for writing, and see it to the disk."""
    with open(path, "xb") as raw:
        if compressed:  # without name and date, so that equal graphs make equal files
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as file:
                yield file  # type: ignore[misc]
        else:
            yield raw
        raw.flush()
        os.fsync(raw.fileno())


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading; decompress what a name that ends in ``.gz`` promises."""
    with open(path, "rb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw, mode="rb") as file:
                yield file  # type: ignore[misc]
        else:
            yield raw


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield a new folder to fill that takes the place of `folder` once it is complete.

    Raises
    ------
    ValueError
        If `folder` is there and is not an empty folder.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} must be a new or an empty folder, so that no two networks are mixed")
    unfinished = unfinished_name(folder)
    unfinished.mkdir()
    try:
        yield unfinished
        if folder.exists():
            shutil.copymode(folder, unfinished)
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def as_path(name: str, path: Any) -> Path:
    """Return `path` as a ``Path``, or raise ``ValueError``."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{name} must be a string or a path, got {path!r}")
    return Path(path)


def unfinished_name(path: Path) -> Path:
    """Return a new hidden name in the folder of `path`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")
