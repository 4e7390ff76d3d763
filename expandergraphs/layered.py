"""The layered graph: a network's layers of nodes, and the bipartite graphs between them.

Layers read left to right. A block ``(s, t)``, s < t, is the graph from layer s to layer t; the blocks
``(k, k + 1)`` are the network's layers, the others its skips. Nodes are numbered layer by layer. Edges
may carry weights, which are kept apart from the pattern: an edge of weight 0 is still an edge.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, Self, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from expandergraphs._checks import as_integer, as_list
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.results import Table

Block: TypeAlias = tuple[int, int]


@final
@dataclass(frozen=True, eq=False, repr=False, slots=True)
class LayeredGraph:
    """A network of layers, immutable.

    Parameters
    ----------
    widths : sequence of int
        Number of nodes of each layer, inputs first; at least two layers.
    blocks : mapping {(source layer, target layer): BipartiteGraph}
        Source before target. Consecutive layers without a block have no edges between them.
    weights : mapping {(source layer, target layer): array}, optional
        For every block, one finite number an edge, in the order of ``block.edges``. One number for all edges, given as
        ``np.broadcast_to(number, block.n_edges)``, takes the memory of one, here and in pickles and ``.npz`` files.
    names : sequence of str, optional
        One name a layer.

    Raises
    ------
    ValueError
        If sizes, keys, weights or names do not fit each other.

    Examples
    --------
    >>> square = BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1)])
    >>> net = LayeredGraph([2, 2, 2], {(0, 1): square, (1, 2): square, (0, 2): square})
    >>> net
    LayeredGraph(2-2-2, 6 edges, skips (0, 2))
    >>> net.node_offsets.tolist(), net.output_nodes.tolist()
    ([0, 2, 4, 6], [4, 5])
    """

    widths: tuple[int, ...]
    blocks: Mapping[Block, BipartiteGraph]
    weights: Mapping[Block, NDArray[np.float64]] | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check that sizes, keys, weights and names fit, and keep copies nobody can change."""
        widths = tuple(as_integer("each width", width) for width in as_list("widths", self.widths))
        if len(widths) < 2:
            raise ValueError(f"a layered graph has at least two layers, got widths {widths}")
        if sum(widths) >= 2**63:
            raise ValueError(f"the widths must add up to less than 2**63, got {widths}")
        blocks = _by_block("blocks", self.blocks, len(widths))
        for (s, t), block in blocks.items():
            if not isinstance(block, BipartiteGraph):
                raise ValueError(f"block {(s, t)} must be a BipartiteGraph, got {type(block).__name__}")
            if (block.n_left, block.n_right) != (widths[s], widths[t]):
                needed = f"{widths[s]} x {widths[t]}"
                raise ValueError(f"block {(s, t)} is {block.n_left} x {block.n_right}, the widths need {needed}")
        object.__setattr__(self, "widths", widths)
        object.__setattr__(self, "blocks", MappingProxyType(blocks))
        if self.weights is not None:
            given = _by_block("weights", self.weights, len(widths))
            weights = {key: _as_weights(key, values) for key, values in given.items()}
            if weights.keys() != blocks.keys():
                raise ValueError(f"weights are for {list(weights)}, the blocks are {list(blocks)}")
            for key, values in weights.items():
                if values.shape != (blocks[key].n_edges,):
                    raise ValueError(f"block {key} has {blocks[key].n_edges} edges, its weights have {values.shape}")
            object.__setattr__(self, "weights", MappingProxyType(weights))
        if self.names is not None:
            names = tuple(str(name) for name in as_list("names", self.names))
            if len(names) != len(widths):
                raise ValueError(f"{len(widths)} layers need as many names, got {len(names)}")
            object.__setattr__(self, "names", names)

    @classmethod
    def from_layers(cls, layers: Iterable[BipartiteGraph], *, names: Sequence[str] | None = None) -> Self:
        """Chain bipartite graphs: the right side of each is the left side of the next.

        Parameters
        ----------
        layers : iterable of BipartiteGraph
        names : sequence of str, optional
            One name a layer of nodes.

        Returns
        -------
        LayeredGraph

        Raises
        ------
        ValueError
            If there is no graph, or neighbouring sizes differ.

        Examples
        --------
        >>> LayeredGraph.from_layers([BipartiteGraph.from_edges(1, 2, [(0, 1)])])
        LayeredGraph(1-2, 1 edge)
        """
        chain = as_list("layers", layers)
        for graph in chain:
            check_graph(graph)
        if not chain:
            raise ValueError("from_layers needs at least one graph")
        widths = [chain[0].n_left, *(graph.n_right for graph in chain)]
        return cls(widths, {(k, k + 1): graph for k, graph in enumerate(chain)}, names=names)  # type: ignore[arg-type]

    @property
    def layers(self) -> tuple[BipartiteGraph, ...]:
        """The graphs between consecutive layers; an empty one where there is no block."""
        pairs = enumerate(zip(self.widths, self.widths[1:], strict=False))
        return tuple(self.blocks.get((k, k + 1)) or BipartiteGraph.from_edges(a, b, []) for k, (a, b) in pairs)

    @property
    def skips(self) -> Mapping[Block, BipartiteGraph]:
        """The blocks that jump over at least one layer."""
        return MappingProxyType({(s, t): block for (s, t), block in self.blocks.items() if t > s + 1})

    @property
    def n_nodes(self) -> int:
        """Number of nodes, inputs and outputs included."""
        return sum(self.widths)

    @property
    def n_edges(self) -> int:
        """Number of edges, skips included."""
        return sum(block.n_edges for block in self.blocks.values())

    @property
    def node_offsets(self) -> NDArray[np.int64]:
        """Layer k holds the nodes ``node_offsets[k]`` to ``node_offsets[k + 1] - 1``; shape (n_layers + 1,)."""
        return np.concatenate([[0], np.cumsum(self.widths, dtype=np.int64)])

    @property
    def input_nodes(self) -> NDArray[np.int64]:
        """Numbers of the first layer's nodes."""
        return np.arange(self.widths[0])

    @property
    def output_nodes(self) -> NDArray[np.int64]:
        """Numbers of the last layer's nodes."""
        return np.arange(self.n_nodes - self.widths[-1], self.n_nodes)

    @property
    def adjacency(self) -> sparse.csr_array:
        """A fresh symmetric matrix, shape (n_nodes, n_nodes): the weights, or ones where there are none.

        Edges of weight 0 are stored explicitly.
        """
        n, offsets = self.n_nodes, self.node_offsets
        dtype = np.int32 if 2 * self.n_edges < 2**31 else np.int64
        upper, degrees = {}, np.zeros(n, dtype=np.int64)
        for (s, t), block in self.blocks.items():
            weights = np.broadcast_to(np.int8(1), block.n_edges) if self.weights is None else self.weights[s, t]
            upper[s, t] = sparse.csr_array((weights, block.indices, block.indptr), shape=(block.n_left, block.n_right))
            degrees[offsets[s] : offsets[s + 1]] += block.left_degrees
            degrees[offsets[t] : offsets[t + 1]] += block.right_degrees
        indptr = np.concatenate([[0], np.cumsum(degrees)]).astype(dtype)
        indices = np.empty(2 * self.n_edges, dtype=dtype)
        data = np.empty(0 if self.weights is None else 2 * self.n_edges)
        filled: NDArray[Any] = indptr[:-1].copy()  # where each node's next neighbours go

        def put(rows: int, columns: int, part: sparse.csr_array | sparse.csc_array) -> None:
            nodes, lengths = slice(offsets[rows], offsets[rows + 1]), np.diff(part.indptr)
            place: NDArray[Any] = np.repeat(filled[nodes] - part.indptr[:-1].astype(dtype), lengths)
            place += np.arange(part.nnz, dtype=dtype)
            indices[place] = part.indices + dtype(offsets[columns])
            if self.weights is not None:
                data[place] = part.data
            filled[nodes] += lengths.astype(dtype)

        # Each row ascends by column: first the edges from earlier layers, then those to later ones.
        for (s, t), part in upper.items():
            put(t, s, part.tocsc())
        for (s, t), part in upper.items():
            put(s, t, part)
        if self.weights is None:
            data = np.ones(2 * self.n_edges)  # not before, for the sake of memory
        return sparse.csr_array((data, indices, indptr), shape=(n, n))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LayeredGraph):
            return NotImplemented
        same = (self.widths, self.names, dict(self.blocks)) == (other.widths, other.names, dict(other.blocks))
        if not same or self.weights is None or other.weights is None:
            return same and self.weights is other.weights
        return all(np.array_equal(values, other.weights[key]) for key, values in self.weights.items())

    def __hash__(self) -> int:
        return hash((self.widths, self.names, tuple(self.blocks.items())))

    def __reduce__(self) -> tuple[Any, ...]:
        weights = None if self.weights is None else {key: packed(values) for key, values in self.weights.items()}
        return _unpickled, (self.widths, dict(self.blocks), weights, self.names)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __repr__(self) -> str:
        widths = "-".join(str(width) for width in self.widths)
        if len(self.widths) > 12:
            widths = f"{widths[:40].rsplit('-', 1)[0]}-...-{self.widths[-1]}, {len(self.widths)} layers"
        edges = f"{self.n_edges} edge{'s' if self.n_edges != 1 else ''}"
        skips = f", skips {', '.join(map(str, self.skips))}" if self.skips else ""
        return f"LayeredGraph({widths}, {edges}{skips}{', weighted' if self.weights is not None else ''})"

    def _repr_html_(self) -> str:
        names = self.names or tuple(map(str, range(len(self.widths))))
        rows: list[list[object]] = [
            [f"{names[s]} → {names[t]}", f"{g.n_left} x {g.n_right}", g.n_edges, f"{g.density:.4g}"]
            for (s, t), g in islice(self.blocks.items(), 20)
        ]
        if len(self.blocks) > len(rows):
            rows.append([f"and {len(self.blocks) - len(rows)} more", "", "", ""])
        return Table.of(repr(self), ["block", "size", "edges", "density"], rows, left=["block"])._repr_html_()


def as_net(g_or_net: Any) -> LayeredGraph:
    """Return a network as it is and a bipartite graph as one of two layers, or raise ``ValueError``."""
    if isinstance(g_or_net, LayeredGraph):
        return g_or_net
    if isinstance(g_or_net, BipartiteGraph):
        return LayeredGraph.from_layers([g_or_net])
    raise ValueError(f"a BipartiteGraph or a LayeredGraph is needed, got {type(g_or_net).__name__}")


def packed(weights: NDArray[Any]) -> NDArray[Any]:
    """Return the one number of weights that share it in memory, shape (1,), and others as they are.

    ``np.broadcast_to(packed(weights), block.n_edges)`` undoes it.
    """
    return weights[:1] if weights.strides == (0,) else weights


def _by_block(name: str, values: Any, n_layers: int) -> dict[Block, Any]:
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be a mapping {{(source layer, target layer): ...}}, got {type(values).__name__}")
    blocks = {_as_block(key, n_layers): value for key, value in values.items()}
    return {key: blocks[key] for key in sorted(blocks)}


def _as_block(key: Any, n_layers: int) -> Block:
    try:
        s, t = (as_integer("a layer", layer) for layer in key)
    except (TypeError, ValueError):
        raise ValueError(f"a block is named (source layer, target layer), got {key!r}") from None
    if not s < t < n_layers:
        raise ValueError(f"block {key!r} must lead forward within layers 0..{n_layers - 1}")
    return s, t


def _as_weights(key: Any, values: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(values)
    kept = packed(given)
    weights = kept.astype(np.float64) if kept.dtype.kind in "iuf" or kept.size == 0 else np.array(np.nan)
    if not np.isfinite(weights).all():
        raise ValueError(f"the weights of block {key} must be finite numbers")
    weights.setflags(write=False)
    return np.broadcast_to(weights, given.shape)


def _unpickled(
    widths: Sequence[int],
    blocks: Mapping[Block, BipartiteGraph],
    weights: Mapping[Block, NDArray[np.float64]] | None,
    names: Sequence[str] | None,
) -> LayeredGraph:
    if weights is not None:
        weights = {key: np.broadcast_to(values, blocks[key].n_edges) for key, values in weights.items()}
    return LayeredGraph(widths, blocks, weights, names)  # type: ignore[arg-type]
