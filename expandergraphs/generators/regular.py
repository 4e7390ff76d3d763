"""d-regular bipartite graphs (RReg): uniform among the simple graphs whose degrees are as equal as they can be.

On each side the degrees differ by at most one, the remainder placed at random. The state is a rectangle: one row
of neighbours for each vertex of the smaller side. When the rows are not all equally long, the short ones hold one
more neighbour, a virtual vertex that is dropped at the end; so every row has the same length, and which rows are
short is random too.

Start: the configuration model (edge ends matched at random), in which a few rows repeat a neighbour. Then Global
Curveball rounds [1]_: pair the rows at random; within each pair, neighbours in both rows stay, the others are dealt out
anew, lengths kept. A neighbour held twice by one row counts as held by both, so the same rounds first *repair* the
repeats (never making a new one; each survives a round with probability about the density) and then *mix*:
`mixing_rounds` further rounds start from a simple graph, and their stationary law is uniform. "Asymptotically
uniform" is the honest word; the tests compare with complete enumerations. Requests above half density are
complements. A round costs two sorts of the edges, in rows; threads share them, and change nothing in the result.

.. [1] Carstens, Hamann, Meyer, Penschuck, Tran, Wagner. Parallel and I/O-efficient randomisation of massive networks
   using Global Curveball trades. ESA 2018.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from expandergraphs._checks import as_integer
from expandergraphs._threads import chunks_of, each_chunk
from expandergraphs.bipartite import BipartiteGraph, check_sizes
from expandergraphs.generators.random import edges_asked_for
from expandergraphs.rng import RNG, as_generator

Rows: TypeAlias = NDArray[np.unsignedinteger[Any]]  # one row of neighbours a vertex

DEFAULT_MIXING_ROUNDS = 10  # total variation distance at most 3e-5 where it could be computed: benchmarks/mixing.py


def random_regular(
    n_left: int,
    n_right: int,
    degree: int | None = None,
    *,
    n_edges: int | None = None,
    rng: RNG = None,
    mixing_rounds: int | None = None,
) -> BipartiteGraph:
    """Draw a random d-regular bipartite graph, asymptotically uniform (*RReg*).

    Parameters
    ----------
    n_left, n_right : int
        Number of vertices of each side.
    degree : int, optional
        Degree of the larger side: ``degree * max(n_left, n_right)`` edges.
    n_edges : int, optional
        Instead of `degree`, any number of edges. On each side the degrees differ by at most one.
    rng : None, int, SeedSequence or Generator
        Source of randomness.
    mixing_rounds : int, optional
        Global Curveball rounds after the graph has become simple; 10 by default, after which the law of graphs
        with 3 to 5 vertices a side, computed exactly, is within 3e-5 of uniform in total variation.

    Raises
    ------
    GenerationError
        If `degree` exceeds the smaller side, or `n_edges` the number of pairs.
    ValueError
        If an argument is out of its range, or not exactly one of `degree` and `n_edges` is given.

    References
    ----------
    Stewart, Michieli, Ozay. Data-Free Model Pruning at Initialization via Expanders. CVPR Workshops 2023. Their code
    collapses repeated edges; this has exactly the number asked for.

    Examples
    --------
    >>> g = random_regular(64, 64, 4, rng=0)
    >>> set(g.left_degrees.tolist()), set(g.right_degrees.tolist())
    ({4}, {4})
    >>> sorted(set(random_regular(784, 300, n_edges=23520, rng=0).right_degrees.tolist()))
    [78, 79]
    """
    n_left, n_right = check_sizes(n_left, n_right)
    small, large = sorted((n_left, n_right))
    count = edges_asked_for("random_regular", n_left, n_right, degree, n_edges, vertices=large, neighbours=small)
    rounds = DEFAULT_MIXING_ROUNDS if mixing_rounds is None else as_integer("mixing_rounds", mixing_rounds)
    generator = as_generator(rng)
    dense = count > n_left * n_right / 2
    graph = _near_regular(small, large, n_left * n_right - count if dense else count, rounds, generator)
    graph = graph.complement if dense else graph
    return graph if n_left == small else graph.T


def _near_regular(n_rows: int, n_columns: int, count: int, rounds: int, rng: np.random.Generator) -> BipartiteGraph:
    """Draw `count` <= n_rows * n_columns / 2 edges; n_rows <= n_columns."""
    if count == 0:
        return BipartiteGraph.from_edges(n_rows, n_columns, [])
    length, (degree, remainder) = -(-count // n_rows), divmod(count, n_columns)
    columns = np.arange(n_columns + 1, dtype=np.uint32 if n_columns < 2**32 - 1 else np.uint64)
    ends = [
        np.repeat(columns[:n_columns], degree),
        columns[rng.choice(n_columns, remainder, replace=False)],
        np.repeat(columns[n_columns:], n_rows * length - count),  # the virtual neighbour of the short rows
    ]
    bits = np.uint64(n_columns.bit_length())
    rows = _shuffled(np.concatenate(ends), bits, rng).reshape(n_rows, length)
    spare = np.empty_like(rows)
    while _has_repeats(rows):
        rows, spare = _curveball_round(rows, spare, bits, rng), rows
    for _ in range(rounds):
        rows, spare = _curveball_round(rows, spare, bits, rng), rows
    rows.sort(axis=1)
    real = rows < n_columns
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(real, axis=1))])
    return BipartiteGraph.adopt(
        n_rows, n_columns, indptr, rows[real].astype(np.int32 if n_columns < 2**31 else np.int64)
    )


def _curveball_round(rows: Rows, traded: Rows, bits: np.uint64, rng: np.random.Generator) -> Rows:
    """Write the rows to `traded`, in a new random order, neighbours traded within consecutive pairs; return it.

    The order may change because the law of the whole does not depend on the names of the rows.
    """
    n_rows, length = rows.shape
    order = rng.permutation(n_rows)
    if n_rows % 2:  # the last one has no partner this time
        traded[-1] = rows[order[-1]]

    def trade(chunk: slice, stream: np.random.Generator) -> None:
        members = slice(2 * chunk.start, 2 * chunk.stop)
        pairs = rows[order[members]].reshape(-1, 2 * length)
        traded[members] = _trade(pairs, bits, stream).reshape(-1, length)

    each_chunk(trade, chunks_of(n_rows // 2, 2 * length), rng)
    return traded


def _trade(pairs: Rows, bits: np.uint64, rng: np.random.Generator) -> Rows:
    """Deal out the neighbours of each pair of rows anew; `pairs` has both rows side by side, and is sorted in place.

    One sort brings equal neighbours together: of two, the first goes to the front, the second to the back, and
    single ones go between them in random order. Cut in the middle, each half is a row.
    """
    pairs.sort(axis=1)
    equal = pairs[:, 1:] == pairs[:, :-1]
    if equal.any():
        for k in np.flatnonzero((equal[:, 1:] & equal[:, :-1]).any(axis=0)):
            equal[:, k + 1] &= ~equal[:, k]  # of three equal neighbours only two are a couple
    keys = _keys(pairs, bits, rng)
    np.copyto(keys[:, :-1], pairs[:, :-1], where=equal)
    np.bitwise_or(pairs[:, 1:], np.uint64(2**63), out=keys[:, 1:], where=equal)
    keys.sort(axis=1)
    keys &= (np.uint64(1) << bits) - np.uint64(1)
    return keys


def _shuffled(values: Rows, bits: np.uint64, rng: np.random.Generator) -> Rows:
    """Return the values in random order, by sorting them under random high bits: six times faster than a shuffle."""
    keys = np.empty(values.size, dtype=np.uint64)

    def fill(chunk: slice, stream: np.random.Generator) -> None:
        keys[chunk] = _keys(values[chunk], bits, stream)

    each_chunk(fill, chunks_of(values.size), rng)
    keys.sort()
    keys &= (np.uint64(1) << bits) - np.uint64(1)
    return keys.astype(values.dtype)


def _keys(values: Rows, bits: np.uint64, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Put each value below random bits; the highest bit is left free."""
    keys = rng.integers(0, 2**64, size=values.shape, dtype=np.uint64)
    keys >>= bits + np.uint64(1)
    keys <<= bits
    keys |= values
    return keys


def _has_repeats(rows: Rows) -> bool:
    for chunk in chunks_of(*rows.shape):
        ordered = np.sort(rows[chunk], axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            return True
    return False
