"""X-Net (Prabhu, Varma, Namboodiri, ECCV 2018): are wide sparse layers better, and does all reach all in few layers?

    python -m benchmarks.papers.xnet --scale small --dataset mnist --data FOLDER --out runs/xnet > table.md

(a) Width at fixed edges. An MLP with wider and wider hidden layers, and in each layer the edges that it has where the
narrowest one is dense; the classifier stays dense. Wired as X-Net (d-left-regular), RReg (d-regular), at random, and in
groups, which the paper measures itself against: as sparse, and not connected. Groups of pixels that lie together know
that images are local, which no other wiring does; in scattered groups pixels are dealt out at random. A wider network
has more biases and a larger classifier, so each width has a dense network beside it that is as large in all parameters.

(b) Sensitivity. Between layers of n units and degree d, how many layers until every output is reached from every input:
no fewer than log n / log d if no unit feeds more than d, no more than the theorem says if all units of both sides have
d edges, the least t with (d / sigma2)^t > n. And how many until every output has a gradient by every input, which needs
a path of active units: in a network of ReLUs before and after its training, for single images, and for any of several.

The paper's own figures are those of large convolutional networks: none can stand beside ours, and none is printed.
"""

import copy
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import runs
from benchmarks.papers.data import batch
from benchmarks.papers.models import initialise, n_parameters
from benchmarks.papers.training import Recipe, evaluate, train
from benchmarks.papers.xnet_report import report


def grouped(n_left, n_right, n_edges, rng=None):
    """Connect groups of inputs completely with groups of outputs, as a grouped convolution does."""
    size, rest = divmod(n_edges, n_left)  # outputs in a group
    if rest or n_right % size:
        raise eg.GenerationError(f"no groups of outputs make {n_edges} edges between {n_left} and {n_right} units")
    group = np.arange(n_left) * (n_right // size) // n_left
    outputs = size * group[:, None] + np.arange(size)
    return eg.BipartiteGraph.from_edges(n_left, n_right, np.stack([np.arange(n_left).repeat(size), outputs.ravel()], 1))


FAMILIES = {"grouped": grouped, "random": "random", "left_regular": "left_regular", "regular": "regular"}


@dataclass(frozen=True)
class Scale:
    narrow: int  # (a) the width that is dense
    widths: tuple
    hidden: int  # layers
    sizes: tuple  # (b) n
    degrees: tuple
    deep: tuple  # width, degree and layers of the network of which gradients are looked at
    n_images: int  # for which
    epochs: int
    batch: int
    images: dict


SCALES = {
    "small": Scale(64, (128, 256, 512, 1024), 4, (64, 256, 1024, 4096), (2, 4, 8, 16), (256, 8, 10), 20, 30, 50,
                   {"size": 16}),
    "full": Scale(256, (512, 1024, 2048, 4096), 4, (64, 256, 1024, 4096, 16384), (2, 4, 8, 16, 32), (1024, 8, 12), 20,
                  100, 128, {}),
}  # fmt: skip
N_TRAIN, EPOCHS = 20_000, 6  # at small scale where there are more than 4,000 digits; about as many steps
MOST_LAYERS = 64


def settings(scale, dataset, seeds):
    its = SCALES[scale]
    n_train, epochs = (N_TRAIN, EPOCHS) if scale == "small" and dataset != "digits" else (None, its.epochs)
    trained = {"dataset": dataset, "n_train": n_train, "epochs": epochs}
    cases = [{"part": "depth", "method": method} for method in FAMILIES]
    wide = trained | {"part": "width", "narrow": its.narrow}
    cases += [wide | {"method": "dense", "width": width} for width in (its.narrow, its.widths[-1])]
    for width in its.widths:
        cases.append(wide | {"method": "dense", "as_large_as": width})
        cases += [wide | {"method": method, "width": width} for method in (*FAMILIES, "scattered")]
    cases += [trained | {"part": "gradients", "method": method} for method in FAMILIES]
    return [{"scale": scale} | case | {"seed": seed} for seed in seeds for case in cases]


def run(setting, context):
    its = SCALES[setting["scale"]]
    return {"depth": depths, "width": width, "gradients": gradients}[setting["part"]](setting, context, its)


def load(setting, context, its):
    return context.load(**{"n_train": setting["n_train"]} | its.images)


def mlp(data, widths, seed):
    torch.manual_seed(seed)
    sizes = [int(np.prod(data.shape)), *widths]
    hidden = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return initialise(nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], len(data.classes))))


def wire(model, method, edges, seed):
    """Make all layers but the classifier sparse, in place, with so many edges each."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    edges = dict(zip(list(layers)[:-1], edges, strict=True))
    if method != "scattered":
        return egt.sparsify(model, FAMILIES[method], budget=edges, rng=seed)
    graphs = {name: grouped(layers[name].in_features, layers[name].out_features, n) for name, n in edges.items()}
    first = next(iter(graphs))
    dealt = np.random.default_rng(seed).permutation(graphs[first].n_left)
    graphs[first] = eg.BipartiteGraph.from_biadjacency(graphs[first].biadjacency[dealt])
    return egt.sparsify(model, graphs)


def fit(model, data, recipe, setting, context):
    if context.device == "cpu":  # of which masked layers would take several times as long
        for layer in egt.masked_modules(model).values():
            egt.SparseLinear.of(layer)
    how = {"folder": context.folder, "device": context.device, "deadline": context.deadline}
    epochs = train(model, data, recipe, seed=setting["seed"], **how)
    egt.to_masked(model)
    accuracy = evaluate(model, data.test, data, context.device)
    return {"accuracy": accuracy, "train": epochs[-1]["train"]}


# --- (a) ---


def width(setting, context, its):
    data, seed = load(setting, context, its), setting["seed"]
    narrow = [its.narrow] * its.hidden

    def wide(n):
        return mlp(data, [n] * its.hidden, seed)

    def sparse(n, method):
        n_in = int(np.prod(data.shape))
        return wire(wide(n), method, [a * b for a, b in pairwise([n_in, *narrow])], seed)

    if setting["method"] != "dense":
        model = sparse(setting["width"], setting["method"])
    elif "width" in setting:
        model = wide(setting["width"])
    else:
        limit = parameters(sparse(setting["as_large_as"], "random"))
        with torch.device("meta"):
            widths = range(its.narrow, setting["as_large_as"])
            n = widths[bisect_right(widths, limit, key=lambda n: n_parameters(wide(n))) - 1]
        model = wide(n)
    graphs = [layer.graph for layer in egt.masked_modules(model).values()]
    dead = eg.dead_units(eg.LayeredGraph.from_layers(graphs)).n_dead if graphs else 0
    result = {"parameters": parameters(model), "dead": dead}
    recipe = Recipe(epochs=setting["epochs"], batch=its.batch, precision=context.precision)
    return result | fit(model, data, recipe, setting, context)


def parameters(model):
    return round(egt.summary(model).remaining / 100 * n_parameters(model))


# --- (b) ---


def depths(setting, context, its):
    """Count the layers until all reach all, for each size and degree."""
    found = []
    for n in its.sizes:
        for degree in its.degrees:
            family, seed = FAMILIES[setting["method"]], setting["seed"]
            depth = eg.family_sensitivity_depth(family, n, degree, max_layers=MOST_LAYERS, rng=seed)
            found.append({"n": n, "degree": degree, "depth": depth.depth, "bound": depth.bound})
    return {"depths": found}


def gradients(setting, context, its):
    """Return by layer the share of pairs (unit, input) with a path, and with a gradient before and after training."""
    data = load(setting, context, its)
    n, degree, layers = its.deep
    edges = [degree * units for units in [int(np.prod(data.shape)), *[n] * (layers - 1)]]
    model = wire(mlp(data, [n] * layers, setting["seed"]), setting["method"], edges, setting["seed"])
    graphs = [layer.graph for layer in egt.masked_modules(model).values()]
    nets = [eg.LayeredGraph.from_layers(graphs[: t + 1]) for t in range(layers)]
    result = {"paths": [float(eg.receptive_fields(net).receptive.mean()) / net.widths[0] for net in nets]}
    some = torch.linspace(0, len(data.test.y) - 1, its.n_images).long()
    x, _ = batch(data.test, some, data, torch.device("cpu"))
    result["before"] = gradient_shares(model, x)
    recipe = Recipe(epochs=setting["epochs"], batch=its.batch, optimizer="adamw", lr=1e-3, precision=context.precision)
    result |= fit(model, data, recipe, setting, context)
    return result | {"after": gradient_shares(model, x)}


@torch.no_grad()
def gradient_shares(model, x):
    """Return, for each hidden layer, the share of derivatives of its units by the inputs that are not zero.

    A unit's derivative is that before its own ReLU. "image": mean over the images; "worst": of the image with fewest;
    "any": pairs with a derivative for some image.
    """
    layers = [part for part in egt.bake(copy.deepcopy(model)).cpu().double() if isinstance(part, nn.Linear)][:-1]
    active, jacobian, shares = x.double().flatten(1), None, []
    for layer in layers:
        jacobian = layer.weight.expand(len(x), -1, -1) if jacobian is None else layer.weight @ jacobian
        there = jacobian != 0
        each = there.double().mean((1, 2))
        shares.append({"image": each.mean().item(), "worst": each.min().item()})
        shares[-1]["any"] = there.any(0).double().mean().item()
        active = layer(active).relu()
        jacobian = jacobian * (active > 0)[:, :, None]
    return shares


if __name__ == "__main__":
    runs.main(__doc__, settings, run, report)
