"""N2NSkip's Table 3 at equal edges: heat in randomly pruned networks, with and without skips, against the dense one.

    OPENBLAS_NUM_THREADS=1 python benchmarks/papers/n2nskip_heat.py --path heat.jsonl > tables.md

VGG19 and ResNet-50 as graphs of channels. RP keeps E weights, the same fraction of each layer; N2NSkip keeps E // 2
so, and the others in skips (l, l + 2) of the chain, in proportion to what the layer they end at kept; what a full skip
cannot hold goes to the others. `READINGS` says what an edge is, `CONTROLS` what else is compared. Interrupted, it goes
on where it stopped, if `--path` is the same.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections import Counter
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy
from scipy.sparse import csgraph

from expandergraphs import BipartiteGraph, LayeredGraph, random_bipartite, random_left_regular
from expandergraphs.budget import LayerShape, _rounded, _water_filled, spread
from expandergraphs.heat.signature import heat_signature
from expandergraphs.rng import streams

DENSITIES = (0.5, 0.1, 0.05, 0.02)
METHODS = ("RP", "N2NSkip")
PUBLISHED = {
    "VGG19": {"RP": (3.6e-3, 4.2e-1, 2.3e-1, 6.5), "N2NSkip": (2.8e-6, 4.9e-5, 9.9e-4, 1.3e-3)},
    "ResNet-50": {"RP": (4.4e-3, 3.9e-2, 4.5e-1, 1.2e1), "N2NSkip": (8.1e-6, 5.5e-5, 3.8e-4, 5.6e-3)},
}
CONTROLS = {
    "RP, fed": "no skips; the first layer keeps as many weights as N2NSkip has at the inputs, others share the rest",
    "N2NSkip, unfed": "no skip from the inputs; the other skips share what it held",
}
READINGS = {  # name: (what is pruned, are edges weighted)
    "channel": ("channel", False),  # pairs of channels
    "X-Net": ("X-Net", False),  # the same, but a layer's left channels keep equally many: what the paper cites for RP
    "weight": ("weight", True),  # single weights; an edge weighs as many as its kernel kept
    "weight, binary": ("weight", False),  # an edge wherever the kernel kept any
}
SCALED = (0.01, 0.1, 1.0, 10.0, 100.0)  # t times the mean degree of the dense network
PLAIN = (0.02, 0.1, 0.5, 1.0, 2.0)  # the paper's Fig. 4 shows [0, 2]
CURVE = (*10.0 ** np.arange(-9, -5), *10.0 ** np.arange(-5, 4.125, 0.25))  # to look for the published values
TOLERANCE = 1e-9


# --- networks ---


class Network(NamedTuple):
    """Node sets, the kernel of every convolution (1 for the classifier) between them, identities that are added."""

    widths: list[int]
    kernels: dict[tuple[int, int], int]
    identities: list[tuple[int, int]]


def vgg19():
    widths = [3, *[64] * 2, *[128] * 2, *[256] * 4, *[512] * 8, 10]
    chain = list(pairwise(range(len(widths))))
    return Network(widths, dict.fromkeys(chain, 3) | {chain[-1]: 1}, [])


def resnet50():
    """A bottleneck ends in the node set that is added to; there also ends a block or an identity from before it."""
    widths, kernels, identities = [3, 64], {(0, 1): 7}, []
    for width, repeats in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for repeat in range(repeats):
            first = len(widths) - 1
            widths += [width, width, 4 * width]
            kernels |= {(first, first + 1): 1, (first + 1, first + 2): 3, (first + 2, first + 3): 1}
            if repeat:
                identities.append((first, first + 3))
            else:
                kernels[first, first + 3] = 1
    widths.append(10)
    kernels[len(widths) - 2, len(widths) - 1] = 1
    return Network(widths, kernels, identities)


NETWORKS = {"VGG19": vgg19, "ResNet-50": resnet50}


def budgets(network, pruned, density, method):
    """Return how many weights (or pairs of channels) each block holds and keeps: equally many for all methods."""
    widths, kernels = network.widths, network.kernels
    side = {(k, k + 2): kernels[k + 1, k + 2] for k in range(len(widths) - 2)} | kernels
    taps = {block: kernel**2 if pruned == "weight" else 1 for block, kernel in side.items()}
    room = {(s, t): widths[s] * widths[t] * taps[s, t] for s, t in side}
    shapes = [LayerShape(widths[s], widths[t] * taps[s, t]) for s, t in kernels]
    kept = dict(zip(kernels, spread(shapes, density=density), strict=True))
    total = sum(kept.values())
    if method == "RP, fed":
        fed = budgets(network, pruned, density, "N2NSkip")
        first = min(room[0, 1], fed[0, 1][1] + fed[0, 2][1])
        kept = dict(zip(kernels, (first, *spread(shapes[1:], n_edges=total - first)), strict=True))
    elif method != "RP":
        kept = dict(zip(kernels, spread(shapes, n_edges=total // 2), strict=True))
        skips = [(k, k + 2) for k in range(method == "N2NSkip, unfed", len(widths) - 2)]
        half, holds = total - total // 2, [room[skip] for skip in skips]
        if half > sum(holds):
            raise ValueError(f"the skips hold {sum(holds)} weights, half of the network's are {half}")
        shares = _water_filled(half, holds, [kept[t - 1, t] for _, t in skips])
        kept |= dict(zip(skips, _rounded(shares, half), strict=True))
    return {block: (taps[block], count) for block, count in kept.items()}


def draw(network, pruned, density, method, rng):
    """Return the patterns of the blocks, and how many weights each edge keeps."""
    blocks, kept = {}, {}
    for (s, t), (taps, count) in budgets(network, pruned, density, method).items():
        n_left, n_right = network.widths[s], network.widths[t]
        family = random_left_regular if pruned == "X-Net" and (s, t) in network.kernels else random_bipartite
        drawn = family(n_left, n_right * taps, n_edges=count, rng=rng)
        pairs = np.repeat(np.arange(n_left) * n_right, drawn.left_degrees) + drawn.indices // taps
        firsts = np.flatnonzero(np.diff(pairs, prepend=-1))
        blocks[s, t] = BipartiteGraph.from_keys(n_left, n_right, pairs[firsts])
        kept[s, t] = np.diff(firsts, append=pairs.size)
    return blocks, kept


def dense(network):
    blocks = {(s, t): random_bipartite(network.widths[s], network.widths[t], density=1) for s, t in network.kernels}
    return blocks, {key: np.broadcast_to(kernel**2, blocks[key].n_edges) for key, kernel in network.kernels.items()}


def as_graph(network, blocks, kept, weighted):
    """Return the graph that heat diffuses in, with the identities, which are no weights and stay."""
    ends = {(s, t): np.repeat(np.arange(network.widths[s])[:, None], 2, axis=1) for s, t in network.identities}
    same = {block: BipartiteGraph.from_edges(len(pairs), len(pairs), pairs) for block, pairs in ends.items()}
    ones = {block: np.broadcast_to(1, graph.n_edges) for block, graph in same.items()}
    return LayeredGraph(network.widths, blocks | same, kept | ones if weighted else None)


# --- measures ---


def reference(network, weighted):
    """Return the dense network's times and heat, the distance of that from rest, and how it was found."""
    start = time.perf_counter()
    net = as_graph(network, *dense(network), weighted)
    degree = float(net.adjacency.sum() / net.n_nodes)
    times = np.array([*(scaled / degree for scaled in SCALED), *PLAIN, *CURVE, math.inf])
    found = heat_signature(net, times, tolerance=TOLERANCE)
    rest = np.linalg.norm(found.values - found.values[-1], axis=1)
    details = {"edges": net.n_edges, "degree": degree, "signature": repr(found), "times": times[:-1].tolist()}
    return times, found.values, details | {"rest": rest.tolist(), "seconds": time.perf_counter() - start}


def measure(net, times, heat):
    count, labels = csgraph.connected_components(net.adjacency, directed=False)
    largest = np.bincount(labels).argmax()
    found = heat_signature(net, times, tolerance=TOLERANCE)
    return {
        "edges": net.n_edges,
        "components": count,
        "unreached": int((~np.isin(labels, labels[net.input_nodes])).sum()),
        "inputs_off": int((labels[net.input_nodes] != largest).sum()),
        "F": np.linalg.norm(found.values - heat, axis=1).tolist(),
    }


def run(names, seeds, path):
    """Yield a record for each dense network, and for each network, seed, density, method and reading."""
    done = []
    if path is not None and path.exists():
        whole = path.read_text().rpartition("\n")[0]  # a line cut short is measured again
        done = [json.loads(line) for line in whole.splitlines()]
        path.write_text("".join(json.dumps(record) + "\n" for record in done))
    finished = {tuple(record[key] for key in KEYS): record for record in done}
    for name in names:
        network, references = NETWORKS[name](), {}
        jobs = [(0, None, "dense", reading) for reading in ("weight", "channel")]
        jobs += product(range(seeds), DENSITIES, (*METHODS, *CONTROLS), READINGS)
        drawn_for = None
        for job in jobs:
            if (name, *job) in finished:
                yield finished[name, *job]
                continue
            seed, density, method, reading = job
            pruned, weighted = READINGS[reading]
            if weighted not in references:
                references[weighted] = reference(network, weighted)
            times, heat, found = references[weighted]
            if method != "dense":
                start = time.perf_counter()
                if drawn_for != (*job[:-1], pruned):  # the same draw, weighted and binary
                    drawn_for = (*job[:-1], pruned)
                    rng = streams(seed)(f"{name} {pruned} {density} {method}")
                    drawn = draw(network, pruned, density, method, rng)
                found = measure(as_graph(network, *drawn, weighted), times, heat)
                found |= {"kept": sum(int(k.sum()) for k in drawn[1].values()), "seconds": time.perf_counter() - start}
            record = dict(zip(KEYS, (name, *job), strict=True)) | found
            if path is not None:
                with path.open("a") as file:
                    file.write(json.dumps(record) + "\n")
            yield record


KEYS = ("network", "seed", "density", "method", "reading")


# --- tables ---


class Results:
    """Records, by what they are of."""

    def __init__(self, records):
        self.dense = {(r["network"], READINGS[r["reading"]][1]): r for r in records if r["method"] == "dense"}
        self.others = {}
        for record in records:
            self.others.setdefault(
                tuple(record[key] for key in ("network", "reading", "density", "method")), []
            ).append(record)

    def times(self, name, reading):
        return np.array(self.dense[name, READINGS[reading][1]]["times"])

    def get(self, name, reading, density, method, key="F"):
        """Return an array: a row for each seed. F is 0 where it is no larger than its error may be."""
        found = np.array([record[key] for record in self.others[name, reading, density, method]])
        return np.where(found > 2 * TOLERANCE, found, 0.0) if key == "F" else found


def spread_of(values):
    if not values.any():
        return "0"
    return f"{values.mean():.2g} ± {values.std(ddof=1):.1g}" if values.size > 1 else f"{values.mean():.2g}"


def versus(a, b):
    """Say in how many seeds b is lower than a, and in how many they are equal."""
    equal = np.count_nonzero(a == b)
    return f"{np.count_nonzero(b < a)} of {a.size}" + (f", {equal} equal" if equal else "")


def table(title, heads, rows):
    print(f"\n### {title}\n\n| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def percent(density):
    return f"{100 * density:g} %"


def print_dense(results):
    rows = []
    for (name, weighted), of in results.dense.items():
        rest, times = np.array(of["rest"][:-1]), np.array(of["times"])
        rested = [f"{times[rest <= limit].min():.1g}" for limit in (1e-3, 1e-6)]
        kind = "weight" if weighted else "others"
        rows.append((name, kind, of["edges"], f"{of['degree']:.1f}", *rested, f"{of['seconds']:.1f}", of["signature"]))
    heads = ("network", "reading", "edges", "mean degree", "within 1e-3 of rest at t", "1e-6", "seconds", "signature")
    table("Dense networks", heads, rows)


def print_saturation(results, name):
    rows, network = [], NETWORKS[name]()
    for reading, (place, density) in product(READINGS, enumerate(DENSITIES)):
        both = [results.get(name, reading, density, method)[:, -1] for method in METHODS]
        row = [reading, percent(density), *(f"{PUBLISHED[name][method][place]:.1e}" for method in METHODS)]
        row += [*map(spread_of, both), versus(*both)]
        for key in ("components", "unreached", "inputs_off", "edges"):
            pair = (results.get(name, reading, density, method, key).mean() for method in METHODS)
            row.append("; ".join(f"{mean:.0f}" if key == "edges" else f"{mean:g}" for mean in pair))
        (kept,) = {k for m in (*METHODS, *CONTROLS) for k in results.get(name, reading, density, m, "kept").tolist()}
        plans = (budgets(network, READINGS[reading][0], density, method) for method in METHODS)
        at_inputs = (sum(count for (s, _), (_, count) in plan.items() if s == 0) for plan in plans)
        rows.append([*row, kept, "; ".join(map(str, at_inputs))])
    heads = ("reading", "density", "RP, published", "N2NSkip, published", "RP", "N2NSkip", "N2NSkip lower")
    heads += ("components", "units never reached", "inputs cut off", "edges", "kept", "of them at the inputs")
    table(f"{name}: F at saturation, mean ± standard deviation; then means, RP; N2NSkip", heads, rows)


def print_finite(results, name, reading):
    rows = []
    for k, t in enumerate((*SCALED, *PLAIN)):
        row = [f"{t:g} / mean degree" if k < len(SCALED) else f"{t:g}"]
        for density in DENSITIES:
            both = [results.get(name, reading, density, method)[:, k] for method in METHODS]
            row.append("; ".join([*map(spread_of, both), versus(*both)]))
        rows.append(row)
    title = f"{name}, {reading}: F at t, RP; N2NSkip; seeds in which N2NSkip is lower"
    table(title, ("t", *map(percent, DENSITIES)), rows)


def print_order(results, name):
    rows = []
    for reading in READINGS:
        counts = [Counter(), Counter(), Counter()]
        for density, k in product(DENSITIES, [*range(len(SCALED) + len(PLAIN)), -1]):
            a, b = (results.get(name, reading, density, method)[:, k] for method in METHODS)
            verdict = (
                "lower" if (b < a).all() else "higher" if (b > a).all() else "equal" if (a == b).all() else "mixed"
            )
            counts[0 if 0 <= k < len(SCALED) else 2 if k == -1 else 1][verdict] += 1
        rows.append((reading, *(", ".join(f"{n} {verdict}" for verdict, n in count.items()) for count in counts)))
    heads = ("reading", "5 scaled times x 4 densities", "5 times in (0, 2] x 4", "saturation x 4")
    table(f"{name}: N2NSkip's F is lower, higher or equal in all seeds, or mixed", heads, rows)


def print_published(results, name):
    """Print the times at which the median F rises to a published value, and last falls to it."""
    rows, first = [], len(SCALED) + len(PLAIN)
    for reading in READINGS:
        times, errors = results.times(name, reading)[first:], []
        for method, (place, density) in product(METHODS, enumerate(DENSITIES)):
            value = PUBLISHED[name][method][place]
            curve = np.median(results.get(name, reading, density, method), axis=0)
            saturated, curve = curve[-1], np.maximum(curve[first:-1], 1e-300)
            errors.append(abs(np.log10(curve / value)))
            above = np.flatnonzero(curve > value)
            cell = f"largest F {curve.max():.2g}"
            if above.size:
                rise, fall = max(above[0], 1), above[-1]
                cell = f"{crossing(times, curve, rise - 1, value):.1g}; "
                late = f"never, F = {saturated:.2g} at saturation" if saturated > value else f"after {times[-1]:.0e}"
                cell += late if fall == times.size - 1 else f"{crossing(times, curve, fall, value):.2g}"
            rows.append([reading, method, percent(density), f"{value:.1e}", cell])
        for methods, part in (("RP", slice(0, 4)), ("N2NSkip", slice(4, 8)), ("both", slice(0, 8))):
            worst = np.max(errors[part], axis=0)
            best = f"{times[worst.argmin()]:.1g}: wrong by up to 10^{worst.min():.1f}"
            rows.append([reading, methods, "all", "", f"best single t = {best}"])
    heads = ("reading", "method", "density", "published F", "median F rises to it at t; falls to it at t")
    table(f"{name}: times that give the published values", heads, rows)


def crossing(times, curve, k, value):
    """Interpolate between times k and k + 1, in logarithms."""
    a, b = np.log(curve[k : k + 2] / value)
    return times[k] * (times[k + 1] / times[k]) ** (a / (a - b))


def print_controls(results, name):
    rows, methods = [], ("RP", "RP, fed", "N2NSkip, unfed", "N2NSkip")
    columns = {"saturation": -1, "1 / mean degree": SCALED.index(1)}
    columns |= {f"t = {t:g}": len(SCALED) + PLAIN.index(t) for t in (0.1, 0.5, 2.0)}
    for reading, density in product(READINGS, DENSITIES):
        cells = []
        for k in columns.values():
            rp, fed, unfed, n2nskip = (results.get(name, reading, density, method)[:, k] for method in methods)
            means = "; ".join(f"{values.mean():.2g}" for values in (rp, fed, unfed, n2nskip))
            cells.append(f"{means} ({versus(fed, n2nskip)}; {versus(rp, unfed)})")
        rows.append([reading, percent(density), *cells])
    verdicts = "in how many seeds N2NSkip is lower than RP, fed; N2NSkip, unfed lower than RP"
    table(f"{name}, controls: mean F of {'; '.join(methods)} ({verdicts})", ("reading", "density", *columns), rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0, 1, ... for each network, density and method")
    parser.add_argument("--path", type=Path, help="file that keeps every finished network")
    arguments = parser.parse_args()
    records = []
    for record in run(arguments.networks, arguments.seeds, arguments.path):
        records.append(record)
        if sys.stderr.isatty():
            print(f"{record['network']}, seed {record['seed']}: {len(records)} networks", end="\r", file=sys.stderr)
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__};", end=" ")
    print(
        f"seeds 0 to {arguments.seeds - 1}; {len(records)} graphs, {sum(r['seconds'] for r in records):.0f} s;", end=" "
    )
    print(f"largest F of all: {max(max(r['F']) for r in records if r['method'] != 'dense'):.3g}.")
    results = Results(records)
    print_dense(results)
    for name in arguments.networks:
        print_saturation(results, name)
        print_order(results, name)
        print_published(results, name)
        print_controls(results, name)
        for reading in READINGS:
            print_finite(results, name, reading)


if __name__ == "__main__":
    main()
