"""
A ResNet-50, layer by layer
===========================

A ResNet-50 gets a twentieth of its edges, wired as X-Net's :cite:p:`prabhu2018` and as RReg's :cite:p:`stewart2023`
graphs, the first layer and the classifier being left dense. Which is sound? :func:`expandergraphs_torch.summary`
lists what every layer has become, and :func:`expandergraphs_torch.topology` hands over its graphs, for any measure.
Weights are random here: wiring can be judged before anything is trained.
"""

import html
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torchvision

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs.plotting import style

models, graphs = {}, {}
for name, family in {"X-Net": "left_regular", "RReg": "regular"}.items():
    torch.manual_seed(0)
    model = torchvision.models.resnet50(weights=None)
    dense = ["conv1", egt.exclude_last(model)]
    models[name] = egt.sparsify(model, family, density=0.05, exclude=dense, rng=0)
    graphs[name] = egt.topology(model)
    found = egt.summary(model)
    print(f"{name}: {found.n_edges:,} edges, {found.remaining:.1f} % of the parameters,")
    print(f"  {found.dead_units} inputs or outputs of a layer without an edge")

stages = [layer.partition(".")[0] for layer in graphs["RReg"]]
first = [stages.index(stage) for stage in dict.fromkeys(stages)]

figure, axes = plt.subplots(2, 1, figsize=(7.5, 6.5), sharex=True, layout="constrained")
above, below = axes
for k, (name, of) in enumerate(graphs.items()):
    empty = [(g.right_degrees == 0).sum() for g in of.values()]
    ratios = [gap.sigma2 / gap.bound for gap in map(eg.spectral_gap, of.values())]
    look = style(k) | {"linestyle": ""}
    above.plot(empty, label=name, **look)
    below.plot(ratios, label=name, **look)
above.set(ylabel="outputs without an edge")
below.axhline(1, color="0.35", lw=1, zorder=0)
below.set(ylabel=r"$\sigma_2$ / bound", xlabel="layer, in the order of the model")
for ax in (above, below):
    for at in first:
        ax.axvline(at - 0.5, color="0.8", lw=1, zorder=0)
    ax.legend()
below.set_xticks(first, dict.fromkeys(stages), ha="left")
plt.show()

# %%
# X-Net's graphs leave outputs empty in the narrow layers of the first stages, where a twentieth of the edges is three
# or four for each output. In wide layers no output is, and the two families come close. An empty output of a block's
# last convolution still gets what the shortcut brings; one of a block's other convolutions is dead. (Where degrees
# are uneven, the bound is that of average degrees: a common scale, but no theorem.)
#
# :func:`expandergraphs_torch.report` writes all of this, and more, to a page of its own, one file that needs nothing
# else: the findings in words, each layer with its certified expansion, and spectra. Here is the X-Net model's, in a
# frame:


class Page(str):
    """A page that shows itself in a frame, here as in a notebook."""

    def _repr_html_(self):
        page = html.escape(self)
        return f'<iframe srcdoc="{page}" title="report" width="100%" height="720"></iframe>'


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "report.html"
    egt.report(models["X-Net"], path, title="ResNet-50, X-Net")
    page = Page(path.read_text("utf-8"))
page

# %%
# Look at the narrow layers first: they decide how sparse a model can be. Give them more edges, or a regular graph.
