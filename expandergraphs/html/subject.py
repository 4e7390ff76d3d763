"""What a page is about: layers by name, with their graphs, and the network they are part of, if it is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.layered import LayeredGraph

Given: TypeAlias = BipartiteGraph | LayeredGraph | Mapping[str, BipartiteGraph]


@dataclass(frozen=True)
class Layer:
    """Edges from inputs to outputs.

    Attributes
    ----------
    name : str
        For a block of a network, the name of the units it leads to.
    graph : BipartiteGraph
    source : str
        The name of the units it comes from; empty where it is not known.
    detail : str
        What else is worth a word, such as the class of a module.
    skip : bool
        Whether it jumps over layers of its network.
    """

    name: str
    graph: BipartiteGraph
    source: str = ""
    detail: str = ""
    skip: bool = False

    @property
    def label(self) -> str:
        """Its name as it is said, with where it comes from where that tells layers apart."""
        return f"{said(self.name)} (skip from {said(self.source)})" if self.skip else said(self.name)

    @property
    def one_to_one(self) -> bool:
        """Whether no unit has two edges: an identity, or a part of one."""
        return all(degrees.max(initial=0) <= 1 for degrees in (self.graph.left_degrees, self.graph.right_degrees))

    @property
    def joins_only(self) -> bool:
        """Whether it only hands units on, as the identity of a residual block does."""
        return self.skip and self.one_to_one


@dataclass(frozen=True)
class Dense:
    """A layer where everything is joined to everything, which is counted and not measured."""

    name: str
    n_left: int
    n_right: int
    detail: str = ""


@dataclass(frozen=True)
class Subject:
    """What a page is about.

    Attributes
    ----------
    title : str
    layers : tuple of Layer
        What is measured.
    net : LayeredGraph or None
        The whole, of whose blocks `layers` consists, in order; None where layers are known one by one.
    dense : tuple of Dense
    notes : tuple of str
        What a reader should know about how this was read.
    source : object
        What was given, for the file that the page carries.
    """

    title: str
    layers: tuple[Layer, ...]
    net: LayeredGraph | None = None
    dense: tuple[Dense, ...] = ()
    notes: tuple[str, ...] = ()
    source: Any = None

    @property
    def one_graph(self) -> bool:
        """Whether it is a single graph, and no layer of anything."""
        return isinstance(self.source, BipartiteGraph)


def as_subject(given: Given, title: str | None) -> Subject:
    """Return a graph, a network, or graphs by name as what a page is about, or raise ``ValueError``."""
    if isinstance(given, LayeredGraph):
        labels = given.names or unit_names(given)
        layers = tuple(Layer(labels[t], block, labels[s], skip=t > s + 1) for (s, t), block in given.blocks.items())
        return Subject(title or f"Network of {len(given.widths)} layers of units", layers, given, source=given)
    if isinstance(given, BipartiteGraph):
        name = f"Graph of {given.n_left:,} × {given.n_right:,} vertices"
        return Subject(title or name, (Layer("graph", given),), source=given)
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ValueError(
            f"a BipartiteGraph, a LayeredGraph or a mapping from names to graphs is needed, got {type(given).__name__}"
        )
    for graph in given.values():
        check_graph(graph)
    return Subject(
        title or f"{len(given)} graphs", tuple(Layer(name, graph) for name, graph in given.items()), source=dict(given)
    )


def unit_names(net: LayeredGraph) -> list[str]:
    """Return the name of each layer of units, as it is said."""
    return [said(name) for name in net.names or ("input", *(f"layer {k}" for k in range(1, len(net.widths))))]


def said(name: str) -> str:
    """Return a name that reads as one: that of a module may be a number.

    Examples
    --------
    >>> said("conv1"), said("2")
    ('conv1', 'layer 2')
    """
    return name if any(map(str.isalpha, name)) else f"layer {name}"
