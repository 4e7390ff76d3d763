"""
Dead units where layers widen
=============================

X-Net's graphs :cite:p:`prabhu2018` give every *input* the same degree d. Where a layer has more outputs than inputs,
as in the last convolution of a ResNet's bottleneck, edges are dealt out to many outputs, and some get none: they
compute a constant. An output is missed with probability (1 - d/m) to the power n, for n inputs and m outputs.
"""

import matplotlib.pyplot as plt
import numpy as np

import expandergraphs as eg
from expandergraphs.plotting import style

n, m = 64, 256
degrees = np.array([2, 4, 6, 8, 12, 16, 24, 32])
families = {
    "X-Net": eg.random_left_regular,
    "Random": eg.random_bipartite,
    "RReg": eg.random_regular,
}

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for k, (name, draw) in enumerate(families.items()):
    dead = []
    for d in degrees:
        drawn = [draw(n, m, n_edges=n * d, rng=seed) for seed in range(20)]
        dead.append(np.mean([(g.right_degrees == 0).sum() for g in drawn]))
    ax.plot(degrees, dead, label=f"{name}, mean of 20 graphs", **style(k))
ax.plot(degrees, m * (1 - degrees / m) ** n, color="black", ls=":", label=r"$m (1 - d / m)^n$")
ax.set(xlabel="degree of an input", ylabel=f"outputs without an edge, of {m}")
ax.set_title(f"{n} inputs, {m} outputs")
ax.legend()
plt.show()

# %%
# Random wiring misses as many outputs as X-Net's. RReg shares edges out evenly: from one edge an output on, no output
# is empty (with fewer edges than outputs, no graph could help it). In a whole network
# :func:`expandergraphs.dead_units` finds all units on no path from an input to an output: those that receive nothing,
# those that nothing reads, and those without any edge, which are only some of them.

sizes = [64, 256, 64, 256, 64]
for family in ("left_regular", "random", "regular"):
    net = eg.family_net(family, sizes, density=0.03, rng=0)
    found = eg.dead_units(net)
    by_layer = [units.size for units in found.dead]
    print(f"{family:12} {net.n_edges} edges; dead by layer {by_layer}", end=", ")
    print(f"{found.n_isolated} without an edge")

# %%
# Where they lie, in the X-Net network: one picture a layer, a cell a unit, and light units do nothing.

net = eg.family_net("left_regular", sizes, density=0.03, rng=0)
figure, axes = plt.subplots(1, len(sizes), figsize=(9, 3.2), layout="constrained")
for ax, width, dead, number in zip(axes, sizes, eg.dead_units(net).dead, range(5), strict=True):
    picture = np.zeros(width)
    picture[dead] = 1
    ax.pcolormesh(
        picture.reshape(-1, 8), cmap="cividis", edgecolors="white", lw=0.5, vmin=0, vmax=1
    )
    ax.set(
        title=f"layer {number}:\n{dead.size} of {width}", xticks=[], yticks=[], aspect="equal"
    )
figure.suptitle("dead units (light) in an X-Net of density 0.03")
plt.show()

# %%
# Where a layer widens, left-regular masks waste outputs; regular ones do not. ``egt.summary`` counts them in your
# model.
