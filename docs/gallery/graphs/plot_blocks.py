"""
What blocks cost in expansion
=============================

Hardware likes weights in complete blocks. :func:`expandergraphs.block_expander` replaces every edge of a small graph
by such a block: all five graphs here have 256 vertices a side and the same 4,096 edges. But a graph of blocks is only
as good as the small graph behind it, and that has fewer vertices and a lower degree.
"""

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np

import expandergraphs as eg
from expandergraphs.plotting import COLOURS, draw_biadjacency, style

n, degree, sizes = 256, 16, [1, 2, 4, 8, 16]


def blocks(b, seed):
    return eg.block_expander(eg.random_regular(n // b, n // b, degree // b, rng=seed), b)


graphs = {b: blocks(b, 0) for b in sizes}

figure, axes = plt.subplots(1, 3, figsize=(9, 3.6), layout="constrained")
for ax, b in zip(axes, [1, 4, 16], strict=True):
    draw_biadjacency(graphs[b], ax).set(title=f"blocks of {b} x {b}", aspect="equal")
plt.show()

# %%
# The ratio σ2/σ1 grows by up to √b, and reaches 1 where blocks are as large as the degree: then nothing is left but
# disjoint pieces. The vertex expansion α falls from near 2 to 1; its bars reach from what is proved to what a set
# attains.

ratios = [eg.spectral_gap(g).ratio for g in graphs.values()]
alphas = [eg.vertex_expansion(g, method="bounds", rng=0) for g in graphs.values()]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.plot(sizes, ratios, label="measured", **style(0))
at_most = np.minimum(1, ratios[0] * np.sqrt(sizes))
left.plot(sizes, at_most, label=r"$\sqrt{b}$ times that of $b = 1$", **style(1))
left.set(ylabel=r"$\sigma_2 / \sigma_1$", ylim=(0, 1.05))
left.legend(loc="lower right")
lower, upper = [a.lower for a in alphas], [a.upper for a in alphas]
right.vlines(sizes, lower, upper, lw=7, alpha=0.5, color=COLOURS[0], label="not decided")
right.plot(sizes, upper, label="attained by a set", **style(0))
right.set(ylabel=r"vertex expansion $\alpha$", ylim=(0.9, 2.05))
right.legend()
for ax in (left, right):
    ax.set_xscale("log", base=2)
    ax.set(xlabel="side of a block $b$", xticks=sizes, xticklabels=sizes)
plt.show()

# %%
# And how far two layers reach: the share of the outputs that an input is joined to.

for b in sizes:
    fields = eg.receptive_fields(eg.LayeredGraph.from_layers([blocks(b, 0), blocks(b, 1)]))
    print(f"blocks of {b:2}: {fields.projective.mean() / n:.0%} of the outputs")

# %%
# Every doubling costs expansion, and blocks as large as the degree leave none. What that costs in accuracy is another
# question: little, in the small networks where it was measured (:doc:`/sparse`).
