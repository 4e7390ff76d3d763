"""
How many paths lead through
===========================

Three networks of four layers, 36 units wide, with the same number of edges in each layer.
:func:`expandergraphs.path_counts` counts the paths from each input to each output, as whole numbers of any size;
white is a pair that nothing joins.
"""

import matplotlib.pyplot as plt
import numpy as np

import expandergraphs as eg
from expandergraphs.plotting import style

radix = eg.radix_net([[6, 6], [6, 6]], [1, 1, 1, 1, 1])
nets = {
    "RadiX-Net": radix,
    "RReg": eg.LayeredGraph.from_layers(eg.random_regular(36, 36, 6, rng=k) for k in range(4)),
    "Random": eg.random_like(radix, rng=0),
}
counts = {name: eg.path_counts(net).astype(int) for name, net in nets.items()}
most = max(found.max() for found in counts.values())

colours = plt.get_cmap("viridis_r").with_extremes(under="white")
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.6), layout="constrained")
for ax, (name, found) in zip(axes, counts.items(), strict=True):
    image = ax.imshow(found, cmap=colours, vmin=0.5, vmax=most)
    ax.set(title=name, xlabel="output", ylabel="input")
    ax.set(xticks=[0, 10, 20, 30], yticks=[0, 10, 20, 30])
figure.colorbar(image, ax=axes, label="paths", extend="min", shrink=0.8)
plt.show()

# %%
# The RadiX-Net treats all pairs alike: that is path symmetry, its defining property. A regular network has exactly as
# many paths in all, since every path has six ways to go on at every unit; a random one about as many. They are spread
# differently.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for k, (name, found) in enumerate(counts.items()):
    share = np.bincount(found.ravel(), minlength=most + 1).cumsum() / found.size
    ax.plot(share, drawstyle="steps-post", label=name, markevery=10, **style(k))
    total = eg.n_paths(nets[name])
    print(f"{name:9} {total:6,} paths, {found.min()} to {found.max()} for a pair")
ax.set(xlabel="number of paths", ylabel="share of the pairs with at most so many")
ax.legend()
plt.show()

# %%
# Counts grow fast, and stay exact. All paths through a network of the Graph Challenge :cite:p:`kepner2019`, 120
# layers of 1,024 units:

challenge = eg.graph_challenge(1024, 120, rng=0)
print(f"a number of {len(str(eg.n_paths(challenge)))} digits")

# %%
# Regular degrees fix how many paths there are, and here, at degree 6, four layers of random regular wiring join every
# pair. Only the RadiX-Net shares the paths out evenly.
