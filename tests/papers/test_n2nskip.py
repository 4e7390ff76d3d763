"""The N2NSkip experiment: equal budgets, the same heat as the package's, controls that change what they say."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import n2nskip, n2nskip_report, runs
from benchmarks.papers.data import Images, load
from benchmarks.papers.n2nskip_report import METHODS, PERCENT
from benchmarks.papers.tables import rank_correlation, ranks_within

IMAGES = {"n_train": 200, "validation": 0.2, "n_test": 40, "size": 16}
TINY = replace(n2nskip.SCALES["small"], epochs=2, width=0.0625, images=IMAGES)
SETTING = {"scale": "small", "dataset": "digits", "epochs": 2, "part": "methods", "model": "vgg19", "seed": 0}


@pytest.fixture(scope="module")
def data():
    """Digits in three colours: of one channel, the first layer would stay dense."""
    grey = load("digits", **IMAGES)
    parts = {name: getattr(grey, name) for name in ("train", "validation", "test")}
    parts = {name: Images(part.x.repeat(1, 3, 1, 1), part.y) for name, part in parts.items()}
    return replace(grey, **parts, mean=grey.mean * 3, deviation=grey.deviation * 3)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(n2nskip, "SCALES", {"small": TINY})


def wired(data, method, part="methods", density=0.1, model="vgg19"):
    torch.manual_seed(0)
    made = n2nskip.make(model, data, TINY)
    n2nskip.wire(made, SETTING | {"part": part, "method": method, "density": density}, data)
    return made


def kept(model):
    return {name: int(layer.mask.sum()) for name, layer in egt.masked_modules(model).items()}


def test_settings_are_balanced_and_start_with_the_dense_networks():
    every = n2nskip.settings("small", "cifar10", range(3))
    assert len({runs.key(setting) for setting in every}) == len(every)
    per_seed = [[{**s, "seed": None} for s in every if s["seed"] == seed] for seed in range(3)]
    assert per_seed[0] == per_seed[1] == per_seed[2]
    assert [s["seed"] for s in every] == sorted(s["seed"] for s in every)
    assert [s["method"] for s in every[:2]] == ["dense", "RP"]
    assert {s["model"] for s in n2nskip.settings("full", "cifar10", range(1))} == {"vgg19", "resnet50"}


@pytest.mark.parametrize("density", PERCENT)
def test_all_methods_keep_the_same_number_of_weights(data, density):
    dense = wired(data, "dense")
    possible = sum(p.numel() for name, p in dense.named_parameters() if p.ndim > 1 and "classifier" not in name)
    for method in METHODS:
        found = kept(wired(data, method, density=density))
        assert sum(found.values()) == round(density * possible)
        assert "classifier" not in found
        in_skips = sum(count for name, count in found.items() if name.startswith("n2nskip."))
        assert in_skips == (round(round(density * possible) / 2) if method.startswith("N2NSkip") else 0)


def test_erk_moves_weights_and_keeps_their_number(data):
    ours, erk = (kept(wired(data, "N2NSkip-RP", part)) for part in ("methods", "layer budgets"))
    assert sum(ours.values()) == sum(erk.values())
    assert erk["features.0"] > ours["features.0"]


def test_methods_differ_in_what_they_add_alone(data):
    plain, identities = wired(data, "CSP"), wired(data, "ResSkip-CSP")
    for name, layer in egt.masked_modules(plain).items():
        assert torch.equal(layer.mask, egt.masked_modules(identities)[name].mask)
        assert torch.equal(layer.weight, egt.masked_modules(identities)[name].weight)
    x = torch.randn(4, *data.shape)
    assert not torch.allclose(plain(x), identities(x))


def test_the_other_initial_scale_is_that_of_sparsify(data):
    def sparse(init):
        torch.manual_seed(0)
        model = n2nskip.make("vgg19", data, TINY)
        return egt.sparsify(model, "random", density=0.1, pattern="weight", exclude="classifier", rng=0, init=init)

    for start, method, wanted in (("rescale", "RP", "keep"), ("keep", "CSP", "rescale")):
        model = sparse(start)
        n2nskip.start_as_the_other(model, method)
        for ours, theirs in zip(model.parameters(), sparse(wanted).parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_skips_start_by_the_law_of_layers(data):
    model = wired(data, "N2NSkip-RP", density=0.1)
    scales = {}
    for name, layer in egt.masked_modules(model).items():
        inputs = layer.mask.flatten(1).sum(1).view(-1, *[1] * (layer.weight.ndim - 1))
        kind = "skips" if name.startswith("n2nskip.") else "layers"
        scales.setdefault(kind, []).append((layer.weight.detach() * inputs.sqrt())[layer.mask])
    for values in scales.values():
        assert torch.cat(values).square().mean().item() == pytest.approx(2, rel=0.05)  # He: 2 / inputs


def test_csp_leaves_the_scale_of_skips(data):
    ours, other = wired(data, "N2NSkip-CSP"), wired(data, "N2NSkip-CSP")
    n2nskip.start_as_the_other(other, "N2NSkip-CSP")
    for name, layer in egt.masked_modules(ours).items():
        same = torch.equal(layer.weight, egt.masked_modules(other)[name].weight)
        assert same == name.startswith("n2nskip.") or not layer.mask.any()


def test_f_is_the_heat_distance_to_the_dense_network(data, tiny, tmp_path):
    pruned, dense = (wired(data, method) for method in ("N2NSkip-RP", "dense"))
    readings = {"binary": "binary", "L1 before": "l1"}
    nets, references = (n2nskip.graphs(model, data, readings) for model in (pruned, dense))
    assert nets["binary"].names == references["binary"].names  # the same channels, in the same order
    context = runs.Context(tmp_path / "one", lambda **_: data)
    itself = n2nskip.heat(references, SETTING | {"method": "dense", "density": 1.0}, context)
    found = n2nskip.heat(nets, SETTING | {"method": "N2NSkip-RP", "density": 0.1}, context)
    for reading, reference in references.items():
        times = [*found["times"][reading], np.inf]
        wanted = eg.heat_distance(reference, nets[reading], times)
        np.testing.assert_allclose(found["F"][reading], wanted, atol=1e-7)
        assert max(found["F"][reading][:-1]) > 1e-4
        assert not any(itself["F"][reading])
        np.testing.assert_allclose(found["scree"][reading], eg.scree(nets[reading], times[:-1]), atol=1e-9)
        assert times[0] == pytest.approx(reference.n_nodes / reference.adjacency.sum())


def test_a_reference_that_is_missing_is_trained(data, tiny, tmp_path):
    def run(setting, folder):
        return n2nskip.run(setting, runs.Context(folder, lambda **images: data))

    pruned = SETTING | {"method": "ResSkip-RP", "density": 0.05}
    alone = run(pruned, tmp_path / "alone" / "run")
    dense = run(SETTING | {"method": "dense", "density": 1.0}, tmp_path / "both" / "dense")
    assert run(pruned, tmp_path / "both" / "run") == alone
    assert not (tmp_path / "both" / "run" / "dense").exists()
    assert (
        len({str(alone[quantity][r]) for quantity in ("times", "F") for r in ("binary", "L1 before", "L1 after")}) == 6
    )
    assert alone["weights"] == round(0.05 * alone["possible"])
    assert dense["weights"] == dense["possible"] == alone["possible"]
    assert dense["parameters"] - dense["weights"] == alone["parameters"] - alone["weights"] > 0
    assert len(alone["curve"]) == 2


def made_up(seeds=3):
    """Rows in which N2NSkip gains 1 point over its base, ResSkip loses 2, and F falls where accuracy rises."""
    rows = []
    for setting in n2nskip.settings("small", "cifar10", range(seeds)):
        skip, _, base = setting["method"].rpartition("-")
        noise = 0.01 * ((7 * setting["seed"] + 5 * METHODS.index(setting["method"])) % 11 if base != "dense" else 0)
        accuracy = 80 + 10 * setting["density"] + {"N2NSkip": 1, "ResSkip": -2}.get(skip, 0) + noise
        row = {"accuracy": accuracy, "curve": [accuracy - 9, accuracy], "train": 90.0, "possible": 1000, "dead": 3}
        row["weights"] = row["parameters"] = round(1000 * setting["density"])
        labels, readings = n2nskip_report.LABELS, n2nskip_report.READINGS
        row["F"] = {reading: [100 - accuracy] * len(labels) for reading in readings}
        row["scree"] = row["times"] = {reading: [0.5] * (len(labels) - 1) for reading in readings}
        row["unsure"] = dict.fromkeys(readings, 0.0)
        rows.append(setting | row)
    return rows


@pytest.fixture
def few_draws(monkeypatch):
    monkeypatch.setattr(n2nskip_report, "rank_correlation", partial(rank_correlation, draws=19))


def test_the_tables_say_what_the_rows_say(few_draws, capsys, tmp_path):
    n2nskip_report.report(made_up(), tmp_path)
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("| N2NSkip-RP - RP | 2 % |"))
    paper, ours = line.split("|")[3:5]
    assert float(paper) == 4.6  # 91.12 - 86.52
    assert abs(float(ours.split()[0]) - 1) < 0.15
    line = next(line for line in out.splitlines() if line.startswith("| N2NSkip-CSP - ResSkip-CSP | 5 % |"))
    assert abs(float(line.split("|")[4].split()[0]) - 3) < 0.15
    assert "| 2 % | 20 | 20 | 20 | 20 | 3.0" in out
    assert "| -1.00 (-1.00 .. -1.00; p = 0.05; n = 54) | -1.00 (-1.00 .. -1.00; p = 0.05; n = 54) |" in out
    assert {path.name for path in tmp_path.iterdir()} == {
        f"n2nskip-vgg19-{what}.png" for what in ("accuracy", "epochs", "heat")
    }


def test_an_interrupted_study_is_reported(few_draws, capsys, tmp_path):
    n2nskip_report.report(made_up(1)[:4], tmp_path)
    out = capsys.readouterr().out
    assert "| N2NSkip-RP - RP | 2 % | +4.60 | +1" in out
    assert "CSP - CSP" not in out


def test_ranks_within_groups_do_not_see_the_groups():
    assert ranks_within([1, 1, 1, 2, 2], [5, 4, 6, 900, 700]).tolist() == [0, -1, 1, 1, -1]
