"""More small promises of the adapter that a mutation of the code broke unnoticed: plans, errors, recipes, loading."""

import copy

import pytest
import torch
from torch import nn

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
    for name in ("mask", "family", "note", "recipe", "graph", "topology", "layout"):
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


def test_a_layer_wired_again_does_not_spoil_the_recipe_of_the_others():
    model = egt.sparsify(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), "regular", density=0.5, rng=0)
    egt.bake(model[1])
    egt.sparsify(model, "regular", density=0.25, include="1", rng=1)
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
