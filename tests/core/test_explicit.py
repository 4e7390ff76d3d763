import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import block_diag, hadamard

import expandergraphs as eg
from expandergraphs import BipartiteGraph, GenerationError
from expandergraphs.generators.explicit import array_code, cayley_f2, lps, projective_plane
from expandergraphs.generators.family import draw_layer
from expandergraphs.generators.products import block_expander
from tests.core.strategies import pairs

PRIMES = [2, 3, 5, 7]


def dense(g):
    return g.biadjacency.toarray()


def svd(matrix):
    return np.linalg.svd(matrix, compute_uv=False) if min(matrix.shape) else np.zeros(0)


def with_multiplicities(*values):
    return [value for value, times in values for _ in range(times)]


def complete(n_left, n_right):
    return BipartiteGraph.from_biadjacency(np.ones((n_left, n_right)))


# --- array codes ---


@pytest.mark.parametrize(("q", "l"), [(q, l) for q in PRIMES for l in range(1, q + 1)])  # noqa: E741
def test_array_code(q, l):  # noqa: E741
    """Theorem of Burnwal, Sinha and Vidyasagar, and the block matrix of shifts itself."""
    g = array_code(q, l)
    shift = np.roll(np.eye(q, dtype=int), -1, axis=1)  # row a has its one in column a - 1
    blocks = [[np.linalg.matrix_power(shift, i * j) for j in range(q)] for i in range(l)]
    np.testing.assert_array_equal(dense(g), np.block(blocks))
    expected = with_multiplicities((math.sqrt(l * q), 1), (math.sqrt(q), l * (q - 1)), (0, l - 1))
    np.testing.assert_allclose(eg.singular_values(g), expected, atol=1e-7)
    common = dense(g) @ dense(g).T
    np.fill_diagonal(common, 0)
    assert common.max() <= 1
    gap = eg.spectral_gap(g)
    assert (gap.is_ramanujan, gap.connected) == ((True, True) if l > 1 else (False, False))


# --- projective planes ---


def plane_twin(q):
    """Incidence by homogeneous coordinates: a point lies on a line if their product is 0."""
    points = [(1, x, y) for x in range(q) for y in range(q)] + [(0, 1, m) for m in range(q)] + [(0, 0, 1)]
    lines = [(b, m, -1) for m in range(q) for b in range(q)] + [(-x, 1, 0) for x in range(q)] + [(1, 0, 0)]
    return np.array(points) @ np.array(lines).T % q == 0


@pytest.mark.parametrize("q", [*PRIMES, 11])
def test_projective_plane(q):
    g, n = projective_plane(q), q * q + q + 1
    np.testing.assert_array_equal(dense(g) != 0, plane_twin(q))
    # Two points lie on one line, two lines meet in one point, q + 1 of either are incident.
    for b in (dense(g), dense(g.T)):
        np.testing.assert_array_equal(b @ b.T, q * np.eye(n) + 1)
    np.testing.assert_allclose(eg.singular_values(g), with_multiplicities((q + 1, 1), (math.sqrt(q), n - 1)))
    assert eg.spectral_gap(g).is_ramanujan


# --- LPS ---


def lps_twin(p, q):
    """The Cayley graph by brute force, one matrix at a time, vertices in the order that is documented."""
    size, i = math.isqrt(p), next(x for x in range(q) if (x * x + 1) % q == 0)
    squares = {x * x % q for x in range(1, q)}
    generators = [
        (a + i * b, c + i * d, -c + i * d, a - i * b)
        for a, b, c, d in itertools.product(range(-size, size + 1), repeat=4)
        if a * a + b * b + c * c + d * d == p and a > 0 and a % 2 == 1 and b % 2 == c % 2 == d % 2 == 0
    ]
    assert len(generators) == p + 1

    def determinant(m):
        return (m[0] * m[3] - m[1] * m[2]) % q

    def scaled(m):
        lead = m[0] % q or m[1] % q
        return tuple(entry * pow(lead, -1, q) % q for entry in m)

    def key(m):
        return (0, m[1], determinant(m), m[2]) if m[0] else (1, 0, determinant(m), m[3])

    group = [m for m in itertools.product(range(q), repeat=4) if determinant(m) and m == scaled(m)]
    left = sorted((m for m in group if determinant(m) in squares), key=key)
    right = sorted((m for m in group if determinant(m) not in squares), key=key)
    places = {m: j for j, m in enumerate(right)}
    edges = []
    for k, (a, b, c, d) in enumerate(left):
        for e, f, g, h in generators:
            edges.append((k, places[scaled((a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h))]))
    return BipartiteGraph.from_edges(len(left), len(right), edges)


@pytest.mark.parametrize(("p", "q"), [(13, 5), (17, 5), (5, 13)])
def test_lps_agrees_with_brute_force(p, q):
    assert lps(p, q) == lps_twin(p, q)


# In the last, p exceeds q^2, and yet no two generators agree.
@pytest.mark.parametrize(("p", "q"), [(13, 5), (17, 5), (5, 13), (5, 17), (29, 17), (197, 13)])
def test_lps_is_ramanujan(p, q):
    """Theorem of Lubotzky, Phillips and Sarnak, and their bound on the girth in the bipartite case."""
    g, n = lps(p, q), q * (q * q - 1) // 2
    assert (g.n_left, g.n_right, g.n_edges) == (n, n, (p + 1) * n)
    assert set(g.left_degrees.tolist()) == set(g.right_degrees.tolist()) == {p + 1}
    gap = eg.spectral_gap(g)
    assert gap.connected
    assert gap.sigma2 <= 2 * math.sqrt(p) < gap.sigma1 == p + 1
    assert gap.is_ramanujan
    assert g.to_igraph().girth() >= 4 * math.log(q, p) - math.log(4, p)


def test_lps_refuses_exactly_what_has_repeated_edges():
    """Above q^2 most p fail; brute force over the generators says which."""
    for q, largest in ((5, 60), (13, 300)):
        for p in range(q + 1, largest):
            if not (p % 4 == 1 and all(p % k for k in range(2, p)) and pow(p, q // 2, q) == q - 1):
                continue
            size, images = math.isqrt(p), set()
            for a, b, c in itertools.product(range(1, size + 1, 2), *2 * [range(-(size // 2) * 2, size + 1, 2)]):
                rest = p - a * a - b * b - c * c
                for d in {-math.isqrt(rest), math.isqrt(rest)} if rest >= 0 else ():
                    if d * d == rest:
                        images.add(frozenset({tuple(s * x % q for x in (a, b, c, d)) for s in (1, -1)}))
            if len(images) == p + 1:
                assert lps(p, q).left_degrees.min() == p + 1
            else:
                assert p > q * q
                with pytest.raises(GenerationError, match=f"two of the {p + 1} generators agree modulo {q}"):
                    lps(p, q)


# --- Cayley graphs of (Z/2)^m ---


@st.composite
def cubes(draw):
    m = draw(st.integers(0, 5))
    return m, draw(st.lists(st.integers(0, 2**m - 1), unique=True))


@given(cubes())
def test_cayley_f2(example):
    m, generators = example
    g = cayley_f2(m, generators)
    assert g == BipartiteGraph.from_edges(2**m, 2**m, [(x, x ^ s) for x in range(2**m) for s in generators])
    assert g == cayley_f2(m, np.array(generators, dtype=np.uint8)[::-1])
    characters = hadamard(2**m)[:, generators].sum(axis=1)
    np.testing.assert_allclose(eg.singular_values(g), np.sort(np.abs(characters))[::-1], atol=1e-7)
    same_sign = [y for y in range(2**m) if len({(s & y).bit_count() % 2 for s in generators}) <= 1]
    assert eg.spectral_gap(g).connected == (same_sign == [0] and generators != [])


@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_unit_vectors_alone_give_two_hypercubes(m):
    units = [2**k for k in range(m)]
    cube = cayley_f2(m, units)
    gap = eg.spectral_gap(cube)
    assert (gap.sigma1, gap.connected, eg.components(cube).count) == (m, False, 2)
    assert gap.sigma2 == pytest.approx(m)
    mended = eg.spectral_gap(cayley_f2(m, [0, *units]))
    assert mended.connected
    assert mended.sigma2 == pytest.approx(m - 1)


# --- block expanders ---


@given(pairs(), st.integers(1, 4), st.integers(1, 4))
def test_block_expander(example, height, width):
    g = BipartiteGraph.from_edges(*example)
    blocked = block_expander(g, (height, width))
    np.testing.assert_array_equal(dense(blocked), np.kron(dense(g), np.ones((height, width))))
    assert blocked.density == g.density
    assert block_expander(g, height) == block_expander(g, (height, height))
    assert block_expander(g, 1) == g
    old, new = svd(dense(g)), svd(dense(blocked))
    np.testing.assert_allclose(new[: old.size], math.sqrt(height * width) * old, atol=1e-7)
    np.testing.assert_allclose(new[old.size :], 0, atol=1e-7)
    if g.n_edges:
        assert eg.spectral_gap(blocked).ratio == pytest.approx(eg.spectral_gap(g).ratio, abs=1e-7)


@given(st.lists(pairs(), min_size=1, max_size=4))
def test_disjoint_union(examples):
    graphs = [BipartiteGraph.from_edges(*example) for example in examples]
    together = eg.disjoint_union(graphs)
    np.testing.assert_array_equal(dense(together), block_diag(*map(dense, graphs)))
    with pytest.raises(ValueError, match="at least one graph"):
        eg.disjoint_union([])
    with pytest.raises(ValueError, match="a BipartiteGraph is needed, got int"):
        eg.disjoint_union([3])


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.sampled_from([(), (2,), (3, 2)]))
def test_layers_are_drawn_group_by_group_in_blocks(n_left, n_right, groups, block, kernel):
    layer = eg.LayerShape(n_left * groups * block, n_right * groups * block, kernel, groups)
    for pattern in ("channel", "weight"):
        asked = []

        def family(a, b, m, rng, asked=asked):
            asked.append((a, b, m))
            return eg.random_bipartite(a, b, n_edges=m, rng=rng)

        n_edges = eg.spread([layer], density=0.5, pattern=pattern, block=block)[0]
        g = draw_layer(family, layer, n_edges, pattern=pattern, block=block, rng=0)
        kernel_size = math.prod(kernel) if pattern == "weight" else 1
        assert (g.n_left, g.n_right, g.n_edges) == (layer.n_left * kernel_size, layer.n_right, n_edges)
        assert {sides[:2] for sides in asked} == {(n_left * kernel_size, n_right)}
        assert len(asked) == groups
        counts = [m for *_, m in asked]
        assert sum(counts) * block**2 == n_edges
        assert max(counts) - min(counts) <= 1
        grid = dense(g).reshape(groups, g.n_left // groups, groups, g.n_right // groups)
        assert all(not grid[a, :, b].any() for a in range(groups) for b in range(groups) if a != b)
        blocks = dense(g).reshape(g.n_left // block, block, g.n_right // block, block)
        assert set(blocks.sum(axis=(1, 3)).ravel().tolist()) <= {0, block**2}


def test_a_layer_is_drawn_in_whole_blocks():
    with pytest.raises(eg.GenerationError, match="n_edges = 5 is no number of whole blocks of 2 x 2"):
        draw_layer("random", eg.LayerShape(4, 4), 5, block=2)


def test_what_blocks_cost():
    """Degree 32, n = 512: at equal density sigma2 / sigma1 is .33, .64 and .86 for blocks of 1, 4 and 8."""
    for block, ratio in ((1, 0.33), (4, 0.64), (8, 0.86)):
        small = eg.random_regular(512 // block, 512 // block, 32 // block, rng=0)
        blocked = block_expander(small, block)
        assert (blocked.n_left, blocked.left_degrees.max()) == (512, 32)
        assert eg.spectral_gap(blocked).ratio == pytest.approx(ratio, abs=0.03)


# --- refusals ---


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: array_code(6, 2), r"array_code\(6, 2\): q = 6 is not a prime; the nearest: 5 and 7"),
        (lambda: array_code(5, 6), r"array_code\(5, 6\): l exceeds q = 5; the nearest feasible l is 5"),
        (lambda: projective_plane(6), r"projective_plane\(6\): q = 6 is not a prime; the nearest: 5 and 7"),
        (lambda: projective_plane(4), "q = 4 is not a prime; the nearest: 3 and 5"),
        (lambda: lps(5, 7), r"lps\(5, 7\): q = 7 is not a prime that is 1 modulo 4; the nearest: 5 and 13"),
        (lambda: lps(5, 9), "q = 9 is not a prime that is 1 modulo 4; the nearest: 5 and 13"),
        (lambda: lps(5, 2), "q = 2 is not a prime that is 1 modulo 4; the nearest: 5$"),
        (lambda: lps(7, 13), "p = 7 is not a prime that is 1 modulo 4; the nearest: 5 and 13"),
        (lambda: lps(9, 13), "p = 9 is not a prime that is 1 modulo 4; the nearest: 5 and 13"),
        (lambda: lps(13, 13), r"p and q must differ; with p = 13 the nearest q > sqrt\(p\) that will do: 5 and 37"),
        (lambda: lps(5, 29), "5 is a square modulo 29, .* not bipartite; with p = 5 the nearest q .*: 17 and 37"),
        (lambda: lps(173, 13), "173 is a square modulo 13, .* will do: 17$"),  # 5 would be below sqrt(173)
        (lambda: lps(37, 5), r"two of the 38 generators agree modulo 5, .* with p = 37 the nearest q .*: 13$"),
        (lambda: lps(61, 5), r"p must be below q \(q\^2 - 1\) / 2 = 60"),
    ],
)
def test_infeasible_requests_name_the_nearest_feasible(build, message):
    with pytest.raises(GenerationError, match=message):
        build()


def test_the_nearest_that_are_named_would_work():
    for p, q in ((13, 5), (13, 37), (5, 17), (5, 37), (37, 13), (173, 17)):
        assert lps(p, q).left_degrees.max() == p + 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: array_code(1, 1), "q must be an integer of at least 2, got 1"),
        (lambda: array_code(5, 0), "l must be an integer of at least 1, got 0"),
        (lambda: array_code(5.0, 2), "q must be an integer, got 5.0"),
        (lambda: array_code(10**9 + 7, 1), r"product must be below 2\*\*63"),
        (lambda: projective_plane(True), "q must be an integer"),
        (lambda: projective_plane(1), "q must be an integer of at least 2, got 1"),
        (lambda: projective_plane(10**9 + 7), r"product must be below 2\*\*63"),
        (lambda: lps(5, -13), "q must be an integer of at least 2, got -13"),
        (lambda: lps(1, 13), "p must be an integer of at least 2, got 1"),
        (lambda: lps(10**40, 13), "p must be below"),
        (lambda: lps(5, 10**40), r"product must be below 2\*\*63"),
        (lambda: cayley_f2(3, [1, 2, 1]), "generator 1 is given more than once"),
        (lambda: cayley_f2(3, [1, 8]), r"generators must lie in 0\.\.7, got 8"),
        (lambda: cayley_f2(3, [-1]), "each generator must be an integer of at least 0, got -1"),
        (lambda: cayley_f2(3, [1.5]), "each generator must be an integer, got 1.5"),
        (lambda: cayley_f2(3, 7), "generators must be a sequence, got 7"),
        (lambda: cayley_f2(-1, []), "m must be an integer of at least 0, got -1"),
        (lambda: cayley_f2(32, [1]), "m must be at most 31, got 32"),
        (lambda: block_expander(complete(2, 2), 0), "block must be an integer of at least 1, got 0"),
        (lambda: block_expander(complete(2, 2), (2, 0)), "each size of the block must be an integer of at least 1"),
        (lambda: block_expander(complete(2, 2), (2, 2, 2)), r"one size or a pair of sizes, got \(2, 2, 2\)"),
        (lambda: block_expander(complete(2, 2), "22"), "block must be a sequence, got '22'"),
        (lambda: block_expander(complete(2, 2), 2.5), "block must be an integer, got 2.5"),
        (lambda: block_expander(complete(2, 2), 2**40), r"product must be below 2\*\*63"),
        (lambda: block_expander(np.ones((2, 2)), 2), "a BipartiteGraph is needed, got ndarray"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# --- the same for ever ---


def test_digests():
    built = {
        "array_code": array_code(7, 3),
        "projective_plane": projective_plane(5),
        "lps": lps(5, 13),
        "cayley_f2": cayley_f2(5, [1, 2, 4, 8, 16, 31]),
        "block_expander": block_expander(array_code(3, 2), (2, 4)),
    }
    assert {name: g.digest[:12] for name, g in built.items()} == {
        "array_code": "1e80169d02d3",
        "projective_plane": "b53b7733dfba",
        "lps": "468d0009eb0b",
        "cayley_f2": "3a7a84b914e6",
        "block_expander": "9c48870e06bf",
    }
