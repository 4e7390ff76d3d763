"""Work in chunks that stay in the processor's cache, shared by threads, with the same result however many there are.

NumPy releases the interpreter's lock in sorts, gathers and random numbers. Each chunk has a random stream of its own.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 18  # array elements
T = TypeVar("T")


def n_processors() -> int:
    """Return the number of processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def chunks_of(n_rows: int, length: int = 1) -> list[slice]:
    """Cut rows of a length into pieces of about `CHUNK` elements; at least one piece."""
    step = max(1, CHUNK // max(1, length))
    return [slice(start, min(start + step, n_rows)) for start in range(0, max(1, n_rows), step)]


def each_chunk(
    function: Callable[[slice, np.random.Generator], T], chunks: Sequence[slice], rng: np.random.Generator
) -> list[T]:
    """Call a function for every chunk with its random stream, and return what it returned, in order."""
    if len(chunks) == 1:
        return [function(chunks[0], rng)]
    seeds = rng.integers(2**63, size=len(chunks)).tolist()
    streams = (np.random.Generator(np.random.SFC64(seed)) for seed in seeds)
    n_threads = min(len(chunks), n_processors())
    if n_threads == 1:
        return list(map(function, chunks, streams))
    with ThreadPoolExecutor(n_threads) as threads:
        return list(threads.map(function, chunks, streams))


def sort_by_threads(values: NDArray[Any]) -> None:
    """Sort a flat array in place; each thread sorts a part that quickselect has set apart."""
    parts, wanted = [values], min(n_processors(), -(-values.size // CHUNK))
    if wanted <= 1:
        values.sort()
        return
    with ThreadPoolExecutor(wanted) as threads:
        while len(parts) < wanted:
            list(threads.map(lambda part: part.partition(part.size // 2), parts))
            parts = [half for part in parts for half in np.split(part, [part.size // 2])]
        list(threads.map(lambda part: part.sort(), parts))
