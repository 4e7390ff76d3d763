"""Skips at an equal budget: how they share it, and networks drawn with them."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg

skips = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([(), (1, 1), (3, 3), (2, 3), (5,)])).map(
        lambda sizes: eg.LayerShape(*sizes)
    ),
    min_size=1,
    max_size=5,
)


def kernel(skip, pattern):
    return math.prod(skip.kernel) if pattern == "channel" else 1


def shares_of(total, capacity, kept):
    """Fill one unit of weight after another in proportion: full skips leave, and the rest share what they left."""
    shares = [Fraction(0)] * len(capacity)
    while total > 0:
        free = [k for k in range(len(capacity)) if shares[k] < capacity[k]]
        weights = {k: Fraction(kept[k]) for k in free}
        if not any(weights.values()):
            weights = dict.fromkeys(free, Fraction(1))
        rate = sum(weights.values())
        until_full = min((capacity[k] - shares[k]) * rate / weights[k] for k in free if weights[k])
        step = min(total, until_full)
        for k in free:
            shares[k] += step * weights[k] / rate
        total -= step
    return shares


@given(skips, st.floats(0, 1), st.sampled_from(["channel", "weight"]), st.data())
def test_skips_share_in_proportion_to_their_targets(layers, fraction, pattern, data):
    kept = data.draw(st.lists(st.integers(0, 1000), min_size=len(layers), max_size=len(layers)))
    holds = [skip.n_pairs * math.prod(skip.kernel) for skip in layers]
    total = round(fraction * sum(holds))
    edges = eg.spread_skips(layers, kept, total, pattern=pattern)
    weights = [n * kernel(skip, pattern) for n, skip in zip(edges, layers, strict=True)]
    assert all(0 <= n <= hold for n, hold in zip(weights, holds, strict=True))
    sizes = [kernel(skip, pattern) for skip in layers]
    left = total - sum(weights)
    assert 0 <= left < max(sizes)
    assert all(left < size for size, n, hold in zip(sizes, weights, holds, strict=True) if n < hold)
    if len(set(sizes)) == 1:  # then no share is off by more than one edge
        for n, share, size in zip(weights, shares_of(total, holds, kept), sizes, strict=True):
            assert abs(n - share) <= size + Fraction(1, 1000)


def test_where_nothing_is_kept_skips_share_evenly():
    assert eg.spread_skips([eg.LayerShape(4, 5), eg.LayerShape(9, 9)], [0, 0], 12) == (6, 6)


def test_a_small_kernel_takes_what_a_large_one_is_too_large_for():
    assert eg.spread_skips([eg.LayerShape(8, 8, (3, 3)), eg.LayerShape(8, 8, (1, 1))], [99, 1], 100) == (11, 1)
    assert eg.spread_skips([eg.LayerShape(8, 8, (3, 3)), eg.LayerShape(8, 8, (1, 1))], [98, 2], 107) == (11, 8)


def test_skips_that_are_too_small_say_so():
    with pytest.raises(eg.GenerationError, match="the skips hold 20 weights, and 21 are asked for"):
        eg.spread_skips([eg.LayerShape(4, 5)], [1], 21)
    with pytest.raises(ValueError, match="pattern must be"):
        eg.spread_skips([eg.LayerShape(4, 5)], [1], 2, pattern="kernel")


@given(
    st.lists(st.integers(2, 15), min_size=3, max_size=6),
    st.floats(0, 0.5),
    st.sampled_from([0.2, 0.5, 0.8]),
    st.integers(2, 3),
)
def test_a_network_with_skips_has_the_edges_of_one_without(sizes, density, share, k):
    n_edges = eg.family_net("random", sizes, density=density, rng=0).n_edges
    room = sum(a * b for a, b in zip(sizes, sizes[k:], strict=False))
    if len(sizes) <= k or round(n_edges * share) > room:
        with pytest.raises(ValueError, match=r"the skips hold|need"):
            eg.n2nskip_net(sizes, density=density, share=share, k=k)
        return
    net = eg.n2nskip_net(sizes, density=density, share=share, k=k, rng=0)
    assert net.n_edges == n_edges
    assert set(net.blocks) == {(a, a + 1) for a in range(len(sizes) - 1)} | {(a, a + k) for a in range(len(sizes) - k)}
    assert sum(g.n_edges for g in net.skips.values()) == round(n_edges * share)
    assert net == eg.n2nskip_net(sizes, n_edges=n_edges, share=share, k=k, rng=0)


def test_the_part_between_layers_is_of_its_family():
    net = eg.n2nskip_net([40, 40, 40, 40], density=0.2, family="regular", rng=0)
    assert all(set(g.left_degrees) == {4} for g in net.layers)
    assert any(len(set(g.left_degrees)) > 1 for g in net.skips.values())
    assert net.layers == eg.family_net("regular", [40, 40, 40, 40], density=0.1, rng=0).layers
    assert net != eg.n2nskip_net([40, 40, 40, 40], density=0.2, family="regular", rng=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 1}, "k must be an integer of at least 2"),
        ({"k": 3}, "skips over 3 layers need 4 sizes or more"),
        ({"share": 0}, "share must be a number between 0 and 1"),
        ({"share": 1}, "share must be a number between 0 and 1"),
        ({"share": True}, "share must be a number"),
        ({"density": 1}, "the skips hold 24 edges, and share=0.5 of 100 are 50; the most edges that fit are 48"),
        ({"n_edges": 5}, "exactly one"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        eg.n2nskip_net([4, 10, 6], **{"density": 0.1} | options)


def test_sizes_are_drawn_pair_by_pair():
    sizes = [4, 5, 6]
    assert [(g.n_left, g.n_right) for g in eg.n2nskip_net(sizes, density=0.5, rng=0).layers] == list(pairwise(sizes))
