"""Randomness: one keyword ``rng`` everywhere, normalised once, and one independent stream per name.

A graph that belongs to a network (a layer, a block) draws from a stream keyed by its *name*, so adding
a layer to a network does not change the graphs of the others, and two layers of one shape never share a graph.
"""

import hashlib
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

RNG: TypeAlias = int | np.random.SeedSequence | np.random.Generator | None


def as_generator(rng: RNG = None) -> np.random.Generator:
    """Return the Generator that `rng` stands for; a Generator is returned as it is, and advances.

    Raises
    ------
    ValueError
        If `rng` is not None, a non-negative int, a SeedSequence or a Generator.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(as_sequence(rng))


def streams(rng: RNG = None) -> Callable[[str], np.random.Generator]:
    """Return a function from a name to that name's own Generator.

    An int or a SeedSequence gives the same streams each time. A Generator is advanced once, here, so
    that a second call gives other streams.

    Examples
    --------
    >>> stream = streams(0)
    >>> int(stream("fc1").integers(1000)) == int(streams(0)("fc1").integers(1000))
    True
    """
    root = as_sequence(rng)

    def stream(name: str) -> np.random.Generator:
        key = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
        spawn_key = (*root.spawn_key, *(int(word) for word in key))
        return np.random.default_rng(np.random.SeedSequence(root.entropy, spawn_key=spawn_key))

    return stream


def as_sequence(rng: RNG = None) -> np.random.SeedSequence:
    """Return the SeedSequence that `rng` stands for; a Generator is advanced, and gives a new one.

    Raises
    ------
    ValueError
        If `rng` is not None, a non-negative int, a SeedSequence or a Generator.
    """
    if isinstance(rng, np.random.Generator):
        rng = int(rng.integers(2**63))
    if isinstance(rng, np.random.SeedSequence):
        return rng
    if rng is None:
        return np.random.SeedSequence()
    if not isinstance(rng, int | np.integer) or isinstance(rng, bool) or rng < 0:
        raise ValueError(f"rng must be None, a non-negative int, a SeedSequence or a Generator, got {rng!r}")
    return np.random.SeedSequence(int(rng))
