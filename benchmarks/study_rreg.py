"""The table of RReg's poster, "alpha: Random low, X-Net medium, RReg high", as numbers at equal edges.

    python benchmarks/study_rreg.py --path rreg.jsonl > table.md

Sizes n x n, degrees d, d n edges for every family; more seeds at n = 64, where every alpha is exact and takes a moment.
Interrupted, it goes on where it stopped, if `--path` is the same.
A cell is the mean of alpha over the graphs (a .. b where it is known within intervals), in brackets the limits of the
family's mean with 95 % confidence. "X-Net to Random" is the poster's claim that the one is higher than the other.
"""

import argparse
import platform
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import scipy

from expandergraphs.study import MEASURES, Study, study

POSTER = {"Random": "low", "X-Net": "medium", "RReg": "high"}
FAMILIES = {"Random": "random", "X-Net": "left_regular", "RReg": "regular"}
QUANTITIES = {
    "left_alpha": "alpha, left side",
    "right_alpha": "alpha, right side",
    "left_linked_alpha": "alpha, left side, without its isolated vertices",
    "right_linked_alpha": "alpha, right side, without its isolated vertices",
    "sampled_mean": "what RReg's code reports: mean of |N(S)|/|S| over 1000 random sets S, both sides",
}


def interval(lower, upper):
    lower, upper = (f"{round(end, 3) + 0.0:.3f}" for end in (lower, upper))  # no -0.000
    return lower if lower == upper else f"{lower} .. {upper}"


def print_table(result, quantity, title):
    names = list(FAMILIES)
    pairs = [("X-Net", "Random"), ("RReg", "X-Net"), ("RReg", "Random")]
    print(f"\n### {title}\n")
    print("| n | d | " + " | ".join(f"{name} ({POSTER[name]})" for name in names), end=" | ")
    print(" | ".join(f"{a} to {b}" for a, b in pairs), "|")
    print("|---:" * 2 + "|---" * 6 + "|")
    cells = {}
    for s in result.summary(quantity):
        cells.setdefault((s.n_left, s.degree), {})[s.family] = s
    verdicts = {pair: Counter() for pair in pairs}
    for (n, degree), of in cells.items():
        row = [f"{interval(s.lower, s.upper)} ({interval(s.low, s.high)})" for s in (of[name] for name in names)]
        for a, b in pairs:
            row.append(of[a].versus(of[b]))
            verdicts[a, b][row[-1]] += 1
        print(f"| {n} | {degree:g} | " + " | ".join(row) + " |")
    print(
        "\n"
        + "; ".join(
            f"{a} to {b}: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts[a, b].items())
            for a, b in pairs
        )
    )


def print_isolated(result):
    print("\n### Graphs with isolated vertices, left / right, of all\n")
    print("| n | d | " + " | ".join(FAMILIES) + " |\n" + "|---:" * (2 + len(FAMILIES)) + "|")
    for n, degree in dict.fromkeys((record["n_left"], record["degree"]) for record in result.records):
        row = []
        for family in FAMILIES:
            records = result.where(n_left=n, degree=degree, family=family).records
            left, right = (sum(r[f"{side}_degree_isolated"] > 0 for r in records) for side in ("left", "right"))
            row.append(f"{left} / {right} of {len(records)}")
        print(f"| {n} | {degree:g} | " + " | ".join(row) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--seeds", type=int, nargs="+", default=[200, 10, 10], help="for each of the sizes")
    parser.add_argument("--degrees", type=int, nargs="+", default=[3, 15, 30, 60])
    parser.add_argument("--time-limit", type=float, help="seconds, as for measure_expansion; none by default")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--path", type=Path, help="file that keeps every finished graph")
    parser.add_argument("--pictures", type=Path, help="folder for the plots")
    arguments = parser.parse_args()
    start = time.perf_counter()
    measures = {
        "degrees": "degrees",
        "spectrum": "spectrum",
        "expansion": partial(MEASURES["expansion"], time_limit=arguments.time_limit),
        "sampled": "sampled",
    }
    records = []
    for n, seeds in zip(arguments.sizes, arguments.seeds, strict=True):
        part = study(
            FAMILIES,
            [n],
            arguments.degrees,
            seeds,
            measures,
            path=arguments.path,
            processes=arguments.processes,
            progress=lambda done, total, n=n: print(f"n = {n}: {done} of {total} graphs", end="\r", file=sys.stderr),
        )
        records += part.records
    result = Study(tuple(records))
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}; ", end="")
    print(f"{result!r}; ", end="")
    print(f"seeds for each size: {arguments.seeds}; time limit: {arguments.time_limit}; ", end="")
    print(f"{arguments.processes} processes, {time.perf_counter() - start:.0f} s.")
    for quantity, title in QUANTITIES.items():
        print_table(result, quantity, title)
    print_isolated(result)
    print("\n### Alpha known exactly\n")
    for n, degree in dict.fromkeys((record["n_left"], record["degree"]) for record in result.records):
        exact = [
            [r[f"{side}_alpha_exact"] for side in ("left", "right")]
            for r in result.where(n_left=n, degree=degree).records
        ]
        print(f"- n = {n}, d = {degree:g}: {np.sum(exact)} of {np.size(exact)} sides")
    if arguments.pictures:
        draw(result, arguments.sizes, arguments.pictures)


def draw(result, sizes, folder):
    from matplotlib.figure import Figure

    from expandergraphs.plotting_study import plot_expansion, plot_sigma2

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(5 * len(sizes), 20), layout="constrained")
    for column, n in zip(figure.subplots(5, len(sizes), squeeze=False).T, sizes, strict=True):
        part, panels = result.where(n_left=n), iter(column)
        for side in ("left", "right"):
            for linked in (False, True):
                plot_expansion(part, next(panels), side=side, linked=linked)
        plot_sigma2(part, next(panels))
        column[0].set_title(f"{n} x {n}")
    figure.savefig(folder / "study-rreg.png", dpi=100)


if __name__ == "__main__":
    main()
