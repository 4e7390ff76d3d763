import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from tests.torch.families import GRAPHS

BUILDERS = {
    "linear": lambda g, **options: egt.MaskedLinear(g, **options),
    "conv1d": lambda g, **options: egt.MaskedConv1d(g, 3, padding=1, **options),
    "conv2d": lambda g, **options: egt.MaskedConv2d(g, 3, padding=1, **options),
    "conv3d": lambda g, **options: egt.MaskedConv3d(g, 3, padding=1, **options),
}
PLAIN = {"linear": nn.Linear, "conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}


def example_input(layer, dtype=torch.float32):
    n_inputs, n_spatial = layer.weight.shape[1], layer.weight.ndim - 2
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, n_inputs, *[4] * n_spatial, generator=generator).to(dtype)


def weight_twin(layer, g):
    """The masked weight, entry by entry."""
    weight = torch.zeros_like(layer.weight)
    for i, j in g.edges.tolist():
        weight[j, i] = layer.weight[j, i]
    return weight


# --- masks ---


@pytest.mark.parametrize("g", GRAPHS.values(), ids=GRAPHS)
def test_masks_agree_with_the_edges(g):
    mask = egt.linear_mask(g)
    assert (mask.shape, mask.dtype) == ((g.n_right, g.n_left), torch.bool)
    assert {(i, j) for j, i in mask.nonzero().tolist()} == {tuple(edge) for edge in g.edges.tolist()}
    conv = egt.conv_mask(g, (np.int64(3), 2))
    assert conv.shape == (g.n_right, g.n_left, 3, 2)
    assert (conv == mask[:, :, None, None]).all()
    for made in (mask, conv, egt.conv_mask(g, 5), egt.conv_mask(g, (3,)), mask.float(), mask.numpy()):
        assert egt.graph_from_mask(made) == g


def test_sides_without_vertices():
    for n_left, n_right in ((0, 3), (3, 0), (0, 0)):
        g = eg.BipartiteGraph.from_edges(n_left, n_right, [])
        assert egt.graph_from_mask(egt.linear_mask(g)) == g
        assert egt.graph_from_mask(egt.conv_mask(g, 3)) == g


def test_a_kernel_with_any_entry_is_an_edge():
    mask = torch.zeros(2, 3, 3, 3)
    mask[1, 2, 0, 2] = -0.5
    assert egt.graph_from_mask(mask).edges.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: egt.graph_from_mask(torch.ones(3)), r"\(out, in, ...\), got \(3,\)"),
        (lambda: egt.graph_from_mask(None), "must be a tensor or an array, got None"),
        (lambda: egt.graph_from_mask("mask"), "must be a tensor or an array, got 'mask'"),
        (lambda: egt.linear_mask("g"), "a BipartiteGraph is needed, got str"),
        (lambda: egt.conv_mask("g", 3), "a BipartiteGraph is needed, got str"),
        (lambda: egt.conv_mask(GRAPHS["random"], 0), "kernel_size must be an integer of at least 1, got 0"),
        (lambda: egt.conv_mask(GRAPHS["random"], 3.0), "kernel_size must be an integer, got 3.0"),
        (lambda: egt.conv_mask(GRAPHS["random"], ()), r"kernel_size must be an int or 0 of them, got \(\)"),
        (lambda: egt.MaskedConv2d(GRAPHS["random"], (3,)), r"kernel_size must be an int or 2 of them, got \(3,\)"),
        (lambda: egt.MaskedConv2d(GRAPHS["random"], -1), "kernel_size must be an integer of at least 1, got -1"),
        (lambda: egt.MaskedLinear(torch.ones(3, 3)), "a BipartiteGraph is needed, got Tensor"),
        (lambda: egt.MaskedConv2d(3, 3), "a BipartiteGraph is needed, got int"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# --- layers ---


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("g", GRAPHS.values(), ids=GRAPHS)
def test_a_layer_is_its_graph_and_its_plain_layer_with_zeros(kind, g):
    layer = BUILDERS[kind](g)
    assert layer.graph == g
    assert isinstance(layer, PLAIN[kind])
    twin = weight_twin(layer, g)
    assert torch.equal(layer.weight, twin)  # what is stored is zero off the mask
    plain = PLAIN[kind].__new__(PLAIN[kind])
    plain.__dict__ = copy.deepcopy(layer).__dict__
    x = example_input(layer)
    expected = plain(x)
    assert torch.equal(layer(x), expected)
    with torch.no_grad():
        layer.weight.add_(1)  # whatever is written there, the wiring holds
        plain.weight.copy_(weight_twin(layer, g))
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_training_never_touches_what_is_not_there(kind, optimizer):
    g = GRAPHS["random"]
    layer = BUILDERS[kind](g)
    options = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    steps = optimizer(layer.parameters(), lr=0.1, weight_decay=0.1, **options)
    x = example_input(layer)
    for _ in range(5):
        steps.zero_grad()
        layer(x).square().sum().backward()
        assert (layer.weight.grad.masked_select(~layer.mask) == 0).all()
        steps.step()
    assert torch.equal(layer.weight, weight_twin(layer, g))


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize(
    "clone",
    [
        copy.deepcopy,
        lambda layer: pickle.loads(pickle.dumps(layer)),
        lambda layer: torch.load(_saved(layer), weights_only=False),
        lambda layer: layer.to(torch.float64).float(),
    ],
)
def test_clones(kind, clone):
    layer = BUILDERS[kind](GRAPHS["regular"])
    x = example_input(layer)
    expected = layer(x)
    other = clone(layer)
    assert torch.equal(other(x), expected)
    assert other.graph == GRAPHS["regular"]
    assert other.mask.dtype == torch.bool


def _saved(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return file


def test_the_state_dict_is_the_plain_layer_s_and_the_mask():
    layer = egt.MaskedLinear(GRAPHS["regular"])
    assert list(layer.state_dict()) == ["weight", "bias", "mask"]
    other = egt.MaskedLinear(eg.random_bipartite(12, 7, n_edges=36, rng=9))
    other.load_state_dict(layer.state_dict())
    assert other.graph == layer.graph  # a checkpoint brings its wiring
    other.family = "regular"
    other.load_state_dict(layer.state_dict())
    assert other.family == "regular"  # the same wiring is still of the family
    other.load_state_dict(egt.MaskedLinear(GRAPHS["left_regular"]).state_dict())
    assert other.family == "given"


def test_evaluation_and_loading_zero_what_is_stored_off_the_mask():
    layer = egt.MaskedConv2d(GRAPHS["random"], 3)
    state = {name: torch.ones_like(tensor) for name, tensor in layer.state_dict().items()} | {"mask": layer.mask}
    for change in (nn.init.ones_, lambda weight: nn.Sequential(layer).eval().load_state_dict(
        {f"0.{name}": tensor for name, tensor in state.items()}
    )):  # fmt: skip
        change(layer.weight)
        nn.Sequential(layer).eval()
        assert torch.equal(layer.weight, weight_twin(layer, GRAPHS["random"]))
    layer.load_state_dict(state)
    assert torch.equal(layer.weight, weight_twin(layer, GRAPHS["random"]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_dtypes(kind, dtype):
    layer = BUILDERS[kind](GRAPHS["random"], dtype=dtype)
    assert layer.masked_weight().dtype == dtype
    assert layer(example_input(layer, dtype)).dtype == dtype


def test_infinite_weights_off_the_mask_do_no_harm():
    layer = egt.MaskedLinear(GRAPHS["random"])
    x = example_input(layer)
    expected = layer(x)
    with torch.no_grad():
        layer.weight.masked_fill_(~layer.mask, float("inf"))
    assert torch.equal(layer(x), expected)


def test_no_bias_and_the_meta_device():
    assert egt.MaskedLinear(GRAPHS["random"], bias=False).bias is None
    layer = egt.MaskedConv2d(GRAPHS["random"], 3, device="meta")
    assert layer.mask.is_meta
    assert layer(torch.empty(1, 12, 8, 8, device="meta")).shape == (1, 7, 6, 6)


@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_the_wiring_survives_the_meta_device(kind):
    """Whatever bytes ``to_empty`` leaves in the buffers, the topology is what was asked for."""
    g = GRAPHS["random"]
    built = BUILDERS[kind](g, device="meta")
    moved = BUILDERS[kind](g).to("meta")
    for layer in (built, copy.deepcopy(moved), pickle.loads(pickle.dumps(built)), moved.to(torch.float64)):
        assert layer.graph == g
        assert "density=0.357" in repr(layer)
        real = layer.to_empty(device="cpu")
        assert not real.mask.is_meta
        assert real.graph == g
        real.reset_parameters()
        assert torch.equal(real.weight, weight_twin(real, g))


def test_casting_everything_leaves_the_mask_bool():
    layer = egt.MaskedLinear(GRAPHS["random"]).type(torch.float64)
    assert (layer.mask.dtype, layer.weight.dtype) == (torch.bool, torch.float64)
    state = {name: tensor.double() for name, tensor in layer.state_dict().items()}
    layer.load_state_dict(state, assign=True)
    assert layer.mask.dtype == torch.bool
    assert layer(torch.ones(1, 12, dtype=torch.float64)).shape == (1, 7)


def test_convolutions_take_all_of_the_plain_layer_s_options():
    g = GRAPHS["random"]
    layer = egt.MaskedConv2d(g, (3, 1), 2, (1, 0), 2, bias=False, padding_mode="reflect")
    plain = nn.Conv2d(12, 7, (3, 1), 2, (1, 0), 2, bias=False, padding_mode="reflect")
    plain.load_state_dict({"weight": layer.weight.detach()})
    x = torch.randn(2, 12, 9, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_it_compiles_as_one_graph(kind):
    layer = BUILDERS[kind](GRAPHS["random"])
    x = example_input(layer)
    assert torch.allclose(torch.compile(layer, fullgraph=True, backend="eager")(x), layer(x))


def test_it_exports():
    layer = egt.MaskedLinear(GRAPHS["random"])
    x = example_input(layer)
    assert torch.allclose(torch.export.export(layer, (x,)).module()(x), layer(x))


# --- initialisation ---


@pytest.mark.parametrize("kind", BUILDERS)
def test_each_unit_is_scaled_by_its_own_fan_in(kind):
    """PyTorch's law, U(-1/sqrt(n), 1/sqrt(n)): weights fill the interval, and its ends depend on the unit."""
    torch.manual_seed(0)
    g = eg.BipartiteGraph.from_biadjacency(np.arange(400)[:, None] < [400, 100, 25, 1, 0])
    layer = BUILDERS[kind](g)
    kernel = layer.weight[0, 0].numel()
    for unit, fan_in in enumerate([400, 100, 25, 1, 0]):
        weights = layer.weight[unit].detach().abs()
        bound = (fan_in * kernel) ** -0.5 if fan_in else 0.0
        assert weights.max() <= bound + 1e-7
        assert weights.max() >= 0.9 * bound or fan_in == 1
        assert layer.bias[unit].abs() <= bound


def test_a_complete_graph_has_pytorch_s_own_law():
    torch.manual_seed(0)
    ours = egt.MaskedLinear(eg.random_bipartite(300, 300, p=1))
    theirs = nn.Linear(300, 300)
    assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.02)
    assert ours.weight.abs().max().item() == pytest.approx(theirs.weight.abs().max().item(), rel=0.001)


def test_reset_parameters_keeps_the_wiring():
    layer = egt.MaskedConv2d(GRAPHS["random"], 3)
    before = layer.weight.detach().clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)
    assert torch.equal(layer.weight, weight_twin(layer, GRAPHS["random"]))
    nn.init.ones_(layer.weight)
    assert layer.masked_weight().sum() == 9 * GRAPHS["random"].n_edges
