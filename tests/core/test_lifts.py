import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.generators import lifts
from expandergraphs.generators.explicit import array_code
from expandergraphs.generators.lifts import BestOf, best_of, two_lift
from expandergraphs.rng import streams
from tests.core.strategies import pairs
from tests.core.test_explicit import complete, dense, svd


def signed(g, lift):
    """The signed biadjacency that a lift of g belongs to; checks the shape of the lift on the way."""
    b, blocks = dense(lift), {}
    for i, j in itertools.product((0, 1), repeat=2):
        blocks[i, j] = b[i * g.n_left : (i + 1) * g.n_left, j * g.n_right : (j + 1) * g.n_right]
    np.testing.assert_array_equal(blocks[0, 0], blocks[1, 1])
    np.testing.assert_array_equal(blocks[0, 1], blocks[1, 0])
    np.testing.assert_array_equal(blocks[0, 0] + blocks[0, 1], dense(g))
    return blocks[0, 0] - blocks[0, 1]


@given(pairs(), st.integers(1, 3), st.integers(0, 2**32))
def test_singular_values_of_a_lift_are_old_and_new_ones(example, signings, seed):
    g = BipartiteGraph.from_edges(*example)
    lift = two_lift(g, signings=signings, rng=seed)
    assert (lift.n_left, lift.n_right, lift.n_edges) == (2 * g.n_left, 2 * g.n_right, 2 * g.n_edges)
    np.testing.assert_array_equal(lift.left_degrees, np.tile(g.left_degrees, 2))
    np.testing.assert_array_equal(lift.right_degrees, np.tile(g.right_degrees, 2))
    values = np.sort(np.concatenate([svd(dense(g)), svd(signed(g, lift))]))[::-1]
    np.testing.assert_allclose(eg.singular_values(lift), values, atol=1e-7)


def test_signings_are_uniform():
    """One edge, straight or crossed; two edges, four ways."""
    g = complete(1, 2)
    seen = [tuple(signed(g, two_lift(g, rng=seed)).ravel()) for seed in range(2000)]
    counts = [seen.count(signs) for signs in itertools.product((-1, 1), repeat=2)]
    assert min(counts) > 500 - 5 * math.sqrt(2000 * 3 / 16)


@pytest.mark.parametrize("sizes", [(3, 3), (4, 3)])
def test_some_signing_is_within_the_ramanujan_bound_and_is_found(sizes):
    """Theorem of Marcus, Spielman and Srivastava, over every signing of a complete graph."""
    signings = 1 - 2 * np.array(list(itertools.product((0, 1), repeat=math.prod(sizes)))).reshape(-1, *sizes)
    largest = np.linalg.norm(signings, 2, axis=(1, 2))
    bound = sum(math.sqrt(size - 1) for size in sizes)
    assert largest.min() <= bound < largest.max()
    g = complete(*sizes)
    found = [svd(signed(g, two_lift(g, signings=k, rng=0)))[0] for k in (1, 2, 8, 100)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(largest.min())


@pytest.mark.parametrize("limit", [2, 1000])
@pytest.mark.parametrize("sizes", [(20, 30), (30, 20)])
def test_the_best_signing_is_chosen_dense_or_iterated(monkeypatch, limit, sizes):
    monkeypatch.setattr(lifts, "DENSE_LIMIT", limit)
    g = eg.random_bipartite(*sizes, n_edges=150, rng=3)
    best = svd(signed(g, two_lift(g, signings=6, rng=2)))[0]
    stream, drawn = streams(2), []
    for k in range(6):
        matrix = dense(g)
        matrix[matrix != 0] -= 2 * stream(f"two_lift/{k}").integers(2, size=150, dtype=bool)
        drawn.append(svd(matrix)[0])
    assert best == pytest.approx(min(drawn))
    assert min(drawn) < drawn[0]


def test_a_tower_of_lifts_beats_unselected_ones():
    """From K_{4,4} to 128 vertices a side; unselected lifts leave the Ramanujan bound behind."""
    selected = unselected = complete(4, 4)
    for step in range(5):
        selected = two_lift(selected, signings=60, rng=step)
        unselected = two_lift(unselected, rng=step)
    assert set(selected.left_degrees.tolist()) == {4}
    assert eg.spectral_gap(selected).sigma2 < eg.spectral_gap(unselected).sigma2


# --- the best of several ---


def draw_regular(rng):
    return eg.random_regular(16, 16, 3, rng=rng)


def gap(g):
    return eg.spectral_gap(g).gap


def test_best_of():
    drawn = []
    result = best_of(8, draw_regular, lambda g: (drawn.append(g), gap(g))[1], rng=0)
    assert isinstance(result, BestOf)
    assert len(set(drawn)) == 8
    assert result.scores == tuple(map(gap, drawn))
    assert "scores" not in repr(result)
    assert result.graph == drawn[int(np.argmax(result.scores))]
    assert result.score == max(result.scores) > result.scores[0]
    smallest = best_of(8, draw_regular, lambda g: -gap(g), rng=0)
    assert -smallest.score == min(result.scores)


def test_each_draw_has_its_own_stream():
    few, many = best_of(3, draw_regular, gap, rng=0), best_of(5, draw_regular, gap, rng=0)
    assert many.scores[:3] == few.scores

    def wasteful(rng):
        g = draw_regular(rng)
        rng.random(1000)
        return g

    assert best_of(3, wasteful, gap, rng=0) == few != best_of(3, draw_regular, gap, rng=1)
    rng = np.random.default_rng(0)
    assert best_of(3, draw_regular, gap, rng=rng) != best_of(3, draw_regular, gap, rng=rng)
    assert draw_regular(0) != best_of(1, draw_regular, gap, rng=0).graph


def test_best_of_equals_is_the_first_and_networks_are_graphs_too():
    first = best_of(1, draw_regular, gap, rng=0).graph
    assert best_of(4, draw_regular, lambda g: 0, rng=0).graph == first
    net = best_of(2, lambda rng: eg.family_net("regular", [8, 8, 8], degree=2, rng=rng), lambda net: net.n_edges, rng=0)
    assert (net.graph.widths, net.score) == ((8, 8, 8), 32.0)
    assert best_of(2, draw_regular, lambda g: -math.inf, rng=0).score == -math.inf


# --- refusals ---


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: two_lift(np.ones((2, 2))), "a BipartiteGraph is needed, got ndarray"),
        (lambda: two_lift(complete(2, 2), signings=0), "signings must be an integer of at least 1, got 0"),
        (lambda: two_lift(complete(2, 2), rng=-1), "rng must be None"),
        (lambda: best_of(0, draw_regular, gap), "k must be an integer of at least 1, got 0"),
        (lambda: best_of(2, "regular", gap), "family must be a function, got 'regular'"),
        (lambda: best_of(2, draw_regular, None), "score must be a function, got None"),
        (lambda: best_of(2, lambda rng: 3, gap), "must return a BipartiteGraph or a LayeredGraph, got int"),
        (lambda: best_of(2, draw_regular, lambda g: math.nan), "score of draw 0 must be a number, got nan"),
        (lambda: best_of(2, draw_regular, eg.spectral_gap), "score of draw 0 must be a number, got SpectralGap"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# --- the same on every machine ---


def test_digests():
    """Under NumPy 2.4."""

    def coins(rng):
        return BipartiteGraph.from_biadjacency(rng.random((8, 8)) < 0.5)

    built = {
        "two_lift": two_lift(array_code(5, 3), rng=7),
        "best_two_lift": two_lift(array_code(5, 3), signings=5, rng=7),
        "best_of": best_of(4, coins, lambda g: -g.n_edges, rng=7).graph,
    }
    assert {name: g.digest[:12] for name, g in built.items()} == {
        "two_lift": "7512fa1d4ff2",
        "best_two_lift": "900abbee1354",
        "best_of": "28b6182c64e9",
    }
