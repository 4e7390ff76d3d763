"""Experiment 5: equal edges and degrees, the expansion that theorems state, a report that says what is in the rows."""

from functools import cache, partial
from itertools import groupby

import numpy as np
import pytest
import torch

import expandergraphs as eg
from benchmarks.papers import data, expanders, expanders_report
from benchmarks.papers.expanders import ARRAY, CAYLEY, LPS, PLANE, SIZES, mixing, network, wiring
from benchmarks.papers.runs import Context, key
from benchmarks.papers.tables import rank_correlation

WIRINGS = [(size, method) for size, model, methods, _ in expanders.PLANS["small"] for method in methods
           if model == "mlp" and method != "dense"]  # fmt: skip


@cache
def digits(**options):
    return data.load("digits", n_test=50, **options)


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    monkeypatch.setattr(expanders_report, "rank_correlation", partial(rank_correlation, draws=50))


def of_network(size, method, depth=2, ends="narrow", model="mlp", seed=0):
    return {"size": size, "method": method, "depth": depth, "ends": ends, "model": model, "seed": seed}


@pytest.mark.parametrize(("size", "method"), WIRINGS)
def test_all_wirings_have_the_same_edges_and_degrees(size, method):
    n, d, _ = SIZES[size]
    g = wiring(size, method, 3, 1)
    assert (g.n_left, g.n_right, g.n_edges) == (n, n, n * d)
    if method != "Random":
        assert set(g.left_degrees.tolist()) == {d}
    if method not in ("Random", "X-Net"):
        assert set(g.right_degrees.tolist()) == {d}


@pytest.mark.parametrize(("size", "method"), WIRINGS)
def test_a_wiring_is_a_function_of_seed_and_layer(size, method):
    first = wiring(size, method, 3, 1)
    wiring.cache_clear()
    assert wiring(size, method, 3, 1) == first
    fixed = method in ("band", "explicit in turn") or (method == "parts" and size in (CAYLEY, ARRAY))
    assert (wiring(size, method, 3, 3) == first) == fixed
    assert (wiring(size, method, 4, 1) == first) == fixed


@pytest.mark.parametrize(
    ("size", "sigma2"), [(PLANE, 13**0.5), (ARRAY, 13**0.5), (CAYLEY, 4), (expanders.CAYLEY_10, 8)]
)
def test_explicit_graphs_have_the_sigma2_of_their_theorems(size, sigma2):
    g = SIZES[size].explicit()
    assert (g.n_left, g.n_right, g.n_edges) == (SIZES[size].n, SIZES[size].n, SIZES[size].n * SIZES[size].degree)
    assert eg.spectral_gap(g).sigma2 == pytest.approx(sigma2)


def test_explicit_graphs_expand_more_than_rreg_and_parts_not_at_all():
    for size in (PLANE, CAYLEY, LPS, ARRAY):
        gap = {method: eg.spectral_gap(wiring(size, method, 0, 0)) for method in expanders.FEW}
        assert gap["explicit"].ratio < gap["best of 20"].ratio < gap["RReg"].ratio < 0.7 < gap["parts"].ratio
        assert gap["explicit"].is_ramanujan
        assert gap["parts"].ratio == pytest.approx(1)
        assert eg.components(wiring(size, "parts", 0, 0)).count == SIZES[size].n // SIZES[size].degree


@pytest.mark.parametrize("method", ["parts", "parts + 10 %", "band", "block 4"])
def test_shuffled_graphs_expand_as_before_and_mix_as_a_network(method):
    def layers(name):
        return [wiring(CAYLEY, name, 0, i) for i in range(4)]

    if method not in ("parts + 10 %", "block 4"):  # those are drawn
        singular = [eg.singular_values(layers(name)[1]) for name in (method, f"{method}, shuffled")]
        assert np.allclose(*singular, atol=1e-7)
    assert mixing(layers(f"{method}, shuffled")) < 0.2 < mixing(layers(method))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_rewired_parts_have_exactly_that_share_of_edges_between_parts(share):
    n, d, _ = SIZES[PLANE]
    sizes = [14] * 12 + [15]
    part_of = np.repeat(np.arange(13), np.sort(sizes)[::-1])  # array_split puts the larger first
    before = wiring(PLANE, "parts", 0, 0)
    assert np.all(part_of[before.edges[:, 0]] == part_of[before.edges[:, 1]])
    after = wiring(PLANE, f"parts + {100 * share:g} %", 0, 0)
    outside = np.sum(part_of[after.edges[:, 0]] != part_of[after.edges[:, 1]])
    assert outside == 2 * round(share * n * d / 2)


def test_more_rewired_parts_expand_more():
    gaps = [eg.spectral_gap(wiring(PLANE, method, 0, 0)).ratio for method in [*expanders.DOSES, "RReg", "explicit"]]
    assert gaps[1:] == sorted(gaps[1:], reverse=True)
    assert gaps[0] == pytest.approx(1)
    assert min(gaps[2:]) < 1


def test_mixing_of_the_whole():
    plane = [wiring(PLANE, "explicit", 0, i) for i in range(3)]
    assert mixing(plane) == pytest.approx((13**0.5 / 14) ** 3)  # all but the first singular values are equal
    layers = [wiring(CAYLEY, "RReg", 0, i) for i in range(3)]
    counts = eg.path_counts(eg.LayeredGraph.from_layers(layers)).astype(float)
    first, second = np.linalg.svd(counts, compute_uv=False)[:2]
    assert mixing(layers) == pytest.approx(second / first)
    assert mixing([wiring(CAYLEY, "parts", 0, i) for i in range(3)]) == pytest.approx(1)


def test_planes_in_turn_reach_everything_in_two_layers_and_in_another_order_they_do_not():
    in_turn, others = (eg.LayeredGraph.from_layers([wiring(PLANE, method, 0, i) for i in range(2)])
                       for method in ("explicit in turn", "explicit"))  # fmt: skip
    assert eg.reachability(in_turn).all()
    assert 0.5 < eg.reachability(others).mean() < 0.9


@pytest.mark.parametrize("method", ["parts", "RReg"])
def test_a_class_depends_on_just_the_pixels_it_is_said_to_reach(method):
    model, graphs = network(of_network(CAYLEY, method), (1, 28, 28), 10)
    assert set(graphs[0].left_degrees.tolist()) == {1}
    assert set(graphs[-1].right_degrees.tolist()) == {2}
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():  # all positive, so no paths cancel, and no ReLU is off
            parameter.abs_().add_(0.1)
    x = torch.ones(1, 1, 28, 28)
    gradients = torch.autograd.functional.jacobian(lambda x: model(x)[0], x).reshape(10, 784)
    reached = eg.reachability(eg.LayeredGraph.from_layers(graphs))
    assert np.array_equal(gradients.numpy().T > 0, reached)
    assert (reached.mean() < 0.5) == (method == "parts")


def test_a_cnn_joins_channels_by_the_graph_alone():
    model, graphs = network(of_network(CAYLEY, "parts", model="cnn", depth=1), (1, 28, 28), 10)
    model.eval()
    head = model[: list(dict(model.named_children())).index("depthwise1")]
    middle = model[len(head) : list(dict(model.named_children())).index("mean")]
    features = torch.rand(1, 64, 7, 7)
    changed = features.clone()
    changed[:, 5] += 1
    differs = (middle(changed) != middle(features)).flatten(2).any(2)[0]
    assert set(differs.nonzero().flatten().tolist()) <= set(graphs[1].biadjacency[[5]].indices.tolist())
    assert differs.any()
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_wirings_are_paired_by_seed():
    models = []
    for method in ("RReg", "parts"):
        torch.manual_seed(0)
        models.append(network(of_network(CAYLEY, method), (1, 28, 28), 10)[0])
    a, b = models
    assert torch.equal(a.layer0.weight, b.layer0.weight)
    assert torch.equal(a.classes.weight, b.classes.weight)
    both = a.layer1.mask & b.layer1.mask
    assert both.any()
    assert torch.equal(a.layer1.weight[both], b.layer1.weight[both])
    assert not torch.equal(a.layer1.mask, b.layer1.mask)


@pytest.mark.parametrize("scale", ["small", "full"])
def test_settings_are_distinct_balanced_and_complete(scale):
    found = list(expanders.settings(scale, "mnist", range(2)))
    assert len({key(setting) for setting in found}) == len(found)
    assert [seed for seed, _ in groupby(found, lambda setting: setting["seed"])] == [0, 1]
    measured = {(s["size"], s["method"], s["seed"]) for s in found if s["part"] == "graph"}
    assert measured == {(s["size"], s["method"], s["seed"]) for s in found if s["part"] == "network"}
    networks = {(s["size"], s["model"], s["ends"], s["depth"]) for s in found if s["part"] == "network"}
    for size, model, ends, depth in networks:
        of = {s["method"] for s in found if s.items() >= {"size": size, "model": model, "ends": ends}.items()}
        assert {"RReg", "explicit", "parts"} <= of, depth


def test_a_run_and_its_report(tmp_path, monkeypatch, capsys):
    methods = ["RReg", "explicit", "parts", "parts + 10 %", "parts, shuffled", "dense"]
    plans = [("tiny", "mlp", methods, [("narrow", 4)]), ("tiny", "cnn", ["RReg", "parts"], [("dense", 1)])]
    monkeypatch.setitem(SIZES, "tiny", expanders.Size(13, 4, lambda: eg.projective_plane(3)))
    monkeypatch.setattr(expanders, "PLANS", {"small": plans})
    monkeypatch.setattr(expanders, "N_TRAIN", {"digits": 200})
    monkeypatch.setattr(expanders, "EPOCHS", {"small": {"mlp": 1, "cnn": 1}})
    rows = []
    for setting in expanders.settings("small", "digits", range(2)):
        context = Context(tmp_path / str(len(rows)), digits)
        rows.append(setting | expanders.run(setting, context))
    for shuffled in (row for row in rows if row["method"] == "parts, shuffled" and row["part"] == "network"):
        assert shuffled["ratio"] == pytest.approx(1)
        assert shuffled["mixing"] < 0.7
        assert (shuffled["dead"], shuffled["edges"], shuffled["reach"]) == (0, 4 * 13 * 4, 100)
    expanders.report(rows, tmp_path)
    out = capsys.readouterr().out
    for title in ("Graphs", "Test accuracy", "Less RReg", "Dose and response", "Rank correlation", "all sizes"):
        assert f"### {title}" in out or f", over {title}" in out
    assert {path.name for path in tmp_path.glob("*.png")} == {"expanders-mlp-13.png", "expanders-cnn-13.png"}


def invented(accuracy):
    """Return rows of two seeds, the accuracies of which are known; their seeds differ by 10."""
    graph = {"part": "graph", "size": PLANE, "n": 183, "degree": 14, "upper": 1.9, "connected": True, "ramanujan": True}
    rows = []
    for seed in range(3):
        for method, (lower, ratio, whole, regular) in {
            "RReg": (1.7, 0.5, 0.1, True), "explicit": (1.9, 0.25, 0.05, True), "parts": (1.0, 1.0, 1.0, True),
            "parts, shuffled": (1.0, 1.0 - 1e-13, 0.2, True), "Random": (1.6, 0.52, 0.11, False),
        }.items():  # fmt: skip
            common = {"size": PLANE, "method": method, "seed": seed}
            rows.append(graph | common | {"lower": lower, "regular": regular})
            network = {"part": "network", "model": "mlp", "ends": "narrow", "depth": 4, "edges": 4 * 2562}
            network |= {"dead": 0, "data": "invented"}
            values = {"ratio": ratio + seed / 1e6, "mixing": whole, "reach": 100.0 * (method != "parts")}
            noise = 0.01 * (seed - 1) * len(method)
            rows.append(common | network | values | {"accuracy": accuracy(ratio, whole) + 10 * seed + noise})
    return rows


def test_the_report_tells_expansion_of_layers_from_mixing_of_the_whole(capsys):
    expanders_report.report(invented(lambda ratio, whole: 50 - 5 * whole))
    lines = capsys.readouterr().out.splitlines()
    [means] = [line.split("|") for line in lines if "all, means of wirings" in line]
    alpha, layer, whole, reach = (float(text.split()[0]) for text in means[3:7])
    assert (alpha, layer, whole) == pytest.approx((0.95, -0.95, -1), abs=0.01)
    assert reach > 0.7
    [every] = [line.split("|") for line in lines if "| all |" in line]
    assert "n = 12" in every[3]  # Random, whose degrees differ, is left out
    assert float(every[5].split()[0]) < -0.9  # seeds differ by more than wirings
    parts = [line for line in lines if line.startswith("| parts | -4.5")]
    assert len(parts) == 1
    assert [line for line in lines if line.startswith("| narrow | explicit | 3 | +0.25")]


def test_the_report_does_not_find_what_is_not_there(capsys):
    expanders_report.report(invented(lambda ratio, whole: 50))
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if "p by Holm" in line)
    cells = [line.split("|")[2].split(", ") for line in lines[start + 4 : start + 8]]
    assert all(float(cell[-1]) == 1 for cell in cells)
