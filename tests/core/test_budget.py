import math
import re
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expandergraphs import GenerationError, LayerShape, spread

kernels = st.sampled_from([(), (3,), (3, 3), (1, 1)])
sides = st.integers(1, 500)


def layer_shapes(unit=1):
    """Layers whose groups can be cut into blocks of a side."""

    def build(n_left, n_right, kernel, groups):
        return LayerShape(n_left * groups * unit, n_right * groups * unit, kernel, groups)

    return st.lists(st.builds(build, sides, sides, kernels, st.integers(1, 4)), min_size=1, max_size=8)


shapes = layer_shapes()


def by_bisection(layers, total, raw, pairs=lambda layer: layer.n_pairs):
    """The slow twin: the factor eps with sum(min(1, eps raw)) = total, found by halving an interval."""
    low, high = 0.0, 1e9
    for _ in range(200):
        eps = (low + high) / 2
        reached = sum(min(1, eps * raw(layer)) * pairs(layer) for layer in layers)
        low, high = (eps, high) if reached < total else (low, eps)
    return [min(1, high * raw(layer)) * pairs(layer) for layer in layers]


RAW = {
    "uniform": lambda layer: 1,
    "er": lambda layer: (layer.n_left / layer.groups + layer.n_right) / layer.n_pairs,
    "erk": lambda layer: (
        (layer.n_left / layer.groups + layer.n_right + sum(layer.kernel)) / layer.n_pairs / math.prod(layer.kernel)
    ),
}


@pytest.mark.parametrize("budget", RAW)
@given(layers=shapes, density=st.floats(0, 1))
def test_totals_are_exact_and_shares_fair(budget, layers, density):
    counts = spread(layers, density=density, budget=budget)
    total = round(Fraction(density) * sum(layer.n_pairs for layer in layers))
    assert sum(counts) == total
    for count, layer, share in zip(counts, layers, by_bisection(layers, total, RAW[budget]), strict=True):
        assert 0 <= count <= layer.n_pairs
        assert abs(count - share) < 1 + 1e-6
    assert spread(layers, n_edges=total, budget=budget) == counts


@given(shapes, st.floats(0, 1))
def test_uniform_plus(layers, density):
    """The first convolution dense, the last linear layer at a fifth or more, one density for the others."""
    total = round(Fraction(density) * sum(layer.n_pairs for layer in layers))
    dense = next((k for k, layer in enumerate(layers) if layer.kernel), None)
    last = max((k for k, layer in enumerate(layers) if not layer.kernel), default=None)
    least = (layers[dense].n_pairs if dense is not None else 0) + (
        math.ceil(layers[last].n_pairs / 5) if last is not None else 0
    )
    if total < least:
        with pytest.raises(GenerationError, match=f"are {least} edges, the smallest feasible"):
            spread(layers, n_edges=total, budget="uniform_plus")
        return
    counts = spread(layers, n_edges=total, budget="uniform_plus")
    assert sum(counts) == total
    assert dense is None or counts[dense] == layers[dense].n_pairs
    others = [k for k in range(len(layers)) if k not in (dense, last)]
    densities = [counts[k] / layers[k].n_pairs for k in others]
    slack = [1 / layers[k].n_pairs for k in others]
    assert not others or max(densities) - min(densities) <= 2 * max(slack)
    if last is not None:
        assert 5 * counts[last] >= layers[last].n_pairs
        if others and 5 * counts[last] > layers[last].n_pairs + 5:
            assert abs(counts[last] / layers[last].n_pairs - densities[0]) <= max(slack) + 1 / layers[last].n_pairs


def test_the_remaining_parameters_of_vgg16():
    """RReg's accounting: convolutions and the first linear layer sparse, each with degree d; PP in percent."""
    widths = [3, 64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    convolutions = [LayerShape(a, b, (3, 3)) for a, b in pairwise(widths)]
    layers = [*convolutions, LayerShape(512, 512)]
    channels = sum(widths[1:])
    always = 2 * channels + 512 + 512 * 10 + 10  # batch norms, the linear bias, the classifier
    dense = sum(layer.n_pairs * math.prod(layer.kernel) for layer in layers) + channels + always
    assert dense == 14_990_922
    table = {}
    for degree in (60, 30, 15, 3):
        for count in ("left", "max"):
            edges = spread(layers, degree=degree, count=count)
            kept = sum(m * math.prod(layer.kernel) for m, layer in zip(edges, layers, strict=True)) + always
            table[degree, count] = (round(100 * kept / dense, 3), round(100 * (kept + channels) / dense, 3))
    assert table == {
        (60, "left"): (13.681, 13.709), (60, "max"): (15.296, 15.324),
        (30, "left"): (6.888, 6.916), (30, "max"): (7.701, 7.729),
        (15, "left"): (3.491, 3.519), (15, "max"): (3.903, 3.931),
        (3, "left"): (0.773, 0.802), (3, "max"): (0.865, 0.893),
    }  # fmt: skip


@given(shapes, st.integers(0, 600))
def test_degrees_are_clipped(layers, degree):
    left, largest = spread(layers, degree=degree), spread(layers, degree=degree, count="max")
    for a, b, layer in zip(left, largest, layers, strict=True):
        one, other = layer.n_left // layer.groups, layer.n_right // layer.groups
        assert a == layer.n_left * min(degree, other)
        assert b == max(layer.n_left, layer.n_right) * min(degree, one, other)
    for layer, c, d in zip(
        layers, spread(layers, degree=degree, count="min"), spread(layers, degree=degree, count="mean"), strict=True
    ):
        assert c == min(degree * min(layer.n_left, layer.n_right), layer.n_pairs)
        assert d == min(round(degree * (layer.n_left + layer.n_right) / 2), layer.n_pairs)


@pytest.mark.parametrize("budget", [*RAW, "uniform_plus"])
@given(layer_shapes(unit=3), st.floats(0, 1))
def test_blocks_and_single_weights(budget, layers, density):
    """Blocks of 3 are spread as the edges of the layers that they stand for; so are single weights."""
    possible = sum(layer.n_pairs * math.prod(layer.kernel) for layer in layers)
    try:
        counts = spread(layers, density=density, budget=budget, pattern="weight", block=3)
    except GenerationError as error:
        assert budget == "uniform_plus"
        smallest = int(re.search(r"are (\d+) edges, the smallest feasible", str(error))[1])
        assert smallest > 9 * round(Fraction(density) * possible / 9)
        return
    assert sum(counts) == 9 * round(Fraction(density) * possible / 9)
    assert all(count % 9 == 0 for count in counts)
    assert spread(layers, n_edges=sum(counts), budget=budget, pattern="weight", block=3) == counts
    if budget != "uniform_plus":
        taken = by_bisection(layers, sum(counts), lambda layer: RAW[budget](layer), pairs=weights)
        for count, share in zip(counts, taken, strict=True):
            assert abs(count - share) < 9 * (1 + 1e-6)


def weights(layer):
    return layer.n_pairs * math.prod(layer.kernel)


def test_degrees_of_blocks_and_single_weights():
    conv = LayerShape(8, 16, (3, 3), groups=2)
    assert spread([conv], degree=3, pattern="weight") == (8 * 9 * 3,)
    assert spread([conv], degree=4, block=2) == (8 * 4,)
    assert spread([conv], degree=100, block=2) == (8 * 8,)
    with pytest.raises(GenerationError, match="degree = 3 is no number of whole blocks; nearest feasible: 2 and 4"):
        spread([conv], degree=3, block=2)
    with pytest.raises(GenerationError, match="n_edges = 7 is no number of whole blocks; nearest feasible: 4 and 8"):
        spread([conv], n_edges=7, block=2)


def test_ties_go_to_the_first():
    assert spread([LayerShape(3, 3)] * 3, n_edges=5) == (2, 2, 1)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"n_edges": 101}, "n_edges = 101 exceeds the 100 pairs"),
        ({}, "exactly one of density, degree, n_edges; got none"),
        ({"density": 0.1, "degree": 2}, "got density, degree"),
        ({"density": 2}, "density must be a number between 0 and 1"),
        ({"degree": -1}, "degree must be an integer"),
        ({"degree": 1, "count": "mode"}, "count must be one of 'left', 'max', 'min', 'mean', got 'mode'"),
        ({"degree": 2, "budget": "er"}, "a degree decides every layer's edges itself"),
        ({"density": 0.5, "budget": "fair"}, "budget must be one of uniform, uniform_plus, er, erk, got 'fair'"),
        ({"density": 0.5, "pattern": "row"}, "pattern must be one of 'channel', 'weight', got 'row'"),
        ({"density": 0.5, "block": 4}, "blocks of 4 do not divide a layer 10 x 10"),
        ({"density": 0.5, "block": 0}, "block must be an integer of at least 1"),
    ],
)
def test_bad_input_is_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        spread([LayerShape(10, 10)], **request_)
    for layers, wrong in (([(2.5, 4)], "n_left"), ([(-3, 4)], "n_left"), ([5], "a layer"), (5, "layers")):
        with pytest.raises(ValueError, match=f"{wrong} must be"):
            spread(layers, density=0.5)
    with pytest.raises(ValueError, match="groups = 4 must divide both sides, got 10 and 8"):
        spread([(10, 8, (), 4)], density=0.5)
    with pytest.raises(ValueError, match="blocks of 4 do not divide a layer 6 x 4 in every group"):
        spread([LayerShape(12, 8, (), 2)], density=0.5, block=4)
    with pytest.raises(GenerationError):
        spread([LayerShape(10, 10)], n_edges=101)
