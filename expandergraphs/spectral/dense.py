"""Singular values of small matrices, all of them, by LAPACK."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

DENSE_LIMIT = 1000
_LONGEST = 10_000  # of the other side


def is_small(shape: tuple[int, int]) -> bool:
    """Tell whether a dense decomposition is the cheaper one."""
    return min(shape) <= DENSE_LIMIT and math.prod(shape) <= DENSE_LIMIT * _LONGEST


def dense_values(matrix: Any, known: Sequence[NDArray[np.float64]] = ()) -> NDArray[np.float64]:
    """Return all singular values, descending, of a matrix with known right singular vectors taken out."""
    full = matrix.toarray()
    for vector in known:
        full -= np.outer(full @ vector, vector)
    values: NDArray[np.float64] = linalg.svdvals(full, overwrite_a=True)
    return values


def dense_error(shape: tuple[int, int], largest: float) -> float:
    """Return what LAPACK's values stay well within: they are exact for a matrix that differs by rounding."""
    return float(max(shape) * np.finfo(float).eps * largest)
