"""Registered graphs: whatever a generator makes must survive graph -> mask -> layer -> graph."""

import expandergraphs as eg

GRAPHS = {
    "random": eg.random_bipartite(12, 7, n_edges=30, rng=0),
    "bernoulli": eg.random_bipartite(12, 7, p=0.3, rng=0),
    "left_regular": eg.random_left_regular(12, 7, 3, rng=0),
    "regular": eg.random_regular(12, 7, 3, rng=0),
    "radix": eg.radix_net([[2, 3]], [2, 1, 2]).layers[1],
    "empty": eg.BipartiteGraph.from_edges(4, 3, []),
    "complete": eg.random_bipartite(4, 3, p=1),
    "single": eg.BipartiteGraph.from_edges(1, 1, [(0, 0)]),
    "lopsided": eg.BipartiteGraph.from_edges(3, 2, [(0, 1), (2, 1)]),
}
