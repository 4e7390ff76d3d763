"""The main job end to end: the four families at equal edges, measured, drawn, and trained on real digits.

LeNet-300-100 without its classifier has the layers 784 -> 300 -> 100. RadiX-Net realises only certain edge counts, so
its count decides (26,520 edges, a tenth of dense), and the other families get the same number in each layer.

Then a deeper MLP with a fiftieth of its edges: pruned at random, and with half of them in N2NSkip connections.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expandergraphs._files import save_figure
from expandergraphs.generators.family import RANDOM_FAMILIES, family_net
from expandergraphs.generators.like import random_like
from expandergraphs.generators.radix import radix_net, radix_net_for
from expandergraphs.generators.random import random_bipartite
from expandergraphs.generators.skips import n2nskip_net
from expandergraphs.heat.comparison import HeatComparison, compare_heat
from expandergraphs.heat.distance import heat_distance
from expandergraphs.heat.unreached import unreached_units
from expandergraphs.layered import LayeredGraph
from expandergraphs.report import CELLS, Report, measures_table, report
from expandergraphs.results import Table
from expandergraphs.rng import streams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (784, 300, 100)
TIME = 0.1  # of the heat in the table
SYSTEMS = ((10, 10),)
TITLES = {"random": "Random", "left_regular": "X-Net", "regular": "RReg", "radix": "RadiX-Net"}
DENSE = "dense"
DEEP_SIZES, DEEP_DENSITY = (784, 300, 200, 100, 100, 100, 10), 0.02  # the classifier stays dense
RP, SKIPS = "RP", "N2NSkip-RP"


def families(seed: int) -> dict[str, LayeredGraph]:
    """Build the four families for LeNet-300-100 with the edge counts of the RadiX-Net."""
    radix = radix_net_for(SIZES, SYSTEMS).net
    nets = {}
    for name, draw in RANDOM_FAMILIES.items():
        stream = streams(np.random.SeedSequence(seed))
        layers = enumerate(radix.layers)
        nets[name] = LayeredGraph.from_layers(
            draw(g.n_left, g.n_right, g.n_edges, stream(f"{name}/{k}")) for k, g in layers
        )
    return nets | {"radix": radix}


def heat(nets: Mapping[str, LayeredGraph]) -> HeatComparison:
    """Compare the heat in every network with that in the dense one, from when it leaves the inputs until it is even."""
    dense = LayeredGraph.from_layers(random_bipartite(a, b, density=1) for a, b in pairwise(SIZES))
    times = np.concatenate([np.geomspace(1e-4, TIME, 31), np.geomspace(TIME, 10, 21)[1:], [math.inf]])
    return compare_heat({DENSE: dense, **{TITLES[name]: net for name, net in nets.items()}}, times)


def measures_tables(reports: Mapping[str, Report]) -> list[Table]:
    """One table a layer, one column a family."""
    return [
        measures_table(
            f"Measures of fc{k + 1}, {SIZES[k]} inputs and {SIZES[k + 1]} outputs",
            {TITLES[name]: result.graphs[k] for name, result in reports.items()},
        )
        for k in range(len(SIZES) - 1)
    ]


def results_table(
    reports: Mapping[str, Report], heat: HeatComparison, accuracies: Mapping[str, NDArray[np.float64]]
) -> Table:
    """One row a network: what was measured, and the accuracy after the last epoch, where it was trained."""
    at = int(np.flatnonzero(heat.times == TIME)[0])
    rows: list[list[object]] = []
    for name, result in reports.items():
        ratios = [f"{graph.spectrum.ratio:.3f}" for graph in result.graphs]
        expansions = [CELLS["α, left"](graph) for graph in result.graphs]
        distance = f"{heat.networks[TITLES[name]].distances[at]:.2f}"
        rows.append([TITLES[name], result.n_edges, *ratios, *expansions, result.components, distance])
    headings = ["network", "edges", "σ2/σ1 fc1", "fc2", "α fc1", "fc2", "parts of the whole", "heat F"]
    caption = (
        "graphs of seed 0; α: expansion of sets of at most half of the inputs, proved .. attained\n"
        f"F: distance of the heat at t = {TIME} from that in the dense network"
    )
    title = "Four families at equal edges, LeNet-300-100"
    if accuracies:
        rows.append([DENSE, SIZES[0] * SIZES[1] + SIZES[1] * SIZES[2], *["-"] * 5, "0"])
        for row, name in zip(rows, [*reports, DENSE], strict=True):
            row.append(_mean_and_deviation(accuracies[name]))
        headings.append("test accuracy %")
        caption += f"\naccuracy after the last epoch: mean ± standard deviation, seeds: {_seeds(accuracies)}"
        title += ", trained on 4,000 MNIST digits, tested on 1,000"
    return Table.of(title, headings, rows, left=["network"], caption=caption)


def skips_table(nets: Mapping[str, Sequence[LayeredGraph]], accuracies: Mapping[str, NDArray[np.float64]]) -> Table:
    """One row a method, over all seeds: the deeper MLP without and with skips, at equal edges."""
    dense, rows = nets[DENSE][0], []
    for name, drawn in nets.items():
        distances = np.array([heat_distance(dense, net, TIME) for net in drawn])
        unreached = np.array([unreached_units(net).n_unreached for net in drawn])
        in_skips = sum(block.n_edges for block in drawn[0].skips.values())
        cells = [
            f"{distances.mean():.2f} ± {distances.std(ddof=1):.2f}" if len(drawn) > 1 else f"{distances[0, 0]:.2f}"
        ]
        cells += [f"{unreached.mean():.1f}", _mean_and_deviation(accuracies[name])]
        rows.append([name, drawn[0].n_edges, in_skips, *cells])
    title = f"N2NSkip at equal edges: {'-'.join(map(str, DEEP_SIZES))}, density {DEEP_DENSITY}, classifier dense"
    caption = (
        f"seeds: {_seeds(accuracies)}, mean ± standard deviation; unreached: units that heat never reaches\n"
        f"heat F: distance from the dense network at t = {TIME}"
    )
    headings = ["network", "edges", "in skips", "heat F", "unreached", "test accuracy %"]
    return Table.of(title, headings, rows, left=["network"], caption=caption)


def draw_pictures(
    nets: Mapping[str, LayeredGraph],
    heat: HeatComparison,
    accuracies: Mapping[str, NDArray[np.float64]],
    folder: Path,
) -> list[Path]:
    """Write the demo's pictures as PNG files, and return their paths."""
    figures = {
        "patterns": _patterns(nets),
        "spectra": _spectra(nets),
        "radix-net": _radix_and_random(),
        "n2nskip": _without_and_with_skips(),
        "heat": _heat(heat),
    }
    if accuracies:
        figures["training"] = _training(accuracies)
        figures["overview"] = _overview(nets, accuracies)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        save_figure(figure, paths[-1])
    return paths


def measure(nets: Mapping[str, LayeredGraph]) -> dict[str, Report]:
    """Measure every network."""
    return {name: report(net) for name, net in nets.items()}


def _figure(width: float, height: float) -> "Figure":
    """Return a figure that needs no screen and leaves the user's pyplot state alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _patterns(nets: Mapping[str, LayeredGraph]) -> "Figure":
    from expandergraphs.plotting import draw_biadjacency

    figure = _figure(12, 7)
    figure.suptitle("Biadjacency of layer fc2, 300 inputs by 100 outputs, 3,000 edges each")
    for ax, (name, net) in zip(figure.subplots(1, 4), nets.items(), strict=True):
        draw_biadjacency(net.layers[1], ax).set_title(TITLES[name])
    return figure


def _spectra(nets: Mapping[str, LayeredGraph]) -> "Figure":
    from expandergraphs.plotting import plot_singular_values

    figure = _figure(11, 4.5)
    figure.suptitle("Singular values at density 0.1; Random, X-Net and RReg nearly coincide")
    for k, ax in enumerate(figure.subplots(1, 2)):
        graphs = {TITLES[name]: net.layers[k] for name, net in nets.items()}
        plot_singular_values(graphs, ax).set_title(f"fc{k + 1}: {SIZES[k]} to {SIZES[k + 1]}")
    return figure


def _radix_and_random() -> "Figure":
    from expandergraphs.plotting import draw_layered

    net = radix_net([[2, 2, 2]], [1, 1, 1, 1])
    figure = _figure(7, 7)
    above, below = figure.subplots(2, 1)
    draw_layered(net, above).set_title("RadiX-Net, radices (2, 2, 2): one path from every input to every output")
    draw_layered(random_like(net, rng=1), below).set_title("Its random equivalent: as many edges in each layer")
    return figure


def _without_and_with_skips() -> "Figure":
    from expandergraphs.plotting import draw_layered
    from expandergraphs.plotting_adjacency import draw_adjacency

    sizes, n_edges = [8] * 5, 64
    nets = {
        "Pruned at random: 64 of 256 edges": family_net("random", sizes, n_edges=n_edges, rng=0),
        "N2NSkip: 64 edges too, 32 of them skips": n2nskip_net(sizes, n_edges=n_edges, rng=0),
    }
    figure = _figure(11, 9)
    for axes, (title, net) in zip(figure.subplots(2, 2).T, nets.items(), strict=True):
        draw_layered(net, axes[0]).set_title(title)
        draw_adjacency(net, axes[1])
    return figure


def _heat(found: HeatComparison) -> "Figure":
    from expandergraphs.plotting_heat import plot_heat_distance

    figure = _figure(7, 4.5)
    distances = {name: net.distances for name, net in found.networks.items() if name != found.reference}
    ax = plot_heat_distance(distances, found.times, figure.subplots())
    ax.set_title("Heat put on the inputs: distance from the dense network")
    return figure


def _training(accuracies: Mapping[str, NDArray[np.float64]]) -> "Figure":
    from expandergraphs.plotting import plot_accuracy

    figure = _figure(7, 4.5)
    curves = {TITLES.get(name, name): values for name, values in accuracies.items()}
    ax = plot_accuracy(curves, figure.subplots())
    ax.set_title(f"LeNet-300-100 on 4,000 MNIST digits, {_seeds(accuracies)} seeds: mean, lowest to highest")
    return figure


def _overview(nets: Mapping[str, LayeredGraph], accuracies: Mapping[str, NDArray[np.float64]]) -> "Figure":
    from expandergraphs.plotting import draw_biadjacency, plot_accuracy, plot_singular_values

    figure = _figure(12, 7.5)
    grid = figure.add_gridspec(2, 4, height_ratios=[1.1, 1])
    for k, (name, net) in enumerate(nets.items()):
        ax = draw_biadjacency(net.layers[1], figure.add_subplot(grid[0, k]))
        ax.set_title(f"{TITLES[name]}, fc2")
    graphs = {TITLES[name]: net.layers[1] for name, net in nets.items()}
    spectra = plot_singular_values(graphs, figure.add_subplot(grid[1, :2]))
    spectra.set_title("Singular values of fc2: the first three nearly coincide")
    curves = {TITLES.get(name, name): values for name, values in accuracies.items()}
    training = plot_accuracy(curves, figure.add_subplot(grid[1, 2:]))
    training.set_title(f"Test accuracy, {_seeds(accuracies)} seeds: mean, lowest to highest")
    figure.suptitle("LeNet-300-100 with a tenth of its edges, four ways")
    return figure


def _seeds(accuracies: Mapping[str, NDArray[np.float64]]) -> int:
    return int(next(iter(accuracies.values())).shape[0])


def _mean_and_deviation(accuracies: NDArray[np.float64]) -> str:
    final = accuracies[:, -1]
    return f"{final.mean():.2f}" + (f" ± {final.std(ddof=1):.2f}" if final.size > 1 else "")


def as_records(
    reports: Mapping[str, Report],
    heat: HeatComparison,
    accuracies: Mapping[str, NDArray[np.float64]],
    seeds: Sequence[int],
    deep: Mapping[str, NDArray[np.float64]],
) -> dict[str, object]:
    """Return everything the demo found as plain data, ready for JSON."""
    return {
        "sizes": list(SIZES),
        "seeds": list(seeds),
        "heat": heat.to_dict(),
        "measures": {name: result.to_dict() for name, result in reports.items()},
        "test_accuracy_by_epoch": {name: values.tolist() for name, values in accuracies.items()},
        "n2nskip_test_accuracy_by_epoch": {name: values.tolist() for name, values in deep.items()},
    }
