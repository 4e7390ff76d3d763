import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import expandergraphs as eg
from expandergraphs import GenerationError, _threads
from expandergraphs.generators import random as random_module
from expandergraphs.generators import regular as regular_module
from expandergraphs.generators.family import as_family

sizes = st.integers(1, 12)


def counts(n_left, n_right):
    return st.integers(0, n_left * n_right)


@st.composite
def requests(draw):
    n_left, n_right = draw(sizes), draw(sizes)
    return n_left, n_right, draw(counts(n_left, n_right)), draw(st.integers(0, 2**32))


def spread(degrees):
    return int(degrees.max() - degrees.min())


# --- properties ---


@given(requests())
def test_counts_and_degrees_are_exact(request):
    n_left, n_right, n_edges, seed = request
    for family in (eg.random_bipartite, eg.random_left_regular, eg.random_regular):
        g = family(n_left, n_right, n_edges=n_edges, rng=seed)
        assert (g.n_left, g.n_right, g.n_edges) == (n_left, n_right, n_edges)
        assert g == family(n_left, n_right, n_edges=n_edges, rng=seed)
        if family is not eg.random_bipartite:
            assert spread(g.left_degrees) <= 1
        if family is eg.random_regular:
            assert spread(g.right_degrees) <= 1


@given(sizes, sizes, st.data())
def test_degrees(n_left, n_right, data):
    degree = data.draw(st.integers(0, n_right))
    assert set(eg.random_left_regular(n_left, n_right, degree, rng=0).left_degrees.tolist()) == {degree}
    degree = data.draw(st.integers(0, min(n_left, n_right)))
    g = eg.random_regular(n_left, n_right, degree, rng=0)
    assert g.n_edges == degree * max(n_left, n_right)
    assert set((g.left_degrees if n_left >= n_right else g.right_degrees).tolist()) == {degree}


@pytest.mark.parametrize(("n_left", "n_right", "n_edges"), [(784, 300, 23520), (300, 784, 23521), (300, 300, 80000)])
def test_larger_near_regular_graphs(n_left, n_right, n_edges):
    g = eg.random_regular(n_left, n_right, n_edges=n_edges, rng=1)
    assert g.n_edges == n_edges
    assert spread(g.left_degrees) <= 1
    assert spread(g.right_degrees) <= 1


def test_hardly_any_room_to_repair():
    """Half density, where a configuration model repeats most: the repair must still end."""
    for n in (2, 3, 4, 5, 6, 7, 40, 151):
        assert set(eg.random_regular(n, n, n // 2, rng=n).right_degrees.tolist()) == {n // 2}


def test_left_regular_leaves_outputs_without_input():
    """From 64 to 512 with degree 4: (1 - 4/512)^64 = 60.5 % of the outputs are empty on average."""
    empty = np.mean([(eg.random_left_regular(64, 512, 4, rng=s).right_degrees == 0).mean() for s in range(50)])
    assert empty == pytest.approx((1 - 4 / 512) ** 64, abs=0.01)


def test_the_worst_regular_expander_is_not_what_we_return():
    """Havel and Hakimi's algorithm returns n/d disjoint complete graphs; ours are connected."""
    assert all(eg.components(eg.random_regular(64, 64, 4, rng=seed)).count == 1 for seed in range(20))


# --- uniformity, by chi-square over complete enumerations ---


def near_regular(n_left, n_right, n_edges, *, left=True, right=True):
    """Every 0/1 matrix with these sizes and sum, degrees within one of each other on the sides named."""

    def allowed(n):
        return {n_edges // n, -(-n_edges // n)}

    def grow(rows):
        if len(rows) == n_left:
            columns = {sum(column) for column in zip(*rows, strict=True)}
            if sum(map(sum, rows)) == n_edges and (not right or columns <= allowed(n_right)):
                yield rows
            return
        for row in itertools.product((0, 1), repeat=n_right):
            full = (sum(column) + c for column, c in zip(zip(*rows, strict=True), row, strict=True)) if rows else row
            if (not left or sum(row) in allowed(n_left)) and (not right or max(full) <= max(allowed(n_right))):
                yield from grow((*rows, row))

    return {np.array(rows, dtype=bool).tobytes() for rows in grow(())}


def p_value(draw, classes, per_class, seed):
    rng = np.random.default_rng(seed)
    seen = Counter((draw(rng).biadjacency.toarray() != 0).tobytes() for _ in range(per_class * len(classes)))
    assert seen.keys() <= classes
    return stats.chisquare([seen[graph] for graph in classes]).pvalue


def regular(n_left, n_right, n_edges, **options):
    return lambda rng: eg.random_regular(n_left, n_right, n_edges=n_edges, rng=rng, **options)


@pytest.mark.parametrize(
    ("n_left", "n_right", "n_edges", "known", "per_class"),
    [
        (3, 3, 6, 6, 200),
        (4, 4, 8, 90, 80),
        (5, 5, 10, 2040, 8),
        (4, 4, 12, 24, 100),  # the complement of a matching
        (3, 5, 7, 930, 10),  # remainders on both sides
        (5, 3, 7, 930, 10),
        (4, 3, 5, None, 20),
        (2, 6, 6, 20, 100),
    ],
)
def test_random_regular_is_uniform(n_left, n_right, n_edges, known, per_class):
    classes = near_regular(n_left, n_right, n_edges)
    assert known is None or len(classes) == known
    assert p_value(regular(n_left, n_right, n_edges), classes, per_class, seed=1) > 1e-3


def test_the_chi_square_test_sees_what_mixing_removes():
    """Without mixing, the repaired configuration model is far from uniform: the test above can fail."""
    assert p_value(regular(4, 4, 8, mixing_rounds=0), near_regular(4, 4, 8), 80, seed=1) < 1e-20


@pytest.mark.parametrize("n_edges", [6, 7, 9])
def test_random_left_regular_is_uniform(n_edges):
    classes = near_regular(3, 4, n_edges, right=False)
    draw = lambda rng: eg.random_left_regular(3, 4, n_edges=n_edges, rng=rng)  # noqa: E731
    assert p_value(draw, classes, 20, seed=2) > 1e-3


@pytest.mark.parametrize("n_edges", [1, 4, 6])
def test_random_bipartite_is_uniform(n_edges):
    classes = near_regular(3, 3, n_edges, left=False, right=False)
    draw = lambda rng: eg.random_bipartite(3, 3, n_edges=n_edges, rng=rng)  # noqa: E731
    assert p_value(draw, classes, 30, seed=3) > 1e-3


def test_bernoulli_edges_are_independent():
    """All 16 graphs on 2 x 2, with probability p^m (1 - p)^(4 - m)."""
    rng, p, n = np.random.default_rng(4), 0.3, 8000
    seen = Counter((eg.random_bipartite(2, 2, p=p, rng=rng).biadjacency.toarray() != 0).tobytes() for _ in range(n))
    graphs = [np.array(bits, dtype=bool) for bits in itertools.product((0, 1), repeat=4)]
    expected = [n * p ** g.sum() * (1 - p) ** (4 - g.sum()) for g in graphs]
    assert stats.chisquare([seen[g.tobytes()] for g in graphs], expected).pvalue > 1e-3


# --- randomness ---


def test_seeds_and_generators():
    draw = lambda rng: eg.random_regular(30, 30, 3, rng=rng)  # noqa: E731
    assert draw(5) == draw(np.random.SeedSequence(5)) == draw(np.random.default_rng(5))
    assert draw(5) != draw(6)
    rng = np.random.default_rng(5)
    assert draw(rng) != draw(rng)
    assert draw(None) != draw(None)


def test_seeded_graphs_are_the_same_on_every_machine():
    """Digests under NumPy 2.4; a change here changes every published seed."""
    drawn = {
        "random": eg.random_bipartite(64, 48, n_edges=300, rng=7),
        "left_regular": eg.random_left_regular(64, 48, 5, rng=7),
        "regular": eg.random_regular(64, 48, 5, rng=7),
        "dense": eg.random_regular(64, 48, 40, rng=7),
    }
    assert {name: g.digest[:12] for name, g in drawn.items()} == SEEDED


SEEDED = {
    "random": "89136b509f04",
    "left_regular": "b35b3bffef57",
    "regular": "a62a89ebda61",
    "dense": "88779ef29c7e",
}


def test_the_number_of_threads_changes_nothing(monkeypatch):
    """With small chunks there are many of them; each has its own random stream."""
    monkeypatch.setattr(_threads, "CHUNK", 64)
    monkeypatch.setattr(random_module, "_RANGE", 64)
    for family in (eg.random_bipartite, eg.random_left_regular, eg.random_regular):
        drawn = []
        for threads in (1, 2, 5):
            monkeypatch.setattr(_threads, "n_processors", lambda n=threads: n)
            drawn.append(family(200, 300, n_edges=1001, rng=3))
        assert drawn[0] == drawn[1] == drawn[2]
        assert drawn[0].n_edges == 1001


def test_chunks_are_as_uniform_as_the_whole(monkeypatch):
    monkeypatch.setattr(_threads, "CHUNK", 2)
    monkeypatch.setattr(_threads, "n_processors", lambda: 1)
    monkeypatch.setattr(random_module, "_RANGE", 2)
    assert p_value(regular(4, 4, 8), near_regular(4, 4, 8), 20, seed=5) > 1e-3
    for n_edges in (4, 5):
        draw = lambda rng, m=n_edges: eg.random_bipartite(3, 3, n_edges=m, rng=rng)  # noqa: E731
        assert p_value(draw, near_regular(3, 3, n_edges, left=False, right=False), 15, seed=6) > 1e-3
        draw = lambda rng, m=n_edges: eg.random_left_regular(3, 4, n_edges=m, rng=rng)  # noqa: E731
        assert p_value(draw, near_regular(3, 4, n_edges, right=False), 15, seed=7) > 1e-3


def test_long_rows_are_as_uniform_as_short_ones(monkeypatch):
    monkeypatch.setattr(regular_module, "_LONG", 0)
    assert p_value(regular(4, 4, 8), near_regular(4, 4, 8), 20, seed=5) > 1e-3


def test_rows_of_any_length_against_ranges():
    """Rows may span ranges of numbers, and ranges rows; beyond 2^32 pairs a range, numbers take 64 bits."""
    for n_left, n_right, n_edges in [
        (1, 2**40, 300_000),
        (3, 2**40, 10),
        (70_000, 7, 150_000),
        (2**20, 2**20, 400_000),
    ]:
        g = eg.random_bipartite(n_left, n_right, n_edges=n_edges, rng=0)
        assert g.n_edges == n_edges
        middle = g.edges.astype(float).mean(axis=0) / (n_left - 1 or 1, n_right - 1)
        assert abs(middle[1] - 0.5) < 4 * (12 * n_edges) ** -0.5
        assert n_left == 1 or abs(middle[0] - 0.5) < 4 * (12 * n_edges) ** -0.5 + 0.2 * (n_left == 3)


def test_random_like():
    net = eg.radix_net([[2, 2, 2]], [1, 1, 1, 1])
    like = eg.random_like(net, rng=0)
    assert like.widths == net.widths
    assert [g.n_edges for g in like.layers] == [g.n_edges for g in net.layers]
    assert len(set(like.layers)) == 3
    assert like == eg.random_like(net, rng=0) != eg.random_like(net, rng=1)
    g = net.layers[0]
    assert eg.random_like(g, rng=0).n_edges == g.n_edges
    with pytest.raises(ValueError, match="got int"):
        eg.random_like(3)


def test_the_equivalent_of_a_random_network_is_another_one():
    """Also with the seed that the network itself came from."""
    net = eg.family_net("random", [50, 50, 50], density=0.1, rng=0)
    like = eg.random_like(net, rng=0)
    assert not set(like.layers) & set(net.layers)
    g = eg.random_bipartite(50, 50, density=0.1, rng=0)
    assert eg.random_like(g, rng=0) != g


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 100))
def test_a_density_means_the_same_number_of_edges_everywhere(n_left, n_right, percent):
    density = percent / 100
    alone = eg.random_bipartite(n_left, n_right, density=density, rng=0)
    assert eg.family_net("random", [n_left, n_right], density=density, rng=0).n_edges == alone.n_edges
    assert abs(alone.n_edges - density * n_left * n_right) <= 0.5 + 1e-9
    assert eg.spread([(2**30 + 1, 2**30 + 1)], density=1.0) == ((2**30 + 1) ** 2,)


def test_a_layer_s_stream_is_keyed_by_its_name():
    short = eg.family_net("random", [10, 10, 10], density=0.5, rng=0)
    long = eg.family_net("random", [10, 10, 10, 10], density=0.5, rng=0)
    assert long.layers[:2] == short.layers


# --- refusals ---


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: eg.random_left_regular(64, 32, degree=40), r"\(64, 32, degree=40\): degree exceeds n_right = 32"),
        (lambda: eg.random_regular(64, 32, degree=33), r"exceeds n_right = 32; the nearest feasible degree is 32"),
        (lambda: eg.random_regular(4, 4, n_edges=17), "nearest feasible n_edges is 16"),
        (lambda: eg.random_bipartite(4, 4, n_edges=17), "nearest feasible n_edges is 16"),
        (lambda: eg.random_left_regular(4, 4, n_edges=17), "nearest feasible n_edges is 16"),
    ],
)
def test_infeasible_requests_name_the_nearest_feasible(build, message):
    with pytest.raises(GenerationError, match=message):
        build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: eg.random_bipartite(4, 4), "exactly one of n_edges, density, p; got none"),
        (lambda: eg.random_bipartite(4, 4, p=0.1, density=0.1), "got density, p"),
        (
            lambda: eg.random_bipartite(4, 4, density=1.5),
            "density must be a number between 0 and 1, got 1.5; 1.5 % is 0.015",
        ),
        (lambda: eg.random_bipartite(4, 4, p=float("nan")), "p must be a number between 0 and 1, got nan"),
        (lambda: eg.random_bipartite(4, 4, density="0.5"), "density must be a number between 0 and 1, got '0.5'"),
        (lambda: eg.random_bipartite(4, 4, density=True), "density must be a number between 0 and 1, got True"),
        (lambda: eg.random_bipartite(4, 4, p=10**400), "p must be a number between 0 and 1"),
        (lambda: eg.random_bipartite(4, 4, p=0.5, rng=True), "rng must be None"),
        (lambda: eg.random_bipartite(4, 4, p=0.5, rng=[1, 2]), "rng must be None"),
        (lambda: eg.family_net("random", [4.0, 5], density=0.5), "each size must be an integer, got 4.0"),
        (lambda: eg.family_net("random", 5, density=0.5), "sizes must be a sequence, got 5"),
        (lambda: eg.family_net("regular", [4, 9], degree=5), "the layer 4 x 9 holds a degree of at most 4"),
        (lambda: as_family("radix"), "built as a whole"),
        (lambda: as_family(lambda *_: 3)(2, 2, 1, None), "the family must return a BipartiteGraph, got int"),
        (
            lambda: as_family(lambda *_: eg.random_bipartite(2, 2, p=1))(2, 2, 1, None),
            "was asked for 2 x 2 with 1 edges, and gave",
        ),
        (lambda: as_family("Left-Regulr"), r"got 'Left-Regulr'; did you mean 'left_regular'\?"),
        (lambda: as_family("X-Net"), r"got 'X-Net'; did you mean 'left_regular'\?"),
        (lambda: as_family("rreg"), r"did you mean 'regular'\?"),
        (lambda: eg.random_bipartite(4, 4, n_edges=2.5), "n_edges must be an integer, got 2.5"),
        (lambda: eg.random_bipartite("4", 4, n_edges=2), "n_left must be an integer, got '4'"),
        (lambda: eg.random_left_regular(4, 4), "exactly one of degree, n_edges; got none"),
        (lambda: eg.random_regular(4, 4, 2, n_edges=8), "got degree, n_edges"),
        (lambda: eg.random_regular(4, 4, -1), "degree must be an integer of at least 0, got -1"),
        (lambda: eg.random_regular(4, 4, True), "degree must be an integer"),
        (lambda: eg.random_regular(4, 4, 2, mixing_rounds=-1), "mixing_rounds"),
        (lambda: eg.random_regular(4, 4, 2, rng="seed"), "rng must be None, a non-negative int"),
        (lambda: eg.random_regular(4, 4, 2, rng=-3), "rng must be None, a non-negative int"),
        (lambda: eg.family_net("expander", [4, 4], density=0.5), "one of random, left_regular, regular, radix"),
        (lambda: eg.family_net("random", [4], density=0.5), "at least two layers"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_what_memory_cannot_hold_is_refused_before_anything_is_drawn(monkeypatch):
    def full(shape, dtype=float):
        raise MemoryError(shape)

    monkeypatch.setattr(random_module, "_different_numbers", lambda *_: pytest.fail("hours of draws"))
    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(MemoryError, match="100000000000"):
        eg.random_bipartite(10**6, 10**6, n_edges=10**11, rng=0)
