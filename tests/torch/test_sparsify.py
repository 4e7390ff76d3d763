import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch.demo import LeNet300


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.features = nn.Sequential(
            nn.Conv2d(16, 32, 3, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, groups=32),
            nn.Conv2d(32, 64, 1),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.features(torch.relu(self.stem(x))).mean((2, 3)))


class OwnForward(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


def state(model):
    """Everything a refused call must leave alone."""
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    classes = {name: type(module) for name, module in model.named_modules()}
    return tensors, classes, torch.get_rng_state()


def same_state(a, b):
    return (
        a[0].keys() == b[0].keys()
        and all(torch.equal(a[0][key], b[0][key]) for key in a[0])
        and a[1] == b[1]
        and torch.equal(a[2], b[2])
    )


# --- counts ---


@pytest.mark.parametrize("family", ["random", "left_regular", "regular"])
@pytest.mark.parametrize("make", [LeNet300, ConvNet])
def test_totals_are_exact_and_planned(family, make):
    model = make()
    planned = egt.plan(model, family, density=0.13)
    possible = sum(row.shape.n_pairs for row in planned.layers if row.family != "dense")
    assert planned.n_edges == round(0.13 * possible)
    assert egt.sparsify(model, family, density=0.13, rng=0) is model
    result = egt.summary(model)
    assert result.n_edges == planned.n_edges == sum(m.graph.n_edges for m in egt.masked_modules(model).values())
    assert result.density == egt.density(model) == pytest.approx(0.13, abs=1e-3)
    for row, done in zip(planned.layers, result.layers, strict=True):
        assert (row.name, row.shape, row.family, row.n_edges) == (done.name, done.shape, done.family, done.n_edges)
    egt.sparsify(model := make(), family, n_edges=777, rng=0)
    assert egt.summary(model).n_edges == 777


def test_degrees_hold_in_every_layer_and_clipping_is_said():
    model = LeNet300()
    planned = egt.plan(model, "left_regular", degree=20)
    assert [row.n_edges for row in planned.layers] == [784 * 20, 300 * 20, 100 * 10]
    assert [row.note for row in planned.layers] == ["", "", "degree 20 clipped to what the layer holds"]
    egt.sparsify(model, "left_regular", degree=20, rng=0)
    assert [row.note for row in egt.summary(model).layers] == [row.note for row in planned.layers]
    assert set(model.fc1.graph.left_degrees.tolist()) == {20}
    egt.sparsify(model := LeNet300(), "regular", degree=20, rng=0)
    assert set(model.fc1.graph.left_degrees.tolist()) == {20}
    assert set(model.fc2.graph.left_degrees.tolist()) == {20}
    assert egt.plan(LeNet300(), "regular", degree=10).layers[2].note == ""


def test_a_model_may_become_sparse_in_steps():
    model = egt.sparsify(LeNet300(), "regular", density=0.1, include="fc1", rng=0)
    planned = egt.plan(model, "random", density=0.5, exclude="fc1")
    assert [(row.family, row.n_edges) for row in planned.layers] == [
        ("regular", 23_520), ("random", 15_000), ("random", 500)
    ]  # fmt: skip
    assert planned.layers[0].note == "it is masked already"
    egt.sparsify(model, "random", density=0.5, exclude="fc1", rng=0)
    assert [row.family for row in egt.summary(model).layers] == ["regular", "random", "random"]


def test_units_that_cannot_but_stay_idle_are_announced():
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Conv2d(64, 3, 3))
    notes = [row.note for row in egt.plan(model, "regular", density=0.1).layers]
    assert notes == ["45 or more outputs receive nothing", "45 or more inputs lead to nothing"]
    egt.sparsify(model, "regular", density=0.1, rng=0)
    assert egt.summary(model).dead_units == 90
    assert egt.summary(model).layers[0].note == notes[0]


def test_radix_wires_a_chain():
    model = egt.sparsify(LeNet300(), "radix", density=0.1)
    net = eg.radix_net_with([784, 300, 100, 10], 26_620).net
    assert tuple(module.graph for module in egt.masked_modules(model).values()) == net.layers
    model = LeNet300()
    before = state(model)
    with pytest.raises(eg.GenerationError, match="nearest feasible n_edges: "):
        egt.sparsify(model, "radix", n_edges=26_621)
    with pytest.raises(eg.GenerationError, match="no one degree"):
        egt.sparsify(model, "radix", degree=3)
    with pytest.raises(eg.GenerationError, match="'fc1' has 300 outputs, the next layer 'classifier' has 100 inputs"):
        egt.sparsify(model, "radix", density=0.1, exclude="fc2")
    assert same_state(state(model), before)


def test_ready_graphs_and_functions():
    g = eg.random_regular(300, 100, 5, rng=0)
    model = egt.sparsify(LeNet300(), {"fc2": g})
    assert list(egt.masked_modules(model)) == ["fc2"]
    assert model.fc2.graph == g
    assert model.fc2.family == "given"

    def banded(n_in, n_out, n_edges, rng):
        keys = np.arange(n_edges)
        return eg.BipartiteGraph.from_keys(n_in, n_out, keys)

    model = egt.sparsify(LeNet300(), banded, density=0.5, rng=0)
    assert model.fc1.family == "banded"
    assert model.fc1.graph.n_edges == 784 * 150


# --- what stays ---


def test_parameters_hooks_and_references_stay():
    model = ConvNet().to(torch.float64).train()
    model.stem.weight.requires_grad_(False)
    stem, parameters = model.stem, dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    calls = []
    model.head.register_forward_hook(lambda *_: calls.append("hook"))
    egt.sparsify(model, "regular", density=0.2, rng=0)
    assert model.stem is stem
    assert dict(model.named_parameters()).keys() == parameters.keys()
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())
    assert not model.stem.weight.requires_grad
    assert model.head.weight.dtype == torch.float64
    before = model.head.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 8, 8, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
    assert calls == ["hook"] * 3
    assert not torch.equal(model.head.weight, before)
    for module in egt.masked_modules(model).values():
        assert (module.weight.masked_select(~module.mask) == 0).all()


def test_an_optimizer_after_dense_training_cannot_revive_what_was_cut():
    """Momentum from the dense phase moves stored weights; what is computed with does not follow."""
    model = nn.Sequential(nn.Linear(20, 20))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = torch.randn(8, 20)
    model(x).square().sum().backward()
    optimizer.step()
    egt.sparsify(model, "random", density=0.3, rng=0)
    optimizer.step()
    assert (model[0].masked_weight().masked_select(~model[0].mask) == 0).all()


# --- randomness ---


def test_streams_are_keyed_by_layer_name():
    one = egt.sparsify(nn.ModuleDict({"a": nn.Linear(9, 9), "b": nn.Linear(9, 9)}), "random", degree=3, rng=0)
    two = egt.sparsify(nn.ModuleDict({"z": nn.Linear(9, 9), "b": nn.Linear(9, 9)}), "random", degree=3, rng=0)
    assert one["b"].graph == two["b"].graph != one["a"].graph
    rng = np.random.default_rng(0)
    digests = [egt.topology_digest(egt.sparsify(LeNet300(), "random", density=0.1, rng=rng)) for _ in range(2)]
    assert digests[0] != digests[1]
    again = egt.sparsify(LeNet300(), "random", density=0.1, rng=np.random.default_rng(0))
    assert egt.topology_digest(again) == digests[0]


def test_the_generator_of_torch_is_left_alone():
    torch.manual_seed(0)
    model, after = LeNet300(), torch.get_rng_state()
    egt.sparsify(model, "regular", density=0.1, rng=0)
    assert torch.equal(torch.get_rng_state(), after)


# --- initialisation ---


def test_signals_survive_ten_sparse_relu_layers():
    """He's initialisation keeps the scale of a dense ReLU network; rescaling by fan-in keeps it at 10 % density."""

    def network():
        torch.manual_seed(0)
        layers = [nn.Linear(512, 512, bias=False) for _ in range(10)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        return nn.Sequential(*(module for layer in layers for module in (layer, nn.ReLU())))

    x = torch.randn(256, 512, generator=torch.Generator().manual_seed(1))
    dense = network()(x).std().item()
    kept = egt.sparsify(network(), "random", density=0.1, rng=0, init="keep")(x).std().item()
    rescaled = egt.sparsify(network(), "random", density=0.1, rng=0)(x).std().item()
    assert kept < 1e-4 * dense
    assert rescaled == pytest.approx(dense, rel=0.35)


def test_rescaling_multiplies_and_keeping_keeps():
    original = nn.Linear(50, 40)
    g = eg.random_bipartite(50, 40, n_edges=500, rng=0)
    for init in ("rescale", "keep"):
        layer = egt.sparsify(copy.deepcopy(original), {"": g}, init=init)
        for j in range(40):
            factor = (50 / g.right_degrees[j]) ** 0.5 if init == "rescale" and g.right_degrees[j] else 1.0
            expected = torch.where(layer.mask[j], original.weight[j] * factor, 0.0)
            torch.testing.assert_close(layer.weight[j], expected)
        assert torch.equal(layer.bias, original.bias)


# --- which layers ---


def test_layers_that_stay_dense_and_why():
    model = nn.ModuleDict(
        {
            "depthwise": nn.Conv2d(8, 8, 3, groups=8),
            "single": nn.Conv2d(1, 8, 3),
            "single transposed": nn.ConvTranspose2d(1, 8, 3),
            "attention": nn.MultiheadAttention(8, 2),
            "own": OwnForward(8, 8),
            "plain": nn.Linear(8, 8),
        }
    )
    notes = {row.name: row.note for row in egt.plan(model, "random", density=0.5).layers}
    assert notes["depthwise"] == "it is depthwise"
    assert notes["single"] == notes["single transposed"] == "it has one input"
    assert notes["attention"] == "attention reads the weights of its projections itself, past any mask"
    assert "NonDynamicallyQuantizableLinear has a forward of its own" in notes["attention.out_proj"]
    assert "OwnForward has a forward of its own, and no masked class is registered for it" in notes["own"]
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert list(egt.masked_modules(model)) == ["plain"]
    for name in ("depthwise", "single", "single transposed", "attention", "attention.out_proj", "own"):
        with pytest.raises(ValueError, match=f"layer '{name}' cannot be included"):
            egt.plan(model, "random", density=0.5, include=name)
    for include in (None, "plain", "p*", nn.Linear):
        with pytest.raises(ValueError, match="already"):
            egt.plan(model, "random", density=0.5, include=include)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["stem", "features.0", "features.4", "head"]),
        ({"include": "features"}, ["features.0", "features.4"]),
        ({"include": "features.*"}, ["features.0", "features.4"]),
        ({"include": nn.Conv2d, "exclude": "stem"}, ["features.0", "features.4"]),
        ({"include": ["head", "stem"]}, ["stem", "head"]),
        ({"include": (name for name in ["head", "stem"])}, ["stem", "head"]),
        ({"include": nn.Linear | nn.Conv2d, "exclude": "features"}, ["stem", "head"]),
        ({"exclude": nn.Linear}, ["stem", "features.0", "features.4"]),
        ({"include": lambda name, module: module.weight.shape[0] > 20}, ["features.0", "features.4"]),
        ({"exclude": ["features.*", "head"]}, ["stem"]),
    ],
)
def test_selectors(options, names):
    assert list(egt.masked_modules(egt.sparsify(ConvNet(), "random", density=0.5, rng=0, **options))) == names


def test_the_last_linear_is_excluded_only_if_the_caller_says_so():
    model = LeNet300()
    egt.sparsify(model, "random", density=0.5, exclude=egt.exclude_last(model), rng=0)
    assert list(egt.masked_modules(model)) == ["fc1", "fc2"]
    with pytest.raises(ValueError, match="no Linear"):
        egt.exclude_last(nn.Sequential(nn.Conv2d(3, 3, 1)))


def test_a_model_may_be_a_single_layer():
    layer = nn.Linear(8, 8)
    assert egt.sparsify(layer, "random", density=0.5, rng=0) is layer
    assert list(egt.masked_modules(layer)) == [""]


# --- shared weights ---


def test_tied_layers_share_one_mask():
    model = nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8), "c": nn.Linear(8, 8)})
    model["c"].weight = model["a"].weight
    weight = model["a"].weight
    planned = egt.plan(model, "random", density=0.5)
    assert (planned.n_edges, planned.layers[2].note) == (64, "shares the weight of 'a'")
    original = weight.detach().clone()
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert model["a"].weight is model["c"].weight is weight
    assert model["a"].graph == model["c"].graph
    assert egt.density(model) == 0.5
    fan_in = model["a"].mask.sum(dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(weight, torch.where(model["a"].mask, original * (8 / fan_in).sqrt(), 0.0))
    result = egt.summary(model)
    assert (result.n_edges, result.density) == (64, 0.5)
    g = eg.random_regular(8, 8, 2, rng=0)
    assert egt.sparsify(both := _tied(), {"a": g, "c": g}) is both
    with pytest.raises(ValueError, match="'a' and 'c' share a weight, and need the same graph"):
        egt.sparsify(_tied(), {"a": g, "c": eg.random_regular(8, 8, 2, rng=1)})
    with pytest.raises(ValueError, match="'a' and 'c' share a weight; include both, or exclude both"):
        egt.plan(_tied(), "random", density=0.5, exclude="c")


def _tied():
    model = nn.ModuleDict({"a": nn.Linear(8, 8), "c": nn.Linear(8, 8)})
    model["c"].weight = model["a"].weight
    return model


def test_a_weight_shared_with_an_embedding_stays_dense():
    model = nn.ModuleDict({"words": nn.Embedding(20, 8), "out": nn.Linear(8, 20), "other": nn.Linear(8, 8)})
    model["out"].weight = model["words"].weight
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert list(egt.masked_modules(model)) == ["other"]
    with pytest.raises(ValueError, match="shared with 'words'"):
        egt.plan(model, "random", density=0.5, include="out")


# --- refusals ---


def misfit(n_in, n_out, n_edges, rng):
    if n_in == 100:
        raise ValueError("this family gives up at the last layer")
    return eg.random_bipartite(n_in, n_out, n_edges=n_edges, rng=rng)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["random"], {}, "exactly one of density, degree, n_edges; got none"),
        (["random"], {"density": 0.1, "n_edges": 5}, "got density, n_edges"),
        (["random"], {"density": 1.2}, "density must be a number between 0 and 1, got 1.2"),
        (["random"], {"n_edges": 10**6}, "exceeds the 266200 pairs"),
        (["ramanujan"], {"density": 0.1}, "one of random, left_regular, regular, radix or a function"),
        (["random"], {"density": 0.1, "include": "fc9"}, "include='fc9' matches no layer; the layers are: fc1, fc2"),
        (["random"], {"density": 0.1, "exclude": "conv*"}, r"exclude='conv\*' matches no layer"),
        (["random"], {"density": 0.1, "exclude": ["fc1", "fc2", "classifier"]}, "no layer is left"),
        (["random"], {"density": 0.1, "rng": "seed"}, "rng must be"),
        (["random"], {"density": 0.1, "init": "zeros"}, "init must be 'rescale' or 'keep', got 'zeros'"),
        (["random"], {"density": 0.1, "budget": "fair"}, "budget must be one of"),
        ([{"fc1": "graph"}], {}, "layer 'fc1': a BipartiteGraph is needed, got str"),
        ([{"fc1": eg.random_regular(300, 784, 2, rng=0)}], {}, "layer 'fc1': a graph 784 x 300 is needed, got Bip"),
        ([{"fc9": eg.random_regular(300, 784, 2, rng=0)}], {}, r"\['fc9'\] are no layers; the layers are: fc1, fc2"),
        ([{"fc1": eg.random_regular(784, 300, 2, rng=0)}], {"density": 0.1}, "leave out include, density"),
        ([misfit], {"density": 0.1}, "gives up at the last layer"),
        ([lambda *_: eg.random_regular(3, 3, 1, rng=0)], {"density": 0.1}, "the family was asked for 784 x 300"),
        ([lambda *_: None], {"density": 0.1}, "must return a BipartiteGraph, got NoneType"),
    ],
)
def test_a_refused_call_leaves_the_model_as_it_was(arguments, options, message):
    model = LeNet300()
    before = state(model)
    with pytest.raises(ValueError, match=message):
        egt.sparsify(model, *arguments, **options)
    assert same_state(state(model), before)


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match=r"must be a torch.nn.Module, got list"):
        egt.sparsify([nn.Linear(3, 3)], "random", density=0.5)
    for function in (egt.summary, egt.density, egt.masked_modules, egt.dense_state_dict, egt.topology_digest, egt.bake):
        with pytest.raises(ValueError, match=r"must be a torch.nn.Module, got int"):
            function(3)


@pytest.mark.parametrize("selector", [3, nn.Linear(3, 3), [None]])
def test_what_is_no_selector_is_refused(selector):
    with pytest.raises(ValueError, match="include takes a name, a glob, a type or a predicate"):
        egt.plan(LeNet300(), "random", density=0.5, include=selector)
    with pytest.raises(ValueError, match="exclude takes a name"):
        egt.plan(LeNet300(), "random", density=0.5, exclude=selector)


# --- layers that something else has a hand in ---


def _with_attribute(name):
    def change(layer):
        setattr(layer, name, "mine")

    return change


def _own_forward(layer):
    original = layer.forward
    layer.forward = lambda x: original(x)


def _expanded(layer):
    layer.weight = nn.Parameter(torch.ones(1).expand(8, 8))


ODD_LAYERS = {
    "attribute mask": (_with_attribute("mask"), "attribute 'mask'"),
    "buffer mask": (lambda layer: layer.register_buffer("mask", torch.ones(3)), "attribute 'mask'"),
    "attribute family": (_with_attribute("family"), "attribute 'family'"),
    "attribute graph": (_with_attribute("graph"), "attribute 'graph'"),
    "own forward": (_own_forward, "forward of its own"),
    "expanded weight": (_expanded, "cannot be written to"),
    "pruned": (lambda layer: prune.l1_unstructured(layer, "weight", 3), "computed from other parameters"),
    "parametrized": (
        lambda layer: nn.utils.parametrizations.weight_norm(layer),
        "ParametrizedLinear has a forward of its own",
    ),
}


@pytest.mark.parametrize(("change", "obstacle"), ODD_LAYERS.values(), ids=ODD_LAYERS)
def test_odd_layers_stay_dense_and_are_named(change, obstacle):
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    change(model[1])
    expected = model[1](torch.ones(2, 8)).detach()
    assert obstacle in egt.plan(model, "random", density=0.5).layers[1].note
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert list(egt.masked_modules(model)) == ["0"]
    assert obstacle in egt.summary(model).layers[1].note
    assert torch.equal(model[1](torch.ones(2, 8)), expected)
    egt.bake(model)
    assert torch.equal(model[1](torch.ones(2, 8)), expected)
    with pytest.raises(ValueError, match="layer '1' cannot be included"):
        egt.plan(model, "random", density=0.5, include="1")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_lazy_and_empty_layers_stay_dense():
    model = nn.Sequential(nn.LazyLinear(8), nn.LazyConv2d(8, 3), nn.Linear(8, 0), nn.Linear(8, 8))
    notes = [row.note for row in egt.plan(model, "random", density=0.5).layers]
    assert [bool(note) for note in notes] == [True, True, True, False]
    assert str(egt.summary(egt.sparsify(model, "random", density=0.5, rng=0)))
    assert list(egt.masked_modules(model)) == ["3"]
    with pytest.raises(ValueError, match=r"no layer is left to become sparse; '': its weight is empty"):
        egt.sparsify(nn.Linear(0, 4), "random", density=0.5)
    with pytest.raises(ValueError, match=r"layers \['0'\] are masked already: exclude them, or bake"):
        egt.sparsify(nn.Sequential(model[3]), "random", density=0.5)


def test_inference_mode():
    with torch.inference_mode():
        frozen = nn.Sequential(nn.Linear(8, 8))
    with pytest.raises(ValueError, match="inference tensor"):
        egt.sparsify(frozen, "random", density=0.5)
    model = nn.Sequential(nn.Linear(8, 8))
    with torch.inference_mode():
        egt.sparsify(model, "random", density=0.5, rng=0)
    model(torch.ones(1, 8)).sum().backward()
    model.load_state_dict(model.state_dict())


def test_shapes_of_layers_that_stay_dense():
    model = nn.ModuleDict({"up": nn.ConvTranspose2d(8, 6, 3), "depthwise": nn.Conv2d(8, 8, 3, groups=8)})
    for row in egt.summary(model).layers:
        assert row.shape[:2] == ((8, 6) if row.name == "up" else (8, 8))
        assert row.n_edges == (48 if row.name == "up" else 8)
    assert egt.summary(model).layers[1].in_degrees.maximum == 1


def test_a_module_registered_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(8, 8)
            self.b = self.a

    for include in ("a", "b"):
        model = egt.sparsify(Twice(), "random", density=0.5, include=include, rng=0)
        with torch.no_grad():
            model.a.weight.add_(1)
        state = egt.dense_state_dict(model)
        fresh = Twice()
        fresh.load_state_dict(state)
        assert torch.equal(fresh.b.weight, model.a.masked_weight())
        assert egt.summary(model).n_edges == 32


def test_two_parameters_in_one_memory_stay_dense():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = nn.Parameter(model[0].weight.data)
    notes = [row.note for row in egt.plan(model, "random", density=0.5).layers]
    assert notes == ["its weight is shared with '1' (Linear)", "its weight is shared with '0' (Linear)", ""]


def test_a_plan_does_not_advance_the_generator():
    rng = np.random.default_rng(0)
    egt.plan(LeNet300(), "random", density=0.1, rng=rng)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_gradients_from_before_are_cut_too():
    model = nn.Sequential(nn.Linear(20, 20))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.randn(8, 20)).square().sum().backward()
    egt.sparsify(model, "random", density=0.3, rng=0)
    optimizer.step()
    assert (model[0].weight.masked_select(~model[0].mask) == 0).all()


def test_meta_models_become_real_with_their_wiring():
    with torch.device("meta"):
        model = LeNet300()
    egt.sparsify(model, "regular", density=0.1, rng=0)
    real = egt.sparsify(LeNet300(), "regular", density=0.1, rng=0)
    assert egt.topology_digest(model) == egt.topology_digest(real)
    assert (egt.density(model), egt.summary(model).n_edges) == (0.1, 26_620)
    model.to_empty(device="cpu")
    assert egt.topology_digest(model) == egt.topology_digest(real)
    model.load_state_dict(real.state_dict())
    x = torch.randn(2, 784)
    assert torch.equal(model(x), real(x))


class OwnMasked(egt.MaskedLinear):
    pass


@pytest.mark.parametrize("change", [lambda m: nn.utils.parametrizations.weight_norm(m[1]),
                                    lambda m: prune.l1_unstructured(m[1], "weight", 3),
                                    lambda m: m.append(OwnMasked(eg.random_regular(8, 8, 2, rng=0)))])  # fmt: skip
def test_bake_refuses_what_it_cannot_bake_and_changes_nothing(change):
    model = egt.sparsify(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), "random", density=0.5, rng=0)
    change(model)
    before = state(model)
    with pytest.raises(ValueError, match="is not exactly a masked layer"):
        egt.bake(model)
    with pytest.raises(ValueError, match="is not exactly a masked layer"):
        egt.dense_state_dict(model)
    assert same_state(state(model), before)


# --- back to plain ---


@pytest.mark.parametrize("make", [LeNet300, ConvNet])
def test_bake_leaves_a_plain_model_that_computes_the_same(make):
    model = egt.sparsify(make().eval(), "regular", density=0.2, rng=0)
    x = torch.randn(3, 784) if make is LeNet300 else torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        next(iter(egt.masked_modules(model).values())).weight.add_(1)  # as a careless user might
    expected, dense_state = model(x), egt.dense_state_dict(model)
    fresh = make().eval()
    fresh.load_state_dict(dense_state)  # strict
    assert torch.equal(fresh(x), expected)
    assert egt.bake(model) is model
    assert torch.equal(model(x), expected)
    assert {name: type(module) for name, module in model.named_modules()} == {
        name: type(module) for name, module in make().named_modules()
    }
    assert model.state_dict().keys() == make().state_dict().keys()
    assert not any(hasattr(module, "mask") or hasattr(module, "family") for module in model.modules())
    assert egt.density(model) == 1.0


def test_transformers_fast_path_reads_stored_weights():
    """In eval mode the encoder layer bypasses the forward of its linear layers."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    egt.sparsify(layer, "regular", density=0.25, rng=0)
    assert list(egt.masked_modules(layer)) == ["linear1", "linear2"]
    x = torch.randn(2, 5, 16)
    nn.init.xavier_uniform_(layer.linear1.weight)  # as a careless user might, before evaluation
    layer.eval()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), egt.bake(copy.deepcopy(layer))(x))


# --- tables ---


def test_plan_and_summary_print_and_convert():
    model = ConvNet()
    planned = egt.plan(model, "regular", degree=2)
    assert "it is depthwise" in str(planned)
    assert json.loads(json.dumps(planned.to_dict()))["layers"][0]["shape"] == [3, 16, [3, 3], 1]
    egt.sparsify(model, "left_regular", degree=2, rng=0)
    result = egt.summary(model)
    assert "masked dense" in str(result)
    assert json.loads(json.dumps(result.to_dict()))["n_edges"] == result.n_edges
    dead = sum(int((g.left_degrees == 0).sum() + (g.right_degrees == 0).sum())
               for g in (m.graph for m in egt.masked_modules(model).values()))  # fmt: skip
    assert result.dead_units == dead > 0
    assert result.layers[0].in_degrees.minimum == 2
