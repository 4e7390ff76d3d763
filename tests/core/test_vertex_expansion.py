"""The interval around the vertex expansion, against all sets of small graphs."""

import time
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs.expansion import vertex
from expandergraphs.spectral.bounds import SingularValueBounds
from tests.core.strategies import pairs


def neighbours(g, side, vertices):
    from_here = g if side == "left" else g.T
    return set(from_here.biadjacency[list(vertices)].indices.tolist())


def brute_force(g, side, max_fraction=Fraction(1, 2)):
    n = g.n_left if side == "left" else g.n_right
    ratios = [
        Fraction(len(neighbours(g, side, members)), k)
        for k in range(1, int(max_fraction * n) + 1)
        for members in combinations(range(n), k)
    ]
    return min(ratios, default=None)


@settings(max_examples=60, deadline=None)
@given(given_edges=pairs(largest=8), method=st.sampled_from(["auto", "exact", "bounds"]))
def test_the_interval_holds_the_minimum_over_all_sets(given_edges, method):
    g = eg.BipartiteGraph.from_edges(*given_edges)
    true = {side: brute_force(g, side) for side in ("left", "right")}
    admissible = [value for value in true.values() if value is not None]
    for side, value in [*true.items(), ("both", min(admissible, default=None))]:
        if value is None:
            with pytest.raises(ValueError, match="no admissible set"):
                eg.vertex_expansion(g, side=side, method=method, rng=0)
            continue
        result = eg.vertex_expansion(g, side=side, method=method, rng=0)
        assert result.lower <= float(value) <= result.upper
        where, vertices = result.witness
        assert side in (where, "both")
        assert list(vertices) == sorted(set(vertices))
        assert len(vertices) <= (g.n_left if where == "left" else g.n_right) / 2
        assert result.upper == float(Fraction(len(neighbours(g, where, vertices)), len(vertices)))
        assert result.exact == (result.lower == result.upper)
        assert (result.certificate, result.failure_probability) == ("exact", 0)
        if method != "bounds":
            assert result.exact


@pytest.mark.parametrize("max_fraction", [0.1, 0.29, 0.3, 0.75, 1.0])
def test_the_largest_fraction_is_meant_as_it_is_written(max_fraction):
    """0.29 * 100 is 28.999999999999996 in floating point."""
    g = eg.random_left_regular(10, 10, 2, rng=3)
    result = eg.vertex_expansion(g, side="left", max_fraction=max_fraction, rng=0)
    assert result.upper == float(brute_force(g, "left", Fraction(str(max_fraction))))
    matching = eg.BipartiteGraph.from_edges(100, 100, [(i, min(i, 28)) for i in range(100)])
    assert eg.vertex_expansion(matching, side="left", max_fraction=0.29, method="bounds", rng=0).upper == 1 / 29


def test_known_values():
    blocks = eg.block_expander(eg.BipartiteGraph.from_edges(6, 6, [(i, i) for i in range(6)]), 4)  # six K_{4,4}
    assert eg.vertex_expansion(blocks, rng=0).lower == eg.vertex_expansion(blocks, rng=0).upper == 1
    ring = eg.BipartiteGraph.from_edges(40, 40, [(i, (i + j) % 40) for i in range(40) for j in (0, 1)])
    assert eg.vertex_expansion(ring, rng=0).upper == eg.vertex_expansion(ring, rng=0).lower == 21 / 20
    complete = eg.BipartiteGraph.from_biadjacency(np.ones((300, 200)))
    assert [eg.vertex_expansion(complete, side=side, rng=0).lower for side in ("left", "right")] == [200 / 150, 3]
    isolated = eg.BipartiteGraph.from_edges(500, 500, [(i, j) for i in range(499) for j in (i, i + 1)])
    result = eg.vertex_expansion(isolated, side="left", rng=0)
    assert (result.lower, result.upper, result.witness) == (0, 0, ("left", (499,)))
    assert eg.vertex_expansion(isolated, side="right", rng=0).lower > 0


def test_both_sides_know_each_side():
    g = eg.random_left_regular(20, 30, 4, rng=0)
    both = eg.vertex_expansion(g, rng=0)
    alone = [eg.vertex_expansion(g, side=side, rng=0) for side in ("left", "right")]
    assert [(side.lower, side.upper) for side in both.sides] == [(side.lower, side.upper) for side in alone]
    assert [side.witness.side for side in both.sides] == ["left", "right"]
    assert both.upper == min(side.upper for side in alone)
    (only,) = eg.vertex_expansion(eg.BipartiteGraph.from_edges(1, 2, [(0, 0), (0, 1)]), rng=0).sides
    assert only.witness.side == "right"


def test_a_time_limit_returns_the_interval_so_far():
    g = eg.random_regular(120, 120, 5, rng=0)
    widths = []
    for time_limit in (0, 0.3):
        result = eg.vertex_expansion(g, method="exact", time_limit=time_limit, rng=0)
        assert 1 <= result.lower <= result.upper <= 5
        widths.append(result.upper - result.lower)
    assert not result.exact
    assert widths[1] <= widths[0]


def test_a_time_limit_cuts_every_part_short(monkeypatch):
    """An irregular graph of this size takes the spectrum, the weights, the minimum cuts and the search seconds each."""
    g = eg.random_bipartite(20_000, 20_000, n_edges=300_000, rng=0)
    start = time.process_time()
    result = eg.vertex_expansion(g, side="left", time_limit=0, rng=0)
    assert time.process_time() - start < 4
    assert 0 < result.lower < result.upper
    members = list(result.witness.vertices)
    assert np.unique(g.biadjacency[members].indices).size / len(members) == result.upper


def test_what_cuts_prove_is_certain(monkeypatch):
    """Three vertices of one common neighbour beside an expander: a minimum cut finds them without the spectrum."""
    regular = eg.random_regular(300, 300, 8, rng=0)
    edges = np.concatenate([regular.edges, [(300, 0), (301, 0), (302, 0)]])
    g = eg.BipartiteGraph.from_edges(303, 300, edges)
    enclosed = SingularValueBounds(0.5, 0.6, "probabilistic", 1e-12)
    monkeypatch.setattr(vertex, "second_singular_value", lambda *_, **__: enclosed)
    result = eg.vertex_expansion(g, side="left", rng=0)
    assert (result.lower, result.exact, result.witness.vertices) == (1 / 3, True, (300, 301, 302))
    assert (result.certificate, result.failure_probability) == ("exact", 0)


def test_the_combined_certificate_covers_both_sides(monkeypatch):
    """Left 1/3 for certain; that the right side expands more than 1/3 is known for certain too, more than 2 is not."""
    regular = eg.random_regular(300, 300, 8, rng=0)
    g = eg.BipartiteGraph.from_edges(303, 300, np.concatenate([regular.edges, [(300, 0), (301, 0), (302, 0)]]))
    enclosed = SingularValueBounds(0.5, 0.6, "probabilistic", 1e-12)
    monkeypatch.setattr(vertex, "second_singular_value", lambda *_, **__: enclosed)
    both = eg.vertex_expansion(g, rng=0)
    assert [side.certificate for side in both.sides] == ["exact", "probabilistic"]
    assert (both.lower, both.certificate) == (1 / 3, "exact")
    # Here too the left side is certain, of 1. That the right one has more than that is not: only the spectrum says so.
    regular = eg.random_regular(250, 300, 10, rng=0)
    square = [(i, j) for i in range(250, 254) for j in range(4)]
    both = eg.vertex_expansion(eg.BipartiteGraph.from_edges(254, 300, np.concatenate([regular.edges, square])), rng=0)
    left, right = both.sides
    assert (left.lower, left.upper, left.certificate) == (1, 1, "exact")
    assert right.lower > both.lower == 1
    assert (both.exact, both.certificate, both.failure_probability) == (True, "probabilistic", 1e-12)


def test_isolated_vertices_decide_before_the_spectrum(monkeypatch):
    g = eg.BipartiteGraph.from_edges(500, 500, [(i, j) for i in range(499) for j in (i,)])
    monkeypatch.setattr(vertex, "second_singular_value", None)
    assert [side.exact for side in eg.vertex_expansion(g, rng=0).sides] == [True, True]


def test_a_third_is_a_third():
    g = eg.BipartiteGraph.from_edges(9, 9, [(i, j % 9) for i in range(9) for j in (i, i + 1)])
    for third in (1 / 3, Fraction(1, 3), np.float64(1 / 3)):
        assert eg.vertex_expansion(g, max_fraction=third, rng=0).upper == 4 / 3
    assert eg.vertex_expansion(eg.random_regular(3, 3, 2, rng=0), max_fraction=1 / 3, rng=0).upper == 2


def test_the_search_has_its_share_of_a_short_time():
    result = eg.vertex_expansion(eg.random_regular(2048, 2048, 16, rng=0), time_limit=1, rng=0)
    assert result.upper < 3


def test_where_there_is_a_time_limit_auto_goes_on():
    """An irregular graph of over 64 vertices whose bounds do not meet, and which branch and bound decides."""
    g = eg.random_left_regular(66, 66, 3, rng=0)
    assert not eg.vertex_expansion(g, side="left", rng=0).exact
    assert eg.vertex_expansion(g, side="left", time_limit=20, rng=0).exact


def test_progress_narrows_the_interval():
    told = []
    g = eg.random_regular(48, 48, 4, rng=0)
    result = eg.vertex_expansion(g, side="left", rng=0, progress=lambda *ends: told.append(ends))
    assert len(told) >= 2
    assert told == sorted(told, key=lambda ends: (ends[0], -ends[1]))
    assert told[-1] == (result.lower, result.upper)


def test_the_same_seed_gives_the_same_interval():
    g = eg.random_left_regular(90, 110, 4, rng=0)
    assert eg.vertex_expansion(g, rng=5) == eg.vertex_expansion(g, rng=5)


def test_what_rests_on_random_starts_says_so(monkeypatch):
    enclosed = SingularValueBounds(5.0, 5.3, "probabilistic", 1e-12)
    monkeypatch.setattr(vertex, "second_singular_value", lambda *_, **__: enclosed)
    result = eg.vertex_expansion(eg.random_regular(200, 200, 8, rng=0), rng=0)
    assert (result.certificate, result.failure_probability) == ("probabilistic", 1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "best"}, "method must be one of auto, exact, bounds, got 'best'"),
        ({"side": "up"}, "side must be one of both, left, right, got 'up'"),
        ({"max_fraction": 1.5}, "max_fraction must be a number between 0 and 1, got 1.5"),
        ({"max_fraction": 0.05}, "no admissible set: on both sides of .*0.05 of the vertices is less than one"),
        ({"time_limit": -1}, "time_limit must be None or a number of seconds, at least 0, got -1"),
        ({"time_limit": "1"}, "time_limit must be None or a number of seconds, at least 0, got '1'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        eg.vertex_expansion(eg.random_regular(8, 8, 2, rng=0), **arguments)


def test_branch_and_bound_of_a_huge_graph_is_refused_before_it_begins():
    ring = eg.BipartiteGraph.from_edges(5000, 5000, [(i, (i + j) % 5000) for i in range(5000) for j in (0, 1)])
    with pytest.raises(ValueError, match="method 'exact' takes 20 bytes for each of at most 16777216 pairs"):
        eg.vertex_expansion(ring, method="exact")


def test_the_failure_probability_is_that_of_all_it_rests_on(monkeypatch):
    g = eg.random_regular(200, 200, 8, rng=0)
    enclosed = SingularValueBounds(5.0, 5.3, "probabilistic", 1e-12)
    weighting = vertex.spectral_weighting(g)
    monkeypatch.setattr(vertex, "second_singular_value", lambda *_, **__: enclosed)
    monkeypatch.setattr(vertex, "spectral_weighting", lambda *_, **__: replace(weighting, failure_probability=3e-12))
    assert eg.vertex_expansion(g, rng=0).failure_probability == 4e-12


def test_a_long_witness_is_not_printed_whole():
    witness = vertex.Witness("left", tuple(range(5, 50)))
    assert repr(witness) == "Witness('left', (5, 6, 7, ...), 45 vertices)"
    assert repr(vertex.Witness("right", (1,))) == "Witness('right', (1,))"
    twelve = tuple(range(12))
    assert repr(vertex.Witness("right", twelve)) == f"Witness('right', {twelve})"
    side, vertices = witness
    assert (side, len(vertices)) == ("left", 45)
