"""Names of WordprocessingML, and the values of its properties."""

from __future__ import annotations

from typing import Any, TypeAlias

# An element of lxml, which has no types.
Element: TypeAlias = Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_OFF = frozenset({"0", "false", "off", "none"})


def w(name: str) -> str:
    """The full name of an element or attribute in the main namespace."""
    return f"{_W}{name}"


VAL = w("val")


def value(parent: Element | None, name: str) -> str | None:
    """The `w:val` of a child; None if there is no such child, or it has no value."""
    child = parent.find(w(name)) if parent is not None else None
    return child.get(VAL) if child is not None else None


def number(parent: Element | None, name: str) -> int | None:
    """The `w:val` of a child as a number; None if it is not a number."""
    return as_number(value(parent, name))


def as_number(text: str | None) -> int | None:
    digits = (text or "").strip()
    return int(digits) if digits.removeprefix("-").isdecimal() and len(digits) < 10 else None


def switch(parent: Element | None, name: str) -> bool | None:
    """Whether a child switches something on or off; None if there is no such child."""
    child = parent.find(w(name)) if parent is not None else None
    return None if child is None else is_on(child.get(VAL, "1"))


def is_on(text: str) -> bool:
    """Whether a value switches something on."""
    return text.lower() not in _OFF
