"""More small promises of the adapter that a mutation of the code broke unnoticed: plans, errors, recipes, loading."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs_torch.layers import MASKED_CLASSES


class _Transposed(nn.Module):
    """A layer whose weight is (in, out), and which does not say so itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.register_parameter("bias", None)

    def forward(self, x):
        return x @ self.weight


class _MaskedTransposed(egt.Masked, _Transposed):
    transposed = True

    def forward(self, x):
        return x @ self.masked_weight()


def test_a_registered_class_says_that_its_weight_lies_the_other_way(monkeypatch):
    monkeypatch.setitem(MASKED_CLASSES, _Transposed, _MaskedTransposed)
    model, g = nn.Sequential(_Transposed()), eg.random_bipartite(6, 4, n_edges=9, rng=0)
    assert egt.plan(model, {"0": g}).layers[0].shape[:2] == (6, 4)
    egt.sparsify(model, {"0": g})
    assert model[0].graph == g
    assert model(torch.eye(6)).ne(0).equal(torch.from_numpy(g.biadjacency.toarray() != 0))


def test_a_plan_of_ready_graphs_counts_the_pairs_inside_groups():
    half = eg.BipartiteGraph.from_edges(
        8, 16, [(i, j) for i in range(8) for j in range(16) if i // 2 == j // 4 and j % 2]
    )
    planned = egt.plan(nn.Conv2d(8, 16, 3, groups=4), {"": half})
    assert planned.density == planned.layers[0].density == 0.5


def test_a_plan_counts_the_starved_inputs_of_all_groups():
    planned = egt.plan(nn.Conv2d(8, 16, 1, groups=4), "random", n_edges=5)
    assert planned.layers[0].note == "11 or more outputs receive nothing; 3 or more inputs lead to nothing"


def test_a_degree_of_single_weights_that_was_clipped_is_said():
    clipped = egt.plan(nn.Conv2d(4, 8, 3), "left_regular", degree=9, pattern="weight")
    assert clipped.density == 1
    assert "degree 9 clipped" in clipped.layers[0].note
    assert not egt.plan(nn.Conv2d(4, 8, 3), "left_regular", degree=8, pattern="weight").layers[0].note


def test_an_attribute_that_a_masked_layer_would_hide_is_named():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for name in ("mask", "family", "note", "recipe", "executes", "graph", "topology", "layout"):
        setattr(model[0], name, "its own")
        assert repr(name) in egt.plan(model, "random", density=0.5).layers[0].note
        delattr(model[0], name)


@pytest.mark.parametrize("layer", [nn.Linear(8, 6), nn.Linear(6, 8), nn.Conv2d(16, 8, 1, groups=4)])
def test_blocks_divide_both_sides(layer):
    with pytest.raises(ValueError, match="blocks of 4 do not divide"):
        egt.plan(layer, "random", density=0.5, block=4)


def test_a_transposed_convolution_takes_every_option():
    g, options = eg.random_bipartite(4, 6, n_edges=12, rng=0), {"stride": 3, "padding": 1, "dilation": 2}
    layer = egt.MaskedConvTranspose2d(g, 3, output_padding=1, bias=False, **options)
    plain = egt.bake(copy.deepcopy(layer))
    assert type(plain) is nn.ConvTranspose2d
    x = torch.randn(2, 4, 5, 5)
    expected = nn.functional.conv_transpose2d(x, plain.weight, output_padding=1, **options)
    torch.testing.assert_close(layer(x), expected)


def test_pytorch_s_own_loading_refuses_a_mask_of_another_shape():
    model = egt.sparsify(nn.Sequential(nn.Linear(6, 4)), "random", density=0.5, rng=0)
    before = model[0].graph
    with pytest.raises(RuntimeError, match="size mismatch"):
        model.load_state_dict(model.state_dict() | {"0.mask": torch.ones(1, 6, dtype=torch.bool)})
    assert model[0].graph == before


def test_a_function_that_swaps_the_sides_is_refused():
    def swapped(n_left, n_right, n_edges, rng):
        return eg.random_bipartite(n_right, n_left, n_edges=n_edges, rng=rng)

    with pytest.raises(ValueError, match="asked for 6 x 4 with 12 edges"):
        egt.sparsify(nn.Linear(6, 4), swapped, density=0.5)


def test_a_plan_in_blocks_states_the_density_of_single_edges():
    planned = egt.plan(nn.Linear(8, 4), "random", density=0.5, block=2)
    assert planned.density == planned.layers[0].density == 0.5


def test_what_is_wrong_with_the_request_is_not_blamed_on_the_layers():
    with pytest.raises(ValueError, match=r"^pattern must be"):
        egt.plan(nn.Linear(8, 4), "random", density=0.5, pattern="kernel")


def test_a_weight_that_another_layer_uses_past_any_mask_stays_dense():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    model[1].forward = lambda x: x @ model[1].weight.T
    first, second, _ = egt.plan(model, "random", density=0.5).layers
    assert (first.family, second.family) == ("dense", "dense")
    assert "shared with '1'" in first.note
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert list(egt.masked_modules(model)) == ["2"]


@pytest.mark.parametrize("name", ["0", "1"])
def test_a_layer_wired_again_does_not_spoil_the_recipe_of_the_others(name):
    model = egt.sparsify(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), "regular", density=0.5, rng=0)
    egt.bake(model.get_submodule(name))
    egt.sparsify(model, "regular", density=0.25, include=name, rng=1)
    again = egt.rebuild(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), egt.topology_config(model))
    assert egt.topology(again) == egt.topology(model)


def test_the_digest_tells_shapes_apart():
    wide, tall = (egt.sparsify(nn.Linear(*sizes), "random", density=1, rng=0) for sizes in [(6, 4), (4, 6)])
    assert egt.topology_digest(wide) != egt.topology_digest(tall)


def test_what_an_optimizer_keeps_in_another_shape_is_left_alone():
    model = egt.sparsify(nn.Linear(6, 4), "random", density=0.5, rng=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.state[model.weight] = {"rows": torch.ones(4, 1), "whole": torch.ones(4, 6)}
    egt.zero_off_mask(model, optimizer)
    assert optimizer.state[model.weight]["rows"].all()
    assert optimizer.state[model.weight]["whole"].bool().equal(model.mask)


# --- weights that are read past their layer ---


class _Attention(nn.Module):
    """Reads the weight of one layer itself, and asks what the others' are."""

    def __init__(self):
        super().__init__()
        self.qkv, self.value, self.out = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8)), nn.Linear(8, 8)
        with torch.no_grad():
            self.out.weight.copy_(self.qkv.weight)
        self.extra = None

    def forward(this, x):
        x = nn.functional.linear(x.to(this.out.weight.dtype), weight=this.qkv.weight)
        if isinstance(this.out.weight, torch.Tensor) and this.out.weight.size(0) == 8:
            x = this.out(x) - this.out.bias
        if this.extra is not None:
            x = x @ this.extra.weight
        return this._forward_value(x)

    def _forward_value(self, x):
        return x @ self.value[0].weight[:4].T


def test_a_weight_that_attention_reads_itself_stays_dense():
    """As in the Swin transformers: a mask in the layer's forward would never be seen, and training would undo it."""
    model = nn.Sequential(nn.Linear(8, 8), _Attention())
    x = torch.randn(3, 8)
    reason = "_Attention reads its weight itself, past any mask"
    notes = {row.name: row.note for row in egt.plan(model, "random", density=0.5).layers}
    assert notes == {"0": "", "1.qkv": reason, "1.value.0": reason, "1.out": ""}
    with pytest.raises(ValueError, match=f"layer '1.qkv' cannot be included: {reason}"):
        egt.sparsify(model, "random", density=0.5, include="1.qkv")
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert list(egt.masked_modules(model)) == ["0", "1.out"]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model(x).square().sum().backward()
        optimizer.step()
    assert torch.equal(model(x), egt.bake(copy.deepcopy(model))(x))


def test_a_layer_tied_to_one_that_is_read_past_its_forward_stays_dense():
    model = nn.Sequential(nn.Linear(8, 8), _Attention(), nn.Linear(8, 8))
    model[0].weight = model[1].qkv.weight
    assert list(egt.masked_modules(egt.sparsify(model, "random", density=0.5, rng=0))) == ["1.out", "2"]


def test_classes_without_source_are_taken_at_their_word():
    words = {"nn": nn}
    exec("class Plain(nn.Module):\n    def forward(self, x):\n        return self.fc.weight @ x", words)
    model = words["Plain"]()
    model.fc = nn.Linear(8, 8)
    assert egt.plan(model, "random", density=0.5).layers[0].family == "random"


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float8_e4m3fn])
def test_weights_that_are_no_floating_point_numbers_stay_dense(dtype):
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[0].weight = nn.Parameter(torch.ones(8, 8).to(dtype), requires_grad=False)
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert type(model[0]) is nn.Linear
    assert str(dtype) in egt.summary(model).layers[0].note


def test_quantised_weights_stay_dense():
    class Quantised(torch.Tensor):
        pass

    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[0].weight = nn.Parameter(torch.ones(8, 8).as_subclass(Quantised))
    egt.sparsify(model, "random", density=0.5, rng=0)
    assert list(egt.masked_modules(model)) == ["1"]
    assert "Quantised" in egt.summary(model).layers[0].note


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float16, torch.float64])
def test_other_numbers_become_sparse(dtype):
    model = egt.sparsify(nn.Sequential(nn.Linear(8, 8, dtype=dtype)), "random", density=0.5, rng=0)
    assert model[0].masked_weight().dtype == dtype
    assert model[0].weight.count_nonzero() == 32


def test_layers_that_stay_dense_anyway_may_be_excluded():
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2), "plain": nn.Linear(8, 8)})
    egt.sparsify(model, "random", density=0.5, exclude=["attention", nn.MultiheadAttention], rng=0)
    assert list(egt.masked_modules(model)) == ["plain"]


def test_prune_leaves_subclasses_of_masked_layers_alone():
    class Own(egt.MaskedLinear):
        pass

    model = nn.Sequential(Own(eg.random_regular(8, 8, 4, rng=0)), nn.Linear(8, 8))
    egt.prune(model, "random", density=0.25, rng=0)
    assert [module.graph.n_edges for module in egt.masked_modules(model).values()] == [32, 16]
    with pytest.raises(ValueError, match="layer '0' cannot be included"):
        egt.prune(model, "random", density=0.25, include="0")


def test_one_starved_unit_is_said_and_unknown_shapes_hold_nothing():
    planned = egt.plan(nn.Sequential(nn.Linear(2, 4), nn.LazyLinear(3)), "random", n_edges=3)
    assert planned.layers[0].note == "1 or more outputs receive nothing"
    assert (planned.layers[1].n_edges, planned.layers[1].density) == (0, 0.0)


# --- weights that are computed ---


def test_layers_with_normalised_weights_are_each_counted():
    """A weight that is computed anew at each reading may come to lie where another did."""
    layers = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(16, 16))
    model = egt.sparsify(layers, "random", n_edges=200, budget="erk", rng=0)
    total = sum(parameter.numel() for parameter in model.parameters())
    for layer in model:
        parametrizations.weight_norm(layer)
    result, total = egt.summary(model), total + 8 + 16 + 16
    assert egt.density(model) == result.density == 200 / 448
    assert result.n_edges == 200
    assert result.remaining == pytest.approx(100 * (total - 248) / total)


# --- memory ---


@pytest.mark.parametrize("layer", [nn.Linear(64, 64), nn.Conv2d(8, 8, 3)])
def test_to_empty_of_a_real_model_leaves_the_wiring(layer, monkeypatch):
    model = egt.sparsify(nn.Sequential(layer), "random", density=0.3, rng=0)
    before, empty_like = egt.topology_digest(model), torch.empty_like

    def garbage(tensor, *, device):
        return empty_like(tensor, device=device).fill_(1)

    monkeypatch.setattr(torch, "empty_like", garbage)
    model.to_empty(device="cpu")
    assert (model[0].weight == 1).all()
    assert egt.topology_digest(model) == before
    assert not model[0].masked_weight().masked_select(~model[0].mask).any()


def test_moving_keeps_memory_formats_and_what_backward_needs():
    model = egt.sparsify(nn.Sequential(nn.Conv2d(8, 8, 3)), "random", density=0.3, pattern="weight", rng=0)
    before = egt.topology_digest(model)
    model.to(memory_format=torch.channels_last)
    assert model[0].mask.is_contiguous(memory_format=torch.channels_last)
    output = model(torch.randn(2, 8, 4, 4))
    model.float().share_memory()
    output.sum().backward()
    assert model[0].mask.is_shared()
    assert egt.topology_digest(model) == before


def test_the_mask_is_held_once_and_the_graph_is_read_from_it():
    model = egt.sparsify(nn.Linear(8, 4), "random", density=0.5, rng=0)
    model.mask.fill_(True)
    assert model.graph.n_edges == 32
    assert not any(isinstance(value, torch.Tensor) for value in vars(model).values())
    model.to("meta").to_empty(device="cpu")
    model.mask.fill_(False)
    assert model.graph.n_edges == 0


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_transposed_convolutions_in_other_types_and_sizes(dimensions):
    make = getattr(egt, f"MaskedConvTranspose{dimensions}d")
    g, options = eg.random_bipartite(4, 6, n_edges=12, rng=0), {"stride": 3, "dilation": 2, "padding": 1}
    layer = make(g, 3, dtype=torch.float64, **options)
    assert layer.weight.dtype == layer.bias.dtype == torch.float64
    x, size = torch.randn(2, 4, *[4] * dimensions, dtype=torch.float64), [13] * dimensions
    expected = egt.bake(copy.deepcopy(layer))(x, size)
    assert list(expected.shape[2:]) == size
    assert torch.equal(layer(x, size), expected)


# --- names ---


class _Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)
        self.b = self.a


def test_edges_and_graphs_may_be_given_under_any_name_but_not_two_kinds():
    one, two = (eg.random_regular(8, 8, 2, rng=seed) for seed in (0, 1))
    assert egt.plan(_Twice(), "random", budget={"b": 10}).edges == {"a": 10}
    assert egt.sparsify(_Twice(), {"b": one}).a.graph == one
    assert egt.sparsify(_Twice(), {"a": one, "b": one}).a.graph == one
    for family, options in [("random", {"budget": {"a": 10, "b": 12}}), ({"a": one, "b": two}, {})]:
        with pytest.raises(ValueError, match=r"\['a', 'b'\] are names of one layer, and need the same"):
            egt.plan(_Twice(), family, **options)


# --- configurations ---


def _two(n_out=8):
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, n_out))


def _bake_one(model):
    egt.bake(model[1])


def _replace_one(model):
    model[1] = nn.Linear(8, 3)


def _remove_one(model):
    del model[1]


@pytest.mark.parametrize("change", [_bake_one, _replace_one, _remove_one])
def test_a_model_that_has_lost_a_layer_still_has_a_configuration(change):
    model = egt.sparsify(_two(), "regular", density=0.5, rng=0)
    change(model)
    config = json.loads(json.dumps(egt.topology_config(model)))
    again = egt.rebuild(egt.bake(copy.deepcopy(model)), config)
    assert egt.topology(again) == egt.topology(model)
    assert egt.topology_config(again) == config
    model = egt.sparsify(_two(), "radix", density=0.5, rng=0)
    change(model)
    with pytest.raises(ValueError, match="layer '0' does not have the wiring of its seed under this name"):
        egt.topology_config(model)


def test_a_part_of_a_model_has_no_configuration_of_its_own():
    model = egt.sparsify(nn.Sequential(_two(), nn.Linear(8, 8)), "regular", density=0.5, rng=0)
    with pytest.raises(ValueError, match="layer '0' does not have the wiring of its seed under this name"):
        egt.topology_config(model[0])
    model[1].mask.logical_not_()
    with pytest.raises(ValueError, match="layer '1' does not have the wiring of its seed"):
        egt.topology_config(model)


def test_seeds_of_several_numbers_go_through_json():
    model = _two()
    for name, entropy in [("0", [1, 2**40]), ("1", [1, 3])]:
        rng = np.random.SeedSequence(np.array(entropy))
        egt.sparsify(model, "regular", density=0.5, include=name, exclude=list(egt.masked_modules(model)), rng=rng)
    config = json.loads(json.dumps(egt.topology_config(model)))
    assert egt.topology(egt.rebuild(_two(), config)) == egt.topology(model)


ODD_CONFIGURATIONS = [
    lambda config: config["recipes"][0].update(entropy="a"),
    lambda config: config["recipes"][0].update(entropy=1.5),
    lambda config: config["recipes"][0].update(edges={"0": "a"}),
    lambda config: config["recipes"][0].update(edges=None),
    lambda config: config["recipes"][0].update(edges=[]),
    lambda config: config["recipes"][0].update(edges="0"),
    lambda config: config["recipes"][0].update(spawn_key=["a"]),
    lambda config: config.update(recipes=[[]]),
    lambda config: config.update(recipes=3),
    lambda config: config.update(version="1"),
]


@pytest.mark.parametrize("change", ODD_CONFIGURATIONS)
def test_whatever_a_configuration_holds_it_is_refused_as_a_value_error(change):
    config = egt.topology_config(egt.sparsify(_two(), "regular", density=0.5, rng=0))
    change(config)
    model = _two()
    with pytest.raises(ValueError):  # noqa: PT011
        egt.rebuild(model, config)
    assert not egt.masked_modules(model)


# --- checkpoints ---


class _Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8, bias=False)
        self.two.weight = self.one.weight


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_a_checkpoint_with_two_masks_for_one_weight_is_refused(sparse, missing):
    state = egt.sparsify(_Tied(), "random", density=0.5, rng=0).state_dict()
    state["two.mask"] = ~state["two.mask"]
    if missing:
        del state["two.mask"]
    model = egt.sparsify(_Tied(), "random", density=0.5, rng=1) if sparse else _Tied()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="layers 'one' and 'two' share a weight, and would not have the same mask"):
        egt.load_state_dict(model, state, strict=False)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_mask_may_be_missing_where_the_wiring_stays():
    model = egt.sparsify(_Tied(), "random", density=0.5, rng=0)
    state = {key: tensor for key, tensor in model.state_dict().items() if key != "two.mask"}
    graph = model.one.graph
    assert egt.load_state_dict(model, state).two.graph == graph


def test_wiring_from_a_checkpoint_is_given_and_not_for_layers_that_cannot_carry_it():
    state = egt.sparsify(_two(), "random", density=0.5, rng=0).state_dict()
    model = egt.load_state_dict(_two(), state, topology="replace")
    assert [module.family for module in egt.masked_modules(model).values()] == ["given", "given"]
    doubled = {key: 2.0 * tensor if key.endswith("mask") else tensor for key, tensor in state.items()}
    egt.load_state_dict(model, doubled, topology="raise")  # any number but zero
    other = _two()
    other[0].family = "its own"
    with pytest.raises(RuntimeError, match=r"'0\.mask' is unexpected"):
        egt.load_state_dict(other, state)


def test_lazy_layers_take_their_shapes_from_a_checkpoint():
    trained = egt.sparsify(_two(), "random", density=0.5, include="1", rng=0)
    model = egt.load_state_dict(nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 8)), trained.state_dict())
    x = torch.randn(2, 8)
    assert torch.equal(model(x), trained(x))


def test_what_is_no_mask_or_no_checkpoint_is_refused():
    model = egt.sparsify(_two(), "random", density=0.5, rng=0)
    for mask in ([1], torch.ones(8, 8, device="meta")):
        for load in (model.load_state_dict, lambda state: egt.load_state_dict(_two(), state)):
            with pytest.raises(RuntimeError, match=r"0\.mask"):
                load(model.state_dict() | {"0.mask": mask})
    with pytest.raises(ValueError, match="a state_dict is needed, got list"):
        egt.load_state_dict(model, [1])


def test_html_is_escaped():
    planned = egt.plan(nn.ModuleDict({"<b>": nn.Linear(4, 4)}), "random", density=0.5)
    assert "&lt;b&gt;" in planned._repr_html_()
    assert "<b>" not in planned._repr_html_()


def test_gradients_are_zeroed_off_the_mask_too():
    model = egt.sparsify(nn.Linear(6, 4), "random", density=0.5, rng=0)
    model.weight.grad = torch.ones(4, 6)
    egt.zero_off_mask(model)
    assert model.weight.grad.bool().equal(model.mask)


def test_a_dense_state_dict_carries_no_gradients():
    state = egt.dense_state_dict(egt.sparsify(nn.Linear(6, 4), "random", density=0.5, rng=0))
    assert not any(tensor.requires_grad for tensor in state.values())
