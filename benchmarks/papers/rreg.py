"""RReg (Stewart, Michieli, Ozay, CVPRW 2023): are d-regular graphs better masks than X-Net's and random ones?

    python -m benchmarks.papers.rreg --scale small --dataset cifar10 --data FOLDER --out runs/rreg > table.md

VGG16 wired per channel by three families, the first convolution too, the classifier dense, a degree d in every layer:

(a) equal edges, RReg's d * max(inputs, outputs) in every layer for all three;
(b) the paper's edges: RReg's are those of (a), X-Net and Random have d * inputs, fewer where a layer widens;
(c) the paper's edges and the mask of its released code, which leaks: masks are applied when layers are built, weights
    are then drawn anew, and the forward pass uses all of them. What is off the mask gets no gradient, and fades by
    weight decay alone. A short training barely fades it, so there is a variant that fades it by as much as the paper's
    300 epochs do.

And "a deeper or wider network made sparse beats a dense one of as many parameters": the largest degree whose parameters
are not more than those of the dense network.

Masked weights start with the fan-in that they have, leaking ones with that of the dense layer. All runs of a seed have
the same dense weights to start with, and see the images in the same order. Scale "full" is the paper's training; at
"small" there are 7 epochs of 4,500 images of 16 x 16 pixels, half a cosine for a schedule, networks an eighth as wide.
"""

import copy
import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

import torch

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import models, runs
from benchmarks.papers.data import batch
from benchmarks.papers.rreg_report import STANDS_FOR, report
from benchmarks.papers.training import HALVINGS, Recipe, evaluate, train
from expandergraphs.report import degrees_of

FAMILIES = ("random", "left_regular", "regular")
WIDEST = 4096  # no layer has more channels


@dataclass(frozen=True)
class Scale:
    degrees: tuple  # stand for the paper's 60, 30, 15, 3
    leaking: tuple  # those of (c)
    epochs: int
    batch: int
    schedule: tuple | str
    width: float
    pairs: dict  # dense network, the one to make as small as it, the width of both
    images: dict
    time_limit: float | None  # seconds to measure the expansion of a layer: with one, its ends depend on the machine


SCALES = {
    "small": Scale(
        tuple(STANDS_FOR["small"]), (8, 3), 7, 50, "cosine", 0.125,
        {"depth": ("resnet18", "resnet34", 0.125), "width": ("wrn-16-2", "wrn-16-5", 0.25)},
        {"n_train": 5000, "n_test": 2000, "size": 16}, None,
    ),
    "full": Scale(
        tuple(STANDS_FOR["full"]), tuple(STANDS_FOR["full"]), 300, 128, HALVINGS, 1.0,
        {"depth": ("resnet50", "resnet152", 1.0), "width": ("wrn-28-4", "wrn-28-10", 1.0)},
        {}, 5.0,
    ),
}  # fmt: skip
FEW = {"digits": {"n_train": None, "n_test": None}}  # all 4,000 and 1,000
FLIPPED = ("cifar10", "cifar100", "folder")  # mirrored digits are other signs


def settings(scale, dataset, seeds):
    """Return every run, seed by seed; `edges` is how a degree is counted, `leak` how fast a leaking mask fades.

    At scale "full" the claim itself comes first, for all seeds: equal edges, at the paper's two lowest degrees.
    """
    its = SCALES[scale]
    key = {"scale": scale, "dataset": dataset, "epochs": its.epochs}
    cases = [{"part": "families", "model": "vgg16", "method": "dense"}]
    for degree in its.degrees:
        for method in FAMILIES:
            for edges in ("max", "left"):
                if (method, edges) != ("regular", "left"):
                    case = {"part": "families", "model": "vgg16", "method": method, "degree": degree, "edges": edges}
                    cases.append(case)
                    if degree in its.leaking and edges == counted(method):
                        cases += [case | {"part": "leak", "leak": leak} for leak in leaks(scale)]
    for pair, (dense, sparse, _) in its.pairs.items():
        cases.append({"part": "pairs", "pair": pair, "model": dense, "method": "dense"})
        cases += [
            {"part": "pairs", "pair": pair, "model": sparse, "method": method, "as_large_as": dense}
            for method in ("random", "regular")
        ]
    found = [key | case | {"seed": seed} for seed in seeds for case in cases]
    if scale == "full":
        found.sort(key=lambda run: run["part"] != "families" or run.get("edges") != "max" or run["degree"] > 15)
    return found


def counted(method):
    """Return how the paper counts the edges of a degree."""
    return "max" if method == "regular" else "left"


def leaks(scale):
    return ("weight decay", "as in the paper") if scale == "small" else ("weight decay",)


def run(setting, context):
    its = SCALES[setting["scale"]]
    data = context.load(**its.images | FEW.get(setting["dataset"], {}))
    width = its.pairs[setting["pair"]][2] if setting["part"] == "pairs" else its.width
    torch.manual_seed(setting["seed"])
    shape = {"classes": len(data.classes), "channels": data.shape[0], "size": data.shape[1], "width": width}
    model = models.make(setting["model"], **shape)
    recipe = recipe_of(setting, context.precision)
    how = {"seed": setting["seed"], "folder": context.folder, "device": context.device, "deadline": context.deadline}
    result = {"dense_parameters": models.n_parameters(model)}
    if setting["method"] == "dense":
        train(model, data, recipe, **how)
        result |= {"parameters": result["dense_parameters"], "remaining": 100.0}
    else:
        if "as_large_as" in setting:
            with torch.device("meta"):
                limit = models.n_parameters(models.make(setting["as_large_as"], **shape))
            result["degree"] = degree = largest_degree(model, limit)
            edges = "max"
        else:
            degree, edges = setting["degree"], setting["edges"]
        wired = wire(copy.deepcopy(model), setting["method"], degree, edges, setting["seed"])
        remaining = egt.summary(wired).remaining
        result |= {"remaining": remaining, "parameters": round(remaining / 100 * result["dense_parameters"])}
        if setting["part"] == "leak":
            return result | leaking(model, wired, data, recipe, setting["leak"], how)
        model = wired
        train(model, data, recipe, **how)
        if setting["part"] == "families":
            result["layers"] = [measure(layer.graph, its.time_limit) for layer in egt.masked_modules(wired).values()]
    return result | {"accuracy": evaluate(model, data.test, data, context.device)}


def recipe_of(setting, precision="float32"):
    augment = ()
    if setting["dataset"] in FLIPPED:
        augment = ("flip",) if setting["scale"] == "small" else ("crop", "flip")
    its = SCALES[setting["scale"]]
    return Recipe(setting["epochs"], its.batch, schedule=its.schedule, augment=augment, precision=precision)


def kept_dense(model):
    """Return what stays dense: the classifier, and the projections of a ResNet, as the paper's counts say."""
    projections = [name for name, _ in model.named_modules() if name.endswith("downsample")]
    return [egt.exclude_last(model), *projections]


def wire(model, method, degree, edges, seed):
    """Make a model sparse, in place, with the edges that the degree means as RReg ("max") or X-Net ("left") counts."""
    counting = {"max": "regular", "left": "left_regular"}[edges]
    budget = egt.plan(model, counting, degree=degree, exclude=kept_dense(model)).edges
    return egt.sparsify(model, method, budget=budget, rng=seed)


def largest_degree(model, limit):
    """Return the largest degree that leaves no more than so many parameters, edges counted as RReg counts."""
    dense, total = kept_dense(model), models.n_parameters(model)

    def parameters(degree):
        return round(egt.plan(model, "regular", degree=degree, exclude=dense).remaining / 100 * total)

    degree = bisect_right(range(WIDEST), limit, lo=1, key=parameters) - 1
    if degree < 1:
        raise ValueError(f"degree 1 leaves {parameters(1)} parameters, more than {limit}")
    return degree


def measure(graph, time_limit):
    """Return how well a layer expands: the ends of its interval, singular values, and units without a connection."""
    n_left, n_right = graph.n_left, graph.n_right
    if graph.n_edges == n_left * n_right:  # every set reaches all of the other side
        lower = upper = min(n_right / (n_left // 2), n_left / (n_right // 2))
    else:
        alpha = eg.vertex_expansion(graph, method="bounds", time_limit=time_limit, rng=0)
        lower, upper = alpha.lower, alpha.upper
    gap = eg.spectral_gap(graph)
    return {
        "lower": lower,
        "upper": upper,
        "ratio": gap.ratio,
        "normalised": gap.sigma2_normalised,
        "dead_in": degrees_of(graph.left_degrees).isolated,
        "dead_out": degrees_of(graph.right_degrees).isolated,
    }


# --- the released code's mask ---


@cache
def fade(recipe, n_steps):
    """Return the sum of lr * wd / (1 - momentum) over a training: what only decays ends at exp(-sum) of its size."""
    rates = (recipe.lr * recipe.factor(step / n_steps) for step in range(n_steps))
    return sum(rates) * recipe.weight_decay / (1 - recipe.momentum)


PAPER = Recipe(epochs=300), 300 * (50_000 // 128)  # its training on CIFAR-10, and the steps of it


class Leak:
    """Weights off the mask take part in every forward pass, and have no gradient; what `train` steps as a pruning.

    They fade by weight decay, and by `more`: exp(-more * lr) at each step.
    """

    def __init__(self, model, masks, more):
        self.more = more
        self.off = [(model.get_submodule(name).weight, ~mask) for name, mask in masks.items()]
        for k, (weight, _) in enumerate(self.off):
            weight.register_hook(lambda gradient, k=k: gradient.masked_fill(self.off[k][1], 0.0))

    def __call__(self, model, optimizer):
        """Follow the model to its device."""
        self.off = [(weight, off.to(weight.device)) for weight, off in self.off]
        self.optimizer = optimizer
        return self

    @torch.no_grad()
    def step(self):
        if self.more:
            keep = math.exp(-self.more * self.optimizer.param_groups[0]["lr"])
            for weight, off in self.off:
                weight.mul_(torch.where(off, keep, 1.0))

    @torch.no_grad()
    def norm(self):
        return math.sqrt(sum((weight * off).square().sum().item() for weight, off in self.off))

    @torch.no_grad()
    def close(self):
        """Apply the mask at last."""
        for weight, off in self.off:
            weight.masked_fill_(off, 0.0)

    def state_dict(self):  # all there is to know is in the weights
        return {}

    def load_state_dict(self, state):
        pass


def leaking(model, wired, data, recipe, leak, how):
    """Train a dense model with the mask of the released code; return what leaks, and what it is worth."""
    own, full = fade(recipe, recipe.n_steps(data)), fade(*PAPER)
    rates = own * (1 - recipe.momentum) / recipe.weight_decay  # the sum of the learning rates
    masks = {name: layer.mask for name, layer in egt.masked_modules(wired).items()}
    mask = Leak(model, masks, (full - own) / rates if leak == "as in the paper" else 0.0)
    before = mask.norm()
    train(model, data, recipe, pruning=mask, **how)
    result = {"left": mask.norm() / before, "expected": math.exp(-own if leak == "weight decay" else -full)}
    result["accuracy"] = evaluate(model, data.test, data, how["device"])
    mask.close()
    result["masked"] = evaluate(model, data.test, data, how["device"])
    refit(model, data, how["device"])
    return result | {"refitted": evaluate(model, data.test, data, how["device"])}


@torch.no_grad()
def refit(model, data, device):
    """Take the statistics of BatchNorm anew, as means over batches of training images in random order."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    model.train()
    for indices in torch.randperm(len(data.train.y), generator=torch.Generator().manual_seed(0)).split(500):
        x, _ = batch(data.train, indices, data, torch.device(device))
        model(x)


if __name__ == "__main__":
    runs.main(__doc__, settings, run, report)
