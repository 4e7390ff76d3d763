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
complements. A round costs two sorts of the edges.

.. [1] Carstens, Hamann, Meyer, Penschuck, Tran, Wagner. Parallel and I/O-efficient randomisation of massive networks
   using Global Curveball trades. ESA 2018.
"""

import numpy as np

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph, Integers, check_sizes
from expandergraphs.generators.random import edges_asked_for
from expandergraphs.rng import RNG, as_generator

DEFAULT_MIXING_ROUNDS = 20
_CHUNK = 1 << 18  # edges traded at a time: the sorts stay in the processor's cache


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
        Global Curveball rounds after the graph has become simple; 20 by default.

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
    length = -(-count // n_rows)
    column_degrees = np.full(n_columns + 1, count // n_columns)
    column_degrees[rng.choice(n_columns, count % n_columns, replace=False)] += 1
    column_degrees[n_columns] = n_rows * length - count  # the virtual neighbour of the short rows
    columns = np.arange(n_columns + 1, dtype=np.int32 if n_columns < 2**31 - 1 else np.int64)
    rows = _shuffled(np.repeat(columns, column_degrees), rng).reshape(n_rows, length)
    while _has_repeats(rows):
        rows = _curveball_round(rows, rng)
    for _ in range(rounds):
        rows = _curveball_round(rows, rng)
    rows.sort(axis=1)
    real = rows < n_columns
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(real, axis=1))])
    return BipartiteGraph(n_rows, n_columns, indptr, rows[real])


def _curveball_round(rows: Integers, rng: np.random.Generator) -> Integers:
    """Return the rows in a new random order, neighbours traded within consecutive pairs.

    The order may change because the law of the whole does not depend on the names of the rows.
    """
    n_rows, length = rows.shape
    rows = rows[rng.permutation(n_rows)]
    pairs = rows[: n_rows - n_rows % 2].reshape(-1, 2 * length)
    step = max(1, _CHUNK // (2 * length))
    for start in range(0, len(pairs), step):
        _trade(pairs[start : start + step], rng)
    return rows


def _trade(pairs: Integers, rng: np.random.Generator) -> None:
    """Deal out the neighbours of each pair of rows anew, in place; `pairs` has both rows side by side.

    One sort brings equal neighbours together: of two, the first goes to the front, the second to the back, and
    single ones go between them in random order. Cut in the middle, each half is a row.
    """
    pairs.sort(axis=1)
    equal = pairs[:, 1:] == pairs[:, :-1]
    for k in np.flatnonzero((equal[:, 1:] & equal[:, :-1]).any(axis=0)) if equal.any() else ():
        equal[:, k + 1] &= ~equal[:, k]  # of three equal neighbours only two are a couple
    bits = int(pairs.max()).bit_length()
    keys = rng.integers(2**62, size=pairs.shape)
    keys[:, :-1][equal] = 0
    keys[:, 1:][equal] = 2**62
    keys >>= bits
    keys <<= bits
    keys |= pairs
    keys.sort(axis=1)
    keys &= (1 << bits) - 1
    pairs[...] = keys


def _shuffled(values: Integers, rng: np.random.Generator) -> Integers:
    """Return the values in random order, by sorting them under random high bits: six times faster than a shuffle."""
    bits = int(values.max()).bit_length()
    keys = rng.integers(2**63, size=values.size)
    keys >>= bits
    keys <<= bits
    keys |= values
    keys.sort()
    keys &= (1 << bits) - 1
    return keys.astype(values.dtype)


def _has_repeats(rows: Integers) -> bool:
    ordered = np.sort(rows, axis=1)
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())
