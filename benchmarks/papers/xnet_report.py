"""The tables and pictures of `xnet`: accuracy by width, layers until all reach all, shares of gradients by layer."""

from math import ceil, log
from statistics import mean

import numpy as np

from benchmarks.papers.tables import holm, mean_of, paired_rows, table, where

NAMES = {
    "left_regular": "X-Net",
    "regular": "RReg",
    "random": "Random",
    "grouped": "Groups",
    "scattered": "scattered groups",
}


def report(rows, pictures=None):
    """Print and draw the parts of which there are runs."""
    sections = {
        "width": ((accuracies, differences), draw_widths, "units in a layer"),
        "depth": ((depths,), draw_depths, "log n / log d"),
        "gradients": ((gradients,), draw_gradients, "layer"),
    }
    for part, (tables, draw, across) in sections.items():
        its = where(rows, part=part)
        for print_table in tables if its else ():
            print_table(its)
        if its and pictures:
            picture(its, draw, across, pictures / f"xnet-{part}.png")


def picture(rows, draw, across, path):
    from matplotlib.figure import Figure

    from expandergraphs.plotting import style

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    draw(rows, {method: style(k) for k, method in enumerate(NAMES)}, ax)
    ax.set_xlabel(across)
    ax.legend(fontsize="small")
    figure.savefig(path, dpi=150)


# --- (a) ---


def widths_of(rows):
    return sorted({row["width"] for row in rows if row["method"] != "dense"})


def narrow_of(rows):
    return rows[0]["narrow"]


def of(rows, method, width):
    return where(rows, method=method, width=width)


def as_large(rows, width):
    return where(rows, method="dense", as_large_as=width)


def accuracies(rows):
    """Print accuracies by width, beside those of dense networks as large; those of the ends of the widths come last."""
    narrow, widths = narrow_of(rows), widths_of(rows)
    heads = ["units in a layer", "degree", *NAMES.values(), "parameters", "dense, as large", "its parameters"]
    for quantity, title in (("accuracy", "Test accuracy in %"), ("train", "Training accuracy in %, last epoch")):
        lines = []
        for width in widths:
            its = [of(rows, method, width) for method in NAMES]
            cells = [width, f"{narrow**2 / width:g}", *(mean_of([row[quantity] for row in part]) for part in its)]
            lines.append([*cells, size(its[0]), *dense_cells(as_large(rows, width), quantity)])
        for width in (narrow, *widths[-1:]):
            dense = dense_cells(of(rows, "dense", width), quantity)
            lines.append([f"{width}, dense", width, *[""] * (len(NAMES) + 1), *dense])
        table(f"(a) {title}: in each layer the edges of a dense one with {narrow} units", heads, lines)
    idle = [
        [width, *(mean_of([row["dead"] for row in of(rows, method, width)], 0) for method in NAMES)] for width in widths
    ]
    table(
        "Units of the hidden layers without a path from an input, or to the last of them", ["", *NAMES.values()], idle
    )
    print(f"\n{len({row['seed'] for row in rows})} seeds, {rows[0]['epochs']} epochs.")


def size(rows):
    return f"{rows[0]['parameters']:,}" if rows else ""


def dense_cells(rows, quantity):
    return mean_of([row[quantity] for row in rows]), size(rows)


def comparisons(rows, width):
    """Return what is compared at a width: names, and the rows of both sides."""
    ours, narrow = of(rows, "left_regular", width), narrow_of(rows)
    yield f"X-Net less dense, {narrow} units", ours, of(rows, "dense", narrow)
    yield "X-Net less dense, as large", ours, as_large(rows, width)
    yield "X-Net less Groups", ours, of(rows, "grouped", width)
    yield "X-Net less scattered groups", ours, of(rows, "scattered", width)
    yield "X-Net less Random", ours, of(rows, "random", width)
    yield "RReg less X-Net", of(rows, "regular", width), ours


def differences(rows):
    """Print paired differences: one p for each, corrected by Holm for all of the table."""
    found = [
        (width, name, paired_rows(a, b))
        for width in widths_of(rows)
        for name, a, b in comparisons(rows, width)
        if {row["seed"] for row in a} & {row["seed"] for row in b}
    ]
    corrected = holm([difference.p for _, _, difference in found])
    lines = [(*its, f"{p:.2g}") for its, p in zip(found, corrected, strict=True)]
    table(
        "Differences in points, paired by seed, 95 % limits by Student's t", ["width", "", "mean", "p by Holm"], lines
    )


# --- (b) ---


def depths(rows):
    found = {method: where(rows, method=method) for method in NAMES if method != "scattered"}
    cells = [(its["n"], its["degree"]) for its in rows[0]["depths"]]
    lines = []
    for k, (n, degree) in enumerate(cells):
        bounds = [row["depths"][k]["bound"] for row in found["regular"]]
        known = [bound for bound in bounds if bound is not None]
        line = [n, degree, ceil(log(n) / log(degree) - 1e-9)]
        line += [seen([row["depths"][k]["depth"] for row in its]) for its in found.values()]
        lines.append([*line, f"{mean(known):.1f}" if known and len(known) == len(bounds) else "none"])
    heads = ["n", "degree", "log n / log d, up", *(NAMES[method] for method in found), "theorem, RReg"]
    table("(b) Layers until every output is reached from every input; never: not among the first 64", heads, lines)


def seen(values):
    """Write the mean of depths; how many had none within those looked at."""
    known = [value for value in values if value is not None]
    if not known:
        return "never"
    never = f" ({len(values) - len(known)} of {len(values)} never)" if len(known) < len(values) else ""
    return f"{mean(known):.1f}{never}"


KINDS = {  # what to look at of a run
    "a path": lambda row: row["paths"],
    "a gradient, for an image, before training": lambda row: [layer["image"] for layer in row["before"]],
    "a gradient, for an image, trained": lambda row: [layer["image"] for layer in row["after"]],
    "a gradient for any of the images, before training": lambda row: [layer["any"] for layer in row["before"]],
    "a gradient for any of the images, trained": lambda row: [layer["any"] for layer in row["after"]],
}


def shares(rows, method, kind):
    """Return shares in percent, shape (seeds, layers)."""
    return 100 * np.array([KINDS[kind](row) for row in where(rows, method=method)])


def gradients(rows):
    """Print shares by layer; and from which layer on they are complete for every image."""
    lines, first = [], []
    for method, name in NAMES.items():
        its = where(rows, method=method)
        if its:
            lines += [[name, kind, *(f"{share:.4g}" for share in shares(rows, method, kind).mean(0))] for kind in KINDS]
            complete = [[depth_of(row[when]) for row in its] for when in ("before", "after")]
            first.append([name, *map(seen, complete), mean_of([row["accuracy"] for row in its])])
    layers = range(1, len(lines[0]) - 1) if lines else ()
    table("(b) Pairs of an input and a unit, in %, with", ["", "", *(f"layer {t}" for t in layers)], lines)
    heads = ["", "before training", "trained", "test accuracy, %"]
    table("(b) First layer of which every unit has a gradient by every input, for every image", heads, first)


def depth_of(layers):
    return next((t for t, layer in enumerate(layers, start=1) if layer["worst"] == 1), None)


# --- pictures ---


def draw_widths(rows, looks, ax):
    narrow, widths = narrow_of(rows), widths_of(rows)
    lines = {NAMES[method]: ([of(rows, method, width) for width in widths], look) for method, look in looks.items()}
    black = {"color": "black", "marker": "x", "linestyle": ":", "ms": 6}
    lines["dense, as many parameters"] = [as_large(rows, width) for width in widths], black
    for k, (name, (found, look)) in enumerate(lines.items()):
        at = np.log2(widths) + 0.05 * (k - 2)
        points = {x: [row["accuracy"] for row in its] for x, its in zip(at, found, strict=True) if its}
        if points:
            ax.plot(list(points), [mean(values) for values in points.values()], label=name, **look)
        for x, values in points.items():
            ax.plot([x] * len(values), values, linestyle="", marker="_", ms=7, color=look["color"])
    dense = [row["accuracy"] for row in of(rows, "dense", narrow)]
    if dense:
        ax.axhline(mean(dense), color="0.5", lw=1, label=f"dense, {narrow} units")
    ax.set_xticks(np.log2(widths), widths)
    ax.set(ylabel="test accuracy, %", title="Edges fixed, layers wider; dashes: runs")


def draw_depths(rows, looks, ax):
    """Draw layers against log n / log d, where all seeds have come to an end; and what the theorem says of RReg."""
    cells = rows[0]["depths"]
    least = np.array([log(its["n"]) / log(its["degree"]) for its in cells])
    line = np.linspace(1, least.max())
    ax.plot(line, line, color="black", lw=1, label="log n / log d")
    shown = [(method, "depth", NAMES[method]) for method in NAMES] + [("regular", "bound", "the theorem, for RReg")]
    for k, (method, quantity, label) in enumerate(shown):
        found = [[row["depths"][cell][quantity] for row in where(rows, method=method)] for cell in range(len(cells))]
        points = [(x + 0.04 * k, mean(its)) for x, its in zip(least, found, strict=True) if its and all(its)]
        look = {key: looks[method][key] for key in ("color", "marker")}
        if quantity == "bound":
            look = {"color": "0.4", "marker": "_"}
        if points:
            ax.plot(*zip(*points, strict=True), linestyle="", ms=7, mfc="none", label=label, **look)
    ax.set_yscale("log", base=2)
    ax.set_yticks([1, 2, 4, 8, 16, 32, 64], [1, 2, 4, 8, 16, 32, 64])
    ax.set(ylabel="layers", title="Until every output is reached from every input")


def draw_gradients(rows, looks, ax):
    for method, look in looks.items():
        for kind, end in (("a path", "path"), ("a gradient, for an image, trained", "gradient")):
            values = shares(rows, method, kind).mean(0) if where(rows, method=method) else []
            line = {"linestyle": ":", "ms": 4} if end == "path" else {"linestyle": "-", "ms": 6}
            if len(values):
                ax.plot(range(1, len(values) + 1), values, label=f"{NAMES[method]}, {end}", **(look | line))
                ax.set_xticks(range(1, len(values) + 1))
    ax.set(ylabel="pairs of input and unit, %", title="Pairs with a path; with a gradient, trained, for an image")
