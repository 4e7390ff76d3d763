"""What a review of sparse execution found: geometries drawn at random, modes, hooks, states, and errors."""

import copy
import math
import random
import threading

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch.sparse import compiled, convert, products
from expandergraphs_torch.sparse.layers import Sparse, computing_densely
from expandergraphs_torch.sparse.pattern import Pattern, Window, n_together

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def linear(dtype=None):
    """Return a masked layer, and its sparse twin."""
    torch.manual_seed(0)
    masked = egt.MaskedLinear(eg.random_bipartite(12, 10, n_edges=40, rng=0), dtype=dtype)
    return masked, egt.SparseLinear.of(copy.deepcopy(masked))


def convolution(*args, how="compiled", **options):
    torch.manual_seed(0)
    masked = egt.MaskedConv2d(eg.random_bipartite(4, 6, n_edges=12, rng=0), *args, **options)
    sparse = egt.SparseConv2d.of(copy.deepcopy(masked))
    sparse.how = how
    return masked, sparse


def other_wiring(n_edges=33):
    return egt.MaskedLinear(eg.random_bipartite(12, 10, n_edges=n_edges, rng=1))


@pytest.fixture
def nothing_is_left_in_memory(monkeypatch):
    """Each scratch tensor holds nothing yet: numbers that are read before they are written are seen."""
    monkeypatch.setattr(
        compiled, "_scratch", lambda name, like, *shape: like.new_full((math.prod(shape),), math.nan).view(shape)
    )


@pytest.fixture
def to_sparse_is_faster(monkeypatch):
    monkeypatch.setattr(convert, "_measure", lambda layer, call: {"dense": 2e-3, "compiled": 1e-3})


# --- products ---


def compare(masked, x, **tolerance):
    """Compare all that a masked layer computes with every execution of its sparse twin."""
    one, on = x.detach().requires_grad_(), masked.mask.expand_as(masked.weight)
    expected = masked(one)
    along = torch.randn_like(expected)
    dx, dweight, dbias = torch.autograd.grad(expected, (one, masked.weight, masked.bias), along)
    sparse = Sparse.of(copy.deepcopy(masked))
    for how in products.executions(x, sparse.pattern, sparse.window()):
        sparse.how, two = how, x.detach().requires_grad_()
        found = sparse(two)
        torch.testing.assert_close(found, expected, **tolerance)
        sources, needed = (two, sparse.values, sparse.bias), (dx, dweight[on], dbias)
        across = along.transpose(0, -1).contiguous().transpose(0, -1)
        torch.testing.assert_close(torch.autograd.grad(found, sources, across), needed, **tolerance)
        for k in range(3):  # a single gradient is computed by other operators
            (alone,) = torch.autograd.grad(sparse(two), sources[k], along)
            torch.testing.assert_close(alone, needed[k], **tolerance)


@pytest.mark.parametrize(("kernel", "stride", "size"), [
    ((1, 1), (2, 2), (8, 8)), ((2, 2), (2, 2), (6, 4)), ((3, 3), (3, 3), (9, 6)), ((3, 3), (2, 1), (8, 5)),
    ((3, 3), (1, 2), (5, 8)), ((2,), (2,), (10,)), ((1, 1, 1), (1, 3, 1), (1, 6, 6)), ((1, 2, 2), (2, 1, 2), (4, 3, 4)),
])  # fmt: skip
def test_strides_that_divide_an_image_without_padding(kernel, stride, size):
    """As where a residual network halves its images: the pixels are stored in another order, none added."""
    torch.manual_seed(0)
    plain = CONVOLUTIONS[len(kernel) - 1](4, 6, kernel, stride, dtype=torch.float64)
    masked = egt.sparsify(nn.Sequential(plain), "random", density=0.5, rng=0)[0]
    compare(masked, torch.randn(3, 4, *size, dtype=torch.float64))


@pytest.mark.usefixtures("nothing_is_left_in_memory")
@pytest.mark.parametrize("seed", range(30))
def test_layers_drawn_at_random(seed, monkeypatch):
    monkeypatch.setattr(compiled, "_WORTH_THREADS", 0)
    draw, d = random.Random(seed), seed % 4
    torch.manual_seed(seed)
    dtype = draw.choice([torch.float32, torch.float64])
    tolerance = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    n = draw.choice([1, 2, 7, 8, 9, 17, 33])
    if d:
        groups = draw.choice([1, 2])
        kernel, stride, padding, dilation = ([draw.randint(low, 3) for _ in range(d)] for low in (1, 1, 0, 1))
        size = [max(dilation[k] * (kernel[k] - 1) + 1, draw.randint(1, 7)) for k in range(d)]
        plain = CONVOLUTIONS[d - 1](
            groups * 2, groups * 3, kernel, stride, padding, dilation, groups, dtype=dtype,
            padding_mode="replicate" if draw.random() < 0.2 else "zeros",
        )  # fmt: skip
        x = torch.randn(n, groups * 2, *size, dtype=dtype)
    else:
        plain = nn.Linear(draw.randint(1, 40), draw.randint(1, 40), dtype=dtype)
        x = torch.randn(n, plain.in_features, dtype=dtype)
    pattern = draw.choice(["channel", "weight"])
    masked = egt.sparsify(nn.Sequential(plain), "random", density=1.0, pattern=pattern, rng=0)[0]
    mask = torch.rand(masked.mask.shape) < draw.choice([0.1, 0.4, 1.0])
    mask[torch.rand(mask.shape[0]) < 0.2] = False
    masked._set_mask(mask)
    masked.zero_off_mask()
    compare(masked, x, **tolerance)


def test_taps_of_a_channel_are_summed_by_one_thread():
    """All taps add to the gradient of the same pixels."""
    torch.manual_seed(0)
    layer = egt.SparseConv2d(eg.random_bipartite(1, 64, n_edges=64, rng=0), 3, padding=1)
    x, along = torch.randn(16, 1, 12, 12, requires_grad=True), torch.randn(16, 64, 12, 12)
    before, found = torch.get_num_threads(), []
    try:
        for n in (1, *[3] * 10):
            torch.set_num_threads(n)
            found.append(torch.autograd.grad(layer(x), x, along)[0])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(dx, found[0]) for dx in found)


SEVENTY = (torch.arange(72)[:, None] - torch.arange(72)) % 72 < 70
MASKS = {
    "regular": ((torch.arange(12)[:, None] - torch.arange(12)) % 12 < 3, True),
    "too much to gather": (SEVENTY, False),  # 70 times the input
    "rows alike": (torch.arange(12).expand(9, 12) < 3, False),
    "columns alike": ((torch.arange(12).expand(9, 12) < 3).T, False),
    "nothing": (torch.zeros(4, 3, dtype=torch.bool), False),
}


@pytest.mark.parametrize(("mask", "offered"), MASKS.values(), ids=MASKS)
def test_where_gathering_is_possible(mask, offered):
    found = products.executions(torch.ones(1), Pattern.of(mask), Window())
    assert any(how.startswith("gather") for how in found) == offered


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_go_together(seed):
    torch.manual_seed(seed)
    rows = torch.rand(4, 5) < 0.5
    mask = (
        rows[torch.randint(2, (6,)).repeat_interleave(2)] if seed % 2 else torch.arange(5) >= torch.randint(6, (6, 1))
    )
    pattern, n = Pattern.of(mask), mask.shape[0]
    fitting = [
        k for k in range(1, n + 1) if n % k == 0 and all(torch.equal(mask[i], mask[i - i % k]) for i in range(n))
    ]
    assert n_together(pattern.pointers, pattern.columns) == max(fitting)


def test_the_kernels_leave_large_patterns_to_the_operators():
    masked, sparse = linear()
    parts = [part.long() for part in sparse.pattern]
    x = torch.randn(3, 12)
    assert "compiled" not in products.executions(x, Pattern(*parts), sparse.window())
    y = products.forward(x, sparse.values, sparse.bias, parts, sparse.window().numbers, "compiled")
    torch.testing.assert_close(y, masked(x))


@pytest.mark.parametrize("how", ["compiled", "operators"])
def test_inputs_however_they_are_stored(how):
    masked, sparse = linear()
    sparse.how = how
    z = torch.randn(3, 24, dtype=torch.complex64)
    for x in (z.real[:, ::2], z.conj().imag[:, :12], z.real[:1, :12].expand(4, 12), z.real[:, :12].T.contiguous().T):
        torch.testing.assert_close(sparse(x), masked(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n", [1, 3])
def test_small_types_in_every_execution(dtype, n):
    masked = egt.MaskedLinear(eg.random_regular(12, 12, 3, rng=0))
    sparse, x = egt.SparseLinear.of(copy.deepcopy(masked)).to(dtype), torch.randn(n, 12)
    hows = products.executions(x, sparse.pattern, sparse.window())
    assert len(hows) == 3
    for how in hows:
        sparse.how, small = how, x.to(dtype).requires_grad_()
        found = sparse(small)
        torch.testing.assert_close(found.float(), masked(x), rtol=0.05, atol=0.05)
        gradients = torch.autograd.grad(found.sum(), (small, sparse.values))
        assert [found.dtype, *(gradient.dtype for gradient in gradients)] == [dtype] * 3


def test_threads_do_not_share_memory():
    masked, sparse = convolution(3, padding=1)
    images = [torch.randn(3 + k, 4, 12, 12 + k, requires_grad=True) for k in range(4)]
    expected = [(y, *torch.autograd.grad(y.sum(), x)) for x in images for y in [masked(x)]]
    wrong = []

    def work(k):
        for _ in range(25):
            y = sparse(images[k])
            found = (y, *torch.autograd.grad(y.sum(), images[k]))
            wrong.extend(k for a, b in zip(found, expected[k], strict=True) if not torch.allclose(a, b, atol=1e-4))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_shapes_that_change_while_compiled():
    masked, sparse = convolution(3, padding=1, stride=2)
    layer = torch.compile(sparse, backend="aot_eager", dynamic=True, fullgraph=True)
    for n, size in ((2, 8), (3, 9)):
        x = torch.randn(n, 4, size, size)
        torch.testing.assert_close(layer(x), masked(x))


def test_checkpointed_activations():
    masked, sparse = convolution(3, padding=1)
    found = []
    for layer in (masked, sparse):
        x = torch.ones(2, 4, 5, 6, requires_grad=True)
        checkpoint(lambda x, layer=layer: layer(layer(x)[:, :4]), x, use_reentrant=False).square().sum().backward()
        found.append(x.grad)
    torch.testing.assert_close(found[1], found[0])


# --- modes ---


def test_inference_mode_before_training():
    """Memory that is kept from call to call was made in inference mode."""
    masked, sparse = convolution(3, padding=1)
    x = torch.randn(2, 4, 9, 11)

    def work():  # a new thread: nothing is kept yet
        with torch.inference_mode():
            sparse(x)
        sparse(x).sum().backward()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    masked(x).sum().backward()
    assert sparse.values.grad is not None
    torch.testing.assert_close(sparse.bias.grad, masked.bias.grad)


@pytest.mark.parametrize("change", [
    lambda masked, sparse: egt.SparseLinear.of(masked),
    lambda masked, sparse: sparse.to_masked(),
    lambda masked, sparse: sparse.load_state_dict(other_wiring().state_dict()) and sparse,
], ids=["to sparse", "to masked", "load"])  # fmt: skip
def test_what_changes_in_inference_mode_can_be_trained(change):
    with torch.inference_mode(False):
        pair = linear()
    with torch.inference_mode():
        layer = change(*pair)
    layer = layer if isinstance(layer, nn.Module) else pair[1]
    before = layer.weight.detach().clone()
    layer(torch.ones(3, 12)).sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    assert not torch.equal(layer.weight, before)


def test_autocast_leaves_double_precision_alone():
    """As PyTorch's own layers do."""
    masked, sparse = linear(torch.float64)
    x = torch.randn(3, 12, dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(sparse(x), masked(x))


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
def test_complex_numbers_are_not_made_real():
    masked, sparse = (layer.to(torch.complex64) for layer in linear())
    x = torch.randn(3, 12, dtype=torch.complex64)
    try:
        found = sparse(x)
    except ValueError as error:
        assert "complex64" in str(error)  # noqa: PT017
    else:
        torch.testing.assert_close(found, masked(x))


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
def test_a_complex_model_stays_as_it_is():
    model = nn.Sequential(linear()[0].to(torch.complex64))
    egt.to_sparse(model, example_input=torch.ones(2, 12, dtype=torch.complex64))
    assert type(model[0]) is egt.MaskedLinear


# --- calls ---


def test_hooks_run_once_without_a_batch():
    masked, sparse = convolution(3)
    x = torch.randn(4, 5, 5)
    for layer in (masked, sparse):
        layer.register_forward_pre_hook(lambda _, args: (args[0] * 2,))
        layer.register_forward_hook(lambda _, args, y: y + 1)
    torch.testing.assert_close(sparse(x), masked(x))


def test_a_skip_without_a_batch():
    skip = egt.N2NSkipConv2d(eg.random_bipartite(4, 6, n_edges=12, rng=0), 3, activation="tanh")
    x = torch.randn(4, 5, 5)
    expected = skip(x)
    torch.testing.assert_close(Sparse.of(skip)(x), expected)


def test_a_layer_called_by_keyword(to_sparse_is_faster):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = linear()[0]

        def forward(self, x):
            return self.layer(input=x)

    assert type(egt.to_sparse(Model(), example_input=torch.ones(2, 12)).layer) is egt.SparseLinear


def test_computing_densely_within_computing_densely():
    layer = linear()[1]
    with computing_densely(layer):
        with computing_densely(layer):
            pass
        assert layer.densely
    assert not layer.densely


def test_a_measurement_that_fails_changes_nothing(monkeypatch):
    model = egt.sparsify(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), "random", density=0.5, rng=0)
    measured = []

    def measure(layer, call):
        measured.append(layer)
        if len(measured) == 2:
            raise RuntimeError("out of memory")
        return {"dense": 2.0, "compiled": 1.0}

    monkeypatch.setattr(convert, "_measure", measure)
    with pytest.raises(RuntimeError, match="out of memory"):
        egt.to_sparse(model)
    assert [type(layer) for layer in model] == [egt.MaskedLinear] * 2


# --- states ---


@pytest.mark.parametrize("n_edges", [33, 40])
def test_other_wiring_forgets_the_gradients_of_the_last(n_edges):
    sparse = linear()[1]
    sparse(torch.ones(2, 12)).sum().backward()
    sparse.load_state_dict(other_wiring(n_edges).state_dict())
    assert sparse.values.grad is None
    sparse(torch.ones(2, 12)).sum().backward()
    assert sparse.values.grad.shape == (n_edges,)


def test_a_type_for_everything_does_not_reach_the_indices():
    masked, sparse = linear()
    before, x = sparse.pattern, torch.randn(3, 12)
    for dtype in (torch.float64, torch.float32):  # unlike `to`, this casts integers too
        sparse.type(dtype)
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(sparse.pattern, before, strict=True))
    torch.testing.assert_close(sparse(x), masked(x))


def test_units_without_inputs_start_at_zero():
    sparse = egt.SparseLinear(eg.random_bipartite(12, 30, n_edges=25, rng=0))
    empty = ~sparse.mask.any(1)
    sparse.reset_parameters()
    assert empty.any()
    assert torch.equal(sparse.bias == 0, empty)


@pytest.mark.parametrize("frozen", ["values", "bias"])
def test_frozen_parameters(frozen):
    masked, sparse = linear()
    getattr(sparse, frozen).requires_grad_(False)
    x = torch.randn(3, 12)
    for layer in (masked, sparse):
        layer(x).square().sum().backward()
    assert getattr(sparse, frozen).grad is None
    if frozen == "values":
        torch.testing.assert_close(sparse.bias.grad, masked.bias.grad)
    else:
        torch.testing.assert_close(sparse.values.grad, masked.weight.grad[masked.mask])


def test_the_same_wiring_keeps_gradients():
    masked, sparse = linear()
    sparse(torch.ones(2, 12)).sum().backward()
    gradient = sparse.values.grad
    sparse.load_state_dict(masked.state_dict())
    assert sparse.values.grad is gradient


def test_a_layer_on_the_meta_device_is_loaded_by_assignment():
    masked, sparse = linear()
    sparse.to("meta").load_state_dict(masked.state_dict(), assign=True)
    x = torch.randn(3, 12)
    torch.testing.assert_close(sparse(x), masked(x))


def test_the_meta_device_as_for_masked_layers():
    masked, sparse = (nn.Sequential(layer) for layer in linear())
    digest, x = egt.topology_digest(masked), torch.ones(3, 12, device="meta")
    for model in (masked, sparse):
        model.to("meta")
        assert model(x).shape == (3, 10)
        assert egt.summary(model).n_edges == 40
    assert egt.topology_digest(sparse) == digest
    assert egt.topology_digest(egt.to_masked(sparse).to_empty(device="cpu")) == digest


def test_masked_again_nothing_is_left_of_the_execution():
    sparse = linear()[1]
    sparse.how = "operators"
    assert set(vars(sparse.to_masked())) == set(vars(linear()[0]))


def test_averaged_weights():
    masked, sparse = linear()
    found = []
    for layer in (masked, sparse):
        average = torch.optim.swa_utils.AveragedModel(layer)
        average.update_parameters(layer)
        with torch.no_grad():
            next(p for name, p in layer.named_parameters() if name != "bias").mul_(3)
        average.update_parameters(layer)
        found.append(average.state_dict())
    assert found[0].keys() == found[1].keys()
    torch.testing.assert_close(found[1]["module.weight"], found[0]["module.weight"])


def test_what_cannot_be_measured_stays_as_it_is(to_sparse_is_faster):
    computed, meta = linear()[0], linear()[0].to("meta")
    weight = computed.weight.detach()
    del computed.weight
    computed.weight = weight  # as weight_norm leaves it
    model = egt.to_sparse(nn.ModuleList([computed, meta]))
    assert [type(layer) for layer in model] == [egt.MaskedLinear] * 2
    assert "computed from other parameters" in computed.executes
    assert "on the meta device" in meta.executes


@pytest.mark.parametrize("fastest", ["operators", "gather of 1 x 1", "dense"])
def test_layers_compute_as_measured_and_forget_it(fastest, monkeypatch):
    seconds = {"dense": 2.0, "compiled": 3.0, "operators": 4.0, "gather of 1 x 1": 5.0}
    monkeypatch.setattr(convert, "_measure", lambda layer, call: seconds | {fastest: 1.0})
    model = egt.to_sparse(nn.Sequential(egt.MaskedLinear(eg.random_regular(12, 12, 3, rng=0))))
    assert getattr(model[0], "how", "dense") == fastest
    assert model[0].executes.startswith("masked dense: " if fastest == "dense" else "sparse: ")
    assert egt.to_masked(model)[0].executes == "masked dense"
