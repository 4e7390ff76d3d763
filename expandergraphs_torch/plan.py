"""What a model is to become: which layers, with how many edges each, and what stays dense and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from torch import nn

from expandergraphs import BipartiteGraph
from expandergraphs._checks import as_integer
from expandergraphs.bipartite import check_graph
from expandergraphs.budget import LayerShape, edges_of_degree, spread
from expandergraphs.errors import GenerationError
from expandergraphs.generators.family import Family, as_family, degree_count, family_net
from expandergraphs.generators.products import block_expander
from expandergraphs.results import Printable, Table, number
from expandergraphs.rng import RNG, as_generator
from expandergraphs_torch.masked import Masked, weight_key
from expandergraphs_torch.select import Candidate, Selectors, candidates, select
from expandergraphs_torch.sparse.layers import Sparse

FamilyOrGraphs: TypeAlias = str | Family | Mapping[str, BipartiteGraph]
Budget: TypeAlias = str | Mapping[str, int]


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
        The same as a fraction of the possible edges.
    note : str
        Why it stays dense, which layer it shares its weight with, or that a degree was clipped.

    Examples
    --------
    >>> row = plan(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0).layers[0]
    >>> row.name, row.family, row.n_edges
    ('0', 'regular', 16)
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
    remaining : float
        Parameters of the model that are left, in percent of the dense model's: biases, normalisation and dense layers
        included, as RReg counts them.

    Examples
    --------
    >>> found = plan(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> found.n_edges, found.density
    (16, 0.5)
    """

    layers: tuple[LayerPlan, ...]
    n_edges: int
    density: float
    remaining: float

    @property
    def edges(self) -> dict[str, int]:
        """Edges by name of the sparse layers: as a ``budget=``, for another family with the same edges in each."""
        return {row.name: row.n_edges for row in self.layers if row.family != "dense"}

    def table(self) -> Table:
        """Return the plan, a row a layer.

        Returns
        -------
        Table

        Examples
        --------
        >>> plan(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0).table().headings
        ('layer', 'kind', 'in', 'out', 'kernel', 'family', 'edges', 'density', 'note')
        """
        title = (
            f"{self.n_edges} edges in sparse layers, density {number(self.density)}; "
            f"{self.remaining:.4g} % of the parameters remain"
        )
        headings = ["layer", "kind", *SHAPE_HEADINGS, "family", "edges", "density", "note"]
        rows = [
            (row.name, row.kind, *shape_cells(row.shape), row.family, row.n_edges, number(row.density), row.note)
            for row in self.layers
        ]
        return Table.of(title, headings, rows, left=["layer", "kind", "kernel", "family", "note"])


SHAPE_HEADINGS = ("in", "out", "kernel")


def shape_cells(shape: LayerShape) -> tuple[int, int, str]:
    """Return the table cells of a layer's shape."""
    groups = f" / {shape.groups}" if shape.groups > 1 else ""
    return shape.n_left, shape.n_right, " x ".join(map(str, shape.kernel)) + groups


def remaining_parameters(model: nn.Module, masked: list[tuple[Any, float]]) -> float:
    """Return the share of parameters left, in percent, given masked layers with the density of each."""
    known = [parameter for parameter in model.parameters() if not nn.parameter.is_lazy(parameter)]
    unstored = sum(layer.weight.numel() - layer.values.numel() for layer, _ in masked if isinstance(layer, Sparse))
    total = sum(parameter.numel() for parameter in known) + unstored  # a SparseLinear stores its edges alone
    pruned = {weight_key(layer): layer.weight.numel() * (1 - density) for layer, density in masked}
    return 100 * (total - sum(pruned.values())) / total if total else 100.0


def plan(
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
) -> Plan:
    """Tabulate what `sparsify` would do with the same arguments; the model is not touched.

    Parameters, errors: see `sparsify`.

    Parameters
    ----------
    model, family, density, degree, n_edges, budget, pattern, block, include, exclude, rng
        As for `sparsify`.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        As `sparsify` does.

    Examples
    --------
    >>> from torch import nn
    >>> plan(nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100)), "regular", density=0.1).n_edges
    26520
    """
    as_generator(rng)  # refuses what is none, and draws nothing
    request = Request(density, degree, n_edges, budget, pattern, block)
    return decide(model, family, request, include, exclude).plan


class Request(NamedTuple):
    """How many edges are asked for, and of what kind."""

    density: float | None
    degree: int | None
    n_edges: int | None
    budget: Budget
    pattern: str
    block: int

    @property
    def totals(self) -> dict[str, Any]:
        """The edge budget of all layers together."""
        return {"density": self.density, "degree": self.degree, "n_edges": self.n_edges}


class Decision(NamedTuple):
    """A plan, and what carries it out."""

    plan: Plan
    layers: list[Candidate]  # each gets a graph of its own
    twins: list[tuple[Candidate, Candidate]]  # a layer, and the one of `layers` whose weight it shares
    ready: dict[str, BipartiteGraph] | None  # graphs by layer name, where nothing is left to chance


def decide(
    model: nn.Module, family: FamilyOrGraphs, request: Request, include: Selectors, exclude: Selectors
) -> Decision:
    """Decide everything but what is left to chance, or refuse."""
    everything = candidates(model)
    for named in (family, request.budget):
        if isinstance(named, Mapping):
            _check_names(named, everything, include, request)
            include = list(named)
    layers, twins = untie(everything, select(everything, include, exclude))
    ready: dict[str, BipartiteGraph] | None = None
    if isinstance(family, Mapping):
        ready = _ready(family, layers, twins)
    else:
        _check_blocks(layers, request)
        if family == "radix":
            ready = _radix(layers, request)
    if ready is None:
        counts = _counts(family, layers, twins, request)  # type: ignore[arg-type]
        capacity = {layer.name: layer.shape.grid(request.pattern).n_pairs for layer in layers}
    else:
        counts = {name: graph.n_edges for name, graph in ready.items()}
        capacity = {
            layer.name: ready[layer.name].n_left * layer.shape.n_right // layer.shape.groups for layer in layers
        }
    total, possible = sum(counts.values()), sum(capacity.values())
    notes = {layer.name: _clipped(layer, family, request, counts[layer.name]) for layer in layers}
    for twin, layer in twins:
        counts[twin.name], capacity[twin.name] = counts[layer.name], capacity[layer.name]
        notes[twin.name] = [f"shares the weight of {layer.name!r}"]
    rows, masked = [], []
    for layer in everything:
        if layer.name in counts:
            n_edges, n_pairs = counts[layer.name], capacity[layer.name]
            family_name, note = _label(family), "; ".join(notes[layer.name] + _starved(layer, n_edges, n_pairs))
        elif isinstance(layer.module, Masked):
            n_edges, n_pairs = edges_and_pairs(layer.module)
            family_name, note = layer.module.family, "it is masked already"
        else:
            n_edges = n_pairs = layer.shape.n_pairs
            family_name, note = "dense", layer.obstacle or "not included"
        density = n_edges / n_pairs if n_pairs else 0.0
        rows.append(LayerPlan(layer.name, layer.kind, layer.shape, family_name, n_edges, density, note))
        if family_name != "dense":
            masked.append((layer.module, density))
    planned = Plan(tuple(rows), total, total / possible, remaining_parameters(model, masked))
    return Decision(planned, layers, twins, ready)


def edges_and_pairs(layer: Masked) -> tuple[int, int]:
    """Return the numbers of edges that a masked layer has, and might have."""
    return int(layer.topology.count_nonzero()), layer.topology.numel()


def radix_graphs(layers: list[Candidate], pattern: str, block: int, n_edges: int) -> dict[str, BipartiteGraph]:
    """Wire layers that follow each other as one RadiX-Net."""
    grids = {layer.name: layer.shape.grid(pattern, block) for layer in layers}
    for layer in layers:
        if layer.shape.groups > 1:
            raise GenerationError(f"a RadiX-Net wires whole layers, and {layer.name!r} has {layer.shape.groups} groups")
    for (before, a), (after, b) in pairwise(grids.items()):
        if a.n_right != b.n_left:
            raise GenerationError(
                f"a RadiX-Net wires a chain: {before!r} has {a.n_right * block} outputs, the next layer "
                f"{after!r} has {b.n_left * block} inputs; include one chain at a time"
            )
    sizes = [next(iter(grids.values())).n_left, *(grid.n_right for grid in grids.values())]
    try:
        net = family_net("radix", sizes, n_edges=n_edges // block**2)
    except GenerationError as error:
        raise GenerationError(f"{error}; counted in blocks of {block} x {block}") if block > 1 else error from None
    return {name: block_expander(graph, block) for name, graph in zip(grids, net.layers, strict=True)}


def _check_names(named: Mapping[str, Any], layers: list[Candidate], include: Selectors, request: Request) -> None:
    if include is not None or any(total is not None for total in request.totals.values()):
        raise ValueError(
            "ready graphs, or edges by layer, name their layers and edges themselves; leave out include, density, "
            "degree and n_edges"
        )
    unknown = set(named) - {name for layer in layers for name in layer.names}
    if unknown:
        names = ", ".join(layer.name for layer in layers)
        raise ValueError(f"{sorted(unknown)} are no layers; the layers are: {names}")


def _check_blocks(layers: list[Candidate], request: Request) -> None:
    """Name every layer that blocks do not fit."""
    unfit = []
    for layer in layers:
        try:
            layer.shape.grid(request.pattern, request.block)
        except ValueError as error:
            if "do not divide" not in str(error):
                raise
            unfit.append(f"{layer.name!r} ({error})")
    if unfit:
        raise ValueError(f"exclude these layers, or ask for other blocks: {', '.join(unfit)}")


def _counts(
    family: str | Family, layers: list[Candidate], twins: list[tuple[Candidate, Candidate]], request: Request
) -> dict[str, int]:
    """Decide the edges of every layer that is drawn at random, by name."""
    as_family(family)  # refuses an unknown name
    if isinstance(request.budget, Mapping):
        budget = {name: as_integer(f"the edges of {name!r}", count) for name, count in request.budget.items()}
        counts = {layer.name: _given(layer, budget) for layer in layers}
        for twin, layer in twins:
            if _given(twin, budget) != counts[layer.name]:
                raise ValueError(f"layers {layer.name!r} and {twin.name!r} share a weight, and need the same edges")
        for layer in layers:  # refuses what the layer cannot hold
            spread([layer.shape], n_edges=counts[layer.name], pattern=request.pattern, block=request.block)
        return counts
    shapes, kind = [layer.shape for layer in layers], {"pattern": request.pattern, "block": request.block}
    shares = spread(shapes, **request.totals, budget=request.budget, count=degree_count(family), **kind)  # type: ignore[arg-type]
    return dict(zip((layer.name for layer in layers), shares, strict=True))


def _radix(layers: list[Candidate], request: Request) -> dict[str, BipartiteGraph]:
    if request.degree is not None or isinstance(request.budget, Mapping):
        raise GenerationError("a RadiX-Net has no one degree and no edges of choice in each layer; ask for a total")
    shapes, kind = [layer.shape for layer in layers], {"pattern": request.pattern, "block": request.block}
    total = sum(spread(shapes, **request.totals, budget=request.budget, **kind))  # type: ignore[arg-type]
    return radix_graphs(layers, **kind, n_edges=total)  # type: ignore[arg-type]


def untie(
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


def _ready(
    graphs: Mapping[str, BipartiteGraph], layers: list[Candidate], twins: list[tuple[Candidate, Candidate]]
) -> dict[str, BipartiteGraph]:
    """Return the graph of every layer, under its first name, if it fits."""
    ready = {}
    for layer in layers:
        graph = _given(layer, graphs)
        try:
            check_graph(graph)
            layer.layout.check(graph)
        except ValueError as error:
            raise ValueError(f"layer {layer.name!r}: {error}") from None
        ready[layer.name] = graph
    for twin, layer in twins:
        if _given(twin, graphs) != ready[layer.name]:
            raise ValueError(f"layers {layer.name!r} and {twin.name!r} share a weight, and need the same graph")
    return ready


def _given(layer: Candidate, by_name: Mapping[str, Any]) -> Any:
    """Return what is given for a layer, under whichever of its names."""
    first, *others = (by_name[name] for name in layer.names if name in by_name)
    if any(other != first for other in others):
        raise ValueError(f"{list(layer.names)} are names of one layer, and need the same edges")
    return first


def _clipped(layer: Candidate, family: FamilyOrGraphs, request: Request, n_edges: int) -> list[str]:
    if request.degree is None:
        return []
    asked = edges_of_degree(layer.shape.grid(request.pattern), request.degree, degree_count(family))  # type: ignore[arg-type]
    return [f"degree {request.degree} clipped to what the layer holds"] if asked > n_edges else []


def _starved(layer: Candidate, n_edges: int, n_pairs: int) -> list[str]:
    """Say how many units cannot but stay without an edge."""
    n_right = layer.shape.n_right
    idle = {"outputs receive": n_right - n_edges, "inputs lead to": n_pairs * layer.shape.groups // n_right - n_edges}
    return [f"{count} or more {what} nothing" for what, count in idle.items() if count > 0]


def _label(family: FamilyOrGraphs) -> str:
    if isinstance(family, str):
        return family
    return "given" if isinstance(family, Mapping) else getattr(family, "__name__", type(family).__name__)
