"""The random equivalent of a given graph: same sizes, same number of edges, nothing else in common."""

from typing import overload

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.generators.random import random_bipartite
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.rng import RNG, streams


@overload
def random_like(graph_or_net: BipartiteGraph, *, rng: RNG = None) -> BipartiteGraph: ...
@overload
def random_like(graph_or_net: LayeredGraph, *, rng: RNG = None) -> LayeredGraph: ...
def random_like(graph_or_net: BipartiteGraph | LayeredGraph, *, rng: RNG = None) -> BipartiteGraph | LayeredGraph:
    """Draw a graph of the Random family with the sizes and edge counts of another.

    Parameters
    ----------
    graph_or_net : BipartiteGraph or LayeredGraph
        Of a network every block is replaced, each from its own random stream. Names are kept, weights are not.
    rng : None, int, SeedSequence or Generator
        Source of randomness.

    Returns
    -------
    BipartiteGraph or LayeredGraph
        Of the type of what is given.

    Raises
    ------
    ValueError
        If `graph_or_net` is neither.

    Examples
    --------
    >>> from expandergraphs import radix_net
    >>> random_like(radix_net([[2, 2, 2]], [1, 1, 1, 1]), rng=0)
    LayeredGraph(8-8-8-8, 48 edges)
    """
    net, stream = as_net(graph_or_net), streams(rng)
    # Named for this purpose: with the seed that a random network came from, its equivalent must be another one.
    blocks = {
        (s, t): random_bipartite(g.n_left, g.n_right, n_edges=g.n_edges, rng=stream(f"random_like/{s}-{t}"))
        for (s, t), g in net.blocks.items()
    }
    like = LayeredGraph(net.widths, blocks, names=net.names)
    return like.layers[0] if isinstance(graph_or_net, BipartiteGraph) else like
