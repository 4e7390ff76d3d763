"""N2NSkip's figures 3 and 4 for the MLP 3072-512-256-128-64-10: adjacency matrices, and scree curves.

    python benchmarks/papers/n2nskip_figures.py docs/images/n2nskip-mlp.png

Dense, a random fifth of every layer's edges, and N2NSkip: as many edges in all, half of them between neighbouring
layers and half in skips from layer l to l + 2, each half spread in proportion to the pairs there are. Weights are 1.
"""

import argparse
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

import expandergraphs as eg
from expandergraphs.plotting_adjacency import draw_adjacency
from expandergraphs.plotting_heat import plot_heat_distance, plot_scree

SIZES = (3072, 512, 256, 128, 64, 10)
NAMES = ("input", "fc1", "fc2", "fc3", "fc4", "output")
KEPT = 5  # one edge in so many
TIMES = np.concatenate([[0], np.geomspace(1e-3, 2, 60)])


def networks(seed=0):
    rng = np.random.default_rng(seed)
    dense = eg.LayeredGraph.from_layers([eg.random_bipartite(a, b, density=1) for a, b in pairwise(SIZES)], names=NAMES)
    layers = [eg.random_bipartite(a, b, n_edges=a * b // KEPT, rng=rng) for a, b in pairwise(SIZES)]
    pruned = eg.LayeredGraph.from_layers(layers, names=NAMES)
    blocks = {}
    for jump, n_edges in ((1, pruned.n_edges // 2), (2, pruned.n_edges - pruned.n_edges // 2)):
        pairs = {(k, k + jump): SIZES[k] * SIZES[k + jump] for k in range(len(SIZES) - jump)}
        shares = np.cumsum([0, *pairs.values()]) * n_edges // sum(pairs.values())
        for (s, t), count in zip(pairs, np.diff(shares).tolist(), strict=True):
            blocks[s, t] = eg.random_bipartite(SIZES[s], SIZES[t], n_edges=count, rng=rng)
    skips = eg.LayeredGraph(SIZES, blocks, names=NAMES)
    return {"reference": dense, f"pruned {KEPT}x": pruned, f"N2NSkip {KEPT}x": skips}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture")
    nets = networks()
    figure = Figure(figsize=(13, 8.6), layout="constrained")
    grid = figure.add_gridspec(2, 6, height_ratios=[1.15, 1])
    for k, (name, net) in enumerate(nets.items()):
        ax = draw_adjacency(net, figure.add_subplot(grid[0, 2 * k : 2 * k + 2]))
        ax.set_title(f"{name}, {net.n_edges:,} edges")
    scree = figure.add_subplot(grid[1, :3])
    curves = {name: eg.scree(net, TIMES, products=20_000, rng=0) for name, net in nets.items()}
    handles, _ = plot_scree(curves, scree).get_legend_handles_labels()
    scree.legend(handles, list(curves), loc="upper left", bbox_to_anchor=(0.08, 1))
    kept = curves["reference"]
    scree.set_title(f"K = {kept.n_kept} of {kept.n_nodes:,}; shaded: what is not known", fontsize="medium")
    reference, *others = nets.items()
    distances = {name: eg.heat_distance(reference[1], net, TIMES) for name, net in others}
    plot_heat_distance(distances, TIMES, figure.add_subplot(grid[1, 3:]))
    figure.savefig(parser.parse_args().picture, dpi=110)
    print(
        "| t | "
        + " | ".join(f"alpha, {name}" for name in curves)
        + " | "
        + " | ".join(f"F, {name}" for name in distances)
    )
    for k in range(1, TIMES.size, 10):
        alphas = [f"{curve[k]:.3f} ({curve.lower[k]:.3f} .. {curve.upper[k]:.3f})" for curve in curves.values()]
        print("|", " | ".join([f"{TIMES[k]:.3g}", *alphas, *(f"{found[k]:.3g}" for found in distances.values())]), "|")


if __name__ == "__main__":
    main()
