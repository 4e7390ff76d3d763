"""What a model has become: its layers, their wiring, and what is computed."""

from dataclasses import dataclass

from torch import nn

from expandergraphs.report import Degrees, degrees_of
from expandergraphs.results import Printable, Table, number
from expandergraphs_torch.masked import Masked, weight_key
from expandergraphs_torch.plan import SHAPE_HEADINGS, LayerPlan, edges_and_pairs, remaining_parameters, shape_cells
from expandergraphs_torch.select import candidates


@dataclass(frozen=True)
class LayerSummary(LayerPlan):
    """One Linear or convolution: what a plan says of it, and what has become of it.

    Attributes
    ----------
    in_degrees, out_degrees : Degrees
        Of its inputs and of its outputs.
    executes : str
        What a forward pass computes: "dense", "masked dense" or "sparse"; and, where `to_sparse` measured it, why.

    Examples
    --------
    >>> from expandergraphs_torch import sparsify
    >>> row = summary(sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)).layers[0]
    >>> row.executes, row.in_degrees
    ('masked dense', Degrees(minimum=2, mean=2.0, maximum=2, isolated=0))
    """

    in_degrees: Degrees
    out_degrees: Degrees
    executes: str


@dataclass(frozen=True)
class Summary(Printable):
    """All layers of a model, and totals over the masked ones, a shared weight counted once; prints as a table.

    Attributes
    ----------
    layers : tuple of LayerSummary
        Every Linear and convolution, in order.
    n_edges : int
        Edges of the masked layers.
    density : float
        The same as a fraction of their possible edges; 1 where no layer is masked.
    dead_units : int
        Outputs of masked layers that receive nothing, and inputs that are not used.
    remaining : float
        Parameters that are left, in percent of the dense model's: biases, normalisation and dense layers included, as
        RReg counts them.

    Examples
    --------
    >>> from expandergraphs_torch import sparsify
    >>> found = summary(sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0))
    >>> found.n_edges, found.density
    (16, 0.5)
    """

    layers: tuple[LayerSummary, ...]
    n_edges: int
    density: float
    dead_units: int
    remaining: float

    @property
    def edges(self) -> dict[str, int]:
        """Edges by name of the masked layers: as a ``budget=``, for another family with the same edges in each."""
        return {row.name: row.n_edges for row in self.layers if row.family != "dense"}

    def table(self) -> Table:
        """Return the summary, a row a layer.

        Returns
        -------
        Table

        Examples
        --------
        >>> from expandergraphs_torch import sparsify
        >>> summary(sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)).table().headings[:4]
        ('layer', 'kind', 'in', 'out')
        """
        title = (
            f"{self.n_edges} edges in masked layers, density {number(self.density)}, dead units: {self.dead_units}; "
            f"{self.remaining:.4g} % of the parameters remain"
        )
        headings = ["layer", "kind", *SHAPE_HEADINGS, "family", "edges", "density", "degrees in / out", "dead in / out"]
        rows = [
            (
                *(row.name, row.kind, *shape_cells(row.shape), row.family, row.n_edges, number(row.density)),
                f"{row.in_degrees} / {row.out_degrees}",
                f"{row.in_degrees.isolated} / {row.out_degrees.isolated}",
                *(row.executes, row.note),
            )
            for row in self.layers
        ]
        left = ["layer", "kind", "kernel", "family", "executes", "note"]
        return Table.of(title, [*headings, "executes", "note"], rows, left=left)


def summary(model: nn.Module) -> Summary:
    """Summarise the Linear and convolution layers of a model.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Summary

    Raises
    ------
    ValueError
        If `model` is no Module.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> summary(model).layers[0].out_degrees
    Degrees(minimum=4, mean=4.0, maximum=4, isolated=0)
    """
    rows: list[LayerSummary] = []
    masked: dict[int, tuple[int, int, int]] = {}  # edges, pairs and dead units by weight
    densities = []
    for layer in candidates(model):
        if isinstance(layer.module, Masked):
            graph, (n_edges, n_pairs) = layer.module.graph, edges_and_pairs(layer.module)
            inputs, outputs = degrees_of(graph.left_degrees), degrees_of(graph.right_degrees)
            family, executes, note = layer.module.family, layer.module.executes, layer.module.note
            masked.setdefault(weight_key(layer.module), (n_edges, n_pairs, inputs.isolated + outputs.isolated))
        else:
            n_edges = n_pairs = layer.shape.n_pairs
            inputs, outputs = (_constant(n_edges // max(1, side)) for side in layer.shape[:2])
            family, executes, note = "dense", "dense", layer.obstacle
        density = n_edges / n_pairs if n_pairs else 0.0
        row = LayerPlan(layer.name, layer.kind, layer.shape, family, n_edges, density, note)
        rows.append(LayerSummary(**vars(row), in_degrees=inputs, out_degrees=outputs, executes=executes))
        if family != "dense":
            densities.append((layer.module, density))
    edges, possible, dead = (sum(column) for column in zip(*masked.values(), strict=True)) if masked else (0, 0, 0)
    density = edges / possible if possible else 1.0
    return Summary(tuple(rows), edges, density, dead, remaining_parameters(model, densities))


def _constant(degree: int) -> Degrees:
    return Degrees(degree, float(degree), degree, 0)
