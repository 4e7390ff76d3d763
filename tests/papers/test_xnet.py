"""X-Net's claims: what is trained has the edges it should, what is counted agrees with slower ways, all of it tiny."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import runs, xnet, xnet_report
from benchmarks.papers.models import initialise
from benchmarks.papers.xnet import FAMILIES, SCALES, Scale, gradient_shares, grouped, settings, wire

TINY = Scale(8, (16,), 2, (16, 64), (2, 4), (16, 4, 3), 4, 1, 50, {"n_train": 300, "n_test": 200})


def mlp(*sizes, seed=0):
    torch.manual_seed(seed)
    hidden = [part for k in range(len(sizes) - 2) for part in (nn.Linear(*sizes[k : k + 2]), nn.ReLU())]
    return initialise(nn.Sequential(nn.Flatten(), *hidden, nn.Linear(*sizes[-2:])))


# --- groups ---


def test_groups_are_complete_and_apart():
    graph = grouped(10, 6, 20)  # three groups of two outputs
    expected = np.zeros((10, 6), int)
    for inputs, outputs in ((range(0, 4), (0, 1)), (range(4, 7), (2, 3)), (range(7, 10), (4, 5))):
        expected[np.ix_(inputs, outputs)] = 1
    assert np.array_equal(graph.biadjacency.toarray(), expected)


def test_groups_never_mix():
    net = eg.LayeredGraph.from_layers([grouped(24, 16, 24 * 4), *[grouped(16, 16, 64)] * 5])
    assert set(eg.receptive_fields(net).receptive.tolist()) == {6}


def test_scattered_groups_are_groups_of_pixels_dealt_out():
    graphs = {}
    for method in ("grouped", "scattered"):
        model = wire(mlp(64, 16, 16, 10), method, [64 * 4, 16 * 4], seed=3)
        graphs[method] = [layer.graph.biadjacency.toarray() for layer in egt.masked_modules(model).values()]
    first, second = zip(*graphs.values(), strict=True)
    assert np.array_equal(*second)
    assert not np.array_equal(*first)
    assert sorted(map(tuple, first[0])) == sorted(map(tuple, first[1]))


@pytest.mark.parametrize("n_edges", [15, 50, 64])
def test_groups_that_do_not_fit_are_refused(n_edges):
    with pytest.raises(eg.GenerationError, match=f"{n_edges} edges between 10 and 12"):
        grouped(10, 12, n_edges)
    assert grouped(10, 12, 60).n_edges == 60


# --- what is run ---


@pytest.mark.parametrize("scale", SCALES)
def test_settings_are_keys_by_seed(scale):
    found = settings(scale, "digits", range(3))
    assert len({runs.key(setting) for setting in found}) == len(found)
    assert [setting["seed"] for setting in found] == sorted(setting["seed"] for setting in found)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", [*FAMILIES, "scattered"])
def test_every_width_of_a_scale_has_the_edges_of_the_narrow_one(scale, method):
    its = SCALES[scale]
    for width in its.widths[:2]:
        model = mlp(256, *[width] * 2, 10)
        wire(model, method, [256 * its.narrow, its.narrow**2], seed=0)
        edges = [layer.graph.n_edges for layer in egt.masked_modules(model).values()]
        assert edges == [256 * its.narrow, its.narrow**2]
        assert type(model[-1]) is nn.Linear


# --- gradients ---


@pytest.mark.parametrize("method", FAMILIES)
def test_gradient_shares_agree_with_autograd(method):
    torch.manual_seed(1)
    model, x = wire(mlp(16, 12, 12, 12, 5), method, [48, 36, 36], seed=1), torch.randn(6, 1, 4, 4)
    shares = gradient_shares(model, x)
    assert len(shares) == 3
    for t, share in enumerate(shares, start=1):
        before_relu = model[: 2 * t]
        there = torch.stack(
            [torch.autograd.functional.jacobian(before_relu, image[None]).reshape(12, 16) != 0 for image in x]
        )
        each = there.double().mean((1, 2))
        assert share["image"] == pytest.approx(each.mean().item())
        assert share["worst"] == pytest.approx(each.min().item())
        assert share["any"] == pytest.approx(there.any(0).double().mean().item())


def test_a_deep_linear_path_has_all_gradients_that_paths_allow():
    """With all units active, a gradient is there exactly where a path is: of positive weights, nothing cancels."""
    model = wire(mlp(16, 16, 16, 16, 16, 3), "regular", [64, 64, 64, 64], seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    egt.zero_off_mask(model)
    graphs = [layer.graph for layer in egt.masked_modules(model).values()]
    for t, share in enumerate(gradient_shares(model, torch.rand(3, 16)), start=1):
        paths = eg.reachability(eg.LayeredGraph.from_layers(graphs[:t])).mean()
        assert share["image"] == share["worst"] == share["any"] == pytest.approx(paths)


# --- all of it ---


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out, patch = tmp_path_factory.mktemp("xnet"), pytest.MonkeyPatch()
    patch.setitem(SCALES, "small", TINY)
    arguments = ["--out", str(out), "--seeds", "1", "--processes", "1", "--device", "cpu"]
    runs.main(xnet.__doc__, xnet.settings, xnet.run, lambda *_: None, arguments)
    rows = [runs.rows_of(out / "rows.jsonl")[runs.key(s)] for s in xnet.settings("small", "digits", [0])]
    patch.undo()
    return rows


def part(rows, name):
    return [row for row in rows if row["part"] == name]


def test_parameters_by_hand(finished):
    narrow = 784 * 8 + 8 * 8 + 2 * 8 + 8 * 10 + 10  # weights, biases, the classifier
    sparse = 784 * 8 + 8 * 8 + 2 * 16 + 16 * 10 + 10
    nine = 784 * 9 + 9 * 9 + 2 * 9 + 9 * 10 + 10
    sixteen = 784 * 16 + 16 * 16 + 2 * 16 + 16 * 10 + 10
    assert narrow <= sparse < nine  # so that the dense one as large has 8 units, too
    found = [(row["method"], row["parameters"]) for row in part(finished, "width")]
    assert found == [
        ("dense", narrow),
        ("dense", sixteen),
        ("dense", narrow),
        *((m, sparse) for m in (*FAMILIES, "scattered")),
    ]
    assert all(0 <= row["accuracy"] <= 100 for row in part(finished, "width"))


def test_depths_lie_between_the_least_and_the_theorem(finished):
    for row in part(finished, "depth"):
        assert [(its["n"], its["degree"]) for its in row["depths"]] == [(16, 2), (16, 4), (64, 2), (64, 4)]
        for its in row["depths"]:
            if row["method"] == "grouped":
                assert its["depth"] is None
            if its["depth"] and row["method"] != "random":  # whose units may feed more than d
                assert its["depth"] >= math.log(its["n"]) / math.log(its["degree"]) - 1e-9
            if its["bound"]:
                assert its["depth"] <= its["bound"]
        if row["method"] == "regular":
            assert all(its["depth"] for its in row["depths"])


def test_gradients_follow_paths(finished):
    for row in part(finished, "gradients"):
        assert row["paths"][0] == 0.25  # degree 4, 16 units
        for when in ("before", "after"):
            for paths, share in zip(row["paths"], row[when], strict=True):
                assert share["worst"] <= share["image"] <= share["any"] <= paths + 1e-12
            assert row[when][0]["any"] == row["paths"][0]
        if row["method"] == "grouped":
            assert row["paths"] == [0.25] * 3


def test_the_report_prints_every_number(finished, capsys, tmp_path):
    xnet_report.report(finished, tmp_path)
    printed = capsys.readouterr().out
    for row in part(finished, "width"):
        assert f" {row['accuracy']:.2f} " in printed
    assert printed.count("never") > 4
    assert {path.name for path in tmp_path.iterdir()} == {"xnet-width.png", "xnet-depth.png", "xnet-gradients.png"}


@pytest.mark.parametrize("kept", ["depth", "width", "gradients"])
def test_the_report_of_a_single_run_is_printed(finished, kept, capsys, tmp_path):
    xnet_report.report(part(finished, kept)[:1], tmp_path)
    assert capsys.readouterr().out.count("###") == {"depth": 1, "width": 4, "gradients": 2}[kept]
    assert [path.name for path in tmp_path.iterdir()] == [f"xnet-{kept}.png"]


def test_differences_are_those_of_equal_seeds(finished, capsys):
    rows = part(finished, "width")
    narrow, xnet_rows = rows[0]["accuracy"], [row for row in rows if row["method"] == "left_regular"]
    rows = [*rows, *(row | {"seed": 1, "accuracy": row["accuracy"] + (row in xnet_rows)} for row in rows)]
    xnet_report.differences(rows)
    line = next(line for line in capsys.readouterr().out.splitlines() if "dense, 8 units" in line)
    assert f"{xnet_rows[0]['accuracy'] + 0.5 - narrow:+.2f} (" in line
