"""Networks with N2NSkip connections: a part of the edges between neighbouring layers, the others in random skips."""

from collections.abc import Sequence
from itertools import pairwise
from numbers import Real

from expandergraphs._checks import as_integer, as_list
from expandergraphs.budget import LayerShape, spread, spread_skips
from expandergraphs.errors import GenerationError
from expandergraphs.generators.family import Family, family_net
from expandergraphs.generators.random import random_bipartite
from expandergraphs.layered import LayeredGraph
from expandergraphs.rng import RNG, as_sequence, streams


def n2nskip_net(
    sizes: Sequence[int],
    *,
    density: float | None = None,
    n_edges: int | None = None,
    k: int = 2,
    share: float = 0.5,
    family: str | Family = "random",
    budget: str = "uniform",
    rng: RNG = None,
) -> LayeredGraph:
    """Build a network of one family with skips from every layer l to layer l + k, at the edges of one without.

    Parameters
    ----------
    sizes : sequence of int
        Nodes of each layer, k + 1 layers or more.
    density, n_edges : number
        One of them: edges of the whole network, skips included, or as a fraction of the pairs of neighbouring layers.
    k : int
        Layers between the ends of a skip, 2 or more.
    share : float
        Of the edges, those in skips; between 0 and 1. They are spread in proportion to what the layer keeps that each
        skip ends at.
    family, budget
        Of the part between neighbouring layers, as for `family_net`.
    rng : None, int, SeedSequence or Generator
        Source of randomness.

    Returns
    -------
    LayeredGraph
        With blocks (l, l + 1) and (l, l + k).

    Raises
    ------
    GenerationError
        If the skips cannot hold their share, or no graph of the family meets the request.
    ValueError
        If an argument is out of its range.

    References
    ----------
    Subramaniam, Sharma. N2NSkip: Learning Highly Sparse Networks using Neuron-to-Neuron Skip Connections. BMVC 2020,
    section 3.1.

    Examples
    --------
    >>> n2nskip_net([784, 300, 200, 100], density=0.1, rng=0)
    LayeredGraph(784-300-200-100, 31520 edges, skips (0, 2), (1, 3))
    """
    k = as_integer("k", k, minimum=2)
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 < share < 1:
        raise ValueError(f"share must be a number between 0 and 1, got {share!r}")
    sizes = [as_integer("each size", size) for size in as_list("sizes", sizes)]
    if len(sizes) <= k:
        raise ValueError(f"skips over {k} layers need {k + 1} sizes or more, got {list(sizes)}")
    shapes = [LayerShape(a, b) for a, b in pairwise(sizes)]
    total = sum(spread(shapes, density=density, n_edges=n_edges, budget=budget))
    in_skips, root = round(total * share), as_sequence(rng)
    ends = [(t - k, t) for t in range(k, len(sizes))]
    skips = [LayerShape(sizes[s], sizes[t]) for s, t in ends]
    holds = sum(skip.n_pairs for skip in skips)
    if in_skips > holds:
        raise GenerationError(
            f"the skips hold {holds} edges, and share={share:g} of {total} are {in_skips}; the most edges that fit are "
            f"{int(holds / share)}"
        )
    net = family_net(family, sizes, n_edges=total - in_skips, budget=budget, rng=root)
    counts = spread_skips(skips, [net.blocks[t - 1, t].n_edges for _, t in ends], in_skips)
    stream = streams(root)
    drawn = {
        (s, t): random_bipartite(sizes[s], sizes[t], n_edges=n, rng=stream(f"{s}-{t}"))
        for (s, t), n in zip(ends, counts, strict=True)
    }
    return LayeredGraph(sizes, {**net.blocks, **drawn})
