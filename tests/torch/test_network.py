"""A model read as a graph: against loops over modules, and against which outputs inputs can move."""

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from tests.torch.torchvision_shim import timm, torchvision

REDUCE = {
    "l1": lambda kernel: np.abs(kernel).sum(),
    "l2": lambda kernel: np.sqrt((kernel**2).sum()),
    "max": lambda kernel: np.abs(kernel).max(),
    "top_left": lambda kernel: np.abs(kernel).ravel()[0],
}


class Residual(nn.Module):
    """A stem, a block with an identity, a block with a convolution beside it, a gate, and a head."""

    def __init__(self, width=6, density=None):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.a1, self.a2 = nn.Conv2d(width, 5, 3, padding=1), nn.Conv2d(5, width, 1)
        self.b1, self.b2, self.down = nn.Conv2d(width, 5, 1), nn.Conv2d(5, 8, 3, padding=1), nn.Conv2d(width, 8, 1)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Linear(8, 4)
        if density is not None:
            egt.sparsify(self, "random", density=density, rng=0)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.a2(torch.relu(self.a1(x))))
        x = self.b2(torch.relu(self.b1(x))) + self.down(x)
        x = x * torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def reached(model, x, n_inputs, seeds=3):
    """Which output units some change of an input channel moves, with smooth activations and other random weights."""
    moved = 0
    for seed in range(seeds):
        torch.manual_seed(seed)
        x = torch.randn(x.shape, dtype=torch.float64).requires_grad_()
        out = model(x)
        rows = []
        for k in range(out.shape[1]):
            (gradient,) = torch.autograd.grad(out[0, k].sum(), x, retain_graph=True)
            rows.append(gradient[0].reshape(n_inputs, -1).abs().sum(dim=1))
        moved = moved + torch.stack(rows, dim=1)
    return moved.numpy() > 0


def assert_reaches_what_gradients_do(model, x):
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
        for layer in egt.masked_modules(model).values():
            layer.zero_off_mask()
    net = egt.network_graph(model, x.double())
    paths = eg.reachability(net)
    assert paths.shape == (net.widths[0], net.widths[-1])
    np.testing.assert_array_equal(
        np.asarray(paths.todense() if hasattr(paths, "todense") else paths) > 0, reached(model, x, net.widths[0])
    )
    return net


# --- chains ---


@pytest.mark.parametrize("edge", REDUCE)
@pytest.mark.parametrize("sparse", [False, True])
def test_chains_are_loops_over_modules(edge, sparse):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, (1, 3)),
        nn.GELU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6 * 4 * 2, 10), nn.Tanh(), nn.Linear(10, 4),
    )  # fmt: skip
    if sparse:
        egt.sparsify(model, "regular", density=0.4, rng=0)
    net = egt.network_graph(model, torch.randn(2, 3, 8, 8), edge=edge)
    assert (net.widths, net.names) == ((3, 8, 6, 10, 4), ("input", "0", "4", "8", "10"))
    assert list(net.blocks) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    for key, name in zip(net.blocks, ("0", "4", "8", "10"), strict=True):
        layer, block = model.get_submodule(name), net.blocks[key]
        n_left, n_right = block.n_left, block.n_right
        kernels = layer.weight.detach().double().numpy().reshape(n_right, n_left, -1)
        masks = (
            np.ones_like(kernels) if not sparse else layer.mask.expand_as(layer.weight).numpy().reshape(kernels.shape)
        )
        edges = {
            (i, j): REDUCE[edge](kernels[j, i]) for i in range(n_left) for j in range(n_right) if masks[j, i].any()
        }
        assert [tuple(e) for e in block.edges.tolist()] == sorted(edges)
        np.testing.assert_allclose(net.weights[key], [edges[tuple(e)] for e in block.edges.tolist()], rtol=1e-6)


def test_the_pattern_is_the_mask_s_whatever_the_weights():
    model = egt.sparsify(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)), "regular", density=0.5, rng=0)
    with torch.no_grad():
        model[0].weight.zero_()
    net = egt.network_graph(model, torch.ones(1, 8))
    assert net.layers == (model[0].graph, model[2].graph)
    assert (net.weights[0, 1] == 0).all()
    assert egt.network_graph(model, torch.ones(1, 8), edge="binary").weights is None
    report = eg.report(net)  # and all of the core applies
    assert "0" in str(report)
    assert eg.heat_distance(net, net, 1.0)[0] == 0


def test_groups_depthwise_and_transposed():
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 6, 2, groups=2, stride=2)
    )
    net = egt.network_graph(model, torch.randn(1, 4, 9, 9))
    grouped, depthwise, transposed = (block.biadjacency.toarray() for block in net.layers)
    np.testing.assert_array_equal(grouped, np.kron(np.eye(2), np.ones((2, 4))))
    np.testing.assert_array_equal(depthwise, np.eye(8))
    np.testing.assert_array_equal(transposed, np.kron(np.eye(2), np.ones((4, 3))))
    weight = model[2].weight.detach().abs().sum((2, 3)).numpy()
    np.testing.assert_allclose(net.weights[2, 3], weight.ravel(), rtol=1e-6)
    for pattern in ("channel", "weight"):
        sparse = egt.sparsify(model, "random", density=0.5, pattern=pattern, exclude="1", rng=0)
        net = egt.network_graph(sparse, torch.randn(1, 4, 9, 9))
        for k in (0, 2):
            layer = sparse[k]
            mask = layer.layout.graph(layer.mask.flatten(2).any(dim=2)[..., None, None])
            assert net.layers[k] == mask
        egt.bake(sparse)


def test_pixels_of_one_channel_are_one_kernel():
    model = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
    net = egt.network_graph(model, torch.randn(1, 1, 28, 28))
    assert net.widths == (1, 10)
    np.testing.assert_allclose(net.weights[0, 1], model[1].weight.detach().abs().sum(dim=1), rtol=1e-5)
    assert egt.network_graph(model, torch.randn(1, 28 * 28)).widths == (784, 10)


# --- branches ---


def test_additions_products_and_parallel_branches():
    model = Residual()
    net = egt.network_graph(model, torch.randn(1, 3, 8, 8))
    # The branch beside the second block has become one with its last layer.
    assert net.names == ("input", "stem", "a1", "a2", "b1", "b2", "squeeze", "excite", "head")
    identity = eg.BipartiteGraph.from_edges(6, 6, [(i, i) for i in range(6)])
    assert net.blocks[1, 3] == identity
    assert (net.weights[1, 3] == 1).all()
    assert net.blocks[3, 5].n_edges == 48
    assert net.blocks[4, 5].n_edges == 40
    assert (net.weights[5, 7] == 1).all()  # what a gate scales
    assert net.blocks[5, 7].n_edges == 8


@pytest.mark.parametrize("density", [None, 0.15, 0.3])
def test_reachability_is_that_of_gradients(density):
    class Smooth(Residual):
        def forward(self, x):
            x = torch.tanh(self.stem(x))
            x = torch.tanh(x + self.a2(torch.tanh(self.a1(x))))
            x = self.b2(torch.tanh(self.b1(x))) + self.down(x)
            x = x * torch.sigmoid(self.excite(torch.tanh(self.squeeze(x.mean((2, 3), keepdim=True)))))
            return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))

    assert_reaches_what_gradients_do(Smooth(density=density), torch.randn(1, 3, 8, 8))


def test_concatenations_shuffles_slices_and_padding():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 6, 1, groups=2)
            self.c, self.head = nn.Conv2d(5, 4, 1), nn.Linear(8, 3, bias=False)
            egt.sparsify(self, "random", density=0.4, rng=1)

        def forward(self, x):
            left, right = self.a(x).chunk(2, dim=1)
            y = torch.cat([torch.tanh(right), self.b(x)[:, 1:4]], dim=1)
            y = nn.functional.pad(left, (0, 0, 0, 0, 1, 1)) + torch.tanh(self.c(y))
            n, _, h, w = y.shape
            y = torch.cat([y, x], dim=1).view(n, 2, 4, h, w).transpose(1, 2).reshape(n, 8, h, w)
            return self.head(y.mean(dim=[-2, -1]))

    net = assert_reaches_what_gradients_do(Mixed(), torch.randn(1, 4, 3, 3))
    assert net.names == ("input", "a", "b", "c", "head")
    assert net.blocks[1, 3].n_edges >= 2  # channels 0 and 1 of a, padded, and what c reads of the others


def test_a_sum_of_what_was_read_already_gets_nodes_of_its_own():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.d = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            a, b = self.a(x), self.b(x)
            return torch.cat([self.c(a), self.c(b), self.d(a + b)], dim=1)

    net = egt.network_graph(Net(), torch.ones(1, 3))
    assert net.names == ("input", "a", "b", "c", "c#2", "sum", "d")
    assert net.blocks[1, 5].n_edges == net.blocks[2, 5].n_edges == 4


def test_parallel_edges_add():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x):
            return self.a(x) + self.b(x)

    model = Twice()
    net = egt.network_graph(model, torch.ones(1, 3))
    assert net.widths == (3, 4)
    expected = (model.a.weight.abs() + model.b.weight.abs()).detach().T.numpy().ravel()
    np.testing.assert_allclose(net.weights[0, 1], expected, rtol=1e-6)


# --- real models ---

MODELS = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), 18 + 1),
    "resnet50": (lambda: torchvision.models.resnet50(num_classes=10), 50 + 1),
    "vgg11": (lambda: _small_vgg(), 11),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=10), 53 + 1),
    "densenet121": (lambda: torchvision.models.densenet121(num_classes=10), 121 + 1),
    "efficientnet_b0": (lambda: torchvision.models.efficientnet_b0(num_classes=10), None),
    "regnety_002": (lambda: timm.create_model("regnety_002", num_classes=10), None),
}


def _small_vgg():
    model = torchvision.models.vgg11(num_classes=10)
    model.avgpool = nn.AdaptiveAvgPool2d(1)
    model.classifier = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))
    return model


@pytest.mark.parametrize(("make", "n_layers"), MODELS.values(), ids=MODELS)
def test_real_models(make, n_layers):
    torch.manual_seed(0)
    model = egt.sparsify(make(), "random", density=0.1, rng=0)
    net = egt.network_graph(model, torch.randn(1, 3, 64, 64))
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert net.widths[0] == 3
    assert net.widths[-1] == 10
    assert n_layers is None or len(net.widths) == n_layers
    merged = set(layers) - set(net.names)  # branches that ended in another layer's nodes
    assert all("downsample" in name for name in merged)
    identities = sum(block.n_edges for key, block in net.blocks.items() if (net.weights[key] == 1).all())
    parameters = sum(
        layer.layout.shape.n_pairs and int(layer.mask.count_nonzero()) if isinstance(layer, egt.Masked) else
        layer.weight.numel() // (layer.weight[0, 0].numel() or 1)
        for layer in layers.values()
    )  # fmt: skip
    assert net.n_edges <= parameters + identities
    assert net.n_edges >= 0.95 * parameters
    assert eg.heat_signature(net, 1.0).values.shape == (1, net.n_nodes)


def test_what_cannot_be_followed_is_named():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    class Products(nn.Module):
        def forward(self, x):
            return torch.bmm(x, x.transpose(1, 2))

    class Sums(nn.Module):
        def forward(self, x):
            return x.sum(dim=1)

    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Linear(5, 5)

        def forward(self, x):
            return self.tokens(x)

    for model, x, message in (
        (Attention(), torch.ones(1, 5, 8), r"'multi_head_attention_forward' in 'attention' \(MultiheadAttention\)"),
        (nn.Sequential(Products()), torch.ones(1, 4, 4), r"through 'bmm' in '0' \(Products\)"),
        (Sums(), torch.ones(1, 4, 4), r"through 'sum' in '' \(Sums\)"),
        (Positions(), torch.ones(1, 4, 5), r"'linear', across positions, in 'tokens' \(Linear\)"),
    ):
        with pytest.raises(ValueError, match=f"channels cannot be followed .*{message}"):
            egt.network_graph(model, x)
    with pytest.raises(ValueError, match="edge must be one of 'l1', 'l2'"):
        egt.network_graph(nn.Linear(3, 3), torch.ones(1, 3), edge="l3")
    for x in (torch.ones(3, dtype=torch.int64), torch.ones(3), None, []):
        with pytest.raises(ValueError, match=r"example_input must be floats of shape \(batch, channels, ...\), got"):
            egt.network_graph(nn.Linear(3, 3), x)
    with pytest.raises(ValueError, match="lacks its batch dimension: 'conv2d' gets 3 dimensions"):
        egt.network_graph(nn.Conv2d(3, 3, 1), torch.ones(3, 5, 5))


def test_reading_leaves_the_model_alone():
    model = Residual().train()
    model.register_buffer("state", torch.zeros(3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrong = nn.Linear(3, 3)
    state = torch.get_rng_state()
    egt.network_graph(model, torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="the model does not compute on example_input: mat1 and mat2"):
        egt.network_graph(wrong, torch.ones(1, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_weights_that_are_shared_or_called_twice():
    layer = nn.Linear(4, 4)
    net = egt.network_graph(nn.Sequential(layer, nn.ReLU(), layer), torch.ones(1, 4))
    assert net.names == ("input", "0", "0#2")
    assert net.layers[0] == net.layers[1]
