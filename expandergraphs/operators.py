"""Normalisations of the biadjacency, and Laplacians of networks, as sparse arrays."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expandergraphs._words import did_you_mean
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.layered import LayeredGraph, as_net

KINDS = ("combinatorial", "random_walk", "symmetric")


def normalised_biadjacency(g: BipartiteGraph) -> sparse.csr_array:
    """Return ``D_l^(-1/2) B D_r^(-1/2)``, shape (n_left, n_right), as a fresh float64 array.

    Its largest singular value is 1 wherever there is an edge. Rows and columns of isolated vertices are zero.

    Parameters
    ----------
    g : BipartiteGraph

    Returns
    -------
    scipy.sparse.csr_array

    Raises
    ------
    ValueError
        If `g` is no BipartiteGraph.

    Examples
    --------
    >>> normalised_biadjacency(BipartiteGraph.from_edges(1, 4, [(0, 0), (0, 3)])).toarray().round(4).tolist()
    [[0.7071, 0.0, 0.0, 0.7071]]
    """
    check_graph(g)
    matrix = g.biadjacency
    left = np.repeat(g.left_degrees, g.left_degrees)  # degree of each edge's left end
    matrix.data = 1.0 / np.sqrt(left * g.right_degrees[g.indices])
    return matrix


def laplacian(net: LayeredGraph | BipartiteGraph, kind: str = "combinatorial") -> sparse.csr_array:
    """Return a Laplacian of a network, shape (n_nodes, n_nodes), as a fresh float64 array.

    W holds the weights, or ones where there are none, and D their row sums. An isolated node, which may have edges of
    weight 0, has a zero row and column.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph
        Edges are taken as undirected.
    kind : {"combinatorial", "random_walk", "symmetric"}
        ``D - W``, ``I - W D^(-1)`` or ``I - D^(-1/2) W D^(-1/2)``.

    Returns
    -------
    csr_array

    Raises
    ------
    ValueError
        If a weight is negative, degrees exceed the range of floats, or `kind` is unknown.

    Examples
    --------
    >>> path = BipartiteGraph.from_edges(1, 2, [(0, 0), (0, 1)])
    >>> laplacian(path).toarray().tolist()
    [[2.0, -1.0, -1.0], [-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]
    >>> laplacian(path, "random_walk").toarray().tolist()
    [[1.0, -1.0, -1.0], [-0.5, 1.0, 0.0], [-0.5, 0.0, 1.0]]
    """
    check_kind(kind)
    weights = heat_weights(as_net(net))
    degrees = weights.sum(axis=1)
    if kind == "combinatorial":
        return (sparse.diags_array(degrees) - weights).tocsr()
    if kind == "random_walk":
        weights.data /= degrees[weights.indices]
    else:
        normalise(weights, degrees)
    return (sparse.diags_array((degrees > 0).astype(float)) - weights).tocsr()


def normalise(weights: sparse.csr_array, degrees: NDArray[np.float64]) -> None:
    """Divide each weight by the roots of the degrees at both ends, in place."""
    roots = np.sqrt(degrees)
    weights.data /= roots[weights.indices]
    weights.data /= np.repeat(roots, np.diff(weights.indptr))


def heat_weights(net: LayeredGraph) -> sparse.csr_array:
    """Return the weights of a network as heat sees them: finite sums, and an edge of weight 0 is no edge."""
    weights = net.adjacency
    if net.weights is None:
        return weights
    if weights.data.min(initial=0.0) < 0:
        raise ValueError(f"heat needs weights of at least 0, got {weights.data.min():g}; try their absolute values")
    weights.eliminate_zeros()
    with np.errstate(over="ignore"):
        largest = 2 * weights.sum(axis=1).max(initial=0.0)
    if not np.isfinite(largest):
        raise ValueError("the weights at a node add up to more than floats can hold: divide all of them by a number")
    return weights


def check_kind(kind: str) -> None:
    """Raise ``ValueError`` unless a Laplacian has this name."""
    if kind not in KINDS:
        raise ValueError(f"laplacian must be one of {', '.join(KINDS)}, got {kind!r}{did_you_mean(str(kind), KINDS)}")
