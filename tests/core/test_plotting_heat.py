import dataclasses
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from PIL import Image

import expandergraphs as eg
from expandergraphs import plotting_adjacency, plotting_heat, plotting_heat_network
from expandergraphs.heat.scree import Scree, scree
from expandergraphs.heat.signature import heat_signature
from tests.core.strategies import networks

INF = np.inf


def new_axes():
    return Figure().subplots()


@pytest.fixture
def ax():
    return new_axes()


@pytest.fixture
def net():
    """A network of 15 units with a skip."""
    blocks = {(0, 1): (3, 6, 8), (1, 2): (6, 6, 9), (0, 2): (3, 6, 4)}
    graphs = {key: eg.random_bipartite(m, n, n_edges=e, rng=0) for key, (m, n, e) in blocks.items()}
    return eg.LayeredGraph([3, 6, 6], graphs, names=["in", "hidden", "out"])


@pytest.fixture
def large():
    return eg.family_net("regular", [40, 50, 30], degree=4, rng=0)


def labels_of(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


def cells_of(ax):
    return np.ma.masked_invalid(ax.collections[0].get_array())


def bar_of(ax):
    return ax.collections[0].colorbar


def test_mean_heat_of_layers_over_time(ax, large):
    times = [INF, 1.0, 0.0, 0.01, 0.1, 1.0]
    heat = heat_signature(large, times)
    assert plotting_heat.plot_signature(large, heat, ax) is ax
    cells, mesh = cells_of(ax), ax.collections[0]
    assert cells.shape == (3, 7)
    assert cells.mask.all(axis=0).tolist() == [False, True, False, False, False, True, False]  # gaps beside the bands
    for column, k in ((0, 2), (2, 3), (3, 4), (4, 1), (6, 0)):
        means = [layer.mean() for layer in np.split(heat.values[k], [40, 90])]
        np.testing.assert_allclose(cells[:, column], means, atol=1e-12)
    edges = mesh.get_coordinates()[0, :, 0]
    np.testing.assert_allclose(edges[2:6], [1e-2, 10**-1.5, 10**-0.5, 1])
    assert (np.diff(edges) > 0).all()
    assert labels_of(ax.xaxis) == ["$10^{-2}$", "$10^{-1}$", "$10^{0}$", "\n0", "\nsaturated"]
    zero, rest = ax.get_xticks()[3:]
    assert edges[0] < zero < edges[1]
    assert edges[-2] < rest < edges[-1]
    assert ax.get_xlim() == (edges[0], edges[-1])
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "time $t$")
    assert labels_of(ax.yaxis) == ["layer 0 (40)", "layer 1 (50)", "layer 2 (30)"]
    assert ax.get_yticks().tolist() == [0.5, 1.5, 2.5]
    assert ax.get_ylim() == (3, 0)
    assert bar_of(ax).ax.get_ylabel() == "mean heat of the layer's units"
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, pytest.approx(1))
    assert bar_of(ax).extend == "neither"


def test_units_of_small_networks_and_linear_times(ax, net):
    heat = heat_signature(net, np.linspace(0, 2, 5))
    plotting_heat.plot_signature(net, heat, ax)
    np.testing.assert_allclose(cells_of(ax), np.maximum(heat.values.T, 0))
    assert ax.get_xscale() == "linear"
    np.testing.assert_allclose(ax.collections[0].get_coordinates()[0, :, 0], [0, 0.25, 0.75, 1.25, 1.75, 2])
    assert labels_of(ax.xaxis) == ["0", "0.4", "0.8", "1.2", "1.6", "2"]
    assert labels_of(ax.yaxis) == ["in (3)", "hidden (6)", "out (6)"]
    assert ax.get_yticks().tolist() == [1.5, 6, 12]
    assert [segment[0, 1] for segment in ax.collections[1].get_segments()] == [3, 9]
    assert bar_of(ax).ax.get_ylabel() == "heat of the unit"


@pytest.mark.parametrize("times", ["saturated", 0, 3.0, [0, INF], [0, 1, INF], [1e-30, 1, 1e30, INF]])
def test_few_or_far_times(ax, net, times):
    heat = heat_signature(net, times)
    plotting_heat.plot_signature(net, heat, ax)
    ax.figure.draw_without_rendering()
    cells = cells_of(ax)
    shown = cells[:, ~cells.mask.all(axis=0)]
    np.testing.assert_allclose(shown, np.maximum(heat.values.T, 0))
    assert ("\nsaturated" in labels_of(ax.xaxis)) == (heat.times[-1] == INF)
    assert np.isfinite(ax.get_xlim()).all()


def test_little_heat_is_shown_on_a_logarithmic_scale(ax):
    start = eg.random_bipartite(2, 300, n_edges=400, rng=0)
    net = eg.LayeredGraph.from_layers([start, eg.BipartiteGraph.from_edges(300, 5, [])])
    plotting_heat.plot_signature(net, heat_signature(net, [0, 1e-3, 1, 10]), ax)
    mesh, cells = ax.collections[0], cells_of(ax)
    assert isinstance(mesh.norm, LogNorm)
    assert mesh.norm.vmin == cells[1, 2]  # the smallest that is not below a millionth
    assert cells[2].mask.tolist() == [False, True, False, False, False]  # but for the gap
    assert cells[2].max() < mesh.norm.vmin
    assert mesh.cmap.get_under().tolist() == [0, 0, 0, 1]
    assert bar_of(ax).extend == "min"


def test_negative_heat_keeps_its_sign(ax, net):
    sources = np.full(15, -2.0)
    sources[3] = 1
    plotting_heat.plot_signature(net, heat_signature(net, [0, 1], sources=sources), ax)
    assert cells_of(ax).min() == ax.collections[0].norm.vmin == -2


def test_rounding_below_zero_and_no_heat_at_all(ax, net):
    heat = heat_signature(net, [0, 1], sources=[])
    for values in (heat.values, np.tile([1.0, *[-1e-17] * 14], (2, 1))):
        plotting_heat.plot_signature(net, dataclasses.replace(heat, values=values), other := new_axes())
        assert other.collections[0].norm.vmin == cells_of(other).min() == 0
        assert other.collections[0].norm.vmax == 1
        assert bar_of(other).extend == "neither"
    plotting_heat_network.draw_heat(net, heat, ax)
    assert nodes_of(ax)[0].get_clim() == (0, 1)


def test_layers_without_units_are_blank(ax):
    net = eg.LayeredGraph([70, 0, 3], {(0, 2): eg.random_bipartite(70, 3, n_edges=90, rng=0)})
    plotting_heat.plot_signature(net, heat_signature(net, [0, 1]), ax)
    assert cells_of(ax).mask.tolist() == [[False, False], [True, True], [False, False]]


def test_deep_networks_have_few_labels(ax):
    widths = [3, *[5] * 80, 2]
    net = eg.family_net("random", widths, density=0.5, rng=0)
    plotting_heat.plot_signature(net, heat_signature(net, [0, 1]), ax)
    assert labels_of(ax.yaxis)[:2] == ["layer 0 (3)", "layer 5 (5)"]
    plotting_adjacency.draw_adjacency(net, other := new_axes())
    assert labels_of(other.yaxis)[:2] == ["layer 0 (3)", "layer 5 (5)"]
    assert len(labels_of(other.yaxis)) <= 18
    np.testing.assert_allclose(other.get_yticks()[1:3], [3 + 4 * 5 + 2.5, 3 + 9 * 5 + 2.5])  # at their layers


@pytest.mark.parametrize(
    ("times", "log"),
    [
        (np.logspace(-3, 1, 9), True),
        ([1, 2, 5, 10], True),
        (np.linspace(0, 2, 401), False),
        ([1, 2, 3, 4, 30], True),
        ([1, 2, 4, 8], False),
        ([1, 30], True),
        ([5], False),
    ],
)
def test_times_are_logarithmic_where_that_spaces_them_evenly(ax, times, log):
    plotting_heat.plot_heat_distance({"a": np.ones(len(times))}, times, ax)
    assert ax.get_xscale() == ("log" if log else "linear")


def test_ticks_within_two_decades(ax):
    plotting_heat.plot_heat_distance({"a": np.ones(3)}, [1, 4, 20], ax)
    assert labels_of(ax.xaxis) == ["1", "2", "5", "10", "20"]


def test_distances(ax):
    times = [INF, 0.01, 0.1, 1, 0]
    curves = {"pruned": [2e-3, 3, 4, 0.5, 0], "skips": [0, 3, 2, 1e-9, 0]}
    assert plotting_heat.plot_heat_distance(curves, times, ax) is ax
    pruned, pruned_aside, skips, skips_aside = ax.lines
    np.testing.assert_array_equal(pruned.get_xdata(), [0.01, 0.1, 1])
    np.testing.assert_array_equal(pruned.get_ydata(), [3, 4, 0.5])
    np.testing.assert_array_equal(skips.get_ydata(), [3, 2, 1e-9])
    np.testing.assert_array_equal(pruned_aside.get_ydata(), [0, 2e-3])  # at 0 and at saturation
    np.testing.assert_array_equal(skips_aside.get_ydata(), [0, 0])
    places = np.array([pruned_aside.get_xdata(), skips_aside.get_xdata()])
    zero, rest = (sorted(places[:, k]) for k in (0, 1))
    bands = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    assert bands[0][0] < zero[0] < zero[1] < bands[0][1] < 0.01  # beside each other, aside from the rest
    assert 1 < bands[1][0] < rest[0] < rest[1] < bands[1][1]
    assert ax.get_xlim() == (pytest.approx(bands[0][0]), pytest.approx(bands[1][1]))
    assert (pruned_aside.get_linestyle(), pruned_aside.get_color()) == ("None", pruned.get_color())
    assert pruned.get_marker() == pruned_aside.get_marker() != skips.get_marker()
    assert ax.get_yscale() == "symlog"
    assert ax.yaxis.get_transform().linthresh == pytest.approx(1e-3)  # 1e-9 is not told from zero
    assert -1e-3 < ax.get_ylim()[0] < 0
    assert ax.get_ylim()[1] > 4
    assert ax.get_ylabel() == "distance $F$ to the reference"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["pruned", "skips"]


def test_the_scale_of_distances(ax):
    plotting_heat.plot_heat_distance({"a": [1, 1e-7]}, [1, 2], ax)
    assert ax.get_yscale() == "log"
    plotting_heat.plot_heat_distance({"same": [0, 0]}, [1, 2], other := new_axes())
    assert other.get_yscale() == "linear"
    plotting_heat.plot_heat_distance({"a": [1, 1e-7]}, [1, 2], rough := new_axes(), tolerance=1e-6)
    assert rough.get_yscale() == "symlog"


def test_exact_scree_curves(ax, net, large):
    curves = {"small": scree(net, np.linspace(0, 2, 5)), "large": scree(large, [2, 1, 0], fraction=0.1)}
    assert plotting_heat.plot_scree(curves, ax) is ax
    lines = [line for line in ax.lines if line.get_xdata().size]
    np.testing.assert_array_equal(lines[0].get_ydata(), curves["small"])
    np.testing.assert_array_equal(lines[1].get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(lines[1].get_ydata(), np.asarray(curves["large"])[::-1])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["small, $K = 1$ of 15", "large, $K = 12$ of 120"]
    assert not ax.collections
    assert ax.get_ylabel() == r"share $\alpha(K, t)$ of the $K$ smoothest modes"
    assert (ax.get_ylim()[0], ax.get_ylim()[1] > 1) == (0, True)


def test_a_long_legend_covers_no_curve(net):
    figure = Figure(layout="constrained")
    first, second = figure.subplots(2)
    plotting_heat.plot_scree({f"curve {k}": scree(net, [0, 1, INF]) for k in range(5)}, first)
    plotting_heat.plot_heat_distance({f"curve {k}": [1, 10.0**k] for k in range(5)}, [1, 2], second)
    assert (second.get_yscale(), first.get_yticks()[-1]) == ("log", 1)  # no share exceeds 1
    figure.draw_without_rendering()
    for ax in (first, second):
        legend = ax.get_legend().get_window_extent()
        assert ax.transData.transform((1, ax.dataLim.y1))[1] < legend.y0 < legend.y1 < ax.get_window_extent().y1


def test_intervals_of_scree_curves_are_shaded(ax):
    times, values = np.array([0.0, 1.0, 2.0, INF]), np.array([0.1, 0.5, 0.6, 1.0])
    details = {"times": times, "lower": values - 0.1, "upper": np.minimum(values + 0.2, 1)}
    curve = Scree(values, **details, exact=False, failure_probability=1e-6, n_kept=3, n_nodes=20)
    plotting_heat.plot_scree({"a": curve}, ax)
    band = ax.collections[0].get_paths()[0].vertices
    for time, low, high in ((0, 0, 0.3), (1, 0.4, 0.7), (2, 0.5, 0.8)):
        at = band[band[:, 0] == time, 1]
        assert (at.min(), at.max()) == (pytest.approx(low), pytest.approx(high))
    (segment,) = ax.collections[1].get_segments()
    np.testing.assert_allclose(segment[:, 1], [0.9, 1])
    assert segment[0, 0] > 2
    assert ax.get_legend().get_texts()[0].get_text() == "a, $K = 3$ of 20, shaded: interval"


def test_adjacency_of_a_small_network(ax, net):
    assert plotting_adjacency.draw_adjacency(net, ax) is ax
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array().filled(0), net.adjacency.toarray())
    assert image.get_extent() == [0, 15, 15, 0]
    assert (image.norm.vmin, image.norm.vmax) == (0.1, 1)
    assert max(image.cmap(0)[:3]) < 0.95  # the faintest cell is told from white
    rows, columns = ax.collections[:2]
    assert [segment[:, 1].tolist() for segment in rows.get_segments()] == [[3, 3], [9, 9]]
    assert [segment[:, 0].tolist() for segment in columns.get_segments()] == [[3, 3], [9, 9]]
    assert labels_of(ax.yaxis) == labels_of(ax.xaxis) == ["in (3)", "hidden (6)", "out (6)"]
    assert ax.get_yticks().tolist() == [1.5, 6, 12]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 15), (15, 0))


@given(networks(), st.integers(1, 9))
def test_cells_of_several_nodes(net, most):
    """A cell is the fraction of its pairs that are edges, as counted one by one."""
    if net.n_nodes == 0:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plotting_adjacency, "_CELLS", most)
        cells = plotting_adjacency._cells_filled(net)
    groups = [
        np.arange(net.n_nodes)[np.arange(net.n_nodes) * len(cells) // net.n_nodes == k] for k in range(len(cells))
    ]
    assert len(cells) == min(most, net.n_nodes)
    pattern = net.adjacency
    pattern.data[:] = 1
    pattern = pattern.toarray()
    expected = [[pattern[np.ix_(rows, columns)].mean() for columns in groups] for rows in groups]
    np.testing.assert_allclose(cells, expected)


def test_large_networks_are_drawn_without_a_dense_matrix(ax):
    net = eg.family_net("random", [9000, 6000, 5000], degree=3, rng=0)
    tracemalloc.start()
    plotting_adjacency.draw_adjacency(net, ax)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000**2 / 4  # bytes
    cells = ax.images[0].get_array()
    assert cells.shape == (1000, 1000)
    assert cells.sum() * 400 == pytest.approx(2 * net.n_edges)
    assert ax.images[0].norm.vmin == pytest.approx(1e-3)  # an edge among 400 pairs


def test_labels_of_narrow_layers_give_way(ax):
    net = eg.family_net("random", [900, 60, 20, 10, 10], degree=2, rng=0)
    plotting_adjacency.draw_adjacency(net, ax)
    assert (np.diff(ax.get_yticks()) >= 1000 / 18 - 1e-9).all()
    assert ax.get_yticks()[0] == 450  # there is room
    assert ax.get_yticks()[-1] <= 1000
    leaders = ax.collections[2].get_segments()
    np.testing.assert_allclose([segment[0, 1] for segment in leaders], [450, 930, 970, 985, 995])
    np.testing.assert_allclose([segment[1, 1] for segment in leaders], ax.get_yticks())


def test_adjacencies_beside_each_other(net):
    one = eg.BipartiteGraph.from_edges(1, 1, [(0, 0)])
    sparse = eg.family_net("random", [3000, 3000], n_edges=2000, rng=0)
    figure = plotting_adjacency.adjacency_figure({"a": net, "b": one, "c": sparse})
    *panels, bar = figure.axes
    assert [ax.get_title() for ax in panels] == ["a, 21 edges", "b, 1 edge", "c, 2,000 edges"]
    lowest = panels[2].images[0].norm.vmin
    assert lowest == pytest.approx(0.01)  # an edge among 36 pairs
    assert {ax.images[0].get_clim() for ax in panels} == {(lowest, 1)}
    assert bar.get_ylabel() == "fraction of pairs that are edges; white: none"


def nodes_of(ax):
    return ax.collections[-3:]


def test_nodes_coloured_by_heat(ax, net):
    ax.hlines(0.5, 0, 1)  # what was there before is left alone
    heat = heat_signature(net, [0, 0.5, INF])
    assert plotting_heat_network.draw_heat(net, heat, ax, 1) is ax
    for layer, values in zip(nodes_of(ax), np.split(heat.values[1], [3, 9]), strict=True):
        np.testing.assert_array_equal(layer.get_array(), values)
        assert (layer.norm.vmin, layer.norm.vmax) == (0, 1)  # of all times, not of this one
        layer.update_scalarmappable()
        np.testing.assert_array_equal(layer.get_facecolor(), layer.cmap(layer.norm(values)))
        assert layer.get_edgecolor().tolist() == [[0, 0, 0, 1]]
    edges = ax.collections[1:4]
    assert {tuple(block.get_edgecolor()[0][:3]) for block in edges} == {(0.6, 0.6, 0.6)}
    assert ax.get_title() == "$t$ = 0.5"
    assert labels_of(ax.xaxis) == ["in", "hidden", "out"]
    assert nodes_of(ax)[0].colorbar.ax.get_ylabel() == "heat of the node"
    assert plotting_heat_network.draw_heat(net, heat, new_axes()).get_title() == "saturated"


def test_panels_share_a_colour_bar(net):
    figure, heat = Figure(), heat_signature(net, [0, 0.5])
    panels = figure.subplots(1, 2)
    for k, ax in enumerate(panels):
        plotting_heat_network.draw_heat(net, heat, ax, k, colorbar=False)
    assert len(figure.axes) == 2
    figure.colorbar(panels[0].collections[-1], ax=panels)
    assert len(figure.axes) == 3
    assert [ax.collections[-1].get_clim() for ax in panels] == [(0, 1)] * 2


def test_a_gif_of_heat(tmp_path, net):
    done = []
    path = tmp_path / "heat.GIF"
    times = [0, 0.25, 1, INF]
    found = plotting_heat_network.heat_gif(net, times, path, frames_per_second=4, progress=lambda *at: done.append(at))
    assert found == path
    assert done == [(k, 4) for k in range(5)]
    with Image.open(path) as picture:
        assert (picture.format, picture.n_frames, picture.info["duration"]) == ("GIF", 4, 250)
        frames = []
        for k in range(4):
            picture.seek(k)
            frames.append(np.array(picture.convert("L"), dtype=float))
    changed = [abs(a - b).max() > 40 for a, b in pairwise(frames)]
    assert changed == [True] * 3
    outside = np.array([frame[420:] for frame in frames])  # axis labels: they must not move
    assert np.ptp(outside, axis=0).max() < 40
    assert [file.name for file in tmp_path.iterdir()] == ["heat.GIF"]


@pytest.mark.parametrize("stop", [0, 2, 3])
def test_an_interrupted_gif_leaves_nothing_behind(tmp_path, net, monkeypatch, stop):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    path = tmp_path / "heat.gif"
    path.write_bytes(b"before")

    def interrupt(done, total):
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plotting_heat_network.heat_gif(net, [0, 1, 2], path, progress=interrupt)
    assert path.read_bytes() == b"before"
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["heat.gif", "other"]


def test_what_cannot_be_drawn_is_refused(ax, net, large, tmp_path):
    heat = heat_signature(net, [0, 1])
    several = heat_signature(net, [0, 1], sources=np.eye(15)[:, :2])
    for plot in (plotting_heat.plot_signature, plotting_heat_network.draw_heat):
        with pytest.raises(ValueError, match="shows one source vector, the signature has 2; choose by"):
            plot(net, several, ax)
        with pytest.raises(ValueError, match=r"2 times of 15 nodes cannot .* LayeredGraph\(40-50-30, .* 120 nodes"):
            plot(large, heat, ax)
        with pytest.raises(ValueError, match="heat at 0 times of 15 nodes cannot be plotted"):
            plot(net, heat_signature(net, []), ax)
    chosen = dataclasses.replace(several, values=several.values[:, :, 0])  # as the message says
    plotting_heat.plot_signature(net, chosen, new_axes())
    with pytest.raises(ValueError, match="time_index must be one of the signature's 2 times, got 2"):
        plotting_heat_network.draw_heat(net, heat, ax, 2)
    with pytest.raises(ValueError, match="time_index must be an integer of at least -2, got -3"):
        plotting_heat_network.draw_heat(net, heat, ax, -3)
    for curves, times in (({}, [1]), ({"a": []}, [])):
        with pytest.raises(ValueError, match="at least one curve and one time"):
            plotting_heat.plot_heat_distance(curves, times, ax)
    for distances in ([1, 2], [-1.0], [np.nan]):
        with pytest.raises(ValueError, match="'a' needs 1 distances of at least 0, one a time"):
            plotting_heat.plot_heat_distance({"a": distances}, [1], ax)
    for screes in ({}, {"a": scree(net, [])}):
        with pytest.raises(ValueError, match="plot_scree needs at least one"):
            plotting_heat.plot_scree(screes, ax)
    with pytest.raises(ValueError, match="no nodes to draw"):
        plotting_adjacency.draw_adjacency(eg.BipartiteGraph.from_edges(0, 0, []), ax)
    with pytest.raises(ValueError, match="at least one network"):
        plotting_adjacency.adjacency_figure({})
    with pytest.raises(ValueError, match=r"written as \.gif, got .*heat\.png"):
        plotting_heat_network.heat_gif(net, [0, 1], tmp_path / "heat.png")
    for speed in (0, 51, np.nan, "fast"):
        with pytest.raises(ValueError, match="frames_per_second must be a number above 0 and at most 50"):
            plotting_heat_network.heat_gif(net, [0, 1], tmp_path / "heat.gif", frames_per_second=speed)
    assert not ax.has_data()
    assert not list(tmp_path.iterdir())
