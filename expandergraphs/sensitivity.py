"""Sensitivity depth: how many layers it takes until every output sees every input.

A product of t layers, each d-regular on n + n vertices with second singular value at most s2, has no zero once
``(d / s2)^t > n`` [1]_: a layer multiplies the constant vector by d, and leaves what is orthogonal to it orthogonal and
at most s2 times as long; so no entry of the product is below ``d^t / n - s2^t``. Random layers need far fewer than this
worst case.

What each unit of a layer sees is held as bits, for three layers at once and as many more as wait for a skip:
`sensitivity_depth` takes inputs in batches of at most 32 MiB a layer, `family_sensitivity_depth`, which draws layers
until all inputs are seen, n^2 / 8 bytes: 65,536 units take 2 GiB.

.. [1] Prabhu, Varma, Namboodiri. Deep Expander Networks. ECCV 2018, theorem 1.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from expandergraphs._checks import as_integer
from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.errors import GenerationError
from expandergraphs.generators.family import Family, as_family
from expandergraphs.layered import LayeredGraph, as_net
from expandergraphs.paths import sweep
from expandergraphs.reach import Words, batches, marks, spread
from expandergraphs.rng import RNG, streams
from expandergraphs.spectral.gap import singular_values


@dataclass(frozen=True)
class SensitivityDepth:
    """Layers until every output sees every input.

    Attributes
    ----------
    depth : int or None
        The first layer, counted from 1 behind the inputs, of which every unit is reached from every input; None if it
        is not among those looked at.
    bound : int or None
        Number of layers that are enough by the theorem if all are at least as good as the worst of those looked at;
        never below `depth`. None where the theorem says nothing: a layer does not have the same degree everywhere, or
        its sigma2 equals that degree.
    n_layers : int
        Number of layers looked at: `depth`, if there is one.

    Examples
    --------
    >>> from expandergraphs import radix_net
    >>> sensitivity_depth(radix_net([[2, 2]], [1, 1, 1]))
    SensitivityDepth(depth=2, bound=None, n_layers=2)
    """

    depth: int | None
    bound: int | None
    n_layers: int


def sensitivity_depth(net: LayeredGraph | BipartiteGraph) -> SensitivityDepth:
    """Find the first layer of which every unit sees every input, skips included.

    Later layers need not follow: a unit without incoming edges sees nothing. The bound costs the second singular
    value of each layer looked at; it ignores skips, which can only help.

    Parameters
    ----------
    net : LayeredGraph or BipartiteGraph

    Returns
    -------
    SensitivityDepth

    Raises
    ------
    ValueError
        If `net` is neither a LayeredGraph nor a BipartiteGraph.

    Examples
    --------
    >>> from expandergraphs import radix_net
    >>> sensitivity_depth(radix_net([[2, 2, 2], [2, 2, 2]], [1] * 7))
    SensitivityDepth(depth=3, bound=None, n_layers=3)
    """
    net = as_net(net)
    depth = complete_depth(net)
    layers = net.layers[:depth]
    return SensitivityDepth(depth, _bound(layers), len(layers))


def family_sensitivity_depth(
    family: str | Family, n: int, degree: int, *, max_layers: int = 64, rng: RNG = None
) -> SensitivityDepth:
    """Draw independent layers of a family until every output sees every input.

    They are the layers of ``family_net(family, [n, n, ...], degree=degree, rng=rng)``.

    Parameters
    ----------
    family : {"random", "left_regular", "regular"} or callable(n_left, n_right, n_edges, rng)
        Each layer has ``degree * n`` edges.
    n : int
        Units of every layer.
    degree : int
        Average degree, that of every unit where the family is regular.
    max_layers : int
        Where to give up. Drawing also ends once an input has lost its way, as nothing can reach from it any more.
    rng : None, int, SeedSequence or Generator
        Source of randomness; each layer has its own stream.

    Returns
    -------
    SensitivityDepth

    Raises
    ------
    GenerationError
        If `degree` exceeds `n`.
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> family_sensitivity_depth("regular", 256, 8, rng=0)
    SensitivityDepth(depth=4, bound=14, n_layers=4)
    """
    draw, stream = as_family(family), streams(rng)
    n, degree = as_integer("n", n, minimum=1), as_integer("degree", degree)
    max_layers = as_integer("max_layers", max_layers, minimum=1)
    if degree > n:
        raise GenerationError(
            f"family_sensitivity_depth({family!r}, {n}, {degree}): degree exceeds n = {n}; the nearest feasible degree "
            f"is {n}"
        )
    first = marks(n, np.arange(n))  # what each input sees: itself
    every = np.bitwise_or.reduce(first, axis=0)
    layers: list[BipartiteGraph] = []

    def products() -> Iterator[Words]:
        seen = first
        while len(layers) < max_layers and np.array_equal(np.bitwise_or.reduce(seen, axis=0), every):
            k = len(layers)
            layers.append(draw(n, n, degree * n, stream(f"{k}-{k + 1}")))
            source, seen = seen, np.zeros_like(seen)
            spread(layers[-1], source, seen)
            yield seen

    return SensitivityDepth(_first_complete(products(), every), _bound(layers), len(layers))


def complete_depth(net: LayeredGraph) -> int | None:
    """Return the first layer that every batch of inputs reaches as a whole; each takes it as far as it needs."""
    depth, agreed = 1, 0
    parts = batches(net, np.arange(net.widths[0]))
    for part in cycle(parts):
        first = marks(net.widths[0], part)
        later = _first_complete(islice(sweep(net, first, spread), depth, None), np.bitwise_or.reduce(first, axis=0))
        if later is None:
            return None
        depth, agreed = (depth, agreed + 1) if later == 1 else (depth + later - 1, 1)
        if agreed == len(parts):
            break
    return depth


def _first_complete(layers: Iterable[Words], every: Words) -> int | None:
    """Return the position, from 1, of the first layer of which every unit sees what is to be seen."""
    complete = (not (every & ~np.bitwise_and.reduce(seen, axis=0)).any() for seen in layers)
    return next((t for t, yes in enumerate(complete, start=1) if yes), None)


def _bound(layers: Sequence[BipartiteGraph]) -> int | None:
    """Return the least t with ``(d / sigma2)^t > n`` for the worst of the layers."""
    worst = 1e-8  # rounding must not make the bound too small
    for layer in layers:
        degrees = np.union1d(layer.left_degrees, layer.right_degrees)
        if degrees.size != 1 or degrees[0] == 0:  # one degree on both sides: they are equally large
            return None
        values = singular_values(layer, min(2, layer.n_left))
        worst = max([worst, *(values[1:] / degrees[0] + 1e-8)])
        if worst >= 1:
            return None
    return math.floor(math.log(layers[0].n_left) / -math.log(worst)) + 1
