"""
Spectra against the limiting law
================================

The singular values of large random regular graphs settle on a law that depends on the two degrees only, found by
:cite:t:`godsil1988`. :func:`expandergraphs.spectral_density` estimates the density of a graph of any size from a few
matrix products, without computing a single singular value; bands are two standard errors.
"""

import matplotlib.pyplot as plt

import expandergraphs as eg
from expandergraphs.plotting import plot_spectral_density

n, degree = 4096, 8
graphs = {
    "RReg": eg.random_regular(n, n, degree, rng=0),
    "X-Net": eg.random_left_regular(n, n, degree, rng=0),
    "Random": eg.random_bipartite(n, n, n_edges=degree * n, rng=0),
}
densities = {name: eg.spectral_density(g, moments=64, rng=0) for name, g in graphs.items()}

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
plot_spectral_density(densities, ax)
ax.set(title=f"{n:,} vertices a side, degree {degree}", xlim=(0, 8))
plt.show()

# %%
# RReg lies on the law. X-Net and Random have as many edges, but uneven degrees, which push values beyond the edge of
# the law, to where no large regular graph has any, and to 0.
#
# Sides of different size have a law of their own, with a gap above 0:

wide = {f"RReg, {n} x {m}": eg.random_regular(n, m, 8, rng=0) for m in (4096, 2048, 1024)}
densities = {name: eg.spectral_density(g, moments=64, rng=0) for name, g in wide.items()}

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
plot_spectral_density(densities, ax)
plt.show()

# %%
# The right end of the law is the Ramanujan bound: as graphs grow, their σ2 cannot stay below it, and
# :cite:t:`friedman2008` proved, for ordinary graphs, that random ones come as close as one likes.

for name, g in wide.items():
    gap, law = eg.spectral_gap(g), eg.biregular_law(8, 8 * g.n_left // g.n_right)
    print(f"{name}: σ2 = {gap.sigma2:.3f}, end of the law {law.upper:.3f}", end=", ")
    print(f"Ramanujan: {gap.is_ramanujan}")

# %%
# For a regular graph the law tells what its spectrum will be before it is drawn. What lies outside shows uneven
# degrees, and not a lack of expansion.
