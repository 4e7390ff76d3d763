"""Pictures for Alford's experiments; the slides' values are hollow."""

import numpy as np

from benchmarks.papers.tables import where
from expandergraphs.plotting import COLOURS, MARKERS, STYLES

REGIMES = (  # the name here, and in the slides
    ("one-time", None),
    ("iterative", "iterative"),
    ("one-time, new start", "one-time retrained"),
    ("iterative, new start", "iterative retrained"),
    ("random, new start", None),
)
LEVELS = ("50", "75", "90", "95", "99")
WATCHED = "95"


def draw(rows, published, folder):
    networks = {model: where(rows, model=model) for model in dict.fromkeys(row["model"] for row in rows)}
    dataset = rows[0]["dataset"]
    pruned = {model: found for model, of in networks.items() if (found := where(of, part="pruning"))}
    sparse = {model: found for model, of in networks.items() if (found := where(of, part="sparse"))}
    slides = {model: published.get((dataset, model), {}) for model in networks}
    if pruned:
        draw_regimes(pruned, slides).savefig(folder / f"alford-{dataset}-sparsity.png", dpi=130)
        draw_over_time(pruned).savefig(folder / f"alford-{dataset}-thresholds.png", dpi=130)
    if sparse:
        draw_sparse(sparse, pruned, slides).savefig(folder / f"alford-{dataset}-radix.png", dpi=130)
    for model, found in pruned.items():
        if "degrees" in next(iter(found[0]["structure"]["one-time"]["90"].values())):
            draw_degrees(found).savefig(folder / f"alford-{dataset}-{model}-degrees.png", dpi=130)


def draw_regimes(networks, slides):
    figure, panels = _panels(len(networks))
    for ax, (model, rows) in zip(panels, networks.items(), strict=True):
        for k, (regime, theirs) in enumerate(REGIMES):
            shares = [1 - float(level) / 100 for level in LEVELS]
            values = [[row["accuracy"][regime][level] / 100 for row in rows] for level in LEVELS]
            _series(ax, shares, values, regime, k)
            for share, value in zip(shares, slides[model].get(theirs, ())[1:], strict=False):
                if value is not None:
                    ax.plot(share, value / 100, MARKERS[k], color=COLOURS[k], mfc="none", ms=9)
        for regime, style, label in (("dense", ":", "dense"), ("one-time", "--", "dense, trained on")):
            value = np.mean([row["accuracy"][regime]["0"] for row in rows]) / 100
            ax.axhline(value, color="0.4", ls=style, lw=1, label=label)
        _axes(ax, f"{model}: pruned to a share of the weights, {len(rows)} seeds")
        ax.set_xticks([1 - float(level) / 100 for level in LEVELS], [f"{level} %" for level in LEVELS])
        ax.set_xlabel("sparsity")
        ax.invert_xaxis()
    _legend(figure, panels[0])
    return figure


def draw_sparse(networks, pruned, slides):
    figure, panels = _panels(len(networks))
    for ax, (model, rows) in zip(panels, networks.items(), strict=True):
        kinds = list(dict.fromkeys((row["method"], row["wider"] > 1) for row in rows))
        for k, (method, wider) in enumerate(kinds):
            its = [row for row in where(rows, method=method) if (row["wider"] > 1) == wider]
            shares = sorted({row["density"] for row in its})
            values = [[row["accuracy"] / 100 for row in its if row["density"] == share] for share in shares]
            _series(ax, shares, values, method + (", wider, weights as dense" if wider else ""), k)
            for (share, width), value in slides[model].get(method, {}).items():
                if (width > 1) == wider and share < 1:
                    ax.plot(share, value / 100, MARKERS[k], color=COLOURS[k], mfc="none", ms=9)
        if model in pruned:
            dense = np.mean([row["accuracy"]["dense"]["0"] for row in pruned[model]]) / 100
            ax.axhline(dense, color="0.4", ls=":", lw=1, label="dense")
        _axes(ax, f"{model}: sparse from the start, {len(where(rows, method='RadiX-Net', wider=1))} seeds")
        shares = sorted({row["density"] for row in rows})
        ax.set_xticks(shares, [f"{100 * share:g} %" for share in shares])
        ax.set_xlabel("share of the weights of the sparse layers (hollow: the slides)")
        ax.legend(fontsize=8, loc="lower right")
    return figure


def draw_over_time(networks):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(networks), 6), layout="constrained")
    panels = figure.subplots(2, len(networks), squeeze=False, sharex="col")
    for column, (model, rows) in zip(panels.T, networks.items(), strict=True):
        lines = [row["over_time"][WATCHED] for row in rows]
        steps = [step for step, _ in lines[0]]
        for k, name in enumerate(lines[0][0][1]):
            shape = " x ".join(map(str, rows[0]["structure"]["iterative"][WATCHED][name]["shape"]))
            found = np.array([[layers[name] for _, layers in line] for line in lines], float)
            style = {"color": COLOURS[k], "ls": STYLES[k], "label": f"{name}: {shape}"}
            for ax, values in zip(column, (found[..., 1], 100 * (1 - found[..., 0])), strict=True):
                ax.plot(steps, values.mean(0), **style)
                ax.fill_between(steps, values.min(0), values.max(0), color=COLOURS[k], alpha=0.15, lw=0)
        column[0].set(title=f"{model}: iterative pruning to {WATCHED} %", ylabel="smallest magnitude kept")
        column[1].set(xlabel="step", ylabel="sparsity of the layer, %", ylim=(0, 100))
        column[0].legend(fontsize=8)
    return figure


def draw_degrees(rows):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.4), layout="constrained")
    for line, regime in zip(figure.subplots(2, 5), ("one-time", "iterative"), strict=True):
        for ax, level in zip(line, LEVELS, strict=True):
            degrees = mean_degrees(rows, regime, level)
            side = int(np.sqrt(degrees.size))
            image = ax.imshow(degrees.reshape(side, side), cmap="cividis", vmin=0)
            figure.colorbar(image, ax=ax, shrink=0.8)
            ax.set(title=f"{regime}, {level} %", xticks=[], yticks=[])
    figure.suptitle(f"Weights that each pixel keeps, {rows[0]['model']}: mean of {len(rows)} seeds")
    return figure


def mean_degrees(rows, regime, level):
    """Return the weights that each unit of the first layer keeps, on average over the seeds."""
    return np.mean([next(iter(row["structure"][regime][level].values()))["degrees"] for row in rows], axis=0)


def _panels(n):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * n, 5), layout="constrained")
    return figure, figure.subplots(1, n, squeeze=False)[0]


def _series(ax, shares, values, label, k):
    means = [np.mean(its) for its in values]
    ax.plot(shares, means, color=COLOURS[k], marker=MARKERS[k], ls=STYLES[k], ms=5, label=label)
    for share, its in zip(shares, values, strict=True):
        ax.plot([share, share], [min(its), max(its)], color=COLOURS[k], lw=1)


def _axes(ax, title):
    ax.set_xscale("log")
    ax.set_yscale("logit")
    ax.minorticks_off()
    ticks = (0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
    ax.set_yticks(ticks, [f"{100 * tick:g}" for tick in ticks])
    ax.set_title(title, fontsize=10)
    ax.set_ylabel("test accuracy, % (logit scale)")
    ax.grid(alpha=0.3)


def _legend(figure, ax):
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    hollow = Line2D([], [], color="0.3", marker="o", mfc="none", ls="", ms=9)
    figure.legend([*handles, hollow], [*labels, "hollow: the slides"], loc="outside lower center", ncols=4, fontsize=8)
