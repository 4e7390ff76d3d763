"""What reaches what: from inputs to outputs along directed paths, skips included, and the units on no such path.

Each unit carries one bit for each input, 64 to a word, and a block ORs the words of its left units into its right
ones, in 1 to 3 ns for each edge and 64 inputs. Inputs are taken in batches of at most 32 MiB of words a layer. A
pattern is not its weights: an edge of weight 0 is an edge.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.paths import Rows, positions_in, sweep

Words: TypeAlias = NDArray[np.uint64]
PerLayer: TypeAlias = tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class ReceptiveFields:
    """How much of the input each output sees, and how much of the output each input reaches.

    Attributes
    ----------
    n_inputs, n_outputs : int
        Units of the first and of the last layer: the most that can be seen, and reached.
    receptive : ndarray of int, shape (n_outputs,)
        Number of inputs from which a directed path leads to the output. Read-only.
    projective : ndarray of int, shape (n_inputs,)
        Number of outputs to which a directed path leads from the input. Read-only.

    Examples
    --------
    >>> receptive_fields(BipartiteGraph.from_edges(3, 2, [(0, 0), (1, 0), (1, 1)])).receptive.tolist()
    [2, 1]
    """

    n_inputs: int
    n_outputs: int
    receptive: NDArray[np.int64]
    projective: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DeadUnits:
    """The units through which nothing flows from input to output; read-only positions, one array a layer.

    Attributes
    ----------
    n_units, n_dead, n_isolated : int
        Number of units, of dead ones, and of those among them without an edge.
    dead : tuple of ndarray
        Unreachable, without effect, or both.
    unreachable : tuple of ndarray
        No directed path leads here from any input; an input reaches itself.
    without_effect : tuple of ndarray
        No directed path leads from here to any output.
    isolated : tuple of ndarray
        No edge at all.

    Examples
    --------
    >>> found = dead_units(BipartiteGraph.from_edges(3, 2, [(0, 0), (1, 0)]))
    >>> found.n_dead, [units.tolist() for units in found.dead]
    (2, [[2], [1]])
    """

    n_units: int
    n_dead: int
    n_isolated: int
    dead: PerLayer = field(repr=False)
    unreachable: PerLayer = field(repr=False)
    without_effect: PerLayer = field(repr=False)
    isolated: PerLayer = field(repr=False)


def reachability(
    net: LayeredGraph | BipartiteGraph, *, inputs: ArrayLike | None = None, outputs: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Tell which inputs reach which outputs by a directed path.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
        Skips count as edges like any other.
    inputs, outputs : array-like of int, optional
        Positions within the first and the last layer; all by default.

    Returns
    -------
    ndarray of bool, shape (n_inputs, n_outputs)
        True where `path_counts` is positive.

    Raises
    ------
    ValueError
        If a position is out of range.

    Notes
    -----
    The result takes a byte a pair, 4 GiB from 65,536 inputs to 65,536 outputs: choose some of them, or ask
    `receptive_fields` for the sums.

    Examples
    --------
    >>> first = BipartiteGraph.from_edges(3, 2, [(0, 0), (1, 1)])
    >>> second = BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 1)])
    >>> reachability(LayeredGraph.from_layers([first, second])).astype(int).tolist()
    [[1, 1], [0, 1], [0, 0]]
    """
    net = as_net(net)
    starts = positions_in("inputs", inputs, net.widths[0])
    ends = positions_in("outputs", outputs, net.widths[-1])
    reached = np.empty((starts.size, ends.size), dtype=bool)
    for part, words in _reached(net, starts):
        for some in _pieces(ends.size, words):
            reached[part, some] = _bits(words[ends[some]], starts[part].size).T
    return reached


def receptive_fields(net: LayeredGraph | BipartiteGraph) -> ReceptiveFields:
    """Count the inputs that each output sees, its effective receptive field, and the outputs that each input reaches.

    They are the column and row sums of `reachability`, which is not held as a whole.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph

    Returns
    -------
    ReceptiveFields

    Raises
    ------
    ValueError
        If `net` is neither a LayeredGraph nor a BipartiteGraph.

    Examples
    --------
    >>> receptive_fields(BipartiteGraph.from_edges(3, 2, [(0, 0), (0, 1), (1, 1)]))
    ReceptiveFields(n_inputs=3, n_outputs=2, receptive=array([1, 2]), projective=array([2, 1, 0]))
    """
    net = as_net(net)
    if len(net.widths) == 2:  # a path is an edge
        receptive, projective = net.layers[0].right_degrees, net.layers[0].left_degrees
    else:
        receptive, projective = _sums(net)
    return ReceptiveFields(projective.size, receptive.size, _read_only(receptive), _read_only(projective))


def dead_units(net: LayeredGraph | BipartiteGraph) -> DeadUnits:
    """Find the units that no input reaches, those that reach no output, and those without an edge.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph

    Returns
    -------
    DeadUnits

    Raises
    ------
    ValueError
        If `net` is neither a LayeredGraph nor a BipartiteGraph.

    Examples
    --------
    >>> first = BipartiteGraph.from_edges(2, 3, [(0, 0), (1, 1)])
    >>> second = BipartiteGraph.from_edges(3, 2, [(1, 0)])
    >>> found = dead_units(LayeredGraph.from_layers([first, second]))
    >>> found
    DeadUnits(n_units=7, n_dead=4, n_isolated=2)
    >>> [units.tolist() for units in found.without_effect]
    [[0], [0, 2], []]
    >>> [units.tolist() for units in found.isolated]
    [[], [2], [1]]
    """
    net = as_net(net)
    last = len(net.widths) - 1
    backwards = LayeredGraph(net.widths[::-1], {(last - t, last - s): block.T for (s, t), block in net.blocks.items()})
    degrees = [np.zeros(width, dtype=np.int64) for width in net.widths]
    for (s, t), block in net.blocks.items():
        degrees[s] += block.left_degrees
        degrees[t] += block.right_degrees
    unreachable, without_effect = _untouched(net), _untouched(backwards)[::-1]
    isolated = tuple(_where(degree == 0) for degree in degrees)
    dead = tuple(map(np.union1d, unreachable, without_effect))
    return DeadUnits(
        n_units=net.n_nodes,
        n_dead=sum(units.size for units in dead),
        n_isolated=sum(units.size for units in isolated),
        dead=tuple(map(_read_only, dead)),
        unreachable=unreachable,
        without_effect=without_effect,
        isolated=isolated,
    )


def spread(block: BipartiteGraph, source: Rows, target: Rows) -> None:
    """OR into the row of each right unit the rows of its left neighbours."""
    back = block.T
    occupied = np.flatnonzero(np.diff(back.indptr))  # of an empty row, reduceat would make the next entry
    for rows in np.array_split(occupied, 1 + back.n_edges * source.shape[1] // 2**17):  # a MiB of words at a time
        if rows.size:
            start, stop = back.indptr[rows[0]], back.indptr[rows[-1] + 1]
            gathered = source[back.indices[start:stop]]
            target[rows] |= np.bitwise_or.reduceat(gathered, back.indptr[rows] - start, axis=0)


def marks(width: int, starts: NDArray[np.int64]) -> Words:
    """Return words of zeros, shape (width, ceil(len(starts) / 64)), but for bit k of row ``starts[k]``."""
    k = np.arange(starts.size)
    packed = np.zeros((width, 8 * -(-k.size // 64)), dtype=np.uint8)
    np.bitwise_or.at(packed, (starts, k // 8), np.left_shift(1, k % 8).astype(np.uint8))
    return packed.view(np.uint64)


def _sums(net: LayeredGraph) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of inputs that each output sees, and of outputs that each input reaches."""
    receptive, projective = np.zeros(net.widths[-1], dtype=np.int64), np.zeros(net.widths[0], dtype=np.int64)
    for part, words in _reached(net, np.arange(projective.size)):
        receptive += np.bitwise_count(words).sum(axis=1, dtype=np.int64)
        for some in _pieces(receptive.size, words):
            projective[part] += np.count_nonzero(_bits(words[some], projective[part].size), axis=0)
    return receptive, projective


def batches(net: LayeredGraph, starts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Cut inputs into parts of which the words take at most 32 MiB a layer."""
    step = 64 * max(1, 2**22 // max(1, *net.widths))
    return [starts[first : first + step] for first in range(0, max(1, starts.size), step)]


def _reached(net: LayeredGraph, starts: NDArray[np.int64]) -> Iterator[tuple[slice, Words]]:
    """Yield parts of `starts`, and for each the words of the outputs."""
    done = 0
    for part in batches(net, starts):
        yield slice(done, done + part.size), deque(sweep(net, marks(net.widths[0], part), spread), maxlen=1)[0]
        done += part.size


def _pieces(n_rows: int, words: Words) -> Iterator[slice]:
    """Cut rows into pieces whose bits, a byte each, take 4 MiB: fresh memory costs more than the work on it."""
    step = max(1, 2**16 // max(1, words.shape[1]))
    return (slice(start, start + step) for start in range(0, n_rows, step))


def _bits(words: Words, count: int) -> NDArray[np.bool_]:
    return np.unpackbits(words.view(np.uint8), axis=1, count=count, bitorder="little").view(bool)


def _untouched(net: LayeredGraph) -> PerLayer:
    """Return the units, layer by layer, that cannot be reached from the first layer."""
    first = np.ones((net.widths[0], 1), dtype=bool)
    return tuple(_where(~reached[:, 0]) for reached in sweep(net, first, spread))


def _where(condition: NDArray[np.bool_]) -> NDArray[np.int64]:
    return _read_only(np.flatnonzero(condition))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
