"""L-BFGS without a library: small enough to keep BLAS, and its threads, out of a loop of short vectors."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def descend(function: Callable[[Vector], tuple[float, Vector]], x: Vector, steps: int) -> None:
    """Walk downhill from x. Whoever wants the best point keeps it in the function, which returns value and gradient.

    Nocedal and Wright. Numerical Optimization. 2nd ed., algorithm 7.4; backtracking gives in after a few trials, as the
    function need not be smooth to the last digit.
    """
    value, gradient = function(x)
    past: list[tuple[Vector, Vector, float]] = []
    for _ in range(steps):
        if _dot(gradient, gradient) < 1e-20:
            return
        direction, shares = -gradient, []
        for step, change, product in reversed(past):
            shares.append(_dot(step, direction) / product)
            direction = direction - shares[-1] * change
        direction *= (
            past[-1][2] / _dot(past[-1][1], past[-1][1]) if past else 0.05 / math.sqrt(_dot(gradient, gradient))
        )
        for (step, change, product), share in zip(past, reversed(shares), strict=True):
            direction = direction + step * (share - _dot(change, direction) / product)
        slope, length = _dot(direction, gradient), 1.0
        for _ in range(4):
            there = x + length * direction
            new_value, new_gradient = function(there)
            if new_value <= value + 1e-4 * length * slope:
                break
            length *= 0.4
        step, change = there - x, new_gradient - gradient
        x, value, gradient = there, new_value, new_gradient
        if _dot(step, change) > 1e-12 * _dot(change, change):
            past = [*past[-9:], (step, change, _dot(step, change))]


def _dot(a: Vector, b: Vector) -> float:
    return float(np.einsum("e,e->", a, b))
