from fractions import Fraction
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import block_diag, csr_array

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.expansion import blocks, exact
from expandergraphs.expansion.exact import minimise_expansion


def neighbours(g, vertices):
    return {b for a, b in g.edges.tolist() if a in set(vertices)}


def fewest_neighbours(g):
    """min |N(S)| over |S| = k, for k = 0..n_left, by looking at all sets."""
    covered = np.zeros((1, g.n_right), dtype=bool)
    for row in g.biadjacency.toarray() > 0:
        covered = np.concatenate([covered, covered | row])
    sizes = np.bitwise_count(np.arange(covered.shape[0]))
    found = covered.sum(axis=1)
    return np.array([found[sizes == k].min() for k in range(g.n_left + 1)])


def enumerated(g, k_max):
    return min(Fraction(int(m), k) for k, m in enumerate(fewest_neighbours(g)[: k_max + 1]) if k)


def check(g, k_max, value, **options):
    result = minimise_expansion(g, k_max, **options)
    assert result.finished
    assert result.lower == result.upper == value
    check_witness(g, k_max, result)
    return result


def check_witness(g, k_max, result):
    witness = result.witness
    assert list(witness) == sorted(set(witness))
    assert 1 <= len(witness) <= k_max
    assert Fraction(len(neighbours(g, witness)), len(witness)) == result.upper


@st.composite
def graphs(draw):
    """Any shape, sparse to dense, with isolated vertices, copies of vertices and several components."""
    n_left, n_right = draw(st.integers(1, 10)), draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    matrix = rng.random((n_left, n_right)) < draw(st.sampled_from([0.05, 0.15, 0.25, 0.4, 0.6, 0.9]))
    if draw(st.booleans()):
        matrix = matrix[rng.integers(n_left, size=n_left)]
    if draw(st.booleans()):
        matrix &= (np.arange(n_left) < n_left // 2)[:, None] == (np.arange(n_right) < n_right // 2)
    return BipartiteGraph.from_biadjacency(matrix), draw(st.integers(1, n_left))


@given(graphs(), st.sampled_from(["left", "right", "either"]), st.integers(0, 3), st.data())
def test_agrees_with_enumeration(example, chosen, gap, data):
    g, k_max = example
    every = fewest_neighbours(g)[: k_max + 1]
    floor = None if gap == 3 else np.maximum(every - gap, 0)
    start = data.draw(st.none() | st.sets(st.integers(0, g.n_left - 1), min_size=1, max_size=k_max))
    with pytest.MonkeyPatch.context() as patch:
        if chosen != "either":
            patch.setattr(exact, "_chooses_left", lambda *_: chosen == "left")
        check(g, k_max, enumerated(g, k_max), floor=floor, start=start)


@pytest.mark.parametrize("chosen", ["left", "right"])
@pytest.mark.parametrize(("n_left", "n_right", "n_edges"), [(16, 16, 48), (16, 16, 96), (16, 80, 64), (16, 9, 40)])
def test_agrees_with_enumeration_on_larger_graphs(n_left, n_right, n_edges, chosen, monkeypatch):
    monkeypatch.setattr(exact, "_chooses_left", lambda *_: chosen == "left")
    for seed in range(3):
        for family in (eg.random_regular, eg.random_bipartite):
            g = family(n_left, n_right, n_edges=n_edges, rng=seed)
            check(g, 8, enumerated(g, 8))


def cycle(n):
    return BipartiteGraph.from_edges(n, n, [(i, (i + j) % n) for i in range(n) for j in range(2)])


def disjoint(*graphs):
    return BipartiteGraph.from_biadjacency(block_diag([g.biadjacency for g in graphs]))


@pytest.mark.parametrize(("n", "k_max"), [(5, 1), (9, 4), (100, 50), (100, 99), (100, 100)])
def test_cycles(n, k_max):
    """k vertices in a row have k + 1 neighbours, and the whole side has n."""
    check(cycle(n), k_max, Fraction(k_max + 1, k_max) if k_max < n else Fraction(1))


def test_complete_graphs():
    complete = BipartiteGraph.from_biadjacency(np.ones((8, 5)))
    check(complete, 3, Fraction(5, 3))
    many = disjoint(*[BipartiteGraph.from_biadjacency(np.ones((8, 8)))] * 9)  # more than 64 vertices a side
    check(many, 36, Fraction(1))
    check(many, 5, Fraction(8, 5))


@pytest.mark.parametrize(
    ("q", "k_max", "value"), [(2, 3, Fraction(6, 3)), (2, 4, Fraction(6, 4)), (3, 4, Fraction(10, 4))]
)
def test_projective_planes(q, k_max, value):
    """No three of k <= q + 1 points (q + 2 if q is even) on a line: each of k (k - 1) / 2 lines holds two of them.

    By Bonferroni's inequality, no k points are on fewer than k (q + 1) - k (k - 1) / 2 lines.
    """
    check(eg.projective_plane(q), k_max, value)


def test_the_best_component_counts():
    """A set that falls apart is no better than its best part."""
    parts = [eg.random_regular(14, 14, 3, rng=seed) for seed in range(3)]
    whole = disjoint(*parts)
    values = [minimise_expansion(part, 7).upper for part in parts]
    result = minimise_expansion(whole, 7)
    assert result.upper == min(values)


def test_isolated_vertices_and_empty_sides():
    g = BipartiteGraph.from_edges(70, 70, [(i, i) for i in range(69)])
    assert check(g, 1, Fraction(0)).witness == (69,)
    check(BipartiteGraph.from_edges(3, 0, []), 2, Fraction(0))


@given(graphs(), st.integers(0, 2**32))
def test_names_do_not_matter(example, seed):
    g, k_max = example
    rng = np.random.default_rng(seed)
    left, right = rng.permutation(g.n_left), rng.permutation(g.n_right)
    renamed = BipartiteGraph.from_edges(g.n_left, g.n_right, [(left[a], right[b]) for a, b in g.edges.tolist()])
    assert minimise_expansion(renamed, k_max).upper == minimise_expansion(g, k_max).upper


@pytest.mark.parametrize("chosen", ["left", "right"])
def test_at_any_deadline_the_interval_holds_the_value(chosen, monkeypatch):
    """The clock ticks once for each step, and a step examines two nodes."""
    monkeypatch.setattr(exact, "_chooses_left", lambda *_: chosen == "left")
    monkeypatch.setattr(blocks, "_BATCH", 64)
    g = eg.random_regular(16, 16, 4, rng=0)
    value, intervals = enumerated(g, 8), []
    for deadline in count():
        monkeypatch.setattr(exact, "monotonic", count().__next__)
        result = minimise_expansion(g, 8, deadline=deadline)
        check_witness(g, 8, result)
        assert result.lower <= value <= result.upper
        intervals.append((result.lower, result.upper))
        if result.finished:
            break
    lower, upper = zip(*intervals, strict=True)
    assert list(lower) == sorted(lower)
    assert list(upper) == sorted(upper, reverse=True)
    assert len(set(lower)) > 3
    assert len(set(upper)) > 2

    seen = []
    minimise_expansion(g, 8, progress=lambda *ends: seen.append(ends))
    assert seen == sorted(set(intervals), key=intervals.index)


def test_start_and_floor_are_used():
    g = eg.random_regular(30, 30, 4, rng=0)
    value = minimise_expansion(g, 15)
    over = minimise_expansion(g, 15, start=value.witness[::-1], deadline=0)
    assert (over.upper, over.witness) == (value.upper, value.witness)
    floor = np.ceil(np.arange(16) * float(value.lower) - 1e-9).astype(np.int64)
    assert minimise_expansion(g, 15, floor=floor, deadline=0).lower == value.lower
    assert minimise_expansion(g, 15, start=value.witness, floor=floor, deadline=0).finished


def test_a_floor_of_large_sets_does_not_bind_small_ones(monkeypatch):
    monkeypatch.setattr(exact, "_chooses_left", lambda *_: False)
    g = BipartiteGraph.from_edges(2, 4, [(1, 1)])
    check(g, 2, Fraction(0), start=(1,), floor=np.array([0, 0, 1]))


def steps(monkeypatch, g, **options):
    taken, step = [], blocks.BlockSearch.step
    with monkeypatch.context() as patch:
        patch.setattr(blocks.BlockSearch, "step", lambda search: taken.append(search.memory) or step(search))
        result = minimise_expansion(g, g.n_left // 2, **options)
    return taken, result


def test_the_tree_is_small(monkeypatch):
    """About 3,000 and 15,000 nodes; fixed orders of vertices needed millions."""
    assert len(steps(monkeypatch, eg.random_regular(52, 52, 3, rng=0))[0]) < 30
    assert len(steps(monkeypatch, eg.random_regular(52, 52, 8, rng=0))[0]) < 60


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(blocks, "_BATCH", 2**11)
    g = eg.random_regular(44, 44, 8, rng=0)
    memory, result = steps(monkeypatch, g)
    monkeypatch.setattr(blocks, "_MEMORY", 1000)
    bounded, again = steps(monkeypatch, g, start=result.witness)
    assert again == result
    assert max(bounded) < 1500 < max(memory)


@pytest.mark.parametrize(("n_left", "n_right", "n_edges", "faster"), [(24, 120, 192, "left"), (30, 30, 240, "right")])
def test_the_side_with_fewer_sets_is_chosen(n_left, n_right, n_edges, faster, monkeypatch):
    monkeypatch.setattr(blocks, "_BATCH", 2**10)
    g = eg.random_regular(n_left, n_right, n_edges=n_edges, rng=0)
    start = minimise_expansion(g, n_left // 2).witness
    taken = {"either": len(steps(monkeypatch, g, start=start)[0])}
    for chosen in ("left", "right"):
        with monkeypatch.context() as patch:
            patch.setattr(exact, "_chooses_left", lambda *_, chosen=chosen: chosen == "left")
            taken[chosen] = len(steps(monkeypatch, g, start=start)[0])
    assert taken["either"] == taken[faster] < max(taken.values()) / 1.5


def test_the_value_is_the_same_in_any_order_of_the_nodes(monkeypatch):
    """One at a time, or the highest bounds first, as when memory is short."""
    g = eg.random_regular(24, 24, 4, rng=0)
    expected = minimise_expansion(g, 12)
    assert minimise_expansion(g, 12) == expected
    monkeypatch.setattr(blocks, "_MEMORY", 0)
    check(g, 12, expected.upper)
    monkeypatch.setattr(blocks, "_BATCH", 1)
    check(g, 12, expected.upper)


@settings(max_examples=200)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.sampled_from([1, 40, 2**16]))
def test_any_values_of_blocks(n_rows, n_columns, seed, batch):
    """Random values, so that neither greed nor the shape of a ratio helps; `lowest` and `memory` are always right."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((n_rows, n_columns)) < rng.choice([0.15, 0.3, 0.5, 0.8])
    value = rng.integers(0, rng.choice([6, 30, 300]), size=(n_columns + 1, n_rows + 1))
    value = np.sort(np.sort(value, axis=0), axis=1)[::-1, ::-1]
    dead = fewest_neighbours(BipartiteGraph.from_biadjacency(matrix.T))
    best = min(value[t, n_rows - dead[t]] for t in range(n_columns + 1))
    search = blocks.BlockSearch(csr_array(matrix, dtype=np.float32), value, int(value[0, 0]) + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_BATCH", batch)
        while search.open:
            lowest = search.lowest
            assert lowest <= best
            assert search.memory == sum(bits.nbytes for parts in search.open.values() for bits, _ in parts)
            survivors = search.step()
            if survivors is not None:
                below = value[np.count_nonzero(~matrix[survivors].any(axis=0)), survivors.sum()]
                assert best <= below < search.below
                search.beat(int(below))
            assert search.lowest >= lowest
    assert search.below == search.lowest == best
    assert search.memory == 0


@pytest.mark.parametrize(
    ("k_max", "options", "message"),
    [
        (0, {}, r"k_max must lie in 1..n_left = 6, got 0"),
        (7, {}, r"k_max must lie in 1..n_left = 6, got 7"),
        (3, {"floor": np.zeros(3, dtype=np.int64)}, r"floor must have shape \(4,\), got \(3,\)"),
        (3, {"start": ()}, r"start must hold 1 to 3 of the left vertices 0..5, got \(\)"),
        (3, {"start": (0, 1, 2, 3)}, "start must hold 1 to 3"),
        (3, {"start": (0, 6)}, "start must hold 1 to 3"),
        (3, {"start": (-1,)}, "start must hold 1 to 3"),
    ],
)
def test_what_does_not_fit_is_refused(k_max, options, message):
    with pytest.raises(ValueError, match=message):
        minimise_expansion(cycle(6), k_max, **options)
