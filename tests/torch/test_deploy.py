"""Where masked models go: mixed precision, compilers, export, quantisation, functional calls, files."""

import copy
import io
import pickle

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch._subclasses import FakeTensorMode
from torch.ao.quantization import get_default_qconfig_mapping, quantize_dynamic
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.nn.utils import parametrize

import expandergraphs_torch as egt


class Net(nn.Module):
    """A layer of every kind: convolution, grouped, transposed, Linear."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = torch.relu(self.up(torch.relu(self.grouped(torch.relu(self.conv(x))))))
        return self.head(self.norm(x).mean((2, 3)))


def dense_network():
    torch.manual_seed(0)
    return Net()


def network(rng=0, pattern="channel"):
    return egt.sparsify(dense_network(), "random", density=0.5, pattern=pattern, rng=rng)


def batch(dtype=torch.float32):
    return torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(1)).to(dtype)


def gradients(model, x):
    model.zero_grad()
    model(x).square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_zero_off_mask(model, tensors=None):
    for name, module in egt.masked_modules(model).items():
        tensor = module.weight if tensors is None else tensors[f"{name}.weight"]
        assert not tensor.detach().masked_select(~module.mask).any()


# --- precision ---


def test_autocast_computes_what_the_baked_model_computes():
    model = network()
    with torch.no_grad():
        for module in egt.masked_modules(model).values():
            module.weight.masked_fill_(~module.mask, torch.inf)
    baked = egt.bake(copy.deepcopy(model))
    with torch.autocast("cpu", torch.bfloat16):
        output, expected = model(batch()), baked(batch())
        output.sum().backward()
        expected.sum().backward()
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, expected)
    for (name, one), two in zip(model.named_parameters(), baked.parameters(), strict=True):
        module = egt.masked_modules(model).get(name.removesuffix(".weight"))
        assert one.grad.dtype == torch.float32
        assert torch.equal(one.grad, two.grad if module is None else torch.where(module.mask, two.grad, 0.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_cast_model_trains_in_its_type(dtype):
    model = network().to(dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        output = model(batch(dtype))
        assert output.dtype == dtype
        output.square().sum().backward()
        optimizer.step()
    assert_zero_off_mask(model)
    assert all(module.mask.dtype == torch.bool for module in egt.masked_modules(model).values())
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


# --- compilers ---


@pytest.mark.parametrize("pattern", ["channel", "weight"])
def test_every_layer_compiles_as_one_graph_once(pattern):
    torch._dynamo.reset()
    model = network(pattern=pattern)
    counter = CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    torch.testing.assert_close(compiled(batch()), model(batch()))
    expected = gradients(model, batch())
    torch.testing.assert_close(gradients(compiled._orig_mod, batch()), expected)
    compiled(batch())
    assert counter.frame_count == 1
    assert_zero_off_mask(model, expected)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inductor's own
def test_inductor_s_code_computes_the_same_forward_and_backward():
    torch._dynamo.reset()
    model = egt.sparsify(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), "regular", density=0.5, rng=0)
    x = torch.randn(5, 8)
    compiled = torch.compile(model, fullgraph=True)
    expected, theirs = gradients(model, x), copy.deepcopy(model)(x)
    with torch.no_grad():
        for module in egt.masked_modules(model).values():
            module.weight.masked_fill_(~module.mask, torch.inf)
    torch.testing.assert_close(compiled(x), theirs)
    model.zero_grad()
    compiled(x).square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


@pytest.mark.parametrize(
    "load", [lambda compiled, state: compiled._orig_mod.load_state_dict(state), egt.load_state_dict]
)
@pytest.mark.parametrize("pattern", ["channel", "weight"])
def test_other_wiring_after_compiling_is_honoured(load, pattern):
    """Trap: a mask that the compiler took for a constant."""
    torch._dynamo.reset()
    model, other = network().eval(), network(rng=1, pattern=pattern).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled(batch())
    state = other.state_dict()
    if load is egt.load_state_dict:
        state = {f"_orig_mod.{key}": tensor for key, tensor in state.items()}
    load(compiled, state)
    assert egt.topology_digest(model) == egt.topology_digest(other)
    torch.testing.assert_close(compiled(batch()), other(batch()))
    with torch.no_grad():
        model.head.mask.logical_not_()
        other.head.mask.logical_not_()
    torch.testing.assert_close(compiled(batch()), other(batch()))


@pytest.mark.parametrize("baked", [False, True])
def test_it_exports_with_a_batch_of_any_size(baked):
    model = network().eval()
    if baked:
        egt.bake(model)
    program = torch.export.export(model, (batch(),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(program.module()(batch()[:2]), model(batch()[:2]))
    assert ("head.mask" in program.state_dict) is not baked
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    torch.testing.assert_close(torch.export.load(file).module()(batch()), model(batch()))


@pytest.mark.filterwarnings(
    "ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated:FutureWarning"
)  # the exporter's own
@pytest.mark.parametrize("baked", [True, False])
def test_onnx_runtime_computes_the_same(baked, tmp_path):
    model = network().eval()
    expected = model(batch()).detach().numpy()
    if baked:
        egt.bake(model)
    torch.onnx.export(model, (batch(),), tmp_path / "model.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: batch().numpy()})
    np.testing.assert_allclose(output, expected, atol=1e-5)


# --- quantisation ---


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel:UserWarning")
def test_dynamic_quantisation_after_baking_keeps_the_zeros():
    model = egt.sparsify(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)), "regular", degree=4, rng=0)
    x, masks = torch.randn(64, 16), [model[0].mask, model[2].mask]
    egt.bake(model)
    quantised = quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    assert (quantised(x) - model(x)).abs().max() < 0.05
    assert_zeros_stay(quantised, {"0": masks[0], "2": masks[1]})


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel:UserWarning")
@pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max to specify the range:UserWarning")
def test_static_quantisation_after_baking_keeps_the_zeros():
    model = network().eval()
    masks = {name: module.mask for name, module in egt.masked_modules(model).items() if name != "up"}
    prepared = prepare_fx(
        egt.bake(model), get_default_qconfig_mapping("x86").set_object_type(nn.ConvTranspose2d, None), batch()
    )
    prepared(batch())
    quantised = convert_fx(prepared)
    assert (quantised(batch()) - model(batch())).abs().max() < 0.05
    assert_zeros_stay(quantised, masks)


def assert_zeros_stay(quantised, masks):
    for name, mask in masks.items():
        weight = quantised.get_submodule(name).weight().dequantize()
        mask = mask.expand(weight.shape)
        assert not weight[~mask].any()
        assert weight[mask].count_nonzero() > 0.9 * mask.sum()


# --- functional, fake, meta ---


def test_forward_never_waits_for_a_value():
    """A fake tensor has no values: `.item()`, a branch on a value or a copy to the host would raise."""
    model = network()
    with FakeTensorMode() as mode:
        state = {name: mode.from_tensor(tensor) for name, tensor in model.state_dict(keep_vars=True).items()}
        output = torch.func.functional_call(model, state, (mode.from_tensor(batch()),))
        output.sum().backward()
    assert output.shape == (3, 5)
    assert state["head.weight"].grad.shape == (5, 6)
    with pytest.raises(RuntimeError, match="_local_scalar_dense"), mode:  # what would happen
        state["head.weight"].sum().item()
    model.to("meta")
    model(torch.empty(3, 4, 6, 6, device="meta")).sum().backward()
    assert egt.topology_digest(model) == egt.topology_digest(network())


def test_functional_calls_and_vmapped_ensembles():
    models = [network(rng=seed).eval() for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)
    x = batch()
    outputs = torch.func.vmap(lambda p, b: torch.func.functional_call(models[0], (p, b), (x,)))(parameters, buffers)
    for output, model in zip(outputs, models, strict=True):
        torch.testing.assert_close(output, model(x), atol=1e-5, rtol=1e-5)
    model = network().eval()
    weights = {name: torch.ones_like(parameter) for name, parameter in model.named_parameters()}
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(1)
    assert torch.equal(torch.func.functional_call(model, weights, (x,)), twin(x))
    by_example = torch.func.vmap(
        torch.func.grad(lambda p, one: torch.func.functional_call(model, p, (one[None],)).sum()), in_dims=(None, 0)
    )(dict(model.named_parameters()), x)
    expected = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    for ours, theirs in zip(by_example.values(), expected, strict=True):
        torch.testing.assert_close(ours.sum(dim=0), theirs, atol=1e-4, rtol=1e-4)


def test_parametrised_biases_go_along():
    class Positive(nn.Module):
        def forward(self, x):
            return x.abs()

    model = network().eval()
    expected = copy.deepcopy(model)
    with torch.no_grad():
        expected.head.bias.abs_()
    parametrize.register_parametrization(model.head, "bias", Positive())
    torch.testing.assert_close(model(batch()), expected(batch()))
    parametrize.remove_parametrizations(model.head, "bias")
    assert type(model.head) is egt.MaskedLinear
    torch.testing.assert_close(egt.bake(model)(batch()), expected(batch()))


# --- files and copies ---


def test_files():
    model = network().eval()
    for load in (lambda: pickle.loads(pickle.dumps(model)), lambda: torch.load(_saved(model), weights_only=False)):
        other = load()
        assert torch.equal(other(batch()), model(batch()))
        assert egt.topology_config(other) == egt.topology_config(model)
    state = torch.load(_saved(model.state_dict()), weights_only=True)
    other = egt.load_state_dict(dense_network(), state).eval()
    assert torch.equal(other(batch()), model(batch()))


def test_copies_share_no_tensor():
    model = network()
    other = copy.deepcopy(model)
    mine, theirs = ({tensor.data_ptr() for tensor in each.state_dict().values()} for each in (model, other))
    assert not mine & theirs
    assert len(mine) == len(model.state_dict())


def _saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return file
