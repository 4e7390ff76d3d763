"""The tables and pictures of `expanders`: what the graphs are, what networks reach, and whether these go together."""

import numpy as np

from benchmarks.papers.tables import holm, mean_of, paired, paired_rows, rank_correlation, table, where

GOOD = ("explicit", "explicit in turn", "best of 20", "2-lift", "RReg")  # as good as random regular graphs, or better
MEASURES = {
    "α, certified lower end": "lower",
    "σ2/σ1 of a layer": "ratio",
    "σ2/σ1 of the whole": "mixing",
    "reach": "reach",
}
NOTES = """
**How to read this.** All wirings of a table have the same number of edges in every layer, and but for X-Net and Random
the same degree at every unit; the same seeds, ends, initial dense weights and order of images. α is that of the first
layer's graph, both sides. Where all degrees are equal its certified lower end follows from σ2, so that the two are
nearly one measurement, unless the graph is small enough for α to be exact. σ2/σ1 of a layer is the mean over the layers
of a network; of the whole: of the product of its layers' normalised biadjacencies. Reach: the share of the pairs of a
pixel and a class that are joined by a path; in a cnn, of a colour and a class, which is always all. Dead: units between
the ends without a path through them.

**What is confounded, and what is not.** Where parts are the same in all layers, expansion of the layers, mixing of the
whole and reach change together. "Shuffled" takes them apart: these have the expansion of the parts, and the mixing of
the whole. Pixels are dealt out at random by narrow ends, and dense ones read all, so no part, block or band is a piece
of an image. With narrow ends a class cannot use a pixel that does not reach it, so where reach is incomplete, what is
lost is first of all information; how well a network mixes shows by itself only where reach is complete. Depth changes
the number of edges: compare within a column. No weight leads around a layer (no residuals). Rank correlations take
networks as independent, though those of one wiring are alike, so their p are too small; that of the means is not.
Nothing was tuned but the epochs, to the time there was. The p of the last table are not corrected."""


def report(rows, pictures=None):
    rows = joined(rows)
    for size, model in dict.fromkeys((row["size"], row["model"]) for row in rows):
        of = where(rows, size=size, model=model)
        title = f"{of[0]['n']} units, degree {of[0]['degree']}; explicit: {size}; {model}"
        graphs(of, title)
        accuracies(of, title)
        differences(of, title)
        if {"parts", "parts + 10 %"} <= {row["method"] for row in of}:
            doses(of, title)
        correlations(of, title)
        if pictures:
            draw(of, title, pictures / f"expanders-{model}-{of[0]['n']}.png")
    pooled(rows)
    print(NOTES)


def joined(rows):
    """Return the rows of the networks with what is known of their graphs."""
    graphs = {(row["size"], row["method"], row["seed"]): row for row in where(rows, part="graph")}
    of_graph = ("n", "degree", "lower", "upper", "regular", "connected", "ramanujan")
    networks = [(row, graphs.get((row["size"], row["method"], row["seed"]))) for row in where(rows, part="network")]
    return [row | {name: graph[name] for name in of_graph} for row, graph in networks if graph]


def columns_of(rows):
    return list(dict.fromkeys((row["ends"], row["depth"]) for row in sorted(rows, key=lambda r: r["ends"] != "narrow")))


def methods_of(rows):
    """Return the wirings, RReg first, then as they were run."""
    return sorted(dict.fromkeys(row["method"] for row in rows), key=lambda method: method != "RReg")


def heads_of(rows):
    return [f"{ends} ends, {depth} layers" for ends, depth in columns_of(rows)]


def cell(rows, method, column):
    return where(rows, method=method, ends=column[0], depth=column[1])


def graphs(rows, title):
    columns, lines = columns_of(rows), []
    for method in methods_of(rows):
        of_seeds = list({row["seed"]: row for row in where(rows, method=method)}.values())
        lower, upper = (f"{np.mean([row[end] for row in of_seeds]):.3f}" for end in ("lower", "upper"))
        verdicts = ["-" if None in (found := [row[name] for row in of_seeds]) else f"{sum(found)} of {len(found)}"
                    for name in ("connected", "ramanujan")]  # fmt: skip
        line = [
            method,
            mean_of([row["ratio"] for row in of_seeds], 3),
            lower if lower == upper else f"{lower} .. {upper}",
        ]
        line += [*verdicts, max(row["dead"] for row in where(rows, method=method))]
        for column in columns:
            of = cell(rows, method, column)
            line.append(
                f"{np.mean([r['reach'] for r in of]):.0f} %; {np.mean([r['mixing'] for r in of]):.2g}" if of else ""
            )
        lines.append(line)
    heads = ["wiring", "σ2/σ1 of a layer", "α", "connected", "Ramanujan", "dead, at most"]
    edges = rows[0]["edges"] // rows[0]["depth"]
    table(f"Graphs: {title}; {edges:,} edges a layer (dense: all); reach, and σ2/σ1 of the whole, by network",
          heads + heads_of(rows), lines)  # fmt: skip


def accuracies(rows, title):
    lines = [[method, *(mean_of([r["accuracy"] for r in cell(rows, method, column)]) for column in columns_of(rows))]
             for method in methods_of(rows)]  # fmt: skip
    seeds = len({row["seed"] for row in rows})
    table(f"Test accuracy, %, {seeds} seeds: {title}", ["wiring", *heads_of(rows)], lines)


def differences(rows, title):
    """Compare with RReg, seed by seed; Holm over the whole table."""
    columns, methods = columns_of(rows), [method for method in methods_of(rows) if method != "RReg"]
    of = {(m, c): paired_rows(cell(rows, m, c), cell(rows, "RReg", c)) for m in methods for c in columns
          if cell(rows, m, c) and cell(rows, "RReg", c)}  # fmt: skip
    adjusted = dict(zip(of, holm([found.p for found in of.values()]), strict=True))
    text = {key: f"{found}, {found.p:.2g}, {adjusted[key]:.2g}" for key, found in of.items()}
    lines = [[method, *(text.get((method, column), "") for column in columns)] for method in methods]
    table(f"Less RReg, paired (95 %), p, p by Holm over these {len(of)}: {title}", ["wiring", *heads_of(rows)], lines)


def doses(rows, title):
    lines = []
    for method in methods_of(rows):
        name, _, order = method.partition(", ")
        if not name.startswith("parts") and name != "RReg":
            continue
        share = {"parts": "0", "RReg": "RReg"}.get(name, name.removeprefix("parts + "))
        line = [share, order or "as they are", mean_of([row["ratio"] for row in where(rows, method=method)], 3)]
        line.append(f"{np.mean([row['lower'] for row in where(rows, method=method)]):.3f}")
        for column in columns_of(rows):
            names, of = ("accuracy", "reach", "mixing"), cell(rows, method, column)
            accuracy, reach, mixing = (np.mean([row[name] for row in of]) if of else np.nan for name in names)
            line.append(f"{accuracy:.2f}; {reach:.0f} %; {mixing:.2g}")
        lines.append(line)
    table(f"Dose and response: accuracy; reach; σ2/σ1 of the whole: {title}",
          ["edges rewired", "units", "σ2/σ1 of a layer", "α, lower end", *heads_of(rows)], lines)  # fmt: skip


def less_seed(rows):
    """Return the rows of a network, but dense ones, with their `gain`: accuracy less that seed's mean."""
    rows = [row for row in rows if row["method"] != "dense"]
    mean = {seed: np.mean([row["accuracy"] for row in where(rows, seed=seed, regular=True)])
            for seed in {row["seed"] for row in rows}}  # fmt: skip
    return [row | {"gain": row["accuracy"] - mean[row["seed"]]} for row in rows]


def correlations(rows, title):
    """Correlate gains with each measure, over graphs of exactly equal degrees."""
    lines, names = [], [*MEASURES.values(), "gain"]
    for ends, depth in columns_of(rows):
        regular = where(less_seed(where(rows, ends=ends, depth=depth)), regular=True)
        good = [row for row in regular if row["method"] in GOOD]
        wirings = [where(regular, method=method) for method in dict.fromkeys(row["method"] for row in regular)]
        means = [{name: np.mean([row[name] for row in of]) for name in names} for of in wirings]
        for scope, some in (("all", regular), ("all, means of wirings", means), ("RReg and better", good)):
            # The sigma2 of equal graphs in another order differs by rounding, and must not by rank.
            *measures, gain = ([float(f"{row[name]:.9g}") for row in some] for name in names)
            found = [rank_correlation(measure, gain) for measure in measures]
            lines.append([f"{ends} ends, {depth} layers", scope, *("" if np.isnan(f.rho) else f for f in found)])
    table(f"Rank correlation of accuracy with expansion (95 %; p): {title}", ["network", "over", *MEASURES], lines)


def pooled(rows):
    """Compare with RReg over all networks that a wiring was tried in: one mean difference for each seed."""
    lines = []
    for ends in ("narrow", "dense"):
        part = [row for row in rows if row["ends"] == ends]
        for method in methods_of(part):
            base = {(r["size"], r["model"], r["depth"], r["seed"]): r["accuracy"] for r in where(part, method="RReg")}
            gains = {}
            for row in where(part, method=method):
                key = (row["size"], row["model"], row["depth"], row["seed"])
                if key in base:
                    gains.setdefault(row["seed"], []).append(row["accuracy"] - base[key])
            if method not in ("RReg", "dense") and gains:
                difference = paired([np.mean(of) for of in gains.values()], np.zeros(len(gains)))
                lines.append([ends, method, sum(map(len, gains.values())), difference, f"{difference.p:.2g}"])
    table("Less RReg, over all sizes and depths: means of each seed's differences",
          ["ends", "wiring", "pairs", "mean (95 %)", "p"], lines)  # fmt: skip


STYLES = {  # marker and colour (of Okabe and Ito) by family; shuffled ones are drawn open
    "explicit": ("*", "black"),
    "explicit in turn": ("P", "black"),
    "best of 20": ("^", "#0072B2"),
    "RReg": ("o", "#0072B2"),
    "2-lift": ("v", "#0072B2"),
    "X-Net": ("D", "#009E73"),
    "Random": ("X", "#009E73"),
    "block": ("s", "#CC79A7"),
    "band": ("p", "#E69F00"),
    "parts": ("h", "#D55E00"),
}


def draw(rows, title, path):
    """Draw accuracy against expansion of the layers, and against that of the whole; numbers are doses and blocks."""
    from matplotlib.figure import Figure

    columns = columns_of(rows)
    figure = Figure(figsize=(4 + 3.2 * len(columns), 7), layout="constrained")
    panels = figure.subplots(2, len(columns), squeeze=False, sharey="col", sharex="row")
    drawn = {}
    for line, (name, label) in enumerate((("ratio", "σ2/σ1 of a layer"), ("mixing", "σ2/σ1 of the whole network"))):
        for column, ax in zip(columns, panels[line], strict=True):
            doses, gains = [], less_seed(where(rows, ends=column[0], depth=column[1]))
            level = np.mean([row["accuracy"] - row["gain"] for row in gains])
            for method in methods_of(gains):
                of = where(gains, method=method)
                base, _, order = method.partition(", ")
                family = next(family for family in STYLES if base == family or base.startswith(f"{family} "))
                amount = base.removeprefix(family).strip(" +") if base not in STYLES else ""
                (marker, colour), y = STYLES[base if base in STYLES else family], [level + row["gain"] for row in of]
                at = np.mean([row[name] for row in of]), np.mean(y)
                point = ax.errorbar(*at, np.std(y, ddof=1) if len(y) > 1 else None, fmt=marker, color=colour, capsize=2,
                                    mfc="none" if order else colour, markersize=10 if marker == "*" else 7)  # fmt: skip
                drawn[(base if base in STYLES else family) + (f", {order}" if order else "")] = point
                ax.annotate("" if order else amount, at, xytext=(5, -9), textcoords="offset points", fontsize=7)
                if family == "parts" and not order:
                    doses.append(at)
            if doses:
                ax.plot(*zip(*doses, strict=True), color=STYLES["parts"][1], linewidth=0.8, zorder=0)
            ax.set_xlabel(label)
            if name == "mixing":
                ax.set_xscale("log")
    for (ends, depth), ax in zip(columns, panels[0], strict=True):
        ax.set_title(f"{ends} ends, {depth} layers")
    for ax in panels[:, 0]:
        ax.set_ylabel("test accuracy, %")
    figure.legend(drawn.values(), drawn.keys(), loc="outside right center", fontsize="small")
    figure.suptitle(f"{title}\naccuracy less its seed's mean, plus that of all seeds; bars: standard deviation\n"
                    "line: parts, more and more rewired", fontsize="medium")  # fmt: skip
    figure.savefig(path, dpi=110)
