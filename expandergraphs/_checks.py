"""Arguments, checked at the door: integers become ``int``, anything else a ``ValueError`` that says what came."""

import operator
from collections.abc import Iterable
from fractions import Fraction
from numbers import Real
from typing import Any


def as_integer(name: str, value: Any, *, minimum: int = 0) -> int:
    """Return `value` as an ``int`` of at least `minimum`, or raise ``ValueError``."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {value!r}") from None
    if isinstance(value, bool) or number < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    return number


def as_fraction(name: str, value: Any) -> float:
    """Return `value` as a ``float`` in [0, 1], or raise ``ValueError``."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:  # type: ignore[operator]
        percent = isinstance(value, Real) and 1 < value <= 100  # type: ignore[operator]
        hint = f"; {value:g} % is {value / 100:g}" if percent else ""
        raise ValueError(f"{name} must be a number between 0 and 1, got {value!r}{hint}")
    return float(value)


def as_time_limit(value: Any) -> float:
    """Return `value` as a number of seconds, or raise ``ValueError``."""
    if not isinstance(value, Real) or isinstance(value, bool) or not value >= 0:  # type: ignore[operator]
        raise ValueError(f"time_limit must be None or a number of seconds, at least 0, got {value!r}")
    return float(value)


def as_list(name: str, values: Any) -> list[Any]:
    """Return the items of an iterable that is no text, or raise ``ValueError``."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes):
        raise ValueError(f"{name} must be a sequence, got {values!r}")
    return list(values)


def edges_of_density(density: Any, n_pairs: int) -> int:
    """Return ``round(density * n_pairs)``, the product taken exactly, so that it does not depend on its order.

    Examples
    --------
    >>> edges_of_density(0.1, 45), 0.1 * 45
    (5, 4.5)
    """
    return round(Fraction(as_fraction("density", density)) * n_pairs)


def exactly_one(call: str, **options: Any) -> str:
    """Return the name of the single option that is not None, or raise ``ValueError``."""
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        needed = ", ".join(options)
        raise ValueError(f"{call} needs exactly one of {needed}; got {', '.join(given) or 'none'}")
    return given[0]
