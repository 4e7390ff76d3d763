"""Larger graphs from smaller ones: whole blocks in place of edges, and graphs side by side."""

from collections.abc import Iterable

import numpy as np

from expandergraphs._checks import as_integer, as_list
from expandergraphs.bipartite import BipartiteGraph, check_graph, check_sizes


def block_expander(g: BipartiteGraph, block: int | tuple[int, int]) -> BipartiteGraph:
    """Replace every edge by a complete block: the Kronecker product of a graph with K_{b1,b2}.

    Left vertex i becomes i * b1 to i * b1 + b1 - 1, right vertices likewise.

    Parameters
    ----------
    g : BipartiteGraph
        The small graph.
    block : int or pair of int
        Left and right size of the blocks; one number for both.

    Returns
    -------
    BipartiteGraph
        Of the density of `g`. Its singular values are those of `g` times sqrt(b1 b2), and zeros.

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph, or `block` not one or two positive integers.

    Notes
    -----
    sigma2 / sigma1 is that of the *small* graph, whose degrees are smaller too: at equal density it is about
    sqrt(b) times that of an unblocked expander. This is the price of blocks, which hardware runs fast.

    References
    ----------
    Vooturi, Varma, Kothapalli. Ramanujan Bipartite Graph Products for Efficient Block Sparse Neural Networks. 2020.

    Examples
    --------
    >>> from expandergraphs import projective_plane, spectral_gap
    >>> small = projective_plane(3)
    >>> large = block_expander(small, (4, 2))
    >>> large, abs(spectral_gap(large).ratio - spectral_gap(small).ratio) < 1e-12
    (BipartiteGraph(52 x 26, 416 edges, density 0.3077), True)
    """
    check_graph(g)
    if isinstance(block, Iterable):
        sizes = [as_integer("each size of the block", size, minimum=1) for size in as_list("block", block)]
    else:
        sizes = 2 * [as_integer("block", block, minimum=1)]
    if len(sizes) != 2:
        raise ValueError(f"block must be one size or a pair of sizes, got {block!r}")
    height, width = sizes
    n_left, n_right = check_sizes(g.n_left * height, g.n_right * width)
    copies = g.biadjacency[np.repeat(np.arange(g.n_left), height)]
    columns = copies.indices.astype(np.int64)[:, None] * width + np.arange(width)
    return BipartiteGraph(n_left, n_right, copies.indptr.astype(np.int64) * width, columns.ravel())


def disjoint_union(graphs: Iterable[BipartiteGraph]) -> BipartiteGraph:
    """Put graphs side by side: the block-diagonal biadjacency, as in a grouped convolution.

    Parameters
    ----------
    graphs : iterable of BipartiteGraph
        At least one. Their vertices are numbered one graph after the other.

    Returns
    -------
    BipartiteGraph

    Raises
    ------
    ValueError
        If there is none, or one of them is no BipartiteGraph.

    Examples
    --------
    >>> edge = BipartiteGraph.from_edges(1, 2, [(0, 1)])
    >>> disjoint_union([edge, edge]).edges.tolist()
    [[0, 1], [1, 3]]
    """
    parts: list[BipartiteGraph] = as_list("graphs", graphs)
    for part in parts:
        check_graph(part)
    if not parts:
        raise ValueError("at least one graph is needed")
    if len(parts) == 1:
        return parts[0]
    n_left, n_right = check_sizes(sum(g.n_left for g in parts), sum(g.n_right for g in parts))
    degrees = np.concatenate([g.left_degrees for g in parts])
    before = np.cumsum([0, *(g.n_right for g in parts[:-1])])
    columns = [g.indices.astype(np.int64) + first for g, first in zip(parts, before, strict=True)]
    return BipartiteGraph.adopt(n_left, n_right, np.concatenate([[0], np.cumsum(degrees)]), np.concatenate(columns))
