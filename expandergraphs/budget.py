"""Spreading an edge budget over the layers of a network, exactly.

The budget is a number of edges; a density becomes one here, once, by ``round(density * number of pairs)``. A degree is
the sources' way of counting: the same degree d in every layer, clipped to what the layer can hold, where Random and
X-Net count ``d * n_left`` edges ("left") and RReg ``d * max(n_left, n_right)`` ("max").
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from expandergraphs._checks import as_integer, as_list, edges_of_density, exactly_one
from expandergraphs.errors import GenerationError


class LayerShape(NamedTuple):
    """One layer: its inputs, outputs, and for a convolution the kernel that every edge carries."""

    n_left: int
    n_right: int
    kernel: tuple[int, ...] = ()

    @property
    def n_pairs(self) -> int:
        """Number of possible edges."""
        return self.n_left * self.n_right


BUDGETS = ("uniform",)


def spread(
    layers: Sequence[LayerShape],
    *,
    density: float | None = None,
    degree: int | None = None,
    n_edges: int | None = None,
    budget: str = "uniform",
    count: str = "left",
) -> tuple[int, ...]:
    """Decide the number of edges of every layer.

    Parameters
    ----------
    layers : sequence of LayerShape
    density, degree, n_edges : number
        Exactly one of them. `density` and `n_edges` are totals over all layers; `degree` holds in every layer, and is
        clipped to what it can hold.
    budget : {"uniform"}
        How a total is spread: "uniform" gives every layer the same density, and the edges left over by rounding to
        the layers that lost most by it.
    count : {"left", "max"}
        How many edges a degree means: ``degree * n_left``, or ``degree * max(n_left, n_right)``.

    Returns
    -------
    tuple of int
        One number a layer; their sum is exactly the total.

    Raises
    ------
    GenerationError
        If the total exceeds what the layers hold; the message names the largest feasible one.
    ValueError
        If an argument is out of its range, or not exactly one of the three is given.

    Examples
    --------
    >>> spread([LayerShape(784, 300), LayerShape(300, 100)], density=0.1)
    (23520, 3000)
    >>> spread([LayerShape(3, 64), LayerShape(64, 128)], degree=60, count="max")
    (192, 7680)
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget must be one of {', '.join(BUDGETS)}, got {budget!r}")
    layers = [_as_shape(layer) for layer in as_list("layers", layers)]
    capacity = [layer.n_pairs for layer in layers]
    given = exactly_one("an edge budget", density=density, degree=degree, n_edges=n_edges)
    if degree is not None:
        return tuple(min(edges_of_degree(layer, degree, count), layer.n_pairs) for layer in layers)
    total = as_integer("n_edges", n_edges) if given == "n_edges" else edges_of_density(density, sum(capacity))
    if total > sum(capacity):
        raise GenerationError(
            f"n_edges = {total} exceeds the {sum(capacity)} pairs of all layers, the largest feasible"
        )
    return _proportional(total, capacity)


def edges_of_degree(layer: LayerShape, degree: int, count: str = "left") -> int:
    """Return the number of edges that a degree means in a layer, whether or not it can hold them.

    Examples
    --------
    >>> edges_of_degree(LayerShape(64, 512), 4, "left"), edges_of_degree(LayerShape(64, 512), 4, "max")
    (256, 2048)
    """
    if count not in ("left", "max"):
        raise ValueError(f"count must be 'left' or 'max', got {count!r}")
    return as_integer("degree", degree) * (layer.n_left if count == "left" else max(layer.n_left, layer.n_right))


def _as_shape(layer: Any) -> LayerShape:
    n_left, n_right, *kernel = as_list("a layer", layer)
    return LayerShape(as_integer("n_left", n_left), as_integer("n_right", n_right), *kernel)


def _proportional(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Spread `total` <= sum(weights) in proportion, by largest remainders; integers throughout, ties to the first."""
    whole = max(1, sum(weights))
    shares = [divmod(total * weight, whole) for weight in weights]
    result = [share for share, _ in shares]
    lost_most = sorted(range(len(shares)), key=lambda layer: -shares[layer][1])
    for layer in lost_most[: total - sum(result)]:
        result[layer] += 1
    return tuple(result)
