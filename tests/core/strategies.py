"""Hypothesis strategies: small graphs and networks."""

import numpy as np
from hypothesis import strategies as st

from expandergraphs import BipartiteGraph, LayeredGraph


@st.composite
def pairs(draw, largest=7):
    """Sizes and a set of pairs: the slow, obvious twin of a graph."""
    n_left, n_right = draw(st.integers(0, largest)), draw(st.integers(0, largest))
    every = [(i, j) for i in range(n_left) for j in range(n_right)]
    return n_left, n_right, draw(st.lists(st.sampled_from(every), unique=True)) if every else []


@st.composite
def networks(draw):
    widths = draw(st.lists(st.integers(0, 4), min_size=2, max_size=4))
    blocks, weights = {}, {}
    for s in range(len(widths)):
        for t in range(s + 1, len(widths)):
            if draw(st.booleans()):
                dense = np.array(
                    draw(st.lists(st.booleans(), min_size=widths[s] * widths[t], max_size=widths[s] * widths[t]))
                )
                blocks[s, t] = BipartiteGraph.from_biadjacency(dense.reshape(widths[s], widths[t]))
                size = blocks[s, t].n_edges
                weights[s, t] = np.array(draw(st.lists(st.floats(-3, 3), min_size=size, max_size=size)))
    return LayeredGraph(widths, blocks, weights if draw(st.booleans()) else None)
