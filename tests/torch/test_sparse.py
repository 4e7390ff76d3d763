"""Layers that compute sparsely, against the masked layers that they stand for."""

import copy
import io
import pickle
from itertools import pairwise

import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch.sparse import convert
from expandergraphs_torch.sparse.products import Pattern, sddmm, spmm


def mlp(*sizes, density=0.3, rng=0):
    torch.manual_seed(0)
    parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return egt.sparsify(nn.Sequential(*parts[:-1]), "random", density=density, rng=rng)


@pytest.fixture
def always(monkeypatch):
    """Every layer becomes sparse, whatever is measured."""
    monkeypatch.setattr(convert, "_gain", lambda layer, n_rows: 2.0)


# --- products ---

MASKS = {
    "random": torch.rand(7, 5, generator=torch.Generator().manual_seed(0)) < 0.4,
    "one row": torch.tensor([[True, False, True]]),
    "one column": torch.tensor([[True], [False], [True]]),
    "empty rows and columns": torch.eye(4, 6, dtype=torch.bool) & (torch.arange(6) > 1),
    "full": torch.ones(3, 4, dtype=torch.bool),
    "nothing": torch.zeros(3, 4, dtype=torch.bool),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("k", [0, 1, 3])
def test_products_and_their_derivatives_of_two_orders(mask, k):
    pattern = Pattern.of(mask)
    generator = torch.Generator().manual_seed(1)
    values, a, b = (
        torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in [(int(mask.sum()),), (mask.shape[0], k), (mask.shape[1], k)]
    )
    dense = torch.zeros(mask.shape, dtype=torch.float64)
    dense[mask] = values.detach()
    torch.testing.assert_close(spmm(values, b, pattern), dense @ b)
    torch.testing.assert_close(spmm(values[pattern.order.long()], a, pattern.T), dense.T @ a)
    torch.testing.assert_close(sddmm(a, b, pattern), (a @ b.T)[mask])
    assert all(map(torch.equal, pattern.T.T, pattern))
    if k and values.numel():
        for product, inputs in ((spmm, (values, b)), (sddmm, (a, b))):
            assert torch.autograd.gradcheck(lambda *args, f=product: f(*args, pattern), inputs)
            assert torch.autograd.gradgradcheck(lambda *args, f=product: f(*args, pattern), inputs)


def test_products_are_operators_that_pytorch_accepts():
    mask = MASKS["random"]
    values, a, b = torch.randn(int(mask.sum())), torch.randn(7, 2), torch.randn(5, 2)
    parts = list(Pattern.of(mask))
    torch.library.opcheck(torch.ops.expandergraphs.spmm, (values.requires_grad_(), b.requires_grad_(), parts))
    torch.library.opcheck(torch.ops.expandergraphs.sddmm, (a.requires_grad_(), b, parts))


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
    with pytest.raises(ValueError, match="a MaskedLinear with a weight of its own is needed, got Linear"):
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
    assert egt.summary(model).layers[0].executes == "sparse: a training step is 2x as fast sparse as dense"
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


def test_what_is_slower_stays_as_it_is():
    model = mlp(64, 64, 64, density=0.9)
    before = model[0].weight
    egt.to_sparse(model, example_input=torch.ones(256, 64))
    assert model[0].weight is before
    assert "masked dense: a training step is 0." in egt.summary(model).layers[0].executes


def test_layers_are_measured_as_the_example_calls_them(monkeypatch):
    seen = {}
    monkeypatch.setattr(convert, "_gain", lambda layer, n_rows: seen.setdefault(layer.in_features, n_rows) * 0.0)
    model = mlp(12, 20, 4)
    modes = [module.training for module in model.modules()]
    egt.to_sparse(model, example_input=torch.ones(5, 7, 12))
    assert seen == {12: 35, 20: 35}
    assert [module.training for module in model.modules()] == modes
    seen.clear()
    egt.to_sparse(model)
    assert seen == {12: 128, 20: 128}
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
