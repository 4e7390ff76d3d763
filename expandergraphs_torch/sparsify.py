"""A whole model, sparse by a graph: which layers, which family, which budget.

`plan` makes the table and touches nothing; `sparsify` draws the graphs and turns the layers into masked ones, in place:
Parameter objects, hooks, dtype, device and requires_grad stay, so an optimizer built before remains valid. Everything
that can fail happens before the first layer is touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from torch import nn

from expandergraphs import BipartiteGraph
from expandergraphs.budget import LayerShape, edges_of_degree, spread
from expandergraphs.errors import GenerationError
from expandergraphs.generators.family import Family, as_family, degree_count, family_net
from expandergraphs.results import Printable, Table, number
from expandergraphs.rng import RNG, as_generator, streams
from expandergraphs_torch.layers import Masked, install, mask_for
from expandergraphs_torch.select import Candidate, Selectors, candidates, select

FamilyOrGraphs: TypeAlias = str | Family | Mapping[str, BipartiteGraph]


@dataclass(frozen=True)
class LayerPlan:
    """One row of a plan.

    Attributes
    ----------
    name, kind : str
        The layer's name and class.
    shape : LayerShape
    family : str
        Family of its graph, or "dense".
    n_edges : int
        Edges it will have; all that a dense layer has where it stays dense.
    density : float
        The same as a fraction of all pairs.
    note : str
        Why it stays dense, which layer it shares its weight with, or that a degree was clipped.
    """

    name: str
    kind: str
    shape: LayerShape
    family: str
    n_edges: int
    density: float
    note: str


@dataclass(frozen=True)
class Plan(Printable):
    """What `sparsify` would do with a model; prints as a table.

    Attributes
    ----------
    layers : tuple of LayerPlan
        Every Linear and convolution of the model, in order.
    n_edges : int
        Edges of all layers that become sparse, a shared weight counted once.
    density : float
        The same as a fraction of their possible edges.
    """

    layers: tuple[LayerPlan, ...]
    n_edges: int
    density: float

    def table(self) -> Table:
        """Return the plan, a row a layer."""
        title = f"{self.n_edges} edges in sparse layers, density {number(self.density)}"
        headings = ["layer", "kind", *SHAPE_HEADINGS, "family", "edges", "density", "note"]
        rows = [
            (row.name, row.kind, *shape_cells(row.shape), row.family, row.n_edges, number(row.density), row.note)
            for row in self.layers
        ]
        return Table.of(title, headings, rows, left=["layer", "kind", "kernel", "family", "note"])


SHAPE_HEADINGS = ("in", "out", "kernel")


def shape_cells(shape: LayerShape) -> tuple[int, int, str]:
    """Return the table cells of a layer's shape."""
    return shape.n_left, shape.n_right, " x ".join(map(str, shape.kernel))


def plan(
    model: nn.Module,
    family: FamilyOrGraphs,
    *,
    density: float | None = None,
    degree: int | None = None,
    n_edges: int | None = None,
    budget: str = "uniform",
    include: Selectors = None,
    exclude: Selectors = None,
    rng: RNG = None,
) -> Plan:
    """Tabulate what `sparsify` would do with the same arguments; the model is not touched.

    Parameters, errors: see `sparsify`.

    Examples
    --------
    >>> from torch import nn
    >>> plan(nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100)), "regular", density=0.1).n_edges
    26520
    """
    request = {"density": density, "degree": degree, "n_edges": n_edges, "budget": budget}
    as_generator(rng)  # refuses what is none, and draws nothing
    return _decide(model, family, request, include, exclude).plan


def sparsify(
    model: nn.Module,
    family: FamilyOrGraphs,
    *,
    density: float | None = None,
    degree: int | None = None,
    n_edges: int | None = None,
    budget: str = "uniform",
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
    density, degree, n_edges : number
        Exactly one of them. `density` and `n_edges` are totals over the included layers; for a convolution an edge
        joins two channels and carries a kernel. `degree` holds in every layer, clipped to what a layer can hold:
        for "regular" it is that of the larger side, for the others of every input.
    budget : {"uniform", "uniform_plus", "er", "erk"}
        How a total is spread over the layers, as for `expandergraphs.spread`.
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
    request = {"density": density, "degree": degree, "n_edges": n_edges, "budget": budget}
    decision = _decide(model, family, request, include, exclude)
    rows, stream = {row.name: row for row in decision.plan.layers}, streams(rng)
    masks = {}
    for layer in decision.layers:
        row = rows[layer.name]
        if decision.ready is None:
            draw = as_family(family)  # type: ignore[arg-type]
            graph = draw(row.shape.n_left, row.shape.n_right, row.n_edges, stream(layer.name))
        else:
            graph = decision.ready[layer.name]
        masks[layer.name] = mask_for(layer.module, graph)
    for layer in decision.layers:
        row = rows[layer.name]
        install(layer.module, masks[layer.name], row.family, row.note, rescale=init == "rescale")
    for twin, layer in decision.twins:
        install(twin.module, masks[layer.name], rows[twin.name].family, rows[twin.name].note, rescale=False)
    return model


class _Decision(NamedTuple):
    plan: Plan
    layers: list[Candidate]  # each gets a graph of its own
    twins: list[tuple[Candidate, Candidate]]  # a layer, and the one of `layers` whose weight it shares
    ready: Mapping[str, BipartiteGraph] | None  # graphs by layer name, where nothing is left to chance


def _decide(
    model: nn.Module, family: FamilyOrGraphs, request: dict[str, Any], include: Selectors, exclude: Selectors
) -> _Decision:
    everything = candidates(model)
    if isinstance(family, Mapping):
        if include is not None or any(request[key] is not None for key in ("density", "degree", "n_edges")):
            raise ValueError("ready graphs name their layers and edges themselves; leave out include and the budget")
        unknown = set(family) - {name for layer in everything for name in layer.names}
        if unknown:
            names = ", ".join(layer.name for layer in everything)
            raise ValueError(f"graphs are given for {sorted(unknown)}, which are no layers; the layers are: {names}")
        include = list(family)
    layers, twins = _untie(everything, select(everything, include, exclude))
    ready = family if isinstance(family, Mapping) else _radix(layers, request) if family == "radix" else None
    if ready is not None:
        counts = {layer.name: _ready_graph(ready, layer).n_edges for layer in layers}
        for twin, layer in twins:
            if ready.get(twin.name, ready[layer.name]) != ready[layer.name]:
                raise ValueError(f"layers {layer.name!r} and {twin.name!r} share a weight, and need the same graph")
    else:
        as_family(family)  # type: ignore[arg-type]  # refuses an unknown name
        spreading = spread([layer.shape for layer in layers], **request, count=degree_count(family))  # type: ignore[arg-type]
        counts = dict(zip((layer.name for layer in layers), spreading, strict=True))
    total = sum(counts.values())
    notes = {twin.name: f"shares the weight of {layer.name!r}" for twin, layer in twins}
    for layer in layers if request["degree"] is not None else ():
        if edges_of_degree(layer.shape, request["degree"], degree_count(family)) > counts[layer.name]:  # type: ignore[arg-type]
            notes[layer.name] = f"degree {request['degree']} clipped to what the layer holds"
    counts |= {twin.name: counts[layer.name] for twin, layer in twins}
    rows = []
    for layer in everything:
        if layer.name in counts:
            label, n_edges = _label(family), counts[layer.name]
            note = "; ".join(filter(None, [notes.get(layer.name), _starved(layer.shape, n_edges)]))
        elif isinstance(layer.module, Masked):
            label, n_edges, note = layer.module.family, layer.module.graph.n_edges, "it is masked already"
        else:
            label, n_edges, note = "dense", layer.n_edges_dense, layer.obstacle or "not included"
        density = n_edges / max(1, layer.shape.n_pairs)
        rows.append(LayerPlan(layer.name, layer.kind, layer.shape, label, n_edges, density, note))
    possible = sum(layer.shape.n_pairs for layer in layers)
    return _Decision(Plan(tuple(rows), total, total / possible), layers, twins, ready)


def _untie(
    everything: list[Candidate], chosen: list[Candidate]
) -> tuple[list[Candidate], list[tuple[Candidate, Candidate]]]:
    """Separate the layers that own a weight from those that share it with an earlier one."""
    owners: dict[int, Candidate] = {}
    for layer in chosen:
        owners.setdefault(id(layer.module.weight), layer)
    for layer in everything:
        if not layer.obstacle and id(layer.module.weight) in owners and layer not in chosen:
            other = owners[id(layer.module.weight)].name
            raise ValueError(f"layers {other!r} and {layer.name!r} share a weight; include both, or exclude both")
    twins = [(layer, owners[id(layer.module.weight)]) for layer in chosen if layer not in owners.values()]
    return list(owners.values()), twins


def _ready_graph(graphs: Mapping[str, BipartiteGraph], layer: Candidate) -> BipartiteGraph:
    graph, shape = graphs.get(layer.name), layer.shape
    if not isinstance(graph, BipartiteGraph) or (graph.n_left, graph.n_right) != (shape.n_left, shape.n_right):
        raise ValueError(f"layer {layer.name!r} needs a graph {shape.n_left} x {shape.n_right}, got {graph!r}")
    return graph


def _radix(layers: list[Candidate], request: dict[str, Any]) -> dict[str, BipartiteGraph]:
    """Wire layers as one RadiX-Net; they must follow each other."""
    for before, after in pairwise(layers):
        if before.shape.n_right != after.shape.n_left:
            raise GenerationError(
                f"a RadiX-Net wires a chain: {before.name!r} has {before.shape.n_right} outputs, the next layer "
                f"{after.name!r} has {after.shape.n_left} inputs; include one chain at a time"
            )
    sizes = [layers[0].shape.n_left, *(layer.shape.n_right for layer in layers)]
    net = family_net("radix", sizes, **request)
    return dict(zip((layer.name for layer in layers), net.layers, strict=True))


def _starved(shape: LayerShape, n_edges: int) -> str:
    """Say how many units cannot but stay without an edge."""
    idle = {"outputs receive": shape.n_right - n_edges, "inputs lead to": shape.n_left - n_edges}
    return ", ".join(f"{count} or more {what} nothing" for what, count in idle.items() if count > 0)


def _label(family: FamilyOrGraphs) -> str:
    if isinstance(family, str):
        return family
    return "given" if isinstance(family, Mapping) else getattr(family, "__name__", type(family).__name__)
