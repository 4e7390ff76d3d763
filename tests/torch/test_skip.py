"""N2NSkip and ResSkip: the modules against their formula, and whole models against twins written by hand."""

import copy
import math
import pickle
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import expandergraphs as eg
import expandergraphs_torch as egt
import tests.torch.torchvision_shim  # noqa: F401
from expandergraphs_torch.skip import add_branch


def mlp(*sizes):
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)
        self.conv2, self.norm2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out)
        self.shortcut = nn.Identity() if (n_in, stride) == (n_out, 1) else nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x):
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        out += self.shortcut(x)
        return F.relu(out, inplace=True)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 12, 2), Block(12, 16, 2))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.blocks(F.relu(self.norm(self.stem(x))))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def n_weights(model):
    """Count non-zero places: edges, times the weights that each carries."""
    counts = {
        id(layer.weight): int(layer.mask.count_nonzero()) * (layer.weight.numel() // layer.mask.numel())
        for layer in egt.masked_modules(model).values()
    }
    return sum(counts.values())


def state_of(model):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return type(model), list(vars(model)), state, [type(module) for module in model.modules()]


def assert_unchanged(model, before):
    kind, names, state, kinds = state_of(model)
    assert (kind, names, kinds) == (before[0], before[1], before[3])
    assert state.keys() == before[2].keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in before[2].items())


# --- modules ---


@pytest.mark.parametrize("activation", ["relu", "tanh", None, nn.SiLU])
@pytest.mark.parametrize("norm", [None, "batch", nn.BatchNorm1d])
def test_a_linear_branch_is_its_formula(activation, norm):
    g = eg.random_bipartite(7, 5, n_edges=11, rng=0)
    skip, x = egt.N2NSkipLinear(g, norm=norm, activation=activation), torch.randn(6, 7)
    expected = torch.zeros(6, 5)
    for i, j in g.edges:
        expected[:, j] += x[:, i] * skip.weight[j, i]
    if norm:
        expected = (expected - expected.mean(0)) / (expected.var(0, unbiased=False) + 1e-5).sqrt()
    act = {"relu": torch.relu, "tanh": torch.tanh, None: lambda z: z, nn.SiLU: F.silu}[activation]
    torch.testing.assert_close(skip(x), act(expected))
    assert isinstance(skip, nn.Linear)
    assert skip.bias is None
    assert skip.graph == g


@pytest.mark.parametrize("pattern", ["channel", "weight"])
def test_a_convolutional_branch_is_its_formula(pattern):
    g = eg.random_bipartite(4 * (9 if pattern == "weight" else 1), 6, n_edges=10, rng=0)
    skip = egt.N2NSkipConv2d(g, 3, stride=2, padding=1, norm="batch", pattern=pattern).eval()
    x = torch.randn(2, 4, 8, 8)
    expected = F.relu(F.conv2d(x, skip.weight * skip.mask, stride=2, padding=1) / math.sqrt(1 + 1e-5))
    torch.testing.assert_close(skip(x), expected)
    assert isinstance(skip, nn.Conv2d)
    assert skip.graph == g


def test_branches_of_one_and_three_dimensions():
    g = eg.random_bipartite(4, 6, n_edges=10, rng=0)
    assert egt.N2NSkipConv1d(g, 3, norm="batch")(torch.ones(2, 4, 8)).shape == (2, 6, 6)
    assert egt.N2NSkipConv3d(g, 1, norm="batch")(torch.ones(2, 4, 2, 2, 2)).shape == (2, 6, 2, 2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "swish"}, "activation must be one of 'relu'"),
        ({"activation": nn.ReLU()}, "a function that makes one"),
        ({"norm": "layer"}, "norm must be None, 'batch'"),
        ({"norm": nn.BatchNorm1d(5)}, "function of the number of channels"),
    ],
)
def test_a_branch_says_what_it_needs(options, message):
    with pytest.raises(ValueError, match=message):
        egt.N2NSkipLinear(eg.random_bipartite(7, 5, n_edges=11, rng=0), **options)
    with pytest.raises(ValueError, match="BipartiteGraph"):
        egt.N2NSkipLinear(nn.Linear(7, 5))


def test_a_branch_is_baked_and_masked_again():
    g = eg.random_bipartite(7, 5, n_edges=11, rng=0)
    skip, x = egt.N2NSkipLinear(g, norm="batch").eval(), torch.randn(6, 7)
    before = skip(x)
    plain = egt.bake(skip)
    assert not hasattr(plain, "mask")
    assert torch.equal(plain(x), before)
    assert egt.sparsify(plain, {"": g}, init="keep").graph == g
    assert isinstance(plain, egt.N2NSkipLinear)
    assert torch.equal(plain(x), before)


def test_res_skip_cuts_pads_and_steps():
    x = torch.arange(2 * 3 * 5 * 4.0).reshape(2, 3, 5, 4)
    assert torch.equal(egt.ResSkip(2, (2, 1))(x), x[:, :2, ::2])
    padded = egt.ResSkip(4, (1, 3))(x)
    assert torch.equal(padded[:, :3], x[..., ::3])
    assert not padded[:, 3].any()
    assert torch.equal(egt.ResSkip(6)(x), F.pad(x, (0, 2)))


def test_a_border_is_cut_in_the_middle_and_none_is_invented():
    z, branch = torch.zeros(1, 1, 2, 4), torch.arange(20.0).reshape(1, 1, 5, 4)
    assert torch.equal(add_branch(z, branch), branch[:, :, 1:3])
    with pytest.raises(ValueError, match="smaller"):
        add_branch(branch, z)


# --- budgets ---


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(2, 12), min_size=3, max_size=6),
    density=st.floats(0.02, 0.6),
    share=st.sampled_from([0.1, 0.5, 0.7]),
    k=st.integers(2, 3),
    seed=st.integers(0, 9),
)
def test_non_zeros_are_those_of_the_pruned_network(sizes, density, share, k, seed):
    expected = n_weights(egt.prune(mlp(*sizes), "random", density=density))
    model = mlp(*sizes)
    before = state_of(model)
    try:
        egt.add_n2nskip(model, density=density, share=share, k=k, rng=seed)
    except ValueError as error:
        room = sum(a * b for a, b in zip(sizes, sizes[k:], strict=False))  # 0 where there are too few layers
        if round(expected * share) <= room and room:
            raise AssertionError from error
        assert_unchanged(model, before)
        return
    assert n_weights(model) == expected
    in_skips = n_weights(model.n2nskip)
    assert in_skips == round(expected * share)


@pytest.mark.parametrize("criterion", [None, "random", "magnitude", "snip"])
@pytest.mark.parametrize("pattern", ["channel", "weight", None])
def test_budgets_of_convolutions(pattern, criterion):
    data = [(torch.randn(4, 1, 28, 28), torch.arange(4))]
    expected = n_weights(egt.prune(lenet(), "random", density=0.1))
    model = egt.add_n2nskip(lenet(), density=0.1, criterion=criterion, pattern=pattern, data=data, rng=0)
    exact = pattern == "weight" or (pattern is None and criterion is not None)
    assert expected - (0 if exact else 24) <= n_weights(model) <= expected


def test_skips_are_spread_as_their_targets_are():
    model = egt.add_n2nskip(mlp(100, 80, 60, 40, 20), density=0.1, budget="erk", rng=0)
    edges = egt.summary(model).edges
    targets = [edges[name] for name in ("2", "4", "6")]
    skips = [edges[f"n2nskip.{name}"] for name in ("0_2", "1_3", "2_4")]
    exact = [sum(skips) * target / sum(targets) for target in targets]
    assert all(abs(a - b) <= 1 for a, b in zip(skips, exact, strict=True))


def test_what_a_full_skip_cannot_hold_goes_to_others():
    model = egt.add_n2nskip(mlp(30, 100, 2, 100, 30), density=0.1, rng=0)
    edges = egt.summary(model).edges
    # 320 edges onto layers that keep 10, 10 and 150: the third skip is full with 60, of the others' 130 each the first
    assert [edges[f"n2nskip.{name}"] for name in ("0_2", "1_3", "2_4")] == [60, 200, 60]


def test_the_layers_part_is_what_prune_would_leave():
    data = [(torch.randn(8, 20), torch.arange(8) % 4)]
    torch.manual_seed(0)
    model = mlp(20, 16, 12, 8, 4)
    alone = egt.prune(copy.deepcopy(model), "snip", density=0.1, data=data)
    egt.add_n2nskip(model, density=0.2, criterion="snip", data=data, share=0.5, rng=0)
    sequential = {name: layer for name, layer in egt.masked_modules(model).items() if not name.startswith("n2n")}
    assert n_weights(nn.ModuleList(sequential.values())) == n_weights(alone)
    assert all(torch.equal(layer.mask, egt.masked_modules(alone)[name].mask) for name, layer in sequential.items())


def test_skips_that_cannot_hold_their_half_say_what_fits():
    def make():
        return mlp(50, 60, 3, 2)

    model = make()
    before = state_of(model)
    with pytest.raises(eg.GenerationError, match=r"the largest density that fits is ([\d.]+)") as error:
        egt.add_n2nskip(model, density=0.9, k=3, rng=0)
    assert_unchanged(model, before)
    largest = float(str(error.value).split()[-1])
    egt.add_n2nskip(make(), density=largest, k=3, rng=0)
    with pytest.raises(eg.GenerationError):
        egt.add_n2nskip(make(), density=largest + 0.01, k=3, rng=0)


# --- whole models against twins ---


def test_a_chain_is_its_formula():
    model, x = egt.add_n2nskip(mlp(9, 8, 7, 6, 5, 4), density=0.5, k=3, rng=0), torch.randn(3, 9)
    activations = [x]
    for number, layer in enumerate(model[n] for n in range(0, 9, 2)):
        z = layer(activations[-1])
        if number >= 2:
            z = z + torch.relu(F.linear(activations[number - 2], model.n2nskip[f"{number - 2}_{number + 1}"].weight))
        activations.append(torch.relu(z) if number < 4 else z)
    torch.testing.assert_close(model(x), activations[-1])


@pytest.mark.parametrize("example", [True, False])
@pytest.mark.parametrize("downsample", ["stride", "max_pool"])
def test_pooling_borders_and_flattening(downsample, example):
    x = torch.randn(3, 1, 28, 28)
    model = egt.add_n2nskip(
        lenet(), density=0.2, downsample=downsample, example_input=x if example else None, rng=0
    ).eval()
    skip = dict(model.n2nskip.items())
    pool = F.adaptive_max_pool2d if downsample == "max_pool" else F.adaptive_avg_pool2d

    def conv(module, value):
        if downsample == "max_pool":
            return F.relu(F.conv2d(F.max_pool2d(value, 2), module[1].weight, padding=2))
        return F.relu(F.conv2d(value, module.weight, stride=2, padding=2))

    a1 = F.max_pool2d(F.relu(model[0](x)), 2)  # 12 x 12, what layer 2 reads
    a2 = F.relu(model[3](a1) + conv(skip["0_2"], x)[:, :, 3:11, 3:11])  # 14 x 14 becomes 8 x 8
    a2 = F.max_pool2d(a2, 2).flatten(1)
    linear = F.relu(F.linear(pool(a1, (4, 4)).flatten(1), skip["1_3"][2].weight))
    a3 = F.relu(model[7](a2) + linear)
    a4 = F.relu(model[9](a3) + F.relu(F.linear(a2, skip["2_4"].weight)))
    z5 = model[11](a4) + F.relu(F.linear(a3, skip["3_5"].weight))
    torch.testing.assert_close(model(x), z5)


def test_a_residual_network_is_its_formula_between_blocks():
    x = torch.randn(4, 3, 16, 16)
    model = egt.add_n2nskip(ResNet(), density=0.2, example_input=x, rng=0)
    assert isinstance(model, ResNet)
    assert [type(skip.norm) for skip in model.n2nskip.values() if isinstance(skip, nn.Conv2d)] == [nn.BatchNorm2d] * 3
    model.eval()

    def block(module, value, branch):
        inner = module.conv2(F.relu(module.norm1(module.conv1(value))))
        return F.relu(module.norm2(inner) + module.shortcut(value) + branch)

    skip = dict(model.n2nskip.items())
    a1 = F.relu(model.norm(model.stem(x)))
    a2 = block(model.blocks[0], a1, skip["0_2"](x))
    a3 = block(model.blocks[1], a2, skip["1_3"](a1))
    a4 = block(model.blocks[2], a3, skip["2_4"](a2))
    last = skip["3_5"]
    z5 = model.head(a4.mean((2, 3))) + F.relu(F.linear(a3.mean((2, 3)), last[2].weight))
    torch.testing.assert_close(model(x), z5)
    assert [skip[name].stride for name in ("0_2", "1_3", "2_4")] == [(1, 1), (2, 2), (4, 4)]


@pytest.mark.parametrize("make", [lambda: mlp(9, 8, 7, 6), lenet, ResNet])
def test_skips_of_zero_weight_change_nothing(make):
    example = {9: torch.randn(4, 9), 1: torch.randn(4, 1, 28, 28), 3: torch.randn(4, 3, 16, 16)}
    model = make()
    x = example[next(model.parameters()).shape[1]]
    egt.add_n2nskip(model, density=0.3, example_input=x, rng=0)
    without = make()
    without.load_state_dict({k: v for k, v in egt.dense_state_dict(model).items() if not k.startswith("n2nskip")})
    assert not torch.equal(model.eval()(x), without.eval()(x))
    for name, parameter in model.n2nskip.named_parameters():
        if name.endswith("weight") and parameter.ndim > 1:
            nn.init.zeros_(parameter)
    for mode in (True, False):
        assert torch.equal(model.train(mode)(x), without.train(mode)(x))


@pytest.mark.parametrize("make", [lambda: mlp(9, 8, 7, 6), lenet, ResNet])
def test_gradients_reach_every_edge_of_every_skip(make):
    model = make().double()
    shape = {9: (64, 9), 1: (4, 1, 28, 28), 3: (8, 3, 16, 16)}[next(model.parameters()).shape[1]]
    x = torch.randn(shape).double()
    egt.add_n2nskip(model, density=0.3, activation=nn.Softplus, example_input=x, rng=0)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.forward = F.softplus
    model(x).square().sum().backward()
    skips = egt.masked_modules(model.n2nskip)
    assert len(skips) == len(model.n2nskip) > 1
    for skip in skips.values():
        assert not skip.weight.grad[~skip.mask.expand_as(skip.weight)].any()
    assert all(skip.weight.grad.any() for skip in skips.values())


def test_res_skips_are_identities():
    x = torch.randn(3, 9)
    model = egt.add_resskip(mlp(9, 8, 7, 12, 5))
    assert not list(model.resskip.parameters())
    a1 = F.relu(model[0](x))
    a2 = F.relu(model[2](a1) + x[:, :7])
    a3 = F.relu(model[4](a2) + F.pad(a1, (0, 4)))
    torch.testing.assert_close(model(x), model[6](a3) + a2[:, :5])
    images = torch.randn(2, 3, 16, 16)
    assert egt.add_resskip(ResNet(), example_input=images)(images).shape == (2, 5)


# --- a model like any other ---


def test_an_optimizer_built_before_trains_the_layers_and_hooks_stay():
    model, x = mlp(9, 8, 7, 6), torch.randn(16, 9)
    optimizer, seen = torch.optim.SGD(model.parameters(), lr=0.1), []
    model.register_forward_hook(lambda *_: seen.append("model"))
    model[2].register_forward_hook(lambda *_: seen.append("layer"))
    egt.add_n2nskip(model, density=0.3, rng=0)
    optimizer.add_param_group({"params": model.n2nskip.parameters()})
    before = egt.dense_state_dict(model)
    model(x).square().mean().backward()
    optimizer.step()
    assert seen == ["layer", "model"]
    after = egt.dense_state_dict(model)
    assert all(not torch.equal(before[name], after[name]) for name in before if name.endswith("weight"))
    assert n_weights(model) == n_weights(egt.prune(mlp(9, 8, 7, 6), "random", density=0.3))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_compute_the_same_and_are_their_own(again):
    x = torch.randn(4, 3, 16, 16)
    model = egt.add_n2nskip(ResNet(), density=0.2, example_input=x, rng=0).eval()
    other = again(model)
    assert torch.equal(other(x), model(x))
    nn.init.zeros_(other.n2nskip["0_2"].weight)
    assert not torch.equal(other(x), model(x))
    assert type(other) is type(model)
    assert type(model).__name__ == "ResNet"


def test_a_checkpoint_loads_into_a_model_made_the_same_way():
    one, two = (egt.add_n2nskip(mlp(9, 8, 7, 6), density=0.3, rng=seed) for seed in (0, 1))
    assert egt.topology_digest(one) != egt.topology_digest(two)
    two.load_state_dict(one.state_dict())
    assert egt.topology_digest(one) == egt.topology_digest(two)
    x = torch.randn(4, 9)
    assert torch.equal(one(x), two(x))


def test_the_same_seed_gives_the_same_wiring_and_it_is_drawn_again():
    one, two = (egt.add_n2nskip(mlp(9, 8, 7, 6), density=0.3, rng=5) for _ in range(2))
    assert egt.topology_digest(one) == egt.topology_digest(two)
    config = egt.topology_config(one)
    plain = egt.bake(egt.add_n2nskip(mlp(9, 8, 7, 6), density=0.1, rng=0))
    assert egt.topology_digest(egt.rebuild(plain, config)) == egt.topology_digest(one)


@pytest.mark.parametrize(
    ("make", "shape"), [(lambda: mlp(9, 8, 7, 6), (4, 9)), (lenet, (2, 1, 28, 28)), (ResNet, (2, 3, 16, 16))]
)
def test_compiled_exported_and_baked(make, shape):
    x = torch.randn(shape)
    model = egt.add_n2nskip(make(), density=0.3, example_input=x, rng=0).eval()
    expected = model(x)
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(x), expected)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), expected)
    assert not any(hasattr(module, "mask") for module in egt.bake(model).modules())
    torch.testing.assert_close(model(x), expected)


def test_a_network_with_skips_is_a_graph_with_skips():
    model = egt.add_n2nskip(mlp(9, 8, 7, 6), density=0.3, rng=0)
    net = egt.network_graph(model, torch.ones(1, 9))
    assert net.widths == (9, 8, 7, 6)
    assert net.names == ("input", "0", "2", "4")
    assert net.blocks == {
        (0, 1): model[0].graph, (1, 2): model[2].graph, (2, 3): model[4].graph,
        (0, 2): model.n2nskip["0_2"].graph, (1, 3): model.n2nskip["1_3"].graph,
    }  # fmt: skip
    images = torch.randn(1, 3, 16, 16)
    plain = egt.network_graph(ResNet(), images)
    skipping = egt.network_graph(egt.add_n2nskip(ResNet(), density=0.2, example_input=images, rng=0), images)
    assert sorted(skipping.widths) == sorted(plain.widths)


def test_a_network_with_identities_is_a_graph_with_identities():
    net = egt.network_graph(egt.add_resskip(mlp(9, 8, 7, 6)), torch.ones(1, 9))
    assert net.widths == (9, 8, 7, 6)
    assert net.skips[0, 2].edges.tolist() == [[i, i] for i in range(7)]


# --- refusals ---


class Functional(nn.Module):
    """Dropout that is no module."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = F.dropout(F.relu(layer(x)), training=self.training)
        return x


class Auxiliary(Functional):
    def forward(self, x):
        x = self.layers[1](self.layers[0](x))
        return (self.layers[2](x), x) if self.training else x


class Branching(Functional):
    def forward(self, x):
        return self.layers[0](x) if x.sum() > 0 else self.layers[1](x)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: mlp(9, 8, 7), {"k": 3}, r"needs 3 layers or blocks .*: 0, 2"),
        (lambda: mlp(9, 8, 7), {"k": 1}, "k must be an integer of at least 2"),
        (lambda: mlp(9, 8, 7), {"density": 0}, "density must be a number above 0"),
        (lambda: mlp(9, 8, 7), {"density": 1.5}, "density must be a number above 0"),
        (lambda: mlp(9, 8, 7), {"share": 1}, "share must be below 1"),
        (lambda: mlp(9, 8, 7), {"share": "half"}, "share must be a number"),
        (lambda: mlp(9, 8, 7), {"downsample": "pool"}, "downsample must be one of 'stride'"),
        (lambda: mlp(9, 8, 7), {"activation": "swish"}, "activation must be one of"),
        (lambda: mlp(9, 8, 7), {"norm": "layer"}, "norm must be None"),
        (lambda: mlp(9, 8, 7), {"pattern": "kernel"}, "pattern must be one of"),
        (lambda: mlp(9, 8, 7), {"family": "expander"}, "family"),
        (lambda: mlp(9, 8, 7), {"criterion": "snip"}, "needs data"),
        (lambda: mlp(9, 8, 7), {"include": "3"}, "matches no layer"),
        (lambda: mlp(9, 8, 7), {"example_input": torch.ones(1, 8)}, "does not compute on example_input"),
        (ResNet, {}, "ResNet is no chain.*give example_input"),
        (Auxiliary, {}, "computes otherwise in training"),
        (Branching, {}, "cannot trace Branching"),
        (lambda: egt.add_resskip(mlp(9, 8, 7)), {}, "has skips already"),
        (lambda: egt.sparsify(mlp(9, 8, 7), "random", density=0.5), {}, "masked already"),
    ],
)
def test_refusals_say_why_and_change_nothing(make, options, message):
    model = make()
    before = state_of(model)
    with pytest.raises(ValueError, match=message):
        egt.add_n2nskip(model, **{"density": 0.2} | options)
    assert_unchanged(model, before)


@pytest.mark.parametrize("again", [lambda model: model, copy.deepcopy])
@pytest.mark.parametrize("example", [None, torch.ones(2, 6)])
def test_functional_dropout_follows_the_mode(again, example):
    model, x = again(egt.add_n2nskip(Functional(), density=0.5, example_input=example, rng=0)), torch.randn(50, 6)
    assert len(model.n2nskip) == 2
    model.eval()
    a1 = F.relu(model.layers[0](x))
    a2 = F.relu(model.layers[1](a1) + model.n2nskip["0_2"](x))
    torch.testing.assert_close(model(x), F.relu(model.layers[2](a2) + model.n2nskip["1_3"](a1)))
    assert torch.equal(model(x), model(x))
    assert not torch.equal(model.train()(x), model(x))


def test_layers_that_stay_dense_count_and_no_skip_ends_there():
    model = egt.add_n2nskip(mlp(9, 8, 7, 6, 5, 4), density=0.3, exclude=["0", "6"], rng=0)
    assert list(model.n2nskip) == ["0_2", "1_3", "3_5"]
    assert list(egt.masked_modules(model)) == ["2", "4", "8", "n2nskip.0_2", "n2nskip.1_3", "n2nskip.3_5"]
    assert n_weights(model) == round(0.3 * (56 + 42 + 20))


def test_hooks_that_would_be_lost_are_refused():
    model = nn.Sequential(nn.Sequential(nn.Linear(9, 8), nn.ReLU()), nn.Linear(8, 7))
    model[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="'0' has hooks"):
        egt.add_n2nskip(model, density=0.2)


def test_a_linear_layer_after_positions_that_are_no_square_needs_an_example():
    def make():
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(6 * 4 * 3, 5))

    with pytest.raises(ValueError, match="no square of positions: give example_input"):
        egt.add_n2nskip(make(), density=0.2)
    x = torch.randn(2, 1, 8, 7)
    assert egt.add_n2nskip(make(), density=0.2, example_input=x)(x).shape == (2, 5)


def test_a_checkpoint_with_skips_asks_for_them():
    state = egt.add_n2nskip(mlp(9, 8, 7), density=0.3, rng=0).state_dict()
    with pytest.raises(RuntimeError, match="the checkpoint has N2NSkip connections: call add_n2nskip"):
        egt.load_state_dict(mlp(9, 8, 7), state)
    egt.load_state_dict(egt.add_n2nskip(mlp(9, 8, 7), density=0.3, rng=1), state)
