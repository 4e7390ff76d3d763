"""Alford, Training Sparse Neural Networks (slides, 2018): training on pruned structure, and on RadiX-Nets.

    python -m benchmarks.papers.alford --dataset mnist --data FOLDER --out runs/alford --pictures pictures > table.md
    python -m benchmarks.papers.alford --dataset cifar10 --data FOLDER --out runs/alford --pictures pictures > table.md

LeNet-300-100 and LeNet-5 (on CIFAR-10 only that). Two parts: one run a seed and network that prunes to all levels
(`alford_pruning`), and a run for each network that is sparse from the start (`alford_radix`).

As in the slides: batches of 100, plain SGD, learning rate .2, halved after two thirds of the steps; .1 for LeNet-5,
of which some dense networks end at chance with .2, drawn by He's law as they are here. Every training has the same
number of steps. Decided here, where the slides are silent: networks that are pruned and trained on have been trained
twice as long as those that start anew, so each is compared with a dense network of as many steps; pruning is by
magnitude, of all layers, each to the same sparsity (the slides show a threshold for each layer), or all weights
together as a control. `--scale full` has the slides' 15,000 steps. Small: 1,080 for LeNet-300-100; 630 for LeNet-5, of
half the width, on images of 14 x 14 pixels; on CIFAR-10 675, on 16 x 16. His CIFAR-10 images were cropped to 24 x 24,
ours are scaled down to that at full scale.
"""

import torch

from benchmarks.papers import models
from benchmarks.papers.alford_pruning import prune_and_train
from benchmarks.papers.alford_radix import methods, sparse_from_the_start
from benchmarks.papers.alford_report import report
from benchmarks.papers.runs import main
from benchmarks.papers.training import Recipe, evaluate, train

LEVELS = "50 75 90 95 99"  # sparsity in percent
HALVED = ((0, 1.0), (2 / 3, 0.5))
RATES = {"lenet-300-100": 0.2, "lenet-5": 0.1}
SMALL = {  # images for training and validation, and epochs
    ("lenet-300-100", "mnist"): (None, 2),
    ("lenet-300-100", "digits"): (None, 30),
    ("lenet-5", "mnist"): (35_000, 2),
    ("lenet-5", "digits"): (None, 20),
    ("lenet-5", "cifar10"): (25_000, 3),
}
FULL = {"mnist": 28, "digits": 400, "cifar10": 33}  # epochs for 15,000 steps


def settings(scale, dataset, seeds):
    if dataset not in FULL:
        raise SystemExit(f"these experiments are on {', '.join(FULL)}, not {dataset}")
    networks = ("lenet-5",) if dataset == "cifar10" else ("lenet-300-100", "lenet-5")
    for seed in seeds:
        for model in networks:
            common = {"dataset": dataset, "scale": scale, "model": model, "seed": seed}
            common |= {"lr": RATES[model]} | _size(scale, dataset, model)
            yield common | {"part": "pruning", "levels": LEVELS, "global_levels": "99"}
            for method in methods(scale, model):
                yield common | {"part": "sparse"} | method


def _size(scale, dataset, model):
    if scale == "full":
        return {"size": 24 if dataset == "cifar10" else None, "width": 1, "n_train": None, "epochs": FULL[dataset]}
    n_train, epochs = SMALL[model, dataset]
    size, width = (None, 1) if model == "lenet-300-100" else (16 if dataset == "cifar10" else 14, 0.5)
    return {"size": size, "width": width, "n_train": n_train, "epochs": epochs}


def run(setting, context):
    data = context.load(n_train=setting["n_train"], size=setting["size"])
    plain = {"momentum": 0, "weight_decay": 0, "schedule": HALVED}
    recipe = Recipe(setting["epochs"], 100, lr=setting["lr"], precision=context.precision, **plain)

    def make(seed):
        torch.manual_seed(seed)
        channels, _, size = data.shape
        return models.make(
            setting["model"], classes=len(data.classes), channels=channels, size=size, width=setting["width"]
        )

    def trained(model, phase, pruning=None):
        """Train in a folder of the phase's own, where it goes on after a kill; return the accuracy."""
        options = {"folder": context.folder / phase, "device": context.device, "deadline": context.deadline}
        train(model, data, recipe, seed=setting["seed"], pruning=pruning, **options)
        return tested(model)

    def tested(model):
        return evaluate(model, data.test, data, context.device)

    if setting["part"] == "sparse":
        return sparse_from_the_start(setting, make, trained)
    n_steps = recipe.n_steps(data)
    return prune_and_train(setting, make, trained, tested, n_steps) | {"n_steps": n_steps}


if __name__ == "__main__":
    main(__doc__, settings, run, report)
