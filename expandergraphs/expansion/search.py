r"""Small neighbourhoods: a set of left vertices with few neighbours for its size, for upper bounds of the expansion.

Everything works on a block of columns, one search each, and every column ends in an *order* of the left vertices. A
sweep scores all its prefixes at once: a right vertex is a neighbour of the first k vertices if the first of its own
neighbours is among them. A second sweep is made from the other side: right vertices in the order in which they became
neighbours, and left vertices as soon as all their neighbours are there, so that whatever is free comes along.

Orders come from

* greedy growth from every vertex (or from those of lowest degree, where they are too many): next is the vertex with
  the fewest new neighbours. It is what small graphs need for the very best set.
* annealing, for sets of a given size k. With x_j the number of members next to j, |N(S)| = sum_j [x_j > 0] is smoothed
  into sum_j (1 - exp(-rate x_j)), memberships may be fractions, and each step moves them four fifths of the way to: the
  k vertices with the smallest derivative are members. With a small rate the derivative is linear in x, and a step is
  one of power iteration: random starts become combinations of leading singular vectors. With a large rate it is a local
  search in which all vertices move at once. Fractions are spread over the ranks around k, fewer and fewer; a
  temperature, which spreads them by value, melts the pattern of the singular vectors before it is of use.

Memberships are multiples of 1/32, and the exponentials come from a table rounded to float32: what differs in the last
bit between processors does not make another set. A step takes 2 m n_columns operations. All takes two seconds at 2,048
vertices of degree 16, half a minute at 65,536 of degree 32.
"""

import math
import time
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.rng import RNG, as_generator

Keys = NDArray[Any]  # left vertices x columns; ascending keys are an order

_ROUNDS = (*6 * (100,), 800)  # steps of annealing: many small ones for small graphs, a long one for large
_COLUMNS = 32
_FEWER_COLUMNS = 8  # where there are more than _MANY edges
_MANY = 2**19
_GROWN = 64  # vertices
_GROWTH_COST = 2**30  # of all starts; see `grow_all`
_LEVELS = 32  # of membership
_RATES = (2.0, 16.0)  # from, to; in units of 1 / mean x
_SPREADS = (1.0, 0.05)  # from, to: ranks with fractions on each side of k, in units of the smaller of k and n - k


def smallest_set(
    g: BipartiteGraph,
    k_max: int,
    *,
    rng: RNG = None,
    deadline: float | None = None,
    candidates: Iterable[NDArray[np.int64]] = (),
    floor: Fraction = Fraction(0),
    annealing: bool = True,
) -> NDArray[np.int64]:
    """Search for the set of 1..k_max left vertices with the fewest neighbours for each of its members.

    Parameters
    ----------
    g : BipartiteGraph
        For the right side, pass ``g.T``.
    k_max : int
        Largest size, 1..n_left.
    rng : None, int, SeedSequence or Generator
        Source of randomness.
    deadline : float, optional
        Reading of ``time.monotonic()`` at which to return the best so far. Without, the result depends on `rng` only.
    candidates : iterable of arrays of int
        Sets known from elsewhere, each of 1..k_max vertices.
    floor : Fraction
        What the ratio is known to be at least: the search ends with a set that attains it.
    annealing : bool
        Whether to go on by annealing where sets have been grown vertex by vertex; most of the time, and of the gain.

    Returns
    -------
    ndarray of int64
        Vertices, ascending. No guarantee how good: |N(S)| / |S| is an upper bound of the expansion, whatever it is.

    Raises
    ------
    ValueError
        If `k_max` is not in 1..n_left.

    Examples
    --------
    >>> g = BipartiteGraph.from_biadjacency([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    >>> smallest_set(g, 2, rng=0).tolist()
    [0, 1]
    """
    if not 1 <= k_max <= g.n_left:
        raise ValueError(f"k_max must lie in 1..{g.n_left}, got {k_max}")
    search = _Search(g, k_max, as_generator(rng), deadline)
    for members in candidates:
        search.consider(members)
    if not search.attains(floor):
        search.grow_all()
        size = k_max
        for steps in _ROUNDS if annealing else ():
            if search.attains(floor):
                break
            search.anneal(steps, size)
            size = search.best_size(search.fewest)
    return search.members


class _Search:
    """The graph both ways, and the best set so far."""

    def __init__(self, g: BipartiteGraph, k_max: int, rng: np.random.Generator, deadline: float | None) -> None:
        self.g, self.back, self.k_max, self.rng, self.deadline = g, g.T, k_max, rng, deadline
        self.columns = _COLUMNS if g.n_edges <= _MANY else _FEWER_COLUMNS
        self.matrix = g.biadjacency.astype(np.float32)
        self.transposed = self.matrix.T.tocsr()
        self.fewest = np.full(k_max, g.n_right + 1)  # neighbours, by size
        self.members, self.neighbours = np.empty(0, np.int64), 1
        self.consider(np.array([g.left_degrees.argmin()]))

    def consider(self, members: NDArray[np.int64]) -> None:
        """Keep a set if it is better, which integers decide."""
        neighbours = np.unique(self.matrix[members].indices).size
        if neighbours * self.members.size < self.neighbours * members.size or not self.members.size:
            self.members, self.neighbours = np.sort(members), neighbours

    def attains(self, floor: Fraction) -> bool:
        """Tell whether no set can be better, if none is below this ratio."""
        return self.neighbours <= floor * self.members.size

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def offer(self, keys: Keys) -> None:
        """Score every prefix of every order, and of the one that takes along what is free."""
        self._sweep(_over_neighbours(self.g, self._sweep(keys), np.maximum, 0))

    def _sweep(self, keys: Keys) -> Keys:
        """Score every prefix, and return how many vertices each right vertex has to wait for a neighbour."""
        n, columns = keys.shape
        order = np.argsort(keys, axis=0, kind="stable")
        rank = np.empty(keys.shape, np.int32)
        np.put_along_axis(rank, order, np.arange(n, dtype=np.int32)[:, None], axis=0)
        first = _over_neighbours(self.back, rank, np.minimum, n)
        flat = (first + np.arange(columns) * (n + 1)).ravel()
        counts = np.bincount(flat, minlength=columns * (n + 1)).reshape(columns, n + 1)
        counts = np.cumsum(counts[:, : self.k_max], axis=1)
        column = counts.argmin(axis=0)
        fewest = counts[column, np.arange(self.k_max)]
        np.minimum(self.fewest, fewest, out=self.fewest)
        k = self.best_size(fewest)
        self.consider(order[:k, column[k - 1]])
        return first

    def best_size(self, fewest: NDArray[np.int64]) -> int:
        return int((fewest / np.arange(1, self.k_max + 1)).argmin()) + 1

    # --- greedy growth ---

    def grow_all(self) -> None:
        """Grow from every vertex, or from as many as may be, lowest degrees first."""
        n, steps = self.g.n_left, min(self.k_max, _GROWN)
        starts = self.rng.permutation(n)
        starts = starts[np.argsort(self.g.left_degrees[starts], kind="stable")]
        # Finding the least of n numbers a step is fast, counting down for each edge of a new neighbour is not.
        starts = starts[: max(_COLUMNS, _GROWTH_COST // (n * steps + 64 * self.g.n_edges))]
        for begin in range(0, starts.size, self.columns):
            if self.late:
                return
            self.offer(self._grown(starts[begin : begin + self.columns], steps))

    def _grown(self, chosen: NDArray[Any], steps: int) -> Keys:
        n, column = self.g.n_left, np.arange(chosen.size)
        keys = np.full((n, chosen.size), steps, np.int32)
        fresh = np.tile(self.g.left_degrees.astype(np.int32), (chosen.size, 1))  # new neighbours of each vertex
        covered = np.zeros((chosen.size, self.g.n_right), dtype=bool)
        for step in range(steps):
            if self.late:
                break
            keys[chosen, column] = step
            fresh[column, chosen] = 2**30  # never again
            right, where = _spread(self.g, chosen, column)
            new = ~covered[where, right]
            right, where = right[new], where[new]
            covered[where, right] = True
            left, where = _spread(self.back, right, where)
            np.subtract.at(fresh.reshape(-1), where * n + left, 1)
            chosen = fresh.argmin(axis=1)
        return keys

    # --- annealing ---

    def anneal(self, steps: int, favourite: int) -> None:
        """Anneal a block of columns: half of them for sets of one size, the others for sizes of all scales."""
        if self.late:
            return
        n, columns = self.g.n_left, self.columns
        sizes = np.full(columns, favourite)
        sizes[: columns // 2] = np.rint(np.geomspace(1, self.k_max, columns // 2))
        s = _memberships(self.rng.standard_normal((n, columns), np.float32), sizes, _SPREADS[0])
        # x_j is half the degree where half of the vertices are members.
        unit = self.g.n_edges / self.g.n_right * sizes / n
        longest = min(self.back.left_degrees.max(), 100 / _RATES[0] * unit.max())  # exp(-100) is nothing
        grid = np.arange(_LEVELS * math.ceil(longest) + 1) / _LEVELS
        offsets = np.arange(columns) * grid.size
        for rate, spread in zip(np.geomspace(*_RATES, steps), np.geomspace(*_SPREADS, steps), strict=True):
            if self.late:
                break
            table = np.exp(-np.outer(rate / unit, grid)).astype(np.float32).ravel()
            x = np.minimum(self.transposed @ s, grid.size - 1).astype(np.int64)
            own = np.minimum(s, grid.size - 1).astype(np.int64)  # a member asks what would be new without itself
            wishes = self.matrix @ table[x + offsets] / np.maximum(table[own + offsets], 1e-30)
            s = np.rint((s + 4 * _memberships(wishes, sizes, spread)) / 5)
        self.offer(-s)


def _memberships(wishes: NDArray[np.float32], sizes: NDArray[np.int64], spread: float) -> Any:
    """Return memberships in 0.._LEVELS, half of it at rank `size`, falling linearly over the ranks around."""
    n, columns = wishes.shape
    reach = np.maximum(1, spread * np.minimum(sizes, n - sizes)).astype(np.int64)
    ordered, column = np.sort(wishes, axis=0), np.arange(columns)
    low, high = ordered[np.maximum(sizes - reach, 0), column], ordered[np.minimum(sizes + reach, n - 1), column]
    middle = (ordered[sizes - 1, column] + ordered[np.minimum(sizes, n - 1), column]) / 2
    return np.rint(np.clip(_LEVELS * (0.5 - (wishes - middle) / (high - low + np.float32(1e-30))), 0, _LEVELS))


def _over_neighbours(g: BipartiteGraph, values: Keys, reduction: np.ufunc, default: int) -> Keys:
    """Reduce values of the right vertices over the neighbours of each left vertex; `default` where there are none."""
    result = np.full((g.n_left, values.shape[1]), default, values.dtype)
    occupied = g.left_degrees > 0
    if occupied.any():
        result[occupied] = reduction.reduceat(values[g.indices], g.indptr[:-1][occupied], axis=0)
    return result


def _spread(g: BipartiteGraph, vertices: NDArray[Any], columns: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pairs (neighbour of a vertex, its column), as int64."""
    degrees = g.left_degrees[vertices]
    at = np.arange(degrees.sum()) + np.repeat(g.indptr[vertices] - np.cumsum(degrees) + degrees, degrees)
    return g.indices[at].astype(np.int64), np.repeat(columns, degrees)
