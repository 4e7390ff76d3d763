"""
Mixing time of a random walk
============================

Start at one input and walk along random edges, to an output and back again. How soon could you be anywhere? An
expander forgets its start in a few steps. The distance shown is the total variation distance between where the walk
is and where it stays in the long run, from the worst of all starts, computed exactly from powers of the transition
matrix. The mixing time is when it falls to 1/4.
"""

import matplotlib.pyplot as plt
import numpy as np

import expandergraphs as eg
from expandergraphs.plotting import style

n, degree, steps = 256, 16, 20
near = [(i, (i + k) % n) for i in range(n) for k in range(degree)]
small = eg.random_regular(n // 4, n // 4, degree // 4, rng=0)
graphs = {
    "RReg, degree 16": eg.random_regular(n, n, degree, rng=0),
    "RReg, degree 4": eg.random_regular(n, n, 4, rng=0),
    "blocks of 4 x 4, degree 16": eg.block_expander(small, 4),
    "ring, degree 16": eg.BipartiteGraph.from_edges(n, n, near),
}


def worst_distance(g, n_steps):
    """Return the distance to the stationary law after 0, 1, ... walks to an output and back."""
    there = g.biadjacency.toarray() / g.left_degrees[:, None]
    walk = there @ (g.biadjacency.toarray() / g.right_degrees).T
    at, rest = np.eye(g.n_left), g.left_degrees / g.n_edges
    distances = []
    for _ in range(n_steps + 1):
        distances.append(np.abs(at - rest).sum(axis=1).max() / 2)
        at = at @ walk
    return np.array(distances)


figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for k, (name, g) in enumerate(graphs.items()):
    distances = worst_distance(g, steps)
    ax.plot(2 * np.arange(steps + 1), distances, label=name, **style(k))
    ratio = eg.spectral_gap(g).ratio
    mixed = np.flatnonzero(distances <= 0.25)
    time = f"{2 * mixed[0]}" if mixed.size else f"above {2 * steps}"
    print(f"{name:26} σ2/σ1 {ratio:.3f}, mixing time {time} steps")
ax.axhline(0.25, color="0.35", lw=1, zorder=0)
ax.annotate("mixed: 1/4", (40, 0.25), (0, -12), textcoords="offset points", ha="right")
ax.set(yscale="log", ylim=(1e-6, 2), xlabel="steps (two lead to an output and back)")
ax.set_ylabel("total variation distance, worst start")
ax.legend(loc="lower right")
plt.show()

# %%
# The slope is the spectral gap: the distance after t steps is at most √n/2 times the ratio σ2/σ1 to the power t
# (:cite:t:`hoory2006`, section 3). The dashed line is that bound, for RReg of degree 4.

g = graphs["RReg, degree 4"]
distances, gap = worst_distance(g, steps), eg.spectral_gap(g)
at = 2 * np.arange(steps + 1)

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(at, distances, label="RReg, degree 4, worst start", **style(0))
bound = np.sqrt(n) / 2 * gap.ratio**at
ax.plot(at, bound, label=r"bound $\sqrt{n} / 2 \cdot (\sigma_2 / \sigma_1)^t$", **style(1))
ax.set(yscale="log", xlabel="steps $t$", ylabel="total variation distance")
ax.legend()
plt.show()

# %%
# In a deep network the walk is a path from an input on: where it mixes fast, few layers join everything with
# everything. This is the walk *on* a graph. How long the walk *among* graphs mixes by which
# :func:`expandergraphs.random_regular` draws them is another question: :doc:`/records/2026-11-21-mixing`.
