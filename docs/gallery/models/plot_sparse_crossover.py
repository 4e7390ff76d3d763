"""
When sparse execution overtakes dense
=====================================

A masked layer computes densely, so it is no faster than a dense one. :func:`expandergraphs_torch.to_sparse` measures
each layer on your machine, and lets it compute its edges alone where that is faster. This example measures a training
step of a linear layer of 1,024 units at several densities, when the page is built: times differ between machines and
between runs, and the curves are those of this one.
"""

import copy
import time

import matplotlib.pyplot as plt
import torch
from torch import nn

import expandergraphs_torch as egt
from expandergraphs.plotting import style

n, batch, densities = 1024, 64, [0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01]
torch.manual_seed(0)
x = torch.randn(batch, n, requires_grad=True)


def least_times(models):
    """Return the least time of a training step of each, in ms; they take turns."""
    found = [float("inf")] * len(models)
    for _ in range(25):
        for k, model in enumerate(models):
            start = time.perf_counter()
            model(x).sum().backward()
            found[k] = min(found[k], 1000 * (time.perf_counter() - start))
    return found


gains = {"masked": [], "after to_sparse": []}
for density in densities:
    dense = nn.Linear(n, n)
    masked = egt.sparsify(nn.Sequential(nn.Linear(n, n)), "regular", density=density, rng=0)
    sparse = egt.to_sparse(copy.deepcopy(masked), example_input=x)
    in_dense, *others = least_times([dense, masked, sparse])
    for name, its_time in zip(gains, others, strict=True):
        gains[name].append(in_dense / its_time)
    print(f"{density:4.0%} of the weights: {egt.summary(sparse).layers[0].executes}")

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
zeros = [100 * (1 - density) for density in densities]
for k, (name, values) in enumerate(gains.items()):
    ax.plot(zeros, values, label=name, **style(k))
ax.axhline(1, color="0.35", lw=1, zorder=0)
ax.annotate("as fast as dense", (80, 1), (0, 4), textcoords="offset points", color="0.25")
ax.set(
    xlabel="weights that are zero (%)", ylabel="times as fast as a dense layer", yscale="log"
)
ax.set_yticks([0.5, 1, 2, 4, 8, 16], labels=["1/2", "1", "2", "4", "8", "16"], minor=False)
ax.set_yticks([], minor=True)
threads = torch.get_num_threads()
ax.set(title=f"training step, {n:,} x {n:,}, batch {batch}, CPU threads: {threads}")
ax.legend(loc="upper left")
plt.show()

# %%
# Where the second curve touches the first, ``to_sparse`` found nothing faster and left the layer as it was; close to
# 1, noise decides. The point where it departs depends on the size: larger layers gain from fewer zeros on. Measured
# tables, for convolutions and whole networks too, are in :doc:`/sparse`.
