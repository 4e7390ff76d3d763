"""Skips in models that write in place, keep state, concatenate, permute, or do what tracing would lose."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch.skip import add_branch
from expandergraphs_torch.tracing import trace


class Three(nn.Module):
    """Three linear layers, whose subclasses say what is done with them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(9, 8), nn.Linear(8, 7), nn.Linear(7, 6)
        self.register_buffer("scale", torch.ones(8))
        self.register_buffer("calls", torch.zeros(()))
        self.seen = None

    def inner(self, x):
        return F.relu(self.a(x))

    def forward(self, x):
        return self.c(F.relu(self.b(self.inner(x))))


def with_skips(model, x, a1):
    """Compute what `Three` does with skips, given its first activation."""
    a2 = F.relu(model.b(a1) + model.n2nskip["0_2"](x))
    return model.c(a2) + model.n2nskip["1_3"](a1)


class Jitter(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


def x_of(n=5):
    return torch.randn(n, 9, generator=torch.Generator().manual_seed(0))


def nested():
    return nn.Sequential(
        nn.Sequential(nn.Linear(9, 8), nn.ReLU()), nn.Sequential(nn.Linear(8, 7), nn.ReLU()), nn.Linear(7, 6)
    )


# --- copies ---


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("add", [lambda model: egt.add_n2nskip(model, density=0.5, rng=0), egt.add_resskip])
def test_a_sequential_is_copied_without_calling_its_skips_in_turn(again, add):
    model = add(nested())
    other = again(again(model))
    assert torch.equal(other(x_of()), model(x_of()))
    assert list(other.state_dict()) == list(model.state_dict())


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_part_of_a_sequential_has_no_skips(again):
    model = egt.add_n2nskip(nested(), density=0.5, rng=0)
    assert torch.equal(again(model[:2])(x_of()), model[1](model[0](x_of())))


def test_the_class_is_that_of_the_model_but_for_forward():
    model = egt.add_n2nskip(Three(), density=0.5, rng=0)
    assert isinstance(model, Three)
    assert (type(model).__doc__, type(model).__module__) == (Three.__doc__, Three.__module__)


def test_an_example_draws_nothing():
    model = nn.Sequential(nn.Linear(9, 8), nn.RReLU(), nn.Linear(8, 7))
    model.insert(1, Jitter())
    random = torch.get_rng_state()
    egt.add_resskip(model, example_input=x_of())
    assert torch.equal(torch.get_rng_state(), random)


class Replaced(nn.Module):
    """A layer that nothing here knows, as after a conversion."""

    def __init__(self, layer):
        super().__init__()
        self.weight, self.bias = layer.masked_weight().detach(), layer.bias

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_is_copied_after_its_layers_became_others(again):
    model = egt.add_n2nskip(nested(), density=0.5, rng=0)
    expected = model(x_of())
    for part in model[:2]:
        part[0] = Replaced(part[0])
    torch.testing.assert_close(model(x_of()), expected)
    torch.testing.assert_close(again(model)(x_of()), expected)


def test_skips_are_in_the_mode_of_the_model():
    for mode in (True, False):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))
        model.extend([nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4, 3)]).train(mode)
        egt.add_n2nskip(model, density=0.3, example_input=torch.ones(1, 1, 6, 6))
        assert {module.training for module in model.modules()} == {mode}


# --- what a model does besides ---


class Scaled(Three):
    def inner(self, x):
        self.calls.add_(1)
        return F.relu(self.a(x)) * (2 * self.scale)


def test_what_is_computed_from_buffers_follows_them():
    model = egt.add_n2nskip(Scaled(), density=0.5, example_input=x_of(), rng=0)
    assert model.calls == 0
    for n in (1, 2):
        model.scale.fill_(n)
        torch.testing.assert_close(model(x_of()), with_skips(model, x_of(), F.relu(model.a(x_of())) * 2 * n))
    assert model.calls == 2


class SetsItself(Three):
    def inner(self, x):
        self.seen = super().inner(x)
        return self.seen


class Counts(Three):
    n_calls = 0

    def inner(self, x):
        self.n_calls += 1
        return super().inner(x)


class SetsBuffer(Three):
    def inner(self, x):
        self.calls = self.calls + 1
        return super().inner(x)


class Noisy(Three):
    def inner(self, x):
        return super().inner(x) + torch.randn(8)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (SetsItself, "SetsItself sets 'seen'"),
        (Counts, "Counts sets 'n_calls'"),
        (SetsBuffer, "SetsBuffer sets 'calls'"),
        (Noisy, "draws random numbers"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda model: model, nn.Sequential])
def test_what_tracing_would_lose_is_refused_and_nothing_stays_behind(kind, message, wrap):
    model = wrap(kind())
    before = [(dict(vars(module)), dict(module._buffers)) for module in model.modules()]
    random = torch.get_rng_state()
    with pytest.raises(ValueError, match=message):
        egt.add_n2nskip(model, density=0.5, rng=0)
    assert torch.equal(torch.get_rng_state(), random)
    for module, (attributes, buffers) in zip(model.modules(), before, strict=True):
        assert vars(module).keys() == attributes.keys()
        assert all(vars(module)[name] is value for name, value in attributes.items())
        assert all(module._buffers[name] is value for name, value in buffers.items())


def test_a_refusal_draws_nothing():
    model = nested()
    random = torch.get_rng_state()
    for options in (
        {"activation": "swish"},
        {"norm": lambda n_channels: n_channels / 0},
        {"family": lambda *_, **__: None},
    ):
        with pytest.raises((ValueError, ZeroDivisionError)):
            egt.add_n2nskip(model, **{"density": 0.2} | options)
        assert torch.equal(torch.get_rng_state(), random)
        assert not egt.masked_modules(model)
        assert not hasattr(model, "n2nskip")


def test_hooks_of_layers_and_of_what_is_in_them_stay():
    model, seen = nested(), []
    nn.utils.parametrizations.weight_norm(model[2])
    model[2].parametrizations.weight[0].register_forward_hook(lambda *_: seen.append("norm"))
    model[0][0].register_forward_pre_hook(lambda *_: seen.append("layer"))
    egt.add_n2nskip(model, density=0.5, rng=0, exclude="2")
    model(x_of())
    assert seen == ["layer", "norm"]


# --- in place ---


class Statement(Three):
    def inner(self, x):
        x = self.a(x)
        F.relu_(x)
        return x


class Module(Three):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def inner(self, x):
        x = self.a(x)
        self.relu(x)
        return x


class Keyword(Three):
    def inner(self, x):
        x = self.a(x)
        F.relu(x, inplace=True)
        return x


@pytest.mark.parametrize("kind", [Statement, Module, Keyword])
def test_a_skip_reads_what_a_value_became(kind):
    model = egt.add_n2nskip(kind(), density=0.9, share=0.4, rng=0)
    assert list(model.n2nskip) == ["0_2", "1_3"]
    out = model(x_of())
    torch.testing.assert_close(out, with_skips(model, x_of(), F.relu(model.a(x_of()))))
    out.square().sum().backward()
    assert all(skip.weight.grad.any() for skip in model.n2nskip.values())


class InPlace(nn.Module):
    """A block whose first step, or last, overwrites what it reads."""

    def __init__(self, first):
        super().__init__()
        self.first, self.layers = first, nn.Sequential(nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 9))

    def forward(self, x):
        if self.first:
            return self.layers(F.relu_(x)) + x
        return x.add_(self.layers(torch.relu(x)))


@pytest.mark.parametrize("first", [True, False])
def test_blocks_that_overwrite_their_input(first):
    model = nn.Sequential(nn.Linear(9, 9), InPlace(first), InPlace(first), nn.Linear(9, 4))
    egt.add_n2nskip(model, density=0.5, example_input=x_of(), rng=0)
    model(x_of()).square().sum().backward()
    assert all(skip.weight.grad.any() for skip in model.n2nskip.values())
    z1 = model[0](x_of())
    skips, start = model.n2nskip, torch.relu if first else (lambda z: z)
    a1 = start(z1)
    z2 = a1 + model[1].layers(torch.relu(a1)) + skips["0_2"](x_of())
    a2 = start(z2)
    z3 = a2 + model[2].layers(torch.relu(a2)) + skips["1_3"](a1)
    torch.testing.assert_close(model(x_of()), model[3](z3) + skips["2_4"](a2))


# --- budgets ---


def test_layers_that_take_everything_are_refused():
    def make():
        return nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1))

    model = make()
    with torch.no_grad():
        model[0].weight.fill_(1)  # 13 kernels, a tenth of all, of 25 each, score highest
    with pytest.raises(
        eg.GenerationError, match=r"layers alone would keep 325 weights, .* may be 189: .* pattern='weig"
    ):
        egt.add_n2nskip(model, density=0.2, criterion="magnitude", pattern="channel")
    assert not egt.masked_modules(model)
    egt.add_n2nskip(model, density=0.2, criterion="magnitude", pattern="weight")


# --- shapes ---


class Dense(nn.Module):
    """A block of DenseNet's kind, with its normalisation before it concatenates."""

    def __init__(self, n, norm):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(n, 6, 3, padding=1, bias=False), norm

    def forward(self, x):
        return torch.cat([x, F.relu(self.norm(self.conv(x)))], 1)


@pytest.mark.parametrize(
    "norm",
    [lambda: nn.BatchNorm2d(6, eps=0.1, momentum=0.3), lambda: nn.InstanceNorm2d(6), lambda: nn.GroupNorm(3, 6)],
)
def test_a_norm_is_of_all_that_a_block_concatenates(norm):
    x = torch.randn(2, 6, 5, 5)
    model = nn.Sequential(Dense(6, norm()), Dense(12, norm()), nn.Conv2d(18, 4, 1))
    egt.add_n2nskip(model, density=0.4, example_input=x, rng=0)
    ours, theirs = model.n2nskip["0_2"].norm, model[1].norm
    assert type(ours) is type(theirs)
    assert ours.eps == theirs.eps
    assert getattr(ours, "momentum", 0) == getattr(theirs, "momentum", 0)
    assert getattr(ours, "affine", 0) == getattr(theirs, "affine", 0)
    a1 = model[0](x)
    a2 = model[1](a1) + model.n2nskip["0_2"](x)
    torch.testing.assert_close(model(x), model[2](a2) + model.n2nskip["1_3"](a1))


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv1d(3, 6, 3, padding=1), nn.Linear(6, 7)

    def forward(self, x):
        return self.linear(F.relu(self.conv(x)).transpose(1, 2))


def test_positions_are_not_taken_for_channels():
    with pytest.raises(ValueError, match=r"no skip from layer 0 to 'linear' .* from \(2, 3, 10\) to \(2, 10, 7\)"):
        egt.add_n2nskip(Transposed(), density=0.5, example_input=torch.randn(2, 3, 10))


class Setting(Three):
    def forward(self, x, *, factor=2.0):
        return super().forward(x) * factor


def test_arguments_that_are_no_tensors_are_settings():
    model = egt.add_n2nskip(Setting(), density=0.5, example_input=x_of(), rng=0)
    assert list(model.n2nskip) == ["0_2", "1_3"]
    assert torch.equal(model(x=x_of(), factor=6.0), 3 * model(x_of()))


class Several(Three):
    def forward(self, *inputs):
        return super().forward(inputs[0])


def test_any_number_of_inputs():
    model = egt.add_n2nskip(Several(), density=0.5, example_input=x_of(), rng=0)
    assert torch.equal(model(x_of()), with_skips(model, x_of(), F.relu(model.a(x_of()))))


class Optional(Three):
    def forward(self, x, mask=None):
        return super().forward(x if mask is None else x * mask)


def test_an_example_that_does_not_fit_is_said_in_a_line():
    with pytest.raises(ValueError, match="does not compute on example_input") as error:
        egt.add_n2nskip(Optional(), density=0.5, example_input=x_of())
    assert "\n" not in str(error.value)


def test_constants_are_found_once_and_are_no_state():
    class Constant(Three):
        def inner(self, x):
            return super().inner(x) + torch.arange(8.0)

    model = Constant()
    names = list(vars(model))
    assert list(trace(model).constants) == ["_tensor_constant0"]
    assert list(vars(model)) == names
    egt.add_n2nskip(model, density=0.5, example_input=x_of(), rng=0)
    torch.testing.assert_close(model(x_of()), with_skips(model, x_of(), F.relu(model.a(x_of())) + torch.arange(8.0)))
    assert "_tensor_constant0" not in model.state_dict()


# --- what mutants showed ---


def test_strides_differ_between_dimensions():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, (2, 1), 1), nn.ReLU(), nn.Conv2d(4, 6, (3, 1), (3, 1), (1, 0)))
    x = torch.randn(2, 1, 13, 8)
    for options in ({}, {"example_input": x}):
        added = egt.add_n2nskip(copy.deepcopy(model), density=0.9, share=0.2, rng=0, **options)
        skip = added.n2nskip["0_2"]
        assert (skip.kernel_size, skip.stride, skip.padding) == ((3, 1), (6, 1), (1, 0))
        a1 = F.relu(added[0](x))
        torch.testing.assert_close(added(x), added[2](a1) + F.relu(F.conv2d(x, skip.weight, None, (6, 1), (1, 0))))


def test_a_norm_is_fresh():
    model = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 7), nn.BatchNorm1d(7, eps=0.2))
    nn.init.uniform_(model[3].weight)
    model(x_of())
    norm = egt.add_n2nskip(model, density=0.5, rng=0).n2nskip["0_2"].norm
    assert norm is not model[3]
    assert norm.eps == 0.2
    assert torch.equal(norm.weight, torch.ones(7))
    assert torch.equal(norm.running_mean, torch.zeros(7))


@pytest.mark.parametrize("missing", [1, 2])
def test_a_branch_of_fewer_positions_is_refused(missing):
    with pytest.raises(ValueError, match="smaller"):
        add_branch(torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 5 - missing))


def test_the_skips_room_is_counted_exactly():
    for share, fits in ((20 / 48, True), (21 / 48, False)):
        model = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 2))  # 480
        if fits:
            egt.add_n2nskip(model, density=0.1, share=share, rng=0)
            assert model.n2nskip["0_2"].mask.all()
        else:
            with pytest.raises(eg.GenerationError, match=r"the skips hold 20 weights, .* are 21"):
                egt.add_n2nskip(model, density=0.1, share=share, rng=0)


def test_what_is_taken_is_refused():
    model = nested()
    model.forward = model[0].forward
    with pytest.raises(ValueError, match="a forward of its own"):
        egt.add_n2nskip(model, density=0.5)
    for name, add in (("resskip", egt.add_resskip), ("n2nskip", lambda model: egt.add_n2nskip(model, density=0.5))):
        model = Three()
        setattr(model, name, "taken")
        with pytest.raises(ValueError, match=f"an attribute '{name}' already"):
            add(model)
        assert getattr(model, name) == "taken"


def test_identities_in_a_sparse_model():
    model = egt.sparsify(Three(), "random", density=0.5, exclude="b")
    egt.add_resskip(model, exclude="b")
    assert list(model.resskip) == ["1_3"]
    a1 = F.relu(model.a(x_of()))
    torch.testing.assert_close(model(x_of()), model.c(F.relu(model.b(a1))) + a1[:, :6])


@pytest.mark.parametrize("downsample", ["stride", "max_pool"])
def test_pooling_of_odd_sizes(downsample):
    model = nn.Sequential(nn.Conv2d(1, 4, 3, (1, 2), 1), nn.ReLU(), nn.Conv2d(4, 6, 3, (1, 2), 1))
    x = torch.randn(2, 1, 5, 7)
    egt.add_n2nskip(model, density=0.9, share=0.2, example_input=x, downsample=downsample, rng=0)
    weight = model.n2nskip["0_2"].weight if downsample == "stride" else model.n2nskip["0_2"][1].weight
    if downsample == "stride":
        skip = F.conv2d(x, weight, stride=(1, 4), padding=1)
    else:
        skip = F.conv2d(torch.stack([x[..., :4].amax(3), x[..., 4:].amax(3)], 3), weight, padding=1)
    torch.testing.assert_close(model(x), model[2](F.relu(model[0](x))) + F.relu(skip))


@pytest.mark.parametrize("downsample", ["stride", "max_pool"])
def test_pooling_to_a_size(downsample):
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 3)), nn.Conv2d(4, 6, 1))
    x = torch.randn(2, 1, 4, 3)
    egt.add_n2nskip(model, density=0.9, share=0.2, example_input=x, downsample=downsample, rng=0)
    pooled = x.reshape(2, 1, 2, 2, 3).mean(3) if downsample == "stride" else x.reshape(2, 1, 2, 2, 3).amax(3)
    skip = F.conv2d(pooled, model.n2nskip["0_2"][1].weight)
    z = model[3](model[2](F.relu(model[0](x))))
    torch.testing.assert_close(model(x), z + F.relu(skip))
    with pytest.raises(ValueError, match=r"how positions are pooled .* give example_input"):
        egt.add_n2nskip(nn.Sequential(*map(copy.deepcopy, egt.bake(model)[:4])), density=0.9, share=0.2)


def test_more_positions_than_there_were_are_refused():
    for layer, message in (
        (nn.Conv2d(4, 6, 3, padding=3), r"\(5, 7\) positions, every \(1, 1\), are fewer than \(9, 11\)"),
        (nn.ConvTranspose2d(4, 6, 2, 2), "more positions where it ends"),
    ):
        model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), layer)
        with pytest.raises(ValueError, match=f"no skip from layer 0 to '2' is possible: .*{message}"):
            egt.add_n2nskip(model, density=0.5, example_input=torch.randn(2, 1, 5, 7))


def test_a_skip_ends_at_a_layer_with_the_weight_of_another():
    model = nn.Sequential(*[nn.Linear(9, 9) for _ in range(4)])
    model[3].weight = model[1].weight
    egt.add_n2nskip(model, density=0.5, rng=0)
    edges = {name: skip.graph.n_edges for name, skip in model.n2nskip.items()}
    assert list(edges) == ["0_2", "1_3", "2_4"]
    assert sum(edges.values()) == 61  # half of half of 3 * 81
    assert max(edges.values()) - min(edges.values()) <= 1


def test_the_last_norm_before_the_non_linearity_counts():
    class Post(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.inner = nn.Linear(9, 9), nn.BatchNorm1d(9, eps=0.1)

        def forward(self, x):
            return x + self.inner(self.linear(x))

    model = nn.Sequential(Post(), Post(), nn.BatchNorm1d(9, eps=0.2), nn.ReLU(), nn.Linear(9, 4))
    egt.add_n2nskip(model, density=0.5, example_input=x_of(), rng=0)
    assert model.n2nskip["0_2"].norm.eps == 0.2
    a1 = model[0](x_of())
    a2 = F.relu(model[2](model[1](a1)) + model.n2nskip["0_2"](x_of()))
    torch.testing.assert_close(model(x_of()), model[4](a2) + model.n2nskip["1_3"](a1))


class Squeezing(nn.Module):
    """A block whose way through the mean of all positions has more layers than the one past it."""

    def __init__(self, mean):
        super().__init__()
        self.mean, self.conv = mean, nn.Conv2d(4, 4, 3, padding=1)
        self.squeeze, self.excite, self.scale = (nn.Conv2d(4, 4, 1) for _ in range(3))

    def forward(self, x):
        h = self.conv(x)
        return x + h * torch.sigmoid(self.scale(F.relu(self.excite(F.relu(self.squeeze(self.mean(h)))))))


def mean_of(x):
    return x.mean((2, 3), keepdim=True)


@pytest.mark.parametrize("mean", [mean_of, nn.AdaptiveAvgPool2d(1), lambda x: F.adaptive_avg_pool2d(x, 1)])
def test_the_main_path_is_past_what_pools_all_positions(mean):
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Squeezing(mean), Squeezing(mean))
    egt.add_n2nskip(model, density=0.1, share=0.3, example_input=torch.randn(2, 1, 6, 5), rng=0)
    assert [skip.kernel_size for skip in model.n2nskip.values()] == [(3, 3), (3, 3)]


class Every(nn.Module):
    """Convolutions with something between them."""

    def __init__(self, between):
        super().__init__()
        self.between, self.first, self.last = between, nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.last(self.between(self.first(x)))


@pytest.mark.parametrize(
    ("between", "stride"),
    [
        (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 2)),
        (lambda x: F.max_pool2d(x, kernel_size=3, stride=2, padding=1), (2, 2)),
        (lambda x: F.avg_pool2d(x, 2), (2, 2)),
        (lambda x: x[..., ::2], None),
    ],
)
def test_steps_between_positions(between, stride):
    x = torch.randn(2, 1, 6, 8)
    model = egt.add_n2nskip(Every(between), density=0.9, share=0.1, example_input=x, rng=0)
    skip = model.n2nskip["0_2"]
    if stride is None:  # of no fixed number: averaged to the size
        torch.testing.assert_close(skip[0](x), x.reshape(2, 1, 6, 4, 2).mean(4))
    else:
        assert skip.stride == stride


def test_a_depthwise_convolution_is_no_layer_of_its_own():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, 2, 1, groups=4), nn.ReLU(), nn.Conv2d(4, 6, 1))
    model.append(nn.Conv2d(6, 5, 1))
    egt.add_n2nskip(model, density=0.5, rng=0)
    assert {name: skip.stride for name, skip in model.n2nskip.items()} == {"0_2": (2, 2), "1_3": (1, 1)}


class Doubling(nn.Module):
    inplace = True  # what it means is its own affair

    def forward(self, x):
        return 2 * x


class Doubled(Three):
    def __init__(self):
        super().__init__()
        self.twice = Doubling()

    def inner(self, x):
        a = super().inner(x)
        return self.twice(a) - a


def test_only_modules_of_torch_are_trusted_to_write_in_place():
    model = egt.add_n2nskip(Doubled(), density=0.5, example_input=x_of(), rng=0)
    torch.testing.assert_close(model(x_of()), with_skips(model, x_of(), F.relu(model.a(x_of()))))
