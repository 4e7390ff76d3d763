"""Spectral density, and the limiting law of random biregular graphs."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.spectral import bounds as bounds_module
from expandergraphs.spectral import dense as dense_way
from expandergraphs.spectral.density import spectral_density
from expandergraphs.spectral.law import biregular_law
from tests.core.test_spectral import dense

DEGREES = [(2, 2), (3, 3), (3, 6), (6, 3), (2, 7), (32, 32), (5, 200)]


def integral(law, function, upper=None):
    """Over the support, in an angle: its ends are square roots, or worse."""
    centre, radius = (law.lower + law.upper) / 2, (law.upper - law.lower) / 2
    last = math.pi if upper is None else math.acos((centre - upper) / radius)

    def integrand(angle):
        s = centre - radius * math.cos(angle)
        return function(s) * float(law.density(s)) * radius * math.sin(angle)

    return quad(integrand, 0, last, epsabs=1e-11, epsrel=1e-11)[0]


@pytest.mark.parametrize("degrees", DEGREES)
def test_the_law_has_mass_one_and_its_cdf_is_its_integral(degrees):
    law = biregular_law(*degrees)
    assert integral(law, lambda s: 1.0) == pytest.approx(1, abs=1e-9)
    for share in (0.1, 0.5, 0.9):
        s = law.lower + share * (law.upper - law.lower)
        assert float(law.cdf(s)) == pytest.approx(integral(law, lambda s: 1.0, s), abs=1e-9)
    np.testing.assert_allclose(law.cdf([-1, 0, law.lower, law.upper, 1e9]), [0, 0, 0, 1, 1], atol=1e-12)
    assert law.density([-1, law.lower - 1e-9, law.upper, 1e9]).tolist() == [0, 0, 0, 0]
    assert (law.atom, law.upper) == (None, math.sqrt(degrees[0] - 1) + math.sqrt(degrees[1] - 1))


def closed_walks(d_here, d_there, length):
    """Count closed walks at a vertex of the biregular tree: positions are distances from it."""
    branches = (d_here, d_there)
    counts = {0: 1}
    for _ in range(length):
        following = {}
        for distance, count in counts.items():
            if distance:
                following[distance - 1] = following.get(distance - 1, 0) + count
            away = branches[distance % 2] - (distance > 0)
            following[distance + 1] = following.get(distance + 1, 0) + away * count
        counts = following
    return counts.get(0, 0)


@pytest.mark.parametrize("degrees", DEGREES)
def test_the_moments_are_the_closed_walks_of_the_tree(degrees):
    """On the smaller side of a biregular graph the degrees are the larger ones."""
    law = biregular_law(*degrees)
    for k in range(1, 6):
        expected = closed_walks(max(degrees), min(degrees), 2 * k)
        assert integral(law, lambda s, k=k: s ** (2 * k)) == pytest.approx(expected, rel=1e-8)


def test_a_side_of_two_vertices_beside_a_long_one(monkeypatch):
    """Two stars: what is left beside the first vector is one value, and never nothing."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 1)
    stars = BipartiteGraph.from_biadjacency(np.kron(np.eye(2), np.ones((1, 50))))
    for seed in range(10):
        found = spectral_density(stars, rng=seed)
        assert (found.density >= 0).all()
        assert found.grid[found.density.argmax()] == pytest.approx(math.sqrt(50), abs=3 * found.width)


def test_degree_one_is_an_atom():
    """Stars: every singular value is the root of the other degree."""
    stars = BipartiteGraph.from_biadjacency(np.kron(np.eye(5), np.ones((1, 7))))
    law = biregular_law(7, 1)
    assert (law.atom, law.lower, law.upper, law.zero_share) == (math.sqrt(7),) * 3 + (30 / 40,)
    np.testing.assert_allclose(dense(stars), law.atom)
    zeros = np.isclose(np.linalg.eigvalsh(stars.adjacency.toarray()), 0).mean()
    assert zeros == law.zero_share
    assert law.cdf([2, 3]).tolist() == [0, 1]
    assert law.density([2, law.atom]).tolist() == [0, 0]


@pytest.mark.parametrize("limit", [10**9, 10])
def test_how_far_a_graph_is_from_its_law(limit, monkeypatch):
    """Kolmogorov's distance: small for random graphs, not for a projective plane, whose values are all sqrt(q)."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", limit)
    random = spectral_density(eg.random_regular(600, 300, 3, rng=0), rng=0)
    assert random.law == biregular_law(3, 6)
    assert random.law_distance < 0.03
    plane = spectral_density(eg.projective_plane(11), rng=0)
    exact = max(plane.law.cdf(math.sqrt(11)), 1 - plane.law.cdf(math.sqrt(11)))
    assert plane.law_distance == pytest.approx(exact, abs=1e-9 if limit > 10 else 0.05)
    stars = BipartiteGraph.from_biadjacency(np.kron(np.eye(50), np.ones((1, 7))))
    assert spectral_density(stars, rng=0).law_distance == 0
    irregular = spectral_density(eg.random_bipartite(60, 60, n_edges=200, rng=0), rng=0)
    assert irregular.law is None
    assert math.isnan(irregular.law_distance)


@pytest.mark.parametrize("sizes", [(700, 700, 3), (900, 450, 4)])
def test_the_whole_spectrum_of_a_random_graph_follows_the_law(sizes):
    """Kolmogorov's distance is small to this law, and large to the one of other degrees."""
    g = eg.random_regular(*sizes, rng=0)
    values = np.sort(eg.singular_values(g))[:-1]
    degrees = int(g.left_degrees[0]), int(g.right_degrees[0])

    def distance(law):
        return abs(law.cdf(values) - np.arange(values.size) / values.size).max()

    assert distance(biregular_law(*degrees)) < 0.01
    assert distance(biregular_law(degrees[0], degrees[1] + 1)) > 0.03


def test_the_estimate_agrees_with_the_density_of_the_computed_values(monkeypatch):
    """Within its own standard error, neither much better nor worse."""
    regular, irregular = eg.random_regular(600, 400, 6, rng=0), eg.random_bipartite(500, 400, n_edges=2000, rng=0)
    for g, taken_out in ((regular, (math.sqrt(54),)), (irregular, ())):
        exact = spectral_density(g, moments=61)
        assert not exact.error.any()
        with monkeypatch.context() as patch:
            patch.setattr(dense_way, "DENSE_LIMIT", 10)
            estimate = spectral_density(g, moments=61, vectors=40, rng=1)
        if g is regular:  # the other's expansions end at different points
            again = np.interp(estimate.grid, exact.grid, exact.density)
            assert 0.5 < np.sqrt(np.mean(((estimate.density - again) / estimate.error) ** 2)) < 2
        shares = np.interp(estimate.grid, exact.grid, exact.cumulative, right=1)
        np.testing.assert_allclose(estimate.cumulative, shares, atol=0.03)
        assert exact.taken_out == estimate.taken_out == taken_out
        assert exact.n_values == estimate.n_values == 400 - len(taken_out)


def test_the_density_of_computed_values_is_a_sum_of_peaks():
    """Positive, of mass 1, each value a peak of the stated width; the cumulative share is the integral."""
    g = eg.array_code(7, 3)  # sqrt(7) eighteen times, 0 twice
    found = spectral_density(g, moments=200, points=4000)
    assert (found.n_values, found.taken_out) == (20, (math.sqrt(21),))
    assert found.density.min() > 0
    step = found.grid[1] - found.grid[0]
    np.testing.assert_allclose(found.cumulative, np.cumsum(found.density) * step - found.density * step / 2, atol=2e-3)
    between = np.interp([1.0, 2.0], found.grid, found.cumulative)
    np.testing.assert_allclose(between, [2 / 20, 2 / 20], atol=2e-3)
    low = found.grid < 1
    mass = found.density[low] * step
    width = math.sqrt((mass * found.grid[low] ** 2).sum() / mass.sum())
    assert width == pytest.approx(found.width, rel=0.05)
    with pytest.raises(ValueError, match="read-only"):
        found.density[0] = 0


def test_the_density_of_a_large_random_graph_is_close_to_the_law():
    g = eg.random_regular(9000, 6000, 4, rng=0)
    found = spectral_density(g, moments=128, rng=0)
    assert (found.n_values, found.taken_out) == (5999, (math.sqrt(24),))
    law, other = biregular_law(4, 6), biregular_law(4, 7)
    assert abs(found.cumulative - law.cdf(found.grid)).max() < 0.01
    assert abs(found.cumulative - other.cdf(found.grid)).max() > 0.05
    bulk = (found.grid > law.lower + 5 * found.width) & (found.grid < law.upper - 5 * found.width)
    assert abs(found.density - law.density(found.grid))[bulk].max() < 5 * found.error.max() + 0.01


@pytest.mark.parametrize("dense_limit", [1000, 2])
def test_awkward_graphs(dense_limit, monkeypatch):
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", dense_limit)
    for g in (
        eg.random_bipartite(20, 30, n_edges=0),
        eg.random_bipartite(20, 30, p=1),
        eg.random_bipartite(1, 30, n_edges=10),
        BipartiteGraph.from_biadjacency(np.eye(20)),
        BipartiteGraph.from_biadjacency(np.kron(np.eye(3), np.ones((4, 5)))),
    ):
        found = spectral_density(g, moments=150, rng=0)
        assert found.cumulative[-1] == pytest.approx(1, abs=0.01)
        assert found.density.min() >= 0
        values = dense(g)[1:] if found.taken_out else dense(g)
        assert values.size == found.n_values
        assert found.grid[-1] + found.grid[0] >= values.max() * (1 - 1e-9)


def test_the_same_seed_gives_the_same_density(monkeypatch):
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 2)
    monkeypatch.setattr(bounds_module, "CHOLESKY_LIMIT", 0)
    for g in (eg.random_bipartite(60, 50, n_edges=300, rng=0), eg.random_regular(60, 50, n_edges=300, rng=0)):
        one, two, three = (spectral_density(g, moments=9, vectors=2, points=5, rng=seed).density for seed in (1, 1, 2))
        assert one.tolist() == two.tolist() != three.tolist()


def test_where_degrees_are_equal_the_law_begins_at_0():
    law = eg.biregular_law(4, 4)
    np.testing.assert_allclose(law.density([0.0, 1e-9]), 2 * math.sqrt(3) / (4 * math.pi))
    assert law.density([-1e-9, law.upper]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: biregular_law(0, 3), "d_left must be an integer of at least 1, got 0"),
        (lambda: biregular_law(3, 2.5), "d_right must be an integer"),
        (lambda: spectral_density("graph"), "a BipartiteGraph is needed"),
        (lambda: spectral_density(eg.random_bipartite(0, 3, n_edges=0)), "has no singular value"),
        (lambda: spectral_density(eg.random_bipartite(1, 3, p=1)), "has no singular value besides its first"),
        (lambda: spectral_density(eg.random_regular(9, 9, 3, rng=0), moments=1), "moments must be .* at least 2"),
        (lambda: spectral_density(eg.random_regular(9, 9, 3, rng=0), vectors=1), "vectors must be .* at least 2"),
        (lambda: spectral_density(eg.random_regular(9, 9, 3, rng=0), points=0), "points must be .* at least 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
