"""
Accuracy against expansion
==========================

Does a network whose layers expand better learn better? Here everything else is held: three layers of 64 units, and
every unit has eight edges on either side. Only blocks grow, from single edges to complete 8 x 8 pieces, and α falls
from 1.7 to 1. A pixel feeds one unit, and a class reads two, so the layers between have to bring the image together.
The data are 1,500 of scikit-learn's 8 x 8 digits, tested on the other 297, their pixels shuffled since blocks of
neighbours would help; three seeds.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs.plotting import style

images, labels = load_digits(return_X_y=True)
images = np.random.default_rng(0).permutation(images, axis=1) / 16
x, y = torch.tensor(images, dtype=torch.float32), torch.tensor(labels)
x, y, x_test, y_test = x[:1500], y[:1500], x[1500:], y[1500:]


def gap(g):
    return eg.spectral_gap(g).gap


def wire(block, seed, renumbered):
    """Return three layers; renumbered, each has its vertices in an order of its own."""
    n, rng = 64 // block, np.random.default_rng(seed)
    found = eg.best_of(20, lambda r: eg.random_regular(n, n, 8 // block, rng=r), gap, rng=rng)
    g = eg.block_expander(found.graph, block)
    if not renumbered:
        return [g] * 3
    orders = [(rng.permutation(64), rng.permutation(64)) for _ in range(3)]
    matrices = [g.biadjacency[rows][:, columns] for rows, columns in orders]
    return [eg.BipartiteGraph.from_biadjacency(matrix) for matrix in matrices]


def train(graphs, seed):
    torch.manual_seed(seed)
    hidden = []
    for _ in graphs:
        hidden += [nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()]
    model = nn.Sequential(*hidden, nn.Linear(64, 10))
    wiring = {str(3 * k): g for k, g in enumerate(graphs)}
    egt.sparsify(model, wiring | {"9": eg.random_regular(64, 10, n_edges=20, rng=seed)})
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(20):
        for batch in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return 100 * (model.eval()(x_test).argmax(dim=1) == y_test).float().mean().item()


figure, ax = plt.subplots(figsize=(7, 4.8), layout="constrained")
for k, renumbered in enumerate([False, True]):
    name = "renumbered in every layer" if renumbered else "the same in every layer"
    alphas, means = [], []
    for block in (1, 2, 4, 8):
        graphs = [wire(block, seed, renumbered) for seed in range(3)]
        accuracies = [train(layers, seed) for seed, layers in enumerate(graphs)]
        alphas.append(eg.vertex_expansion(graphs[0][0], method="bounds", rng=0).upper)
        means.append(np.mean(accuracies))
        ax.plot([alphas[-1]] * 3, accuracies, **style(k) | {"linestyle": "", "ms": 3.5})
        print(f"{name:25} block {block}: α {alphas[-1]:.2f}, accuracy {means[-1]:.1f} %")
    ax.plot(alphas, means, label=name, **style(k))
ax.set(xlabel="vertex expansion α of a layer (attained by a set)", ylabel="test accuracy (%)")
ax.legend(loc="lower right", title="layers wired (small: one seed, large: mean)")
plt.show()

# %%
# With the same blocks in every layer, accuracy falls with expansion. Renumber the vertices of each layer, which
# leaves the α of every layer exactly as it was, and most of the loss is gone: it is the network that has to expand,
# not its layers. With more data and seeds, and explicit expanders on top: :doc:`/records/2026-11-21-expanders`.
