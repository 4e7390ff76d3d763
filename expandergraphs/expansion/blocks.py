"""Blocks of a matrix without an entry, as large as they can be: branch and bound in NumPy.

A set T of columns leaves the rows alive that have no entry in it. Wanted is the T with the best pair (|T|, number of
rows alive). A node of the tree holds the rows alive, the columns that may still be chosen (candidates) and the number
of those chosen. It branches on a candidate, one that would kill many rows: chosen, or no candidate any more.

*Bound.* Let each row alive hand out a weight of 1 among its candidates, in any shares; the cost of a column is the sum
of the shares it gets. Columns kill at least as many rows as they cost together, so t of them kill at least as many as
the t cheapest cost. The best bound of this kind is that of the linear program in which columns are chosen in part; some
Sinkhorn-Knopp steps [1]_, which even out the costs, come close to it.

*Order.* Nodes with the lowest bound come first, hundreds at a time, one array column each; the lowest bound of a node
still open is a proved one at any time. Sums have a fixed order, and products in them a factor that is 0 or 1, so that
fused operations change nothing: the tree is the same on any machine.

.. [1] Sinkhorn, Knopp. Concerning nonnegative matrices and doubly stochastic matrices. Pacific J. Math. 21 (1967).
"""

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_BATCH = 2**16  # array elements: 546 nodes of a matrix 60 x 60, which stay in the cache
_STEPS = 6  # of balancing
_MEMORY = 2**28  # bytes of open nodes; beyond, the highest bounds come first, as their subtrees are the smallest
_TINY = np.float32(1e-30)

Floats: TypeAlias = NDArray[np.float32]  # rows or columns x nodes
Counts: TypeAlias = NDArray[np.int64]


class BlockSearch:
    """Minimise ``value[|T|, rows alive]`` over the sets T of columns, step by step.

    Parameters
    ----------
    rows : csr_array of float32
        The matrix; its entries are 1.
    value : ndarray of int, shape (n_columns + 1, n_rows + 1)
        At least 0. Rises with neither number.
    below : int
        Look for values below this one only.
    """

    def __init__(self, rows: sparse.csr_array, value: Counts, below: int) -> None:
        self.rows, self.columns = rows, rows.T.tocsr()
        self.entries = rows.toarray() > 0
        self.value = np.ascontiguousarray(value)
        self.n_rows, self.n_columns = rows.shape
        # Four times the relative rounding error that sums of costs, all of numbers >= 0, can have.
        self.slack = np.float32(1 + 2.0**-22 * (self.n_rows + 2 * self.n_columns + 8))
        self.open: dict[int, list[tuple[NDArray[np.uint8], Counts]]] = {}  # by bound: bits alive, candidates; chosen
        self.memory = 0
        self.beat(below)
        root = np.ones((self.n_rows + self.n_columns, 1), dtype=bool)
        self._push(root, np.zeros(1, dtype=np.int64), np.array([value[-1, -1]]))

    @property
    def lowest(self) -> int:
        """No value is below this one; it is the one to beat when the search is over."""
        return min([self.below, *self.open])

    def beat(self, value: int) -> None:
        """Look for values below this one only."""
        self.below = value
        useful = self.value < value
        # fewest rows alive with which a number of columns is useful; with none, more than there are
        least = np.where(useful.any(axis=1), useful.argmax(axis=1), self.n_rows + 1)
        self.least: Floats = least.astype(np.float32)
        for bound in [bound for bound in self.open if bound >= value]:
            self.memory -= sum(bits.nbytes for bits, _ in self.open.pop(bound))

    def step(self) -> NDArray[np.bool_] | None:
        """Examine some of the open nodes; return the rows alive for the best set found, if it is below."""
        alive, candidates, chosen, bound = self._pop()
        deaths = self.columns @ alive
        harmless = (deaths == 0) & (candidates > 0)
        candidates[harmless] = 0
        chosen += harmless.sum(axis=0)
        n_alive = alive.sum(axis=0)

        # Row t of these arrays: with t more columns.
        cost = self._costs(alive, candidates)
        ranked = np.sort(cost.T, axis=1).T
        total = np.zeros((self.n_columns + 1, chosen.size), dtype=np.float32)
        np.cumsum(ranked, axis=0, out=total[1:])
        count = np.minimum(chosen + np.arange(self.n_columns + 1)[:, None], self.n_columns)
        room = n_alive - self.least[count]  # for rows that die
        useful = total <= room * self.slack
        kept = np.flatnonzero(useful.any(axis=0))
        if not kept.size:
            return None
        arrays: Any = (alive, candidates, chosen, bound, deaths, n_alive, cost, ranked, total, count, room, useful)
        alive, candidates, chosen, bound, deaths, n_alive, cost, ranked, total, count, room, useful = (
            array[..., kept] for array in arrays
        )
        left = np.where(useful, n_alive - np.ceil(total / self.slack), 0).astype(np.int64)
        values = np.where(useful, self.value[count, left], self.below)
        bound = np.maximum(bound, values.min(axis=0))

        # Sets to offer: as it is, if that is useful; otherwise with the cheapest columns.
        node = np.arange(kept.size)
        t = np.where(useful[0], 0, values.argmin(axis=0))
        cheapest = cost <= np.where(t, ranked[t - 1, node], 0)
        survivors = (alive > 0) & (self.rows @ cheapest.astype(np.float32) == 0)
        offered = self.value[chosen + cheapest.sum(axis=0), survivors.sum(axis=0)]

        candidates[deaths > np.where(useful, room, 0).max(axis=0)] = 0
        column = np.where(candidates > 0, deaths - cost, -np.inf).argmax(axis=0)
        without = np.concatenate([alive, candidates]) > 0
        branches = without[self.n_rows + column, node]
        without[self.n_rows + column, node] = False
        within = without.copy()
        within[: self.n_rows] &= ~self.entries[:, column]
        self._push(
            np.concatenate([within[:, branches], without[:, branches]], axis=1),
            np.concatenate([chosen[branches] + 1, chosen[branches]]),
            np.tile(bound[branches], 2),
        )
        best = offered.argmin()
        return survivors[:, best] if offered[best] < self.below else None

    def _costs(self, alive: Floats, candidates: Floats) -> Floats:
        """Return the cost of each candidate, infinite for other columns."""
        weight = candidates
        for step in range(_STEPS):
            share = self.rows @ weight
            np.divide(alive, np.maximum(share, _TINY, out=share), out=share)
            cost: Floats = self.columns @ share
            if step < _STEPS - 1:
                weight = np.divide(candidates, np.maximum(cost, _TINY, out=cost), out=cost)
        cost *= weight
        np.copyto(cost, np.inf, where=candidates == 0)
        return cost

    def _push(self, bits: NDArray[np.bool_], chosen: Counts, bound: Counts) -> None:
        order = np.argsort(bound, kind="stable")
        packed, chosen, bound = np.packbits(bits, axis=0)[:, order], chosen[order], bound[order]
        for i, j in pairwise(np.flatnonzero(np.diff(bound, prepend=-1, append=-1)).tolist()):
            part = packed[:, i:j].copy()
            self.open.setdefault(int(bound[i]), []).append((part, chosen[i:j]))
            self.memory += part.nbytes

    def _pop(self) -> tuple[Floats, Floats, Counts, Counts]:
        pick = min if self.memory < _MEMORY else max
        wanted = max(1, _BATCH // (self.n_rows + self.n_columns))
        parts: list[tuple[NDArray[np.uint8], Counts, Counts]] = []
        while self.open and wanted:
            bound = pick(self.open)
            packed, chosen = self.open[bound].pop()
            if chosen.size > wanted:
                self.open[bound].append((packed[:, wanted:], chosen[wanted:]))
                packed, chosen = packed[:, :wanted], chosen[:wanted]
            if not self.open[bound]:
                del self.open[bound]
            parts.append((packed, chosen, np.full(chosen.size, bound)))
            wanted -= chosen.size
            self.memory -= packed.nbytes
        packed, chosen, bounds = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
        bits = np.unpackbits(packed, axis=0, count=self.n_rows + self.n_columns).astype(np.float32)
        return bits[: self.n_rows], bits[self.n_rows :], chosen, bounds
