"""Markup that cannot be forged: text is escaped unless it was made by `tag`."""

from collections.abc import Iterable
from html import escape
from typing import Any


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(element: str, *children: object, **attributes: Any) -> Markup:
    """Return an element; children that are no `Markup` are text, and attributes that are None are left out.

    A trailing underscore of an attribute is dropped and others become hyphens: ``class_``, ``aria_label``.

    Examples
    --------
    >>> tag("p", "1 < 2", tag("b", "!"), class_="loud", id=None)
    '<p class="loud">1 &lt; 2<b>!</b></p>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{element}{given}>{joined(children)}</{element}>")


def joined(children: Iterable[object]) -> Markup:
    """Return markup one after the other, text escaped."""
    return Markup("".join(child if isinstance(child, Markup) else escape(str(child)) for child in children))


def breakable(name: str) -> Markup:
    """Return a name that may be broken after its dots and underscores, such as that of a module.

    Examples
    --------
    >>> breakable("layer1.conv")
    'layer1.<wbr>conv'
    """
    return Markup(escape(name).replace(".", ".<wbr>").replace("_", "_<wbr>"))
