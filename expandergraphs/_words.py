"""Words from a fixed list, and the one that was meant by another."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})


def did_you_mean(word: str, known: Iterable[str], elsewhere: Mapping[str, str] = _NONE) -> str:
    """Return the end of a message that names the known word most like this one, or nothing where none is like it.

    `elsewhere` says which words other names stand for.

    Examples
    --------
    >>> did_you_mean("Spectra", ["spectrum", "density"])
    "; did you mean 'spectrum'?"
    >>> did_you_mean("X-Net", ["left_regular", "radix"], {"X-Net": "left_regular"})
    "; did you mean 'left_regular'?"
    >>> did_you_mean("heat", ["spectrum", "density"])
    ''
    """
    names = {_plain(name): word for name, word in [*((word, word) for word in known), *elsewhere.items()]}
    near = get_close_matches(_plain(word), names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")
