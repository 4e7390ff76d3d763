"""
Expansion against the degree
============================

How many neighbours does the worst set of vertices have? :cite:t:`stewart2023` state an order: Random low, X-Net
medium, RReg high. :func:`expandergraphs.study` draws each family at each degree with several seeds, at equal edges,
and measures α, the smallest number of neighbours per vertex over all sets of at most half a side. At this size every
α is exact. Whiskers are limits of 95 % for the mean of a family.
"""

import matplotlib.pyplot as plt

import expandergraphs as eg
from expandergraphs.plotting_study import plot_expansion

families = {"Random": "random", "X-Net": "left_regular", "RReg": "regular"}
found = eg.study(families, [24], degrees=[3, 5, 10], seeds=5, measures="expansion")

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
plot_expansion(found, ax)
plt.show()

# %%
# The means are in the paper's order where edges are few, and the order fades: the denser the graphs, the less their
# family matters, and no α can exceed 2 where a side is even. Much of the difference is of one kind: a vertex that got
# no edge at all makes α zero on its side. In X-Net's graphs no input can be such a vertex, but an output can:

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
plot_expansion(found, ax, side="right")
plt.show()

# %%
# How often does it happen? The study keeps every measurement, one record a graph.

for family in families:
    sparse = found.where(family=family, degree=3).records
    zero = sum(record["right_alpha_upper"] == 0 for record in sparse)
    print(f"{family:7} α of the right side is 0 in {zero} of {len(sparse)} graphs of degree 3")

# %%
# At few edges a regular graph expands best, and five graphs of each kind are few. With 200 of each family and 64
# vertices a side, where every α is exact, the same order shows at degrees 3 and 15: :doc:`/records/2026-11-21-study`.
