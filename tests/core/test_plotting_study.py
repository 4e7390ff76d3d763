from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

import expandergraphs as eg
from expandergraphs import plotting_study
from expandergraphs.study import KEYS, Study, study

DEGREES = (2, 5, 3)


@pytest.fixture
def ax():
    return Figure().subplots()


def expansions(families, values, graphs=3, n=8):
    """A study with made-up left and right expansions."""
    rows = []
    for degree in DEGREES:
        for family in families:
            for seed in range(graphs):
                lower, upper = values(family, degree, seed)
                key = dict(zip(KEYS, (family, n, n, degree * n, seed, degree, None), strict=True))
                for k, name in enumerate(("left_alpha", "left_linked_alpha", "right_alpha", "right_linked_alpha")):
                    key |= {f"{name}_lower": lower + k, f"{name}_upper": upper + k}
                rows.append(key)
    return Study(tuple(rows))


def made_up(family, degree, seed):
    upper = degree / 5 + 0.1 * seed + (family == "b")
    return upper - 0.2, upper


@pytest.mark.parametrize(
    ("options", "added", "label"),
    [
        ({}, 0, r"expansion $\alpha$ of the left side"),
        ({"linked": True}, 1, "expansion $\\alpha$ of the left side,\nisolated vertices left out"),
        ({"side": "right"}, 2, r"expansion $\alpha$ of the right side"),
        ({"side": "right", "linked": True}, 3, "expansion $\\alpha$ of the right side,\nisolated vertices left out"),
    ],
)
def test_expansion(ax, options, added, label):
    result = expansions("ab", made_up)
    assert plotting_study.plot_expansion(result, ax, **options) is ax
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    for line, family in zip(lines, "ab", strict=True):
        means = [np.mean([made_up(family, degree, seed)[1] for seed in range(3)]) + added for degree in (2, 3, 5)]
        np.testing.assert_allclose(line.get_ydata(), means)
    whiskers, bars = ax.collections[0], ax.collections[1]  # of the first family, in the order of drawing
    summaries = sorted(
        result.summary(f"{options.get('side', 'left')}_{'linked_' * ('linked' in options)}alpha"),
        key=lambda s: s.degree,
    )
    first = [s for s in summaries if s.family == "a"]
    for parts, ends in ((whiskers, ("low", "high")), (bars, ("lower", "upper"))):
        expected = [[getattr(s, end) for end in ends] for s in first]
        np.testing.assert_allclose([segment[:, 1] for segment in parts.get_segments()], expected)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "3", "5"]
    assert ax.get_ylim()[0] < 0  # markers at 0 are whole
    assert ax.get_ylabel() == label
    assert ax.get_xlabel() == "degree (edges per vertex of the larger side),\nfamilies side by side"
    assert explained(ax) == ["a", "b", "95 % limits of the mean", "proved to attained"]


def explained(ax):
    """What the legend says, families first."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("families", ["a", "abc", "abcdefg", "abcdefghijkl"])
def test_every_marker_stands_on_the_stripe_of_its_degree(ax, families):
    plotting_study.plot_expansion(expansions(families, made_up), ax)
    stripes = [(stripe.get_x(), stripe.get_x() + stripe.get_width()) for stripe in ax.patches]
    assert len(stripes) == len(ax.get_xticks()) == 3
    for k, (start, end) in enumerate(stripes):
        assert start < k < end
        for line in ax.lines:
            assert start < line.get_xdata()[k] < end
    assert all(end < start for (_, end), (start, _) in pairwise(stripes))
    assert ("side by side" in ax.get_xlabel()) == (len(families) > 1)


def test_the_legend_explains_only_what_is_drawn(ax):
    plotting_study.plot_expansion(expansions("ab", lambda family, degree, seed: (seed, seed)), ax)
    assert explained(ax) == ["a", "b", "95 % limits of the mean"]
    plotting_study.plot_expansion(expansions("a", lambda *of: (1, 1), graphs=2), other := Figure().subplots())
    assert explained(other) == ["a", "too few graphs for limits"]


def test_families_remain_apart_in_grey_and_side_by_side(ax):
    plotting_study.plot_expansion(expansions("abcdefg", made_up), ax)
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert len({line.get_color() for line in lines}) == 7
    assert len({line.get_marker() for line in lines}) == 7
    assert len({str(line._dash_pattern) for line in lines}) == 7
    x = np.sort(np.concatenate([line.get_xdata() for line in lines]))
    assert np.diff(x).min() > 0.1  # no two bars or markers at one place, not even of neighbouring degrees


def test_a_single_graph_has_no_whiskers_and_says_so(ax):
    plotting_study.plot_expansion(expansions("a", made_up, graphs=1), ax)
    solid, hollow = ax.lines
    assert (hollow.get_marker(), hollow.get_markerfacecolor(), hollow.get_linestyle()) == ("o", "white", "None")
    np.testing.assert_array_equal(hollow.get_xydata(), solid.get_xydata())
    assert explained(ax) == ["a", "too few graphs for limits", "proved to attained"]
    whiskers, bars = ax.collections
    assert len(whiskers.get_segments()) == 0
    assert len(bars.get_segments()) == 3
    assert np.isfinite(ax.get_ylim()).all()


def test_limits_known_at_one_end_only_are_no_whiskers(ax):
    """Three equal upper ends have no limit, the different lower ends have one."""
    plotting_study.plot_expansion(expansions("a", lambda family, degree, seed: (seed / 10, 1.0)), ax)
    assert len(ax.collections[0].get_segments()) == 0
    assert len(ax.collections[1].get_segments()) == 3
    assert len(ax.lines[1].get_xdata()) == 3


def test_only_what_has_no_limits_is_hollow(ax):
    """At degree 2 all values are equal, and too few."""
    result = expansions("ab", lambda family, degree, seed: 2 * (1 + seed * (degree > 2),))
    plotting_study.plot_expansion(result, ax)
    hollow = [line.get_xdata().tolist() for line in ax.lines if line.get_label() == "_hollow"]
    assert hollow == [[ax.lines[0].get_xdata()[0]], [-ax.lines[0].get_xdata()[0]]]
    assert explained(ax) == ["a", "b", "95 % limits of the mean", "too few graphs for limits"]


def test_sigma2_and_the_bound(ax):
    result = study(["random", "regular"], [12], [3, 2], 4, "spectrum")
    plotting_study.plot_sigma2(result, ax)
    random, regular = lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    *_, bound = ax.collections
    for line in lines:
        records = [record for record in result.records if record["family"] == line.get_label()]
        means = [np.mean([r["sigma2"] for r in records if r["degree"] == degree]) for degree in (2, 3)]
        np.testing.assert_allclose(line.get_ydata(), means)
    heights = [2, 2 * 2**0.5]
    for segment, height, *x in zip(bound.get_segments(), heights, random.get_xdata(), regular.get_xdata(), strict=True):
        (first, y), (last, y_last) = segment  # flat, from the first marker to the last
        assert first < min(x) < max(x) < last
        assert y == y_last == pytest.approx(height)
    dense = plotting_study.plot_sigma2(study("regular", [12], [10, 11], 2, "spectrum"), Figure().subplots())
    assert max(line.get_ydata().max() for line in dense.lines if line.get_ydata().size) < dense.get_ylim()[1]
    assert bound.get_label() == "Ramanujan bound\n(average degrees)"
    assert ax.get_ylabel() == r"second singular value $\sigma_2$"
    only_regular = Figure().subplots()
    plotting_study.plot_sigma2(result.where(family="regular"), only_regular)
    assert only_regular.collections[-1].get_label() == "Ramanujan bound"


def test_degrees(ax):
    graphs = {"a": eg.random_bipartite(30, 20, n_edges=90, rng=0), "b": eg.random_regular(30, 20, 3, rng=0)}
    assert plotting_study.plot_degrees(graphs, ax) is ax
    for line, g in zip(ax.lines, graphs.values(), strict=True):
        values = dict(zip(line.get_xdata().tolist(), line.get_ydata().tolist(), strict=True))
        expected = {d: float(np.mean(g.right_degrees == d)) for d in values}
        assert values == pytest.approx(expected)
        assert sum(values.values()) == pytest.approx(1)
        assert line.get_drawstyle() == "steps-mid"
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()
    assert ax.get_xlabel() == "degree of right vertices"
    assert ax.get_ylabel() == "fraction of the right vertices"
    left = plotting_study.plot_degrees(graphs, Figure().subplots(), side="left")
    assert dict(zip(left.lines[1].get_xdata(), left.lines[1].get_ydata(), strict=True)) == {2: 0, 3: 1, 4: 0}
    assert left.get_xlabel() == "degree of left vertices"


def test_histograms_show_where_they_end(ax):
    graphs = {"a": eg.random_left_regular(30, 20, 3, rng=0), "b": eg.random_regular(30, 20, 3, rng=0)}
    plotting_study.plot_degrees(graphs, ax)
    for line, g in zip(ax.lines, graphs.values(), strict=True):
        x, y = line.get_xydata().T
        assert (x[0], x[-1]) == (max(0, g.right_degrees.min() - 1), g.right_degrees.max() + 1)
        assert y[-1] == 0
        assert line.get_markevery().tolist() == (y > 0).tolist()
    assert ax.get_ylim()[0] == 0
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_a_figure_for_each_size():
    measures = ["spectrum", "expansion"]
    result = study(["regular", "radix"], [(4, 6), 4], [2], 2, measures)
    figures = plotting_study.figures_of(result)
    assert list(figures) == ["4x6", "4x4"]
    names = [r"expansion $\alpha$ of the left side", r"expansion $\alpha$ of the right side"]
    for name, figure in figures.items():
        assert figure.get_suptitle() == name.replace("x", " x ")
        assert [ax.get_ylabel() for ax in figure.axes] == [*names, r"second singular value $\sigma_2$"]
    part = result.where(n_left=4, n_right=6, family="regular")
    for ax, quantity in zip(figures["4x6"].axes, ("left_alpha", "right_alpha", "sigma2"), strict=True):
        assert ax.lines[0].get_ydata().tolist() == [s.upper for s in part.summary(quantity)]
    (alone,) = plotting_study.figures_of(study("regular", [4], [2], 2, "spectrum")).values()
    assert [ax.get_ylabel() for ax in alone.axes] == [r"second singular value $\sigma_2$"]
    assert plotting_study.figures_of(study("radix", [5], [2], 2, measures)) == {}


def test_the_legend_covers_nothing():
    """However high the data are, it is above them."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    first, second = figure.subplots(1, 2)
    plotting_study.plot_expansion(expansions("abcdefg", made_up, graphs=1), first)
    families = ["random", "left_regular", "regular", "radix"]
    plotting_study.plot_sigma2(study(families, [6], [2, 3, 6], 1, "spectrum"), second)
    figure.draw_without_rendering()
    for ax in (first, second):
        legend = ax.get_legend().get_window_extent()
        assert ax.transData.transform((0, ax.dataLim.y1))[1] + 5 < legend.y0
        assert legend.x1 < ax.get_window_extent().x1


def test_many_degrees_have_few_ticks(ax):
    plotting_study.plot_sigma2(study("regular", [40], range(1, 31), 1, "spectrum"), ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [str(degree) for degree in range(1, 31, 3)]


def test_what_cannot_be_drawn_is_refused(ax):
    two = study("regular", [4, (6, 5)], [2], 2, "spectrum")
    with pytest.raises(ValueError, match="a plot shows one size, and the study has 4 x 4, 6 x 5; choose by"):
        plotting_study.plot_sigma2(two, ax)
    with pytest.raises(ValueError, match="no numbers named 'left_alpha'"):
        plotting_study.plot_expansion(two.where(n_left=4), ax)
    with pytest.raises(ValueError, match="no graph of the study has a value of 'sigma2'"):
        plotting_study.plot_sigma2(study("random", [3], [2, 9], 2, "spectrum").where(degree=9), ax)
    with pytest.raises(ValueError, match="side must be 'left' or 'right', got 'both'"):
        plotting_study.plot_expansion(two, ax, side="both")
    with pytest.raises(ValueError, match="side must be 'left' or 'right', got 'both'"):
        plotting_study.plot_degrees({"a": eg.random_bipartite(2, 2, n_edges=1)}, ax, side="both")
    for graphs in ({}, {"a": eg.BipartiteGraph.from_edges(3, 0, [])}):
        with pytest.raises(ValueError, match="plot_degrees needs graphs with right vertices"):
            plotting_study.plot_degrees(graphs, ax)
