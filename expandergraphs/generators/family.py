"""The families by name, for whoever lets a user choose one: the command line, studies, the adapter for PyTorch."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from expandergraphs._checks import as_integer, as_list
from expandergraphs._words import did_you_mean
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.budget import LayerShape, edges_of_degree, spread
from expandergraphs.errors import GenerationError
from expandergraphs.generators.products import block_expander, disjoint_union
from expandergraphs.generators.radix import radix_net_with
from expandergraphs.generators.random import random_bipartite, random_left_regular
from expandergraphs.generators.regular import random_regular
from expandergraphs.layered import LayeredGraph
from expandergraphs.rng import RNG, as_generator, streams

Family: TypeAlias = Callable[[int, int, int, np.random.Generator], BipartiteGraph]

RANDOM_FAMILIES: dict[str, Family] = {
    "random": lambda n_left, n_right, n_edges, rng: random_bipartite(n_left, n_right, n_edges=n_edges, rng=rng),
    "left_regular": lambda n_left, n_right, n_edges, rng: random_left_regular(
        n_left, n_right, n_edges=n_edges, rng=rng
    ),
    "regular": lambda n_left, n_right, n_edges, rng: random_regular(n_left, n_right, n_edges=n_edges, rng=rng),
}
FAMILIES = (*RANDOM_FAMILIES, "radix")
IN_PAPERS = {"XNet": "left_regular", "X-Net": "left_regular", "RReg": "regular", "RadiX-Net": "radix"}


def as_family(family: str | Family) -> Family:
    """Return the function that draws a graph of a random family, given by name or as a function itself.

    The function is called with (n_left, n_right, n_edges, rng); what it returns is checked.

    Raises
    ------
    ValueError
        If the name is unknown; from the returned function, if it draws a graph of other sizes or another count.

    Examples
    --------
    >>> as_family("regular")(4, 4, 8, np.random.default_rng(0))
    BipartiteGraph(4 x 4, 8 edges, density 0.5)
    """
    if family == "radix":
        raise ValueError("a RadiX-Net is built as a whole, by radix_net_with or family_net, not layer by layer")
    draw = RANDOM_FAMILIES.get(family) if isinstance(family, str) else family
    if not callable(draw):
        hint = did_you_mean(str(family), FAMILIES, IN_PAPERS)
        raise ValueError(f"family must be one of {', '.join(FAMILIES)} or a function, got {family!r}{hint}")

    def checked(n_left: int, n_right: int, n_edges: int, rng: np.random.Generator) -> BipartiteGraph:
        graph = draw(n_left, n_right, n_edges, rng)
        if not isinstance(graph, BipartiteGraph):
            raise ValueError(f"the family must return a BipartiteGraph, got {type(graph).__name__}")
        if (graph.n_left, graph.n_right, graph.n_edges) != (n_left, n_right, n_edges):
            raise ValueError(f"the family was asked for {n_left} x {n_right} with {n_edges} edges, and gave {graph!r}")
        return graph

    return checked


def degree_count(family: str | Family) -> str:
    """Return how the family's source counts a degree: RReg by the larger side ("max"), all others by the left."""
    return "max" if family == "regular" else "left"


def draw_layer(
    family: str | Family,
    layer: LayerShape,
    n_edges: int,
    *,
    pattern: str = "channel",
    block: int = 1,
    rng: RNG = None,
) -> BipartiteGraph:
    """Draw the wiring of a layer, group after group.

    Parameters
    ----------
    family : {"random", "left_regular", "regular"} or callable(n_left, n_right, n_edges, rng)
        Asked for one graph a group, between blocks if there are any.
    layer : LayerShape
    n_edges : int
        Of the whole layer, a multiple of ``block**2``; the numbers of blocks in the groups differ by at most one.
    pattern : {"channel", "weight"}
        Whether every entry of a kernel is a vertex of its own: entry k of channel c is ``c * prod(kernel) + k``.
    block : int
        Every edge of the drawn graph becomes a complete block of this side.
    rng : None, int, SeedSequence or Generator

    Raises
    ------
    GenerationError
        If the family has no such graph.
    ValueError
        If blocks do not fit, or a function draws another graph than it was asked for.

    Examples
    --------
    >>> draw_layer("regular", LayerShape(8, 16, (3, 3), groups=2), 32, rng=0)
    BipartiteGraph(8 x 16, 32 edges, density 0.25)
    """
    draw, grid, rng = as_family(family), layer.grid(pattern, block), as_generator(rng)
    n_blocks, rest = divmod(n_edges, block**2)
    if rest:
        raise GenerationError(f"n_edges = {n_edges} is no number of whole blocks of {block} x {block}")
    each, more = divmod(n_blocks, grid.groups)
    sides = grid.n_left // grid.groups, grid.n_right // grid.groups
    graph = disjoint_union(draw(*sides, each + (k < more), rng) for k in range(grid.groups))
    return graph if block == 1 else block_expander(graph, block)


def family_net(
    family: str | Family,
    sizes: Sequence[int],
    *,
    density: float | None = None,
    degree: int | None = None,
    n_edges: int | None = None,
    budget: str = "uniform",
    rng: RNG = None,
) -> LayeredGraph:
    """Build a whole network of one family.

    Parameters
    ----------
    family : {"random", "left_regular", "regular", "radix"} or callable(n_left, n_right, n_edges, rng)
        "radix" is deterministic and realises only certain totals.
    sizes : sequence of int
        Nodes of each layer.
    density, degree, n_edges : number
        Exactly one of them, as for `budget.spread`. "radix" takes no degree.
    budget : {"uniform", "uniform_plus", "er", "erk"}
        How a total is spread over the layers, as for `budget.spread`.
    rng : None, int, SeedSequence or Generator
        Source of randomness; each layer has its own stream.

    Returns
    -------
    LayeredGraph

    Raises
    ------
    GenerationError
        If no graph of the family meets the request; the message names the nearest that one does.
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> family_net("regular", [784, 300, 100], density=0.1, rng=0)
    LayeredGraph(784-300-100, 26520 edges)
    >>> family_net("radix", [784, 300, 100], density=0.1)
    LayeredGraph(784-300-100, 26520 edges)
    """
    sizes = [as_integer("each size", size) for size in as_list("sizes", sizes)]
    shapes = [LayerShape(a, b) for a, b in pairwise(sizes)]
    if not shapes:
        raise ValueError(f"a network has at least two layers, got sizes {list(sizes)}")
    if family == "radix" and degree is not None:
        raise GenerationError("a RadiX-Net has no one degree; ask for a density or a number of edges")
    for shape in shapes:
        if degree is not None and edges_of_degree(shape, degree, degree_count(family)) > shape.n_pairs:
            largest = shape.n_right if degree_count(family) == "left" else min(shape.n_left, shape.n_right)
            raise GenerationError(
                f"the layer {shape.n_left} x {shape.n_right} holds a degree of at most {largest}, got {degree}"
            )
    counts = spread(shapes, density=density, degree=degree, n_edges=n_edges, budget=budget, count=degree_count(family))
    if family == "radix":
        return radix_net_with(sizes, sum(counts)).net
    draw, stream = as_family(family), streams(rng)
    return LayeredGraph.from_layers(
        draw(shape.n_left, shape.n_right, count, stream(f"{k}-{k + 1}"))
        for k, (shape, count) in enumerate(zip(shapes, counts, strict=True))
    )
