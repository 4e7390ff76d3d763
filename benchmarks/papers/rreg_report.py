"""The tables and pictures of `rreg`: the paper's beside ours, what the leak leaves, expansion, depth and width."""

import numpy as np

from benchmarks.papers.tables import (
    delta_r,
    delta_rar,
    holm,
    mean_of,
    paired_rows,
    rank_correlation,
    ranks_within,
    table,
    where,
)

NAMES = {"random": "Random", "left_regular": "X-Net", "regular": "RReg"}
SETTINGS = {
    "a": {"random": "max", "left_regular": "max", "regular": "max"},
    "b": {"random": "left", "left_regular": "left", "regular": "max"},
}
TITLES = {"a": "(a) equal edges", "b": "(b) the paper's edges"}
STANDS_FOR = {  # the paper's degree that one of ours stands for
    "small": {15: 60, 8: 30, 5: 15, 3: 3},
    "full": {60: 60, 30: 30, 15: 15, 3: 3},
}
PAPER = {  # by degree: parameters left in %, accuracies of Random, X-Net, RReg
    "cifar10": {60: (13.79, 93.50, 93.46, 93.50), 30: (7.07, 92.51, 92.65, 93.05), 15: (3.62, 91.30, 91.38, 91.50),
                3: (0.79, 85.81, 86.06, 87.02)},
    "cifar100": {60: (13.79, 72.97, 72.73, 72.72), 30: (7.07, 69.81, 69.80, 70.15), 15: (3.62, 66.58, 66.81, 67.72),
                 3: (0.79, 56.98, 56.69, 59.61)},
}  # fmt: skip
DENSE = {"cifar10": 94.24, "cifar100": 74.16}
PAIRS = {  # the poster's, on a data set that it does not name there
    "depth": "ResNet50 59.36 dense, ResNet152 62.01 RReg",
    "width": "WRN28-4 43.16 dense, WRN28-10 43.76 RReg",
}
MEASURES = {  # over the layers of a run
    "alpha, lower ends": lambda layers: np.mean([layer["lower"] for layer in layers]),
    "alpha, upper ends": lambda layers: np.mean([layer["upper"] for layer in layers]),
    "sigma2 / sigma1": lambda layers: np.mean([layer["ratio"] for layer in layers]),
    "sigma2, normalised": lambda layers: np.mean([layer["normalised"] for layer in layers]),
    "dead units": lambda layers: sum(layer["dead_in"] + layer["dead_out"] for layer in layers),
}


def report(rows, pictures=None):
    compare(rows)
    differences(rows)
    leaks(rows)
    expansion(rows)
    correlations(rows)
    pairs(rows)
    if pictures and cases(rows):
        draw(rows, pictures)


def cases(rows):
    """Return the degrees of the VGG runs, largest first, each with the one of the paper that it stands for."""
    degrees = sorted({row["degree"] for row in where(rows, part="families") if row["method"] != "dense"}, reverse=True)
    return {degree: STANDS_FOR[rows[0]["scale"]][degree] for degree in degrees}


def of(rows, setting, method, degree):
    return where(rows, part="families", method=method, degree=degree, edges=SETTINGS[setting][method])


def all_of(rows, quantity):
    return [row[quantity] for row in rows]


# --- accuracy ---


def compare(rows):
    published = PAPER[name := "cifar100" if rows[0]["dataset"] == "cifar100" else "cifar10"]
    heads = ["method", "paper: d", "PP", "Acc", "Δ_R", "Δ_RAR", "ours: d"]
    for title in TITLES.values():
        heads += [f"{title}: PP", "Acc", "Δ_R", "Δ_RAR"]
    dense = where(rows, part="families", method="dense")
    cell = mean_of(all_of(dense, "accuracy"))
    lines = [["Original", "-", "100", DENSE[name], "-", "-", "-", *["100", cell, "-", "-"] * 2]]
    for degree, theirs in cases(rows).items():
        left, *accuracies = published[theirs]
        columns = {"paper": accuracies}
        for setting in SETTINGS:
            columns[setting] = [mean(all_of(of(rows, setting, method, degree), "accuracy")) for method in NAMES]
        for k, (method, label) in enumerate(NAMES.items()):
            line = [label, theirs, left, f"{accuracies[k]:.2f}", *deltas(columns["paper"], k), degree]
            for setting in SETTINGS:
                its = of(rows, setting, method, degree)
                line += [mean_of(all_of(its, "remaining")[:1]), mean_of(all_of(its, "accuracy"))]
                line += deltas(columns[setting], k)
            lines.append(line)
    n = len({row["seed"] for row in rows})
    table(f"VGG16: accuracy in %, {rows[0]['dataset']} ({n} seeds) beside the paper's {name.upper()}", heads, lines)
    print("\nThe paper's PP is a mean over its three methods. In the first layer, of three inputs, d * max(inputs,")
    print("outputs) is every pair for d >= 3, and d * inputs reach 3 d outputs at most.")


def mean(values):
    return np.mean(values) if values else np.nan


def deltas(accuracies, k):
    """Return Delta_R and Delta_RAR of the k-th of three methods, as text."""
    if k == 0:
        return ["-", "-"]
    return [f"{delta_r(accuracies[k], accuracies[0]):+.2f}", f"{delta_rar(accuracies[k], accuracies[k - 1]):+.2f}"]


def differences(rows):
    lines = []
    for degree in cases(rows):
        for setting, title in TITLES.items():
            for a, b in (("left_regular", "random"), ("regular", "left_regular"), ("regular", "random")):
                found = paired_rows(of(rows, setting, a, degree), of(rows, setting, b, degree))
                lines.append([degree, title, f"{NAMES[a]} - {NAMES[b]}", found])
    adjusted = holm([line[-1].p for line in lines])
    lines = [[*line, f"{line[-1].p:.3f}", f"{p:.3f}"] for line, p in zip(lines, adjusted, strict=True)]
    heads = ["d", "edges", "difference", "mean (95 % limits)", "p", "p, Holm over the table"]
    table("VGG16: differences in accuracy, paired by seed, in percentage points", heads, lines)


def leaks(rows):
    lines = []
    for degree in cases(rows):
        for method, label in NAMES.items():
            closed = of(rows, "b", method, degree)
            for leak in ("weight decay", "as in the paper"):
                its = where(rows, part="leak", method=method, degree=degree, leak=leak)
                if its:
                    left = [100 * value for value in all_of(its, "left")]
                    line = [degree, label, leak, f"{100 * its[0]['expected']:.2f}", mean_of(left)]
                    line += [mean_of(all_of(its, quantity)) for quantity in ("accuracy", "masked", "refitted")]
                    lines.append([*line, mean_of(all_of(closed, "accuracy")), paired_rows(its, closed)])
    heads = ["d", "method", "fades by", "norm left, expected, %", "measured, %", "Acc, leaking", "Acc, mask applied"]
    heads += ["with BatchNorm refitted", "Acc, masked from the start (b)", "leaking - masked (95 % limits)"]
    table("VGG16, (c): the mask of the released code, with the paper's edges", heads, lines)
    print(
        "\nExpected of the norm off the mask: exp(-sum of lr wd / (1 - momentum)). The mask is applied after training,"
    )
    print(
        "once with BatchNorm's statistics as they are, once with new ones, of the masked network. A unit without edges"
    )
    print("is live while the mask leaks: BatchNorm scales up what reaches it, however little.")


# --- expansion ---


def expansion(rows):
    lines = []
    for degree in cases(rows):
        for setting, title in TITLES.items():
            for method, label in NAMES.items():
                if setting == "b" and method == "regular":  # its edges are those of (a)
                    continue
                its = of(rows, setting, method, degree)
                layers = all_of(its, "layers")
                lower, upper, *others = ([measure(one) for one in layers] for measure in MEASURES.values())
                zero = [sum(layer["upper"] == 0 for layer in one) for one in layers]
                line = [degree, title, label, f"{mean(lower):.3f} .. {mean(upper):.3f}", mean_of(zero, 1)]
                line += [mean_of(values, digits) for values, digits in zip(others, (3, 3, 0), strict=True)]
                lines.append([*line, mean_of(all_of(its, "accuracy"))])
    heads = ["d", "edges", "method", "alpha, certified", "layers with alpha 0", *list(MEASURES)[2:], "Acc"]
    table("VGG16: expansion of the masks, mean over the sparse layers, and accuracy", heads, lines)


def correlations(rows):
    equal = [row for degree in cases(rows) for method in NAMES for row in of(rows, "a", method, degree)]
    degrees, accuracy = all_of(equal, "degree"), np.array(all_of(equal, "accuracy"))
    lines = []
    for name, measure in MEASURES.items():
        values = np.array([measure(layers) for layers in all_of(equal, "layers")])
        of_degree = [np.equal(degrees, degree) for degree in cases(rows)]
        found = [rank_correlation(values[its], accuracy[its]) for its in of_degree]
        found.append(rank_correlation(ranks_within(degrees, values), ranks_within(degrees, accuracy), groups=degrees))
        found.append(rank_correlation(values, accuracy))
        lines.append([name, *("all alike" if np.isnan(one.rho) else one for one in found)])
    heads = ["measure", *(f"d = {degree}" for degree in cases(rows)), "ranks within d, pooled", "all runs"]
    table("VGG16, (a): Spearman's rank correlation of accuracy with expansion, over runs", heads, lines)
    print("\nBrackets: 95 % limits by bootstrap, p by permutation. Over all runs the degree drives both expansion and")
    print("accuracy: that column says nothing about expansion at equal edges. Within a degree the family drives the")
    print(
        "expansion, and runs of one family hardly differ in it: whatever else tells the families apart is confounded."
    )


def pairs(rows):
    lines, differences = [], []
    for pair, theirs in PAIRS.items():
        its = where(rows, part="pairs", pair=pair)
        dense = where(its, method="dense")
        for method in ("dense", "random", "regular"):
            found = where(its, method=method)
            if found:
                label = f"{NAMES[method]}, d = {found[0]['degree']}" if method != "dense" else "dense"
                line = [
                    pair,
                    found[0]["model"],
                    label,
                    f"{found[0]['parameters']:,}",
                    mean_of(all_of(found, "remaining")[:1]),
                ]
                differences.append(paired_rows(found, dense) if method != "dense" else None)
                lines.append([*line, mean_of(all_of(found, "accuracy")), theirs])
    adjusted = iter(holm([found.p for found in differences if found]))
    for line, found in zip(lines, differences, strict=True):
        line[-1:-1] = [found, f"{next(adjusted):.3f}"] if found else ["-", "-"]
    heads = ["", "network", "wiring", "parameters", "PP", "Acc", "less the dense one (95 % limits)", "p, Holm", "paper"]
    table("Deeper or wider and sparse, against dense with as many parameters", heads, lines)


# --- pictures ---


def draw(rows, folder):
    from matplotlib.figure import Figure

    from expandergraphs.plotting import style

    looks = {method: style(k) for k, method in enumerate(NAMES)}
    degrees = cases(rows)
    figure = Figure(figsize=(3.4 * len(degrees), 3.8), layout="constrained")
    for ax, degree in zip(figure.subplots(1, len(degrees), squeeze=False)[0], degrees, strict=True):
        scatter(rows, degree, looks, ax)
    figure.axes[0].set_ylabel("test accuracy, %")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.savefig(folder / "rreg-expansion.png", dpi=110)

    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[1.1, 1, 1])
    curves(rows, looks, axes[0])
    for ax, setting in zip(axes[1:], SETTINGS, strict=True):
        gains(rows, setting, looks, ax)
    low, high = zip(*(ax.get_ylim() for ax in axes[1:]), strict=True)
    for ax in axes[1:]:
        ax.set_ylim(min(low), max(high))
    figure.savefig(folder / "rreg-families.png", dpi=110)

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_leaks(rows, looks, left)
    draw_pairs(rows, looks, right)
    figure.savefig(folder / "rreg-leak-and-depth.png", dpi=110)


def scatter(rows, degree, looks, ax):
    """Draw accuracy against the certified interval of alpha: a bar from end to end, a marker at the upper one."""
    for setting in SETTINGS:
        for method, look in looks.items():
            if setting == "b" and method == "regular":
                continue
            its = of(rows, setting, method, degree)
            lower, upper = (
                [MEASURES[f"alpha, {end} ends"](row["layers"]) for row in its] for end in ("lower", "upper")
            )
            accuracy, fill = all_of(its, "accuracy"), look["color"] if setting == "a" else "white"
            label = f"{NAMES[method]}, {'equal' if setting == 'a' else 'fewer'} edges"
            ax.hlines(accuracy, lower, upper, color=look["color"], lw=1.2)
            ax.plot(
                upper, accuracy, linestyle="", marker=look["marker"], ms=7, color=look["color"], mfc=fill, label=label
            )
    ax.set_title(f"d = {degree}")
    ax.set_xlabel(r"vertex expansion $\alpha$, mean of layers")


def beside(k):
    return 0.16 * (k - 1)


def curves(rows, looks, ax):
    degrees = list(cases(rows))
    for k, (method, look) in enumerate(looks.items()):
        found = [all_of(of(rows, "a", method, degree), "accuracy") for degree in degrees]
        x = np.arange(len(degrees)) + beside(k)
        ax.plot(x, [mean(values) for values in found], label=NAMES[method], **look)
        for at, values in zip(x, found, strict=True):
            ax.plot([at] * len(values), values, linestyle="", marker="_", ms=8, color=look["color"])
    dense = mean(all_of(where(rows, part="families", method="dense"), "accuracy"))
    ax.axhline(dense, color="black", linestyle=":", label="dense")
    ax.set_xticks(range(len(degrees)), degrees)
    ax.set(xlabel="degree", ylabel="test accuracy, %", title="(a) equal edges; dashes: runs")
    ax.legend(fontsize="small")


def gains(rows, setting, looks, ax):
    degrees = list(cases(rows))
    for k, method in enumerate(("left_regular", "regular")):
        found = [paired_rows(of(rows, setting, method, d), of(rows, setting, "random", d)) for d in degrees]
        middle = np.array([one.mean for one in found])
        ends = np.array([[one.mean - one.low, one.high - one.mean] for one in found]).T
        look = {key: looks[method][key] for key in ("color", "marker", "ms")}
        x = np.arange(len(degrees)) + beside(2 * k)
        ax.errorbar(x, middle, yerr=ends, linestyle="", capsize=4, label=f"{NAMES[method]} less Random", **look)
    ax.axhline(0, color="black", lw=0.8)
    ax.set_xticks(range(len(degrees)), degrees)
    ax.set(xlabel="degree", ylabel="percentage points, 95 % limits", title=TITLES[setting])
    ax.legend(fontsize="small")


def draw_leaks(rows, looks, ax):
    leaking = where(rows, part="leak")
    degrees = [degree for degree in cases(rows) if where(leaking, degree=degree)]
    columns = {"no leak": None, "leak": "weight decay", "leak,\nfading": "as in the paper"}
    columns = {name: leak for name, leak in columns.items() if leak is None or where(leaking, leak=leak)}
    names = [*columns, "then\nmasked"]
    for k, (method, look) in enumerate(looks.items()):
        for g, degree in enumerate(degrees):
            found = [where(leaking, method=method, degree=degree, leak=leak) for leak in columns.values()]
            found[0] = of(rows, "b", method, degree)
            values = [*(all_of(its, "accuracy") for its in found), all_of(found[-1], "masked")]
            x = g * (len(names) + 1) + np.arange(len(names)) + beside(k)
            label = NAMES[method] if g == 0 else None
            ax.plot(x, [mean(these) for these in values], label=label, **look | {"linestyle": ""})
            for at, these in zip(x, values, strict=True):
                ax.plot([at] * len(these), these, linestyle="", marker="_", ms=8, color=look["color"])
    ticks = [g * (len(names) + 1) + k for g in range(len(degrees)) for k in range(len(names))]
    ax.set_xticks(ticks, names * len(degrees), fontsize="small")
    for g, degree in enumerate(degrees):
        middle = g * (len(names) + 1) + (len(names) - 1) / 2
        ax.text(middle, 1, f"d = {degree}", transform=ax.get_xaxis_transform(), ha="center", va="bottom")
    ax.set_ylabel("test accuracy, %")
    ax.set_title("(c) the released code's mask; dashes: runs", pad=18)
    ax.legend(fontsize="small")


def draw_pairs(rows, looks, ax):
    ticks = []
    for pair in PAIRS:
        for method in ("dense", "random", "regular"):
            its = where(rows, part="pairs", pair=pair, method=method)
            if its:
                look = looks.get(method, {"color": "black", "marker": "D", "ms": 5.5}) | {"linestyle": ""}
                ax.plot([len(ticks)] * len(its), all_of(its, "accuracy"), alpha=0.8, **look)
                ax.plot(len(ticks), mean(all_of(its, "accuracy")), marker="_", ms=26, color="black")
                ticks.append(f"{its[0]['model']}\n{NAMES.get(method, 'dense')}\n{its[0]['parameters']:,}")
    ax.set_xticks(range(len(ticks)), ticks, fontsize="small")
    ax.set(ylabel="test accuracy, %", title="Equal parameters; points: runs, bars: means")
