"""Grouped and transposed convolutions, and patterns of single weights: the mask means the graph, entry by entry."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs.generators.family import draw_layer
from expandergraphs_torch.masks import Layout

BUILDERS = {
    (False, 1): (egt.MaskedConv1d, nn.Conv1d),
    (False, 2): (egt.MaskedConv2d, nn.Conv2d),
    (False, 3): (egt.MaskedConv3d, nn.Conv3d),
    (True, 1): (egt.MaskedConvTranspose1d, nn.ConvTranspose1d),
    (True, 2): (egt.MaskedConvTranspose2d, nn.ConvTranspose2d),
    (True, 3): (egt.MaskedConvTranspose3d, nn.ConvTranspose3d),
}


@st.composite
def layers(draw):
    groups, kernel = draw(st.integers(1, 3)), tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    sides = [draw(st.integers(1, 4)) * groups for _ in range(2)]
    shape, pattern = eg.LayerShape(*sides, kernel, groups), draw(st.sampled_from(["channel", "weight"]))
    n_edges = draw(st.integers(0, shape.grid(pattern).n_pairs))
    g = draw_layer("random", shape, n_edges, pattern=pattern, rng=draw(st.integers(0, 99)))
    return shape, pattern, g, draw(st.booleans())


def mask_twin(shape, g, transposed):
    """The full mask, entry by entry, from what an edge means."""
    n_left, n_right, kernel, groups = shape
    entries = list(itertools.product(*map(range, kernel)))
    by_weight = g.n_left != n_left
    sides = (n_left, n_right // groups) if transposed else (n_right, n_left // groups)
    mask = torch.zeros(*sides, *kernel, dtype=torch.bool)
    for left, j in g.edges.tolist():
        i, positions = (left // len(entries), [entries[left % len(entries)]]) if by_weight else (left, entries)
        place = (i, j % (n_right // groups)) if transposed else (j, i % (n_left // groups))
        for position in positions:
            mask[(*place, *position)] = True
    return mask


@given(layers())
def test_a_layer_has_the_mask_of_its_graph_and_computes_with_it(example):
    shape, pattern, g, transposed = example
    masked, plain = BUILDERS[transposed, len(shape.kernel)]
    layer = masked(g, shape.kernel, padding=1, groups=shape.groups, pattern=pattern)
    twin = mask_twin(shape, g, transposed)
    assert torch.equal(layer.mask.expand_as(layer.weight), twin)
    assert layer.graph == g
    assert torch.equal(layer.weight != 0, twin & (layer.weight != 0))
    dense = plain(*shape[:2], shape.kernel, padding=1, groups=shape.groups)
    with torch.no_grad():
        layer.weight.normal_()  # off the mask too
        dense.weight.copy_(torch.where(twin, layer.weight, 0.0))
        dense.bias.copy_(layer.bias)
        x = torch.randn(2, shape.n_left, *[4] * len(shape.kernel))
        torch.testing.assert_close(layer(x), dense(x))


@given(layers())
def test_each_output_is_scaled_by_the_weights_that_reach_it(example):
    shape, pattern, g, transposed = example
    layout, twin = Layout(shape, transposed), mask_twin(shape, g, transposed)
    expected = np.zeros(shape.n_right)
    per_edge = 1 if pattern == "weight" and math.prod(shape.kernel) > 1 else math.prod(shape.kernel)
    np.add.at(expected, g.edges[:, 1], per_edge)
    mask = layout.mask(g)
    np.testing.assert_array_equal(layout.fan_in(mask).numpy(), expected)
    spread = layout.by_unit(torch.arange(shape.n_right)).expand(twin.shape)
    for i, j in itertools.product(range(shape.n_left), range(shape.n_right)):
        left, right = shape.n_left // shape.groups, shape.n_right // shape.groups
        if i // left == j // right:
            place = (i, j % right) if transposed else (j, i % left)
            assert (spread[place] == j).all()


@pytest.mark.parametrize("pattern", ["channel", "weight"])
def test_the_scale_of_transposed_outputs_survives(pattern):
    """Stride 2, kernel 2: every output pixel sees one entry of each kernel, and its variance is that of the dense."""
    torch.manual_seed(0)
    dense = nn.ConvTranspose2d(256, 64, 2, stride=2, groups=2, bias=False)
    x = torch.randn(8, 256, 6, 6)
    before = dense(x).std().item()
    model = egt.sparsify(dense, "random", density=0.2, pattern=pattern, rng=0)
    assert type(model) is egt.MaskedConvTranspose2d
    assert model(x).std().item() == pytest.approx(before, rel=0.1)


def test_transposed_convolutions_take_an_output_size():
    layer = egt.MaskedConvTranspose2d(eg.random_regular(6, 6, 2, rng=0), 3, stride=2, output_padding=0)
    x = torch.randn(1, 6, 5, 5)
    assert layer(x).shape == (1, 6, 11, 11)
    assert layer(x, output_size=[12, 12]).shape == (1, 6, 12, 12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(12, 8, 3, groups=4),
        lambda: nn.Conv1d(12, 8, 5, groups=2),
        lambda: nn.ConvTranspose2d(12, 8, 3, groups=4),
        lambda: nn.ConvTranspose3d(6, 4, 2),
        lambda: nn.Conv3d(6, 4, (1, 2, 3)),
    ],
)
@pytest.mark.parametrize("family", ["random", "left_regular", "regular"])
@pytest.mark.parametrize("pattern", ["channel", "weight"])
def test_whole_models(make, family, pattern):
    model = nn.Sequential(make())
    planned = egt.plan(model, family, density=0.5, pattern=pattern)
    shape, original = planned.layers[0].shape, model[0].weight.detach().clone()
    assert planned.n_edges == round(0.5 * shape.grid(pattern).n_pairs)
    egt.sparsify(model, family, density=0.5, pattern=pattern, rng=0, init="keep")
    layer, g = model[0], model[0].graph
    assert g.n_edges == planned.n_edges == egt.summary(model).n_edges
    assert torch.equal(layer.weight, torch.where(layer.mask, original, 0.0))
    per_group = (g.left_degrees if family == "left_regular" else g.right_degrees).reshape(shape.groups, -1)
    if family != "random":
        assert max(np.ptp(degrees) for degrees in per_group) <= 1
    grid = g.biadjacency.toarray().reshape(shape.groups, g.n_left // shape.groups, shape.groups, -1)
    assert all(not grid[a, :, b].any() for a, b in itertools.permutations(range(shape.groups), 2))
    if shape.groups > 1:
        assert not np.array_equal(grid[0, :, 0], grid[1, :, 1])  # each group has a graph of its own
    other = egt.sparsify(nn.Sequential(make()), {"0": g})
    assert torch.equal(other[0].mask, layer.mask)
    kept = 100 * (1 - (1 - planned.density) * layer.weight.numel() / sum(p.numel() for p in model.parameters()))
    assert planned.remaining == egt.summary(model).remaining == pytest.approx(kept)
    assert type(egt.bake(model)[0]) is type(make())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: egt.MaskedConv2d(eg.random_regular(8, 8, 2, rng=0), 3, groups=2), "an edge leads from one of"),
        (lambda: egt.MaskedConv2d(eg.random_regular(8, 8, 2, rng=0), 3, pattern="weight"), r"n_left = channels \* 9"),
        (lambda: egt.MaskedConv2d(eg.random_regular(8, 8, 2, rng=0), 3, pattern="row"), "pattern must be one of"),
        (lambda: egt.MaskedConvTranspose2d(3, 3), "a BipartiteGraph is needed, got int"),
        (lambda: egt.plan(nn.Conv2d(4, 6, 3, groups=2), {"": eg.random_regular(4, 6, 2, rng=0)}), "layer '': an edge"),
        (lambda: egt.sparsify(nn.Conv2d(4, 6, 3), {"": eg.random_regular(5, 6, 2, rng=0)}),
         "a graph 4 x 6 or 36 x 6 is needed, got BipartiteGraph"),
        (lambda: egt.plan(nn.Linear(4, 6), "random", density=0.5, pattern="row"), "pattern must be one of"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
