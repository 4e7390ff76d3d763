"""The least cut for its weight, exactly: every set of the smaller side, and for each the best sets of the other.

The edges that leave a set S of left and T of right vertices number ``vol(S) + sum over v in T of (d_v - 2 a_v)``, where
a_v counts the neighbours of v in S. So for a given S each right vertex contributes a number of its own, and the least
cut for every weight of T comes from a table over weights, filled vertex by vertex (a knapsack). Of a set and its
complement, which have the same cut, one lacks the last left vertex: 2^(n_left - 1) tables, thousands at a time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph

_COLUMNS = 11  # binary logarithm of the sets at a time: their tables stay in the cache


def enumeration_work(g: BipartiteGraph, weights: NDArray[np.int64]) -> int:
    """Return the number of table entries that `least_cut` would fill, some 2 ns each.

    The tables for the witness, which are kept, count 32-fold: 2^28 stand for 128 MiB.
    """
    if g.n_left > g.n_right:
        return enumeration_work(g.T, np.roll(weights, g.n_right))
    steps = _in_units(weights[g.n_left :])
    return int(np.cumsum(steps).sum()) << max(5, g.n_left - 1)


def least_cut(g: BipartiteGraph, weights: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Find a set that minimises ``cut / min(weight, total - weight)`` among all.

    Parameters
    ----------
    g : BipartiteGraph
        With at least two vertices.
    weights : ndarray of int, shape (n_left + n_right,)
        Positive, none above half of all.

    Returns
    -------
    ndarray of bool, shape (n_left + n_right,)

    Examples
    --------
    >>> g = BipartiteGraph.from_edges(3, 3, [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2)])
    >>> least_cut(g, np.ones(6, dtype=int)).astype(int).tolist()
    [1, 1, 0, 1, 1, 0]
    """
    if g.n_left > g.n_right:
        return np.roll(least_cut(g.T, np.roll(weights, g.n_right)), g.n_left)
    matrix = g.biadjacency.toarray().astype(np.int64)
    # Of each subset: its neighbours by right vertex, its volume, its weight. The last left vertex stays out.
    rows = np.column_stack([matrix, g.left_degrees, weights[: g.n_left]])[:-1]
    far = 2 * int(weights.sum() + g.n_edges)  # above any cut, whatever is subtracted
    rows = rows.astype(np.int16 if 2 * far < 2**15 else np.int64)
    few = min(_COLUMNS, g.n_left - 1)
    within, beyond = _sums(rows[:few]), _sums(rows[few:])
    by_weight = np.argsort(within[:, -1], kind="stable")
    within = within[by_weight].T
    groups = np.flatnonzero(np.diff(within[-1], prepend=-1))
    steps = _in_units(weights[g.n_left :])
    unit, total = int(weights[-1]) // int(steps[-1]), int(weights.sum())
    heights = unit * np.arange(steps.sum() + 1)[:, None]
    degrees = g.right_degrees.astype(rows.dtype)[:, None]
    table = np.empty((heights.size, within.shape[1]), dtype=rows.dtype)
    least, where = np.inf, (0, 0, 0)
    for block, offset in enumerate(beyond):
        inside = within + offset[:, None]
        _fill(table, degrees - 2 * inside[:-2], steps, far)
        table += inside[-2]
        weight = heights + inside[-1, groups]
        with np.errstate(invalid="ignore"):
            ratios = np.minimum.reduceat(table, groups, axis=1) / np.minimum(weight, total - weight)
        ratios[weight == 0] = np.inf
        height, group = divmod(int(ratios.argmin()), groups.size)
        if ratios[height, group] < least:
            column = groups[group] + int(np.split(table[height], groups[1:])[group].argmin())
            least, where = ratios[height, group], (block, int(by_weight[column]), height)
    block, subset, height = where
    left = np.array([((block << few) + subset) >> i & 1 for i in range(g.n_left)])
    gains = g.right_degrees - 2 * (left @ matrix)
    return np.concatenate([left == 1, _chosen(gains, steps, height, far)])


def _fill(table: NDArray[Any], gains: NDArray[Any], steps: NDArray[np.int64], far: int) -> None:
    """Write into row h the least sum of gains over sets of right vertices with weight h; `far` where there is none."""
    table.fill(far)
    table[0] = 0
    top = 1
    for gain, step in zip(gains, steps.tolist(), strict=True):
        reached = table[step : top + step]
        np.minimum(reached, table[:top] + gain, out=reached)
        top += step


def _chosen(gains: NDArray[np.int64], steps: NDArray[np.int64], height: int, far: int) -> NDArray[np.bool_]:
    """Return a set of right vertices of weight `height` with the least sum of gains: the table, read backwards."""
    tables = np.empty((gains.size + 1, int(steps.sum()) + 1, 1), dtype=np.int64)
    for count, table in enumerate(tables):
        _fill(table, gains[:count, None], steps[:count], far)
    chosen = np.zeros(gains.size, dtype=bool)
    for v in range(gains.size - 1, -1, -1):
        if tables[v, height, 0] != tables[v + 1, height, 0]:
            chosen[v] = True
            height -= int(steps[v])
    return chosen


def _in_units(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    return weights // int(np.gcd.reduce(weights))


def _sums(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the sums over all subsets of rows; entry i takes those where i has a one bit."""
    sums = np.zeros((1, rows.shape[1]), dtype=rows.dtype)
    for row in rows:
        sums = np.concatenate([sums, sums + row])
    return sums
