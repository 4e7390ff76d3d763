"""The edges of other libraries' graphs, in a stated order: for `BipartiteGraph.from_networkx` and `from_igraph`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import igraph
    import networkx as nx


def edges_of_networkx(graph: "nx.Graph[Any]", left: Iterable[Any] | None) -> tuple[int, int, ArrayLike]:
    """Return both sizes and the pairs of a networkx graph, or raise ``ValueError``."""
    if left is None:
        sides = dict(graph.nodes(data="bipartite"))
        wrong = [node for node, side in sides.items() if side not in (0, 1)]
        if wrong:
            raise ValueError(f"node {wrong[0]!r} has no attribute bipartite=0 or 1; name the left side by left=")
        left = [node for node, side in sides.items() if side == 0]
    elif isinstance(left, set | frozenset):
        members = left
        left = [node for node in graph if node in members] + [node for node in members if node not in graph]
    left = list(left)
    rows = {node: i for i, node in enumerate(left)}
    if len(rows) < len(left):
        raise ValueError(f"left names {len(left)} nodes, of which only {len(rows)} are different")
    unknown = [node for node in rows if node not in graph]
    if unknown:
        raise ValueError(f"left names {unknown[0]!r}, which is not in the graph")
    columns = {node: j for j, node in enumerate(node for node in graph if node not in rows)}
    pairs = []
    for a, b in graph.edges():
        a, b = (a, b) if graph.is_directed() or a in rows else (b, a)
        if a not in rows or b not in columns:
            raise ValueError(f"edge {(a, b)!r} does not lead from the left side to the right side")
        pairs.append((rows[a], columns[b]))
    return len(rows), len(columns), pairs


def edges_of_igraph(graph: "igraph.Graph") -> tuple[int, int, ArrayLike]:
    """Return both sizes and the pairs of an igraph graph with vertex attribute ``type``, or raise ``ValueError``."""
    if "type" not in graph.vs.attributes():
        raise ValueError("the igraph graph has no vertex attribute 'type' (False: left, True: right)")
    if not set(graph.vs["type"]) <= {False, True}:
        raise ValueError("the vertex attribute 'type' must be False (left) or True (right) everywhere")
    right = np.asarray(graph.vs["type"], dtype=bool)
    position = np.where(right, np.cumsum(right), np.cumsum(~right)) - 1
    ends = np.asarray(graph.get_edgelist(), dtype=np.int64).reshape(-1, 2)
    inside = right[ends[:, 0]] == right[ends[:, 1]]
    if inside.any():
        raise ValueError(f"edge {tuple(ends[inside][0].tolist())} joins two vertices of one side")
    backwards = right[ends[:, 0]]
    if graph.is_directed() and backwards.any():
        raise ValueError(f"edge {tuple(ends[backwards][0].tolist())} does not lead from the left to the right side")
    ends[backwards] = ends[backwards, ::-1]
    return int((~right).sum()), int(right.sum()), position[ends]
