"""Small promises of the adapter, each of which a mutation of the code once broke unnoticed."""

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch.demo import LeNet300, train_lenet
from tests.torch.test_sparsify import _tied

# --- layers ---


def test_a_convolution_s_mask_can_be_written_to_entry_by_entry():
    mask = egt.conv_mask(eg.random_bipartite(3, 2, p=1), 3)
    mask[0, 0, 0, 0] = False
    assert mask.sum() == 53


def test_biases_are_drawn():
    layer = egt.MaskedLinear(eg.random_bipartite(100, 400, p=1))
    assert 0.09 < layer.bias.abs().max() <= 0.1


def test_convolutions_are_rescaled_by_channels():
    conv = nn.Conv2d(16, 8, 3)
    g, original = eg.random_left_regular(16, 8, 4, rng=0), conv.weight.detach().clone()
    egt.sparsify(conv, {"": g})
    factor = torch.tensor(16 / np.maximum(g.right_degrees, 1)).sqrt().float()[:, None, None, None]
    torch.testing.assert_close(conv.weight, torch.where(conv.mask, original * factor, 0.0))


def test_other_wiring_brings_no_note():
    model = egt.sparsify(LeNet300(), "left_regular", degree=20, rng=0)
    assert model.classifier.note
    model.load_state_dict(egt.sparsify(LeNet300(), "random", density=0.1, rng=0).state_dict())
    assert model.classifier.note == ""


def test_bake_leaves_nothing_behind():
    model = egt.bake(egt.sparsify(LeNet300(), "left_regular", degree=20, rng=0))
    assert not any({"mask", "family", "note", "_topology"} & set(vars(module)) for module in model.modules())


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_inputs_prints():
    assert "density=0)" in repr(egt.MaskedLinear(eg.BipartiteGraph.from_edges(0, 3, [])))


# --- selection ---


def test_a_name_is_not_a_prefix():
    model = nn.ModuleDict({"fc1": nn.Linear(8, 8), "fc10": nn.Linear(8, 8)})
    egt.sparsify(model, "random", density=0.5, include="fc1", rng=0)
    assert list(egt.masked_modules(model)) == ["fc1"]


def test_each_selector_must_find_something_usable():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Linear(8, 8))
    with pytest.raises(ValueError, match="what it matches cannot carry a mask: it is depthwise"):
        egt.plan(model, "random", density=0.5, include=[nn.Conv2d, nn.Linear])


def test_any_name_of_a_layer_counts():
    model = nn.Module()
    model.a = model.b = nn.Conv2d(1, 8, 3)
    with pytest.raises(ValueError, match="layer 'a' cannot be included: it has one input"):
        egt.plan(model, "random", density=0.5, include="b")


def test_the_model_s_order_counts():
    model = egt.sparsify(LeNet300(), "radix", density=0.1, include=["fc2", "fc1"])
    assert model.fc1.graph == eg.radix_net_with([784, 300, 100], 26_520).net.layers[0]


def test_layers_of_different_kinds_do_not_share_a_mask():
    model = nn.ModuleDict({"conv": nn.Conv1d(8, 8, 3), "convs": nn.Conv2d(8, 8, 3), "plain": nn.Linear(8, 8)})
    model["conv"].weight = model["convs"].weight
    notes = [row.note for row in egt.plan(model, "random", density=0.5).layers]
    assert notes[0] == "its weight is shared with 'convs' (Conv2d)"


@pytest.mark.parametrize("name", ["note", "topology"])
def test_reserved_attributes(name):
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    setattr(model[1], name, "mine")
    assert f"attribute {name!r}" in egt.plan(model, "random", density=0.5).layers[1].note


# --- plans and summaries ---


def test_a_plan_s_rows_and_totals():
    planned = egt.plan(LeNet300(), "random", density=0.1, exclude="classifier")
    assert planned.density == 0.1
    assert [row.note for row in planned.layers] == ["", "", "not included"]
    assert [row.density for row in planned.layers] == [pytest.approx(0.1), pytest.approx(0.1), 1]


def test_a_degree_is_counted_as_the_family_does():
    model = egt.sparsify(nn.Sequential(nn.Linear(8, 16)), "regular", degree=3, rng=0)
    assert set(model[0].graph.right_degrees.tolist()) == {3}


def test_refusals():
    graphs = {"fc1": eg.random_regular(784, 300, 2, rng=0)}
    for options in ({"include": "fc1"}, {"n_edges": 5}):
        with pytest.raises(ValueError, match="leave out include"):
            egt.plan(LeNet300(), graphs, **options)
    with pytest.raises(ValueError, match="rng must be"):
        egt.plan(LeNet300(), "random", density=0.1, rng="seed")


def test_dead_units_are_counted_on_both_sides():
    g = eg.BipartiteGraph.from_edges(3, 4, [(0, 0), (1, 1)])
    assert egt.summary(egt.sparsify(nn.Linear(3, 4), {"": g})).dead_units == 3


def test_a_depthwise_layer_in_the_summary():
    row = egt.summary(nn.ModuleList([nn.Conv2d(8, 8, 3, groups=8)])).layers[0]
    assert (row.shape, row.density, row.note) == ((8, 8, (3, 3), 8), 1, "it is depthwise")


def test_shared_weights_in_the_summary_and_the_density():
    model = egt.sparsify(_tied(), "random", density=0.5, rng=0)
    assert [row.note for row in egt.summary(model).layers] == ["", "shares the weight of 'a'"]
    model = nn.ModuleDict({name: nn.Linear(8, 8) for name in "abc"})
    model["c"].weight = model["a"].weight
    g = eg.random_regular(8, 8, 2, rng=0)
    egt.sparsify(model, {"a": g, "c": g, "b": eg.random_regular(8, 8, 6, rng=0)})
    assert egt.density(model) == 0.5


def test_the_topology_digest_sees_names_and_wiring():
    g = eg.random_regular(8, 8, 2, rng=0)
    one, two = (nn.ModuleDict({name: egt.MaskedLinear(g)}) for name in "ab")
    assert egt.topology_digest(one) != egt.topology_digest(two)
    straight, crossed = (
        egt.MaskedLinear(eg.BipartiteGraph.from_edges(2, 2, edges)) for edges in ([(0, 0), (1, 1)], [(0, 1), (1, 0)])
    )
    assert egt.topology_digest(straight) != egt.topology_digest(crossed)


# --- the demo ---


def test_training_depends_on_its_seed_and_its_learning_rate_ends_at_zero(monkeypatch):
    optimizers, original = [], torch.optim.SGD

    def spy(*arguments, **options):
        optimizers.append(original(*arguments, **options))
        return optimizers[-1]

    monkeypatch.setattr(torch.optim, "SGD", spy)
    threads = torch.get_num_threads()
    assert train_lenet(None, seed=0, epochs=1) != train_lenet(None, seed=1, epochs=1)
    assert optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    assert torch.get_num_threads() == threads
