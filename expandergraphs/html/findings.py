"""What is wrong with a network, in plain words, worst first."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from expandergraphs.html.measured import Measured, Whole
from expandergraphs.html.subject import unit_names
from expandergraphs.layered import LayeredGraph
from expandergraphs.paths import components

SERIOUS, WARNING, NOTE = 2, 1, 0
_SHOWN = 8  # indices
_NARROW = 0.1  # of the inputs and outputs that are in use

Units: TypeAlias = NDArray[np.int64]
_Place: TypeAlias = tuple[str, Units, int]  # a layer, which of its units, and how many it has


@dataclass(frozen=True)
class Finding:
    """Something a reader should know.

    Attributes
    ----------
    severity : {SERIOUS, WARNING, NOTE}
    title : str
        In one line: where, how many, what.
    places : tuple of (str, str)
        Layers, the worst first, and what is the matter there.
    means, helps : str
        Why it matters, and what would help.
    """

    severity: int
    title: str
    places: tuple[tuple[str, str], ...]
    means: str
    helps: str


def unit_findings(measured: Measured) -> Iterable[Finding]:
    """Find units that receive nothing, are used by nothing, or are cut off."""
    if measured.whole is not None:
        yield from _of_network(measured.whole)
        return
    layers = measured.subject.layers
    deaf = [(layer.label, np.flatnonzero(layer.graph.right_degrees == 0), layer.graph.n_right) for layer in layers]
    unused = [(layer.label, np.flatnonzero(layer.graph.left_degrees == 0), layer.graph.n_left) for layer in layers]
    yield from units(WARNING, ("output receives nothing", "outputs receive nothing"), deaf, *_DEAF)
    yield from units(WARNING, ("input is not used", "inputs are not used"), unused, *_UNUSED_INPUT)


_DEAF = (
    "Such a unit computes a constant, whatever the input is: it takes memory and does no work.",
    "Draw the layer from a family that gives every output its share (“regular”), give it more edges, or remove the "
    "units.",
)
_UNUSED_INPUT = (
    "What arrives there is lost: nothing that follows can depend on it.",
    "A family with equal degrees on the input side (“left_regular”, “regular”) uses every input once there are as many "
    "edges as inputs.",
)


def _of_network(whole: Whole) -> Iterable[Finding]:
    net, dead, names = whole.net, whole.dead, unit_names(whole.net)
    last = len(net.widths) - 1
    received, sent = (_degrees(net, side) for side in ("in", "out"))
    deaf = [np.flatnonzero(degrees == 0) for degrees in received]
    mute = [np.flatnonzero(degrees == 0) for degrees in sent]

    def at(layers: Iterable[int], found: Iterable[Units]) -> list[_Place]:
        return [(names[k], which, net.widths[k]) for k, which in zip(layers, found, strict=True)]

    hidden = range(1, last)
    if whole.paths == 0 and min(net.widths[0], net.widths[-1]):
        yield Finding(
            SERIOUS, "No path leads from any input to any output", (),
            "The network computes a constant.", "See below where the units are cut off, and give these layers edges.",
        )  # fmt: skip
    elif dead.unreachable[last].size:
        yield from units(
            SERIOUS, ("output of the network depends on no input", "outputs of the network depend on no input"),
            at([last], [dead.unreachable[last]]),
            "These outputs are constants.", "Give the last layers more edges, or draw them from a regular family.",
        )  # fmt: skip
    yield from units(WARNING, ("output receives nothing", "outputs receive nothing"), at(hidden, deaf[1:last]), *_DEAF)
    yield from units(
        WARNING, ("output is used by nothing", "outputs are used by nothing"), at(hidden, mute[1:last]),
        "What such a unit computes is thrown away.",
        "Draw the layer that follows from a family with equal degrees on its input side, or remove the units.",
    )  # fmt: skip
    yield from units(WARNING, ("input is not used", "inputs are not used"), at([0], mute[:1]), *_UNUSED_INPUT)
    yield from units(
        WARNING, ("unit receives only from units that no input reaches", "units receive only from cut-off units"),
        at(hidden, [np.setdiff1d(dead.unreachable[k], deaf[k]) for k in hidden]),
        "They have edges, but all of these come from units that receive nothing themselves.",
        "Mend the layers before them first.",
    )  # fmt: skip
    yield from units(
        WARNING, ("unit leads only to dead ends", "units lead only to dead ends"),
        at(range(last), [np.setdiff1d(dead.without_effect[k], mute[k]) for k in range(last)]),
        "They have edges, but no path from there reaches an output.",
        "Mend the layers behind them first.",
    )  # fmt: skip
    yield from _of_paths(whole, [int(n) - d.size for n, d in zip(net.widths, dead.dead, strict=True)])


def _of_paths(whole: Whole, alive: list[int]) -> Iterable[Finding]:
    """Find what keeps the inputs and outputs of a network apart although units are alive."""
    net, names = whole.net, unit_names(whole.net)
    parts = [int(size) for size in components(net).sizes if size > 1]
    if len(parts) > 1:
        yield Finding(
            SERIOUS, f"The network falls into {len(parts):,} parts that share nothing", (),
            f"The largest holds {max(parts):,} of {net.n_nodes:,} units. What enters one part never reaches another.",
            "Give the layers more edges, or draw them independently of each other.",
        )  # fmt: skip
    fields = whole.fields
    if fields is not None and fields.receptive.size and whole.paths:
        used, seen = alive[0], fields.receptive[fields.receptive > 0]
        blind = int(np.count_nonzero(seen < used))
        if blind:
            yield Finding(
                NOTE, f"{blind:,} of {fields.n_outputs:,} outputs do not see every input", (),
                f"The narrowest sees {int(seen.min()):,} of the {used:,} inputs in use, the mean is {seen.mean():.4g}.",
                "More edges, or another layer: in a good expander what an output sees grows by the degree with each.",
            )  # fmt: skip
    ends = min(alive[0], alive[-1])
    narrow = [
        (names[k], f"{alive[k]} of its {net.widths[k]} units are on a path")
        for k in range(1, len(alive) - 1)
        if 0 < alive[k] <= _NARROW * ends and not any(s < k < t for s, t in net.blocks)
    ]
    if narrow:
        yield Finding(
            WARNING, f"Everything passes through few units: {narrow[0][0]}" if len(narrow) == 1
            else f"Everything passes through few units in {len(narrow)} layers", tuple(narrow),
            f"Less than a tenth of the {ends:,} units that the narrower end of the network uses.",
            "If it is not meant so, give these layers more edges or more units.",
        )  # fmt: skip


def units(severity: int, what: tuple[str, str], found: list[_Place], means: str, helps: str) -> Iterable[Finding]:
    """Yield a finding about units of some layers, if there are any: by name, which of how many."""
    some = [place for place in found if place[1].size]
    if not some:
        return
    count = sum(which.size for _, which, _ in some)
    title = f"{count:,} {what[count > 1]}"
    title = f"{some[0][0]}: {title}" if len(some) == 1 else f"{title}, in {len(some)} layers"
    worst = sorted(some, key=lambda place: -place[1].size / place[2])
    places = tuple((name, f"{which.size:,} of {of:,}: {listed(which)}") for name, which, of in worst)
    yield Finding(severity, title, places, means, helps)


def listed(which: Units) -> str:
    """Write the first of some indices, and how many more there are.

    Examples
    --------
    >>> listed(np.arange(10))
    '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    more = which.size - _SHOWN
    return ", ".join(map(str, which[:_SHOWN].tolist())) + (f" and {more:,} more" if more > 0 else "")


def _degrees(net: LayeredGraph, side: str) -> list[Units]:
    degrees = [np.zeros(width, dtype=np.int64) for width in net.widths]
    for (s, t), block in net.blocks.items():
        if side == "in":
            degrees[t] += block.right_degrees
        else:
            degrees[s] += block.left_degrees
    return degrees
