r"""
Heat in a network, before and after pruning
===========================================

Put one unit of heat on every input of a network and let it spread along the edges. Where it is after a while tells how
the units are joined, all layers at once. In this lesson you train a small network on real digits, read it as a graph,
watch heat spread in it, prune it step by step, and see what that changes and what it does not say.

You need ``pip install .`` and scikit-learn, which has the digits and trains the network: no torch, no download.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import expandergraphs as eg
from expandergraphs import plotting_heat, plotting_heat_network

# %%
# A trained network
# -----------------
#
# 1,797 images of 8 x 8 pixels, and a network with two hidden layers.

digits = load_digits()
x, x_test, y, y_test = train_test_split(
    digits.data / 16, digits.target, test_size=0.3, stratify=digits.target, random_state=0
)
trained = MLPClassifier((48, 24), max_iter=500, random_state=0).fit(x, y)
print(f"{100 * trained.score(x_test, y_test):.1f} % of the test images are recognised")

# %%
# The network as a graph
# ----------------------
#
# Units are nodes, weights are edges, and an edge weighs the magnitude of its weight. scikit-learn keeps a matrix for
# each layer, with inputs in rows, which is the orientation of this package, too.
# :meth:`~expandergraphs.BipartiteGraph.from_biadjacency` makes an edge of every entry that is not zero. Weights are
# given apart from the pattern, one for each edge, in the order of ``graph.edges``.


def network(matrices):
    """Read weight matrices, inputs in rows, as a weighted network."""
    blocks, weights = {}, {}
    for k, matrix in enumerate(matrices):
        blocks[k, k + 1] = eg.BipartiteGraph.from_biadjacency(matrix)
        left, right = blocks[k, k + 1].edges.T
        weights[k, k + 1] = np.abs(matrix[left, right])
    widths = [len(matrix) for matrix in matrices] + [matrices[-1].shape[1]]
    names = ["pixels", "hidden 1", "hidden 2", "classes"]
    return eg.LayeredGraph(widths, blocks, weights, names=names)


net = network(trained.coefs_)
net

# %%
# (A PyTorch model needs no such function: :func:`expandergraphs_torch.network_graph` reads it.)
#
# Heat over time
# --------------
#
# Heat flows along each edge in proportion to its weight and to the difference of its ends. After time :math:`t` it is
#
# .. math:: S(t) = \exp(-tL)\, A,
#
# where :math:`L` is the Laplacian of the network and :math:`A` is 1 on the inputs, 0 elsewhere. Flow has no direction:
# it asks who is joined with whom, not who computes from whom. :func:`~expandergraphs.heat_signature` takes all times at
# once, and states its error.

times = np.geomspace(1e-4, 10, 60)
heat = eg.heat_signature(net, times)
n_times, n_units = heat.values.shape
print(f"{n_times} times, {n_units} units, error at most {heat.error.max():.0e}")
first, last = heat.values[[0, -1]].sum(axis=1)
print(f"heat in all: {first:.6f} at the first time, {last:.6f} at the last")

# %%
# None is lost: 64 units of heat are shared among 146 units of the network in the end, 0.44 for each.

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
_ = plotting_heat.plot_signature(net, heat, ax)

# %%
# Read it from left to right. Heat leaves the pixels, passes the two hidden layers and comes to rest. Before about
# :math:`t = 10^{-2}` nothing has happened, after :math:`t = 1` nothing does. So *which time you look at* decides what
# you compare. State it.
#
# When does heat come to rest?
# ----------------------------

rest = eg.saturation_time(net, 0.01)
print(f"every unit is within 0.01 of its final heat after t = {rest.time:.2g}")

# %%
# That is not what the picture shows. Who is so late? Heat leaves a pixel as fast as its weights are large together:

strength = np.abs(trained.coefs_[0]).sum(axis=1)
for pixel in np.argsort(strength)[:3]:
    print(f"pixel {pixel}: all its weights together {strength[pixel]:.0e}", end="; ")
    print(f"its largest value {x[:, pixel].max():.0f}")

# %%
# Pixels at the border that are black in every training image: weight decay has shrunk their weights to almost nothing.
# On paper the network is dense and connected. At any time that matters these pixels are cut off. Keep that in mind when
# someone reports the *saturated* heat: it depends on the connected components alone, and any weight but zero connects.
#
# Prune
# -----
#
# Keep the largest weights of the whole network; and, to compare, as many at random.


def prune(matrices, scores, density):
    """Keep the weights with the highest scores."""
    kept = np.argsort(-np.concatenate([score.ravel() for score in scores]))
    mask = np.zeros(kept.size, dtype=bool)
    mask[kept[: round(density * kept.size)]] = True
    parts = np.split(mask, np.cumsum([matrix.size for matrix in matrices])[:-1])
    kept = zip(matrices, parts, strict=True)
    return [matrix * part.reshape(matrix.shape) for matrix, part in kept]


rng = np.random.default_rng(0)
chance = [rng.random(matrix.shape) for matrix in trained.coefs_]
nets, accuracy = {"trained": net}, {}
for density in (0.5, 0.3, 0.1, 0.05):
    for name, scores in {"magnitude": map(np.abs, trained.coefs_), "random": chance}.items():
        matrices = prune(trained.coefs_, list(scores), density)
        model = copy.copy(trained)
        model.coefs_ = matrices
        nets[f"{name}, {density:.0%}"] = network(matrices)
        accuracy[f"{name}, {density:.0%}"] = model.score(x_test, y_test)
for name, value in accuracy.items():
    print(f"{name:>15}: {100 * value:.1f} %")

# %%
# (Nothing was trained again after pruning. That would help.)
#
# Compare
# -------
#
# :func:`~expandergraphs.compare_heat` measures how far the heat of each network is from that of the first one: the
# Euclidean distance :math:`F(t)` over all units, which is what N2NSkip :cite:p:`subramaniam2020` calls connectivity. It
# also counts parts, and units that heat never reaches.

eg.compare_heat(nets, [0.01, 0.1, 1, np.inf])

# %%
# :func:`~expandergraphs.heat_distance` has the same for many times, to draw:

spread = np.append(np.geomspace(1e-3, 100, 40), np.inf)
names = ["magnitude, 50%", "magnitude, 10%", "random, 50%", "random, 10%"]
distances = {name: eg.heat_distance(net, nets[name], spread) for name in names}
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
_ = plotting_heat.plot_heat_distance(distances, spread, ax)

# %%
# Three things to see, in the table and in the picture:
#
# * At equal density and early times, pruning by magnitude stays closer to the trained network than pruning at random.
#   It keeps the heavy edges, and they carry the heat.
# * At saturation the order turns round: what was pruned at random is in fewer parts, since weak edges are as good as
#   strong ones at keeping a pixel connected.
# * F is no accuracy. Look for two rows with nearly the same F at :math:`t = 0.1`, and compare what they recognise:

at = {name: float(eg.heat_distance(net, nets[name], 0.1)[0]) for name in accuracy}
for name in ("magnitude, 30%", "random, 50%"):
    print(f"{name}: F(0.1) = {at[name]:.2f}, accuracy {100 * accuracy[name]:.1f} %")

# %%
# Heat knows which units are joined and how strongly. It does not know the signs of the weights, nor what they compute.
#
# Scree
# -----
#
# A second view needs no reference. :math:`\exp(-tL)` has a mode for each unit, and at time :math:`t` the smoothest ones
# hold most of what is left. :func:`~expandergraphs.scree` is the share of the 6 % that are smoothest. It goes to 1
# where the few slow modes are all that remains; in a network that falls into many parts, each part keeps a mode for
# ever.

names = ["trained", "magnitude, 30%", "magnitude, 10%"]
curves = {name: eg.scree(nets[name], spread[:-1]) for name in names}
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
_ = plotting_heat.plot_scree(curves, ax)

# %%
# Units that nothing reaches
# --------------------------
#
# The end of pruning is a network with holes. Which units are lost, by layer:

sparse = nets["magnitude, 5%"]
eg.unreached_units(sparse)

# %%
# This network is small enough to be drawn, each unit coloured by its heat. Dark units in the middle are those of the
# table; bright ones at the left are pixels that no longer lead anywhere, and keep all they had.

figure, ax = plt.subplots(figsize=(7, 7), layout="constrained")
_ = plotting_heat_network.draw_heat(sparse, eg.heat_signature(sparse, [1.0]), ax)

# %%
# What to try next
# ----------------
#
# * Ask about the wiring alone: build the networks without ``weights``, and compare again.
# * Other Laplacians: ``laplacian="random_walk"`` or ``"symmetric"``, :func:`expandergraphs.heat_signature`.
# * The same from the command line: :func:`expandergraphs.save` the networks, then ``expandergraphs heat trained.npz
#   pruned.npz --times 0.001..10 --plot heat.png``.
# * A network of PyTorch: :doc:`/how-to/read-network`. Skips that let heat pass: :doc:`/how-to/n2nskip`.
# * What the published numbers can mean, and cannot: :doc:`/what-holds-up` and :doc:`/theory/heat`.
# * The next lesson: :doc:`make a model sparse and train it </auto_tutorials/plot_3_sparse_model>`.

plt.show()  # the figures, where this runs as a script
