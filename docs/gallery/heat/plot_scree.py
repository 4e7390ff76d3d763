"""
Scree: how many modes carry the heat
====================================

Heat on a graph is a sum of modes that die out, each at its own rate, the smooth ones last. The scree curve of
:cite:t:`subramaniam2020` is the share of the K smoothest modes, here 6 % of all, in what is left at time t. It starts
at that share and rises to 1. The faster it rises, the fewer modes matter.
"""

import matplotlib.pyplot as plt
import numpy as np

import expandergraphs as eg
from expandergraphs.plotting_heat import plot_scree

sizes = [196, 100, 100, 50]
nets = {
    "dense": eg.family_net("random", sizes, density=1),
    "RReg, a tenth": eg.family_net("regular", sizes, density=0.1, rng=0),
    "Random, a tenth": eg.family_net("random", sizes, density=0.1, rng=0),
    "N2NSkip, a tenth": eg.n2nskip_net(sizes, density=0.1, rng=0),
    "Random, a hundredth": eg.family_net("random", sizes, density=0.01, rng=0),
}
times = np.linspace(0, 1, 41)

figure, ax = plt.subplots(figsize=(7, 5.2), layout="constrained")
plot_scree({name: eg.scree(net, times) for name, net in nets.items()}, ax)
plt.show()

# %%
# Modes die out faster where degrees are higher, so a dense network settles before a sparse one has begun. To compare
# the shapes of networks of different density, measure time in units of each one's own rate: the random-walk Laplacian
# divides by the degrees.

figure, ax = plt.subplots(figsize=(7, 5.2), layout="constrained")
longer = np.linspace(0, 12, 41)
curves = {name: eg.scree(net, longer, laplacian="random_walk") for name, net in nets.items()}
plot_scree(curves, ax)
plt.show()

# %%
# At a hundredth of the edges the network has fallen apart, and each piece keeps a mode that never dies:

for name, net in nets.items():
    print(f"{name:20} {net.n_edges:6,} edges, components: {eg.components(net).count}")

# %%
# A scree curve is a summary of the spectrum: density and degrees move it first, and wiring little. Say which
# Laplacian and which times you used, or the curves of two works cannot be compared.
