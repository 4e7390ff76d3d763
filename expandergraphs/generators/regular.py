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
complements. A round costs two sorts of the edges, in rows that stay ascending; threads share the work, and change
nothing in the result.

.. [1] Carstens, Hamann, Meyer, Penschuck, Tran, Wagner. Parallel and I/O-efficient randomisation of massive networks
   using Global Curveball trades. ESA 2018.
"""

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from expandergraphs._checks import as_integer
from expandergraphs._threads import chunks_of, each_chunk, sort_by_threads
from expandergraphs.bipartite import BipartiteGraph, check_sizes
from expandergraphs.generators.random import edges_asked_for
from expandergraphs.rng import RNG, as_generator

Rows: TypeAlias = NDArray[np.unsignedinteger[Any]]  # one row of neighbours a vertex

DEFAULT_MIXING_ROUNDS = 10  # total variation distance at most 3e-5 where it could be computed: benchmarks/mixing.py
_LONG = 2000  # neighbours of a pair of rows


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

    Returns
    -------
    BipartiteGraph

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
    degrees = np.full(n_columns + 1, degree)
    degrees[rng.choice(n_columns, remainder, replace=False)] += 1
    degrees[n_columns] = n_rows * length - count  # the virtual neighbour of the short rows
    rows = _configuration(degrees, rng).reshape(n_rows, length)
    spare, simple = np.empty_like(rows), False
    while not simple:
        simple = _curveball_round(rows, spare, rng)
        rows, spare = spare, rows
    for _ in range(rounds):
        _curveball_round(rows, spare, rng)
        rows, spare = spare, rows
    indices, indptr = rows.reshape(-1), length * np.arange(n_rows + 1)
    if indices.size > count:
        real = rows < n_columns
        indices, indptr = rows[real], np.concatenate([[0], np.cumsum(np.count_nonzero(real, axis=1))])
    return BipartiteGraph.adopt(n_rows, n_columns, indptr, indices.view(f"i{indices.itemsize}"))  # the top bit is free


def _configuration(degrees: NDArray[np.int64], rng: np.random.Generator) -> Rows:
    """Return as many copies of each column as its degree says, in random order.

    They are sorted under random high bits, which is six times faster than a shuffle.
    """
    ends = np.concatenate([[0], np.cumsum(degrees)])
    bits = np.uint64((degrees.size - 1).bit_length())
    keys = np.empty(ends[-1], dtype=np.uint64)

    def draw(chunk: slice, stream: np.random.Generator) -> None:
        mine = keys[ends[chunk.start] : ends[chunk.stop]]
        np.left_shift(_words(stream, mine.size) >> bits, bits, out=mine)
        mine |= np.repeat(np.arange(chunk.start, chunk.stop, dtype=np.uint64), degrees[chunk])

    each_chunk(draw, chunks_of(degrees.size, keys.size // degrees.size), rng)
    sort_by_threads(keys)
    keys &= (np.uint64(1) << bits) - np.uint64(1)
    return keys.astype(np.uint32 if bits < 32 else np.uint64)


def _curveball_round(rows: Rows, traded: Rows, rng: np.random.Generator) -> bool:
    """Write the rows to `traded`, in a new random order, neighbours traded within consecutive pairs.

    The order may change because the law of the whole does not depend on the names of the rows. Return whether every
    row now holds each neighbour once.
    """
    n_rows, length = rows.shape
    order = rng.permutation(n_rows)

    def trade(chunk: slice, stream: np.random.Generator) -> bool:
        members = slice(2 * chunk.start, 2 * chunk.stop)
        pairs = rows.take(order[members], axis=0).reshape(-1, 2 * length)
        simple = _trade(pairs, stream)
        traded[members] = pairs.reshape(-1, length)
        return simple

    simple = all(each_chunk(trade, chunks_of(n_rows // 2, 2 * length), rng))
    if n_rows % 2:  # the last one has no partner this time
        traded[-1] = last = np.sort(rows[order[-1]])
        simple = simple and bool((last[1:] != last[:-1]).all())
    return simple


def _trade(pairs: Rows, rng: np.random.Generator) -> bool:
    """Deal out the neighbours of each pair of rows anew, ascending; `pairs` has both rows side by side.

    A sort brings equal neighbours together. A random half of the neighbours gets the highest bit, of two equal ones
    the second; another sort moves that half to the second row. Return whether each row now holds each neighbour once.
    """
    n_pairs, width = pairs.shape
    pairs.sort(axis=1)
    flat, second = pairs.reshape(-1), _halves(n_pairs, width, rng)
    equal = flat[1:] == flat[:-1]
    equal[width - 1 :: width] = False  # the last of one pair and the first of the next
    found = np.flatnonzero(equal)
    rank = np.arange(found.size)  # among the repeats of one neighbour in one pair
    rank[1:] -= np.maximum.accumulate(rank[1:] * (found[1:] > found[:-1] + 1))
    if found.size:
        row, place = np.divmod(found[rank % 2 == 0], width)
        coupled = np.zeros(n_pairs, dtype=bool)
        coupled[row] = True
        keys = _words(rng, (int(np.count_nonzero(coupled)), width))
        row = np.cumsum(coupled)[row] - 1
        keys[row, place], keys[row, place + 1] = 0, 2**64 - 1
        second[coupled] = _upper_half(keys)
    top = pairs.dtype.type(8 * pairs.itemsize - 1)
    pairs |= second.astype(pairs.dtype) << top
    pairs.sort(axis=1)
    pairs &= ~(pairs.dtype.type(1) << top)
    return not rank.any()


def _halves(n: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw `n` rows of `width` bits, half of them ones, every such row equally likely.

    Random words of which half the bits happen to be ones are kept, one in sqrt(pi width / 2). Long rows would
    waste too many.
    """
    if width > _LONG:
        return _upper_half(_words(rng, (n, width)))
    tries, columns = 1.1 * math.sqrt(math.pi * width / 2), -(-width // 64)
    found, missing = [np.empty((0, columns), dtype=np.uint64)], n
    while missing > 0:
        words = _words(rng, (math.ceil(missing * tries) + 8, columns))
        words[:, -1] >>= np.uint64(-width % 64)
        ones = np.bitwise_count(words)
        found.append(words[(ones[:, 0] if columns == 1 else ones.sum(axis=1, dtype=int)) == width // 2])
        missing -= len(found[-1])
    kept = np.concatenate(found)[:n].astype("<u8", copy=False)
    return np.unpackbits(kept.view(np.uint8), axis=1, count=width, bitorder="little")


def _upper_half(keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Mark the larger half of each row."""
    middle = keys.shape[1] // 2 - 1
    return (keys > np.partition(keys, middle, axis=1)[:, middle : middle + 1]).view(np.uint8)


def _words(rng: np.random.Generator, shape: int | tuple[int, int]) -> NDArray[np.uint64]:
    return rng.integers(0, 2**64, size=shape, dtype=np.uint64)
