"""Files that are whole or not there, and the optional gzip around them."""

import gzip
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EAGAIN, EINVAL, EISDIR, ELOOP
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LITTLE, _RATIO = 1 << 25, 200  # bytes any file may unpack to, and how many times its size a larger one may


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file for writing that takes the place of `path` once it is complete.

    It is written beside `path` under another name; where anything fails it is removed, and `path` is as it was. A link
    stays a link, and a file that is replaced hands on its mode. A name that ends in ``.gz`` is compressed.
    """
    path = check_place(path)
    unfinished = unfinished_name(path)
    try:
        with creating(unfinished, compressed=path.suffix == ".gz") as file:
            yield file
        if path.exists():
            shutil.copymode(path, unfinished)
        os.replace(unfinished, path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, os.fspath(unfinished)):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error  # a full disk names no file
        raise


def check_place(path: Path) -> Path:
    """Return where a path leads, through links; refuse what cannot be written, as far as can be told beforehand."""
    asked, path = path, Path(os.path.realpath(path))
    if path.is_symlink():
        raise OSError(ELOOP, os.strerror(ELOOP), os.fspath(asked))
    if not path.parent.is_dir():
        folder = path.parent if asked.is_symlink() else asked.parent
        raise FileNotFoundError(f"{asked} cannot be written: there is no folder {folder}")
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), os.fspath(path))
    for place in (path.parent, path):  # the name of a protected file could be taken all the same
        if place.exists() and not os.access(place, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES), os.fspath(place))
    return path


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a picture in the format that its suffix names; the file is whole or not there."""
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)


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
    check_regular(path)
    with open(path, "rb") as raw:
        if path.suffix == ".gz":
            with _Unpacked(fileobj=raw, mode="rb") as file:
                yield file  # type: ignore[misc]
        else:
            yield raw


class _Unpacked(gzip.GzipFile):
    """A compressed file that is read no further than a graph of its size can be long.

    Graphs as lines take a third to a tenth of their size when compressed, dense matrices of 99 % zeros a hundredth; a
    file made to fill the memory, a thousandth.
    """

    def read(self, size: int | None = -1) -> bytes:
        return self._within_limits(super().read(size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._within_limits(super().readline(-1 if size is None else size))

    def _within_limits(self, content: bytes) -> bytes:
        size = os.fstat(self.fileno()).st_size
        if size == 0:
            raise ValueError("it is empty, as no compressed file is")
        if self.tell() > max(_LITTLE, _RATIO * size):
            raise ValueError(f"it unpacks to more than {_RATIO} times its size; if that is right, unpack it first")
        return content


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield a new folder to fill that takes the place of `folder` once it is complete.

    Raises
    ------
    ValueError
        If `folder` is there and is not an empty folder.
    """
    folder = Path(os.path.realpath(folder))
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


def hold(file: IO[bytes]) -> None:
    """Lock an open file until it is closed, or raise ``BlockingIOError`` where another holds it.

    Does nothing where there are no locks, as on Windows and in some file systems of clusters.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        said = "another study is writing it; wait until that is done, or give another path"
        raise BlockingIOError(EAGAIN, said, file.name) from None
    except OSError:
        pass


def release(file: IO[bytes]) -> None:
    """Unlock a file that `hold` locked, for processes forked meanwhile too: they would hold it until they end."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def as_path(name: str, path: Any) -> Path:
    """Return `path` as a ``Path``, or raise ``ValueError``."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{name} must be a string or a path, got {path!r}")
    return Path(path)


def check_regular(path: Path) -> None:
    """Raise ``OSError`` for what is no file, such as a named pipe, from which one would read for ever."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder raises by itself
        raise OSError(EINVAL, "a regular file is needed", str(path))


def said(error: Exception) -> str:
    """Return what an error says, in few words: what a damaged file makes it quote may be long, and is cut."""
    text = str(error) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:400]}..."


def unfinished_name(path: Path) -> Path:
    """Return a new hidden name in the folder of `path`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")
