"""Graphs as text: Matrix Market, Graph Challenge TSV, and edge lists.

In all three a line is an edge, its left vertex first; the first two count from 1, the edge list from 0. Lines are
written and parsed a few megabytes at a time, with no Python loop over edges: some 2 s for 10^7 edges either way.

What is read costs memory in proportion to the lines that are there, never to what a header claims, with one exception:
an isolated vertex has no line. A header that states far more vertices than the file has bytes is therefore refused
until the caller confirms it by ``sizes=``.

The parser is NumPy's. SciPy's ``mmread`` allocates what the header claims, and in version 1.17 the valid header of an
empty array (``array real general``, then ``0 5``) ends the process by a division by zero.

References: Matrix Market Exchange Formats, https://math.nist.gov/MatrixMarket/formats.html; Kepner et al., Sparse Deep
Neural Network Graph Challenge, HPEC 2019.
"""

import io
import re
from collections.abc import Iterator
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph, check_sizes
from expandergraphs.layered import packed

Sizes: TypeAlias = tuple[int, int]

_BLOCK = 1 << 24  # bytes parsed at once; no line is longer
_STEP = 1 << 18  # edges written at once
_FEW = 1 << 24  # vertices a header is believed whatever the file's size
_BANNER = b"%%MatrixMarket matrix coordinate pattern general\n"
_PLAIN = b"\t\n\r" + bytes(range(32, 127))  # NumPy's parser would take other bytes for blanks or letters
_FIELDS = ("real", "double", "integer", "unsigned-integer", "pattern")


# --- writing ---


def write_matrix_market(file: IO[bytes], g: BipartiteGraph) -> None:
    """Write the pattern of the biadjacency in coordinates."""
    file.write(_BANNER + b"%d %d %d\n" % (g.n_left, g.n_right, g.n_edges))
    _write_pairs(file, g.edges, 1, b" ", _texts([b"\n"]))


def write_edges(file: IO[bytes], g: BipartiteGraph) -> None:
    """Write ``# n_left n_right n_edges``, then the edges."""
    file.write(b"# %d %d %d\n" % (g.n_left, g.n_right, g.n_edges))
    _write_pairs(file, g.edges, 0, b" ", _texts([b"\n"]))


def write_tsv(file: IO[bytes], g: BipartiteGraph, weights: NDArray[np.float64] | float | None = None) -> None:
    """Write ``row column weight`` by ascending column, as the Graph Challenge does; a pattern's weight is 1.

    A weight is written with six decimals, as there, if these hold it exactly, else with as many digits as it needs.
    """
    if g.n_edges == 0:
        return
    order = np.argsort(g.indices, kind="stable")
    if weights is None:
        tails = _texts([b"\t1\n"])
    else:
        numbers = np.atleast_1d(packed(np.asarray(weights)))
        values, which = np.unique(numbers if numbers.size == 1 else numbers[order], return_inverse=True)
        tails = _texts([b"\t%s\n" % _number(value) for value in values.tolist()])
        if len(tails) > 1:
            tails = tails[which]
    _write_pairs(file, g.edges[order], 1, b"\t", tails)


def _number(value: float) -> bytes:
    short = b"%.6e" % value
    return short if float(short) == value else repr(value).encode()


def _texts(texts: list[bytes]) -> NDArray[np.uint8]:
    """Return one row of characters a text, padded with NUL."""
    return np.array(texts, dtype=bytes).view(np.uint8).reshape(len(texts), -1)


def _write_pairs(file: IO[bytes], pairs: NDArray[Any], base: int, separator: bytes, tails: NDArray[np.uint8]) -> None:
    """Write a line an edge; `tails` are the ends of the lines, one for all or one each."""
    for start in range(0, len(pairs), _STEP):
        part = pairs[start : start + _STEP].astype(np.int64) + base
        width = len(str(part.max()))
        tail = tails if len(tails) == 1 else tails[start : start + _STEP]
        lines = np.empty((len(part), 2 * width + 1 + tail.shape[1]), dtype=np.uint8)
        lines[:, width] = ord(separator)
        lines[:, 2 * width + 1 :] = tail
        _put_digits(lines[:, :width], part[:, 0])
        _put_digits(lines[:, width + 1 : 2 * width + 1], part[:, 1])
        file.write(lines[lines != 0].data)


def _put_digits(columns: NDArray[np.uint8], values: NDArray[np.int64]) -> None:
    """Fill in the decimal digits, NUL for leading zeros."""
    last = columns.shape[1] - 1
    for place in range(last, -1, -1):
        rest = values // 10
        digits = values - 10 * rest + ord("0")
        columns[:, place] = digits if place == last else np.where(values > 0, digits, 0)
        values = rest


# --- reading ---


def read_matrix_market(file: IO[bytes], limit: int, sizes: Sizes | None) -> BipartiteGraph:
    """Read a general matrix, coordinate or array; an edge is a value that is not zero."""
    first = file.readline(_BLOCK)
    banner = first.lower().split()
    if len(banner) != 5 or banner[:2] != [b"%%matrixmarket", b"matrix"]:
        raise ValueError(f"it does not begin with '%%MatrixMarket matrix', but with {first[:40]!r}")
    layout, field, symmetry = (word.decode() for word in banner[2:])
    if layout not in ("coordinate", "array") or field not in _FIELDS or (layout, field) == ("array", "pattern"):
        raise ValueError(f"a coordinate or array matrix of {', '.join(_FIELDS)} is needed, got {layout} {field}")
    if symmetry != "general":
        raise ValueError(f"a general matrix is needed, got a {symmetry} one; write it out in full")
    line = file.readline(_BLOCK)
    while line.startswith(b"%") or line.isspace():
        line = file.readline(_BLOCK)
    counts = line.split()
    if len(counts) != (3 if layout == "coordinate" else 2) or not all(count.isdigit() for count in counts):
        needed = "rows, columns and entries" if layout == "coordinate" else "rows and columns"
        raise ValueError(f"the line after the comments must state {needed}, got {line[:80]!r}")
    n_left, n_right, *entries = map(int, counts)
    n_left, n_right = _agreed((n_left, n_right), sizes, limit)
    if layout == "array":
        return _read_array(file, n_left, n_right)
    pairs, values = _read_pairs(file, (n_left, n_right), 1, 2 if field == "pattern" else 3, entries[0])
    _check_count(len(pairs), entries[0])
    return BipartiteGraph.from_edges(n_left, n_right, pairs if field == "pattern" else pairs[values != 0])


def read_edges(file: IO[bytes], limit: int, sizes: Sizes | None) -> BipartiteGraph:
    """Read an edge list; sizes are stated in its first line or by the caller."""
    first = file.readline(_BLOCK)
    header = re.fullmatch(rb"#\s*(\d+)\s+(\d+)(?:\s+(\d+)\s*|[^\S\n]*\n)", first)
    if header:
        sizes = _agreed((int(header[1]), int(header[2])), sizes, limit)
    elif sizes is None:
        raise ValueError(f"its first line is not '# n_left n_right': give {spelled()}")
    n_edges = int(header[3]) if header and header[3] else None
    rest = b"" if first.startswith(b"#") else first
    pairs, _ = _read_pairs(file, sizes, 0, 2, n_edges, rest)
    if n_edges is not None:
        _check_count(len(pairs), n_edges)
    return BipartiteGraph.from_edges(*sizes, pairs)


def read_tsv(file: IO[bytes], sizes: Sizes) -> tuple[BipartiteGraph, NDArray[np.float64]]:
    """Read a layer of a Graph Challenge network, and the weights in the order of its edges.

    Every line is an edge, also one whose weight is 0. Weights that are all equal share the memory of one.
    """
    n_left, n_right = sizes
    pairs, weights = _read_pairs(file, sizes, 1, 3)
    g = BipartiteGraph.from_edges(n_left, n_right, pairs)
    if weights.size and (weights == weights[0]).all():
        return g, np.broadcast_to(weights[0], weights.size)
    return g, weights[np.argsort(pairs[:, 0] * n_right + pairs[:, 1])]


def _agreed(stated: Sizes, given: Sizes | None, limit: int) -> Sizes:
    """Return the sizes a file of `limit` bytes states, unless they contradict the caller's or are past belief."""
    stated = check_sizes(*stated)
    if given is not None and stated != given:
        raise ValueError(f"it states the sizes {stated}, which differ from those given, {given}")
    if given is None and max(stated) > max(_FEW, limit):
        raise ValueError(
            f"it states the sizes {stated} in {limit} bytes; if that is right, confirm by {spelled(*stated)}"
        )
    return stated


def spelled(n_left: object = "n_left", n_right: object = "n_right") -> str:
    """Write sizes as a caller gives them, and as who uses the command line does."""
    return f"sizes=({n_left}, {n_right}), in the shell --sizes {n_left}-{n_right}"


def _check_count(n_lines: int, stated: int) -> None:
    if n_lines != stated:
        raise ValueError(f"it states {stated} entries and holds {n_lines}")


def _read_pairs(
    file: IO[bytes], sizes: Sizes, base: int, n_columns: int, stated: int | None = None, rest: bytes = b""
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the 0-based pairs, shape (m, 2), and the third column where there is one."""
    n_left, n_right = check_sizes(*sizes)
    if max(n_left, n_right) >= 2**53:
        raise ValueError(f"the text formats number fewer than 2**53 vertices a side, got sizes {sizes}")
    most = n_left * n_right if stated is None else stated
    pairs, values = [np.empty((0, 2), dtype=np.int64)], [np.empty(0)]
    for rows in _rows(file, n_columns, most, rest):
        for side, size, column in (("left", n_left, rows[:, 0]), ("right", n_right, rows[:, 1])):
            wrong = ~((column >= base) & (column < size + base) & (column == np.floor(column)))
            if wrong.any():
                found = f"{column[wrong][0]:.17g}"
                raise ValueError(f"{side} vertices must be integers in {base}..{size - 1 + base}, got {found}")
        pairs.append(rows[:, :2].astype(np.int64) - base)
        if n_columns == 3:
            values.append(_finite(rows[:, 2]).copy())
    return np.concatenate(pairs), np.concatenate(values)


def _read_array(file: IO[bytes], n_left: int, n_right: int) -> BipartiteGraph:
    """Read the values of a dense matrix, column by column, and keep only the places of those that are not zero."""
    places, done = [np.empty(0, dtype=np.int64)], 0
    for rows in _rows(file, 1, n_left * n_right):
        places.append(np.flatnonzero(_finite(rows[:, 0])) + done)
        done += len(rows)
    _check_count(done, n_left * n_right)
    columns, rows_ = np.divmod(np.concatenate(places), max(1, n_left))
    return BipartiteGraph.from_edges(n_left, n_right, np.stack([rows_, columns], axis=1))


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ValueError(f"weights must be finite numbers, got {values[wrong][0]}")
    return values


def _rows(file: IO[bytes], n_columns: int, most: int, rest: bytes = b"") -> Iterator[NDArray[np.float64]]:
    """Yield the lines that follow `rest` as numbers, shape (some, n_columns); at most `most` lines in all."""
    done = 0
    for block in _blocks(file, rest):
        if strange := block.translate(None, delete=_PLAIN):
            raise ValueError(f"it is no plain text: it holds {strange[:1]!r}")
        if not block.strip():
            continue
        try:
            rows = np.loadtxt(io.BytesIO(block), ndmin=2, comments=None)
        except ValueError as error:
            after = f", counted after the first {done} rows" if done else ""
            raise ValueError(f"{str(error).split(';')[0].rstrip('.')}{after}") from error
        if rows.shape[1] != n_columns:
            raise ValueError(f"a line must hold {n_columns} numbers, got {rows.shape[1]}")
        done += len(rows)
        if done > most:
            raise ValueError(f"it holds more than {most} lines, which is all there can be")
        yield rows


def _blocks(file: IO[bytes], rest: bytes) -> Iterator[bytes]:
    """Yield whole lines, some megabytes at a time."""
    while block := file.read(_BLOCK):
        end = block.rfind(b"\n") + 1
        if end == 0 and len(rest) + len(block) > _BLOCK:
            raise ValueError(f"a line is longer than {_BLOCK} bytes")
        if end:
            yield rest + block[:end]
            rest = b""
        rest += block[end:]
    yield rest
