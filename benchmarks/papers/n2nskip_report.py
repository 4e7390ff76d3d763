"""The tables and pictures of `n2nskip`: the paper's accuracies and heat beside ours, and what else explains gains."""

import numpy as np

from benchmarks.papers.tables import holm, mean_of, paired_rows, rank_correlation, ranks_within, table, where

METHODS = ("RP", "N2NSkip-RP", "ResSkip-RP", "CSP", "N2NSkip-CSP", "ResSkip-CSP")
PERCENT = {0.1: "10 %", 0.05: "5 %", 0.02: "2 %"}
LABELS = (
    "1 / degree",
    "10 / degree",
    "100 / degree",
    "0.5",
    "2",
    "saturated",
)  # times; degree: mean of the dense network
READINGS = ("binary", "L1 before", "L1 after")
TITLES = {
    "binary": "binary, before and after training",
    "L1 before": "L1 weights, before training",
    "L1 after": "L1 weights, after training",
}
NAMES = {"vgg19": "VGG19", "resnet50": "ResNet50", "vgg7": "VGG7"}
PAPER = {  # Table 1: accuracy at 10, 5, 2 %
    "cifar10": {
        "vgg19": {"dense": 93.16, "RP": (92.08, 89.43, 86.52), "N2NSkip-RP": (92.92, 92.65, 91.12),
                  "CSP": (92.79, 92.14, 90.35), "N2NSkip-CSP": (93.02, 92.86, 92.12)},
        "resnet50": {"dense": 95.33, "RP": (88.53, 86.17, 83.33), "N2NSkip-RP": (91.59, 89.14, 87.67),
                     "CSP": (93.15, 92.25, 89.12), "N2NSkip-CSP": (94.37, 93.59, 92.26)},
    },
    "cifar100": {
        "vgg19": {"dense": 74.09, "RP": (71.23, 69.82, 55.43), "N2NSkip-RP": (72.67, 72.13, 61.21),
                  "CSP": (72.83, 71.92, 59.92), "N2NSkip-CSP": (73.72, 73.05, 65.45)},
        "resnet50": {"dense": 74.94, "RP": (67.72, 62.28, 51.11), "N2NSkip-RP": (70.45, 67.56, 60.19),
                     "CSP": (69.29, 65.73, 55.02), "N2NSkip-CSP": (72.37, 70.43, 63.16)},
    },
}  # fmt: skip
TABLE_3 = {  # F at 10, 5, 2 %, "saturated"
    "vgg19": {"RP": (4.2e-1, 2.3e-1, 6.5), "N2NSkip-RP": (4.9e-5, 9.9e-4, 1.3e-3),
              "CSP": (7.1e-5, 9.1e-2, 2.3), "N2NSkip-CSP": (2.5e-5, 6.2e-5, 3.3e-4)},
    "resnet50": {"RP": (3.9e-2, 4.5e-1, 12.0), "N2NSkip-RP": (5.5e-5, 3.8e-4, 5.6e-3),
                 "CSP": (6.7e-5, 6.1e-2, 9.2), "N2NSkip-CSP": (1.7e-5, 4.2e-5, 8.9e-4)},
}  # fmt: skip
EPOCHS = 50  # the paper's Fig. 2 shows as many


def report(rows, pictures=None):
    main = where(rows, part="methods")
    models = list(dict.fromkeys(all_of(main, "model")))
    for show in (accuracies, gains, epochs, budgets, distances, correlations, scree):
        for model in models:
            show(where(main, model=model), model)
    controls(rows)
    if pictures:
        for model in models:
            draw(where(main, model=model), model, pictures)


def all_of(rows, quantity):
    return [row[quantity] for row in rows]


def of(rows, method, density):
    return where(rows, method=method, density=density)


def published(rows, model):
    return PAPER["cifar100" if rows[0]["dataset"] == "cifar100" else "cifar10"][model]


def named(rows):
    """Return the data set and the number of seeds in words."""
    return f"{rows[0]['dataset']}, {len({row['seed'] for row in rows})} seeds"


# --- accuracy ---


def accuracies(rows, model):
    theirs = published(rows, model)
    source = "CIFAR-100" if rows[0]["dataset"] == "cifar100" else "CIFAR-10"
    dense = where(rows, method="dense")
    lines = [["dense", theirs["dense"], "", "", mean_of(all_of(dense, "accuracy")), "", ""]]
    for method in METHODS:
        ours = [mean_of(all_of(of(rows, method, density), "accuracy")) for density in PERCENT]
        lines.append([method, *theirs.get(method, ("-",) * 3), *ours])
    whose = (f"paper, {source}", "ours")
    heads = ["method", *(f"{who}: {percent}" for who in whose for percent in PERCENT.values())]
    table(f"{NAMES[model]}: test accuracy in %, the paper's Table 1 beside ours ({named(rows)})", heads, lines)


def differences(pairs):
    """Turn (words ..., difference) into lines with Holm's p over all of them."""
    adjusted = holm([pair[-1].p for pair in pairs])
    return [[*pair, f"{pair[-1].p:.3f}", f"{p:.3f}"] for pair, p in zip(pairs, adjusted, strict=True)]


COMPARED = [(f"{a}-{base}", f"{b}{base}") for base in ("RP", "CSP")
            for a, b in (("N2NSkip", ""), ("ResSkip", ""), ("N2NSkip", "ResSkip-"))]  # fmt: skip


def compared(rows, a, b):
    """Yield the place of each density, and the difference of two methods there, if both have been run."""
    for k, density in enumerate(PERCENT):
        ours = [of(rows, method, density) for method in (a, b)]
        if all(ours):
            yield k, paired_rows(*ours)


def gains(rows, model):
    theirs, pairs, percents = published(rows, model), [], list(PERCENT.values())
    for a, b in COMPARED:
        for k, found in compared(rows, a, b):
            paper = f"{theirs[a][k] - theirs[b][k]:+.2f}" if a in theirs and b in theirs else "-"
            pairs.append([f"{a} - {b}", percents[k], paper, found])
    heads = ["difference", "density", "paper", "ours (95 % limits)", "p", "p, Holm over the table"]
    title = f"{NAMES[model]}: differences in test accuracy, paired by seed, in percentage points"
    table(title, heads, differences(pairs))


def epochs(rows, model):
    """Compare validation accuracies of the first epochs with the dense network's: the paper says nearly equal."""
    dense = [{"seed": row["seed"], "early": np.mean(row["curve"][:EPOCHS])} for row in where(rows, method="dense")]
    shown = len(rows[0]["curve"][:EPOCHS])
    at = sorted({1, max(1, shown // 4), max(1, shown // 2), shown})
    lines = []
    for method, density in [("dense", 1.0), *((m, d) for d in PERCENT for m in METHODS)]:
        its = of(rows, method, density)
        cells = [mean_of([row["curve"][epoch - 1] for row in its]) for epoch in at]
        early = [{"seed": row["seed"], "early": np.mean(row["curve"][:EPOCHS])} for row in its]
        less = paired_rows(early, dense, "early") if early and dense and method != "dense" else "-"
        lines.append([PERCENT.get(density, "100 %"), method, *cells, mean_of(all_of(early, "early")), less])
    heads = ["density", "method", *(f"epoch {epoch}" for epoch in at), f"mean of {shown}", "less dense (95 % limits)"]
    table(f"{NAMES[model]}: validation accuracy in %, the first {shown} epochs", heads, lines)


def budgets(rows, model):
    lines = []
    for density, percent in PERCENT.items():
        its = where(rows, density=density)
        counts = sorted({f"{row['weights']:,}" for row in its})
        dead = [mean_of(all_of(of(its, method, density), "dead"), 1) for method in METHODS]
        asked = f"{round(density * its[0]['possible']):,}" if its else ""
        every = [of(its, method, density)[:1] for method in ("RP", "N2NSkip-RP")]
        lines.append(
            [percent, asked, " / ".join(counts), *(f"{one['parameters']:,}" for few in every for one in few), *dead]
        )
    heads = ["density", "weights asked for", "kept, all methods", "parameters, RP", "parameters, N2NSkip-RP"]
    heads += [f"dead, {method}" for method in METHODS]
    table(f"{NAMES[model]}: weights that are left, and channels without a path from input to output", heads, lines)
    print(
        "\nWeights are equal. Of parameters N2NSkip has more: every skip of a convolution has a BatchNorm of its own."
    )


# --- heat ---


def distances(rows, model):
    for reading in READINGS:
        lines = []
        for k, (density, percent) in enumerate(PERCENT.items()):
            for method in METHODS:
                theirs = TABLE_3[model].get(method)
                its = [row["F"][reading] for row in of(rows, method, density)]
                cells = [short([values[at] for values in its]) for at in range(len(LABELS))]
                lines.append([percent, method, f"{theirs[k]:.1e}" if theirs else "-", *cells])
        dense = where(rows, method="dense")
        used = " / ".join(short([row["times"][reading][k] for row in dense], 2) for k in range(3))
        heads = ["density", "method", "paper, saturated", *(f"t = {label}" for label in LABELS)]
        title = f"{NAMES[model]}: distance F to the dense network, {TITLES[reading]} (1, 10, 100 / degree are {used})"
        table(title, heads, lines)


def short(values, digits=2):
    """Write the mean and the range."""
    if not values:
        return ""
    low, high = (f"{end:.{digits}g}" for end in (min(values), max(values)))
    return f"{np.mean(values):.{digits}g}" + (f" ({low} .. {high})" if low != high else "")


def correlations(rows, model):
    pruned = [row for row in rows if row["method"] != "dense"]
    density, accuracy = np.array(all_of(pruned, "density")), np.array(all_of(pruned, "accuracy"))
    lines = []
    for reading in READINGS:
        for at, label in enumerate(LABELS):
            distance = np.array([row["F"][reading][at] for row in pruned])
            pooled = rank_correlation(ranks_within(density, distance), ranks_within(density, accuracy), groups=density)
            lines.append([TITLES[reading], label, pooled, rank_correlation(distance, accuracy)])
    heads = ["edges", "t", "ranks within a density, pooled", "all runs"]
    table(f"{NAMES[model]}: Spearman's rank correlation of F and test accuracy, over runs", heads, lines)
    print("\nThe paper's claim is a negative one: closer to the dense network, more accurate. Brackets: 95 % limits by")
    print(
        "bootstrap, p by permutation, as if runs were independent; runs of one method differ little in F. Over all runs"
    )
    print("density drives both; within one the method does, so what else distinguishes the methods is confounded.")


def scree(rows, model):
    lines, lowest = [], min(PERCENT)
    for reading in READINGS:
        for method, density in [("dense", 1.0), *((method, lowest) for method in METHODS)]:
            its = of(rows, method, density)
            cells = [mean_of([row["scree"][reading][k] for row in its], 3) for k in range(len(LABELS) - 1)]
            unsure = max((row["unsure"][reading] for row in its), default=0.0)
            lines.append([TITLES[reading], method, *cells, f"{unsure:.1g}"])
    heads = ["edges", "method", *(f"t = {label}" for label in LABELS[:-1]), "known to ±"]
    title = f"{NAMES[model]}, {PERCENT[lowest]}: scree, alpha(K, t), the share of the smoothest 6 % of the modes"
    table(title, heads, lines)


# --- what else explains the gain ---

CONTROLS = (("methods", "as above"), ("initial scale", "initial scale: each as the other's"),
            ("layer budgets", "layers' budget by ERK"), ("depth", "one convolution a stage"))  # fmt: skip


def controls(rows):
    if not any(row["part"] == "initial scale" for row in rows):
        return
    density = min(PERCENT)
    first = next(row["model"] for row in rows if row["part"] == "methods")
    rows = [row for row in rows if row["part"] != "methods" or row["model"] == first]
    lines, pairs = [], []
    for part, words in CONTROLS:
        for base in ("RP", "CSP"):
            a, b = (of(where(rows, part=part), method, density) for method in (f"N2NSkip-{base}", base))
            if a and b:
                lines.append([words, base, *(mean_of(all_of(its, "accuracy")) for its in (b, a))])
                pairs.append([paired_rows(a, b)])
    lines = [[*line, *more] for line, more in zip(lines, differences(pairs), strict=True)]
    heads = ["condition", "base", "base's accuracy", "N2NSkip's", "gain (95 % limits)", "p", "p, Holm over the table"]
    table(f"{NAMES[first]}, {PERCENT[density]}: does the gain stay?", heads, lines)


# --- pictures ---


def draw(rows, model, folder):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    draw_accuracy(rows, model, *figure.subplots(1, 2, width_ratios=[1.2, 1]))
    figure.savefig(folder / f"n2nskip-{model}-accuracy.png", dpi=110)

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    draw_epochs(rows, figure.subplots(1, len(PERCENT), sharey=True))
    figure.savefig(folder / f"n2nskip-{model}-epochs.png", dpi=110)

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    draw_heat(rows, figure.subplots(1, len(READINGS), sharey=True))
    figure.savefig(folder / f"n2nskip-{model}-heat.png", dpi=110)


def look(method):
    from expandergraphs.plotting import style

    return style(METHODS.index(method))


def aside(k, n):
    return 0.7 * ((k + 0.5) / n - 0.5)


def below(axes, **options):
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, **options)


def draw_accuracy(rows, model, left, right):
    """Draw accuracies less the dense network's, and the gains; the paper's are hollow."""
    theirs = published(rows, model)
    of_dense = {row["seed"]: row["accuracy"] for row in where(rows, method="dense")}
    for k, method in enumerate(METHODS):
        mark = {key: look(method)[key] for key in ("color", "marker")} | {"linestyle": "", "ms": 7}
        x = np.arange(len(PERCENT)) + aside(k, len(METHODS))
        for at, density in zip(x, PERCENT, strict=True):
            values = [row["accuracy"] - of_dense.get(row["seed"], np.nan) for row in of(rows, method, density)]
            left.plot([at] * len(values), values, **mark | {"ms": 4, "alpha": 0.5})
            left.plot(at, np.mean(values or [np.nan]), label=method if at == x[0] else None, **mark)
        if method in theirs:
            left.plot(x, np.array(theirs[method]) - theirs["dense"], mfc="none", **mark)
    left.axhline(0, color="black", lw=0.8)
    left.set(ylabel="accuracy less the dense network's, points", title="large: mean, small: runs, hollow: the paper")
    left.legend(fontsize="small", ncols=2)

    shown = [pair for pair in COMPARED if pair[0].startswith("N2NSkip")]
    for k, (a, b) in enumerate(shown):
        mark = {key: look(b if "ResSkip" in b else a)[key] for key in ("color", "marker")} | {"linestyle": "", "ms": 7}
        x = np.arange(len(PERCENT)) + aside(k, len(shown))
        right.plot([], label=f"{a} - {b}", **mark)
        for at, one in compared(rows, a, b):
            ends = np.nan_to_num([[one.mean - one.low], [one.high - one.mean]])
            right.errorbar(x[at], one.mean, yerr=ends, capsize=4, **mark)
        if a in theirs and b in theirs:
            right.plot(x, np.subtract(theirs[a], theirs[b]), mfc="none", **mark)
    right.axhline(0, color="black", lw=0.8)
    right.set(ylabel="percentage points", title="differences, 95 % limits; hollow: the paper")
    right.legend(fontsize="small")
    for ax in (left, right):
        ax.set_xticks(range(len(PERCENT)), PERCENT.values())
        ax.set_xlabel("weights that are left")


def draw_epochs(rows, axes):
    for ax, (density, percent) in zip(axes, PERCENT.items(), strict=True):
        for method, its in [("dense", where(rows, method="dense")), *((m, of(rows, m, density)) for m in METHODS)]:
            if its:
                curve = np.mean([row["curve"][:EPOCHS] for row in its], axis=0)
                mark = {"color": "black", "lw": 1.6} if method == "dense" else look(method)
                each = {} if method == "dense" else {"markevery": max(1, len(curve) // 8), "ms": 4}
                ax.plot(np.arange(1, len(curve) + 1), curve, label=method, **mark | each)
        ax.set(xlabel="epoch", title=f"{percent} of the weights, mean of the seeds")
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("validation accuracy, %")
    below(axes)


def draw_heat(rows, axes, at=1):
    """Draw accuracy against F, at one time; the fewer weights, the paler."""
    pale = dict(zip(PERCENT, (1.0, 0.6, 0.3), strict=True))
    for ax, reading in zip(axes, READINGS, strict=True):
        for method in METHODS:
            for density, percent in PERCENT.items():
                its = of(rows, method, density)
                mark = {key: look(method)[key] for key in ("color", "marker")}
                ax.plot(
                    [row["F"][reading][at] for row in its],
                    all_of(its, "accuracy"),
                    linestyle="", ms=7, alpha=pale[density], label=method if percent == "10 %" else None, **mark,
                )  # fmt: skip
        ax.set_xscale("log")
        ax.set(xlabel=f"distance $F$ at $t$ = {LABELS[at]}", title=TITLES[reading])
    axes[0].set_ylabel("test accuracy, %")
    below(axes, title="full, pale, palest: 10, 5, 2 % of the weights")
