"""The wiring by itself: saved, loaded, digested, drawn again from its seed; and checkpoints."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch.demo import LeNet300


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.grouped = nn.Conv2d(16, 32, 3, groups=4)
        self.up = nn.ConvTranspose2d(32, 8, 2, stride=2)
        self.head = nn.Linear(8, 10)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x):
        return self.head(self.up(self.grouped(self.norm(self.stem(x)))).mean((2, 3)))


def sparse(rng=0, **options):
    return egt.sparsify(Net(), "regular", **({"density": 0.3} | options), rng=rng)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("pattern", ["channel", "weight"])
def test_the_graphs_go_to_a_file_and_back(tmp_path, pattern):
    model = sparse(pattern=pattern)
    eg.save_graphs(tmp_path / "wiring.npz", egt.topology(model))
    other = egt.sparsify(Net(), eg.load_graphs(tmp_path / "wiring.npz"))
    assert egt.topology(other) == egt.topology(model)
    assert egt.topology_digest(other) == egt.topology_digest(model)
    assert {name: mask.shape for name, mask in other.state_dict().items()} == {
        name: mask.shape for name, mask in model.state_dict().items()
    }


REQUESTS = {
    "random": lambda rng: egt.sparsify(Net(), "random", density=0.3, rng=rng),
    "regular": lambda rng: sparse(rng),
    "by weight": lambda rng: egt.sparsify(Net(), "left_regular", n_edges=999, pattern="weight", rng=rng),
    "blocks": lambda rng: egt.sparsify(Net(), "random", density=0.5, block=2, exclude="stem", rng=rng),
    "in steps": lambda rng: egt.sparsify(
        egt.sparsify(Net(), "random", degree=2, include="stem", rng=rng), "regular", degree=2, exclude="stem", rng=rng
    ),
    "edges by layer": lambda rng: egt.sparsify(Net(), "random", budget={"up": 30, "head": 7}, rng=rng),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize(
    "rng",
    [lambda: 7, lambda: None, lambda: np.random.default_rng(5), lambda: np.random.SeedSequence([1, 2]).spawn(2)[1]],
)
def test_the_wiring_is_drawn_again_from_its_seed(request_, rng):
    model = request_(rng())
    config = json.loads(json.dumps(egt.topology_config(model)))
    assert config["digest"] == egt.topology_digest(model)
    fresh = Net()
    weights = {name: parameter.detach().clone() for name, parameter in fresh.named_parameters()}
    assert egt.rebuild(fresh, config) is fresh
    assert egt.topology_digest(fresh) == egt.topology_digest(model)
    for name, layer in egt.masked_modules(fresh).items():
        assert torch.equal(layer.weight, torch.where(layer.mask, weights[f"{name}.weight"], 0.0))
        assert layer.family == model.get_submodule(name).family
    assert egt.topology_config(fresh) == egt.topology_config(model)


def test_radix_and_tied_layers_are_drawn_again():
    model = egt.sparsify(LeNet300(), "radix", density=0.1)
    assert egt.topology_digest(egt.rebuild(LeNet300(), egt.topology_config(model))) == egt.topology_digest(model)

    def tied():
        model = nn.ModuleDict({name: nn.Linear(8, 8) for name in "abc"})
        model["c"].weight = model["a"].weight
        return model

    model = egt.sparsify(tied(), "random", density=0.5, rng=0)
    assert egt.topology(egt.rebuild(tied(), egt.topology_config(model))) == egt.topology(model)
    graphs = egt.topology(model)
    assert egt.topology(egt.sparsify(tied(), graphs)) == graphs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config | {"digest": "0" * 64}, "not those of the configuration: it was made with NumPy"),
        (lambda config: config | {"version": 9}, "of version 9, this one reads 1"),
        (lambda config: {"version": 1}, "made by topology_config is needed: KeyError"),
        (lambda config: config | {"recipes": [{}]}, "made by topology_config is needed: KeyError"),
        (lambda config: [], "made by topology_config is needed: TypeError"),
        (
            lambda config: config | {"recipes": [config["recipes"][0] | {"edges": {"tail": 3}}]},
            "'tail' cannot be wired: th",
        ),
        (
            lambda config: config | {"recipes": [config["recipes"][0] | {"edges": {"head": 10**6}}]},
            "exceeds|at most|hold",
        ),
        (
            lambda config: config | {"recipes": [config["recipes"][0] | {"entropy": 1}]},
            "not those of the configuration",
        ),
    ],
)
def test_configurations_that_do_not_fit_leave_the_model_alone(change, message):
    config, model = egt.topology_config(sparse()), Net()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=message):
        egt.rebuild(model, change(config))
    assert same(model.state_dict(), before)
    assert not egt.masked_modules(model)
    with pytest.raises(ValueError, match="'stem' cannot be wired: it is masked already"):
        egt.rebuild(sparse(), config)


def test_what_has_no_seed_has_no_configuration():
    model = sparse()
    for other in (
        egt.sparsify(Net(), {"head": model.head.graph}),
        egt.sparsify(Net(), lambda a, b, m, rng: eg.random_bipartite(a, b, n_edges=m, rng=rng), density=0.5, rng=0),
    ):
        with pytest.raises(ValueError, match="has no seed: its graph was given"):
            egt.topology_config(other)
    model.load_state_dict(sparse(rng=1).state_dict())
    with pytest.raises(ValueError, match="layer 'stem' has no seed"):
        egt.topology_config(model)


# --- checkpoints ---


def test_the_keys_are_the_dense_model_s_and_the_topology():
    extra = set(sparse().state_dict()) - set(Net().state_dict())
    assert extra == {f"{name}.mask" for name in ("stem", "grouped", "up", "head")}


@pytest.mark.parametrize("pattern", ["channel", "weight"])
@pytest.mark.parametrize("target", [Net, sparse, lambda: sparse(pattern="weight"), lambda: sparse(rng=9)])
def test_a_checkpoint_brings_its_wiring(pattern, target):
    trained = sparse(rng=1, pattern=pattern)
    model = egt.load_state_dict(target(), trained.state_dict())
    assert same(model.state_dict(), trained.state_dict())
    x = torch.randn(2, 3, 12, 12)
    assert torch.equal(model.eval()(x), trained.eval()(x))
    if target is not Net:
        model = target()
        model.load_state_dict(trained.state_dict())  # PyTorch's own way does the same
        assert same(model.state_dict(), trained.state_dict())


def test_or_it_is_refused_and_nothing_changes():
    trained = sparse(rng=1)
    for model, layers in (
        (sparse(rng=2), r"\['stem', 'grouped', 'up', 'head'\]"),
        (sparse(rng=1, pattern="weight"), "stem"),
        (
            egt.rebuild(Net(), egt.topology_config(egt.sparsify(Net(), "regular", density=0.3, rng=1, exclude="head"))),
            "head",
        ),
    ):
        before, classes = copy.deepcopy(model.state_dict()), [type(module) for module in model.modules()]
        with pytest.raises(RuntimeError, match=f"the wiring of the checkpoint differs from the model's in .*{layers}"):
            egt.load_state_dict(model, trained.state_dict(), topology="raise")
        assert same(model.state_dict(), before)
        assert classes == [type(module) for module in model.modules()]
    model = egt.rebuild(Net(), egt.topology_config(trained))
    egt.load_state_dict(model, trained.state_dict(), topology="raise")
    assert same(model.state_dict(), trained.state_dict())
    assert model.stem.family == "regular"
    with pytest.raises(ValueError, match="topology must be 'replace' or 'raise', got 'keep'"):
        egt.load_state_dict(model, {}, topology="keep")


def test_a_dense_checkpoint_loads_strictly_and_keeps_the_wiring():
    dense = Net()
    for load in (lambda model: model.load_state_dict(dense.state_dict()),
                 lambda model: egt.load_state_dict(model, dense.state_dict(), topology="raise")):  # fmt: skip
        model = sparse()
        graphs = egt.topology(model)
        load(model)
        assert egt.topology(model) == graphs
        assert model.stem.family == "regular"
        for name, layer in egt.masked_modules(model).items():
            expected = torch.where(layer.mask, dense.get_submodule(name).weight, 0.0)
            assert torch.equal(layer.weight, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("norm.weight"), "'norm.weight' is missing"),
        (lambda state: state.update(other=torch.ones(1)), "'other' is unexpected"),
        (
            lambda state: state.update({"head.bias": torch.ones(3)}),
            r"'head.bias' has the shape \(3,\), \(10,\) is needed",
        ),
        (lambda state: state.update({"head.mask": torch.ones(3, 3)}), "'head.mask' is no mask of layer 'head'"),
        (lambda state: state.update({"head.mask": "mask"}), "'head.mask' is no mask of layer 'head'"),
        (lambda state: state.update({"norm.mask": torch.ones(16)}), "'norm.mask' is unexpected"),
    ],
)
@pytest.mark.parametrize("target", [Net, lambda: sparse(rng=3)])
def test_a_checkpoint_that_does_not_fit_changes_nothing(change, message, target):
    model, state = target(), sparse(rng=1).state_dict()
    before = copy.deepcopy(model.state_dict())
    change(state)
    with pytest.raises(RuntimeError, match=message):
        egt.load_state_dict(model, state)
    assert same(model.state_dict(), before)


def test_keys_may_be_missing_if_that_is_said():
    model, state = Net(), sparse(rng=1).state_dict()
    del state["norm.weight"]
    egt.load_state_dict(model, state, strict=False)
    assert egt.topology(model) == egt.topology(sparse(rng=1))


def test_masks_come_as_numbers_too():
    trained, model = sparse(rng=1), Net()
    egt.load_state_dict(model, {name: tensor.float() for name, tensor in trained.state_dict().items()})
    assert same(model.state_dict() | {"norm.num_batches_tracked": torch.tensor(0)}, trained.state_dict())
    assert model.stem.mask.dtype == torch.bool
