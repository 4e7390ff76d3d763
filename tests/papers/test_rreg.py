"""RReg's experiment: its counts of edges, the leak against plain arithmetic, and a whole study at tiny size."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import models, rreg, rreg_report, runs
from benchmarks.papers.tables import rank_correlation, ranks_within
from benchmarks.papers.training import Recipe


@pytest.fixture
def tiny(monkeypatch):
    pairs = {"depth": ("vgg16", "vgg19", 1 / 16), "width": ("wrn-10-2", "wrn-10-5", 1 / 8)}
    few = {"degrees": (2,), "leaking": (2,), "epochs": 1, "width": 1 / 16, "pairs": pairs}
    few |= {"images": {"n_train": 120, "n_test": 50, "size": 8}, "time_limit": 0.01}
    monkeypatch.setattr(rreg, "FEW", {})
    monkeypatch.setitem(rreg_report.STANDS_FOR, "small", {2: 60})
    monkeypatch.setattr(rreg_report, "rank_correlation", partial(rank_correlation, draws=20))
    monkeypatch.setitem(rreg.SCALES, "small", replace(rreg.SCALES["small"], **few))


def vgg(width=1 / 8):
    return models.make("vgg16", width=width, size=16)


def edges(model):
    return {name: (layer.graph.n_left, layer.graph.n_right, layer.graph.n_edges) for name, layer in layers(model)}


def layers(model):
    return egt.masked_modules(model).items()


@pytest.mark.parametrize("scale", rreg.SCALES)
def test_every_run_is_there_once_seed_by_seed(scale):
    every = rreg.settings(scale, "cifar10", range(3))
    assert len({runs.key(setting) for setting in every}) == len(every)
    if scale == "full":  # the claim itself comes first, in all seeds
        first = every[:18]
        assert {(s["degree"], s["edges"]) for s in first} == {(15, "max"), (3, "max")}
        assert [s["seed"] for s in first] == sorted(s["seed"] for s in first)
    else:
        assert [s["seed"] for s in every] == sorted(s["seed"] for s in every)
    families = [s for s in every if s["part"] == "families" and s["seed"] == 2]
    assert len(families) == 1 + 4 * 5  # RReg's edges in (a) are those in (b)


@pytest.mark.parametrize("degree", [3, 15])
def test_equal_edges_and_the_papers(degree):
    equal = {method: edges(rreg.wire(vgg(), method, degree, "max", 0)) for method in rreg.FAMILIES}
    for a, b, n_edges in equal["regular"].values():
        assert n_edges == min(degree * max(a, b), a * b)
    assert equal["random"] == equal["left_regular"] == equal["regular"]
    assert "features.0" in equal["regular"]
    assert "classifier" not in equal["regular"]
    for method in ("random", "left_regular"):
        for a, b, n_edges in edges(rreg.wire(vgg(), method, degree, "left", 0)).values():
            assert n_edges == min(degree * a, a * b)


def test_families_are_what_they_are_called():
    random, left, both = ([layer.graph for _, layer in layers(rreg.wire(vgg(), m, 3, "max", 0))] for m in rreg.FAMILIES)
    assert all(np.ptp(graph.left_degrees) == 0 for graph in (*left, *both))
    assert all(np.ptp(graph.right_degrees) == 0 for graph in both)
    assert all(np.ptp(graph.right_degrees) > 0 for graph in (*left, *random) if graph.density < 0.5)
    assert all(np.ptp(graph.left_degrees) > 0 for graph in random if graph.density < 0.5)


@pytest.mark.parametrize(
    ("method", "counted", "remaining"), [("left_regular", "left", 0.802), ("regular", "max", 0.893)]
)
def test_parameters_left_as_the_paper_counts_them(method, counted, remaining):
    assert egt.summary(rreg.wire(vgg(1), method, 3, counted, 0)).remaining == pytest.approx(remaining, abs=5e-4)


def test_projections_of_a_resnet_stay_dense():
    wired = edges(rreg.wire(models.make("resnet18", width=1 / 16), "regular", 3, "max", 0))
    assert "layer2.0.conv1" in wired
    assert not any("downsample" in name or name == "fc" for name in wired)


def test_as_large_as_another():
    limit, model = models.n_parameters(models.make("resnet18", width=1 / 8)), models.make("resnet34", width=1 / 8)
    degree = rreg.largest_degree(model, limit)
    total = models.n_parameters(model)
    for each, fits in ((degree, True), (degree + 1, False)):
        wired = rreg.wire(models.make("resnet34", width=1 / 8), "regular", each, "max", 0)
        dense = sum(parameter.numel() for parameter in wired.parameters())
        masked = sum(int((~layer.mask).sum()) * layer.weight[0, 0].numel() for _, layer in layers(wired))
        assert dense == total
        assert (dense - masked <= limit) == fits
    with pytest.raises(ValueError, match="degree 1 leaves"):
        rreg.largest_degree(model, 1000)


def test_a_complete_layer_and_one_with_a_dead_unit():
    complete = rreg.measure(rreg.wire(vgg(), "regular", 3, "max", 0).features[0].graph, 0.05)
    alpha = 3 / 4  # half of eight outputs reach three inputs
    assert (complete["lower"], complete["upper"], complete["dead_out"]) == (alpha, alpha, 0)
    assert complete["ratio"] == pytest.approx(0)
    first = rreg.measure(rreg.wire(vgg(), "left_regular", 1, "left", 0).features[0].graph, 0.05)
    assert (first["lower"], first["upper"], first["dead_in"]) == (0, 0, 0)
    assert first["dead_out"] >= 5  # three edges reach three outputs at most


def test_a_regular_layer_has_an_interval_between_its_bounds():
    graph = rreg.wire(vgg(), "regular", 3, "max", 0).features[10].graph
    found, exact = rreg.measure(graph, 0.2), eg.vertex_expansion(graph, method="exact")
    assert found["lower"] <= exact.upper == exact.lower <= found["upper"]
    assert found["normalised"] == found["ratio"] == pytest.approx(eg.singular_values(graph, 2)[1] / 3)


# --- the leak ---


def test_the_papers_schedule_leaves_little():
    by_hand = 300 * 390 * 0.05 * 5e-4 / 0.1 * sum(0.5**k for k in range(10)) / 10
    assert rreg.fade(*rreg.PAPER) == pytest.approx(by_hand)
    assert 100 * math.exp(-by_hand) == pytest.approx(0.29, abs=0.005)


def test_fade_is_what_sgd_does_without_a_gradient():
    recipe, n = Recipe(epochs=1, schedule=((0, 1.0), (0.5, 0.5))), 400
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = recipe.make_optimizer([weight])
    for step in range(n):
        optimizer.param_groups[0]["lr"] = recipe.lr * recipe.factor(step / n)
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert math.log(weight.item()) == pytest.approx(-rreg.fade(recipe, n), rel=0.1)


def test_what_leaks_takes_part_and_learns_nothing():
    model, mask = nn.Sequential(nn.Linear(4, 3)), torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]]).bool()
    before, x = model[0].weight.detach().clone(), torch.ones(2, 4)
    outputs = model(x)
    leak = rreg.Leak(model, {"0": mask}, more=2.0)
    assert torch.equal(model(x), outputs)  # the forward pass is unmasked
    leak(model, torch.optim.SGD(model.parameters(), lr=0.1))
    model(x).square().sum().backward()
    gradient = model[0].weight.grad
    assert gradient[mask].all()
    assert not gradient[~mask].any()
    norm = leak.norm()
    assert norm == pytest.approx(before[~mask].norm().item())
    leak.step()
    assert leak.norm() == pytest.approx(norm * math.exp(-0.2))
    assert torch.equal(model[0].weight[mask], before[mask])
    leak.close()
    assert torch.equal(model[0].weight != 0, mask)


# --- the report ---


def test_ranks_within_degrees_are_free_of_the_degree():
    degrees = np.repeat([3, 8, 15], 4)
    expansion, accuracy = degrees + np.tile([0.1, 0.2, 0.3, 0.4], 3), degrees + np.tile([0.2, 0.4, 0.1, 0.3], 3)
    assert rank_correlation(expansion, accuracy, draws=20).rho > 0.8
    within = [ranks_within(degrees, values) for values in (expansion, accuracy)]
    assert rank_correlation(*within, draws=20).rho == pytest.approx(0)
    assert within[0].tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1] * 3)


def test_a_whole_study(tiny, tmp_path, capsys):
    arguments = ["--out", str(tmp_path / "out"), "--seeds", "2", "--processes", "1", "--device", "cpu"]
    arguments += ["--pictures", str(tmp_path / "pictures")]
    runs.main(rreg.__doc__, rreg.settings, rreg.run, rreg.report, arguments)
    text = capsys.readouterr().out
    n = len(rreg.settings("small", "digits", range(2)))
    assert f"{n} of {n} runs" in text
    line = next(line for line in text.splitlines() if line.startswith("| RReg | 60 | 13.79 | 93.50 |"))
    assert line.split(" | ")[4:7] == ["+0.00", "+0.61", "2"]  # as published; d = 2 stands for the largest degree
    assert text.count("\n### ") == 6
    assert "nan" not in text.split("### VGG16: differences")[0]
    names = {"rreg-expansion.png", "rreg-families.png", "rreg-leak-and-depth.png"}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == names

    rows = runs.rows_of(tmp_path / "out" / "rows.jsonl").values()
    leaking = [row for row in rows if row["part"] == "leak"]
    assert {row["leak"] for row in leaking} == set(rreg.leaks("small"))
    for row in leaking:
        assert row["left"] == pytest.approx(row["expected"], rel=0.01)
    setting = next(s for s in rreg.settings("small", "digits", range(1)) if s["part"] == "leak")
    load = partial(runs._load, "digits", None, "cpu")
    again = rreg.run(setting, runs.Context(runs.folder_of(tmp_path / "out", setting), load))  # trained: loaded
    assert again.items() <= next(row for row in leaking if row.items() >= setting.items()).items()
