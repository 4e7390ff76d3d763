"""A whole model, sparse by graphs, in place.

Parameter objects, hooks, dtype, device and requires_grad stay, so an optimizer built before remains valid. Everything
that can fail happens before the first layer is touched.
"""

from collections.abc import Callable, Mapping

import numpy as np
from torch import nn

from expandergraphs import BipartiteGraph
from expandergraphs.generators.family import Family, draw_layer
from expandergraphs.results import as_plain
from expandergraphs.rng import RNG, as_sequence, streams
from expandergraphs_torch.layers import install
from expandergraphs_torch.masked import Recipe
from expandergraphs_torch.plan import Budget, FamilyOrGraphs, Request, decide, radix_graphs
from expandergraphs_torch.select import Candidate, Selectors


def sparsify(
    model: nn.Module,
    family: FamilyOrGraphs,
    *,
    density: float | None = None,
    degree: int | None = None,
    n_edges: int | None = None,
    budget: Budget = "uniform",
    pattern: str = "channel",
    block: int = 1,
    include: Selectors = None,
    exclude: Selectors = None,
    rng: RNG = None,
    init: str = "rescale",
) -> nn.Module:
    """Wire the Linear and Conv layers of a model by graphs of a family, in place.

    Parameters
    ----------
    model : Module
    family : str, callable or mapping
        "random", "left_regular", "regular" or "radix"; a function ``(n_in, n_out, n_edges, rng) -> BipartiteGraph``; or
        ready graphs, ``{layer name: graph}``, which include just these layers and need no budget.
        "radix" wires layers that follow each other (outputs of one as many as inputs of the next) as one RadiX-Net.
        In a grouped convolution, every group gets a graph of its own; a ready graph has all channels, and no edge
        between groups.
    density, degree, n_edges : number
        Exactly one of them. `density` and `n_edges` are totals over the included layers; for a convolution an edge
        joins two channels and carries a kernel. `degree` holds in every layer, clipped to what a layer can hold:
        for "regular" it is that of the larger side, for the others of every input.
    budget : {"uniform", "uniform_plus", "er", "erk"} or mapping from layer name to int
        How a total is spread over the layers, as for `expandergraphs.spread`. Or the edges of each layer, which include
        just these layers and need no total; such as ``plan(model, "radix", density=0.1).edges``, for the random
        equivalent of a RadiX-Net.
    pattern : {"channel", "weight"}
        What an edge of a convolution is: a pair of channels, with its kernel; or a single weight.
    block : int
        Draw the graph between blocks of so many units, so that edges come in complete blocks, which hardware computes
        faster, and which expand less (`expandergraphs.block_expander`). It must divide both sides of every layer.
    include, exclude : name, glob, type, predicate(name, module), or a list of these
        The name of a container means the layers inside. By default every Linear and Conv is included, the first and
        the last too. Layers of one input, depthwise and other unsupported ones stay dense; the plan says why.
    rng : None, int, SeedSequence or Generator
        Source of randomness; each layer has its own stream, keyed by its name.
    init : {"rescale", "keep"}
        Multiply each unit's remaining weights by sqrt(dense fan-in / actual fan-in), which keeps the scale of its
        output; or leave them as they are.

    Returns
    -------
    Module
        The model itself.

    Raises
    ------
    GenerationError
        If no graph of the family meets the request; the message names the nearest that one does.
    ValueError
        If an argument is out of its range, a selector matches nothing, or a layer included by name is unsupported.
        The model is then as it was.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    >>> _ = sparsify(model, "regular", density=0.1, exclude="4", rng=0)
    >>> model[0]
    MaskedLinear(in_features=784, out_features=300, bias=True, family='regular', density=0.1)
    """
    if init not in ("rescale", "keep"):
        raise ValueError(f"init must be 'rescale' or 'keep', got {init!r}")
    decision = decide(model, family, Request(density, degree, n_edges, budget, pattern, block), include, exclude)
    rows = {row.name: row for row in decision.plan.layers}
    root, edges = as_sequence(rng), {layer.name: rows[layer.name].n_edges for layer in decision.layers}
    graphs = decision.ready or draw_graphs(family, decision.layers, edges, pattern, block, streams(root))  # type: ignore[arg-type]
    named = isinstance(family, str)
    recipe = Recipe(family, pattern, block, edges, as_plain(root.entropy), tuple(root.spawn_key)) if named else None  # type: ignore[arg-type]
    masks = {layer.name: layer.layout.mask(graphs[layer.name]) for layer in decision.layers}
    for layer, owner in [*((layer, layer) for layer in decision.layers), *decision.twins]:
        row, rescale = rows[layer.name], init == "rescale" and layer is owner
        install(layer.module, masks[owner.name], row.family, row.note, recipe, rescale=rescale)
    return model


def draw_graphs(
    family: str | Family,
    layers: list[Candidate],
    edges: Mapping[str, int],
    pattern: str,
    block: int,
    stream: Callable[[str], np.random.Generator],
) -> dict[str, BipartiteGraph]:
    """Draw the graph of every layer, each from the stream of its name."""
    if family == "radix":
        return radix_graphs(layers, pattern, block, n_edges=sum(edges.values()))
    return {
        name: draw_layer(family, shape, edges[name], pattern=pattern, block=block, rng=stream(name))
        for name, shape in ((layer.name, layer.shape) for layer in layers)
    }
