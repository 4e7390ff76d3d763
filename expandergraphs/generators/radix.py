"""RadiX-Nets: deterministic sparse networks with the same number of paths between every input and every output.

Given mixed-radix systems N^1, ..., N^M (lists of radices) and widths B_0, ..., B_L, one more than there are radices:
let N' = prod(N^1), P the cyclic shift of N' nodes (row i has its one in column i - 1). In each system the place value
starts at v = 1; for each radix r the next layer is ``ones(B_{i-1}, B_i) (x) sum_{j<r} P^(j v)``, then v becomes r v.
Layer i has ``B_{i-1} N'`` inputs, ``B_i N'`` outputs and density r_i / N' [1]_. The product of every system but the
last is N'; that of the last divides N'. Paths between any two ends: ``prod_{i>=2} prod(N^i) * prod(inner B)``.

Other layer sizes are cut out of the next larger RadiX-Net (`radix_net_for`); which counts of edges then occur is found
by search (`radix_net_with`).

.. [1] Robinett, Kepner. RadiX-Net: Structured Sparse Matrices for Deep Neural Networks. IPDPS Workshops 2019.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from expandergraphs._checks import as_integer, as_list
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.errors import GenerationError
from expandergraphs.generators._radix_search import find_system
from expandergraphs.layered import LayeredGraph
from expandergraphs.paths import is_path_symmetric


@dataclass(frozen=True)
class RadixNet:
    """A RadiX-Net cut to given layer sizes.

    Attributes
    ----------
    net : LayeredGraph
        The network, of exactly the sizes asked for.
    systems : tuple of tuples of int
        The mixed-radix systems it was built from.
    cropped : tuple of int
        Number of nodes cut off each layer.
    path_symmetric : bool
        Whether every input and every output are still joined by the same number of paths. Cutting inputs and outputs
        never costs this, nor does cutting between systems whose products are N'; cutting elsewhere does.

    Examples
    --------
    >>> found = radix_net_for([7, 8, 6], [[2, 4]])
    >>> found.net.widths, found.cropped, found.path_symmetric
    ((7, 8, 6), (1, 0, 2), True)
    """

    net: LayeredGraph
    systems: tuple[tuple[int, ...], ...]
    cropped: tuple[int, ...]
    path_symmetric: bool


def radix_net(systems: Sequence[Sequence[int]], multipliers: Sequence[int]) -> LayeredGraph:
    """Build the RadiX-Net of mixed-radix systems and layer multipliers.

    Parameters
    ----------
    systems : sequence of sequences of int
        Radices N^1..N^M, each at least 2.
    multipliers : sequence of int
        B_0..B_L, one more than there are radices; layer i has ``B_i * prod(systems[0])`` nodes.

    Returns
    -------
    LayeredGraph

    Raises
    ------
    GenerationError
        If a system's product does not fit, or the number of multipliers does not.
    ValueError
        If a radix is below 2, or a multiplier below 1.

    References
    ----------
    Robinett, Kepner. RadiX-Net: Structured Sparse Matrices for Deep Neural Networks. 2019, section III.

    Examples
    --------
    >>> radix_net([[10, 10]], [8, 30, 1])
    LayeredGraph(800-3000-100, 270000 edges)
    """
    systems = _as_systems(systems)
    modulus = math.prod(systems[0])
    widths = [as_integer("each multiplier", b, minimum=1) for b in as_list("multipliers", multipliers)]
    n_radices = sum(map(len, systems))
    if len(widths) != n_radices + 1:
        raise GenerationError(f"{n_radices} radices need {n_radices + 1} multipliers B_0..B_L, got {len(widths)}")
    return _build(systems, [b * modulus for b in widths])


def radix_net_for(sizes: Sequence[int], systems: Sequence[Sequence[int]]) -> RadixNet:
    """Cut a RadiX-Net to given layer sizes: the next larger one is built, its last nodes of each layer dropped.

    Parameters
    ----------
    sizes : sequence of int
        Nodes of each layer, one more than there are radices.
    systems : sequence of sequences of int
        Mixed-radix systems, as for `radix_net`.

    Returns
    -------
    RadixNet
        With the network, what was cropped, and whether it is still path-symmetric.

    Raises
    ------
    GenerationError
        If the systems do not fit each other or the number of layers.

    Examples
    --------
    >>> result = radix_net_for([784, 300, 100], [[10, 10]])
    >>> result.net, result.cropped, result.path_symmetric
    (LayeredGraph(784-300-100, 26520 edges), (16, 0, 0), True)
    """
    systems = _as_systems(systems)
    modulus = math.prod(systems[0])
    sizes = [as_integer("each size", size, minimum=1) for size in as_list("sizes", sizes)]
    n_radices = sum(map(len, systems))
    if len(sizes) != n_radices + 1:
        raise GenerationError(f"{n_radices} radices need {n_radices + 1} layer sizes, got {len(sizes)}")
    net = _build(systems, sizes)
    cropped = tuple(-size % modulus for size in sizes)
    # A system whose product is N' joins all residues by equally many paths: cutting right before one is harmless.
    starts = np.cumsum([0, *map(len, systems)]).tolist()
    whole = {start for start, system in zip(starts, systems, strict=False) if math.prod(system) == modulus}
    harmless = all(cut == 0 or layer in {0, *whole, n_radices} for layer, cut in enumerate(cropped))
    return RadixNet(net, systems, cropped, harmless or is_path_symmetric(net))


def radix_net_with(sizes: Sequence[int], n_edges: int) -> RadixNet:
    """Find a RadiX-Net of given layer sizes with exactly `n_edges` edges.

    Searched are the nets that repeat one mixed-radix system, its last repetition cut short where the layers end, with
    a modulus N' of at most the largest size. Among several, the one whose layers' densities differ least, then the
    smallest modulus.

    Parameters
    ----------
    sizes : sequence of int
        Nodes of each layer.
    n_edges : int
        Total number of edges.

    Returns
    -------
    RadixNet

    Raises
    ------
    GenerationError
        If none has that many; the message names the nearest feasible counts below and above.

    Examples
    --------
    >>> radix_net_with([784, 300, 100], 26520).systems
    ((10, 10),)
    """
    sizes = [as_integer("each size", size, minimum=1) for size in as_list("sizes", sizes)]
    if len(sizes) < 2:
        raise ValueError(f"a network has at least two layers, got sizes {sizes}")
    n_edges = as_integer("n_edges", n_edges)
    system, nearest = find_system(sizes, n_edges)
    if system is None:
        pairs = sum(a * b for a, b in pairwise(sizes))
        fractions = " and ".join(f"{count / pairs:.6g}" for count in nearest)
        raise GenerationError(
            f"no RadiX-Net of sizes {'-'.join(map(str, sizes))} that repeats one mixed-radix system has {n_edges} "
            f"edges; the nearest feasible n_edges: {' and '.join(map(str, nearest))} (density {fractions})"
        )
    repeats, rest = divmod(len(sizes) - 1, len(system))
    return radix_net_for(sizes, [system] * repeats + ([system[:rest]] if rest else []))


def _as_systems(systems: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    result = tuple(
        tuple(as_integer("each radix", radix, minimum=2) for radix in as_list("each system", system))
        for system in as_list("systems", systems)
    )
    if not result or not all(result):
        raise GenerationError(f"a RadiX-Net needs at least one system of at least one radix each, got {systems!r}")
    modulus = math.prod(result[0])
    for system in result[1:-1]:
        if math.prod(system) != modulus:
            raise GenerationError(
                f"the product of system {list(system)} is {math.prod(system)}; every system but the last must have "
                f"that of the first, {modulus}"
            )
    if modulus % math.prod(result[-1]):
        raise GenerationError(
            f"the product of the last system {list(result[-1])} is {math.prod(result[-1])}, which must divide {modulus}"
        )
    return result


def _places(system: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield each radix with its place value."""
    place = 1
    for radix in system:
        yield radix, place
        place *= radix


def _build(systems: Sequence[Sequence[int]], sizes: Sequence[int]) -> LayeredGraph:
    modulus = math.prod(systems[0])
    steps = [step for system in systems for step in _places(system)]
    return LayeredGraph.from_layers(
        _layer(modulus, radix, place, a, b) for (radix, place), (a, b) in zip(steps, pairwise(sizes), strict=True)
    )


def _layer(modulus: int, radix: int, place: int, n_left: int, n_right: int) -> BipartiteGraph:
    """Return the first rows and columns of ``ones (x) sum_{j<radix} P^(j place)``, P shifting `modulus` residues."""
    if radix > n_right:  # trying the columns that are there is cheaper than finding those that mostly are not
        shifts = (np.arange(n_left)[:, None] - np.arange(n_right)) % modulus
        return BipartiteGraph.from_biadjacency((shifts % place == 0) & (shifts < radix * place))
    residues = (np.arange(n_left)[:, None] - place * np.arange(radix)) % modulus
    residues.sort(axis=1)
    copies = modulus * np.arange(-(-n_right // modulus))
    columns = (copies[:, None] + residues[:, None, :]).reshape(n_left, -1)
    inside = columns < n_right
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(inside, axis=1))])
    return BipartiteGraph(n_left, n_right, indptr, columns[inside])
