"""Arguments, checked at the door: integers become ``int``, anything else a ``ValueError`` that says what came."""

import operator
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
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must be a number between 0 and 1, got {value!r}")
    return number


def exactly_one(call: str, **options: Any) -> str:
    """Return the name of the single option that is not None, or raise ``ValueError``."""
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        needed = ", ".join(options)
        raise ValueError(f"{call} needs exactly one of {needed}; got {', '.join(given) or 'none'}")
    return given[0]
