"""Layers that compute sparsely, against the masked layers that they stand for."""

import copy
import io
import pickle
import re
from itertools import pairwise

import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch.sparse import build, convert, products
from expandergraphs_torch.sparse.build import why_not
from expandergraphs_torch.sparse.pattern import Pattern, Window
from expandergraphs_torch.sparse.products import executions


def mlp(*sizes, density=0.3, rng=0):
    torch.manual_seed(0)
    parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return egt.sparsify(nn.Sequential(*parts[:-1]), "random", density=density, rng=rng)


@pytest.fixture
def always(monkeypatch):
    """Every layer becomes sparse, whatever is measured."""
    monkeypatch.setattr(convert, "_measure", lambda layer, call: {"dense": 2e-3, "compiled": 1e-3, "operators": 3e-3})


# --- products ---

MASKS = {
    "random": torch.rand(7, 5, generator=torch.Generator().manual_seed(0)) < 0.4,
    "one row": torch.tensor([[True, False, True]]),
    "one column": torch.tensor([[True], [False], [True]]),
    "empty rows and columns": torch.eye(4, 6, dtype=torch.bool) & (torch.arange(6) > 1),
    "full": torch.ones(3, 4, dtype=torch.bool),
    "nothing": torch.zeros(3, 4, dtype=torch.bool),
}
HOW = ["compiled", "operators"]


def test_the_kernels_compile_here():
    """Without them, the tests of "compiled" would be those of "operators"."""
    assert why_not() == ""
    assert sorted(executions(torch.ones(1), Pattern.of(MASKS["random"]), Window())) == HOW


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("how", HOW)
def test_products_and_their_derivatives_of_two_orders(mask, n, how):
    parts, linear = list(Pattern.of(mask)), Window().numbers
    generator = torch.Generator().manual_seed(1)
    x, dy, values, bias = (
        torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in [(n, mask.shape[1]), (n, mask.shape[0]), (int(mask.sum()),), (mask.shape[0],)]
    )
    dense = torch.zeros(mask.shape, dtype=torch.float64)
    dense[mask] = values.detach()

    def forward(x, values, bias):
        return products.forward(x, values, bias, parts, linear, how)

    def to_input(dy, values):
        return products.to_input(dy, values, parts, linear, x.shape, how)

    def to_values(dy, x):
        return products.to_values(dy, x, parts, linear, how)

    torch.testing.assert_close(forward(x, values, bias), x @ dense.T + bias)
    torch.testing.assert_close(to_input(dy, values), dy @ dense)
    torch.testing.assert_close(to_values(dy, x), (dy.T @ x)[mask])
    torch.testing.assert_close(
        products.backward(dy, x, values, parts, linear, how), (to_input(dy, values), to_values(dy, x))
    )
    if n and values.numel():
        for product, inputs in ((forward, (x, values, bias)), (to_input, (dy, values)), (to_values, (dy, x))):
            assert torch.autograd.gradcheck(product, inputs)
            assert torch.autograd.gradgradcheck(product, inputs)


@pytest.mark.parametrize("how", HOW)
def test_products_are_operators_that_pytorch_accepts(how):
    mask = torch.rand(6, 2, 2, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    parts, window = list(Pattern.of(mask, groups=2)), Window((2, 3), (1, 2), (0, 1), (1, 1))
    x, values, bias = torch.randn(2, 4, 5, 6), torch.randn(int(mask.sum())), torch.randn(6)
    dy, numbers = torch.randn(2, 6, *window.output((5, 6))), window.numbers
    for tensor in (x, values, bias, dy):
        tensor.requires_grad_()
    operators = torch.ops.expandergraphs
    torch.library.opcheck(operators.forward, (x, values, bias, parts, numbers, how))
    torch.library.opcheck(operators.to_input, (dy, values, parts, numbers, x.shape, how))
    torch.library.opcheck(operators.to_values, (dy, x, parts, numbers, how))
    torch.library.opcheck(operators.backward, (dy.detach(), x.detach(), values.detach(), parts, numbers, how))


@pytest.mark.parametrize(("family", "block", "expected"), [
    ("regular", 1, "gather of 1 x 1"), ("regular", 4, "gather of 4 x 4"),
    ("random", 4, None), ("left_regular", 1, None),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_gathering_where_all_rows_and_columns_are_alike(family, block, expected, kind):
    torch.manual_seed(0)
    plain = nn.Linear(48, 32) if kind == "linear" else nn.Conv2d(48, 32, 3, padding=1, stride=2)
    masked = egt.sparsify(nn.Sequential(plain), family, density=0.25, block=block, rng=0)[0]
    sparse = (egt.SparseLinear if kind == "linear" else egt.SparseConv2d).of(copy.deepcopy(masked))
    if expected and kind == "convolution":  # the taps of a channel are columns of the same rows
        rows = int(expected.split()[2])
        expected = f"gather of {rows} x {9 * rows}"
    assert sorted(executions(torch.ones(1), sparse.pattern, sparse.window())) == sorted(
        [*HOW, *([expected] if expected else [])]
    )
    sparse.how = expected or "operators"
    x = torch.randn(3, 48, *[5] * (2 * (kind == "convolution")), requires_grad=True)
    found = torch.autograd.grad(sparse(x).square().sum(), (sparse.values, sparse.bias, x))
    weight, bias, dx = torch.autograd.grad(masked(x).square().sum(), (masked.weight, masked.bias, x))
    torch.testing.assert_close(found, (weight[masked.mask.expand_as(weight)], bias, dx), rtol=1e-4, atol=1e-4)


def test_other_wiring_forgets_how_the_last_was_computed():
    first, second = (
        egt.SparseLinear(g) for g in (eg.random_regular(8, 8, 2, rng=0), eg.random_bipartite(8, 8, n_edges=19, rng=0))
    )
    first.how = "gather of 1 x 1"
    first.load_state_dict(second.state_dict())
    x = torch.randn(3, 8)
    torch.testing.assert_close(first(x), second(x))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sums_do_not_depend_on_the_number_of_threads(threads):
    torch.manual_seed(0)
    layer, x = egt.SparseLinear(eg.random_bipartite(50, 40, n_edges=300, rng=0)), torch.randn(200, 50)
    before = torch.get_num_threads()
    found = []
    try:
        for n in (1, threads):
            torch.set_num_threads(n)
            y = layer(x.requires_grad_())
            found.append((y, *torch.autograd.grad(y.square().sum(), (layer.values, x))))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *found))


# --- one layer ---


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4)])
def test_a_sparse_layer_is_the_masked_one(bias, shape):
    torch.manual_seed(0)
    masked = egt.MaskedLinear(eg.random_bipartite(4, 6, n_edges=9, rng=0), bias=bias)
    sparse = egt.SparseLinear.of(copy.deepcopy(masked))
    x = torch.randn(shape)
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, found = masked(one), sparse(two)
    torch.testing.assert_close(found, expected)
    expected.square().sum().backward()
    found.square().sum().backward()
    torch.testing.assert_close(two.grad, one.grad)
    torch.testing.assert_close(sparse.values.grad, masked.weight.grad[masked.mask])
    assert (sparse.graph, sparse.values.shape) == (masked.graph, (9,))
    assert torch.equal(sparse.weight, masked.weight)
    assert torch.equal(sparse.mask, masked.mask)
    back = sparse.to_masked()
    assert type(back) is egt.MaskedLinear
    assert torch.equal(back.weight, masked.weight)
    assert torch.equal(back.mask, masked.mask)
    torch.testing.assert_close(back.weight.grad, masked.weight.grad)


def test_a_sparse_layer_is_made_of_a_graph_too():
    g = eg.random_bipartite(40, 30, n_edges=300, rng=0)
    torch.manual_seed(0)
    masked = egt.MaskedLinear(g)
    torch.manual_seed(0)
    sparse = egt.SparseLinear(g)
    assert torch.equal(sparse.weight, masked.weight)
    assert repr(sparse) == repr(masked).replace("MaskedLinear", "SparseLinear")
    sparse.reset_parameters()
    bounds = g.right_degrees**-0.5
    weight = sparse.weight.detach().numpy()
    assert 0.95 < (abs(weight).max(axis=1) / bounds).max() <= 1 + 1e-6
    assert 0.8 < (abs(sparse.bias.detach().numpy()) / bounds).max() <= 1 + 1e-6


def test_training_is_that_of_the_masked_model(always):
    masked = mlp(12, 20, 16, 4)
    sparse = egt.to_sparse(copy.deepcopy(masked))
    x, y = torch.randn(64, 12), torch.arange(64) % 4
    losses = []
    for model in (masked, sparse):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, weight in egt.dense_state_dict(masked).items():
        torch.testing.assert_close(egt.dense_state_dict(sparse)[name], weight, rtol=1e-3, atol=1e-5)


def test_second_derivatives(always):
    masked = mlp(5, 6, 2).double()
    sparse = egt.to_sparse(copy.deepcopy(masked))
    found = []
    for model, key in ((masked, "weight"), (sparse, "values")):
        x = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        (gradient,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
        (curved,) = torch.autograd.grad(gradient.square().sum(), getattr(model[0], key))
        found.append(curved[masked[0].mask] if key == "weight" else curved)
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_and_autocast(always, dtype):
    x = torch.randn(8, 12)
    model = mlp(12, 20, 4)
    expected = copy.deepcopy(model).to(dtype)(x.to(dtype))
    sparse = egt.to_sparse(copy.deepcopy(model))
    tolerance = {"rtol": 0.05, "atol": 0.05} if dtype == torch.bfloat16 else {}
    found = copy.deepcopy(sparse).to(dtype)(x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, **tolerance)
    found.sum().backward()
    if dtype == torch.bfloat16:
        with torch.autocast("cpu", dtype=dtype):
            found = sparse(x)
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected, **tolerance)
        found.sum().backward()
        assert sparse[0].values.grad.dtype == torch.float32


def test_function_transforms(always):
    masked = mlp(12, 20, 4)
    sparse, x = egt.to_sparse(copy.deepcopy(masked)), torch.randn(8, 12)

    def gradient(model):
        def loss(parameters, x):
            return torch.func.functional_call(model, parameters, (x,)).square().sum()

        return torch.func.vmap(torch.func.grad(loss), (None, 0))(dict(model.named_parameters()), x)

    expected, found = gradient(masked), gradient(sparse)
    torch.testing.assert_close(found["0.bias"], expected["0.bias"])
    torch.testing.assert_close(found["0.values"], expected["0.weight"][:, masked[0].mask])


def test_compiled_and_exported(always):
    model, x = egt.to_sparse(mlp(12, 20, 4)), torch.randn(8, 12)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x))
    compiled(x).sum().backward()
    assert model[0].values.grad is not None
    torch.testing.assert_close(torch.export.export(model.eval(), (x,)).module()(x), model(x))


# --- whole models ---


def test_states_fit_either_execution(always):
    masked = mlp(12, 20, 16, 4)
    sparse, other = egt.to_sparse(copy.deepcopy(masked)), egt.to_sparse(mlp(12, 20, 16, 4, rng=1))
    assert sorted(sparse.state_dict()) == sorted(masked.state_dict())
    assert all(torch.equal(tensor, masked.state_dict()[name]) for name, tensor in sparse.state_dict().items())
    x = torch.randn(3, 12)
    values = other[0].values
    other.load_state_dict(masked.state_dict())
    assert other[0].values is values
    assert other[0].family == "given"
    torch.testing.assert_close(other(x), masked(x))
    again = mlp(12, 20, 16, 4, rng=1)
    again.load_state_dict(sparse.state_dict())
    torch.testing.assert_close(again(x), masked(x))
    assert egt.topology_digest(again) == egt.topology_digest(sparse) == egt.topology_digest(masked)
    dense = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4))
    dense.load_state_dict(egt.dense_state_dict(sparse))
    torch.testing.assert_close(dense(x), masked(x))
    other.load_state_dict(dense.state_dict())  # a dense checkpoint brings no wiring
    assert egt.topology_digest(other) == egt.topology_digest(masked)


def test_what_does_not_fit_is_said(always):
    sparse = egt.to_sparse(mlp(12, 20, 4))
    before = {name: tensor.clone() for name, tensor in sparse.state_dict().items()}
    with pytest.raises(RuntimeError, match=r'Missing key.*"0.weight"'):
        sparse.load_state_dict({name: tensor for name, tensor in before.items() if name != "0.weight"})
    for key in ("0.weight", "0.mask"):
        with pytest.raises(RuntimeError, match=rf"size mismatch for {key}: \(2, 3\) in the checkpoint"):
            sparse.load_state_dict(before | {key: torch.ones(2, 3)})
    assert all(torch.equal(tensor, before[name]) for name, tensor in sparse.state_dict().items())
    with pytest.raises(ValueError, match="compute sparsely: call to_masked first"):
        egt.prune(sparse, "magnitude", density=0.1)
    with pytest.raises(
        ValueError, match="a MaskedLinear or N2NSkipLinear with a weight of its own is needed, got Linear"
    ):
        egt.SparseLinear.of(nn.Linear(3, 4))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(always, again):
    model, x = egt.to_sparse(mlp(12, 20, 4)), torch.randn(3, 12)
    other = again(model)
    assert torch.equal(other(x), model(x))
    nn.init.zeros_(other[0].values)
    assert model[0].values.all()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), model(x))


def test_there_and_back_and_baked(always):
    masked, x = mlp(12, 20, 4), torch.randn(3, 12)
    model = egt.to_sparse(copy.deepcopy(masked))
    assert [type(layer) for layer in model] == [egt.SparseLinear, nn.ReLU, egt.SparseLinear]
    assert egt.density(model) == egt.density(masked)
    assert egt.topology_config(model) == egt.topology_config(masked)
    assert egt.summary(model).layers[0].executes == "sparse: a training step takes 1 ms (compiled), 2 ms dense"
    assert egt.summary(model).n_edges == egt.summary(masked).n_edges
    assert egt.to_sparse(model) is model
    assert copy.deepcopy(model)[0].to_masked().executes == "masked dense"
    back = egt.to_masked(copy.deepcopy(model))
    assert repr(back) == repr(masked)
    assert egt.summary(back) == egt.summary(masked)
    assert torch.equal(back(x), masked(x))
    plain = egt.bake(model)
    assert [type(layer) for layer in plain] == [nn.Linear, nn.ReLU, nn.Linear]
    torch.testing.assert_close(plain(x), masked(x))
    assert not {"executes", "values", "_pointers"} & set(dir(plain[0]))


def test_the_meta_device_keeps_the_wiring(always):
    model = egt.to_sparse(mlp(12, 20, 4))
    digest = egt.topology_digest(model)
    model.to("meta").to_empty(device="cpu")
    assert egt.topology_digest(model) == digest


def test_gradients_and_frozen_weights_go_along(always):
    model, x = mlp(12, 20, 4), torch.randn(3, 12)
    model[2].weight.requires_grad_(False)
    model(x).sum().backward()
    expected = model[0].weight.grad[model[0].mask]
    egt.to_sparse(model)
    assert torch.equal(model[0].values.grad, expected)
    assert not model[2].values.requires_grad
    assert not egt.to_masked(model)[2].weight.requires_grad


def test_skips_compute_sparsely_too(always):
    x = torch.randn(3, 12)
    model = egt.add_n2nskip(nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 8)), density=0.4, rng=0)
    expected = model(x)
    torch.testing.assert_close(egt.to_sparse(model)(x), expected)
    assert isinstance(model.n2nskip["0_2"], egt.SparseLinear)
    torch.testing.assert_close(egt.to_masked(model)(x), expected)
    assert isinstance(model.n2nskip["0_2"], egt.N2NSkipLinear)


def test_tied_layers_stay_masked(always):
    model = nn.ModuleDict({name: nn.Linear(6, 6) for name in "abc"})
    model["c"].weight = model["a"].weight
    egt.to_sparse(egt.sparsify(model, "random", density=0.5, rng=0))
    assert [type(model[name]).__name__ for name in "abc"] == ["MaskedLinear", "SparseLinear", "MaskedLinear"]


def test_what_is_slower_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(convert, "_measure", lambda layer, call: {"dense": 1e-3, "compiled": 3e-3, "operators": 2e-3})
    model = mlp(64, 64)
    before = model[0].weight
    egt.to_sparse(model, example_input=torch.ones(256, 64))
    assert model[0].weight is before
    reason = "masked dense: a training step takes 2 ms (operators), 1 ms dense"
    assert egt.summary(model).layers[0].executes == reason


def test_layers_are_measured_as_the_example_calls_them(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        convert, "_measure", lambda layer, call: seen.update({layer.weight.shape: call}) or {"dense": 1, "operators": 2}
    )
    model = mlp(12, 20, 4)
    modes = [module.training for module in model.modules()]
    egt.to_sparse(model, example_input=torch.ones(5, 7, 12))
    assert {shape: (call.shape, call.input_gradient) for shape, call in seen.items()} == {
        (20, 12): ((5, 7, 12), False),
        (4, 20): ((5, 7, 20), True),
    }
    assert [module.training for module in model.modules()] == modes
    seen.clear()
    egt.to_sparse(model)
    assert [call.shape for call in seen.values()] == [(128, 12), (128, 20)]
    with pytest.raises(ValueError, match="does not compute on example_input"):
        egt.to_sparse(model, example_input=torch.ones(5, 11))
    assert not model[0]._forward_pre_hooks


def test_a_layer_that_the_example_does_not_call_stays_as_it_is(always):
    model = nn.ModuleDict({"used": mlp(6, 5), "spare": mlp(6, 5)})
    model.forward = lambda x: model["used"](x)
    egt.to_sparse(model, example_input=torch.ones(3, 6))
    assert type(model["spare"][0]) is egt.MaskedLinear
    assert "does not call it" in egt.summary(model).layers[1].executes


def test_sparse_layers_are_not_passed_over(always):
    model = egt.to_sparse(mlp(12, 20, 4))
    for change in (
        lambda: egt.prune(model, "magnitude", density=0.1),
        lambda: egt.GradualPruning(model, final_density=0.1, begin=1, end=2, every=1),
        lambda: egt.shuffle(model),
    ):
        with pytest.raises(ValueError, match="compute sparsely: call to_masked first"):
            change()


def test_parameters_that_remain_are_those_of_the_masked_model(always):
    masked = mlp(12, 20, 4)
    assert egt.summary(egt.to_sparse(copy.deepcopy(masked))).remaining == egt.summary(masked).remaining


def test_a_sparse_model_is_read_as_a_graph(always):
    masked = mlp(12, 20, 4)
    sparse = egt.to_sparse(copy.deepcopy(masked))
    x = torch.ones(1, 12)
    assert egt.network_graph(sparse, x) == egt.network_graph(masked, x)
    assert not any("densely" in vars(layer) for layer in sparse)


# --- convolutions ---

CONVOLUTIONS = [
    # kernel, stride, padding, dilation, groups, pattern, samples, size
    (1, 1, 0, 1, 1, "channel", 2, (5, 7)),
    (1, 2, 0, 1, 1, "channel", 1, (5, 7)),
    (3, 1, 1, 1, 1, "channel", 3, (5, 7)),
    (3, 1, 1, 1, 1, "weight", 17, (8, 4)),
    (3, 1, 0, 1, 2, "channel", 16, (6, 6)),
    (3, 2, 1, 1, 1, "weight", 3, (7, 6)),
    ((3, 1), (2, 1), (1, 0), 1, 1, "channel", 2, (6, 16)),
    ((1, 3), 1, (0, 1), 1, 2, "weight", 1, (2, 16)),
    (2, 1, 2, 2, 2, "channel", 2, (4, 5)),
    (3, 3, 2, 2, 1, "channel", 2, (6, 9)),
    (4, 1, 0, 1, 1, "channel", 5, (4, 4)),
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "groups", "pattern", "n", "size"), CONVOLUTIONS)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sparse_convolution_is_the_masked_one(
    kernel, stride, padding, dilation, groups, pattern, n, size, how, dtype
):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups, dtype=dtype)
    masked = egt.sparsify(nn.Sequential(plain), "random", density=0.5, pattern=pattern, rng=0)[0]
    sparse = egt.SparseConv2d.of(copy.deepcopy(masked))
    sparse.how = how
    one = torch.randn(n, 4, *size, dtype=dtype, requires_grad=True)
    two = one.detach().to(memory_format=torch.channels_last).requires_grad_()
    expected, found = masked(one), sparse(two)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected)
    along = torch.randn_like(expected)
    expected.backward(along)
    found.backward(along)
    torch.testing.assert_close(two.grad, one.grad)
    torch.testing.assert_close(sparse.bias.grad, masked.bias.grad)
    torch.testing.assert_close(
        sparse.values.grad, masked.weight.grad[masked.mask.expand_as(masked.weight)], rtol=1e-4, atol=1e-5
    )
    assert sparse.mask.shape == masked.mask.shape
    assert sparse.graph == masked.graph
    assert torch.equal(sparse.weight, masked.weight)
    assert repr(sparse) == repr(masked).replace("Masked", "Sparse")
    back = sparse.to_masked()
    assert type(back) is egt.MaskedConv2d
    assert torch.equal(back.weight, masked.weight)
    assert torch.equal(back.mask, masked.mask)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("d", [1, 3])
def test_convolutions_of_other_dimensions(how, d):
    torch.manual_seed(0)
    plain = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[d - 1](4, 6, 3, padding=1, stride=2, bias=False)
    masked = egt.sparsify(nn.Sequential(plain), "random", density=0.5, rng=0)[0]
    sparse = (egt.SparseConv1d, egt.SparseConv2d, egt.SparseConv3d)[d - 1].of(copy.deepcopy(masked))
    sparse.how = how
    x = torch.randn(2, 4, *[5] * d)
    torch.testing.assert_close(sparse(x), masked(x))
    torch.testing.assert_close(sparse(x[0]), masked(x[0]))
    torch.testing.assert_close(sparse(x[:0]), masked(x[:0]))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular", "replicate"])
@pytest.mark.parametrize("padding", [2, "same", "valid"])
def test_every_way_of_padding(mode, padding):
    masked = egt.sparsify(
        nn.Sequential(nn.Conv2d(4, 6, (3, 4), padding=padding, padding_mode=mode)), "random", density=0.5, rng=0
    )[0]
    sparse, x = egt.SparseConv2d.of(copy.deepcopy(masked)), torch.randn(2, 4, 6, 7)
    torch.testing.assert_close(sparse(x), masked(x))


def test_sparse_convolutions_are_made_of_a_graph_too():
    g = eg.random_bipartite(8, 6, n_edges=20, rng=0)
    torch.manual_seed(0)
    masked = egt.MaskedConv2d(g, 3, padding=1)
    torch.manual_seed(0)
    sparse = egt.SparseConv2d(g, 3, padding=1)
    assert torch.equal(sparse.weight, masked.weight)
    assert sparse.values.shape == (180,)


def test_what_a_layer_does_not_take_is_said():
    g = eg.random_bipartite(8, 6, n_edges=20, rng=0)
    linear, convolution = egt.SparseLinear(g), egt.SparseConv2d(g, 3)
    with pytest.raises(ValueError, match="SparseLinear needs inputs with 8 features, got 7"):
        linear(torch.ones(2, 7))
    with pytest.raises(ValueError, match="SparseConv2d needs inputs with 8 features, got 7"):
        convolution(torch.ones(2, 7, 4, 4))
    with pytest.raises(ValueError, match=r"SparseConv2d needs inputs of 4 dimensions, got \(2, 8\)"):
        convolution(torch.ones(2, 8))
    with pytest.raises(ValueError, match=r"a kernel \(3, 3\) does not fit into inputs \(2, 8, 4, 2\)"):
        convolution(torch.ones(2, 8, 4, 2))
    with pytest.raises(ValueError, match=r"has weights of torch.float32, got inputs of torch.float64"):
        linear(torch.ones(2, 8, dtype=torch.float64))


def cnn(**options):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, groups=2),
        nn.ReLU(), nn.ConvTranspose2d(8, 6, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip
    return egt.sparsify(model, "random", density=0.5, rng=0, **options)


@pytest.mark.parametrize("pattern", ["channel", "weight"])
def test_a_whole_convolutional_model(always, pattern):
    masked, x = cnn(pattern=pattern), torch.randn(4, 3, 9, 9)
    sparse = egt.to_sparse(copy.deepcopy(masked), example_input=x)
    kinds = [type(layer).__name__ for layer in sparse]
    assert [kinds[k] for k in (0, 3, 5, 8)] == ["SparseConv2d", "SparseConv2d", "MaskedConvTranspose2d", "SparseLinear"]
    assert egt.summary(sparse).layers[2].executes == "masked dense: there is no sparse MaskedConvTranspose2d"
    torch.testing.assert_close(sparse(x), masked(x))
    state = sparse.state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in masked.state_dict().items()
    }
    other = egt.to_sparse(cnn(pattern="weight" if pattern == "channel" else "channel"), example_input=x)
    other.load_state_dict(state)
    torch.testing.assert_close(other.eval()(x), masked.eval()(x))
    assert egt.topology_digest(other) == egt.topology_digest(masked)
    assert egt.network_graph(sparse, x[:1]) == egt.network_graph(masked, x[:1])
    torch.testing.assert_close(egt.bake(other)(x), masked(x))


def test_without_an_example_convolutions_stay(always):
    model = egt.to_sparse(cnn())
    assert type(model[0]) is egt.MaskedConv2d
    assert egt.summary(model).layers[0].executes == "masked dense: not measured, since no example_input was given"
    assert type(model[8]) is egt.SparseLinear


def test_a_compiled_convolutional_model(always):
    x = torch.randn(4, 3, 9, 9)
    model = egt.to_sparse(cnn(), example_input=x)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x))
    compiled(x).sum().backward()
    assert model[3].values.grad is not None


def test_convolutional_skips_compute_sparsely_too(always):
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
    x = torch.randn(2, 3, 6, 6)
    egt.add_n2nskip(model, density=0.4, rng=0)
    expected = model(x)
    torch.testing.assert_close(egt.to_sparse(model, example_input=x)(x), expected)
    assert isinstance(model.n2nskip["0_2"], egt.SparseConv2d)
    torch.testing.assert_close(egt.to_masked(model)(x), expected)


# --- measuring and compiling ---


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_no_trace(training):
    model = cnn().train(training)
    model[0].register_forward_hook(lambda *_: pytest.fail("hooks of the layer are not those of the measurement"))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layer, call = model[0], convert._Call((4, 3, 9, 9), True)
    seconds = convert._measure(layer, call)
    assert sorted(seconds) == ["compiled", "dense", "operators"]
    assert all(0 < taken < 1 for taken in seconds.values())
    assert type(layer) is egt.MaskedConv2d
    assert layer.weight.grad is None
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_inference_is_measured_where_the_model_only_infers():
    model = mlp(64, 64, density=0.1).eval()
    egt.to_sparse(model, example_input=torch.ones(1, 64))
    assert "inference takes" in egt.summary(model).layers[0].executes


def test_without_a_compiler_the_operators_compute(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    build.kernels.cache_clear()
    try:
        assert why_not() == "no C compiler was found"
        layer, x = egt.SparseLinear(eg.random_bipartite(8, 6, n_edges=20, rng=0)), torch.ones(2, 8)
        layer.how = "compiled"
        torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
        model = egt.to_sparse(mlp(64, 64), example_input=torch.ones(2, 64))
        assert "no C compiler was found" in egt.summary(model).layers[0].executes
    finally:
        build.kernels.cache_clear()


def test_the_kernels_are_compiled_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runs = []
    run = build.subprocess.run
    monkeypatch.setattr(build.subprocess, "run", lambda *args, **options: runs.append(1) or run(*args, **options))
    try:
        for _ in range(2):
            build.kernels.cache_clear()
            assert why_not() == ""
        (kept,) = (tmp_path / "expandergraphs").iterdir()
        assert kept.suffix == ".so"
        assert len(runs) == 1
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        (tmp_path / "other" / "expandergraphs").mkdir(parents=True)
        (tmp_path / "other" / "expandergraphs" / kept.name).write_bytes(b"of another system")
        build.kernels.cache_clear()
        assert why_not() == ""
        assert len(runs) == 2
    finally:
        build.kernels.cache_clear()


def test_a_compiler_that_fails_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    build.kernels.cache_clear()
    try:
        assert re.search(r"cc does not compile the kernels: .*no such thing", why_not())
        assert not list((tmp_path / "expandergraphs").iterdir())
    finally:
        build.kernels.cache_clear()
