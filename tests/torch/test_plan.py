"""Blocks, edges by layer, remaining parameters and registered classes."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch import layers
from expandergraphs_torch.demo import LeNet300


def mlp():
    return nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32))


# --- blocks ---


@pytest.mark.parametrize("family", ["random", "left_regular", "regular", "radix"])
def test_blocks_are_complete(family):
    n_edges = 2304 if family != "radix" else 72 * 64
    model = egt.sparsify(mlp(), family, n_edges=n_edges, block=8, rng=0)
    assert egt.summary(model).n_edges == n_edges
    for name in ("0", "2"):
        mask = model.get_submodule(name).mask
        blocks = mask.reshape(mask.shape[0] // 8, 8, mask.shape[1] // 8, 8).sum(dim=(1, 3))
        assert set(blocks.unique().tolist()) == {0, 64}


def test_blocks_that_do_not_fit_are_named():
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3), nn.Conv2d(32, 32, 3, groups=8))
    message = (
        r"'0' \(blocks of 8 do not divide a layer 3 x 16\), '2' \(blocks of 8 do not divide a layer 4 x 4 in every"
    )
    with pytest.raises(ValueError, match=f"exclude these layers, or ask for other blocks: {message}"):
        egt.plan(model, "random", density=0.5, block=8)
    egt.sparsify(model, "random", density=0.5, block=8, include="1", rng=0)
    assert egt.summary(model).n_edges == 256
    with pytest.raises(
        eg.GenerationError, match="n_edges = 100 is no number of whole blocks; nearest feasible: 64 and"
    ):
        egt.plan(mlp(), "random", n_edges=100, block=8)
    with pytest.raises(eg.GenerationError, match=r"nearest feasible n_edges: 60 and 64 .*; counted in blocks of 8 x 8"):
        egt.plan(mlp(), "radix", n_edges=61 * 64, block=8)


def test_a_degree_of_blocks():
    model = egt.sparsify(mlp(), "left_regular", degree=40, block=8, rng=0)
    assert set(model[0].graph.left_degrees.tolist()) == {40}
    assert set(model[2].graph.left_degrees.tolist()) == {32}
    assert egt.summary(model).layers[1].note == "degree 40 clipped to what the layer holds"


# --- edges by layer ---


def test_the_random_equivalent_of_a_radix_net():
    radix = egt.sparsify(LeNet300(), "radix", density=0.1)
    edges = egt.plan(LeNet300(), "radix", density=0.1).edges
    assert edges == egt.summary(radix).edges == {name: m.graph.n_edges for name, m in egt.masked_modules(radix).items()}
    for family in ("random", "left_regular", "regular"):
        model = egt.sparsify(LeNet300(), family, budget=edges, rng=0)
        assert egt.summary(model).edges == edges
        assert model.fc1.family == family
    assert egt.plan(LeNet300(), "random", budget={"fc2": 7}).edges == {"fc2": 7}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": {"fc1": 10**6}}, "n_edges = 1000000 exceeds the 235200 pairs"),
        ({"budget": {"fc1": -1}}, "the edges of 'fc1' must be an integer of at least 0"),
        ({"budget": {"fc1": 2.5}}, "the edges of 'fc1' must be an integer"),
        ({"budget": {"fc9": 5}}, r"\['fc9'\] are no layers"),
        ({"budget": {"fc1": 5}, "density": 0.1}, "leave out include, density"),
        ({"budget": {"fc1": 5}, "include": "fc1"}, "leave out include, density"),
        ({"budget": {"fc1": 5}, "block": 2}, "n_edges = 5 is no number of whole blocks"),
        ({"budget": {"fc1": 5}, "family": "radix"}, "no edges of choice in each layer"),
    ],
)
def test_edges_by_layer_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        egt.plan(LeNet300(), **({"family": "random"} | arguments))


def test_tied_layers_need_the_same_edges():
    model = nn.ModuleDict({"a": nn.Linear(8, 8), "c": nn.Linear(8, 8)})
    model["c"].weight = model["a"].weight
    assert egt.plan(model, "random", budget={"a": 5, "c": 5}).n_edges == 5
    with pytest.raises(ValueError, match="'a' and 'c' share a weight, and need the same edges"):
        egt.plan(model, "random", budget={"a": 5, "c": 6})
    with pytest.raises(ValueError, match="'a' and 'c' share a weight; include both"):
        egt.plan(model, "random", budget={"a": 5})


def test_a_radix_net_wires_no_groups():
    model = nn.Sequential(nn.Conv2d(16, 16, 3, groups=2))
    with pytest.raises(eg.GenerationError, match="wires whole layers, and '0' has 2 groups"):
        egt.plan(model, "radix", density=0.5)


# --- what remains ---


def test_remaining_parameters_count_everything_once():
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Linear(8, 8), nn.Linear(8, 8))
    model[4].weight = model[3].weight
    dense = 4 * 8 * 9 + 8 + 16 + 8 * 8 * 9 + 8 + 64 + 8 + 8
    planned = egt.plan(model, "random", density=0.25, exclude="0")
    kept = dense - 48 * 9 - 48
    assert planned.remaining == pytest.approx(100 * kept / dense)
    egt.sparsify(model, "random", density=0.25, exclude="0", rng=0)
    assert egt.summary(model).remaining == planned.remaining
    assert f"{planned.remaining:.4g} % of the parameters remain" in str(planned).replace("\n", " ")
    assert json.loads(json.dumps(egt.summary(model).to_dict()))["remaining"] == planned.remaining
    assert egt.summary(nn.Linear(3, 3)).remaining == egt.summary(nn.ReLU()).remaining == 100
    # What is masked already counts.
    model = egt.sparsify(mlp(), "random", density=0.5, include="0", rng=0)
    both = egt.plan(model, "random", density=0.5, exclude="0").remaining
    assert both == pytest.approx(100 * (0.5 * (64 * 96 + 96 * 32) + 96 + 32) / (64 * 96 + 96 * 32 + 96 + 32))


# --- registered classes ---


class Halved(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight / 2, self.bias)


class MaskedHalved(egt.Masked, Halved):
    def forward(self, x):
        return nn.functional.linear(x, self.masked_weight() / 2, self.bias)


class InOut(nn.Module):
    """A linear layer with the weight of a transformer's Conv1D, (in, out)."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(n_in, n_out)), nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return x @ self.weight + self.bias


class MaskedInOut(egt.Masked, InOut):
    transposed = True

    def forward(self, x):
        return x @ self.masked_weight() + self.bias


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(layers, "MASKED_CLASSES", layers.MASKED_CLASSES)
    for plain, masked in ((Halved, MaskedHalved), (InOut, MaskedInOut)):
        monkeypatch.setitem(layers.MASKED_CLASSES, plain, masked)
        egt.register(plain, masked)


def test_classes_with_a_forward_of_their_own_can_be_registered(registered):
    model = nn.Sequential(Halved(10, 8), InOut(8, 6))
    planned = egt.plan(model, "regular", degree=3)
    assert [row.shape[:2] for row in planned.layers] == [(10, 8), (8, 6)]
    weights = [layer.weight.detach().clone() for layer in model]
    egt.sparsify(model, "regular", degree=3, rng=0, init="keep")
    assert [type(layer) for layer in model] == [MaskedHalved, MaskedInOut]
    for layer, weight, transpose in zip(model, weights, (True, False), strict=True):
        pattern = torch.from_numpy(layer.graph.biadjacency.toarray())
        expected = torch.where((pattern.T if transpose else pattern) != 0, weight, 0.0)
        assert torch.equal(layer.weight, expected)
    x = torch.randn(3, 10)
    expected = model(x)
    with torch.no_grad():
        model[1].weight.add_((~model[1].mask).float())
    assert torch.equal(model(x), expected)
    assert [type(layer) for layer in egt.bake(model)] == [Halved, InOut]
    torch.testing.assert_close(model(x), expected)


def test_the_output_scale_of_a_registered_class(registered):
    torch.manual_seed(0)
    layer, x = InOut(400, 50), torch.randn(200, 400)
    before = layer(x).std().item()
    egt.sparsify(layer, "random", density=0.1, rng=0)
    assert layer(x).std().item() == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize(
    ("plain", "masked", "message"),
    [
        (3, MaskedHalved, "a subclass of torch.nn.Module that is not masked is needed, got 3"),
        (egt.MaskedLinear, MaskedHalved, "that is not masked is needed"),
        (Halved, nn.Linear, "a subclass of Masked and Halved is needed"),
        (Halved, egt.MaskedLinear, "a subclass of Masked and Halved is needed"),
        (Halved, type("Order", (Halved, egt.Masked), {"forward": lambda self, x: x}), "Masked must come before Halved"),
        (Halved, type("NoForward", (egt.Masked, Halved), {}), "NoForward needs a forward of its own"),
    ],
)
def test_what_cannot_be_registered(plain, masked, message):
    before = dict(layers.MASKED_CLASSES)
    with pytest.raises(ValueError, match=message):
        egt.register(plain, masked)
    assert before == layers.MASKED_CLASSES


def test_the_streams_of_groups_follow_the_layer_s_name():
    names = [{"a": nn.Conv2d(8, 8, 3, groups=2)}, {"b": nn.Linear(4, 4), "a": nn.Conv2d(8, 8, 3, groups=2)}]
    one, two = (egt.sparsify(nn.ModuleDict(layers), "random", density=0.5, rng=0) for layers in names)
    assert one["a"].graph == two["a"].graph
    rng = np.random.default_rng(3)
    first, second = (egt.sparsify(nn.Conv2d(8, 8, 3, groups=2), "random", density=0.5, rng=rng) for _ in range(2))
    assert first.graph != second.graph
