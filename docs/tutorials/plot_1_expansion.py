r"""
How well does a graph expand?
=============================

In the 1930s eighteen women of Natchez, Mississippi, went to fourteen social events, and the society pages of the
newspaper said who went where (Davis, Gardner and Gardner, *Deep South*, 1941). In this lesson you measure how well that
graph expands, find out who keeps it from expanding better, and compare it with random graphs. Then you draw graphs that
expand well, and see what "well" can mean.

You need ``pip install .`` and nothing else: no torch, no download.
"""

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np

import expandergraphs as eg
from expandergraphs import plotting, plotting_study

# %%
# A real graph
# ------------
#
# networkx ships the graph. :meth:`BipartiteGraph.from_networkx <expandergraphs.BipartiteGraph.from_networkx>` finds its
# two sides: women at the left, events at the right. In a network, these would be inputs and outputs.

society = nx.davis_southern_women_graph()
women = [name for name, node in society.nodes.items() if node["bipartite"] == 0]
g = eg.BipartiteGraph.from_networkx(society, left=women)
g

# %%
# Rows are left vertices, here as everywhere in this package. A dark cell says that the woman went to the event.

figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
plotting.draw_biadjacency(g, ax)
ax.set_yticks(range(g.n_left), women, fontsize="small")
_ = ax.set(xlabel=f"event (of {g.n_right})", ylabel="")

# %%
# Look at the lower right and the upper left: two circles of women, and a few events that both go to.
#
# Its expansion
# -------------
#
# Take a set :math:`S` of at most half of the women, and count the events that at least one of them went to,
# :math:`|N(S)|`. The *vertex expansion* of that side is the smallest ratio
#
# .. math:: \alpha = \min_{0 < |S| \le n/2} \frac{|N(S)|}{|S|}.
#
# A large :math:`\alpha` means that no group keeps to itself. Computing it is co-NP-hard. So
# :func:`~expandergraphs.vertex_expansion` returns an interval: its lower end is proved, its upper end is attained by a
# set that you can check. For small graphs the two ends meet.

alpha = eg.vertex_expansion(g, side="left", rng=0)
print(f"{alpha.lower:.4f} <= alpha <= {alpha.upper:.4f}")
print(f"exact: {alpha.exact}, proof: {alpha.certificate}")

# %%
# The set that attains it is the *witness*. Do not trust us, count:

circle = [women[k] for k in alpha.witness.vertices]
events = {event for woman in circle for event in society[woman]}
print("\n".join(circle))
ratio = len(events) / len(circle)
print(f"{len(circle)} women, {len(events)} events: {len(events)}/{len(circle)} = {ratio:.4f}")

# %%
# Nine women, half of all, who together went to eight of the fourteen events: the second circle.
#
# Is that little?
# ---------------
#
# A number says nothing by itself. :func:`~expandergraphs.random_like` draws a random graph with the same sizes and as
# many edges. Draw thirty, each with a seed of its own, and compare. Beside :math:`\alpha`, look at the spectrum:
# :math:`\sigma_1 \ge \sigma_2 \ge \dots` are the singular values of the biadjacency, and :math:`\sigma_2/\sigma_1` is
# small in a graph that mixes well.

twins = [eg.random_like(g, rng=seed) for seed in range(30)]
alphas = np.array([eg.vertex_expansion(twin, side="left", rng=0).upper for twin in twins])
ratios = np.array([eg.spectral_gap(twin).ratio for twin in twins])
gap = eg.spectral_gap(g)
print(f"alpha:         {alpha.upper:.3f}; random: {alphas.mean():.3f} on average")
print(f"sigma2/sigma1: {gap.ratio:.3f}; random: {ratios.mean():.3f} on average", end=", ")
print(f"{ratios.max():.3f} at most")
little, badly = (alphas <= alpha.upper).sum(), (ratios >= gap.ratio).sum()
print(f"{little} of 30 random graphs expand as little as Natchez, {badly} mix as badly")

# %%
# Where does the difference lie? In one singular value. The second one stands out: it is the split into two circles. The
# others are smaller than those of the random graph.

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
_ = plotting.plot_singular_values({"Natchez": g, "random, seed 0": twins[0]}, ax)

# %%
# A caution: part of this are the degrees. Some women went to two events and some to eight, and random graphs of the
# same size do not repeat that. The line in the picture is formed with average degrees, where no theorem makes it a
# yardstick; ``gap.bound_kind`` says so.

gap.bound_kind

# %%
# Everything that the package measures of one graph:

print(eg.report(g))

# %%
# Families compared
# -----------------
#
# How should one wire a sparse layer? At random; with equally many edges at every *left* vertex (X-Net,
# :cite:t:`prabhu2018`); with equal degrees on both sides (RReg, :cite:t:`stewart2023`). RReg's claim is that
# :math:`\alpha` is lowest in the first and highest in the last. :func:`~expandergraphs.study` compares them fairly: the
# same sizes, the same number of edges, several seeds, and limits of the means with 95 % confidence.

families = {"random": "random", "X-Net": "left_regular", "RReg": "regular"}
measures = ["spectrum", "expansion"]
result = eg.study(families, sizes=[24], degrees=[3, 5, 8], seeds=8, measures=measures)
result.table("left_alpha")

# %%
# The last column orders the families, and says "unresolved" where the limits overlap. One vertex without an edge makes
# :math:`\alpha` zero, which is what pulls random graphs of degree 3 down:

sparse = result.where(family="random", degree=3)
sum(record["left_alpha_upper"] == 0 for record in sparse.records), len(sparse.records)

# %%
# The same in two pictures. The grey lines at the right are the bound of the next section.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
plotting_study.plot_expansion(result, axes[0])
_ = plotting_study.plot_sigma2(result, axes[1])

# %%
# Two lessons. A higher degree raises :math:`\alpha` in every family, so compare families at equal edges only. And
# families differ most where graphs are sparse; towards dense graphs they become alike. That is what we found at larger
# sizes, too: :doc:`/what-holds-up`.
#
# ``result.records`` is plain data, a dictionary for each graph, for pandas or a file:

result.records[0]["family"], result.records[0]["sigma2"]

# %%
# How good can it get?
# --------------------
#
# For graphs whose sides have the constant degrees :math:`d_l` and :math:`d_r`, large ones cannot have a
# :math:`\sigma_2` much below :math:`\sqrt{d_l - 1} + \sqrt{d_r - 1}`. A graph that is not above it is called a
# *Ramanujan* graph. :func:`~expandergraphs.spectral_gap` has a verdict:

regular = eg.random_regular(512, 512, 16, rng=0)
gap = eg.spectral_gap(regular)
print(f"sigma2 = {gap.sigma2:.4f}, bound = {gap.bound:.4f}, Ramanujan: {gap.is_ramanujan}")

# %%
# So random regular graphs are nearly as good as large graphs can be :cite:p:`friedman2008`. Their other singular values
# follow a law that is known :cite:p:`godsil1988`. With 32 moments the estimate is smooth; more of them show single
# values.

density = eg.spectral_density(regular, moments=32, rng=0)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
_ = plotting.plot_spectral_density({"RReg, 512 x 512, degree 16": density}, ax)

# %%
# At this size :math:`\alpha` is an interval: branch and bound would take longer than you have. The lower end is proved
# from the spectrum, the upper end is the best set that a search found.

alpha = eg.vertex_expansion(regular, rng=0)
print(f"{alpha.lower:.3f} <= alpha <= {alpha.upper:.3f}")
print(f"exact: {alpha.exact}, proof: {alpha.certificate}")

# %%
# An explicit expander
# --------------------
#
# *Small* graphs can be far below that bound. The points and lines of a projective plane of order 5 are 31 and 31
# vertices of degree 6. Any two points share exactly one line, so all singular values but the first are :math:`\sqrt 5`:

plane = eg.projective_plane(5)
random = eg.random_regular(31, 31, 6, rng=0)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
plotting.plot_singular_values({"projective plane": plane, "random regular": random}, ax)
ax.set_ylim(0, 5)
for name, graph in {"projective plane": plane, "random regular": random}.items():
    alpha = eg.vertex_expansion(graph, side="left", rng=0)
    sigma2 = eg.spectral_gap(graph).sigma2
    print(f"{name}: sigma2 = {sigma2:.3f}, alpha = {alpha.upper:.3f}, exact: {alpha.exact}")

# %%
# The plane expands better, by both measures. Is that worth having in a neural network? We asked, and beyond a random
# regular graph nothing was gained: :doc:`/what-holds-up`.
#
# What to try next
# ----------------
#
# * A graph of yours: from networkx, igraph or SciPy as above, or from a file, since :func:`expandergraphs.load` reads
#   Matrix Market and edge lists.
# * The same from the command line: ``expandergraphs generate regular 512-512 --degree 16 --seed 0 -o g.npz``, then
#   ``expandergraphs measure g.npz``.
# * A family of your own in the study: :doc:`/how-to/new-generator`.
# * What the certificates rest on: :doc:`/theory/expansion`.
# * The next lesson: networks of several layers, and :doc:`the heat in them </auto_tutorials/plot_2_heat>`.

plt.show()  # the figures, where this runs as a script
