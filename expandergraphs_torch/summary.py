"""What a model has become: its layers, their wiring, and what is computed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from expandergraphs.budget import LayerShape
from expandergraphs.report import Degrees, degrees_of
from expandergraphs.results import as_plain, as_text, build, number
from expandergraphs_torch.layers import Masked
from expandergraphs_torch.select import candidates
from expandergraphs_torch.sparsify import SHAPE_HEADINGS, shape_cells

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class LayerSummary:
    """One Linear or convolution.

    Attributes
    ----------
    name, kind : str
        The layer's name and class.
    shape : LayerShape
    family : str
        Family of its graph, or "dense".
    n_edges : int
        Edges of its graph; all pairs where it is dense. In a convolution each carries a kernel.
    in_degrees, out_degrees : Degrees
        Of its inputs and of its outputs.
    executes : str
        What a forward pass computes: "masked dense" or "dense".
    """

    name: str
    kind: str
    shape: LayerShape
    family: str
    n_edges: int
    in_degrees: Degrees
    out_degrees: Degrees
    executes: str

    @property
    def density(self) -> float:
        """Fraction of the possible edges."""
        return self.n_edges / max(1, self.shape.n_pairs)


@dataclass(frozen=True)
class Summary:
    """All layers of a model, and totals over the masked ones; prints as a table.

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
    """

    layers: tuple[LayerSummary, ...]
    n_edges: int
    density: float
    dead_units: int

    def to_dict(self) -> dict[str, Any]:
        """Return the rows and totals as plain data."""
        return as_plain(self)  # type: ignore[no-any-return]

    def __rich__(self) -> "Table":
        title = f"{self.n_edges} edges in masked layers, density {number(self.density)}, dead units: {self.dead_units}"
        headings = ["layer", "kind", *SHAPE_HEADINGS, "family", "edges", "density", "degrees in / out", "dead in / out"]
        rows = [
            (
                *(row.name, row.kind, *shape_cells(row.shape), row.family, row.n_edges, number(row.density)),
                f"{row.in_degrees} / {row.out_degrees}",
                f"{row.in_degrees.isolated} / {row.out_degrees.isolated}",
                row.executes,
            )
            for row in self.layers
        ]
        return build(title, [*headings, "executes"], rows, left=["layer", "kind", "kernel", "family", "executes"])

    def __str__(self) -> str:
        return as_text(self.__rich__())


def summary(model: nn.Module) -> Summary:
    """Summarise the Linear and convolution layers of a model.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> summary(model).layers[0].out_degrees
    Degrees(minimum=4, mean=4.0, maximum=4, isolated=0)
    """
    rows, possible = [], 0
    for layer in candidates(model):
        shape = layer.shape
        if isinstance(layer.module, Masked):
            graph, family, executes = layer.module.graph, layer.module.family, "masked dense"
            inputs, outputs, n_edges = degrees_of(graph.left_degrees), degrees_of(graph.right_degrees), graph.n_edges
            possible += shape.n_pairs
        else:
            family, executes, n_edges = "dense", "dense", shape.n_pairs
            inputs, outputs = _constant(shape.n_right), _constant(shape.n_left)
        rows.append(
            LayerSummary(layer.name, type(layer.module).__name__, shape, family, n_edges, inputs, outputs, executes)
        )
    masked = [row for row in rows if row.executes != "dense"]
    edges = sum(row.n_edges for row in masked)
    dead = sum(row.in_degrees.isolated + row.out_degrees.isolated for row in masked)
    return Summary(tuple(rows), edges, edges / possible if possible else 1.0, dead)


def _constant(degree: int) -> Degrees:
    return Degrees(degree, float(degree), degree, 0)
