"""The distance between the heat signatures of two networks."""

from numpy.typing import ArrayLike

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.heat.diffusion import Array
from expandergraphs.heat.signature import as_tolerance, heat_signature
from expandergraphs.layered import LayeredGraph, as_net


def heat_distance(
    reference: LayeredGraph | BipartiteGraph,
    other: LayeredGraph | BipartiteGraph,
    t: ArrayLike | str,
    *,
    sources: ArrayLike | None = None,
    laplacian: str = "combinatorial",
    tolerance: float = 1e-8,
) -> Array:
    r"""Measure how far heat in one network is from heat in another, put on the same nodes.

    .. math:: F(t) = \lVert S_\text{reference}(t) - S_\text{other}(t) \rVert

    At saturation F depends on the components alone, with the combinatorial Laplacian: it is 0 where both networks are
    connected, whatever their edges. With the others it depends on the degrees too. So state the time.

    Parameters
    ----------
    reference, other : LayeredGraph or BipartiteGraph
        With equally many nodes, which correspond by their numbers.
    t, sources, laplacian
        See `heat_signature`. Without sources, both networks need equally many inputs.
    tolerance : float
        The largest error of a distance; with k source vectors, of root k times that.

    Returns
    -------
    ndarray, shape (n_times,)
        Euclidean norm over the nodes; with k source vectors the Frobenius norm over nodes and vectors. Read-only.

    Raises
    ------
    ValueError
        If the networks differ in their numbers of nodes or, without sources, of inputs; and as `heat_signature` does.

    References
    ----------
    Subramaniam, Sharma. N2NSkip: Learning Highly Sparse Networks using Neuron-to-Neuron Skip Connections. BMVC 2020,
    section 3.2.

    Examples
    --------
    >>> square = BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)])
    >>> path = BipartiteGraph.from_edges(2, 2, [(0, 0), (0, 1), (1, 1)])
    >>> heat_distance(square, path, [0, 0.5, 1]).round(4).tolist()
    [0.0, 0.2376, 0.2065]
    >>> heat_distance(square, path, "saturated").tolist()
    [0.0]
    """
    first, second = as_net(reference), as_net(other)
    check_comparable(first, second, sources)
    tolerance = as_tolerance(tolerance)
    ours, theirs = (
        heat_signature(net, t, sources=sources, laplacian=laplacian, tolerance=tolerance / 2) for net in (first, second)
    )
    return ours.distance(theirs)


def check_comparable(first: LayeredGraph, second: LayeredGraph, sources: ArrayLike | None) -> None:
    """Raise ``ValueError`` unless the nodes and the sources of two networks correspond."""
    if first.n_nodes != second.n_nodes:
        raise ValueError(f"the networks must have equally many nodes, got {first.n_nodes} and {second.n_nodes}")
    if sources is None and first.widths[0] != second.widths[0]:
        inputs = f"{first.widths[0]} and {second.widths[0]}"
        raise ValueError(f"the networks have {inputs} inputs: name the same sources for both")
