"""Small cuts for their weight, by search: sweeps over orders of the vertices, then one side at a time.

A sweep takes the best initial part of an order: by the leading singular vectors of the normalised biadjacency, as in
the proof of Cheeger's inequality, by random combinations of them, and by bandwidth (reverse Cuthill-McKee), which is
good where the graph is long and thin.

Given a set of one side, each vertex of the other contributes ``d_v - 2 a_v`` to the cut, a_v its number of neighbours
in the set; sorted by contribution over weight, the best initial part is found at once. So the sides take turns, for
several sets together. Noise added to the contributions, less and less, makes this simulated annealing: the vertices of
one side are independent given the other, so a whole side is drawn at a time. At the end, without noise, a descent.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import ArpackNoConvergence, svds

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.operators import normalised_biadjacency

Members = NDArray[np.bool_]

_VECTORS, _MIXTURES = 6, 9
_NOISE = 1e-6  # beside singular values of at most 1
_LAST: dict[str, NDArray[np.float64]] = {}
_STEPS = 400
_VISITS = 4 * 10**6  # of a vertex in all: half a second
_HOT, _COLD = 0.5, 0.2  # temperatures, in edges


def small_cut(g: BipartiteGraph, weights: NDArray[np.int64]) -> Members:
    """Look for a set with a small ``cut / min(weight, total - weight)``.

    Parameters
    ----------
    g : BipartiteGraph
        Connected, with at least two vertices.
    weights : ndarray of int, shape (n_left + n_right,)
        Positive.

    Returns
    -------
    ndarray of bool, shape (n_left + n_right,)

    Examples
    --------
    >>> ring = BipartiteGraph.from_edges(50, 50, [(i, j % 50) for i in range(50) for j in (i, i + 1)])
    >>> part = small_cut(ring, np.ones(100, dtype=int))
    >>> int(part.sum()), int((part[ring.edges[:, 0]] != part[50 + ring.edges[:, 1]]).sum())
    (50, 2)
    """
    rng = np.random.default_rng(0)
    search = _Search(g, weights, rng)
    swept = [search.sweep(values) for values in orders(g, rng)]
    size = weights.size
    rows = min(max(1, _VISITS // (_STEPS * size)), len(swept))
    steps = min(max(10, _VISITS // (rows * size)), _STEPS)
    left = np.array([members for _, members in sorted(swept, key=lambda pair: pair[0])[:rows]])[:, : g.n_left]
    for temperature in np.geomspace(_HOT, _COLD, steps):
        left = search.turn(left, float(temperature))
    search.descend(left)
    return search.best


@dataclass(frozen=True)
class _Side:
    neighbours: sparse.csr_array  # this side's vertices by the other's
    degrees: NDArray[np.int64]
    weights: NDArray[np.int64]


class _Search:
    """The best set so far, and ways to find another."""

    def __init__(self, g: BipartiteGraph, weights: NDArray[np.int64], rng: np.random.Generator) -> None:
        matrix = g.biadjacency.astype(np.int32)
        self.left = _Side(matrix, g.left_degrees, weights[: g.n_left])
        self.right = _Side(matrix.T.tocsr(), g.right_degrees, weights[g.n_left :])
        self.ends = (g.edges + np.array([0, g.n_left])).T
        self.degrees, self.weights, self.total = np.bincount(self.ends.reshape(-1)), weights, int(weights.sum())
        self.rng = rng
        self.ratio, self.best = np.inf, np.empty(0, dtype=bool)

    def sweep(self, values: NDArray[np.float64]) -> tuple[float, Members]:
        """Return the best initial part when vertices are ordered by `values`, and its ratio."""
        order = np.argsort(values, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        # An edge is cut from when its first end comes in until its second does.
        inner = np.bincount(rank[self.ends].max(axis=0), minlength=order.size)
        cut = np.cumsum(self.degrees[order] - 2 * inner)
        ratios = self._ratios(cut, np.cumsum(self.weights[order]))
        members = rank <= ratios.argmin()
        self._offer(ratios.min(), members)
        return float(ratios.min()), members

    def descend(self, left: Members) -> None:
        """Take turns until nothing better is found."""
        before = np.inf
        while self.ratio < before:
            before = self.ratio
            left = self.turn(left, 0.0)

    def turn(self, left: Members, temperature: float) -> Members:
        """Choose the right sides anew, then the left ones; one row a set."""
        right, ratios = self._reply(self.right, self.left, left, temperature)
        best = ratios.argmin()
        self._offer(ratios[best], np.concatenate([left[best], right[best]]))
        left, ratios = self._reply(self.left, self.right, right, temperature)
        best = ratios.argmin()
        self._offer(ratios[best], np.concatenate([left[best], right[best]]))
        return left

    def _reply(
        self, side: _Side, other: _Side, given: Members, temperature: float
    ) -> tuple[Members, NDArray[np.float64]]:
        """Return the best sets of one side for sets of the other, chosen under noise, and their ratios."""
        gains = side.degrees - 2 * (side.neighbours @ given.T.astype(np.int32)).T
        noise = temperature * self.rng.logistic(size=gains.shape) if temperature else 0.0
        # Without noise there are ties, which only a stable sort breaks alike everywhere.
        order = np.argsort((gains + noise) / side.weights, axis=1, kind=None if temperature else "stable")
        cut, weight = (np.empty((len(given), 1 + gains.shape[1]), dtype=np.int64) for _ in range(2))
        cut[:, 0], weight[:, 0] = given @ other.degrees, given @ other.weights
        cut[:, 1:], weight[:, 1:] = np.take_along_axis(gains, order, axis=1), side.weights[order]
        ratios = self._ratios(np.cumsum(cut, axis=1), np.cumsum(weight, axis=1))
        length = ratios.argmin(axis=1)[:, None]
        chosen = np.empty(gains.shape, dtype=bool)
        np.put_along_axis(chosen, order, np.arange(order.shape[1]) < length, axis=1)
        return chosen, np.take_along_axis(ratios, length, axis=1)[:, 0]

    def _ratios(self, cut: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.float64]:
        lesser = np.minimum(weight, self.total - weight)
        return np.where(lesser > 0, cut / np.maximum(lesser, 1), np.inf)

    def _offer(self, ratio: float, members: Members) -> None:
        if ratio < self.ratio:
            self.ratio, self.best = ratio, members


def orders(g: BipartiteGraph, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Yield values of the vertices of a connected graph by which to order them."""
    yield np.argsort(csgraph.reverse_cuthill_mckee(g.adjacency, symmetric_mode=True)).astype(float)
    vectors = _leading(g)
    yield from vectors
    yield from rng.standard_normal((_MIXTURES, len(vectors))) @ vectors


def _leading(g: BipartiteGraph) -> NDArray[np.float64]:
    """Return the leading singular vectors but the first, a row for both sides; none where they do not converge.

    Those of the last graph are kept: edge expansion, conductance and the mixing lemma ask for them in turn.
    """
    key = g.digest
    vectors = _LAST.get(key)
    if vectors is None:
        vectors = _computed(g)
        _LAST.clear()
        _LAST[key] = vectors
    return vectors


def _computed(g: BipartiteGraph) -> NDArray[np.float64]:
    matrix = normalised_biadjacency(g)
    n = min(matrix.shape)
    count = min(_VECTORS, n - 2)
    vectors = np.empty((0, sum(matrix.shape)))
    if count > 0:
        with suppress(ArpackNoConvergence):
            start, noise = np.random.default_rng(0).standard_normal((2, n))
            # On a subspace that the matrix keeps, as where its rank is low, ARPACK goes on from a vector that no seed
            # decides; with this noise there is none.
            place = np.arange(n)
            matrix = matrix + sparse.csr_array((_NOISE * noise, (place, place)), shape=matrix.shape)
            left, values, right = svds(matrix, count + 1, tol=1e-3, v0=start, maxiter=300)
            vectors = np.vstack([left, right.T])[:, np.argsort(-values)[1:]].T
            vectors /= np.sqrt(np.concatenate([g.left_degrees, g.right_degrees]))
    vectors.setflags(write=False)
    return vectors
