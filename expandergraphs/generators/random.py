"""Random and d-left-regular bipartite graphs (X-Net), exactly uniform.

*Random*: a set of `n_edges` distinct pairs, every such set equally likely, G(n, m); with `p` each pair is there
independently, G(n, p): a binomial number of edges, then G(n, m). *d-left-regular*: every left vertex picks `degree`
distinct right vertices, uniformly and independently [1]_. A sparse request is drawn with repeats and drawn again
where it repeats; a dense one is the complement of a sparse one. Time and memory are O(n_edges).

Trap: a left-regular graph leaves right vertices empty when there are many of them: from 64 to 512 with degree 4, about
60 % of the outputs receive nothing.

.. [1] Prabhu, Varma, Namboodiri. Deep Expander Networks. ECCV 2018. Their released code makes the smaller side regular.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandergraphs._checks import as_fraction, as_integer, edges_of_density, exactly_one
from expandergraphs._threads import chunks_of, each_chunk
from expandergraphs.bipartite import BipartiteGraph, Integers, check_sizes
from expandergraphs.errors import GenerationError
from expandergraphs.rng import RNG, as_generator

_RANGE = 1 << 17  # draws in a range


def random_bipartite(
    n_left: int,
    n_right: int,
    *,
    n_edges: int | None = None,
    density: float | None = None,
    p: float | None = None,
    rng: RNG = None,
) -> BipartiteGraph:
    """Draw a uniformly random bipartite graph (the *Random* family).

    Parameters
    ----------
    n_left, n_right : int
        Number of vertices of each side.
    n_edges, density, p : number
        Exactly one of them. `n_edges` and `density` are exact (``round(density * n_left * n_right)`` edges);
        with `p` each pair is an edge independently.
    rng : None, int, SeedSequence or Generator
        Source of randomness.

    Returns
    -------
    BipartiteGraph

    Raises
    ------
    GenerationError
        If `n_edges` exceeds ``n_left * n_right``.
    ValueError
        If an argument is out of its range, or not exactly one of the three is given.

    Examples
    --------
    >>> random_bipartite(100, 50, density=0.1, rng=0)
    BipartiteGraph(100 x 50, 500 edges, density 0.1)
    """
    n_left, n_right = check_sizes(n_left, n_right)
    n_pairs, generator = n_left * n_right, as_generator(rng)
    given = exactly_one(f"random_bipartite({n_left}, {n_right})", n_edges=n_edges, density=density, p=p)
    if given == "p":
        count = int(generator.binomial(n_pairs, as_fraction("p", p)))
    else:
        count = as_n_edges("random_bipartite", n_left, n_right, n_edges=n_edges, density=density)
    if count > n_pairs / 2:
        return _uniform(n_left, n_right, n_pairs - count, generator).complement
    return _uniform(n_left, n_right, count, generator)


def random_left_regular(
    n_left: int, n_right: int, degree: int | None = None, *, n_edges: int | None = None, rng: RNG = None
) -> BipartiteGraph:
    """Draw a uniformly random graph in which every left vertex has the same degree (*X-Net*).

    Parameters
    ----------
    n_left, n_right : int
        Number of vertices of each side.
    degree : int, optional
        Degree of every left vertex.
    n_edges : int, optional
        Instead of `degree`: this many edges, left degrees differing by at most one, the remainder placed at random.
    rng : None, int, SeedSequence or Generator
        Source of randomness.

    Returns
    -------
    BipartiteGraph

    Raises
    ------
    GenerationError
        If a left vertex would need more than `n_right` neighbours.
    ValueError
        If an argument is out of its range, or not exactly one of `degree` and `n_edges` is given.

    References
    ----------
    Prabhu, Varma, Namboodiri. Deep Expander Networks. ECCV 2018, section 3.

    Examples
    --------
    >>> g = random_left_regular(64, 32, 8, rng=0)
    >>> set(g.left_degrees.tolist())
    {8}
    """
    n_left, n_right = check_sizes(n_left, n_right)
    count = edges_asked_for(
        "random_left_regular", n_left, n_right, degree, n_edges, vertices=n_left, neighbours=n_right
    )
    generator = as_generator(rng)
    if count > n_left * n_right / 2:
        return _left_regular(n_left, n_right, n_left * n_right - count, generator).complement
    return _left_regular(n_left, n_right, count, generator)


def edges_asked_for(
    family: str, n_left: int, n_right: int, degree: int | None, n_edges: int | None, *, vertices: int, neighbours: int
) -> int:
    """Return the number of edges that a degree of `vertices` with `neighbours` to choose from, or a number, means."""
    if exactly_one(f"{family}({n_left}, {n_right})", degree=degree, n_edges=n_edges) == "n_edges":
        return as_n_edges(family, n_left, n_right, n_edges=n_edges)
    degree = as_integer("degree", degree)
    if degree > neighbours:
        side = "n_right" if vertices == n_left and neighbours == n_right else "n_left"
        raise GenerationError(
            f"{family}({n_left}, {n_right}, degree={degree}): degree exceeds {side} = {neighbours}; "
            f"the nearest feasible degree is {neighbours}"
        )
    return degree * vertices


def as_n_edges(
    family: str, n_left: int, n_right: int, *, n_edges: int | None = None, density: float | None = None
) -> int:
    """Return the requested number of edges, or raise, naming the largest that fits."""
    if density is not None:
        return edges_of_density(density, n_left * n_right)
    count = as_integer("n_edges", n_edges)
    if count > n_left * n_right:
        raise GenerationError(
            f"{family}({n_left}, {n_right}, n_edges={count}): n_edges exceeds the {n_left * n_right} pairs; "
            f"the nearest feasible n_edges is {n_left * n_right}"
        )
    return count


def _uniform(n_left: int, n_right: int, count: int, rng: np.random.Generator) -> BipartiteGraph:
    """Draw `count` <= n_left * n_right / 2 edges, every such set equally likely.

    The pairs are numbered, and numbers drawn with repeats until there are enough different ones; then a random surplus
    is dropped. The law does not change when the numbers are renamed, so every set of this size is equally likely. How
    many draws fall into each of many ranges is drawn first; then the ranges are independent of each other.
    """
    if count == 0:
        return BipartiteGraph.from_edges(n_left, n_right, [])
    # What memory cannot hold is refused here, before hours of draws.
    indices: Integers = np.empty(count, dtype=np.int32 if n_right < 2**31 else np.int64)
    n_pairs, surplus = n_left * n_right, -1
    while surplus < 0:
        starts, parts = _different_numbers(n_pairs, count, rng)
        ends = np.cumsum([part.size for part in parts])
        surplus = int(ends[-1]) - count
    dropped = np.sort(rng.choice(int(ends[-1]), surplus, replace=False))
    gone = np.searchsorted(dropped, ends)  # of all numbers up to the end of each range
    indptr = np.zeros(n_left + 1, dtype=np.int64)

    def place(chunk: slice, _: np.random.Generator) -> None:
        k = chunk.start
        first = ends[k] - parts[k].size
        numbers = np.delete(parts[k], dropped[gone[k - 1] if k else 0 : gone[k]] - first)
        stop = ends[k] - gone[k]
        begin = stop - numbers.size
        rows = np.arange(starts[k] // n_right, starts[k + 1] // n_right + 1)
        origins = rows * n_right - starts[k]  # a row's first pair, counted within the range
        cuts = np.searchsorted(numbers, origins[1:].astype(numbers.dtype))
        indptr[rows[1:]] = begin + cuts
        lengths = np.diff(cuts, prepend=0, append=numbers.size)
        np.subtract(numbers, np.repeat(origins, lengths), out=indices[begin:stop], casting="unsafe")

    each_chunk(place, [slice(k, k + 1) for k in range(len(parts))], rng)
    return BipartiteGraph.adopt(n_left, n_right, indptr, indices)


def _different_numbers(
    n_pairs: int, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], list[NDArray[np.unsignedinteger[Any]]]]:
    """Draw numbers below `n_pairs`, all but surely at least `count` different ones.

    Return the starts of the ranges and the end of the last, and the numbers of each, ascending, less its start.
    """
    expected = -n_pairs * math.log1p(-count / n_pairs)  # draws that give `count` different numbers
    draws = math.ceil(expected + 4 * math.sqrt(expected))
    n_ranges = -(-draws // _RANGE)
    width, rest = divmod(n_pairs, n_ranges)
    starts = width * np.arange(n_ranges + 1) + np.minimum(np.arange(n_ranges + 1), rest)
    hits = rng.multinomial(draws, np.diff(starts) / n_pairs) if n_ranges > 1 else [draws]
    dtype = np.uint32 if width < 2**32 - 1 else np.uint64

    def draw(chunk: slice, stream: np.random.Generator) -> NDArray[np.unsignedinteger[Any]]:
        k = chunk.start
        numbers = stream.integers(int(starts[k + 1] - starts[k]), size=hits[k], dtype=dtype)
        numbers.sort()
        return np.delete(numbers, np.flatnonzero(numbers[1:] == numbers[:-1]))

    return starts, each_chunk(draw, [slice(k, k + 1) for k in range(n_ranges)], rng)


def _left_regular(n_left: int, n_right: int, count: int, rng: np.random.Generator) -> BipartiteGraph:
    """Draw `count` <= n_left * n_right / 2 edges, left degrees differing by at most one."""
    degree = -(-count // max(1, n_left))
    rows = _distinct_in_rows(n_left, degree, n_right, rng)
    degrees = np.full(n_left, degree)
    shorter = rng.choice(n_left, degree * n_left - count, replace=False)
    degrees[shorter] -= 1
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    if shorter.size == 0:
        return BipartiteGraph.adopt(n_left, n_right, indptr, rows)
    dropped = shorter * degree + rng.integers(degree, size=shorter.size)
    return BipartiteGraph.adopt(n_left, n_right, indptr, np.delete(rows, dropped))


def _distinct_in_rows(n_rows: int, degree: int, bound: int, rng: np.random.Generator) -> Integers:
    """Draw in each row a uniform set of `degree` numbers below `bound`, ascending; return the rows end to end.

    Repeats are drawn again until none is left: each row is the set of the first `degree` different numbers of an
    endless uniform sequence.
    """
    dtype: type[np.signedinteger[Any]] = np.int32 if bound < 2**31 else np.int64
    flat = np.empty(n_rows * degree, dtype=dtype)
    result = flat.reshape(n_rows, degree)

    def fill(chunk: slice, stream: np.random.Generator) -> None:
        rows = stream.integers(bound, size=result[chunk].shape, dtype=dtype)
        rows.sort(axis=1)
        unfinished = np.flatnonzero((rows[:, 1:] == rows[:, :-1]).any(axis=1))
        while unfinished.size:
            part = rows[unfinished]
            repeats = np.zeros(part.shape, dtype=bool)
            repeats[:, 1:] = part[:, 1:] == part[:, :-1]
            part[repeats] = stream.integers(bound, size=np.count_nonzero(repeats), dtype=dtype)
            part.sort(axis=1)
            rows[unfinished] = part
            unfinished = unfinished[(part[:, 1:] == part[:, :-1]).any(axis=1)]
        result[chunk] = rows

    each_chunk(fill, chunks_of(n_rows, degree), rng)
    return flat
