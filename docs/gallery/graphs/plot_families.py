"""
Four families side by side
==========================

Four ways to draw 512 edges between 64 inputs and 64 outputs. :func:`Random <expandergraphs.random_bipartite>` fixes
their number only; :func:`X-Net's <expandergraphs.random_left_regular>` graphs :cite:p:`prabhu2018` give every input
the same degree; :func:`RReg's <expandergraphs.random_regular>` :cite:p:`stewart2023` every input and every output; a
layer of a :func:`RadiX-Net <expandergraphs.radix_net>` :cite:p:`robinett2019` is deterministic. Each row of a picture
is an input, each column an output, and dark cells are edges.
"""

import matplotlib.pyplot as plt

import expandergraphs as eg
from expandergraphs.plotting import draw_biadjacency, plot_singular_values
from expandergraphs.plotting_study import plot_degrees

graphs = {
    "Random": eg.random_bipartite(64, 64, n_edges=512, rng=0),
    "X-Net": eg.random_left_regular(64, 64, 8, rng=0),
    "RReg": eg.random_regular(64, 64, 8, rng=0),
    "RadiX-Net": eg.radix_net([[8, 8]], [1, 1, 1]).layers[1],
}

figure, axes = plt.subplots(2, 2, figsize=(7, 7), layout="constrained")
for ax, (name, g) in zip(axes.flat, graphs.items(), strict=True):
    draw_biadjacency(g, ax).set(title=name, aspect="equal")
plt.show()

# %%
# What tells them apart first is the degree of the outputs: an irregular graph leaves some outputs poor while others
# are rich. RReg and RadiX-Net have one degree, and coincide in a single bar.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
plot_degrees(graphs, ax).set_xticks(range(0, 18, 2))
plt.show()

# %%
# The singular values of the first three nearly coincide, close to the Ramanujan bound of their average degree. The
# RadiX-Net layer has only the values 8 and 0: it consists of disjoint complete pieces, and its second singular value
# is as large as its first.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
plot_singular_values(graphs, ax)
plt.show()

# %%
# And the vertex expansion α, the smallest number of neighbours per vertex over all sets of at most half a side. Both
# ends are certified: α is not below the first, and a set attains the second.

for name, g in graphs.items():
    alpha = eg.vertex_expansion(g, method="bounds", rng=0)
    parts = eg.components(g).count
    print(f"{name:10} α in [{alpha.lower:.3f}, {alpha.upper:.3f}], components: {parts}")

# %%
# Random has an output without an edge, which is enough for an α of 0. What a family decides are degrees; at equal
# degrees random wiring expands about alike. A RadiX-Net layer does not expand by itself, though its network joins
# every input to every output: see :ref:`sphx_glr_auto_gallery_networks_plot_radix_net.py`.
