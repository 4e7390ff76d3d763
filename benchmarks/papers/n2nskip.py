"""N2NSkip (Subramaniam, Sharma, BMVC 2020): do sparse skips at an equal budget help, and does heat flow explain it?

    python -m benchmarks.papers.n2nskip --scale small --dataset cifar10 --data FOLDER --out runs/n2nskip > table.md

RP (random pruning) and CSP (connection sensitivity, SNIP, on one batch) keep a share of all weights but the
classifier's; N2NSkip-RP and N2NSkip-CSP as many in all, half of them in skips from layer l to l + 2; ResSkip-RP and
ResSkip-CSP add identities (l, l + 2) without weights. What is pruned are single weights, for all methods: counts are
then equal exactly. (The paper cites X-Net for RP, which prunes channels; 2 % of the first layer's are one to four.) Of
grey images the first layer, of one input, stays dense.

Controls, at the lowest density and scale "small":

initial scale  RP's weights and its skips' start with a variance for the inputs that a unit has, CSP's with that for
               the inputs of the dense layer, as they were scored. Here each starts as the other does.
layer budgets  Of the layers' weights, spread by ERK instead of in proportion: the first layers keep more.
depth          A VGG of one convolution a stage instead of up to four.

Heat: networks as graphs of channels, binary (before and after training the same) or weighted by L1 norms of kernels;
F is the distance to the dense network of the same seed, at saturation and at the times that the tables state. All runs
of a seed start from the same dense weights and see the images in the same order. At scale "full" the schedule is the
paper's, at scale "small" a cosine over few epochs, networks a quarter as wide, images of 16 x 16 pixels.
"""

import io
import json
import math
import os
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import models, runs
from benchmarks.papers.data import batch
from benchmarks.papers.n2nskip_report import METHODS, report
from benchmarks.papers.training import HALVINGS, Recipe, evaluate, train

DENSITIES = (0.02, 0.05, 0.1)
SCORED = 128  # images of the batch that CSP scores
SCALED, PLAIN = (1, 10, 100), (0.5, 2.0)  # times over the mean degree of the dense network, and times as they are


@dataclass(frozen=True)
class Scale:
    models: tuple
    epochs: int
    batch: int
    schedule: tuple | str
    width: float
    coarser: int  # the network is built for images smaller by this factor: it pools once less
    images: dict
    controls: bool


IMAGES = {"n_train": 2500, "validation": 0.2, "n_test": 2000, "size": 16}
SCALES = {
    # Pooled five times, 16 x 16 pixels are one, and eight of nine weights of the last kernels would see the margin.
    "small": Scale(("vgg19",), 12, 50, "cosine", 0.25, 2, IMAGES, True),
    "full": Scale(("vgg19", "resnet50"), 300, 128, HALVINGS, 1.0, 1, {}, False),
}
FEW = {"digits": {"n_test": None}}  # all 1,000
FLIPPED = ("cifar10", "cifar100", "folder")  # mirrored digits are other signs


def settings(scale, dataset, seeds):
    """Return every run, seed by seed; at scale "full" the claim itself first: VGG19 at 2 %, pruned at random."""
    its = SCALES[scale]
    key = {"scale": scale, "dataset": dataset, "epochs": its.epochs}
    cases = []
    for model in its.models:
        cases.append({"part": "methods", "model": model, "method": "dense", "density": 1.0})
        for density in DENSITIES:
            cases += [{"part": "methods", "model": model, "method": name, "density": density} for name in METHODS]
    if its.controls:
        control = {"model": its.models[0], "density": min(DENSITIES)}
        names = ("RP", "N2NSkip-RP", "CSP", "N2NSkip-CSP")
        cases += [{"part": "initial scale", "method": name} | control for name in names]
        cases += [{"part": "layer budgets", "method": name} | control for name in names[:2]]
        cases += [{"part": "depth", "method": name} | control | {"model": "vgg7"} for name in names[:2]]
    found = [key | case | {"seed": seed} for seed in seeds for case in cases]
    if scale == "full":
        first = [("vgg19", "dense", 1.0), *(("vgg19", method, min(DENSITIES)) for method in ("RP", "N2NSkip-RP"))]
        found.sort(key=lambda run: (run["model"], run["method"], run["density"]) not in first)
    return found


def run(setting, context):
    its, seed = SCALES[setting["scale"]], setting["seed"]
    data = context.load(**its.images | FEW.get(setting["dataset"], {}))
    torch.manual_seed(seed)
    model = make(setting["model"], data, its)
    possible = egt.plan(model, "random", density=1, pattern="weight", exclude=egt.exclude_last(model)).n_edges
    wire(model, setting, data)
    if setting["part"] == "initial scale":
        start_as_the_other(model, setting["method"])
    before = graphs(model, data, {"binary": "binary", "L1 before": "l1"})
    recipe = Recipe(
        epochs=setting["epochs"],
        batch=its.batch,
        nesterov=False,
        schedule=its.schedule,
        augment=() if setting["dataset"] not in FLIPPED else ("flip",) if its.controls else ("crop", "flip"),
        precision=context.precision,
    )
    how = {"seed": seed, "folder": context.folder, "device": context.device, "deadline": context.deadline}
    rows = train(model, data, recipe, **how)
    result = {"accuracy": evaluate(model, data.test, data, context.device)}
    result |= {"curve": [row["validation"] for row in rows], "train": rows[-1]["train"]}
    masks = [layer.mask for layer in egt.masked_modules(model).values()]
    kept = sum(int(mask.sum()) for mask in masks)
    result |= {"weights": kept or possible, "possible": possible, "dead": eg.dead_units(before["binary"]).n_dead}
    result["parameters"] = models.n_parameters(model) - sum(mask.numel() for mask in masks) + kept
    if setting["part"] == "methods":
        result |= heat(before | graphs(model, data, {"L1 after": "l1"}), setting, context)
    return result


# --- networks ---


def make(name, data, scale):
    shape = {"classes": len(data.classes), "channels": data.shape[0], "size": data.shape[1] // scale.coarser}
    if name == "vgg7":
        return models.initialise(models.vgg((1,) * 5, **shape, wide=lambda units: round(scale.width * units)))
    return models.make(name, **shape, width=scale.width)


def wire(model, setting, data):
    """Prune a model by a method, in place; all methods keep as many weights."""
    skip, _, base = setting["method"].rpartition("-")
    options = {"exclude": egt.exclude_last(model)}
    example = {"example_input": torch.ones(1, *data.shape)}
    budget = "erk" if setting["part"] == "layer budgets" else "uniform"
    if base == "dense":
        return
    chosen = torch.randperm(len(data.train.y), generator=torch.Generator().manual_seed(setting["seed"]))[:SCORED]
    scored = {"data": [batch(data.train, chosen, data, torch.device("cpu"))]}
    kept = options | {"density": setting["density"], "rng": setting["seed"]}
    if skip == "N2NSkip":
        how = {"criterion": "snip", **scored} if base == "CSP" else {"pattern": "weight", "budget": budget}
        egt.add_n2nskip(model, **example, **how, **kept)
        for name, layer in egt.masked_modules(model).items():
            if name.startswith("n2nskip."):  # drawn by PyTorch's law: a sixth of the variance of He's, the layers'
                layer.weight.data.mul_(6**0.5)
    elif base == "CSP":
        egt.prune(model, "snip", **scored, **kept)
    else:
        egt.sparsify(model, "random", pattern="weight", budget=budget, **kept)
    if skip == "ResSkip":
        egt.add_resskip(model, **example, **options)


@torch.no_grad()
def start_as_the_other(model, method):
    """Let RP's weights start as small as in the dense layer, CSP's as large as the inputs that are left demand."""
    for name, layer in egt.masked_modules(model).items():
        inputs = layer.mask.flatten(1).sum(1)
        gain = (layer.mask[0].numel() / inputs.clamp(min=1)).sqrt().view(-1, *[1] * (layer.weight.ndim - 1))
        if method.endswith("RP"):
            layer.weight.div_(gain)
        elif not name.startswith("n2nskip."):  # skips are drawn for the inputs that they have
            layer.weight.mul_(gain)


# --- heat ---


def graphs(model, data, readings):
    example = torch.ones(1, *data.shape, device=next(model.parameters()).device)
    return {reading: egt.network_graph(model, example, edge=edge) for reading, edge in readings.items()}


def heat(nets, setting, context):
    """Return F and the scree curve of every reading, at times that follow from the dense network of the seed."""
    if setting["method"] == "dense":
        degrees = [net.adjacency.sum() / net.n_nodes for net in nets.values()]
        times = [[*(scaled / degree for scaled in SCALED), *PLAIN, math.inf] for degree in degrees]
        values = [eg.heat_signature(net, t).values for net, t in zip(nets.values(), times, strict=True)]
        write(context.folder.parent / name_of(setting), times=times, values=values)
    times, values = reference(setting, context)
    found = {"times": {}, "F": {}, "scree": {}, "unsure": {}}
    for (reading, net), t, dense in zip(nets.items(), times, values, strict=True):
        curve = eg.scree(net, t[:-1], rng=setting["seed"])
        found["times"][reading] = t[:-1].tolist()
        found["F"][reading] = np.linalg.norm(eg.heat_signature(net, t).values - dense, axis=1).tolist()
        found["scree"][reading] = curve.tolist()
        found["unsure"][reading] = float((curve.upper - curve.lower).max() / 2)
    return found


def reference(setting, context):
    """Return times and heat of the dense network: its run is among the first; if it is not over, it is done here."""
    dense = setting | {"method": "dense", "density": 1.0}
    places = [folder / name_of(dense) for folder in (context.folder.parent, context.folder)]
    if not any(place.exists() for place in places):
        run(dense, context._replace(folder=context.folder / "dense"))
    with np.load(next(place for place in places if place.exists())) as file:
        return file["times"], file["values"]


def name_of(setting):
    return f"dense-{sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:16]}.npz"


def write(path, **arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(content.getvalue())
    os.replace(temporary, path)


if __name__ == "__main__":
    runs.main(__doc__, settings, run, report)
