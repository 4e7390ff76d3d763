import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist

import expandergraphs as eg
from expandergraphs import plotting
from expandergraphs.plotting_pruning import pruning_figure
from expandergraphs.spectral import dense


@pytest.fixture
def ax():
    return Figure().subplots()


def test_biadjacency(ax):
    g = eg.random_bipartite(5, 3, n_edges=7, rng=0)
    assert plotting.draw_biadjacency(g, ax) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), g.biadjacency.toarray())
    assert ax.get_xlabel() == "right vertex (of 3)"
    assert ax.get_ylabel() == "left vertex (of 5)"


def test_biadjacency_of_a_graph_too_large_for_one_cell_a_pair(ax):
    """By hand: blocks of 6 x 1 pairs; all edges of left vertex 0, and one more in its last block."""
    g = eg.BipartiteGraph.from_edges(3000, 4, [(0, 0), (0, 1), (0, 2), (0, 3), (5, 0), (2999, 3)])
    plotting.draw_biadjacency(g, ax)
    expected = np.zeros((500, 4))
    expected[0], expected[0, 0], expected[-1, 3] = 1 / 6, 2 / 6, 1 / 6
    np.testing.assert_allclose(ax.images[0].get_array(), expected)
    assert ax.images[0].get_clim() == (0, 2 / 6)
    assert ax.get_xlabel() == "right vertex (of 4)\nblack: 33 % of pairs are edges"
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 3.5), (2999.5, -0.5))
    huge = eg.BipartiteGraph.from_edges(10**6, 10**6, [])
    assert plotting.draw_biadjacency(huge, ax).images[1].get_clim() == (0, 1)
    with pytest.raises(ValueError, match=r"at most 268,435,456 pairs; 'huge' is 1000000 x 1000000; plot the density"):
        plotting.plot_singular_values({"huge": huge}, ax)


def test_layered_networks_show_every_edge_and_node(ax):
    a, b, skip = (eg.random_bipartite(m, n, n_edges=2, rng=0) for m, n in ((3, 4), (4, 1), (3, 1)))
    net = eg.LayeredGraph([3, 4, 1], {(0, 1): a, (1, 2): b, (0, 2): skip})
    plotting.draw_layered(net, ax)
    *edges, inputs, hidden, output = ax.collections
    assert [len(part.get_segments()) for part in edges] == [2, 2, 2]
    assert [len(nodes.get_offsets()) for nodes in (inputs, hidden, output)] == [3, 4, 1]
    start, end = edges[0].get_segments()[0]
    i, j = a.edges[0]
    np.testing.assert_allclose([start, end], [inputs.get_offsets()[i], hidden.get_offsets()[j]])
    bowed = edges[1].get_segments()[0]  # blocks are in order: (0, 1), (0, 2), (1, 2)
    i, j = skip.edges[0]
    np.testing.assert_allclose(bowed[[0, -1]], [inputs.get_offsets()[i], output.get_offsets()[j]], atol=1e-12)
    straight = np.interp(bowed[:, 0], bowed[[0, -1], 0], bowed[[0, -1], 1])
    assert np.abs(bowed[:, 1] - straight).max() == pytest.approx(0.5 / 4)


def test_singular_values_and_their_bound(ax):
    graphs = {f"seed {seed}": eg.random_regular(30, 30, 3, rng=seed) for seed in range(2)}
    plotting.plot_singular_values(graphs, ax)
    first, second, bound = ax.lines
    np.testing.assert_allclose(first.get_ydata(), eg.singular_values(graphs["seed 0"])[1:])
    assert first.get_xdata()[0] == 2
    assert bound.get_ydata()[0] == pytest.approx(2 * 2**0.5)
    assert "Ramanujan bound 2.83" in ax.texts[0].get_text()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["seed 0", "seed 1"]
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    with pytest.raises(ValueError, match="at least one BipartiteGraph"):
        plotting.plot_singular_values({}, ax)


def test_the_name_of_the_bound_has_room_above_it():
    """Just above sigma_2, as it is for a regular graph."""
    figure = Figure()
    ax = plotting.plot_singular_values({"g": eg.random_regular(256, 256, 16, rng=0)}, figure.subplots())
    figure.draw_without_rendering()
    assert ax.texts[0].get_window_extent().y1 < ax.get_window_extent().y1
    assert ax.get_ylim()[0] == 0


# Machado, Oliveira, Fernandes. A physiologically-based model for simulation of color vision deficiency. IEEE Trans.
# Vis. Comput. Graph. 15 (2009): whole loss, of linear red, green and blue.
SEEN = {
    "all": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("vision", SEEN)
def test_colours_remain_apart(vision):
    """By a difference of CIELAB well above 2.3, which is just noticeable side by side."""
    rgb = np.array([to_rgb(colour) for colour in plotting.COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(SEEN[vision]), 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = seen @ np.transpose(to_xyz) / np.sum(to_xyz, axis=1)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29).T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    assert pdist(lab).min() > 10


def test_seven_graphs_remain_apart_in_grey(ax):
    plotting.plot_singular_values({str(seed): eg.random_regular(9, 9, 2, rng=seed) for seed in range(7)}, ax)
    assert len({str(line._dash_pattern) for line in ax.lines[:7]}) == 7


def test_densities_and_their_laws(ax):
    graphs = {
        "a": eg.random_regular(30, 30, 3, rng=0),
        "b": eg.random_regular(30, 30, 3, rng=1),
        "c": eg.random_regular(60, 30, 3, rng=0),
        "random": eg.random_bipartite(30, 30, n_edges=90, rng=0),
    }
    densities = {name: eg.spectral_density(g, rng=0) for name, g in graphs.items()}
    assert plotting.plot_spectral_density(densities, ax) is ax
    *curves, law, other = ax.lines
    for curve, found in zip(curves, densities.values(), strict=True):
        np.testing.assert_array_equal(curve.get_ydata(), found.density)
    np.testing.assert_array_equal(law.get_ydata(), eg.biregular_law(3, 3).density(law.get_xdata()))
    assert other.get_xdata()[[0, -1]].tolist() == [eg.biregular_law(3, 6).lower, eg.biregular_law(3, 6).upper]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [*densities, "limiting law, degrees 3 and 3", "limiting law, degrees 3 and 6"]
    assert len({(curve.get_color(), str(curve.get_linestyle())) for curve in ax.lines[:5]}) == 5
    assert (ax.get_ylim()[0], ax.get_ylabel()) == (0, "density")
    with pytest.raises(ValueError, match="at least one SpectralDensity"):
        plotting.plot_spectral_density({}, ax)


def test_nodes_do_not_overlap_and_skips_stay_inside():
    full, lone = eg.random_regular(60, 60, 2, rng=0), eg.random_bipartite(60, 1, n_edges=3, rng=0)
    net = eg.LayeredGraph([60, 60, 60, 1], {(0, 1): full, (1, 2): full, (2, 3): lone, (0, 2): full})
    figure = Figure(layout="constrained")
    ax = plotting.draw_layered(net, figure.subplots())
    figure.draw_without_rendering()
    *columns, last = ax.collections[-4:]
    for nodes in columns:
        y = ax.transData.transform(nodes.get_offsets())[:, 1] * 72 / figure.dpi
        assert np.sqrt(nodes.get_sizes()[0]) < abs(np.diff(y)).min()
    assert last.get_sizes().tolist() == [36]
    low, high = sorted(ax.get_ylim())
    for lines in ax.collections[:4]:
        for path in lines.get_paths():
            assert low < path.vertices[:, 1].min() <= path.vertices[:, 1].max() < high


def test_a_long_legend_covers_no_curve():
    """Above all that is drawn, on a narrow panel in one column; four entries go where there is room."""
    graphs = {f"{n} x 30, by a name of some length": eg.random_regular(n, 30, 3, rng=0) for n in (30, 60, 90)}
    densities = {name: eg.spectral_density(g, rng=0) for name, g in graphs.items()}
    for width in (5, 8):
        figure = Figure(figsize=(width, 4.2), layout="constrained")
        ax = plotting.plot_spectral_density(densities, figure.subplots())
        figure.draw_without_rendering()
        legend = ax.get_legend().get_window_extent()
        assert len(ax.get_legend().get_texts()) == 6
        assert ax.transData.transform((0, ax.dataLim.y1))[1] < legend.y0
        assert legend.y1 < ax.get_window_extent().y1
        assert legend.x1 < ax.get_window_extent().x1
    few = plotting.plot_spectral_density(dict(list(densities.items())[:2]), Figure().subplots())
    assert few.get_ylim()[1] < 1.1 * few.dataLim.y1


def test_a_band_of_two_errors_where_the_density_is_estimated(ax, monkeypatch):
    monkeypatch.setattr(dense, "DENSE_LIMIT", 10)
    found = eg.spectral_density(eg.random_regular(60, 60, 3, rng=0), rng=0)
    band = plotting.plot_spectral_density({"a": found}, ax).collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx((found.density + 2 * found.error).max())


def test_accuracy(ax):
    plotting.plot_accuracy({"one": [[80, 90], [82, 94]], "two": [50, 60]}, ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [81, 92])
    np.testing.assert_allclose(ax.lines[1].get_xdata(), [1, 2])
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (80, 94)
    assert ax.get_ylabel() == "test accuracy (%)"


def test_pictures_of_several_graphs():
    net = eg.family_net("regular", [6, 6, 4], degree=2, rng=0)
    graphs = {"net": net, "graph": net.layers[0]}
    titles = [ax.get_title() for ax in plotting.picture_of(graphs, "pattern").axes]
    assert titles == ["net, 0 → 1", "net, 1 → 2", "graph, 0 → 1", ""]
    assert [ax.get_title() for ax in plotting.picture_of(graphs, "network").axes] == ["net", "graph"]
    spectra = plotting.picture_of({"net": net, "like": eg.random_like(net, rng=0)}, "spectrum").axes
    assert [ax.get_title() for ax in spectra] == ["0 → 1", "1 → 2"]
    assert [len(ax.lines) for ax in spectra] == [3, 3]
    densities = plotting.picture_of({"net": net, "like": eg.random_like(net, rng=0)}, "density").axes
    assert [(ax.get_title(), len(ax.lines)) for ax in densities] == [("0 → 1", 3), ("1 → 2", 3)]
    matrices = plotting.picture_of(graphs, "adjacency").axes[:2]
    assert [ax.get_title() for ax in matrices] == [f"{name}, {g.n_edges} edges" for name, g in graphs.items()]
    with pytest.raises(ValueError, match=r"these networks have \[1, 2\] layers"):
        plotting.picture_of(graphs, "spectrum")
    with pytest.raises(ValueError, match="kind must be"):
        plotting.picture_of(graphs, "heat")
    with pytest.raises(ValueError, match="at least one graph is needed"):
        plotting.picture_of({}, "pattern")


@pytest.mark.parametrize("kind", ["pattern", "spectrum", "density"])
def test_skips_have_panels_under_the_names_of_their_layers(kind):
    g = eg.random_regular(6, 6, 2, rng=0)
    blocks = {(0, 1): g, (1, 2): g}
    plain = eg.LayeredGraph([6, 6, 6], blocks, names=["in", "mid", "out"])
    skips = eg.LayeredGraph([6, 6, 6], blocks | {(0, 2): g}, names=["in", "mid", "out"])
    titles = [ax.get_title().split(", ")[-1] for ax in plotting.picture_of({"plain": plain, "skips": skips}, kind).axes]
    assert titles[-3:] == ["in → mid", "in → out", "mid → out"]


def test_a_dense_reference_does_not_flatten_the_others(ax):
    found = {
        name: eg.spectral_density(eg.random_bipartite(40, 40, density=d, rng=0), rng=0)
        for name, d in (("dense", 1), ("thin", 0.1))
    }
    plotting.plot_spectral_density(found, ax)
    assert ax.lines[0].get_label() == "dense: all values 0"
    assert ax.get_ylim()[1] < 2 * found["thin"].density.max()


def test_too_many_nodes_are_refused(ax):
    with pytest.raises(ValueError, match="layers of at most 100 nodes can be drawn node by node, got 101"):
        plotting.draw_layered(eg.LayeredGraph([101, 2], {}), ax)
    with pytest.raises(ValueError, match="a BipartiteGraph is needed, got LayeredGraph"):
        plotting.draw_biadjacency(eg.LayeredGraph([2, 2], {}), ax)
    with pytest.raises(ValueError, match="needs a BipartiteGraph for 'net', got LayeredGraph"):
        plotting.plot_singular_values({"net": eg.LayeredGraph([2, 2], {})}, ax)
    with pytest.raises(ValueError, match="in a mapping"):
        plotting.plot_singular_values([eg.random_regular(3, 3, 2, rng=0)], ax)


def test_the_name_of_the_bound_has_room(ax):
    """Also where nothing else is drawn as high."""
    g = eg.random_regular(31, 31, 6, rng=0)
    plotting.plot_singular_values({"regular": g}, ax)
    assert ax.get_ylim()[1] > 1.1 * eg.spectral_gap(g).bound


def test_vertices_are_counted_in_integers(ax):
    plotting.draw_biadjacency(eg.random_regular(9, 9, 2, rng=0), ax)
    assert all(tick == round(tick) for tick in (*ax.get_xticks(), *ax.get_yticks()))


def test_nothing_to_draw_is_refused(ax):
    with pytest.raises(ValueError, match="at least one curve"):
        plotting.plot_accuracy({}, ax)
    with pytest.raises(ValueError, match="has no pairs to draw"):
        plotting.draw_biadjacency(eg.BipartiteGraph.from_edges(0, 3, []), ax)


# --- pruning ---

HISTORY = [(10, 1.0, 0.0), (20, 0.4, 0.02), (30, 0.1, 0.05)]


def test_pruning_over_time():
    other = [(10, 0.5, 0.01), (30, 0.2, 0.02)]
    figure = pruning_figure({"one": HISTORY, "two": other}, {"two": ([5, 30], [90.0, 91.5]), "dense": ([30], [95.0])})
    sparsity, threshold, accuracy = figure.axes
    np.testing.assert_allclose(sparsity.lines[0].get_xydata(), [[10, 0], [20, 60], [30, 90]])
    np.testing.assert_allclose(threshold.lines[1].get_xydata(), [[10, 0.01], [30, 0.02]])
    np.testing.assert_allclose(accuracy.lines[0].get_xydata(), [[5, 90], [30, 91.5]])
    assert accuracy.lines[0].get_color() == sparsity.lines[1].get_color()
    assert accuracy.lines[1].get_color() not in {line.get_color() for line in sparsity.lines}
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["two", "dense"]
    assert len(pruning_figure({"one": HISTORY}).axes) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({},), "at least one history with a pruning in it is needed, got {}"),
        (({"one": []},), "at least one history with a pruning"),
        (({"one": HISTORY}, {"one": ([1, 2], [90.0])}), r"of 'one' must be as many, got shapes \(2,\) and \(1,\)"),
    ],
)
def test_pruning_that_cannot_be_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        pruning_figure(*arguments)
