"""The bipartite graph: an immutable pattern of edges between a left and a right side.

The left side has `n_left` vertices (a layer's inputs), the right side `n_right` (its outputs). The
biadjacency B is `n_left x n_right`: rows are left vertices, so ``B1 @ B2`` counts paths as data flows. A
pattern is not its weights: an edge exists or does not, and nothing here has a value.

Stored as compressed sparse rows with columns ascending, in int32 where they fit: 4 bytes an edge. Whatever
is handed out is either read-only or a fresh copy. Building sorts the edges once, O(m log m); all else is O(m).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from expandergraphs._checks import as_integer
from expandergraphs._crossings import edges_of_igraph, edges_of_networkx
from expandergraphs.results import Table

if TYPE_CHECKING:
    import igraph
    import networkx as nx

Integers: TypeAlias = NDArray[np.signedinteger[Any]]  # int32 or int64
Array = TypeVar("Array", bound=NDArray[Any])


@final
@dataclass(frozen=True, eq=False, repr=False, slots=True)
class BipartiteGraph:
    """A simple bipartite graph, given by compressed sparse rows.

    Most users build one by a generator or by `from_edges`, `from_biadjacency`, `from_networkx`, `from_igraph`.

    Parameters
    ----------
    n_left, n_right : int
        Number of vertices of each side; 0 is allowed.
    indptr : array of int, shape (n_left + 1,)
        The neighbours of left vertex i are ``indices[indptr[i]:indptr[i + 1]]``.
    indices : array of int, shape (n_edges,)
        Right vertices, strictly ascending within each row.

    Raises
    ------
    ValueError
        If the arrays do not describe a simple bipartite graph with ascending rows.

    Examples
    --------
    >>> g = BipartiteGraph.from_edges(2, 3, [(0, 0), (0, 2), (1, 1)])
    >>> g
    BipartiteGraph(2 x 3, 3 edges, density 0.5)
    >>> g.left_degrees, g.right_degrees
    (array([2, 1]), array([1, 1, 1]))
    >>> g.T.edges.tolist()
    [[0, 0], [1, 1], [2, 0]]
    """

    n_left: int
    n_right: int
    indptr: Integers
    indices: Integers

    def __post_init__(self) -> None:
        """Check every invariant, and keep copies of the arrays."""
        self._settle(copy=True)

    @classmethod
    def adopt(cls, n_left: int, n_right: int, indptr: Integers, indices: Integers) -> Self:
        """Build from arrays that nobody else will write to: checked like any other, but not copied.

        Parameters
        ----------
        n_left, n_right : int
        indptr, indices : array of int
            As for the class; they become read-only.

        Returns
        -------
        BipartiteGraph

        Raises
        ------
        ValueError
            As the class does.

        Examples
        --------
        >>> BipartiteGraph.adopt(2, 3, np.array([0, 1, 3]), np.array([2, 0, 1])).edges.tolist()
        [[0, 2], [1, 0], [1, 1]]
        """
        graph = object.__new__(cls)
        for name, value in zip(cls.__slots__, (n_left, n_right, indptr, indices), strict=True):
            object.__setattr__(graph, name, value)
        graph._settle(copy=False)
        return graph

    def _settle(self, *, copy: bool) -> None:
        n_left, n_right = check_sizes(self.n_left, self.n_right)
        indptr, indices = _integers("indptr", self.indptr), _integers("indices", self.indices)
        if indices.ndim != 1:
            raise ValueError(f"indices must have one dimension, got shape {indices.shape}")
        rising = indptr.shape == (n_left + 1,) and not np.any(indptr[1:] < indptr[:-1])
        if not rising or indptr[0] != 0 or indptr[-1] != indices.size:
            raise ValueError(f"indptr must rise from 0 to {indices.size} in {n_left + 1} steps, got {indptr!r}")
        if indices.size:
            lowest, highest = indices.min(), indices.max()
            if lowest < 0 or highest >= n_right:
                raise ValueError(f"right vertices must lie in 0..{n_right - 1}, got {lowest}..{highest}")
            ascending = np.empty(indices.size + 1, dtype=bool)
            np.greater(indices[1:], indices[:-1], out=ascending[1:-1])
            ascending[indptr] = True
            if not ascending.all():
                raise ValueError("indices must ascend strictly within each row: sort them, and drop repeated edges")
        dtype = _index_dtype(n_left, n_right, indices.size)
        for name, value in (("n_left", n_left), ("n_right", n_right)):
            object.__setattr__(self, name, value)
        for name, array in (("indptr", indptr), ("indices", indices)):
            own = np.array(array, dtype=dtype, copy=copy or array.base is not None or None)
            # A view of something read-only: its flag cannot be turned back.
            object.__setattr__(self, name, _read_only(own).view())

    # --- other ways in ---

    @classmethod
    def from_edges(cls, n_left: int, n_right: int, edges: ArrayLike) -> Self:
        """Build from pairs (left vertex, right vertex), in any order.

        Parameters
        ----------
        n_left, n_right : int
            Number of vertices of each side.
        edges : array-like of int, shape (m, 2)
            0-based.

        Returns
        -------
        BipartiteGraph

        Raises
        ------
        ValueError
            If an edge is repeated or out of range, or `edges` is not an (m, 2) array of integers.

        Examples
        --------
        >>> BipartiteGraph.from_edges(2, 3, [(1, 1), (0, 2)]).edges.tolist()
        [[0, 2], [1, 1]]
        """
        n_left, n_right = check_sizes(n_left, n_right)
        pairs = np.asarray(edges)
        if pairs.size == 0:
            pairs = np.empty((0, 2), dtype=np.int64)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"edges must have shape (m, 2), got {pairs.shape}")
        pairs = _integers("edges", pairs)
        for side, size, column in (("left", n_left, pairs[:, 0]), ("right", n_right, pairs[:, 1])):
            if column.size and (column.min() < 0 or column.max() >= size):
                row = int(np.flatnonzero((column < 0) | (column >= size))[0])
                raise ValueError(
                    f"edge {row} is {tuple(pairs[row].tolist())}: {side} vertices must lie in 0..{size - 1}"
                )
        keys = pairs[:, 0].astype(np.int64)
        keys *= n_right
        keys += pairs[:, 1]
        keys.sort()
        repeated = np.flatnonzero(keys[1:] == keys[:-1])
        if repeated.size:
            first = divmod(int(keys[repeated[0]]), n_right)
            raise ValueError(f"{repeated.size} repeated edges, the first is {first}; a pattern holds each edge once")
        return cls.from_keys(n_left, n_right, keys)

    @classmethod
    def from_keys(cls, n_left: int, n_right: int, keys: ArrayLike) -> Self:
        """Build from the ascending keys ``left * n_right + right``; what generators produce.

        Parameters
        ----------
        n_left, n_right : int
            Number of vertices of each side.
        keys : array-like of int, shape (m,)

        Returns
        -------
        BipartiteGraph

        Raises
        ------
        ValueError
            If the keys do not ascend strictly within 0..n_left * n_right - 1.

        Examples
        --------
        >>> BipartiteGraph.from_keys(2, 3, [2, 4]).edges.tolist()
        [[0, 2], [1, 1]]
        """
        n_left, n_right = check_sizes(n_left, n_right)
        keys = _integers("keys", keys).astype(np.int64, copy=False)
        if keys.ndim != 1 or np.any(keys[1:] <= keys[:-1]):
            raise ValueError("keys must have one dimension and ascend strictly")
        if keys.size and (keys[0] < 0 or keys[-1] >= n_left * n_right):
            raise ValueError(f"keys must lie in 0..{n_left * n_right - 1}, got {keys[0]}..{keys[-1]}")
        indptr = np.searchsorted(keys, np.arange(n_left + 1, dtype=np.int64) * n_right)
        indices = np.empty(keys.size, dtype=_index_dtype(n_left, n_right, keys.size))
        np.subtract(keys, np.repeat(np.arange(n_left) * n_right, np.diff(indptr)), out=indices, casting="unsafe")
        return cls.adopt(n_left, n_right, indptr, indices)

    @classmethod
    def from_biadjacency(cls, matrix: Any) -> Self:
        """Build from an ``n_left x n_right`` dense or SciPy sparse matrix: an edge where it is not zero.

        Explicit zeros of a sparse matrix are no edges.

        Parameters
        ----------
        matrix : array-like or scipy.sparse array, shape (n_left, n_right)

        Returns
        -------
        BipartiteGraph

        Raises
        ------
        ValueError
            If `matrix` does not have two dimensions, or holds nan.

        Examples
        --------
        >>> BipartiteGraph.from_biadjacency([[0, 2.5, 0], [1, 0, 0]]).edges.tolist()
        [[0, 1], [1, 0]]
        """
        if not sparse.issparse(matrix):
            matrix = np.asarray(matrix)
        if matrix.ndim != 2:
            raise ValueError(f"a biadjacency has two dimensions, got shape {matrix.shape}")
        coordinates = sparse.coo_array(matrix)
        if coordinates.data.dtype.kind in "fc" and np.isnan(coordinates.data).any():
            raise ValueError("the biadjacency holds nan, which is neither an edge nor none")
        coordinates.sum_duplicates()
        coordinates.eliminate_zeros()
        n_left, n_right = coordinates.shape
        return cls.from_edges(n_left, n_right, np.stack(coordinates.coords, axis=1))

    @classmethod
    def from_networkx(cls, graph: "nx.Graph[Any]", left: Iterable[Any] | None = None) -> Self:
        """Build from a networkx graph; vertices keep the order in which they are given or stored.

        Parameters
        ----------
        graph : networkx.Graph
            Directed edges must lead from left to right.
        left : iterable of nodes, optional
            The left side, each node once. A set is taken in the graph's order, any other iterable in its own. By
            default the nodes whose attribute ``bipartite`` is 0. The right side is the rest, in the graph's order.

        Returns
        -------
        BipartiteGraph

        Raises
        ------
        ValueError
            If an edge joins vertices of one side, is repeated, or a side is not stated.

        Examples
        --------
        >>> import networkx as nx
        >>> BipartiteGraph.from_networkx(nx.davis_southern_women_graph())
        BipartiteGraph(18 x 14, 89 edges, density 0.3532)
        >>> BipartiteGraph.from_networkx(nx.path_graph(4), left=[0, 2]).edges.tolist()
        [[0, 0], [1, 0], [1, 1]]
        """
        return cls.from_edges(*edges_of_networkx(graph, left))

    @classmethod
    def from_igraph(cls, graph: "igraph.Graph") -> Self:
        """Build from an igraph graph whose vertex attribute ``type`` is False on the left and True on the right.

        Parameters
        ----------
        graph : igraph.Graph

        Returns
        -------
        BipartiteGraph

        Raises
        ------
        ValueError
            If the attribute is missing, an edge joins vertices of one side, leads from right to left, or is repeated.

        Examples
        --------
        >>> import igraph
        >>> BipartiteGraph.from_igraph(igraph.Graph.Full_Bipartite(2, 3))
        BipartiteGraph(2 x 3, 6 edges, density 1)
        """
        return cls.from_edges(*edges_of_igraph(graph))

    # --- what it is ---

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return self.indices.size

    @property
    def density(self) -> float:
        """Fraction of the ``n_left * n_right`` possible edges that are there (0 where none is possible)."""
        return self.n_edges / max(1, self.n_left * self.n_right)

    @property
    def left_degrees(self) -> NDArray[np.int64]:
        """Degrees of the left vertices, shape (n_left,)."""
        return np.diff(self.indptr).astype(np.int64)

    @property
    def right_degrees(self) -> NDArray[np.int64]:
        """Degrees of the right vertices, shape (n_right,)."""
        return np.bincount(self.indices, minlength=self.n_right)

    @property
    def edges(self) -> Integers:
        """The edges (left, right), sorted; shape (n_edges, 2), read-only."""
        pairs = np.empty((self.n_edges, 2), dtype=self.indices.dtype)
        pairs[:, 0] = np.repeat(np.arange(self.n_left, dtype=pairs.dtype), np.diff(self.indptr))
        pairs[:, 1] = self.indices
        return _read_only(pairs)

    @property
    def biadjacency(self) -> sparse.csr_array:
        """A fresh copy of B as float64 ones, shape (n_left, n_right)."""
        return self._matrix(np.ones(self.n_edges))

    @property
    def adjacency(self) -> sparse.csr_array:
        """A fresh square symmetric matrix of float64 ones, left vertices first."""
        back, n = self.T, self.n_left + self.n_right
        dtype = _index_dtype(n, n, 2 * self.n_edges)
        indices = np.empty(2 * self.n_edges, dtype=dtype)
        np.add(self.indices, self.n_left, out=indices[: self.n_edges])
        indices[self.n_edges :] = back.indices
        indptr = np.concatenate([self.indptr, back.indptr[1:] + dtype(self.n_edges)], dtype=dtype)
        return _canonical(sparse.csr_array((np.ones(indices.size), indices, indptr), shape=(n, n)))

    @property
    def T(self) -> "BipartiteGraph":
        """The same graph with its sides exchanged."""
        columns = self._matrix(np.ones(self.n_edges, dtype=np.int8)).tocsc()
        return BipartiteGraph.adopt(self.n_right, self.n_left, columns.indptr, columns.indices)

    @property
    def complement(self) -> "BipartiteGraph":
        """The graph of the missing edges. Takes n_left * n_right bytes."""
        missing = np.ones((self.n_left, self.n_right), dtype=bool)
        missing[np.repeat(np.arange(self.n_left), np.diff(self.indptr)), self.indices] = False
        return BipartiteGraph.from_keys(self.n_left, self.n_right, np.flatnonzero(missing))

    @property
    def digest(self) -> str:
        """SHA-256 of sizes and edges as hexadecimal digits: equal for equal graphs, on any machine."""
        state = hashlib.sha256(f"{self.n_left} {self.n_right} {self.n_edges}\n".encode())
        step = 1 << 20
        for array in (self.indptr, self.indices):
            for start in range(0, array.size, step):
                state.update(array[start : start + step].astype("<i8").data)
        return state.hexdigest()

    def to_networkx(self) -> "nx.Graph[int]":
        """Convert: left vertices are 0..n_left-1 with ``bipartite=0``, right vertices follow with ``bipartite=1``.

        Returns
        -------
        networkx.Graph

        Examples
        --------
        >>> BipartiteGraph.from_edges(2, 2, [(0, 1)]).to_networkx().edges
        EdgeView([(0, 3)])
        """
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from(range(self.n_left), bipartite=0)
        graph.add_nodes_from(range(self.n_left, self.n_left + self.n_right), bipartite=1)
        graph.add_edges_from((self.edges + np.array([0, self.n_left])).tolist())
        return graph

    def to_igraph(self) -> "igraph.Graph":
        """Convert: left vertices come first; the vertex attribute ``type`` is False on the left, True on the right.

        Returns
        -------
        igraph.Graph

        Examples
        --------
        >>> BipartiteGraph.from_edges(2, 2, [(0, 1)]).to_igraph().get_edgelist()
        [(0, 3)]
        """
        import igraph

        graph = igraph.Graph(n=self.n_left + self.n_right, edges=self.edges + np.array([0, self.n_left]))
        graph.vs["type"] = [False] * self.n_left + [True] * self.n_right
        return graph

    def _matrix(self, data: NDArray[Any]) -> sparse.csr_array:
        arrays = (data, self.indices.copy(), self.indptr.copy())
        return _canonical(sparse.csr_array(arrays, shape=(self.n_left, self.n_right)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BipartiteGraph):
            return NotImplemented
        return (
            (self.n_left, self.n_right, self.n_edges) == (other.n_left, other.n_right, other.n_edges)
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return BipartiteGraph, (self.n_left, self.n_right, self.indptr, self.indices)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __repr__(self) -> str:
        return f"BipartiteGraph({self.n_left} x {self.n_right}, {self.n_edges} edges, density {self.density:.4g})"

    def _repr_html_(self) -> str:
        sides = (self.left_degrees, self.right_degrees)
        rows: list[list[object]] = [
            ["vertices", self.n_left, self.n_right],
            ["isolated", *(degrees.size - np.count_nonzero(degrees) for degrees in sides)],
            ["smallest degree", *(degrees.min(initial=self.n_edges) for degrees in sides)],
            ["mean degree", *(f"{self.n_edges / max(degrees.size, 1):.4g}" for degrees in sides)],
            ["largest degree", *(degrees.max(initial=0) for degrees in sides)],
        ]
        return Table.of(repr(self), ["", "left", "right"], rows, left=[""])._repr_html_()


def check_graph(g: Any) -> None:
    """Raise ``ValueError`` unless `g` is a BipartiteGraph."""
    if not isinstance(g, BipartiteGraph):
        raise ValueError(f"a BipartiteGraph is needed, got {type(g).__name__}")


def check_sizes(n_left: Any, n_right: Any) -> tuple[int, int]:
    """Return both sizes as ints, or raise ``ValueError``; their product must fit in 63 bits."""
    n_left, n_right = as_integer("n_left", n_left), as_integer("n_right", n_right)
    if max(n_left, n_right, n_left * n_right) >= 2**63:
        raise ValueError(f"n_left, n_right and their product must be below 2**63, got {n_left} and {n_right}")
    return n_left, n_right


def _integers(name: str, values: Any) -> Integers:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"{name} must be integers, got an array of {array.dtype}")
    return array if array.dtype.kind == "i" else array.astype(np.int64)


def _index_dtype(*bounds: int) -> type[np.int32] | type[np.int64]:
    return np.int32 if max(bounds) <= np.iinfo(np.int32).max else np.int64


def _read_only(array: Array) -> Array:
    array.setflags(write=False)
    return array


def _canonical(matrix: sparse.csr_array) -> sparse.csr_array:
    matrix.has_canonical_format = True  # by our invariant; spares scipy the check
    return matrix
