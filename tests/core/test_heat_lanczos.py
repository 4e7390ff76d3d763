from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expandergraphs.heat.chebyshev import chebyshev_vectors, coefficients, degree_for, tail
from expandergraphs.heat.lanczos import Lanczos


def symmetric(n, rng):
    matrix = rng.standard_normal((n, n))
    return matrix + matrix.T


def tridiagonal(run, column):
    alphas, betas = run.alphas[:, column], run.betas[:-1, column]
    return np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1)


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 12), st.integers(0, 2**32))
def test_the_recurrence(n, k, steps, seed):
    """A V = V T + beta v e', columns of V of norm 1, whatever happens to their orthogonality."""
    rng = np.random.default_rng(seed)
    matrix, starts = symmetric(n, rng), rng.standard_normal((n, k))
    run = Lanczos(lambda x: matrix @ x, starts)
    run.advance(steps // 2)
    run.advance(steps - steps // 2)
    basis = np.array(list(run.basis()))
    np.testing.assert_allclose(run.norms, np.linalg.norm(starts, axis=0))
    np.testing.assert_allclose(basis[0] * run.norms, starts)
    for c in range(k):
        v = basis[:, :, c].T
        rest = matrix @ v - v @ tridiagonal(run, c)
        np.testing.assert_allclose(rest[:, :-1], 0, atol=1e-11)
        assert np.linalg.norm(rest[:, -1]) == pytest.approx(run.betas[-1, c], abs=1e-11)
    assert run.alphas.shape == run.betas.shape == (run.steps, k)


def test_columns_do_not_know_of_each_other():
    rng = np.random.default_rng(0)
    matrix, starts = symmetric(40, rng), rng.standard_normal((40, 3))
    together = Lanczos(lambda x: matrix @ x, starts)
    together.advance(10)
    for c in range(3):
        alone = Lanczos(lambda x: matrix @ x, starts[:, c : c + 1])
        alone.advance(10)
        np.testing.assert_allclose(alone.alphas[:, 0], together.alphas[:, c], rtol=1e-10)
        np.testing.assert_allclose(alone.betas[:, 0], together.betas[:, c], rtol=1e-10)


@pytest.mark.parametrize("n_stored", [0, 2, 3, 19, 20, 21, 1000])
def test_what_is_not_stored_is_repeated_bit_by_bit(n_stored):
    rng = np.random.default_rng(0)
    diagonal, starts = rng.standard_normal((50, 1)), rng.standard_normal((50, 2))
    seen = []

    def apply(x):
        seen.append(x.copy())
        return diagonal * x

    run = Lanczos(apply, starts, memory=n_stored * starts.nbytes)
    run.advance(20)
    assert run.products == 20
    expected = np.array(seen)
    assert np.array_equal(list(run.basis()), expected)
    assert run.products == 20 + max(0, 20 - max(2, n_stored))
    assert np.array_equal(list(run.basis()), expected)


def test_exhausted_columns_are_zero():
    """Starts in invariant spaces of dimension 0, 1 and 2: the betas after those many steps are exactly 0."""
    values = np.repeat([[1.0], [3.0]], 8, axis=0)
    starts = np.zeros((16, 3))
    starts[:8, 1] = starts[:, 2] = 1
    run = Lanczos(lambda x: values * x, starts)
    run.advance(50)
    assert run.exhausted
    assert run.steps == run.products == 2
    np.testing.assert_allclose(run.alphas, [[0, 1, 2], [0, 0, 2]], atol=1e-15)
    np.testing.assert_allclose(run.betas, [[0, 0, 1], [0, 0, 0]], atol=1e-15)
    assert not run.betas[1].any()
    run.advance(5)
    assert run.steps == 2


def test_steps_beyond_an_invariant_space_change_nothing():
    """Where rounding leaves a beta that is only nearly 0, T falls apart all the same."""
    values = np.repeat([[1.0], [2.0], [5.0], [6.0], [9.0]], 4, axis=0)
    run = Lanczos(lambda x: values * x, np.ones((20, 1)))
    run.advance(12)
    values, vectors = np.linalg.eigh(tridiagonal(run, 0))
    assert vectors[0] ** 2 @ np.exp(-values) == pytest.approx(np.exp([-1, -2, -5, -6, -9]).mean(), rel=1e-14)


def test_the_tail_is_bounded():
    """Against the Poisson probabilities themselves, by SciPy's Bessel functions."""
    from scipy.special import ive

    for tau in (1e-3, 0.1, 1, 7, 100, 3000):
        k = np.arange(20_000)
        terms = 2 * ive(k, tau)
        for error in (0.1, 1e-4, 1e-12):
            degree = degree_for(tau, error)
            assert terms[degree + 1 :].sum() <= tail(tau, degree) <= error
            assert degree == 1 or tail(tau, degree - 1) > error
            enough = np.flatnonzero(np.cumsum(terms[::-1])[::-1] <= error)[0]
            assert error == 0.1 or degree <= 1.35 * enough + 3  # Chernoff gives little away
    assert degree_for(0.0, 1e-8) == 0


def test_the_coefficients_are_scaled_bessel_functions():
    from scipy.special import ive

    taus = np.array([0, 1e-300, 1e-3, 1, 50, 4000])
    degree = degree_for(4000, 1e-14)
    expected = 2 * ive(np.arange(degree + 1), taus[:, None])
    expected[:, 0] /= 2
    np.testing.assert_allclose(coefficients(taus, degree), expected, rtol=1e-10, atol=1e-17)


def test_chebyshev_vectors():
    values = np.linspace(0, 3, 30)[:, None]
    start = np.random.default_rng(0).standard_normal((30, 2))
    found = list(islice(chebyshev_vectors(lambda x: values * x, start, 3.0), 41))
    angles = np.arccos(1 - 2 * values / 3)
    np.testing.assert_allclose(found, [np.cos(k * angles) * start for k in range(41)], atol=1e-12)
