"""Alford's experiments: equal counts where equality is claimed, structure as it is, and runs that survive a kill."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from benchmarks.papers import alford, data, models
from benchmarks.papers.alford_pruning import Watched, density_of, describe, measures, wired, with_first_convolution
from benchmarks.papers.alford_radix import methods, sparse_from_the_start, sparse_layers
from benchmarks.papers.alford_report import PUBLISHED, REGIMES, report
from benchmarks.papers.runs import Context
from benchmarks.papers.training import OutOfTime

LEVELS = ("50", "75", "90", "95", "99")
TINY = {"lr": 0.1, "size": 14, "width": 0.1, "n_train": 300, "epochs": 2, "seed": 0}


@cache
def digits(**options):
    return data.load("digits", n_test=100, **options)


def sparse_network(model, width=1.0, **setting):
    """Return the network that a setting trains, as it is before."""
    kept = []

    def make(seed):
        torch.manual_seed(seed)
        return models.make(model, channels=1, size=28, width=width)

    result = sparse_from_the_start({"seed": 0, **setting}, make, lambda network, phase: kept.append(network))
    return kept[0], result["weights"]


def test_settings_are_seed_by_seed_and_tell_all_runs_apart():
    for scale in ("small", "full"):
        for dataset, networks in (("mnist", 2), ("digits", 2), ("cifar10", 1)):
            settings = list(alford.settings(scale, dataset, range(3)))
            assert len({json.dumps(setting, sort_keys=True) for setting in settings}) == len(settings)
            assert [s["seed"] for s in settings] == sorted(s["seed"] for s in settings)
            assert len([s for s in settings if s["part"] == "pruning"]) == 3 * networks
    with pytest.raises(SystemExit, match="not cifar100"):
        next(alford.settings("small", "cifar100", range(1)))


def test_the_wide_radix_net_of_lenet_300_has_the_weights_of_the_dense_network():
    """DEFINITIONS: 784-3000-100 cropped from B = [8, 30, 1] has 265,200 edges, as many as dense 784-300-100."""
    network, weights = sparse_network("lenet-300-100", method="RadiX-Net", density=0.1, wider=10)
    assert list(weights.values()) == [784 * 300, 300 * 100]
    assert [tuple(p.shape) for p in network.parameters() if p.ndim > 1] == [(3000, 784), (100, 3000), (10, 100)]
    assert type(list(network.modules())[-1]) is nn.Linear  # the classifier stays dense


@pytest.mark.parametrize("model", ["lenet-300-100", "lenet-5"])
@pytest.mark.parametrize("wider", [1, 10])
def test_radix_net_and_random_have_the_same_weights_in_each_layer(model, wider):
    of = {method: sparse_network(model, method=method, density=0.1, wider=wider)[1]
          for method in ("RadiX-Net", "random", "random channels", "random, dense fan-in")}  # fmt: skip
    assert len({tuple(weights.items()) for weights in of.values()}) == 1
    for name, weights in of["random"].items():
        layer = sparse_layers(models.make(model, channels=1, size=28))[name]
        assert weights == pytest.approx(0.1 * wider * layer.weight.numel(), rel=0.001)


def test_the_radix_net_convolution_is_over_channels_and_the_first_convolution_dense():
    network, _ = sparse_network("lenet-5", method="RadiX-Net", density=0.1, wider=1)
    first, second = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert type(first) is nn.Conv2d
    channels = egt.graph_from_mask(second.mask)
    assert set(channels.left_degrees) == {5}
    assert set(channels.right_degrees) == {2}
    kernels = second.masked_weight().flatten(2).count_nonzero(2)
    assert set(kernels.unique().tolist()) == {0, 25}


def test_random_networks_keep_the_scale_of_their_signals_unless_the_dense_fan_in_is_asked_for():
    for method, scale in (("random", 10), ("random, dense fan-in", 1)):
        network, _ = sparse_network("lenet-300-100", method=method, density=0.01, wider=1)
        layer = next(iter(egt.masked_modules(network).values()))
        assert layer.weight[layer.mask].std().item() == pytest.approx(scale * (2 / 784) ** 0.5, rel=0.1)


def test_thresholds_are_the_smallest_weights_kept_and_every_layer_follows_the_schedule():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 10))
    largest = {name: layer.weight.detach().abs().flatten().sort(descending=True)[0]
               for name, layer in (("0", model[0]), ("2", model[2]))}  # fmt: skip
    pruning = Watched(model, final_density=density_of("90"), begin=0, end=9, every=3, scope="layer")
    for _ in range(9):
        pruning.step()
    assert [line.step for line in pruning.history] == [3, 6, 9]
    for line, layers in zip(pruning.history, pruning.layers, strict=True):
        for name, (density, threshold) in layers.items():
            kept = round(line.density * len(largest[name]))
            assert density == pytest.approx(kept / len(largest[name]), abs=1 / len(largest[name]))
            assert threshold == pytest.approx(largest[name][round(density * len(largest[name])) - 1].item())
    copied = Watched(model, final_density=0.1, begin=0, end=9, every=3, scope="layer")
    copied.load_state_dict(pruning.state_dict())
    assert (copied.layers, copied.n_steps) == (pruning.layers, 9)


def test_a_first_convolution_of_one_input_is_pruned_and_wired_as_the_others_are():
    def make(channels):
        torch.manual_seed(0)
        return models.make("lenet-5", channels=channels, size=14, width=0.5)

    x = torch.randn(4, 1, 14, 14)
    whole = with_first_convolution(make(1))
    assert torch.equal(whole(x), make(1)(x))
    graphs = egt.topology(egt.prune(whole, "magnitude", density=0.2, scope="layer"))
    assert [g.n_edges for g in graphs.values()] == [50, 1250, 8640, 384]
    model = wired(make(1), graphs)
    assert egt.topology(model) == graphs
    for name, g in graphs.items():  # both kinds of layers have weights of the new network, scaled by the fan-in
        layer, dense = model.get_submodule(name), make(1).get_submodule(name)
        for unit in np.flatnonzero(g.right_degrees)[:5]:
            mask = layer.mask[unit]
            expected = dense.weight[unit][mask] * (g.n_left / g.right_degrees[unit]) ** 0.5
            assert torch.allclose(layer.weight[unit][mask], expected)
    assert list(with_first_convolution(make(3)).named_modules())[1][1].__class__ is nn.Conv2d  # sparsify does these


def test_measures_of_a_graph_that_can_be_counted_by_hand():
    two = eg.BipartiteGraph.from_edges(5, 4, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)])
    found = measures(two)
    assert (found["dead_in"], found["dead_out"], found["parts"]) == (2, 1, 2)
    assert found["ratio"] == pytest.approx(0.5)  # singular values 2 of K_{2,2} and 1 of an edge
    assert found["spread_in"] == pytest.approx(np.std([2, 2, 1, 0, 0]))


def test_structure_counts_kernels_of_which_nothing_is_left():
    model = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    with torch.no_grad():
        model[0].weight[0, 0] *= 1e-3
    found = describe(egt.prune(model, "magnitude", density=0.75, scope="layer"), 0)["0"]
    assert found["pruned"]["kernels_gone"] == pytest.approx(0.25)  # all nine of the small kernel
    assert found["random"]["kernels_gone"] == 0
    assert found["pruned"]["density"] == found["random"]["density"] == 0.75


@pytest.mark.parametrize(("model", "width"), [("lenet-300-100", 0.1), ("lenet-5", 0.1)])
def test_a_run_that_is_stopped_again_and_again_ends_as_one_that_is_not(tmp_path, model, width):
    setting = TINY | {"model": model, "width": width, "part": "pruning", "levels": "90", "global_levels": "90"}
    whole = alford.run(setting, Context(tmp_path / "whole", digits))
    stopped = 0
    while True:
        try:
            broken = alford.run(setting, Context(tmp_path / "broken", digits, deadline=0))
            break
        except OutOfTime:
            stopped += 1
    assert stopped >= 10
    assert json.dumps(broken) == json.dumps(whole)
    assert set(whole["accuracy"]) == set(REGIMES)
    for layers in (whole["structure"][regime]["90"] for regime in ("one-time", "iterative")):
        assert all(layer["pruned"]["density"] == pytest.approx(0.1, abs=0.05) for layer in layers.values())


def test_report_puts_the_slides_numbers_beside_ours_and_draws(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(3):
        common = {"dataset": "mnist", "model": "lenet-300-100", "seed": seed, "seconds": 1.0}
        accuracy = {regime: {level: 90 + rng.random() for level in LEVELS} for regime in REGIMES if regime != "dense"}
        accuracy["dense"] = {"0": 95.0}
        accuracy["one-time"]["0"] = accuracy["iterative"]["0"] = 96.0
        accuracy["random, new start"]["99"] = accuracy["one-time, new start"]["99"] - 2 - 0.1 * seed
        measured = dict.fromkeys(("density", "spread_in", "spread_out", "dead_in", "dead_out", "ratio", "parts"), 0.1)
        layer = {"shape": [300, 784], "pruned": measured, "random": measured, "degrees": [*range(784)]}
        structure = {
            regime: {level: {"1": layer} for level in LEVELS} for regime in ("one-time", "iterative", "global")
        }
        over_time = {"95": [[10, {"1": [0.5, 0.01]}], [20, {"1": [0.05, 0.1]}]]}
        rows.append(common | {"part": "pruning", "n_steps": 9, "data": "data", "accuracy": accuracy,
                              "structure": structure, "over_time": over_time})  # fmt: skip
        for method in methods("small", "lenet-300-100"):
            gain = 1.5 if method["method"] == "RadiX-Net" else 0
            rows.append(common | {"part": "sparse", "weights": {"1": 5}, "accuracy": 80 + seed + gain} | method)
    report(rows, tmp_path)
    printed = capsys.readouterr().out
    for cell in (
        "*97.44*",
        "93.57",
        "94.45",
        "one-time, new start − random, new start",
        "+2.10 (+1.85 .. +2.35)",
        "+1.50",
    ):
        assert cell in printed, cell
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_published_values_have_a_place_in_the_tables():
    for (dataset, model), published in PUBLISHED.items():
        full = {(m["density"], m["wider"]) for m in methods("full", model) if m["method"] == "random"}
        assert set(published["random"]) <= full | {(1, 1)}, (dataset, model)
        assert {theirs for theirs in published if theirs not in ("random", "RadiX-Net")} <= set(REGIMES.values())
