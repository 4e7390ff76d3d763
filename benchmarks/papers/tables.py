"""Rows of finished runs as Markdown tables: means, the papers' columns, and what a difference may be."""

import os
import platform
from typing import NamedTuple

import numpy as np
import scipy
import torch
from scipy import stats


def where(rows, **wanted):
    """Return the rows with these values, by seed."""
    return sorted((row for row in rows if wanted.items() <= row.items()), key=lambda row: row["seed"])


def table(title, heads, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(map(str, heads)) + " |")
    print("|---" * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def mean_of(values, digits=2):
    """Write a mean, and the sample standard deviation where there are several values."""
    values = np.asarray(values, float)
    if values.size == 0:
        return ""
    return f"{values.mean():.{digits}f}" + (f" ± {values.std(ddof=1):.{digits}f}" if values.size > 1 else "")


def delta_r(accuracy, random):
    """Return RReg's Delta_R, the gain over Random relative to its accuracy, in percent."""
    return 100 * (accuracy - random) / random


def delta_rar(accuracy, previous):
    """Return RReg's Delta_RAR: the share of the errors of the row above that is gone, in percent."""
    return 100 * (accuracy - previous) / (100 - previous)


class Paired(NamedTuple):
    """A mean difference of runs paired by seed, its 95 % limits by Student's t, and p of no difference."""

    mean: float
    low: float
    high: float
    p: float

    def __str__(self):
        limits = f" ({self.low:+.2f} .. {self.high:+.2f})" if self.low == self.low else ""
        return f"{self.mean:+.2f}{limits}"


def paired(a, b):
    differences = np.asarray(a, float) - np.asarray(b, float)
    if len(differences) == 0:
        return Paired(np.nan, np.nan, np.nan, np.nan)
    if len(differences) == 1 or np.allclose(differences, differences[0]):  # nothing to learn the spread from
        return Paired(differences.mean(), np.nan, np.nan, np.nan)
    test = stats.ttest_1samp(differences, 0)
    return Paired(differences.mean(), *test.confidence_interval(0.95), test.pvalue)


def paired_rows(a, b, quantity="accuracy"):
    """Compare two lists of rows in the seeds that both have."""
    of = {row["seed"]: row[quantity] for row in b}
    a = [row for row in a if row["seed"] in of]
    return paired([row[quantity] for row in a], [of[row["seed"]] for row in a])


def holm(p_values):
    """Return Holm's adjusted p; what is not known (nan) counts for nothing."""
    p_values = np.asarray(p_values, float)
    order = [i for i in np.argsort(p_values) if not np.isnan(p_values[i])]
    adjusted, worst = np.full(p_values.shape, np.nan), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted.tolist()


class RankCorrelation(NamedTuple):
    """Spearman's rho over n pairs, 95 % limits by bootstrap, and p of independence by permutation."""

    rho: float
    low: float
    high: float
    p: float
    n: int

    def __str__(self):
        return f"{self.rho:+.2f} ({self.low:+.2f} .. {self.high:+.2f}; p = {self.p:.2g}; n = {self.n})"


def rank_correlation(x, y, draws=2000, groups=None):
    """Correlate; `groups` of values that were made alike, such as ranks within each: p permutes within them."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(np.nan, np.nan, np.nan, np.nan, len(x))
    rng = np.random.default_rng(0)
    rho = _spearman(x, y)
    picks = rng.integers(len(x), size=(draws, len(x)))
    groups = np.zeros(len(x), int) if groups is None else np.unique(groups, return_inverse=True)[1]
    others = np.empty((draws, len(x)))
    others[:, np.argsort(groups)] = y[np.argsort(groups + rng.random((draws, len(x))), axis=1)]
    shuffled = _spearman(np.tile(x, (draws, 1)), others)
    p = (1 + np.sum(np.abs(shuffled) >= abs(rho) - 1e-12)) / (1 + draws)
    return RankCorrelation(rho, *np.nanquantile(_spearman(x[picks], y[picks]), [0.025, 0.975]), p, len(x))


def ranks_within(groups, values):
    """Return ranks within each group, centred and scaled to -1 .. 1: then groups can be pooled."""
    ranks, groups, values = np.empty(len(values)), np.asarray(groups), np.asarray(values, float)
    for group in np.unique(groups):
        its = groups == group
        ranks[its] = (2 * stats.rankdata(values[its]) - its.sum() - 1) / max(1, its.sum() - 1)
    return ranks


def _spearman(x, y):
    """Correlate the ranks in the last axis; nan where all are equal."""
    x, y = (stats.rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in (x, y))
    norm = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return (x * y).sum(-1) / np.where(norm > 0, norm, np.nan)


def environment():
    """Return what the figures were made with, in one line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} cores"
    return (
        f"{platform.platform()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, torch {torch.__version__}, {device}"
    )
