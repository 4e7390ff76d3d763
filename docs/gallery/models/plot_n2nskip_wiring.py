"""
N2NSkip's wiring in a model
===========================

:func:`expandergraphs_torch.add_n2nskip` gives a model skips from neuron to neuron :cite:p:`subramaniam2020`: sparse
maps that pass one layer by, at the same number of weights, half of them in skips.
:func:`expandergraphs_torch.network_graph` reads the model back, channels as nodes. Skips are dashed.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import expandergraphs_torch as egt
from expandergraphs.plotting import draw_layered
from expandergraphs.plotting_adjacency import draw_adjacency


def cnn():
    model = nn.Sequential()
    for k, (a, b) in enumerate([(3, 8), (8, 12), (12, 12)], start=1):
        model.add_module(f"conv{k}", nn.Conv2d(a, b, 3, padding=1))
        model.add_module(f"relu{k}", nn.ReLU())
    model.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    model.add_module("fc", nn.Linear(12, 10))
    return model


torch.manual_seed(0)
image = torch.ones(1, 3, 16, 16)
model = egt.add_n2nskip(cnn(), density=0.3, pattern="channel", rng=0)
net = egt.network_graph(model, image, edge="binary")

figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
draw_layered(net, ax)
in_skips = sum(block.n_edges for block in net.skips.values())
ax.set_title(f"{net.n_edges} edges, {in_skips} of them in skips (dashed)")
plt.show()

# %%
# The adjacency matrix holds the same at any size: layers along the diagonal, skips beside them.

figure, ax = plt.subplots(figsize=(6.5, 6), layout="constrained")
draw_adjacency(net, ax)
plt.show()

# %%
# Skips cost nothing extra: pruned at random without them, the model keeps as many weights, up to a kernel's. Half of
# the weights are in skips, whose names say what they join.

plain = egt.prune(cnn(), "random", density=0.3, pattern="channel", rng=0)
for title, pruned in {"with skips": model, "without": plain}.items():
    masked = egt.masked_modules(pruned)
    weights = {name: int(layer.weight.count_nonzero()) for name, layer in masked.items()}
    print(f"{title}: {sum(weights.values())} weights, {weights}")

# %%
# At low densities a skip can be the only way past a layer that pruning has emptied. It pays with edges of the layers:
# the total is the same.
