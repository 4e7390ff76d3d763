"""Normalisations of the biadjacency, as sparse arrays."""

import numpy as np
from scipy import sparse

from expandergraphs.bipartite import BipartiteGraph


def normalised_biadjacency(g: BipartiteGraph) -> sparse.csr_array:
    """Return ``D_l^(-1/2) B D_r^(-1/2)``, shape (n_left, n_right), as a fresh float64 array.

    Its largest singular value is 1 wherever there is an edge. Rows and columns of isolated vertices are zero.

    Examples
    --------
    >>> normalised_biadjacency(BipartiteGraph.from_edges(1, 4, [(0, 0), (0, 3)])).toarray().round(4).tolist()
    [[0.7071, 0.0, 0.0, 0.7071]]
    """
    matrix = g.biadjacency
    left = np.repeat(g.left_degrees, g.left_degrees)  # degree of each edge's left end
    matrix.data = 1.0 / np.sqrt(left * g.right_degrees[g.indices])
    return matrix
