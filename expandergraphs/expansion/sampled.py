"""Vertex expansion: how many neighbours a set of vertices has, for each vertex of the set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.rng import RNG, as_generator


@dataclass(frozen=True)
class SampledExpansion:
    """``|N(S)| / |S|`` over random sets S.

    Attributes
    ----------
    mean, minimum : float
        Over all samples. The minimum is an upper bound of the vertex expansion, usually a poor one.
    samples : int
        Number of sets.

    Examples
    --------
    >>> sampled_expansion(BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1)]), samples=10, rng=0)
    SampledExpansion(mean=1.0, minimum=1.0, samples=10)
    """

    mean: float
    minimum: float
    samples: int


def sampled_expansion(g: BipartiteGraph, *, samples: int = 1000, rng: RNG = None) -> SampledExpansion:
    """Sample ``|N(S)| / |S|`` over random sets S, as RReg's published code does.

    This is *not* the expansion of the graph, which is a minimum over all sets; it is here to compare with figures
    obtained this way. Sides take turns, sizes are uniform in 1..n_side // 2, and each set of that size is equally
    likely. A side of one vertex has no such set and is left out.

    Parameters
    ----------
    g : BipartiteGraph
    samples : int
        Number of sets.
    rng : None, int, SeedSequence or Generator
        Source of randomness.

    Returns
    -------
    SampledExpansion

    Raises
    ------
    ValueError
        If `samples` is below 1, or neither side has two vertices.

    References
    ----------
    Stewart, Michieli, Ozay. Data-Free Model Pruning at Initialization via Expanders. CVPR Workshops 2023.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> sampled_expansion(random_regular(64, 64, 8, rng=0), samples=100, rng=0).minimum > 1
    True
    """
    check_graph(g)
    samples = as_integer("samples", samples, minimum=1)
    generator = as_generator(rng)
    sides = [matrix for matrix in (g.biadjacency.T.tocsr(), g.biadjacency) if matrix.shape[1] >= 2]
    if not sides:
        raise ValueError(f"no admissible set: a side needs at least 2 vertices, got {g.n_left} x {g.n_right}")
    ratios = [
        _ratios(matrix, samples // len(sides) + (i < samples % len(sides)), generator) for i, matrix in enumerate(sides)
    ]
    values = np.concatenate(ratios)
    return SampledExpansion(float(values.mean()), float(values.min()), samples)


def _ratios(neighbours: sparse.csr_array, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """|N(S)| / |S| for random sets S of columns; the rows are the other side."""
    n = neighbours.shape[1]
    sizes = rng.integers(1, n // 2 + 1, size=samples)
    hit = np.empty(samples)
    step = max(1, 2**24 // sum(neighbours.shape))  # sets at a time: 128 MiB of indicators
    for start in range(0, samples, step):
        members = np.zeros((n, min(step, samples - start)))
        for k in range(members.shape[1]):
            members[rng.permutation(n)[: sizes[start + k]], k] = 1.0
        hit[start : start + step] = np.count_nonzero(neighbours @ members, axis=0)
    return hit / sizes
