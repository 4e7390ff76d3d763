"""Spreading an edge budget over the layers of a network, exactly.

The budget is a number of edges; a density becomes one here, once. Spread as "uniform", every layer has the same
density; as "er" (Erdős–Rényi) a layer's density is in proportion to (n_in + n_out) / (n_in n_out), which gives narrow
layers more; "erk" counts the kernel in: (n_in + n_out + k_1 + ...) / (n_in n_out k_1 ...). No density exceeds 1: layers
that would are dense, and the others share what is left. "uniform_plus" leaves the first convolution dense and gives
the last linear layer at least 20 %. Shares are rounded down; the edges left over go to those that lost most by it.

The edges are what a layer's pattern is drawn in: pairs of channels, each carrying a kernel; single weights (pattern
"weight"), where every entry of a kernel is a vertex on the left; or whole blocks of either. A grouped convolution has
only the pairs inside its groups.

A degree is the sources' way of counting: the same d in every layer, clipped to what the layer can hold, for
``d * n_left`` edges ("left": Random and X-Net), ``d * max(n_left, n_right)`` ("max": RReg), d times the smaller side
("min": X-Net's released code) or d times the mean of both sides ("mean").

Sources: Mocanu et al., Nature Communications 9 (2018), equation 1 (ER); Evci et al., Rigging the Lottery, ICML 2020,
section 3 (ERK); Gale, Elsen, Hooker, The State of Sparsity, 2019, section 6 (uniform plus).
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from expandergraphs._checks import as_integer, as_list, edges_of_density, exactly_one
from expandergraphs._words import did_you_mean
from expandergraphs.errors import GenerationError


class LayerShape(NamedTuple):
    """One layer: inputs, outputs, for a convolution the kernel that every edge carries, and its groups.

    Examples
    --------
    >>> conv = LayerShape(64, 128, kernel=(3, 3))
    >>> conv.n_left, conv.n_right, conv.n_pairs
    (64, 128, 8192)
    """

    n_left: int
    n_right: int
    kernel: tuple[int, ...] = ()
    groups: int = 1

    @property
    def n_pairs(self) -> int:
        """Number of possible edges: pairs inside a group."""
        return self.n_left * self.n_right // self.groups

    def grid(self, pattern: str = "channel", block: int = 1) -> "LayerShape":
        """Return the vertices that a pattern is drawn on.

        Parameters
        ----------
        pattern : {"channel", "weight"}
            Whether every entry of a kernel is a vertex of its own, on the left.
        block : int
            Side of the blocks that stand together; it must divide both sides of every group.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            If it does not, or an argument is none of these.

        Examples
        --------
        >>> LayerShape(64, 128, (3, 3)).grid("weight")
        LayerShape(n_left=576, n_right=128, kernel=(), groups=1)
        >>> LayerShape(64, 128, (3, 3), groups=4).grid(block=8)
        LayerShape(n_left=8, n_right=16, kernel=(), groups=4)
        """
        if pattern not in PATTERNS:
            raise ValueError(f"pattern must be one of {', '.join(map(repr, PATTERNS))}, got {pattern!r}")
        block = as_integer("block", block, minimum=1)
        n_left = self.n_left * (math.prod(self.kernel) if pattern == "weight" else 1)
        sides = n_left // self.groups, self.n_right // self.groups
        if any(side % block for side in sides):
            inside = " in every group" if self.groups > 1 else ""
            raise ValueError(f"blocks of {block} do not divide a layer {sides[0]} x {sides[1]}{inside}")
        return LayerShape(n_left // block, self.n_right // block, (), self.groups)


PATTERNS = ("channel", "weight")
BUDGETS = ("uniform", "uniform_plus", "er", "erk")
_LAST_LINEAR = Fraction(1, 5)  # what uniform_plus leaves of the last linear layer at least

_VERTICES: dict[str, Callable[[int, int], Fraction]] = {
    "left": lambda n_left, n_right: Fraction(n_left),
    "max": lambda n_left, n_right: Fraction(max(n_left, n_right)),
    "min": lambda n_left, n_right: Fraction(min(n_left, n_right)),
    "mean": lambda n_left, n_right: Fraction(n_left + n_right, 2),
}


def spread(
    layers: Sequence[LayerShape],
    *,
    density: float | None = None,
    degree: int | None = None,
    n_edges: int | None = None,
    budget: str = "uniform",
    count: str = "left",
    pattern: str = "channel",
    block: int = 1,
) -> tuple[int, ...]:
    """Decide the number of edges of every layer.

    Parameters
    ----------
    layers : sequence of LayerShape
    density, degree, n_edges : number
        Exactly one of them. `density` and `n_edges` are totals over all layers; `degree` holds in every layer, and is
        clipped to what it can hold.
    budget : {"uniform", "uniform_plus", "er", "erk"}
        How a total is spread; see above.
    count : {"left", "max", "min", "mean"}
        How many edges a degree means; see above.
    pattern : {"channel", "weight"}
        What an edge is; see above.
    block : int
        Edges come in complete blocks of ``block * block``.

    Returns
    -------
    tuple of int
        One number a layer; their sum is exactly the total. A density is rounded to whole blocks.

    Raises
    ------
    GenerationError
        If the total exceeds what the layers hold, is less than "uniform_plus" leaves, or no number of whole blocks;
        the message names the nearest feasible one.
    ValueError
        If an argument is out of its range, or not exactly one of the three is given.

    Examples
    --------
    >>> spread([LayerShape(784, 300), LayerShape(300, 100), LayerShape(100, 10)], density=0.1)
    (23520, 3000, 100)
    >>> spread([LayerShape(784, 300), LayerShape(300, 100), LayerShape(100, 10)], density=0.1, budget="erk")
    (18714, 6906, 1000)
    >>> spread([LayerShape(3, 64), LayerShape(64, 128)], degree=60, count="max")
    (192, 7680)
    """
    if budget not in BUDGETS:
        hint = did_you_mean(str(budget), BUDGETS)
        raise ValueError(f"budget must be one of {', '.join(BUDGETS)}, got {budget!r}{hint}")
    layers = [_as_shape(layer) for layer in as_list("layers", layers)]
    grids, area = [layer.grid(pattern, block) for layer in layers], block**2
    capacity = [grid.n_pairs for grid in grids]
    given = exactly_one("an edge budget", density=density, degree=degree, n_edges=n_edges)
    if degree is not None:
        if budget != "uniform":
            raise ValueError(f"a degree decides every layer's edges itself; leave out the budget {budget!r}")
        blocks = _in_blocks("degree", degree, block)
        return tuple(min(edges_of_degree(grid, blocks, count), grid.n_pairs) * area for grid in grids)
    total = _in_blocks("n_edges", n_edges, area) if given == "n_edges" else edges_of_density(density, sum(capacity))
    if total > sum(capacity):
        raise GenerationError(
            f"n_edges = {total * area} exceeds the {sum(capacity) * area} pairs of all layers, the largest feasible"
        )
    if budget == "uniform_plus":
        shares = _uniform_plus(layers, capacity, total, area)
    else:
        raw = {"uniform": lambda _: Fraction(1), "er": _er, "erk": _erk}[budget]
        weights = [raw(layer) * pairs for layer, pairs in zip(layers, capacity, strict=True)]
        shares = _rounded(_water_filled(total, capacity, weights), total)
    return tuple(share * area for share in shares)


def spread_skips(
    skips: Sequence[LayerShape], kept: Sequence[int], n_weights: int, *, pattern: str = "channel"
) -> tuple[int, ...]:
    """Decide the number of edges of every skip: in proportion to what the layer that it ends at keeps.

    What a full skip cannot hold goes to the others.

    Parameters
    ----------
    skips : sequence of LayerShape
        From the units at which a skip starts to those at which it ends; the kernel is that of every edge.
    kept : sequence of int
        Weights left in the layer that each skip ends at.
    n_weights : int
        Weights of all skips together; an edge of pattern "channel" is as many as its kernel has.
    pattern : {"channel", "weight"}
        What an edge is, as for `spread`.

    Returns
    -------
    tuple of int
        Edges, one number a skip. Their weights are `n_weights`, exactly where edges are single weights, else less by
        a part of one kernel at most.

    Raises
    ------
    GenerationError
        If the skips cannot hold so many.

    Examples
    --------
    >>> spread_skips([LayerShape(784, 200), LayerShape(300, 100)], [3000, 1000], 1001)
    (751, 250)
    """
    skips = [_as_shape(skip) for skip in as_list("skips", skips)]
    left = as_integer("n_weights", n_weights)
    capacity = [skip.grid(pattern).n_pairs for skip in skips]
    each = [math.prod(skip.kernel) if pattern == "channel" else 1 for skip in skips]
    holds = [pairs * size for pairs, size in zip(capacity, each, strict=True)]
    if left > sum(holds):
        raise GenerationError(f"the skips hold {sum(holds)} weights, and {left} are asked for")
    hardly = Fraction(1, 2**64)  # so that a skip onto a layer that keeps nothing takes what the others cannot hold
    shares = _water_filled(left, holds, [weights + hardly for weights in kept])
    edges = [math.floor(share / size) for share, size in zip(shares, each, strict=True)]
    left -= sum(n * size for n, size in zip(edges, each, strict=True))
    for k in sorted(range(len(skips)), key=lambda k: edges[k] * each[k] - shares[k]):
        more = min(left // each[k], capacity[k] - edges[k], 1)
        edges[k], left = edges[k] + more, left - more * each[k]
    for k, size in enumerate(each):  # where kernels differ, what one of them is too large for goes into others
        more = min(left // size, capacity[k] - edges[k])
        edges[k], left = edges[k] + more, left - more * size
    return tuple(edges)


def _in_blocks(name: str, value: Any, size: int) -> int:
    blocks, rest = divmod(as_integer(name, value), size)
    if rest:
        raise GenerationError(
            f"{name} = {value} is no number of whole blocks; "
            f"nearest feasible: {blocks * size} and {(blocks + 1) * size}"
        )
    return blocks


def edges_of_degree(layer: LayerShape, degree: int, count: str = "left") -> int:
    """Return the number of edges that a degree means in a layer, whether or not it can hold them.

    Examples
    --------
    >>> [edges_of_degree(LayerShape(64, 512), 4, count) for count in ("left", "max", "min", "mean")]
    [256, 2048, 256, 1152]
    """
    if count not in _VERTICES:
        raise ValueError(f"count must be one of {', '.join(map(repr, _VERTICES))}, got {count!r}")
    return round(as_integer("degree", degree) * _VERTICES[count](layer.n_left, layer.n_right))


def _er(layer: LayerShape) -> Fraction:
    return _raw(layer.n_left // layer.groups, layer.n_right)


def _erk(layer: LayerShape) -> Fraction:
    return _raw(layer.n_left // layer.groups, layer.n_right, *layer.kernel)


def _raw(*sides: int) -> Fraction:
    return Fraction(sum(sides), max(1, math.prod(sides)))


def _uniform_plus(layers: Sequence[LayerShape], capacity: Sequence[int], total: int, area: int) -> tuple[int, ...]:
    """Leave the first convolution dense and the last linear layer a fifth; spread the rest at one density."""
    convolutions = [k for k, layer in enumerate(layers) if layer.kernel]
    linear = [k for k, layer in enumerate(layers) if not layer.kernel]
    fixed = {k: capacity[k] for k in convolutions[:1]}
    least = {k: math.ceil(_LAST_LINEAR * capacity[k]) for k in linear[-1:]}
    smallest = sum((fixed | least).values())
    if total < smallest:
        raise GenerationError(
            f"n_edges = {total * area} is less than uniform_plus leaves: the first convolution and a fifth of the last "
            f"linear layer are {smallest * area} edges, the smallest feasible"
        )

    def with_fixed(fixed: dict[int, int]) -> tuple[int, ...]:
        rest, room = total - sum(fixed.values()), [0 if k in fixed else pairs for k, pairs in enumerate(capacity)]
        shares = _rounded(_water_filled(rest, room, room), rest)
        return tuple(fixed.get(k, share) for k, share in enumerate(shares))

    result = with_fixed(fixed)
    return with_fixed(fixed | least) if any(result[k] < share for k, share in least.items()) else result


def _water_filled(total: int, capacity: Sequence[int], weights: Sequence[Fraction | int]) -> list[Fraction]:
    """Spread `total` in proportion to the weights, exactly; what would exceed its capacity is full, others share."""
    full: set[int] = set()
    while True:
        rest = total - sum(capacity[k] for k in full)
        free = sum((Fraction(weight) for k, weight in enumerate(weights) if k not in full), Fraction(0)) or Fraction(1)
        shares = [Fraction(capacity[k]) if k in full else rest * weight / free for k, weight in enumerate(weights)]
        over = {k for k, share in enumerate(shares) if share > capacity[k]}
        if not over:
            return shares
        full |= over


def _rounded(shares: Sequence[Fraction], total: int) -> tuple[int, ...]:
    """Round down, and give what is left to those that lost most by it; ties to the first."""
    result = [math.floor(share) for share in shares]
    lost_most = sorted(range(len(shares)), key=lambda k: result[k] - shares[k])
    for k in lost_most[: total - sum(result)]:
        result[k] += 1
    return tuple(result)


def _as_shape(layer: Any) -> LayerShape:
    n_left, n_right, *more = as_list("a layer", layer)
    sizes = (as_integer("n_left", n_left), as_integer("n_right", n_right))
    spatial = tuple(as_integer("kernel", size, minimum=1) for size in as_list("kernel", more[0])) if more else ()
    groups = as_integer("groups", more[1], minimum=1) if more[1:] else 1
    if any(size % groups for size in sizes):
        raise ValueError(f"groups = {groups} must divide both sides, got {sizes[0]} and {sizes[1]}")
    return LayerShape(*sizes, spatial, groups)
