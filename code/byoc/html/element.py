"""HTML elements from Python: whatever is not an element already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = {"meta", "line", "rect", "path", "image", "br", "circle"}
_NAMES = {"class_": "class", "for_": "for"}

Child = object
"""An `Html`, a text or number that is escaped, a list of such, or None, which is nothing."""


class Html(str):
    """Markup that is safe to put into the page as it is."""

    __slots__ = ()


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """<name attributes>children</name>; ``class_`` is class, ``stroke_width`` is stroke-width.

    An attribute that is None or False is left out, and one that is True has no value.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    return Html("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, list | tuple):
        return join(child)
    return escape(str(child))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = _NAMES.get(key, key.replace("_", "-"))
    if name in ("viewbox", "preserveaspectratio"):
        name = {"viewbox": "viewBox", "preserveaspectratio": "preserveAspectRatio"}[name]
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
