"""Alford's tables beside ours."""

import numpy as np

from benchmarks.papers.alford_pictures import draw, mean_degrees
from benchmarks.papers.tables import holm, mean_of, paired, paired_rows, table, where

REGIMES = {  # ours, and the slides' where they give numbers
    "dense": None,
    "one-time, as pruned": None,
    "one-time": None,
    "iterative": "iterative",
    "one-time, new start": "one-time retrained",
    "iterative, new start": "iterative retrained",
    "random, new start": None,
    "global, as pruned": None,
    "global": None,
    "global, new start": None,
    "global counts, random, new start": None,
}
DIFFERENCES = (
    ("one-time, new start", "random, new start"),
    ("iterative, new start", "random, new start"),
    ("global, new start", "global counts, random, new start"),
    ("iterative", "one-time"),
)
GAINS = (("one-time", "one-time, new start"), ("iterative", "iterative, new start"))  # over dense, as long trained
STRUCTURES = (("one-time", "90"), ("iterative", "90"), ("one-time", "99"), ("iterative", "99"), ("global", "99"))
LEVELS = ("0", "50", "75", "90", "95", "99")
PUBLISHED = {  # accuracy by sparsity; by (share of the weights, times as wide)
    ("mnist", "lenet-300-100"): {
        "one-time retrained": (97.03, 96.88, 96.82, 96.19, 95.65, 56.08),
        "iterative": (97.03, 97.5, 97.44, 97.4, 97.3, 96.83),
        "iterative retrained": (97.03, 97.03, 97.05, 97.02, 96.34, 96.08),
        "random": {(0.01, 1): 74.1, (0.05, 1): 91.49, (0.1, 1): 93.42, (0.5, 1): 96.28, (1, 1): 97.03,
                   (0.5, 2): 96.65, (0.1, 10): 94.45, (0.01, 100): 94.3},
        "RadiX-Net": {(0.1, 1): 93.57, (0.1, 10): 93.98},
    },
    ("mnist", "lenet-5"): {
        "one-time retrained": (99.2, 98.95, 79.94, 89.92, 98.32, 11.35),
        "iterative": (99.2, 99.17, 98.91, 98.84, 98.8, 98.48),
        "iterative retrained": (99.2, 98.78, 69.92, 88.67, 98.54, 77.96),
        "random": {(0.01, 1): 49.36, (0.05, 1): 98.38, (0.1, 1): 98.77, (0.5, 1): 99.2, (1, 1): 99.2,
                   (0.5, 2): 99.14, (0.1, 10): 98.91},
    },
    ("cifar10", "lenet-5"): {
        "iterative": (80.14, 79.59, 79.08, 74.9, None, None),
        "random": {(0.01, 1): 9.99, (0.05, 1): 71.34, (0.1, 1): 74.61, (0.5, 1): 79.22, (1, 1): 80.14,
                   (0.5, 2): 80.4, (0.1, 10): 79.35},
    },
}  # fmt: skip


def report(rows, pictures):
    for model in dict.fromkeys(row["model"] for row in rows):
        of_model = where(rows, model=model)
        published = PUBLISHED.get((of_model[0]["dataset"], model), {})
        pruned, sparse = where(of_model, part="pruning"), where(of_model, part="sparse")
        if pruned:
            print(f"\n## {model}: {len(pruned)} seeds, {pruned[0]['n_steps']} steps a training")
            regimes_table(model, pruned, published)
            differences_table(model, pruned)
        if sparse:
            sparse_table(model, sparse, pruned, published)
        if pruned:
            structure_table(model, pruned)
            margin(pruned)
    if pictures:
        draw(rows, PUBLISHED, pictures)


def accuracies(rows, regime, level):
    """Return the accuracies of the rows that have one; a new start without pruning is the dense network's."""
    found = [row["accuracy"].get(regime, {}).get(level) for row in rows]
    if level == "0" and regime.endswith("new start"):
        return accuracies(rows, "dense", level)
    return [value for value in found if value is not None]


def regimes_table(model, rows, published):
    lines = []
    for regime, theirs in REGIMES.items():
        lines.append([regime, *(mean_of(accuracies(rows, regime, level)) for level in LEVELS)])
        if theirs in published:
            lines.append([f"*slides: {theirs}*", *("" if x is None else f"*{x}*" for x in published[theirs])])
    table(f"{model}: test accuracy by sparsity", ["regime", *(f"{level} %" for level in LEVELS)], lines)
    print(
        "\n*dense* and every new start: trained once; *as pruned*: no step after that. *one-time*, *iterative*, "
        "*global*: the dense network pruned, and trained for as many steps again; at 0 %, only that. *random*: as many "
        "weights in each layer as pruning leaves there, at random places. The slides' *one-time retrained* is taken "
        "for a new start."
    )


def differences_table(model, rows):
    cells = {
        (a, b, level): paired(accuracies(rows, a, level), accuracies(rows, b, level))
        for a, b in DIFFERENCES
        for level in LEVELS[1:]
        if accuracies(rows, a, level)
    }
    cells |= {
        (a, b, level): paired(lost(rows, a, level), lost(rows, b, level)) for a, b in GAINS for level in LEVELS[1:]
    }
    adjusted = dict(zip(cells, holm([cell.p for cell in cells.values()]), strict=True))
    lines = [
        [
            f"{a} − {b}" + (" ‡" if (a, b) in GAINS else ""),
            *(_starred((a, b, level), cells, adjusted) for level in LEVELS[1:]),
        ]
        for a, b in (*DIFFERENCES, *GAINS)
    ]
    table(f"{model}: differences paired by seed", ["difference", *(f"{level} %" for level in LEVELS[1:])], lines)
    print(
        "\nPercentage points and Student's 95 % limits; * p < .05, after Holm over this table. ‡ The one was trained "
        "twice as long as the other: each is taken less the dense network that was trained as long."
    )


def lost(rows, regime, level):
    """Return the accuracies less those of the dense network that was trained as long."""
    return np.subtract(accuracies(rows, regime, level), accuracies(rows, regime, "0"))


def _starred(key, cells, adjusted):
    return f"{cells[key]}{' *' if adjusted[key] < 0.05 else ''}" if key in cells else ""


def sparse_table(model, rows, pruned, published):
    lines = [["dense", "100 %", "1", "", mean_of(accuracies(pruned, "dense", "0")),
              published.get("random", {}).get((1, 1), ""), ""]]  # fmt: skip
    for kind in dict.fromkeys((row["wider"], row["density"], row["method"]) for row in rows):
        wider, density, method = kind
        its = where(rows, method=method, density=density, wider=wider)
        control = "random channels" if method == "RadiX-Net" and model == "lenet-5" else "random"
        same_weights = where(rows, method=control, density=density, wider=wider)
        theirs = published.get(method, {}).get((density, wider), "")
        difference = "" if method == "random" else paired_rows(its, same_weights)
        weights = f"{sum(its[0]['weights'].values()):,}"
        lines.append([method, f"{100 * density:g} %", wider, weights, mean_of(_accuracy(its)), theirs, difference])
    heads = [
        "network",
        "share of the weights",
        "times as wide",
        "weights there",
        "accuracy",
        "slides",
        "minus random †" if model == "lenet-5" else "minus random",
    ]
    table(f"{model}: sparse from the start", heads, lines)
    if model == "lenet-5":
        print("\n† RadiX-Net: minus random channels, with whole kernels as it has; others: minus random weights.")


def _accuracy(rows):
    return [row["accuracy"] for row in rows]


def structure_table(model, rows):
    lines = []
    for regime, level in STRUCTURES:
        found = [row["structure"][regime][level] for row in rows if level in row["structure"].get(regime, {})]
        for name in found[0] if found else ():
            layers = [layers[name] for layers in found]
            shape = " x ".join(map(str, layers[0]["shape"]))
            density = np.mean([layer["pruned"]["density"] for layer in layers])
            quantities = ("spread_in", "spread_out", "dead_in", "dead_out", "ratio", "parts", "kernels_gone")
            lines.append([f"{regime}, {level} %", f"{name}: {shape}", f"{100 * density:.2f} %",
                          *(_beside(layers, quantity) for quantity in quantities)])  # fmt: skip
    heads = ["regime", "layer", "density", "deviation of degrees, inputs", "outputs", "inputs without weights",
             "outputs", "σ2/σ1", "components", "kernels gone"]  # fmt: skip
    table(f"{model}: what pruned structure looks like (random ones in brackets)", heads, lines)
    print("\nMeans over the seeds. Components of more than one unit. Every tap of a kernel is an input of its own.")


def _beside(layers, quantity):
    """Write a quantity of pruned layers, and in brackets that of random ones."""
    means = [
        np.mean([np.nan if layer[kind].get(quantity) is None else layer[kind][quantity] for layer in layers])
        for kind in ("pruned", "random")
    ]
    digits = 2 if quantity in ("ratio", "kernels_gone") else 1
    return "" if np.isnan(means[0]) else f"{means[0]:.{digits}f} ({means[1]:.{digits}f})"


def margin(rows):
    """Print how many weights pixels of the margin keep, which are black in most images."""
    first = next(iter(rows[0]["structure"]["one-time"]["90"].values()))
    if len(first.get("degrees", ())) != 28 * 28:
        return
    outside = np.ones((28, 28), bool)
    outside[4:-4, 4:-4] = False
    parts = []
    for regime in ("one-time", "iterative"):
        for level in LEVELS[1:]:
            degrees = mean_degrees(rows, regime, level).reshape(28, 28)
            parts.append(f"{regime}, {level} %: {degrees[outside].mean():.2f} and {degrees[~outside].mean():.2f}")
    print(f"\nWeights of a pixel in the margin of 4, and of one inside: {'; '.join(parts)}.")
