"""Measuring many graphs: in this process or in several, each finished record kept in a file as it comes.

The file holds one JSON object a line: first the settings, then the records. A line counts once it is complete, so
whatever stops a study leaves all that was finished, and a torn last line is dropped.
"""

import json
import logging
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import astuple
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from expandergraphs._files import check_regular, hold, release
from expandergraphs._study_graphs import Cell, Measure, Record, described, is_value, measure_cell
from expandergraphs.generators.family import Family

logger = logging.getLogger(__name__)

Families: TypeAlias = Mapping[str, str | Family]
Measures: TypeAlias = Mapping[str, Measure]

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def run(
    cells: Sequence[Cell],
    families: Families,
    measures: Measures,
    *,
    path: Path | None,
    processes: int,
    progress: Callable[[int, int], object] | None,
) -> list[Record]:
    """Return the records of all cells, in their order; those kept at `path` are not measured again."""
    with ExitStack() as open_files:
        kept = None if path is None else open_files.enter_context(closing(Journal(path, families, measures)))
        found = {cell: kept.found[cell] for cell in cells if cell in kept.found} if kept else {}
        missing = [cell for cell in cells if cell not in found]
        if found:
            logger.info("%d of %d records are taken from %s", len(found), len(cells), path)
        if progress is not None:
            progress(len(found), len(cells))
        for cell, record in open_files.enter_context(closing(_measured(missing, families, measures, processes))):
            found[cell] = record
            if kept is not None:
                kept.add(cell, record)
            if progress is not None:
                progress(len(found), len(cells))
    return [found[cell] for cell in cells]


class Journal:
    """The records at a path, of studies with the same measures, families and versions; locked until it is closed.

    Attributes
    ----------
    found : dict {Cell: Record}
        What was there on opening.
    """

    def __init__(self, path: Path, families: Families, measures: Measures) -> None:
        self.path, self.found = path, dict[Cell, Record]()
        self._sources = {label: described(family) for label, family in families.items()}
        settings = {
            "measures": {name: described(measure) for name, measure in measures.items()},
            "versions": {name: metadata.version(name) for name in ("expandergraphs", "numpy", "scipy")},
        }
        if path.exists():
            check_regular(path)
        else:
            path.touch()
        # NFS locks only what is open for writing; a complete file may be protected.
        self._held = open(path, "r+b" if os.access(path, os.W_OK) else "rb")  # noqa: SIM115
        try:
            hold(self._held)
            self._read_all(settings)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others write."""
        release(self._held)
        self._held.close()

    def add(self, cell: Cell, record: Record) -> None:
        """Append one record."""
        self._append({"family": self._sources[cell.family], "cell": astuple(cell), "record": record})

    def _append(self, content: object) -> None:
        try:
            with open(self.path, "ab") as file:
                file.write(_line(content))
        except OSError as error:  # a full disk names no file
            raise OSError(error.errno, error.strerror, os.fspath(self.path)) from error

    def _read_all(self, settings: dict[str, dict[str, str]]) -> None:
        header = {"expandergraphs study": settings}
        content = self._held.read()
        complete = content[: content.rfind(b"\n") + 1]
        if not complete and _line(header).startswith(content):
            os.truncate(self.path, 0)
            self._append(header)
            return
        first, *lines = complete.splitlines() or [b""]
        self._check_settings(first, settings)
        for number, line in enumerate(lines, start=2):
            self._read(number, line)
        if complete != content:
            os.truncate(self.path, len(complete))

    def _check_settings(self, line: bytes, settings: dict[str, dict[str, str]]) -> None:
        try:
            theirs = {name: dict(json.loads(line)["expandergraphs study"][name]) for name in settings}
        except Exception:  # whatever a hostile line provokes
            raise ValueError(f"{self.path} is no file of a study; give the path of one, or a new one") from None
        for name, ours in settings.items():
            if theirs[name] != ours:
                raise ValueError(
                    f"{self.path} holds a study with the {name} {_plain(theirs[name])}, and this one has "
                    f"{_plain(ours)}; their records must not be mixed, so give another path"
                )

    def _read(self, number: int, line: bytes) -> None:
        try:
            row = json.loads(line)
            cell, record, source = Cell(*row["cell"]), dict(row["record"]), row["family"]
            ours = self._sources.get(cell.family, source)
            known = cell.columns | {"refused": record["refused"]}
            if not known.items() <= record.items() or not all(map(is_value, record.values())):
                raise ValueError
            self.found[cell] = record
        except Exception:  # whatever a hostile line provokes
            raise ValueError(f"line {number} of {self.path} is no record; remove it, or give a new path") from None
        if ours != source:
            raise ValueError(f"in {self.path}, {cell.family!r} is {source}, and here {ours}; give another path")


def _line(content: object) -> bytes:
    return json.dumps(content, allow_nan=False).encode() + b"\n"


def _plain(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _measured(
    cells: Sequence[Cell], families: Families, measures: Measures, processes: int
) -> Generator[tuple[Cell, Record], None, None]:
    """Yield every cell with its record, in the order in which they are finished."""
    processes = min(processes, len(cells))
    if processes <= 1:
        for cell in cells:
            yield cell, measure_cell(cell, families[cell.family], measures)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    _check_sendable([*families.items(), *measures.items()])
    # New processes, not copies: threads of this one would not survive copying, and BLAS reads its settings once.
    new = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=new, initializer=_begin_worker)
    try:
        with _single_blas_threads(), _interrupts_later():
            futures = {pool.submit(measure_cell, cell, families[cell.family], measures): cell for cell in cells}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise ChildProcessError(
            "a process of the study ended abruptly, most often for lack of memory, or because the script that calls "
            "study(processes=...) has no `if __name__ == '__main__':`"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Let this process end when the keyboard interrupts, without a word, and when its parent is no more."""
    import multiprocessing

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in a background job, which goes on
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _check_sendable(functions: Iterable[tuple[str, Any]]) -> None:
    for name, function in functions:
        try:
            pickle.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError):
            raise ValueError(
                f"{name!r} cannot be sent to another process; define it at the top level of a module, or use "
                "processes=1"
            ) from None


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Let the keyboard interrupt this process when this is over, and those that start meanwhile when they are ready.

    Else one that still imports what it needs would print where it was.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _single_blas_threads() -> Iterator[None]:
    """Let processes that start meanwhile use one BLAS thread each."""
    before = {name: os.environ.get(name) for name in _BLAS_THREADS}
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
