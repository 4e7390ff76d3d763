"""
Heat in an MLP with and without skips
=====================================

:cite:t:`subramaniam2020` judge a sparse network by how heat spreads in it. Put 1 on every input, let it diffuse along
the edges, and look at each unit. Both networks have 120 edges in six layers of eight units; in the second half of
them are skips, dashed, that pass one layer by. Colours are the same at all times.
"""

# sphinx_gallery_thumbnail_number = 1

import matplotlib.pyplot as plt
import numpy as np

import expandergraphs as eg
from expandergraphs.plotting_heat import plot_signature
from expandergraphs.plotting_heat_network import draw_heat

sizes, n_edges = [8] * 6, 120
nets = {
    "without skips": eg.family_net("random", sizes, n_edges=n_edges, rng=3),
    "with skips": eg.n2nskip_net(sizes, n_edges=n_edges, rng=3),
}

figure, axes = plt.subplots(3, 2, figsize=(9, 9.5), layout="constrained")
for column, (name, net) in zip(axes.T, nets.items(), strict=True):
    heat = eg.heat_signature(net, [0, 0.3, 1])
    for k, ax in enumerate(column):
        draw_heat(net, heat, ax, k, colorbar=False)
        ax.set_title(f"{name}, {ax.get_title()}")
nodes = axes[0, 0].collections[-1]  # heat 0 to 1 in all panels
figure.colorbar(nodes, ax=axes, location="bottom", aspect=40, label="heat of the node")
plt.show()

# %%
# The same over all times, a row a unit and a band a layer. With skips the last layers warm up earlier.

times = np.geomspace(0.01, 30, 60)
figure, axes = plt.subplots(2, 1, figsize=(7, 7), layout="constrained")
for ax, (name, net) in zip(axes, nets.items(), strict=True):
    plot_signature(net, eg.heat_signature(net, times), ax).set_title(name)
plt.show()

# %%
# When has heat come to rest, everywhere within 0.01? One pair of networks proves nothing, so here are twenty.

draws = {"without skips": eg.family_net, "with skips": eg.n2nskip_net}
for name, draw in draws.items():
    options = {"family": "random"} if draw is eg.family_net else {}
    drawn = [draw(sizes=sizes, n_edges=n_edges, rng=seed, **options) for seed in range(20)]
    rest = np.median([eg.saturation_time(net, 0.01).time for net in drawn])
    parted = sum(eg.components(net).count > 1 for net in drawn)
    print(f"{name:14} at rest at t = {rest:.1f} (median); {parted} of 20 are not connected")

# %%
# Skips shorten the way, and heat arrives sooner at equal edges. They take edges from the layers, so a unit can lose
# its last one. And this is about the graph: whether such networks learn better is not decided by it
# (:doc:`/what-holds-up`).
