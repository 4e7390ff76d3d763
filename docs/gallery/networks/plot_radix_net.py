"""
A RadiX-Net drawn
=================

RadiX-Nets :cite:p:`robinett2019` come from numbers written in mixed radix. The numbers 0 to 7 have three binary
digits, and each layer may add one of them: it leads from unit i to i and to i + 1, the next to i and i + 2, the last
to i and i + 4, modulo 8. :func:`expandergraphs.radix_net` builds such networks from their radices, without any
randomness; :func:`expandergraphs.random_like` draws one of the same widths and edges at random, to compare.
"""

import matplotlib.pyplot as plt

import expandergraphs as eg
from expandergraphs.plotting import draw_layered

radix = eg.radix_net([[2, 2, 2]], [1, 1, 1, 1])
like = eg.random_like(radix, rng=1)

figure, (above, below) = plt.subplots(2, 1, figsize=(7, 8), layout="constrained")
draw_layered(radix, above).set_title("RadiX-Net, radices 2, 2, 2")
draw_layered(like, below).set_title("random, as many edges in each layer")
plt.show()

# %%
# The later layers of the RadiX-Net fall into pieces. The layers together join every input to every output, and by
# exactly one path: digit by digit there is only one way from one number to another. The random network joins some
# pairs several times, and others not at all.

for name, net in [("RadiX-Net", radix), ("random", like)]:
    parts = [eg.components(layer).count for layer in net.layers]
    joined = int(eg.reachability(net).sum())
    print(f"{name}: components by layer {parts}, of the whole {eg.components(net).count};")
    print(f"  {joined} of 64 pairs joined, path symmetric: {eg.is_path_symmetric(net)}")

# %%
# Other radices, and a second system behind the first, make other widths and more paths. Multipliers widen layers.

net = eg.radix_net([[3, 4], [6, 2]], [1, 1, 2, 1, 1])

figure, ax = plt.subplots(figsize=(7, 5.5), layout="constrained")
draw_layered(net, ax)
ax.set_title(f"radices (3, 4), (6, 2), the middle twice as wide: {net.n_edges} edges")
plt.show()
print("paths from the first input to the last output:", eg.path_counts(net)[0, -1])

# %%
# A RadiX-Net reaches everything in the fewest layers that its degrees allow, which no random graph of the same
# degrees promises. In accuracy the two were alike in :cite:t:`alford2018`, and again with us (:doc:`/what-holds-up`).
