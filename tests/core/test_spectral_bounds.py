"""Bounds on the second singular value: never wrong, and tight; what they rest on, piece by piece."""

import math

import numpy as np
import pytest
from scipy.sparse import block_diag, csr_array

import expandergraphs as eg
from expandergraphs import BipartiteGraph
from expandergraphs.spectral import bounds as bounds_module
from expandergraphs.spectral import dense as dense_way
from expandergraphs.spectral import lanczos, products
from expandergraphs.spectral.bounds import (
    lower_end,
    probable_upper,
    proved_below,
    proved_upper,
    second_singular_value,
)
from expandergraphs.spectral.lanczos import Bidiagonalisation
from expandergraphs.spectral.products import Products
from expandergraphs.spectral.values import constant
from tests.core.test_spectral import any_shape, circulant, dense


def normalised(g):
    left, right = (np.maximum(degrees, 1) ** -0.5 for degrees in (g.left_degrees, g.right_degrees))
    return np.linalg.svd(left[:, None] * g.biadjacency.toarray() * right, compute_uv=False)


def tied(seed, copies):
    """Blocks of 8 x 8: one, and copies of another, whose largest singular values differ by less than 1e-7."""
    rng = np.random.default_rng(seed)
    blocks = [(rng.random((8, 8)) < 0.6).astype(float) for _ in range(4000)]
    tops = np.linalg.norm(blocks, 2, axis=(1, 2))
    order = np.argsort(tops)
    gaps = np.diff(tops[order])
    at = np.flatnonzero((gaps > 1e-9) & (gaps < 1e-6))[-1]
    low, high = (blocks[order[i]] for i in (at, at + 1))
    return BipartiteGraph.from_biadjacency(block_diag([high] + [low] * copies))


def bridged(g):
    """Two copies of a graph, one edge of each exchanged: two leading values that nearly agree."""
    twice = block_diag([g.biadjacency] * 2).toarray()
    (row, column), n = g.edges[0], (g.n_left, g.n_right)
    twice[row, column] = twice[row + n[0], column + n[1]] = 0
    twice[row, column + n[1]] = twice[row + n[0], column] = 1
    return BipartiteGraph.from_biadjacency(twice)


def adversaries(rng):
    """Near-multiple, multiple and clustered leading values."""
    n = int(rng.integers(12, 60))
    regular = eg.random_regular(n, n, 4, rng=rng)
    yield bridged(regular)
    yield eg.two_lift(circulant(n, range(2)), rng=rng)
    yield BipartiteGraph.from_edges(n, n, [(i, i) for i in range(n)] + [(i, i + 1) for i in range(n - 1)])
    yield BipartiteGraph.from_biadjacency(block_diag([regular.biadjacency] * 2))
    yield eg.array_code(5, int(rng.integers(2, 6)))


def everything():
    rng = np.random.default_rng(1)
    for _ in range(200):
        yield any_shape(rng)
    for _ in range(12):
        yield from adversaries(rng)


@pytest.mark.parametrize(
    ("dense_limit", "cholesky_limit", "certificate"),
    [(1000, 4096, "exact"), (1, 4096, "exact"), (1, 0, "probabilistic")],
)
def test_no_value_escapes_and_the_bounds_are_tight(dense_limit, cholesky_limit, certificate, monkeypatch):
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", dense_limit)
    monkeypatch.setattr(bounds_module, "CHOLESKY_LIMIT", cholesky_limit)
    for seed, g in enumerate(everything()):
        for scaled, values in ((False, dense(g)), (True, normalised(g))):
            second, unit = [*values, 0][1], max(1e-300, values[0]) * np.finfo(float).eps
            bounds = second_singular_value(g, normalised=scaled, rng=seed)
            assert bounds.lower - 4 * unit <= second <= bounds.upper + 4 * unit, (g, bounds, second)
            assert bounds.upper - bounds.lower <= 1e-3 * second + 1e-5 * values[0], (g, bounds, second)
            trivial = min(g.n_left, g.n_right) == 1 or g.n_edges == 0
            assert (bounds.certificate, bounds.failure_probability > 0) == (
                ("exact", False) if trivial else (certificate, certificate == "probabilistic")
            )


def test_a_time_limit_leaves_bounds_that_hold(monkeypatch):
    monkeypatch.setattr(bounds_module, "CHOLESKY_LIMIT", 10)
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    for seed in range(5):
        g = eg.random_regular(200, 200, 8, rng=seed) if seed % 2 else eg.random_bipartite(200, 300, p=0.1, rng=seed)
        truth = dense(g)[1]
        hasty = second_singular_value(g, time_limit=0, rng=seed)
        patient = second_singular_value(g, rng=seed)
        assert hasty.lower <= truth <= hasty.upper
        assert hasty.upper - hasty.lower > patient.upper - patient.lower
    with pytest.raises(ValueError, match="time_limit must be None or a number of seconds, at least 0, got 'long'"):
        second_singular_value(g, time_limit="long")


def test_a_wider_tolerance_costs_fewer_steps_and_is_kept(monkeypatch):
    monkeypatch.setattr(bounds_module, "CHOLESKY_LIMIT", 0)
    g, steps = eg.random_regular(3000, 3000, 4, rng=0), []
    advance = Bidiagonalisation.advance
    monkeypatch.setattr(Bidiagonalisation, "advance", lambda run, n: steps.append(max(0, n)) or advance(run, n))
    for tolerance in (0.1, 0.01, 1e-3):
        steps.append(-sum(steps))
        bounds = second_singular_value(g, tolerance=tolerance, rng=0)
        assert bounds.upper <= (1 + tolerance) * bounds.lower
    counts = np.cumsum(steps)[[i - 1 for i, n in enumerate(steps) if n < 0 and i] + [-1]]
    assert counts.tolist() == sorted(counts.tolist())
    assert counts[0] < counts[2] / 4


def test_the_failure_probability_is_kept_and_used_up():
    """Over many pairs of starts, bounds for p = 1/2 and 1/10 are wrong no more often, but not never."""
    g, rng = eg.random_regular(60, 60, 4, rng=0), np.random.default_rng(0)
    matrix, second = Products(g.biadjacency), dense(g)[1]
    wrong = {0.5: 0, 0.1: 0}
    for _ in range(600):
        runs = [Bidiagonalisation(matrix, rng.standard_normal(60), [constant(60)]) for _ in range(2)]
        for run in runs:
            run.advance(16)
        for p in wrong:
            wrong[p] += probable_upper(runs, p) < second
    assert 0.02 * 600 < wrong[0.5] < 0.5 * 600
    assert 0.002 * 600 < wrong[0.1] < 0.1 * 600


def test_never_looser_than_kuczynski_and_wozniakowski():
    """One start: P(estimate < (1 - eps) largest) <= 1.648 sqrt(n) exp(-sqrt(eps) (2k - 1)), theorem 4.2."""
    g, rng, n, p = eg.random_regular(100, 100, 6, rng=0), np.random.default_rng(0), 100, 1e-3
    for steps in (6, 12, 24):
        run = Bidiagonalisation(Products(g.biadjacency), rng.standard_normal(n), [constant(n)])
        run.advance(steps)
        eps = (math.log(1.648 * math.sqrt(n) / p) / (2 * steps - 1)) ** 2
        theirs = run.leading()[0] / math.sqrt(1 - eps) if eps < 1 else math.inf
        assert probable_upper([run], p) <= theirs


def test_going_on_long_after_convergence_changes_nothing():
    g, rng = eg.random_regular(30, 30, 4, rng=0), np.random.default_rng(0)
    matrix, second = Products(g.biadjacency), dense(g)[1]
    runs = [Bidiagonalisation(matrix, rng.standard_normal(30), [constant(30)]) for _ in range(2)]
    for _ in range(10):
        for run in runs:
            run.advance(50)
        assert lower_end(runs) <= second <= probable_upper(runs, 1e-12) <= second * (1 + 1e-6)


def test_a_start_that_missed_is_what_the_probability_is_for():
    """A start without any part in the leading vector proves what is false: all rests on its being random."""
    g = eg.random_regular(40, 40, 4, rng=3)
    _, values, right = np.linalg.svd(g.biadjacency.toarray())
    run = Bidiagonalisation(Products(g.biadjacency), right[2:].T @ np.ones(38), [constant(40)])
    run.advance(20)
    assert run.leading()[0] < values[1] - 0.01
    assert probable_upper([run], 0.01) < values[1]


def test_rounding_is_allowed_for():
    """The noisier the arithmetic, the less is proved; and errors of that size do not make the bound wrong."""
    g, rng = eg.random_regular(60, 60, 4, rng=0), np.random.default_rng(0)
    second, uppers = dense(g)[1], []
    for noise in (0, 1e-8, 1e-6, 1e-4, 1e-2):
        matrix = Products(g.biadjacency)
        exact = matrix.forward, matrix.backward

        def noisy(x, y, keep, scale=1.0, *, method, size=noise):
            method(x, y, keep, scale)
            error = rng.standard_normal(60)
            y += size / 10 * error / np.linalg.norm(error)
            return y @ y

        matrix.forward, matrix.backward = (lambda *args, m=method: noisy(*args, method=m) for method in exact)
        matrix.noise = noise
        runs = [Bidiagonalisation(matrix, np.random.default_rng(i).standard_normal(60), [constant(60)]) for i in (1, 2)]
        for run in runs:
            run.advance(40)
        uppers.append(probable_upper(runs, 1e-12))
        assert uppers[-1] >= second
    assert uppers == sorted(uppers)
    assert uppers[0] < second * 1.01
    assert uppers[-1] == math.inf


def test_cholesky_proves_nothing_that_is_false():
    """From a run that missed the leading vector, the bound still holds; too far off, there is none."""
    g = eg.random_regular(60, 60, 4, rng=0)
    _, values, right = np.linalg.svd(g.biadjacency.toarray())
    for i in (2, 5, 40):
        run = Bidiagonalisation(Products(g.biadjacency), right[i].copy(), [constant(60)])
        run.advance(1)
        assert run.leading()[0] == pytest.approx(values[i])
        assert proved_upper(run.products, g.biadjacency, constant(60), run.leading()[0]) >= values[1]
    assert proved_upper(run.products, g.biadjacency, constant(60), run.leading()[0]) == math.inf


def test_the_lower_end_allows_for_the_first_value_s_own_error(monkeypatch):
    """Two blocks of nearly one leading value, one of them many times: a first vector is a mixture of both."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    monkeypatch.setattr(bounds_module, "CHOLESKY_LIMIT", 0)
    for g in (tied(seed, copies=150) for seed in range(6)):
        first, second = dense(g)[:2]
        assert first - second < 1e-6
        bounds = second_singular_value(g, tolerance=1e-4, rng=0)
        assert bounds.lower <= second <= bounds.upper


def test_a_second_start_is_asked_before_a_verdict():
    """A run that missed the leading vector has a value below the bound; the truth is above, and nothing is proved."""
    g = eg.random_regular(60, 60, 4, rng=0)
    _, values, right = np.linalg.svd(g.biadjacency.toarray())
    for missed in (True, False):
        start = right[2:].T @ np.ones(58) if missed else np.random.default_rng(1).standard_normal(60)
        run = Bidiagonalisation(Products(g.biadjacency), start, [constant(60)])
        run.advance(20)
        between = (values[1] + values[2]) / 2 if missed else values[1] * 1.05
        assert run.leading()[0] < between
        assert proved_below(run, between, 200, np.random.default_rng(0)) is not missed


def test_hard_graphs_get_wide_but_true_bounds(monkeypatch):
    """A long path, whose leading values nearly agree, and too few steps to tell them apart."""
    n = 400
    path = BipartiteGraph.from_edges(n, n, [(i, i) for i in range(n)] + [(i, i + 1) for i in range(n - 1)])
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    monkeypatch.setattr(lanczos, "MOST_STEPS", 60)
    second = dense(path)[1]
    bounds = second_singular_value(path)
    assert bounds.lower <= second <= bounds.upper <= 1.01 * second
    monkeypatch.setattr(bounds_module, "CHOLESKY_LIMIT", 0)
    monkeypatch.setattr(bounds_module, "MOST_STEPS", 60)
    with pytest.raises(ValueError, match="tolerance = 1e-06 is not reached in 60 steps"):
        second_singular_value(path, tolerance=1e-6, rng=0)


def test_a_poor_first_vector_widens_the_bounds(monkeypatch):
    """Taking a mixture of the first two vectors out leaves more than the second value: the lower end allows for it."""
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 5)
    converge = Bidiagonalisation.converge
    monkeypatch.setattr(Bidiagonalisation, "attempt", lambda run, _: converge(run) if run.known else run.advance(4))
    blocks = [eg.random_bipartite(30, 30, p=0.5, rng=seed).biadjacency for seed in (1, 5)]
    g = BipartiteGraph.from_biadjacency(block_diag(blocks))
    bounds = second_singular_value(g)
    assert dense(g)[1] - 2 < bounds.lower < dense(g)[1] < bounds.upper - 1e-3


def test_the_same_seed_gives_the_same_bounds_in_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 10)
    monkeypatch.setattr(bounds_module, "CHOLESKY_LIMIT", 0)
    monkeypatch.setattr(products, "_BLOCK", 50)
    monkeypatch.setattr(products, "_PIECE", 16)
    g, found = eg.random_bipartite(200, 150, n_edges=1200, rng=0), set()
    for processors in (1, 2, 3, 3, 3):
        monkeypatch.setattr(products, "n_processors", lambda n=processors: n)
        found.add(second_singular_value(g, rng=7))
    assert len(found) == 1
    assert second_singular_value(g, rng=8) not in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 0}, "tolerance must be a number above 0 and below inf, got 0"),
        ({"tolerance": math.nan}, "tolerance must be .* got nan"),
        ({"failure_probability": 1}, "failure_probability must be a number above 0 and below 1, got 1"),
        ({"failure_probability": "small"}, "got 'small'"),
        ({"failure_probability": True}, "got True"),
        ({"rng": -1}, "rng must be"),
    ],
)
def test_refusals(arguments, message, monkeypatch):
    monkeypatch.setattr(dense_way, "DENSE_LIMIT", 4)
    monkeypatch.setattr(bounds_module, "CHOLESKY_LIMIT", 0)
    with pytest.raises(ValueError, match=message):
        second_singular_value(eg.random_regular(20, 20, 3, rng=0), **arguments)
    with pytest.raises(ValueError, match="a BipartiteGraph is needed"):
        second_singular_value("graph")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("block", "threads"), [(1 << 19, 1), (7, 1), (7, 3)])
def test_products_in_blocks_and_threads(weighted, block, threads, monkeypatch):
    monkeypatch.setattr(products, "_BLOCK", block)
    monkeypatch.setattr(products, "_PIECE", 5)
    monkeypatch.setattr(products, "n_processors", lambda: threads)
    rng = np.random.default_rng(0)
    for shape in ((30, 20), (20, 30), (1, 9), (4, 4)):
        matrix = csr_array((rng.random(shape) < 0.4) * (rng.standard_normal(shape) if weighted else 1.0))
        tall = matrix.toarray() if shape[0] >= shape[1] else matrix.toarray().T
        both = Products(matrix)
        assert both.shape == tall.shape
        assert both.norm_bound >= np.linalg.norm(abs(tall), 2) * (1 - 1e-15)
        x, y = rng.standard_normal(tall.shape[1]), rng.standard_normal(tall.shape[0])
        for method, a, b, operator in ((both.forward, x, y, tall), (both.backward, y, x, tall.T)):
            target = b.copy()
            squared = method(a, target, 0.5, 2.0)
            np.testing.assert_allclose(target, 2 * operator @ a - 0.5 * b, atol=1e-14)
            assert squared == pytest.approx(target @ target)
            # What rounding does is less than the noise, and not much less.
            exact = operator.astype(np.longdouble) @ a.astype(np.longdouble)
            method(a, target, 0.0)
            assert np.linalg.norm(target - exact) <= both.noise * np.linalg.norm(a) <= 1e-12 * both.norm_bound * 100
        unit = constant(tall.shape[1])
        expected = x - (x @ unit) * unit
        assert both.normalise(x, x @ x, [unit]) == pytest.approx(np.linalg.norm(expected), abs=1e-15)
        assert tall.shape[1] == 1 or abs(x @ unit) < 1e-14
