"""Alford's three regimes: pruned once and trained on, pruned step by step, and the structure trained from a new start.

All of one seed begin with the same dense network, trained once, and are trained for as many steps again. A new start
draws weights anew, by the law of the first ones with the fan-in that a unit has; the control draws the positions anew
as well, as many in each layer. That is what `shuffle` and `reinitialise` do, save that the latter takes PyTorch's law,
of another scale, and all networks here are to have one.
"""

import copy
from collections import defaultdict
from math import prod

import numpy as np
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt

NEW = 1000  # added to a seed for a new start
PRUNINGS = 50  # of a network that is pruned step by step: more often was better, the slides say


class Watched(egt.GradualPruning):
    """Keeps the density and the threshold of every layer at every pruning."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.layers = []

    def step(self):
        due = super().step()
        if due:
            self.layers.append(thresholds(self.model))
        return due

    def state_dict(self):
        return super().state_dict() | {"layers": self.layers}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.layers = state["layers"]


def thresholds(model):
    """Return {layer: (density, the smallest magnitude that is kept)}."""
    found = {}
    for name, layer in egt.masked_modules(model).items():
        kept = layer.weight.detach().abs()[layer.mask]
        found[name] = (len(kept) / layer.mask.numel(), kept.min().item() if len(kept) else None)
    return found


def prune_and_train(setting, make, trained, tested, n_steps):
    seed = setting["seed"]
    accuracy, structure, over_time = defaultdict(dict), defaultdict(dict), {}
    dense = with_first_convolution(make(seed))
    accuracy["dense"]["0"] = trained(dense, "dense")  # a new start without pruning, too
    accuracy["one-time"]["0"] = accuracy["iterative"]["0"] = trained(copy.deepcopy(dense), "dense, on")

    def anew(graphs, regime, level):
        accuracy[regime][level] = trained(wired(make(NEW + seed), graphs), f"{regime}, {level}")

    def one_time(regime, level, scope):
        model = egt.prune(copy.deepcopy(dense), "magnitude", density=density_of(level), scope=scope)
        graphs = egt.topology(model)
        structure[regime][level] = describe(model, seed)
        accuracy[f"{regime}, as pruned"][level] = tested(model)
        accuracy[regime][level] = trained(model, f"{regime}, {level}")
        anew(graphs, f"{regime}, new start", level)
        return graphs

    for level in setting["levels"].split():
        graphs = one_time("one-time", level, "layer")
        anew(randomised(graphs, seed), "random, new start", level)  # iterative pruning leaves as many, or one more

        model, pruners = copy.deepcopy(dense), []

        def watched(model, optimizer, level=level, pruners=pruners):
            end = 2 * n_steps // 3
            every = max(1, end // PRUNINGS)
            options = {"begin": 0, "end": end, "every": every, "scope": "layer", "optimizer": optimizer}
            pruners.append(Watched(model, final_density=density_of(level), **options))
            return pruners[-1]

        accuracy["iterative"][level] = trained(model, f"iterative, {level}", watched)
        over_time[level] = [
            [line.step, layers] for line, layers in zip(pruners[0].history, pruners[0].layers, strict=True)
        ]
        structure["iterative"][level] = describe(model, seed)
        anew(egt.topology(model), "iterative, new start", level)
    for level in setting["global_levels"].split():
        graphs = one_time("global", level, "global")
        anew(randomised(graphs, seed), "global counts, random, new start", level)
    return {"accuracy": accuracy, "structure": structure, "over_time": over_time}


def with_first_convolution(model):
    """Let a first convolution of one input be pruned too: give it a mask, which has everything."""
    first = {name: module for name, module in model.named_modules() if has_one_input(module)}
    taps = {name: prod(module.kernel_size) for name, module in first.items()}
    return wired(model, {name: eg.random_bipartite(taps[name], first[name].out_channels, density=1) for name in first})


def has_one_input(module):
    return isinstance(module, nn.Conv2d) and module.in_channels == 1


def wired(model, graphs):
    """Do as `sparsify`, which leaves layers of one input dense: those become masked layers of single weights here."""
    alone = {name: g for name, g in graphs.items() if has_one_input(model.get_submodule(name))}
    for name, g in alone.items():
        dense = model.get_submodule(name)
        layer = egt.MaskedConv2d(g, dense.kernel_size, padding=dense.padding, pattern="weight")
        scale = torch.from_numpy(np.sqrt(g.n_left / np.maximum(1, g.right_degrees))).float()
        with torch.no_grad():
            layer.weight.copy_(dense.weight * scale[:, None, None, None])
            layer.bias.copy_(dense.bias)
        layer.zero_off_mask()
        model.set_submodule(name, layer)
    others = {name: g for name, g in graphs.items() if name not in alone}
    return egt.sparsify(model, others) if others else model


def density_of(level):
    return round(1 - float(level) / 100, 6)


def randomised(graphs, seed):
    roots = np.random.SeedSequence(seed).spawn(len(graphs))
    return {name: eg.random_like(g, rng=root) for (name, g), root in zip(graphs.items(), roots, strict=True)}


# --- what pruned structure looks like ---


def describe(model, seed):
    """Measure every layer, beside a random graph with as many edges; where the inputs are pixels, their degrees too."""
    masked = egt.masked_modules(model)
    graphs = {name: layer.graph for name, layer in masked.items()}
    random = randomised(graphs, seed)
    layers = {}
    for k, (name, layer) in enumerate(masked.items()):
        found = {"shape": list(layer.weight.shape), "pruned": measures(graphs[name]), "random": measures(random[name])}
        if layer.mask.ndim > 2:  # a kernel is gone when all its weights are
            for kind, mask in (("pruned", layer.mask), ("random", layer.layout.mask(random[name]))):
                found[kind]["kernels_gone"] = 1 - mask.flatten(2).any(2).float().mean().item()
        elif k == 0:
            found["degrees"] = graphs[name].left_degrees.tolist()
        layers[name] = found
    return layers


def measures(g):
    first, second = eg.singular_values(g, 2)
    dead_in, dead_out = (int(np.count_nonzero(degrees == 0)) for degrees in (g.left_degrees, g.right_degrees))
    return {
        "density": g.density,
        "spread_in": float(g.left_degrees.std()),
        "spread_out": float(g.right_degrees.std()),
        "dead_in": dead_in,
        "dead_out": dead_out,
        "ratio": second / first if first else None,
        "parts": eg.components(g).count - dead_in - dead_out,
    }
