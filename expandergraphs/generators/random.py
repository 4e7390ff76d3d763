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
from expandergraphs._threads import CHUNK, chunks_of, each_chunk
from expandergraphs.bipartite import BipartiteGraph, Integers, check_sizes
from expandergraphs.errors import GenerationError
from expandergraphs.rng import RNG, as_generator


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
        present = np.ones(n_pairs, dtype=bool)
        present[_distinct_keys(n_pairs, n_pairs - count, generator)] = False
        keys = np.flatnonzero(present)
    else:
        keys = _distinct_keys(n_pairs, count, generator)
    return BipartiteGraph.from_keys(n_left, n_right, keys)


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


def _distinct_keys(n_pairs: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a uniform set of `count` of the numbers below `n_pairs` >= 2 * count, ascending.

    Draws with repeats until there are enough different numbers, then drops a random surplus: the law does not
    change when the numbers are renamed, so every set of this size is equally likely. How many draws fall into each
    of many equal ranges is drawn first; then the ranges are independent of each other.
    """
    keys = np.empty(0, dtype=np.int64)
    while keys.size < count:
        missing = -(n_pairs - keys.size) * math.log1p((keys.size - count) / (n_pairs - keys.size))
        # Of numbers already there some are drawn again; a few too many is cheaper than another round.
        draws = math.ceil(missing / (1 - keys.size / n_pairs) + 4 * math.sqrt(missing))
        drawn = _sorted_draws(n_pairs, draws, rng)
        keys = drawn if keys.size == 0 else np.union1d(keys, drawn)
    surplus = keys.size - count
    return np.delete(keys, rng.choice(keys.size, surplus, replace=False)) if surplus else keys


def _sorted_draws(n_pairs: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `draws` numbers below `n_pairs` and return the different ones, ascending."""
    n_ranges = -(-draws // CHUNK)
    width, rest = divmod(n_pairs, n_ranges)
    starts = width * np.arange(n_ranges + 1) + np.minimum(np.arange(n_ranges + 1), rest)
    hits = rng.multinomial(draws, np.diff(starts) / n_pairs) if n_ranges > 1 else [draws]

    def draw(chunk: slice, stream: np.random.Generator) -> NDArray[np.int64]:
        k = chunk.start
        numbers = stream.integers(starts[k], starts[k + 1], size=hits[k])
        numbers.sort()
        new = np.ones(numbers.size, dtype=bool)
        np.not_equal(numbers[1:], numbers[:-1], out=new[1:])
        different: NDArray[np.int64] = numbers[new]
        return different

    return np.concatenate(each_chunk(draw, [slice(k, k + 1) for k in range(n_ranges)], rng))


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
