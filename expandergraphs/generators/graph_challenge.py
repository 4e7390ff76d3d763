"""The networks of the Graph Challenge: RadiX-Nets of 1024 to 65536 neurons a layer, repeated to great depth.

With s = 6, 8, 10, 12 for 1024, 4096, 16384, 65536 neurons, the base block is the RadiX-Net of one system of s radices 2
with multipliers 16: s layers, 32 edges a neuron, every edge of weight 1/16. Block follows on block; in each but the
first, the rows (left vertices) of all s layers are permuted, and by one and the same permutation p: left vertex i of a
layer has the neighbours that left vertex p(i) has in that layer of the base block. Columns stay [1]_.

That is what the published files show. Rows of the base block that are equal modulo 2^s are alike, so the twelve layers
``n1024-l1`` to ``n1024-l12`` tell p modulo 64 and no more. Which permutations were drawn is not published; ours are
seeded. So our first block equals theirs edge for edge, the others up to the one permutation.

A block with permuted rows is not path-symmetric by itself. The network is, from s layers on: the first block joins
every input to every neuron by 16^(s-1) paths, and each layer after it multiplies that by 32, its right degree.

.. [1] Kepner, Alford, Gadepally, Jones, Milechin, Robinett, Samsi. Sparse Deep Neural Network Graph Challenge.
   IEEE HPEC 2019. https://graphchallenge.mit.edu/data-sets
"""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.errors import GenerationError
from expandergraphs.generators.radix import radix_net
from expandergraphs.layered import LayeredGraph
from expandergraphs.rng import RNG, streams

_BLOCK_LENGTHS = {1024: 6, 4096: 8, 16384: 10, 65536: 12}
_MULTIPLIER = 16


def graph_challenge(n_neurons: int, n_layers: int, *, rng: RNG = None) -> LayeredGraph:
    """Build a Graph Challenge network, every edge of weight 1/16.

    It has ``32 * n_neurons * n_layers`` edges and takes little more than 4 bytes for each, as all weights share the
    memory of one: 16 MB for 1024 neurons and 120 layers, 17 GB for 65536 and 1920. `graph_challenge_layers` yields one
    layer at a time instead.

    Parameters
    ----------
    n_neurons : {1024, 4096, 16384, 65536}
        Neurons of each layer.
    n_layers : int
        Number of graphs between layers, at least 1; officially 120, 480 or 1920. The last block may be cut short.
    rng : None, int, SeedSequence or Generator
        Source of the permutations. Each block has its own stream, so one seed's network of 120 layers begins its
        network of 1920.

    Returns
    -------
    LayeredGraph
        Weighted.

    Raises
    ------
    GenerationError
        If there is no network of that many neurons.
    ValueError
        If `n_layers` is below 1.

    References
    ----------
    Kepner et al. Sparse Deep Neural Network Graph Challenge. 2019, section II.

    Examples
    --------
    >>> graph_challenge(1024, 120, rng=0)
    LayeredGraph(1024-1024-1024-1024-1024-1024-1024-1024-...-1024, 121 layers, 3932160 edges, weighted)
    """
    layers = list(graph_challenge_layers(n_neurons, n_layers, rng=rng))
    blocks = {(k, k + 1): layer for k, layer in enumerate(layers)}
    weights = {key: np.broadcast_to(1 / _MULTIPLIER, layer.n_edges) for key, layer in blocks.items()}
    return LayeredGraph([n_neurons] * (len(layers) + 1), blocks, weights)  # type: ignore[arg-type]


def graph_challenge_layers(n_neurons: int, n_layers: int, *, rng: RNG = None) -> Iterator[BipartiteGraph]:
    """Yield the layers of `graph_challenge` one by one, as patterns; the base block is all that is kept.

    Parameters and errors are those of `graph_challenge`. Made for `save_graph_challenge`, where the whole network would
    not fit into memory; there every edge of a pattern weighs 1/16.

    Parameters
    ----------
    n_neurons : {1024, 4096, 16384, 65536}
    n_layers : int
    rng : None, int, SeedSequence or Generator
        As for `graph_challenge`.

    Returns
    -------
    iterator of BipartiteGraph

    Raises
    ------
    GenerationError
        If there is no network of that many neurons.
    ValueError
        If `n_layers` is below 1.

    Examples
    --------
    >>> for layer in graph_challenge_layers(4096, 2):
    ...     print(layer)
    BipartiteGraph(4096 x 4096, 131072 edges, density 0.007812)
    BipartiteGraph(4096 x 4096, 131072 edges, density 0.007812)
    """
    n_neurons = as_integer("n_neurons", n_neurons)
    if n_neurons not in _BLOCK_LENGTHS:
        feasible = ", ".join(map(str, _BLOCK_LENGTHS))
        raise GenerationError(f"Graph Challenge networks have {feasible} neurons a layer, got n_neurons={n_neurons}")
    n_layers = as_integer("n_layers", n_layers, minimum=1)
    length = _BLOCK_LENGTHS[n_neurons]
    base = radix_net([[2] * length], [_MULTIPLIER] * (length + 1)).layers
    return islice(_blocks(base, streams(rng)), n_layers)


def _blocks(base: tuple[BipartiteGraph, ...], stream: Callable[[str], np.random.Generator]) -> Iterator[BipartiteGraph]:
    yield from base
    block = 2
    while True:
        rows = stream(f"block {block}").permutation(base[0].n_left)
        for layer in base:
            neighbours = layer.indices.reshape(layer.n_left, -1)  # every row has 32
            yield BipartiteGraph(layer.n_left, layer.n_right, layer.indptr, neighbours[rows].ravel())
        block += 1
