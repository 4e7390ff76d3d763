"""Models read as graphs: odd ones, against gradients, and what must be refused rather than read wrongly."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import expandergraphs_torch as egt
from tests.torch.test_network import assert_reaches_what_gradients_do
from tests.torch.torchvision_shim import torchvision


class Net(nn.Module):
    """Some convolutions of four channels with few edges, and a function for the forward."""

    def __init__(self, forward, widths=(4, 4, 4, 4), density=0.3, seed=0):
        super().__init__()
        self.c = nn.ModuleList(nn.Conv2d(4, width, 1) for width in widths)
        self._f = forward
        egt.sparsify(self, "random", density=density, rng=seed)

    def forward(self, x):
        return self._f(self, x)


def in_place_sum(m, x):
    y = m.c[0](x)
    y += m.c[1](torch.tanh(x))
    z = m.c[2](y.tanh_())
    z += y
    return m.c[3](z.add_(x).sigmoid_())


def three_branches_joined(m, x):
    return m.c[3](torch.cat([m.c[0](x), x, torch.tanh(m.c[1](x))], dim=1)[:, 2:10:2])


def split_and_shuffle(m, x):
    a, b = torch.tanh(m.c[0](x)).split(2, dim=1)
    y = torch.cat((b, a), 1)
    return m.c[2](torch.channel_shuffle(y, 2)) + F.pixel_unshuffle(F.pixel_shuffle(m.c[1](x), 2), 2)


def halves_of_one_layer_meet(m, x):
    a, b = torch.tanh(m.c[0](x)).chunk(2, dim=1)
    return m.c[1](torch.cat([a * b, a], dim=1))


def halves_of_one_layer_meet_once(m, x):
    a, b = torch.tanh(m.c[0](x)).chunk(2, dim=1)
    return m.c[1](torch.cat([a * b, x[:, :2]], dim=1))


def one_gate_for_all_channels(m, x):
    y = torch.tanh(m.c[0](x))
    return m.c[1](y * torch.sigmoid(m.c[2](x)[:, :1]))


def a_gate_made_by_one_channel(m, x):
    y = torch.tanh(m.c[0](x))
    return m.c[1](y * torch.sigmoid(m.c[2](y)))


def a_summand_is_read_again(m, x):
    a, b = torch.tanh(m.c[0](x)), torch.tanh(m.c[1](x))
    s = a + b
    return torch.cat([m.c[2](b), m.c[3](s)], dim=1)


def what_was_made_of_a_summand_is_read_again(m, x):
    a = m.c[0](x)
    activated = torch.tanh(a)
    s = a + m.c[1](x)
    return m.c[2](activated) + torch.cat([m.c[3](s)[:, :2], activated[:, 2:]], dim=1)


def sums_of_sums(m, x):
    a, b, c = (torch.tanh(layer(x)) for layer in m.c[:3])
    first = a + b
    second = first + c
    return m.c[3](torch.cat([first[:, :2], second[:, 2:]], dim=1)) + b


def the_same_layer_twice(m, x):
    return m.c[1](torch.tanh(m.c[0](torch.tanh(m.c[0](x)))))


def functional_layers(m, x):
    y = F.conv2d(torch.tanh(m.c[0](x)), weight=m.c[1].masked_weight(), groups=1)
    y = m.c[2].forward(torch.tanh(y))
    return torch.flatten(input=y, start_dim=2).unflatten(2, tuple(y.shape[2:]))


def padded_and_shifted(m, x):
    y = F.pad(torch.tanh(m.c[0](x))[:, :2], (0, 0, 0, 0, 1, 1), "constant", 0) + m.c[1](x)
    return m.c[2](F.pad(y, (0, 0, 0, 0, 1, -1))) + torch.cat([x[:, :1], x.new_zeros(x[:, 1:].shape)], axis=1)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def a_function_of_autograd(m, x):
    return m.c[2](m.c[1](x) + Square.apply(m.c[0](x)))


def in_place_through_a_view(m, x):
    y = m.c[0](x)
    y.flatten(2).sigmoid_()
    return m.c[1](y)


def alone_and_in_a_sum(m, x):
    a, b, nothing = m.c[0](x)[:, :2], m.c[1](x)[:, :2], torch.zeros_like(x[:, :2])
    return m.c[2](torch.tanh(torch.cat([b, b], 1) + torch.cat([a, nothing], 1)))


def control_flow(m, x):
    for k, layer in enumerate(m.c):
        x = torch.tanh(layer(x)) if k % 2 and x.shape[1] == 4 else layer(x).permute(0, 2, 3, 1).movedim(-1, 1)
    return x


FORWARDS = [
    in_place_sum, three_branches_joined, split_and_shuffle, halves_of_one_layer_meet, one_gate_for_all_channels,
    a_gate_made_by_one_channel, a_summand_is_read_again, what_was_made_of_a_summand_is_read_again, sums_of_sums,
    the_same_layer_twice, functional_layers, padded_and_shifted, a_function_of_autograd, in_place_through_a_view,
    alone_and_in_a_sum, control_flow, halves_of_one_layer_meet_once,
]  # fmt: skip


@pytest.mark.parametrize("forward", FORWARDS, ids=lambda forward: forward.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_reachability_is_that_of_gradients(forward, seed):
    class Pooled(nn.Module):
        """A last layer keeps outputs apart, and a unit of it reads what its pixels do."""

        def __init__(self):
            super().__init__()
            self.body = Net(forward, seed=seed)
            self.head = nn.Conv2d(8 if forward is a_summand_is_read_again else 4, 5, 1)
            egt.sparsify(self, "random", density=0.3, include="head", rng=seed)

        def forward(self, x):
            return self.head(self.body(x)).mean(dim=(2, 3))

    assert_reaches_what_gradients_do(Pooled(), torch.randn(1, 4, 2, 2))


def test_what_is_read_again_gets_nodes_of_its_own_only_there():
    net = egt.network_graph(Net(a_summand_is_read_again, density=0.5), torch.randn(1, 4, 2, 2))
    assert net.names == ("input", "c.0", "c.1", "sum", "c.2", "c.3")
    assert (net.weights[1, 3] == 1).all()
    assert (net.weights[2, 3] == 1).all()


# --- refused ---


@torch.library.custom_op("tests::squared", mutates_args=())
def squared(x: torch.Tensor) -> torch.Tensor:
    return x**2


squared.register_autograd(lambda ctx, gradient: gradient)


class ByNumPy(Square):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(x.detach().numpy() ** 2)


def writes_into_a_part(m, x):
    y = m.c[0](x)
    y[:, :2] = m.c[1](x)[:, 2:]
    return m.c[2](y)


def after_a_failure(m, x):
    with contextlib.suppress(RuntimeError):
        m.c[0](x[:, :3])
    return m.c[0](x).sum(dim=1)


def adds_to_a_part(m, x):
    y = m.c[0](x)
    y[:, :2].add_(m.c[1](x)[:, 2:])
    return m.c[2](y)


def adds_to_a_part_of_zeros(m, x):
    y = torch.zeros(1, 4, 2, 2)
    y[:, 1:].add_(m.c[1](x)[:, 1:])
    return m.c[2](y)


def weights_from_activations(m, x):
    weight = m.c[0](x).mean(dim=(2, 3))
    return F.linear(torch.ones(2, 4), weight)


REFUSED = {
    "an operator of one's own": (lambda m, x: m.c[1](squared(m.c[0](x))), "through 'squared.default' in ''"),
    "NumPy": (lambda m, x: m.c[1](ByNumPy.apply(m.c[0](x))), r"'conv2d', of what was made .* in 'c.1'"),
    "NumPy beside a branch": (lambda m, x: x + ByNumPy.apply(m.c[0](x)), r"'(__add__|add)', of what was made where"),
    "NumPy at the end": (lambda m, x: ByNumPy.apply(m.c[0](x)), "to the output, of what was made where calls"),
    "NumPy in one of two outputs": (lambda m, x: (m.c[0](x), ByNumPy.apply(x)), "to the output, of what was made"),
    "after a layer that failed": (after_a_failure, "through 'sum' in ''"),
    "more dimensions": (lambda m, x: m.c[0](x).mean((2, 3)) * torch.ones(2, 1, 4), "through '(__mul__|mul)' in ''"),
    "a power": (lambda m, x: m.c[0](x) ** m.c[1](x), "through '(__pow__|pow)' in ''"),
    "mirrored channels": (lambda m, x: F.pad(m.c[0](x).mean((2, 3)), (1, 1), mode="reflect"), "through 'pad' in ''"),
    "writes into a part": (writes_into_a_part, "through '__setitem__' in ''"),
    "adds to a part": (adds_to_a_part, "'conv2d', of a tensor that was changed in place through another, in 'c.2'"),
    "adds to a part of zeros": (adds_to_a_part_of_zeros, "'conv2d', of what was made where calls cannot be watched"),
    "weights from activations": (weights_from_activations, "through 'linear' in ''"),
    "einsum": (lambda m, x: torch.einsum("bchw,dc->bdhw", x, m.c[0].weight[:, :, 0, 0]), "through 'einsum' in ''"),
    "a choice by values": (lambda m, x: m.c[0](x) if x.sum() > 0 else x, "through 'sum' in ''"),
    "pooled channels": (lambda m, x: F.avg_pool1d(m.c[0](x)[:, :, 0, 0], 3, 1, 1), "through 'avg_pool1d' in ''"),
    "a constant": (lambda m, x: torch.ones(1, 4), "does not depend on the input"),
}  # fmt: skip


@pytest.mark.parametrize(("forward", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_followed_is_refused(forward, message):
    with pytest.raises(ValueError, match=f"channels cannot be followed .*{message}"):
        egt.network_graph(Net(forward), torch.randn(1, 4, 2, 2))


def test_lazy_layers_are_refused_and_stay_so():
    for model in (nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(2)), nn.Sequential(nn.LazyBatchNorm1d(affine=False))):
        with pytest.raises(ValueError, match=r"'(1.weight|0.running_mean)' is not initialised; run the model once"):
            egt.network_graph(model, torch.ones(1, 3))
        assert any(isinstance(module, nn.modules.lazy.LazyModuleMixin) for module in model)


def test_nothing_of_the_model_or_the_input_is_changed():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=None, affine=False)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return F.dropout(self.norm(self.layer(x.relu_())), training=True)

    model = Counting().train()
    model.norm.eval()
    model.layer.weight.grad = torch.ones(4, 4)
    model.layer.bias.requires_grad_(False)
    before, state = {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.get_rng_state()
    x = torch.full((2, 4), -1.0)
    graphs = []
    for outer in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with outer():
            graphs.append(egt.network_graph(model, x))
            assert torch.is_grad_enabled() == (outer is torch.enable_grad)
    assert all(np.array_equal(graph.weights[0, 1], graphs[0].weights[0, 1]) for graph in graphs)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert (x == -1).all()
    assert not x.requires_grad
    assert (model.training, model.layer.training, model.norm.training) == (True, True, False)
    assert (model.layer.weight.requires_grad, model.layer.bias.requires_grad) == (True, False)
    assert (model.layer.weight.grad == 1).all()


def test_in_inference_mode_and_without_gradients_it_is_the_same():
    x = torch.randn(1, 4, 2, 2)
    for outer in (torch.no_grad, torch.inference_mode):
        for forward, message in (REFUSED["NumPy beside a branch"], REFUSED["NumPy at the end"]):
            model = Net(forward)
            with pytest.raises(ValueError, match=message), outer():
                egt.network_graph(model, x)
    with torch.inference_mode():
        model, made_here = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), torch.ones(1, 4)
    assert egt.network_graph(model, made_here).widths == (4, 3, 2)


def test_a_batch_of_one_is_enough_in_training_too():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.norm, self.b = nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)

        def forward(self, x):
            x = self.norm(self.a(x))
            return (self.b(x), x) if self.training else self.b(x)

    model = Auxiliary().train()
    assert egt.network_graph(model, torch.ones(1, 4)).widths == (4, 3, 2)
    assert model.training


# --- weights ---


@pytest.mark.parametrize(
    ("edge", "reduce"),
    {"max": lambda w: w.abs().amax(2), "top_left": lambda w: w[..., 0].abs(), "l2": lambda w: w.norm(dim=2)}.items(),
)
def test_positions_that_lie_apart_are_one_kernel_too(edge, reduce):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.fc = nn.RMSNorm(3), nn.Linear(12, 5)

        def forward(self, x):
            return self.fc(self.norm(x.flatten(2).mT).flatten(1))

    model = Last()
    net = egt.network_graph(model, torch.randn(1, 3, 2, 2), edge=edge)
    expected = reduce(model.fc.weight.detach().reshape(5, 4, 3).transpose(1, 2)).T.double().numpy()
    np.testing.assert_allclose(net.weights[0, 1].reshape(3, 5), expected, rtol=1e-6)


def test_two_inputs_and_half_precision():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(2, 4)

        def forward(self, x, y):
            return self.a(x) + self.b(y)

    model = Two().bfloat16()
    net = egt.network_graph(model, (torch.ones(1, 3).bfloat16(), torch.ones(1, 2).bfloat16()), edge="l2")
    assert net.names == ("input", "input.1", "a")
    np.testing.assert_array_equal(net.weights[1, 2].reshape(2, 4), model.b.weight.detach().abs().double().T.numpy())


# --- torchvision's other networks ---

CONCATENATING = {
    "shufflenet_v2_x0_5": (58, 64), "googlenet": (59, 64), "inception_v3": (96, 96), "squeezenet1_1": (27, 64),
    "mnasnet0_5": (54, 64),
}  # fmt: skip


@pytest.mark.parametrize(("name", "counts"), CONCATENATING.items(), ids=CONCATENATING)
def test_networks_of_torchvision(name, counts):
    aux = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    more = {"init_weights": False} if aux else {}
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=7, **aux, **more)
    net = egt.network_graph(model, torch.randn(1, 3, counts[1], counts[1]))
    kernels = sum(layer.weight[..., 0, 0].numel() if layer.weight.ndim == 4 else layer.weight.numel()
                  for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d))  # fmt: skip
    identities = sum(block.n_edges for key, block in net.blocks.items() if (net.weights[key] == 1).all())
    assert net.n_edges - identities == kernels
    assert net.widths[-1] == 7
    assert len(net.widths) == counts[0]


class Drawn(nn.Module):
    """A program drawn at random: each line reads what earlier ones made, some of it again and again."""

    def __init__(self, seed, n_lines=9):
        super().__init__()
        draw = np.random.default_rng(seed)
        self.lines = [(int(draw.integers(8)), *draw.integers(k + 1, size=2).tolist()) for k in range(n_lines)]
        self.c = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in self.lines)
        self.head = nn.Conv2d(4, 5, 1)
        egt.sparsify(self, "random", density=0.25, rng=seed)

    def forward(self, x):
        made = [x]
        for layer, (what, i, j) in zip(self.c, self.lines, strict=True):
            a, b = made[i], made[j]
            if what <= 1:
                y = layer(torch.tanh(a))
            elif what == 2:
                y = a + b
            elif what == 3:
                y = torch.tanh(a) * torch.sigmoid(layer(b)[:, :1])
            elif what == 4:
                y = torch.cat([b[:, 2:], a[:, 1:3]], dim=1)
            elif what == 5:
                y = torch.cat([a.chunk(2, 1)[0] + b.chunk(2, 1)[1], torch.sigmoid(b[:, 2:])], dim=1)
            elif what == 6:
                y = layer(a)
                y += torch.tanh(b)
            else:
                y = F.pad(a[:, :2], (0, 0, 0, 0, 1, 1), "constant", 0) + torch.sigmoid(b.flip(1))
            made.append(y)
        return self.head(made[-1] + made[-3]).mean(dim=(2, 3))


@pytest.mark.parametrize("seed", range(20))
def test_programs_drawn_at_random(seed):
    assert_reaches_what_gradients_do(Drawn(seed), torch.randn(1, 4, 1, 2))
