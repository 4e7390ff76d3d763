"""
A pruned network's heat, before and after
=========================================

A small network learns scikit-learn's 8 x 8 digits, loses 95 % of its weights by SNIP :cite:p:`lee2019` or at random,
and goes on learning. :func:`expandergraphs_torch.network_graph` reads the model as a graph, and heat on its inputs
shows what pruning did: the figure is the heat that each pixel has left at time 0.05, laid out as in the image.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs.plotting_heat import plot_heat_distance

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
x, y, x_test, y_test = x[:1500], y[:1500], x[1500:], y[1500:]


def train(model, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return 100 * (model(x_test).argmax(dim=1) == y_test).float().mean().item()


nets = {}
for name, criterion in {"dense": None, "SNIP, 5 %": "snip", "random, 5 %": "random"}.items():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 100),
        torch.nn.ReLU(),
        torch.nn.Linear(100, 50),
        torch.nn.ReLU(),
        torch.nn.Linear(50, 10),
    )
    accuracy = train(model, 300)
    if criterion:
        egt.prune(model, criterion, density=0.05, data=[(x, y)], rng=0)
        accuracy = train(model, 300)
    nets[name] = egt.network_graph(model, x[:1], edge="binary")
    print(f"{name:15} {nets[name].n_edges:6,} edges, {accuracy:.1f} % of 297 digits right")

figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
for ax, (name, net) in zip(axes, nets.items(), strict=True):
    pixels = eg.heat_signature(net, 0.05).values[0, :64].reshape(8, 8)
    image = ax.imshow(pixels, vmin=0, vmax=1, cmap="viridis")
    ax.set(title=name, xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="heat of the input, t = 0.05")
plt.show()

# %%
# A pixel that keeps its heat has few weights left or none. SNIP has cut off the margin of the image, where digits are
# empty; random pruning spares no place.
#
# The distance F to the dense network sums that up over all units and times; at saturation it counts components only.

times = np.concatenate([np.geomspace(1e-3, 10, 40), [np.inf]])
dense, *pruned = nets
distances = {name: eg.heat_distance(nets[dense], nets[name], times) for name in pruned}

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
plot_heat_distance(distances, times, ax)
plt.show()

# %%
# By its heat, SNIP's network is the farther from the dense one, and it is the better classifier: what it gave up were
# pixels that say nothing. Read F as a description of the wiring, and accuracy from a test set.
