"""The columns of the tables, against the papers' own figures, SciPy, and textbook examples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.papers.tables import (
    delta_r,
    delta_rar,
    holm,
    mean_of,
    paired,
    paired_rows,
    rank_correlation,
    table,
    where,
)


@pytest.mark.parametrize(
    ("accuracy", "random", "previous", "wanted"),
    [(93.05, 92.51, 92.65, (0.58, 5.44)), (59.61, 56.98, 56.69, (4.62, 6.74))],
)
def test_rregs_columns_as_published(accuracy, random, previous, wanted):
    assert (round(delta_r(accuracy, random), 2), round(delta_rar(accuracy, previous), 2)) == wanted


def test_means_and_their_spread():
    assert mean_of([90, 92, 94]) == "92.00 ± 2.00"
    assert mean_of([1.23456], 3) == "1.235"
    assert mean_of([]) == ""


def test_differences_are_paired_by_seed():
    a, b = [{"seed": s, "accuracy": 90 + s} for s in (2, 0, 1, 5)], [{"seed": s, "accuracy": 80} for s in range(3)]
    found = paired_rows(a, b)  # 12, 10 and 11; seed 5 has no partner
    assert found.mean == 11
    half = stats.t.ppf(0.975, 2) / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((11 - half, 11 + half))
    assert found.p == pytest.approx(2 * stats.t.sf(11 * math.sqrt(3), 2))
    assert math.isnan(paired([1], [2]).low)
    assert math.isnan(paired([90.1, 80.3], [93.7, 83.9]).p)  # equal, up to rounding
    assert str(paired([1, 2, 4], [1, 1, 1])).startswith("+1.33 (")
    assert str(paired([1], [2])) == "-1.00"


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, math.nan, 0.9])[::2] == [1.0, 1.0]
    assert math.isnan(holm([0.5, math.nan])[1])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=4, max_size=12))
def test_rank_correlation_is_spearmans(pairs):
    x, y = np.array(pairs).T
    found = rank_correlation(x, y, draws=20)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(found.rho)
        return
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert 0 < found.p <= 1


def test_rank_correlation_tells_order_from_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    ordered, noise = rank_correlation(x, np.exp(x)), rank_correlation(x, rng.normal(size=30))
    assert ordered.rho == ordered.low == ordered.high == 1
    assert ordered.p < 0.001
    assert noise.low < 0 < noise.high
    assert noise.p > 0.05


def test_permutations_stay_within_groups():
    groups = np.repeat([0, 1], 8)
    x, y = groups + np.tile(np.arange(8) / 100, 2), groups + np.tile([3, 1, 6, 0, 7, 2, 5, 4], 2) / 100
    assert rank_correlation(x, y).p < 0.01  # the groups alone make it
    assert rank_correlation(x, y, groups=groups).p > 0.05
    assert rank_correlation(x, x, groups=["b"] * 8 + ["a"] * 8).p < 0.01


def test_tables_and_rows(capsys):
    rows = [{"method": "a", "d": 3, "seed": 1}, {"method": "a", "d": 3, "seed": 0}, {"method": "b", "d": 3, "seed": 0}]
    assert [row["seed"] for row in where(rows, method="a", d=3)] == [0, 1]
    table("Title", ("x", "y"), [(1, "two")])
    assert capsys.readouterr().out == "\n### Title\n\n| x | y |\n|---|---|\n| 1 | two |\n"
