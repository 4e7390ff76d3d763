"""Ours: does better certified expansion, at exactly equal edges and degrees, mean better accuracy?

    python -m benchmarks.papers.expanders --dataset mnist --data FOLDER --seeds 5 --out runs/expanders > table.md

Networks of equally wide hidden layers, each an n x n graph of one degree d, for n and d at which an explicit expander
exists. The wirings go from the best there is to graphs of disjoint parts, through mixtures that differ in nothing but
the share of edges that leave their part. What is wired:

    image -> first layer -> depth times (n x n graph, batch normalisation, ReLU) -> classes

Ends "narrow": the first layer deals every pixel, at random, to one unit, and a class reads two units, so that only the
graphs between can bring the image together. Ends "dense": both are dense, and every unit sees the whole image before
the first graph. No residuals, which would be further edges. In a "cnn" a unit is a channel: a dense first convolution
takes patches of 4 x 4, then come depth times (3 x 3 depthwise convolution, 1 x 1 convolution wired by the graph, batch
normalisation, ReLU), the mean over positions, and the classes; the ends say what a class reads.

explicit: the graph B that names the size, its vertices in a random order of each layer's own; explicit in turn: B, its
transpose, B, ... as they are, so that after two layers of a plane every unit has reached all. best of 20: by sigma2.
2-lift: of RReg at half the size, best of 10 signings. block b: RReg between blocks of b units, the same blocks in every
layer. band: a unit reads the d around it. parts: disjoint K_{d,d}, the same sets of units in every layer; where d does
not divide n, some parts are larger and have a regular graph inside. parts + 3 %: so many of their edges rewired by
switches, each into another part, so that all degrees stay. "shuffled": the same graphs, all vertices in a random order
of each layer's own: each graph has exactly the expansion it had, and the network mixes nevertheless.

At full scale, for a GPU: the same, wider, deeper and trained for longer. It is not VGG16, whose layers have sizes of
which hardly any has an explicit expander.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import runs
from benchmarks.papers.expanders_report import report
from benchmarks.papers.training import Recipe, evaluate, train
from expandergraphs.operators import normalised_biadjacency
from expandergraphs.rng import streams


def gold(m):
    """Return the Cayley graph of (Z/2)^(2m), m odd, with the generators (x, x^3), x in GF(2^m).

    x^3 is almost bent (Gold 1968), so every character sum but the trivial is 0 or +-2^((m + 1)/2), which is sigma2.
    """
    modulus = {3: 0b1011, 5: 0b100101}[m]

    def times(a, b):
        product = 0
        for bit in range(m):
            product ^= (a << bit) * (b >> bit & 1)
        for bit in reversed(range(m, 2 * m)):
            product ^= (modulus << bit - m) * (product >> bit & 1)
        return product

    return eg.cayley_f2(2 * m, [x | times(x, times(x, x)) << m for x in range(2**m)])


class Size(NamedTuple):
    n: int
    degree: int
    explicit: Callable[[], eg.BipartiteGraph]


SIZES = {
    "projective plane, q = 13": Size(183, 14, partial(eg.projective_plane, 13)),
    "Cayley graph of (Z/2)^6": Size(64, 8, partial(gold, 3)),
    "LPS, p = 13, q = 5": Size(60, 14, partial(eg.lps, 13, 5)),
    "array code, q = 13": Size(169, 13, partial(eg.array_code, 13, 13)),
    "projective plane, q = 19": Size(381, 20, partial(eg.projective_plane, 19)),
    "Cayley graph of (Z/2)^10": Size(1024, 32, partial(gold, 5)),
    "LPS, p = 41, q = 13": Size(1092, 42, partial(eg.lps, 41, 13)),
}
PLANE, CAYLEY, LPS, ARRAY, PLANE_19, CAYLEY_10, LPS_13 = SIZES
DOSES = [f"parts{dose}" for dose in ("", " + 1 %", " + 3 %", " + 10 %", " + 30 %")]
COMMON = ["RReg", "explicit", "best of 20", "X-Net", "Random", "band", "band, shuffled"]
MIXED = [*DOSES, "parts, shuffled", "parts + 10 %, shuffled"]
BLOCKS = ["2-lift", "block 2", "block 4", "block 4, shuffled"]
FEW = ["RReg", "explicit", "best of 20", "parts", "parts, shuffled"]
NARROW = [("narrow", 2), ("narrow", 4), ("narrow", 8)]
# size, model, wirings, and (ends, depth) of their networks
PLANS = {
    "small": [
        (PLANE, "mlp", [*COMMON, "explicit in turn", *MIXED, "dense"], [*NARROW, ("dense", 4)]),
        (CAYLEY, "mlp", [*COMMON, *BLOCKS, *MIXED, "dense"], [("narrow", 2), ("narrow", 4)]),
        (LPS, "mlp", FEW, [("narrow", 2)]),
        (ARRAY, "mlp", FEW, [("narrow", 2)]),
        (CAYLEY, "cnn", ["RReg", "explicit", "band", "parts", "parts, shuffled"], [("narrow", 4)]),
    ],
    "full": [
        (PLANE_19, "mlp", [*COMMON, "explicit in turn", *MIXED, "dense"], [*NARROW, ("narrow", 16), ("dense", 4)]),
        (CAYLEY_10, "mlp", [*COMMON, *BLOCKS, *MIXED, "dense"], [*NARROW]),
        (LPS_13, "mlp", FEW, [("narrow", 2), ("narrow", 4)]),
        (PLANE, "cnn", [*COMMON, *MIXED, "dense"], [("narrow", 4), ("narrow", 8), ("dense", 8)]),
    ],
}
N_TRAIN = {"mnist": 10_000, "cifar10": 10_000, "cifar100": 10_000}  # at small scale; other data sets whole
EPOCHS = {"small": {"mlp": 4, "cnn": 4}, "full": {"mlp": 30, "cnn": 100}}


def settings(scale, dataset, seeds):
    n_train = N_TRAIN.get(dataset) if scale == "small" else None
    for seed in seeds:
        measured = set()
        for size, model, methods, networks in PLANS[scale]:
            for method in methods:
                wired = {"scale": scale, "dataset": dataset, "size": size, "method": method, "seed": seed}
                if (size, method) not in measured:
                    yield wired | {"part": "graph"}
                measured.add((size, method))
                for ends, depth in networks:
                    network = {"part": "network", "model": model, "ends": ends, "depth": depth}
                    yield wired | network | {"n_train": n_train, "epochs": EPOCHS[scale][model]}


# --- graphs ---


@lru_cache(1024)
def wiring(size, method, seed, layer):
    """Return the graph of a layer, whatever the depth of the network."""
    n, d, explicit = SIZES[size]
    rng, name = streams(seed)(f"{method}/{layer}"), method.removesuffix(", shuffled")
    match name.split():
        case ["explicit", *_]:
            g = explicit().T if name != "explicit" and layer % 2 else explicit()
        case ["RReg"]:
            g = eg.random_regular(n, n, d, rng=rng)
        case ["best", "of", k]:
            draw = partial(eg.random_regular, n, n, d)
            g = eg.best_of(int(k), lambda rng: draw(rng=rng), lambda g: -eg.spectral_gap(g).sigma2, rng=rng).graph
        case ["2-lift"]:
            g = eg.two_lift(eg.random_regular(n // 2, n // 2, d, rng=rng), signings=10, rng=rng)
        case ["block", b]:
            g = eg.block_expander(eg.random_regular(n // int(b), n // int(b), d // int(b), rng=rng), int(b))
        case ["X-Net"]:
            g = eg.random_left_regular(n, n, d, rng=rng)
        case ["Random"]:
            g = eg.random_bipartite(n, n, n_edges=d * n, rng=rng)
        case ["dense"]:
            g = complete(n, n)
        case ["band"]:
            steps = np.arange(d) - d // 2
            g = eg.BipartiteGraph.from_edges(n, n, [(i, (i + step) % n) for i in range(n) for step in steps])
        case ["parts", *share]:
            parts = [len(part) for part in np.array_split(np.arange(n), n // d)]
            g = eg.disjoint_union([eg.random_regular(part, part, d, rng=rng) for part in parts])
            if share:
                g = rewire(g, np.repeat(np.arange(len(parts)), parts), float(share[1]) / 100, rng)
    return shuffle(g, rng) if name != method or name == "explicit" else g


def complete(n_left, n_right):
    return eg.block_expander(eg.BipartiteGraph.from_edges(1, 1, [(0, 0)]), (n_left, n_right))


def shuffle(g, rng):
    """Number the vertices of both sides anew."""
    edges = np.column_stack(
        [rng.permutation(n)[ends] for n, ends in zip((g.n_left, g.n_right), g.edges.T, strict=True)]
    )
    return eg.BipartiteGraph.from_edges(g.n_left, g.n_right, edges)


def rewire(g, part_of, share, rng):
    """Switch edges in pairs, (a, b) and (c, e) to (a, e) and (c, b), until a share of all, rounded to pairs, is new.

    Only edges inside two different parts are switched, each once, so every new edge joins two parts.
    """
    edges, present = g.edges.tolist(), set(map(tuple, g.edges.tolist()))
    old, n_pairs = list(range(len(edges))), round(share * len(edges) / 2)
    while n_pairs:
        i, j = rng.choice(len(old), 2, replace=False)
        (a, b), (c, e) = edges[old[i]], edges[old[j]]
        if part_of[a] == part_of[c] or (a, e) in present or (c, b) in present:
            continue
        present |= {(a, e), (c, b)}
        present -= {(a, b), (c, e)}
        for k in sorted((i, j), reverse=True):
            old[k] = old[-1]
            old.pop()
        n_pairs -= 1
    return eg.BipartiteGraph.from_edges(g.n_left, g.n_right, sorted(present))


def measure(size, method, seed):
    """Measure the first layer's graph; those of the other layers are the same, or drawn by the same law."""
    g = wiring(size, method, seed, 0)
    limit = None if g.n_left <= 256 else 10  # with a limit, the ends found depend on the machine
    gap, alpha = eg.spectral_gap(g), eg.vertex_expansion(g, time_limit=limit, rng=seed)
    return {
        "n": g.n_left,
        "degree": SIZES[size].degree,
        "regular": len({*g.left_degrees.tolist(), *g.right_degrees.tolist()}) == 1,
        "connected": gap.connected,
        "ramanujan": gap.is_ramanujan,
        "lower": alpha.lower,
        "upper": alpha.upper,
    }


def mixing(layers):
    """Return sigma2 / sigma1 of the product of the normalised biadjacencies: what a whole network does not mix."""
    product = np.linalg.multi_dot([np.eye(layers[0].n_left), *(normalised_biadjacency(g).toarray() for g in layers)])
    first, second = np.linalg.svd(product, compute_uv=False)[:2]
    return float(second / first)


# --- networks ---


def ends_of(ends, n_inputs, n, classes, seed):
    """Return the graphs of the first and the last layer, which are those of all wirings with this seed."""
    if ends == "dense":
        return complete(n_inputs, n), complete(n, classes)
    stream = streams(seed)
    first = eg.random_regular(n_inputs, n, n_edges=max(n_inputs, n), rng=stream("first"))
    return first, eg.random_regular(n, classes, n_edges=2 * classes, rng=stream("classes"))


def network(setting, shape, classes):
    """Build a network; return it with the graphs of all its layers."""
    channels, height, width = shape
    n, cnn = SIZES[setting["size"]].n, setting["model"] == "cnn"
    body = [wiring(setting["size"], setting["method"], setting["seed"], i) for i in range(setting["depth"])]
    first, last = ends_of(setting["ends"], channels * height * width, n, classes, setting["seed"])
    if cnn:
        first = complete(channels, n)
    model, norm = nn.Sequential(), nn.BatchNorm2d if cnn else nn.BatchNorm1d
    if not cnn:
        model.add_module("flatten", nn.Flatten())
    for i, g in enumerate([first, *body]):
        if not cnn:
            layer = nn.Linear(g.n_left, n, bias=False)
        elif i == 0:
            layer = nn.Conv2d(channels, n, 4, stride=4, bias=False)
        else:
            model.add_module(f"depthwise{i}", nn.Conv2d(n, n, 3, padding=1, groups=n, bias=False))
            layer = nn.Conv2d(n, n, 1, bias=False)
        for name, module in (("layer", layer), ("norm", norm(n)), ("relu", nn.ReLU())):
            model.add_module(f"{name}{i}", module)
    if cnn:
        model.add_module("mean", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    model.add_module("classes", nn.Linear(n, classes))
    graphs = [first, *body, last]
    names = [*(f"layer{i}" for i in range(len(body) + 1)), "classes"]
    sparse = {name: g for name, g in zip(names, graphs, strict=True) if g.density < 1}
    if sparse:
        egt.sparsify(model, sparse)
    return model, graphs


def trained(setting, context):
    data = context.load(n_train=setting["n_train"])
    torch.manual_seed(setting["seed"])
    model, graphs = network(setting, data.shape, len(data.classes))
    augment = ("flip", "crop") if setting["scale"] == "full" and setting["dataset"].startswith("cifar") else ()
    recipe = Recipe(setting["epochs"], 100, schedule="cosine", augment=augment, precision=context.precision)
    where = {"folder": context.folder, "device": context.device}
    rows = train(model, data, recipe, seed=setting["seed"], deadline=context.deadline, **where)
    body = graphs[1:-1]
    return {
        "accuracy": evaluate(model, data.test, data, context.device),
        "train": rows[-1]["train"],
        "edges": sum(g.n_edges for g in body),
        "ratio": float(np.mean([eg.spectral_gap(g).sigma2_normalised for g in body])),
        "mixing": mixing(body),
        "dead": eg.dead_units(eg.LayeredGraph.from_layers(body)).n_dead,
        "reach": 100 * float(eg.reachability(eg.LayeredGraph.from_layers(graphs)).mean()),
    }


def run(setting, context):
    if setting["part"] == "graph":
        return measure(setting["size"], setting["method"], setting["seed"])
    return trained(setting, context)


if __name__ == "__main__":
    runs.main(__doc__, settings, run, report)
