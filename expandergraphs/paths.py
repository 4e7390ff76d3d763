"""Paths and connectivity: components, and exact numbers of paths from inputs to outputs.

Path counts are integers of any size: a Graph Challenge network has 32^118 of them. They are computed modulo as many
31-bit primes as their bound needs, by sparse products in int64, and put together by the Chinese remainder theorem.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.layered import LayeredGraph, as_net

Rows = TypeVar("Rows", bound=NDArray[Any])


@dataclass(frozen=True, eq=False)
class Components:
    """Connected components, isolated vertices included.

    Attributes
    ----------
    count : int
        Number of components.
    sizes : ndarray of int, shape (count,)
        Number of vertices of each.
    labels : ndarray of int, shape (n_nodes,)
        Component of each vertex: left before right, or layer by layer.

    Examples
    --------
    >>> found = components(BipartiteGraph.from_edges(2, 2, [(0, 1)]))
    >>> found.count, found.sizes.tolist(), found.labels.tolist()
    (3, [2, 1, 1], [0, 1, 2, 0])
    """

    count: int
    sizes: NDArray[np.int64]
    labels: NDArray[np.int32] = field(repr=False)


def components(graph_or_net: BipartiteGraph | LayeredGraph) -> Components:
    """Find the connected components of a graph or a network, edges taken as undirected.

    Parameters
    ----------
    graph_or_net : BipartiteGraph or LayeredGraph

    Returns
    -------
    Components

    Raises
    ------
    ValueError
        If `graph_or_net` is neither.

    Examples
    --------
    >>> components(BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1)]))
    Components(count=2, sizes=array([3, 1]))
    """
    if not isinstance(graph_or_net, BipartiteGraph):
        graph_or_net = as_net(graph_or_net)
    count, labels = csgraph.connected_components(graph_or_net.adjacency, directed=False)
    sizes = np.bincount(labels, minlength=count)
    for array in (sizes, labels):
        array.setflags(write=False)
    return Components(int(count), sizes, labels)


def path_counts(
    net: LayeredGraph | BipartiteGraph, *, inputs: ArrayLike | None = None, outputs: ArrayLike | None = None
) -> NDArray[np.object_]:
    """Count the directed paths from inputs to outputs, exactly.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
        Skips count as edges like any other.
    inputs, outputs : array-like of int, optional
        Positions within the first and the last layer; all by default.

    Returns
    -------
    ndarray of Python ints, shape (n_inputs, n_outputs)

    Raises
    ------
    ValueError
        If a position is out of range.

    Examples
    --------
    >>> from expandergraphs import radix_net
    >>> path_counts(radix_net([[3, 3, 4], [6, 2]], [1, 1, 1, 1, 1, 1]), inputs=[0], outputs=[5])
    array([[12]], dtype=object)
    """
    net = as_net(net)
    starts = positions_in("inputs", inputs, net.widths[0])
    ends = positions_in("outputs", outputs, net.widths[-1])
    total, modulus = np.zeros((starts.size, ends.size), dtype=object), 1
    for prime in _primes_exceeding(_bound(net)):
        counts = _counts_modulo(net, starts, prime)[:, ends]
        # Garner's step: the one number below modulus * prime with both remainders.
        digit = (counts - total) * pow(modulus, -1, prime) % prime
        total, modulus = total + modulus * digit, modulus * prime
    return total


def n_paths(net: LayeredGraph | BipartiteGraph) -> int:
    """Count the directed paths from all inputs to all outputs together, exactly.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If `net` is neither.

    Examples
    --------
    >>> from expandergraphs import radix_net
    >>> n_paths(radix_net([[3, 3, 4], [6, 2]], [1, 1, 1, 1, 1, 1])) == 36 * 36 * 12
    True
    """
    net = as_net(net)

    def add(block: BipartiteGraph, source: NDArray[Any], target: NDArray[Any]) -> None:
        np.add.at(target, block.indices, np.repeat(source, block.left_degrees))

    return sum(deque(sweep(net, np.full(net.widths[0], 1, dtype=object), add), maxlen=1)[0])


def is_path_symmetric(net: LayeredGraph | BipartiteGraph) -> bool:
    """Tell whether every input is joined to every output by the same, positive number of paths.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph

    Returns
    -------
    bool
        True also where there is no input or no output.

    Raises
    ------
    ValueError
        If `net` is neither.

    References
    ----------
    Robinett, Kepner. RadiX-Net: Structured Sparse Matrices for Deep Neural Networks. 2019, section II.

    Examples
    --------
    >>> from expandergraphs import radix_net
    >>> is_path_symmetric(radix_net([[2, 2]], [1, 1, 1]))
    True
    """
    net = as_net(net)
    if 0 in (net.widths[0], net.widths[-1]):
        return True
    step = max(1, 2**22 // max(net.widths))
    expected = None
    for start in range(0, net.widths[0], step):
        counts = path_counts(net, inputs=np.arange(start, min(start + step, net.widths[0])))
        expected = counts[0, 0] if expected is None else expected
        if expected == 0 or (counts != expected).any():
            return False
    return True


def sweep(net: LayeredGraph, first: Rows, push: Callable[[BipartiteGraph, Rows, Rows], None]) -> Iterator[Rows]:
    """Carry arrays of one row a unit through the network, and yield each layer's, the first one included.

    Every other layer starts from zeros, and ``push(block, source, target)`` adds to its rows what a block brings. A
    layer's rows are forgotten as soon as no later layer needs them.
    """
    incoming: list[list[tuple[int, BipartiteGraph]]] = [[] for _ in net.widths]
    last_use = {}
    for (s, t), block in net.blocks.items():  # sorted, so that the last t stays
        incoming[t].append((s, block))
        last_use[s] = t
    needed: dict[int, Rows] = {}
    for t, width in enumerate(net.widths):
        rows: Any = first if t == 0 else np.zeros((width, *first.shape[1:]), dtype=first.dtype)
        for s, block in incoming[t]:
            push(block, needed[s], rows)
        yield rows
        needed[t] = rows
        needed = {s: kept for s, kept in needed.items() if last_use.get(s, 0) > t}


def positions_in(name: str, values: ArrayLike | None, width: int) -> NDArray[np.int64]:
    """Return positions within a layer, all of them where none are given, or raise ``ValueError``."""
    positions = np.arange(width) if values is None else np.atleast_1d(np.asarray(values))
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be a list of integers, got {values!r}")
    if positions.size and (positions.min() < 0 or positions.max() >= width):
        raise ValueError(f"{name} must lie in 0..{width - 1}, got {positions.min()}..{positions.max()}")
    return positions.astype(np.int64)


def _bound(net: LayeredGraph) -> int:
    """Return an upper bound of every path count, from the largest in-degrees."""
    most = [1] + [0] * (len(net.widths) - 1)
    for (s, t), block in sorted(net.blocks.items(), key=lambda item: item[0][1]):
        most[t] += most[s] * int(block.right_degrees.max(initial=0))
    return most[-1]


def _counts_modulo(net: LayeredGraph, starts: NDArray[np.int64], prime: int) -> NDArray[np.int64]:
    """Path counts modulo a 31-bit prime; products stay below 2^63 for in-degrees below 2^32."""
    first = np.zeros((net.widths[0], starts.size), dtype=np.int64)
    first[starts, np.arange(starts.size)] = 1

    def add(block: BipartiteGraph, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
        ones = np.ones(block.n_edges, dtype=np.int64)
        columns = sparse.csr_array((ones, block.indices, block.indptr), shape=(block.n_left, block.n_right))
        target += columns.T @ source
        target %= prime

    return deque(sweep(net, first, add), maxlen=1)[0].T


def _primes_exceeding(bound: int) -> Iterator[int]:
    """Yield primes downwards from 2^31 until their product exceeds `bound`."""
    candidate, product = 2**31 - 1, 1
    while product <= bound:
        if _is_prime(candidate):
            product *= candidate
            yield candidate
        candidate -= 2


def _is_prime(n: int, witnesses: Sequence[int] = (2, 3, 5, 7)) -> bool:
    """Miller and Rabin's test, which these witnesses decide for odd 11 < n < 3,215,031,751."""
    odd = n - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    for a in witnesses:
        x = pow(a, odd, n)
        if x not in (1, n - 1) and all((x := x * x % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True
