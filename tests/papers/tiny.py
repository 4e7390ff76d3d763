"""An experiment of a moment, for the tests of the runner: at the top of a module, so that processes find it."""

import os
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks.papers.tables import table
from benchmarks.papers.training import Recipe, evaluate, train


def settings(scale, dataset, seeds):
    for seed in seeds:
        for method in ("narrow", "wide"):
            yield {"scale": scale, "dataset": dataset, "method": method, "seed": seed}


def run(setting, context):
    data = context.load(n_train=200, n_test=100, size=8)
    torch.manual_seed(setting["seed"])
    width = {"narrow": 4, "wide": 16}[setting["method"]]
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    recipe = Recipe(epochs=3, batch=20, lr=0.05, precision=context.precision)
    rows = train(model, data, recipe, seed=setting["seed"], folder=context.folder, deadline=context.deadline)
    assert torch.get_num_threads() == 1
    return {"accuracy": evaluate(model, data.test, data), "losses": [row["loss"] for row in rows]}


def dies_once(setting, context):
    """End the process of one setting, the first time."""
    mark = Path(context.folder.parent.parent, "died")
    if setting == {"scale": "small", "dataset": "digits", "method": "wide", "seed": 1} and not mark.exists():
        time.sleep(3)  # others are finished by then
        mark.touch()
        os._exit(1)
    return run(setting, context)


def report(rows, pictures):
    table("Tiny", ("method", "seed", "accuracy"), [(row["method"], row["seed"], row["accuracy"]) for row in rows])
