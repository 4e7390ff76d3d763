"""Traps that masks in PyTorch have sprung on others, one test a trap.

Some are tested elsewhere:

====================================================  ================================================================
trap                                                  test
====================================================  ================================================================
eval fast path of TransformerEncoderLayer             test_sparsify: test_transformers_fast_path_reads_stored_weights
out_proj of MultiheadAttention reads its weight       test_sparsify: test_layers_that_stay_dense_and_why
reset_parameters and init write dense values          test_layers: test_reset_parameters_keeps_the_wiring
a float mask upcasts bf16; inf * 0 is nan             test_layers: test_dtypes, test_infinite_weights_off_the_mask_...
dense fan-in: signals die out                         test_sparsify: test_signals_survive_ten_sparse_relu_layers
Bernoulli masks: inexact counts                       test_sparsify: test_totals_are_exact_and_planned
one of two tied modules masked                        test_sparsify: test_tied_layers_share_one_mask
to_empty leaves garbage in the mask                   test_layers: test_the_wiring_survives_the_meta_device
a checkpoint loads into other wiring without a word   test_topology: test_a_checkpoint_brings_its_wiring, test_or_it_...
a dense checkpoint into masked layers, strictly       test_topology: test_a_dense_checkpoint_loads_strictly_and_...
HF's Conv1D stores its weight as (in, out)            test_plan: test_classes_with_a_forward_of_their_own_can_be_...
a sparse state_dict does not fit the dense model      test_sparsify: test_bake_leaves_a_plain_model_that_computes_the...
multiplying by a mask at inference                    test_layers: test_a_layer_is_its_graph_and_its_plain_layer_w...
a digest after DDP's broadcast cannot differ          test_distributed: test_ranks_with_different_wiring_are_refused
FSDP2 shards the weight and not the mask              test_distributed: test_sharded_training_is_unsharded_training
====================================================  ================================================================

Those of criteria (quantiles, SynFlow) and of sparse execution (CSR parameters) belong to the tests of these.
"""

import copy
import pickle

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import expandergraphs as eg
import expandergraphs_torch as egt
from tests.torch.torchvision_shim import timm


def network(rng=0):
    """A small model with a convolution, a normalisation and two Linear layers."""
    return egt.sparsify(dense_network(), "random", density=0.3, rng=rng)


def dense_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 12), nn.Linear(12, 3)
    )


def batch():
    return torch.randn(5, 4, 4, 4, generator=torch.Generator().manual_seed(1))


def train(model, optimizer, n_steps=3, after=lambda: None):
    for _ in range(n_steps):
        optimizer.zero_grad()
        model(batch()).square().sum().backward()
        optimizer.step()
        after()


def off_mask(module, tensor=None):
    """What is stored where there is no edge."""
    return (module.weight if tensor is None else tensor).detach().masked_select(~module.mask)


def everything(model):
    """All that a call which is refused must leave alone."""
    words = {
        name: (type(module), getattr(module, "family", ""), getattr(module, "note", ""))
        for name, module in model.named_modules()
    }
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, words


def unchanged(model, before):
    tensors, words = everything(model)
    return (
        words == before[1]
        and tensors.keys() == before[0].keys()
        and all(tensors[name].dtype == old.dtype and torch.equal(tensors[name], old) for name, old in before[0].items())
    )


# --- copies and averages ---


def test_a_deep_copy_after_backward_trains_on_and_shares_nothing():
    """Trap: nn.utils.prune leaves a computed weight, which deepcopy refuses after the first forward."""
    model = network()
    train(model, torch.optim.SGD(model.parameters(), lr=0.1))
    model(batch()).sum().backward()
    other = copy.deepcopy(model)
    assert egt.topology_digest(other) == egt.topology_digest(model)
    before = everything(model)
    train(other, torch.optim.SGD(other.parameters(), lr=0.1))
    for module in egt.masked_modules(other).values():
        assert not off_mask(module).any()
        module.mask.logical_not_()
    assert unchanged(model, before)


AVERAGES = {
    "swa": {},
    "ema": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
    "ema with buffers": {"multi_avg_fn": get_ema_multi_avg_fn(0.9), "use_buffers": True},
    "swa with buffers": {"avg_fn": lambda a, b, n: a + (b - a) / (n + 1) if a.is_floating_point() else b,
                         "use_buffers": True},
}  # fmt: skip


@pytest.mark.parametrize("options", AVERAGES.values(), ids=AVERAGES)
def test_averaged_models_keep_the_wiring_and_average_what_is_there(options):
    """Trap: nn.utils.prune breaks EMA; and an average of masks must be a mask."""
    model, weights = network(), []
    averaged = AveragedModel(model, **options)

    def update():
        averaged.update_parameters(model)
        weights.append(model[4].weight.detach().clone())

    train(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), after=update)
    first, second, third = weights
    ema = "multi_avg_fn" in options
    expected = 0.9 * (0.9 * first + 0.1 * second) + 0.1 * third if ema else (first + second + third) / 3
    torch.testing.assert_close(averaged.module[4].weight, expected)
    assert egt.topology_digest(averaged.module) == egt.topology_digest(model)
    for module in egt.masked_modules(averaged).values():
        assert module.mask.dtype == torch.bool
        assert not off_mask(module).any()


def test_the_default_average_of_bool_buffers_is_refused_by_torch():
    """Trap: AveragedModel's default subtracts buffers, if asked for them; it must not fail silently.

    What works instead is in `AVERAGES`: an avg_fn that copies what is not floating point.
    """
    model = network()
    averaged = AveragedModel(model, use_buffers=True)
    averaged.update_parameters(model)
    with pytest.raises(RuntimeError, match="Subtraction, the `-` operator, with two bool tensors"):
        averaged.update_parameters(model)


@pytest.mark.parametrize("options", [{}, {"foreach": False}, {"exclude_buffers": True}], ids=str)
def test_timm_s_average_keeps_the_wiring(options):
    """Trap: EMA of buffers, in timm's way."""
    model = network()
    averaged = timm.utils.ModelEmaV3(model, decay=0.9, **options)
    train(model, torch.optim.SGD(model.parameters(), lr=0.1), after=lambda: averaged.update(model))
    assert egt.topology_digest(averaged.module) == egt.topology_digest(model)
    assert not torch.equal(averaged.module[4].weight, model[4].weight)
    for module in egt.masked_modules(averaged).values():
        assert module.mask.dtype == torch.bool
        assert not off_mask(module).any()


# --- attention ---


def test_models_with_attention_train_for_more_than_one_step():
    """Trap: nn.utils.prune fails at the second backward inside MultiheadAttention."""
    torch.manual_seed(0)
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False
    )
    egt.sparsify(model, "regular", density=0.5, rng=0)
    assert list(egt.masked_modules(model)) == [f"layers.{i}.linear{j}" for i in (0, 1) for j in (1, 2)]
    twin = egt.bake(copy.deepcopy(model))
    masks = {f"{name}.weight": module.mask for name, module in egt.masked_modules(model).items()}
    x = torch.randn(3, 5, 8)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (model, twin)]
    for _ in range(3):
        for each, optimizer in zip((model, twin), optimizers, strict=True):
            optimizer.zero_grad()
            each(x).square().mean().backward()
            for name, parameter in each.named_parameters():
                if name in masks:  # the twin's gradients, masked by hand
                    parameter.grad.mul_(masks[name])
            optimizer.step()
    for (name, one), two in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6), name
    model.eval()
    with torch.no_grad():  # the fast path
        torch.testing.assert_close(model(x), egt.bake(copy.deepcopy(model))(x))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_nested_tensors_in_the_fast_path():
    """Trap: TransformerEncoder with a padding mask hands nested tensors to code that reads stored weights."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = egt.sparsify(nn.TransformerEncoder(layer, 2), "regular", density=0.5, rng=0)
    with torch.no_grad():
        model.layers[0].linear1.weight.add_(1)
    model.eval()
    x, padding = torch.randn(2, 5, 8), torch.arange(5).expand(2, 5) >= torch.tensor([[3], [5]])
    slow = model.train()(x, src_key_padding_mask=padding)
    model.eval()
    with torch.no_grad():
        fast = model(x, src_key_padding_mask=padding)
    torch.testing.assert_close(fast[~padding], slow[~padding].detach())


# --- parametrisations ---


def test_names_classes_and_pickles_are_those_of_the_plain_model():
    """Trap: parametrizations and pruning rename keys, cannot be pickled, and hide the class."""
    model, plain = network(), dense_network()
    train(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert [key for key in model.state_dict() if not key.endswith(".mask")] == list(plain.state_dict())
    assert all(isinstance(a, type(b)) for a, b in zip(model.modules(), plain.modules(), strict=True))
    other = pickle.loads(pickle.dumps(model))
    assert unchanged(other, everything(model))
    assert [type(module) for module in egt.bake(model)] == [type(module) for module in plain]


@pytest.mark.parametrize("change", [lambda layer: prune.l1_unstructured(layer, "weight", 5),
                                    parametrizations.weight_norm, parametrizations.spectral_norm],
                         ids=["prune", "weight_norm", "spectral_norm"])  # fmt: skip
def test_a_weight_computed_from_others_stays_masked(change):
    """Trap: someone prunes or normalises a masked layer, and its weight is no parameter any more."""
    model = network()
    change(model[4])
    train(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    assert not off_mask(model[4], model[4].masked_weight()).any()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    egt.zero_off_mask(model, optimizer)
    expected = model.eval()(batch())
    if parametrize.is_parametrized(model[4]):
        parametrize.remove_parametrizations(model[4], "weight")
        assert type(model[4]) is egt.MaskedLinear
    else:
        prune.remove(model[4], "weight")
    torch.testing.assert_close(model(batch()), expected)
    torch.testing.assert_close(egt.bake(model)(batch()), expected)


# --- momentum ---

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.1, amsgrad=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.1, foreach=False),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.1, momentum=0.9, centered=True),
}


@pytest.mark.parametrize("reloaded", [False, True])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_momentum_from_dense_training_is_cut(make, reloaded):
    """Trap: momentum from before goes on moving weights that are no longer there, by .09 with SGD, .03 with Adam."""
    model = dense_network()
    optimizer = make(model.parameters())
    train(model, optimizer)
    egt.sparsify(model, "random", density=0.3, rng=0)
    if reloaded:
        saved, optimizer = copy.deepcopy(optimizer.state_dict()), make(model.parameters())
        optimizer.load_state_dict(saved)
    careless, its_optimizer = copy.deepcopy((model, optimizer))
    train(careless, its_optimizer, 1)
    assert off_mask(careless[4]).abs().max() > 0.01
    assert not off_mask(careless[4], careless[4].masked_weight()).any()

    egt.zero_off_mask(model, optimizer)
    for module in egt.masked_modules(model).values():
        state = [item for item in optimizer.state[module.weight].values() if item.shape == module.weight.shape]
        assert state
        assert not any(off_mask(module, item).any() for item in state)
        assert all(item.any() for item in state)  # what is on the mask is left
    train(model, optimizer)
    for module in egt.masked_modules(model).values():
        assert not off_mask(module).any()


def test_an_optimizer_s_copied_state_belongs_to_the_copied_model():
    """Trap: zeroing the state of an optimizer of another model would do nothing without a word."""
    model = network()
    optimizer = torch.optim.SGD(dense_network().parameters(), lr=0.1, momentum=0.9)
    egt.zero_off_mask(model, optimizer)  # allowed: parameters that an optimizer does not know have no state
    assert not optimizer.state


# --- checkpoints ---


def test_a_plain_model_made_masked_by_a_checkpoint_shares_nothing_with_it():
    """Trap: with the checkpoint's own tensor as its mask, new wiring in one model rewires the other."""
    trained = network()
    model = egt.load_state_dict(dense_network(), trained.state_dict())
    before = everything(trained)
    model.load_state_dict(network(rng=1).state_dict())
    assert unchanged(trained, before)


# --- shared weights ---


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 3)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.head(self.two(torch.relu(self.one(x))))


def test_tied_layers_go_through_safetensors(tmp_path):
    """Trap: safetensors refuses shared tensors, so a shared weight and its mask are stored once, and must come back."""
    model = egt.sparsify(Tied(), "random", density=0.5, rng=0)
    x = torch.randn(2, 8)
    save_model(model, tmp_path / "tied.safetensors")
    other = egt.sparsify(Tied(), "random", density=0.5, rng=1)
    load_model(other, tmp_path / "tied.safetensors")
    assert other.one.weight is other.two.weight
    assert egt.topology_digest(other) == egt.topology_digest(model)
    assert torch.equal(other(x), model(x))
    save_model(egt.bake(model), tmp_path / "baked.safetensors")
    plain = Tied()
    load_model(plain, tmp_path / "baked.safetensors")
    assert torch.equal(plain(x), model(x))


def test_a_checkpoint_s_wiring_reaches_both_of_two_tied_layers():
    """Trap: with one mask in memory, the second layer sees no change, and goes on naming a family and a seed."""
    model = egt.sparsify(Tied(), "random", density=0.5, rng=0)
    model.load_state_dict(egt.sparsify(Tied(), "random", density=0.5, rng=1).state_dict())
    assert model.one.graph == model.two.graph
    assert [(module.family, module.recipe) for module in egt.masked_modules(model).values()] == [("given", None)] * 3


def test_tied_layers_stay_tied_through_copies_and_training():
    """Trap: one of two tied modules masked, or each with a mask of its own."""
    model = copy.deepcopy(egt.sparsify(Tied(), "random", density=0.5, rng=0))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(2, 8)).sum().backward()
        optimizer.step()
    assert model.one.weight is model.two.weight
    assert model.one.graph == model.two.graph
    assert not off_mask(model.one).any()
    plain = egt.load_state_dict(Tied(), model.state_dict())
    assert plain.one.weight is plain.two.weight
    assert list(egt.masked_modules(plain)) == ["one", "two", "head"]


# --- the meta device ---


def test_to_empty_and_garbage():
    """Trap: whatever bytes `to_empty` leaves in a bool mask, the topology is what it was, in copies and checkpoints."""
    with torch.device("meta"):
        model = dense_network()
    egt.sparsify(model, "random", density=0.3, rng=0)
    model.to_empty(device="cpu")
    for module in egt.masked_modules(model).values():
        module.weight.data.view(torch.uint8).fill_(255)  # nan everywhere
    expected = network().eval()
    assert egt.topology_digest(model) == egt.topology_digest(expected)
    model.load_state_dict(egt.dense_state_dict(expected))
    assert torch.equal(model.eval()(batch()), expected(batch()))


def test_a_checkpoint_assigned_to_a_meta_model():
    """Trap: `load_state_dict(assign=True)`, the other way out of the meta device."""
    expected = network(rng=1).eval()
    with torch.device("meta"):
        model = dense_network()
    egt.sparsify(model, "random", density=0.3, rng=0)
    model.load_state_dict(expected.state_dict(), assign=True)
    assert egt.topology_digest(model) == egt.topology_digest(expected)
    assert torch.equal(model.eval()(batch()), expected(batch()))
    assert not model[4].mask.is_meta


# --- which layers ---


def test_layers_with_a_forward_of_their_own_stay_dense():
    """Trap: timm's ScaledStdConv2d and Conv2dSame standardise the weight, or pad, in a forward of their own."""
    model = nn.Sequential(timm.layers.ScaledStdConv2d(4, 8, 3), timm.layers.Conv2dSame(8, 8, 3), nn.Conv2d(8, 4, 1))
    x = torch.randn(2, 4, 6, 6)
    expected = model[:2](x)
    planned = egt.plan(model, "random", density=0.5)
    assert [row.family for row in planned.layers] == ["dense", "dense", "random"]
    assert ["no masked class is registered for it" in row.note for row in planned.layers] == [True, True, False]
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert list(egt.masked_modules(model)) == ["2"]
    assert torch.equal(model[:2](x), expected)
    with pytest.raises(ValueError, match="ScaledStdConv2d has a forward of its own"):
        egt.plan(nn.Sequential(timm.layers.ScaledStdConv2d(4, 8, 3)), "random", density=0.5)


def test_grouped_convolutions_get_a_graph_a_group_and_depthwise_ones_none():
    """Trap: a channel graph of a depthwise convolution has one edge a group; pruning it kills channels."""
    model = nn.Sequential(nn.Conv2d(16, 32, 3, groups=4), nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 64, 1))
    planned = egt.plan(model, "regular", density=0.5)
    assert [(row.n_edges, row.note) for row in planned.layers] == [
        (64, ""), (32, "it is depthwise"), (1024, "")
    ]  # fmt: skip
    egt.sparsify(model, "regular", density=0.5, rng=0)
    g = model[0].graph
    left, right = g.edges.T
    assert (left // 4 == right // 8).all()
    assert set(g.left_degrees.tolist()) == {4}
    graphs = [egt.graph_from_mask(mask) for mask in model[0].mask.split(8)]
    assert len(set(graphs)) > 1  # not one graph repeated
    assert all(graph.n_edges == 16 for graph in graphs)
    assert type(model[1]) is nn.Conv2d


def test_dead_outputs_are_reported_and_exact_families_have_none():
    """Trap: Bernoulli masks leave 9 % of 256 outputs without an input at 1 %."""
    bernoulli = eg.random_bipartite(256, 256, p=0.01, rng=0)
    model = egt.sparsify(nn.Sequential(nn.Linear(256, 256, bias=False)), {"0": bernoulli}, init="keep")
    outputs = model(torch.rand(4, 256))
    dead = (outputs == 0).all(dim=0).sum()
    assert dead == (bernoulli.right_degrees == 0).sum() > 10
    row = egt.summary(model).layers[0]
    assert row.out_degrees.isolated == dead
    model = egt.sparsify(nn.Sequential(nn.Linear(256, 256)), "regular", density=0.012, rng=0)
    assert egt.summary(model).dead_units == 0
