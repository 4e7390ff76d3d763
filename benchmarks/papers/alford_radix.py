"""Alford's networks that are sparse from the start: RadiX-Nets, and random ones with the same number of weights.

Sparse are the two layers before the classifier: both hidden layers of LeNet-300-100, the second convolution and the
hidden layer of LeNet-5, whose first convolution stays dense too. A *wider* network has more units between those two
layers, and as many weights as the dense one. Random networks have exactly the share of the weights asked for, in each
layer; Alford drew every weight with that probability.

In LeNet-300-100 the RadiX-Net of N = [10, 10] joins inputs, hidden and output units, with 16 inputs and no hidden ones
cropped. For LeNet-5 there was none: here its second convolution is the second layer of N = [10, 10] over *channels*,
every edge with a whole kernel, and the hidden layer is the first layer of the next system, over the units. The control
is a random graph over channels with as many edges.
"""

from math import prod

from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import models
from benchmarks.papers.alford_pruning import randomised

SYSTEMS = ([10, 10],)
DENSITY = 0.1  # of their layers


def methods(scale, model):
    """Yield what to train: shares of the weights at the same width, and widths with as many weights as dense."""
    for density in (0.01, 0.05, 0.1, 0.5):
        yield {"method": "random", "density": density, "wider": 1}
    yield {"method": "random, dense fan-in", "density": 0.01, "wider": 1}
    widths = {"lenet-300-100": (2, 10), "lenet-5": (2,)}[model]  # ten times as many channels take too long for small
    if scale == "full":
        widths = {"lenet-300-100": (2, 10, 100), "lenet-5": (2, 10)}[model]
    for wider in widths:
        yield {"method": "random", "density": 1 / wider, "wider": wider}
    for wider in (1, 10) if 10 in widths else (1,):
        for method in ("RadiX-Net", "random channels")[: 1 + (model == "lenet-5")]:
            yield {"method": method, "density": DENSITY, "wider": wider}


def sparse_from_the_start(setting, make, trained):
    method, density, seed = setting["method"], setting["density"], setting["seed"]
    model = widened(make(seed), setting["wider"])
    layers = sparse_layers(model)
    graphs = dict(zip(layers, radix_graphs(*layers.values()), strict=True))
    if method == "random channels":
        graphs = randomised(graphs, seed)
    if method in ("random", "random, dense fan-in"):
        if density == DENSITY:  # as many as the RadiX-Net has, which cannot have any number
            budget = {name: g.n_edges * kernel_of(layers[name]) for name, g in graphs.items()}
        else:
            budget = {name: round(density * layer.weight.numel()) for name, layer in layers.items()}
        init = "rescale" if method == "random" else "keep"
        egt.sparsify(model, "random", budget=budget, pattern="weight", rng=seed, init=init)
    else:
        egt.sparsify(model, graphs)
    weights = {name: int(layer.masked_weight().count_nonzero()) for name, layer in egt.masked_modules(model).items()}
    return {"accuracy": trained(model, "training"), "weights": weights}


def sparse_layers(model):
    """Return {name: layer} of the two layers before the classifier."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))}
    return {name: layers[name] for name in list(layers)[-3:-1]}


def widened(model, factor):
    """Put `factor` times as many units between the two sparse layers."""
    if factor == 1:
        return model
    (first, before), (second, after) = sparse_layers(model).items()
    if isinstance(before, nn.Conv2d):
        before = models.convolution(before.in_channels, before.out_channels * factor, before.kernel_size[0], bias=True)
    else:
        before = nn.Linear(before.in_features, before.out_features * factor)
    model.set_submodule(first, models.initialise(before))
    model.set_submodule(second, models.initialise(nn.Linear(after.in_features * factor, after.out_features)))
    return model


def radix_graphs(before, after):
    n_out = after.out_features
    if isinstance(before, nn.Linear):
        return eg.radix_net_for([before.in_features, before.out_features, n_out], SYSTEMS).net.layers
    over_channels = eg.radix_net_for([1, before.in_channels, before.out_channels], SYSTEMS).net.layers[1]
    return over_channels, eg.radix_net_for([after.in_features, n_out, 1], SYSTEMS).net.layers[0]


def kernel_of(layer):
    return prod(layer.weight.shape[2:])
