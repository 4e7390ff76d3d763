"""Small promises, each of which a mutation of the code once broke unnoticed."""

import hashlib
import importlib
import json
import math
import pkgutil
from dataclasses import fields, is_dataclass, replace

import networkx as nx
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.sparse import block_diag

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph, cli, demo, plotting
from expandergraphs.generators.regular import _trade
from expandergraphs.paths import _is_prime
from expandergraphs.report import CELLS
from expandergraphs.results import Table, as_plain
from expandergraphs.rng import streams
from expandergraphs.spectral import dense as dense_way
from tests.core.test_cli import measure_quickly, run
from tests.core.test_generators import near_regular, p_value, regular
from tests.core.test_spectral import dense


@pytest.fixture
def ax():
    return Figure().subplots()


# --- results ---


def test_every_dataclass_is_frozen_and_compares_numbers_only():
    """Two arrays have no one truth value: what holds any is compared by identity."""
    modules = [
        info.name for info in pkgutil.walk_packages(eg.__path__, "expandergraphs.") if "__main__" not in info.name
    ]
    defined = {
        thing for name in modules for thing in vars(importlib.import_module(name)).values() if is_dataclass(thing)
    }
    assert len(defined) > 30
    for one in defined:
        assert one.__dataclass_params__.frozen, one
        holds_arrays = any("ndarray" in str(field.type) for field in fields(one))
        assert not (one.__dataclass_params__.eq and holds_arrays) or one.__name__.startswith("_"), one


# --- graphs ---


def test_the_left_side_may_be_a_frozen_set():
    graph = nx.Graph([(1, "x"), (8, "y")])
    assert BipartiteGraph.from_networkx(graph, frozenset({8, 1})).edges.tolist() == [[0, 0], [1, 1]]


def test_sides_other_than_0_and_1_and_unknown_members():
    graph = nx.Graph()
    graph.add_node("a", bipartite=0)
    graph.add_node("b", bipartite=2)
    with pytest.raises(ValueError, match="'b' has no attribute"):
        BipartiteGraph.from_networkx(graph)
    with pytest.raises(ValueError, match="left names 5"):
        BipartiteGraph.from_networkx(nx.path_graph(2), {0, 5})


@pytest.mark.parametrize(
    ("build_graph", "message"),
    [
        (lambda: BipartiteGraph.from_biadjacency(np.array([[complex("nan")]])), "nan"),
        (lambda: BipartiteGraph.from_keys(1, 3, [-1]), "keys must lie in 0..2, got -1"),
        (lambda: BipartiteGraph(1, 3, [1, 2], [0, 1]), "indptr must rise from 0 to 2"),
        (lambda: BipartiteGraph(1, 3, [0, 1], [0, 1]), "indptr must rise from 0 to 2"),
    ],
)
def test_refusals(build_graph, message):
    with pytest.raises(ValueError, match=message):
        build_graph()


def test_the_digest_is_that_of_the_whole():
    g = eg.random_left_regular(2**20 + 1, 4, 2, rng=0)
    whole = (
        f"{g.n_left} 4 {g.n_edges}\n".encode() + g.indptr.astype("<i8").tobytes() + g.indices.astype("<i8").tobytes()
    )
    assert g.digest == hashlib.sha256(whole).hexdigest()


def test_vertices_beyond_32_bits():
    assert BipartiteGraph.from_edges(1, 2**31 + 1, [(0, 2**31)]).edges.tolist() == [[0, 2**31]]
    assert eg.random_left_regular(2, 2**32, 3, rng=0).n_edges == 6


def test_hashes_differ():
    assert len({hash(eg.random_bipartite(9, 9, n_edges=9, rng=seed)) for seed in range(5)}) == 5


def test_reprs_of_networks():
    assert "-...-6, 14 layers" in repr(eg.radix_net([[2]] * 13, [1] * 13 + [3]))
    g = eg.random_bipartite(3, 3, n_edges=2, rng=0)
    assert repr(LayeredGraph([3, 3], {(0, 1): g}, {(0, 1): [1, 2]})) == "LayeredGraph(3-3, 2 edges, weighted)"


# --- randomness ---


def test_streams_are_those_of_numpy_keyed_by_the_name():
    one, two = np.random.SeedSequence(0).spawn(2)
    assert streams(one)("x").integers(2**62) != streams(two)("x").integers(2**62)
    key = tuple(np.frombuffer(hashlib.sha256(b"fc1").digest(), "<u4").tolist())
    twin = np.random.default_rng(np.random.SeedSequence(7, spawn_key=key))
    assert streams(7)("fc1").integers(2**62) == twin.integers(2**62)


def test_family_net_uses_its_seed_and_another_stream_in_each_layer():
    net = eg.family_net("random", [50, 50, 50], density=0.1, rng=0)
    assert net.layers[0] != net.layers[1]
    assert net != eg.family_net("random", [50, 50, 50], density=0.1, rng=1)


def test_the_default_number_of_rounds():
    assert eg.random_regular(64, 48, 5, rng=7) == eg.random_regular(64, 48, 5, rng=7, mixing_rounds=10)
    assert eg.random_regular(64, 48, 5, rng=7) != eg.random_regular(64, 48, 5, rng=7, mixing_rounds=9)


def test_the_start_is_shuffled():
    """A perfect matching needs no repair: without rounds, only the shuffle makes it random."""
    assert p_value(regular(4, 4, 4, mixing_rounds=0), near_regular(4, 4, 4), 40, seed=1) > 1e-3


def test_shorter_rows_are_any_rows():
    classes = near_regular(4, 3, 6, right=False)
    assert p_value(lambda rng: eg.random_left_regular(4, 3, n_edges=6, rng=rng), classes, 10, seed=2) > 1e-3


def test_four_equal_neighbours_are_two_couples():
    pairs = np.array([[5, 5, 1, 5, 5, 2], [5, 5, 1, 5, 3, 2], [5, 5, 1, 4, 3, 2]], dtype=np.uint32)
    assert not _trade(pairs, np.random.default_rng(0))  # not simple yet: a neighbour came more than twice
    assert [(half == 5).sum() for half in (pairs[0, :3], pairs[0, 3:])] == [2, 2]
    assert sorted((half == 5).sum() for half in (pairs[1, :3], pairs[1, 3:])) == [1, 2]
    assert pairs[2].tolist() != sorted(pairs[2].tolist())
    assert _trade(pairs[2:], np.random.default_rng(0))


def test_many_columns():
    assert set(eg.random_regular(3, 70_000, 1, rng=0).right_degrees.tolist()) == {1}


def test_random_like_keeps_names_and_skips():
    g = eg.random_bipartite(9, 9, n_edges=20, rng=0)
    net = LayeredGraph([9, 9, 9], {(0, 1): g, (0, 2): g}, names=["x", "y", "z"])
    like = eg.random_like(net, rng=0)
    assert (like.names, list(like.blocks), like.n_edges) == (net.names, list(net.blocks), 40)


# --- budgets and radix nets ---


def test_whole_budgets_and_remainders():
    assert eg.spread([(3, 3), (2, 2)], n_edges=13) == (9, 4)
    assert eg.spread([(1, 2), (1, 3), (1, 4)], n_edges=5) == (1, 2, 2)
    assert eg.family_net("regular", [4, 4], degree=4, rng=0).n_edges == 16


def test_family_net_refuses():
    with pytest.raises(ValueError, match="sizes must be a sequence, got b"):
        eg.family_net("random", b"\x04\x05", density=0.5)
    with pytest.raises(eg.GenerationError, match="holds a degree of at most 9"):
        eg.family_net("left_regular", [4, 9], degree=10)
    with pytest.raises(ValueError, match="budget must be one of"):
        eg.family_net("random", [4, 9], density=0.5, budget="fair")


def test_which_radix_net_is_chosen():
    """Among equal counts the most even densities, then the smallest modulus."""
    assert eg.radix_net_with([3, 8, 6], 30).systems == ((2, 4),)
    assert eg.radix_net_with([2, 2, 6], 9).systems == ((2, 2),)


def test_radix_refusals():
    with pytest.raises(eg.GenerationError, match=r"product of system \[2\] is 2"):
        eg.radix_net([[2, 3], [2], [2]], [1] * 5)
    with pytest.raises(ValueError, match="each size must be an integer of at least 1, got 0"):
        eg.radix_net_for([4, 0, 4], [[2, 2]])


# --- measures ---


def test_twenty_equal_values_are_all_found(monkeypatch):
    copies = [eg.random_bipartite(40, 42, density=0.1, rng=2).biadjacency] * 20
    g = BipartiteGraph.from_biadjacency(block_diag(copies))
    expected = dense(g)[:12]
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 4)
    np.testing.assert_allclose(eg.singular_values(g, 12), expected, rtol=1e-9)


def test_path_counts_with_every_skip():
    one = BipartiteGraph.from_edges(1, 1, [(0, 0)])
    net = LayeredGraph([1] * 40, {(s, t): one for s in range(40) for t in range(s + 1, 40)})
    assert eg.path_counts(net).tolist() == [[2**38]]


def test_asymmetry_between_far_inputs_is_seen():
    edges = [(i, 0) for i in range(4096)] + [(i, 1) for i in range(1024, 4096)]
    first = BipartiteGraph.from_edges(4096, 2, edges)
    assert not eg.is_path_symmetric(LayeredGraph.from_layers([first, eg.random_bipartite(2, 1, p=1)]))


def test_small_things_about_paths():
    with pytest.raises(ValueError, match=r"inputs must lie in 0..8, got -1..-1"):
        eg.path_counts(eg.random_bipartite(9, 3, p=1), inputs=[-1])
    assert not eg.components(eg.random_bipartite(9, 3, p=1)).sizes.flags.writeable
    assert not _is_prime(1_373_653)
    assert not _is_prime(25_326_001)
    assert not _is_prime(294_409)  # 37 * 73 * 109: a Carmichael number, of which a^(n - 1) = 1 for every a
    # Each of these passes for all witnesses but one.
    assert not any(map(_is_prime, [32_817_151, 746_331_041, 2_284_453, 25_326_001]))


def test_sampled_sets_have_the_size_they_are_divided_by():
    n = 9000
    found = eg.sampled_expansion(BipartiteGraph.from_edges(n, n, [(i, i) for i in range(n)]), samples=2000, rng=0)
    assert (found.mean, found.minimum) == (1, 1)


def test_the_report_uses_its_arguments():
    star = BipartiteGraph.from_edges(1, 4, [(0, 0), (0, 1)])
    assert eg.report(star).graphs[0].sampled is not None
    g = eg.random_regular(50, 50, 3, rng=0)
    net = LayeredGraph.from_layers([g, g])
    first, second = (graph.sampled for graph in eg.report(net, rng=0).graphs)
    assert first != second
    assert first != eg.report(net, rng=1).graphs[0].sampled
    assert eg.report(net, samples=7).graphs[0].sampled.samples == 7


def test_the_cells_of_a_report():
    graph = eg.report(BipartiteGraph.from_edges(3, 4, [(0, 0), (0, 1), (1, 1)])).graphs[0]
    cells = {label: cell(graph) for label, cell in CELLS.items()}
    gap = graph.spectrum
    expected = {
        **{"size": "3 x 4", "edges": "3", "density": "0.25", "degrees, left": "0..2", "degrees, right": "0..2"},
        **{"isolated": "3", "components": "4", "σ1": f"{gap.sigma1:.4g}", "σ2": f"{gap.sigma2:.4g}"},
        **{"bound": f"~{gap.bound:.4g}", "Ramanujan": "-", "σ2/σ1": f"{gap.ratio:.4g}"},
        **{"normalised σ2": f"{gap.sigma2_normalised:.4g}", "sampled mean": f"{graph.sampled.mean:.4g}"},
        **{"α, left": "0", "α, right": "0", "edge expansion": "0", "conductance": "0.3333"},
        **{"Δr": f"{graph.irregular.delta_r:.4g}", "Δs": f"{graph.irregular.delta_s:.4g}"},
        **{"girth": "inf", "diameter": "inf", "mean distance": f"{(3 * 1 + 2 * 2 + 3) / 6:.4g}"},
    }
    assert expected.items() <= cells.items()
    assert cells["Δr"] != cells["Δs"]
    other = eg.report(BipartiteGraph.from_edges(4, 2, [(0, 0), (1, 0), (1, 1), (2, 1), (3, 1)])).graphs[0]
    expected = {"α, left": "0.5", "α, right": "2", "edge expansion": "0.3333", "conductance": "0.2"}
    assert {label: CELLS[label](other) for label in expected} == expected
    loose = replace(other.intervals.left, lower=0.25, exact=False)
    for certificate, text in (("exact", "0.25 .. 0.5"), ("probabilistic", "~0.25 .. 0.5")):
        intervals = replace(other.intervals, left=replace(loose, certificate=certificate))
        assert CELLS["α, left"](replace(other, intervals=intervals)) == text
    regular = eg.report(eg.random_regular(8, 8, 2, rng=0)).graphs[0]
    assert not CELLS["bound"](regular).startswith("~")
    assert CELLS["Ramanujan"](regular) in ("yes", "no", "undecided")


def test_what_undecided_means_is_said_where_it_is_read():
    result = eg.report(eg.random_regular(8, 8, 2, rng=0), quick=True)
    (graph,) = result.graphs
    undecided = replace(result, graphs=(replace(graph, spectrum=replace(graph.spectrum, is_ramanujan=None)),))
    assert "patience=20" in str(undecided)
    assert "patience" not in str(result)


def test_many_graphs_are_rows_and_few_are_columns():
    few, many = (eg.report(eg.family_net("regular", [8] * n, degree=2, rng=0), quick=True) for n in (7, 8))
    assert list(few.table().headings) == ["", *(f"{k} → {k + 1}" for k in range(6))]
    assert many.table().headings[:3] == ("graph", "size", "edges")
    assert "girth" not in str(few)


def test_plain_data_and_tables():
    assert as_plain([math.inf, -math.inf, 1.5]) == [None, None, 1.5]
    wide = "a title longer than the table, and [not] markup"
    text = str(Table.of(wide, ["a", "[b]"], [("[red]x", 1), ("longer name", 1000)], left=["a"], caption="c" * 200))
    assert "│ [red]x      │    1 │" in text
    assert text.splitlines()[0] == wide
    assert text.splitlines()[-1] == "c" * 200
    assert "[b]" in text


# --- pictures ---


def test_skips_are_dashed_and_inputs_on_top(ax):
    g = eg.random_bipartite(3, 3, n_edges=2, rng=0)
    plotting.draw_layered(LayeredGraph([3, 3, 3], {(0, 1): g, (0, 2): g}), ax)
    plain, skip = ax.collections[:2]
    assert plain.get_linestyle()[0][1] is None
    assert skip.get_linestyle()[0][1] is not None
    assert ax.yaxis_inverted()


def test_the_bound_is_the_first_graph_s_and_named_by_its_kind(ax):
    regular_graphs = {"a": eg.random_regular(30, 30, 3, rng=0), "b": eg.random_regular(30, 30, 9, rng=0)}
    plotting.plot_singular_values(regular_graphs, ax)
    assert ax.lines[-1].get_ydata()[0] == pytest.approx(2 * 2**0.5)
    plotting.plot_singular_values({"a": eg.random_bipartite(30, 30, n_edges=90, rng=0)}, ax)
    assert ax.texts[-1].get_text().startswith("bound with average degrees")


def test_accuracy_is_the_mean_at_the_epochs_given(ax):
    plotting.plot_accuracy({"one": [[80, 90], [82, 90], [90, 90]]}, ax, epochs=[5, 10])
    assert ax.lines[0].get_xdata().tolist() == [5, 10]
    assert ax.lines[0].get_ydata().tolist() == [84, 90]


# --- the demo and the command line ---


def test_each_seed_trains_its_own_graphs(tmp_path, monkeypatch):
    graphs = []

    def train(net, *, seed, epochs, on_epoch):
        graphs.append(net)
        return [50.0] * epochs

    def train_deep(method, **options):
        return train(method, **options), eg.family_net("random", demo.DEEP_SIZES, density=0.01, rng=0)

    monkeypatch.setattr(cli.demo, "_training", {"demo-training": train, "demo-n2nskip": train_deep}.get)
    monkeypatch.setattr(demo, "measure", measure_quickly)
    run("demo", "-o", tmp_path, "--seeds", 2, "--epochs", 1)
    assert graphs[:2] == [demo.families(0)["random"], demo.families(1)["random"]]


def test_measure_uses_its_options(tmp_path):
    path, g = tmp_path / "g.npz", eg.random_regular(50, 50, 3, rng=0)
    eg.save(path, g)
    measured = json.loads(run("measure", path, "--json", "--samples", 7, "--seed", 5).output)
    assert measured == json.loads(json.dumps(eg.report(g, samples=7, rng=5).to_dict()))


def test_contradictions_on_the_command_line(tmp_path):
    with pytest.raises(ValueError, match="--systems"):
        run("generate", "radix", "4-4", "--systems", "2", "--density", 0.5, "-o", tmp_path / "g.npz")
    with pytest.raises(ValueError, match="these multipliers give"):
        run("generate", "radix", "4-4", "--systems", "2,2;2", "--multipliers", "1,2,1,3", "-o", tmp_path / "g.npz")


def test_only_missing_torch_and_digits_are_forgiven(monkeypatch):
    class Entry:
        def load(self):
            raise ModuleNotFoundError("No module named 'x'", name="x")

    monkeypatch.setattr(cli.demo.metadata, "entry_points", lambda **_: (Entry(),))
    with pytest.raises(ModuleNotFoundError, match="'x'"):
        cli.demo._training("demo-training")


def test_errors_are_not_read_as_markup(monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv", ["expandergraphs", "generate", "regular", "[red]4-4", "--degree", "2", "-o", "g.npz"]
    )
    with pytest.raises(SystemExit):
        cli.main()
    assert "got '[red]4-4'" in capsys.readouterr().err
