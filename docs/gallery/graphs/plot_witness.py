"""
The set that expands least
==========================

:func:`expandergraphs.vertex_expansion` does not only give α. It names a set that attains it: a certificate that
anyone can check by counting. Here is such a set in a cubic graph of 20 + 20 vertices: the smallest number of
neighbours per vertex over all sets of at most ten inputs. Orange inputs are the set S, orange outputs its neighbours
N(S).
"""

import matplotlib.pyplot as plt
import numpy as np

import expandergraphs as eg
from expandergraphs.plotting import COLOURS, draw_biadjacency, draw_layered

g = eg.random_regular(20, 20, 3, rng=1)
alpha = eg.vertex_expansion(g, side="left", rng=0)
inside = np.array(alpha.witness.vertices)
neighbours = np.unique(g.biadjacency[inside].indices)
print(f"{len(neighbours)} neighbours / {len(inside)} vertices = {alpha.upper}")
print(f"exact: {alpha.exact}")

# %%
# To see it, put S and N(S) first. No edge leads from S to the seven outputs at the bottom.

rows = np.concatenate([inside, np.setdiff1d(np.arange(20), inside)])
columns = np.concatenate([neighbours, np.setdiff1d(np.arange(20), neighbours)])
g = eg.BipartiteGraph.from_biadjacency(g.biadjacency[rows][:, columns])

figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
draw_layered(eg.LayeredGraph.from_layers([g], names=["inputs", "outputs"]), ax)
heights = np.linspace(0, 1, 20)
for layer, count, name in [(0, len(inside), "S"), (1, len(neighbours), "N(S)")]:
    x, y = [layer] * count, heights[:count]
    ax.scatter(x, y, s=90, color=COLOURS[1], edgecolor="black", zorder=3)
    ax.text(1.2 * layer - 0.1, y[count // 2], f"{name}, {count}", ha="center", color=COLOURS[1])
ax.set(xlim=(-0.2, 1.2), xlabel="", ylabel="vertex")
ax.set_title(f"α = {alpha.upper:g}: no ten inputs have fewer neighbours")
plt.show()

# %%
# The same in the biadjacency: a graph with a small α has a large empty corner.

figure, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
draw_biadjacency(g, ax)
ax.axhline(len(inside) - 0.5, color=COLOURS[1])
ax.axvline(len(neighbours) - 0.5, color=COLOURS[1])
ax.set(title="S above one line, N(S) left of the other")
ax.set(xlabel="outputs, N(S) first", ylabel="inputs, S first")
ax.set(xticks=[0, 5, 10, 15], yticks=[0, 5, 10, 15])
plt.show()

# %%
# How do sets on the average do? :func:`expandergraphs.sampled_expansion` takes random ones, and its mean has been
# published as expansion.

sampled = eg.sampled_expansion(g, rng=0)
print(f"mean over random sets: {sampled.mean:.2f}, worst set: {alpha.upper:.2f}")

# %%
# Random sets expand far better than the worst: a sampled mean says nothing about α. Where a graph is too large for an
# exact value, the interval stays honest: ``lower`` is proved, and ``upper`` is attained by the witness.
