"""The styles of an ODF text that change what is read: hidden, raised and lowered text, and list numbers."""

from __future__ import annotations

from typing import Any

from retrieval.conversion.office.archive import Archive


def attribute(element: Any, name: str, default: str = "") -> str:
    """An attribute by its name without the namespace."""
    return next((value for key, value in element.attrib.items() if key.rsplit("}", 1)[-1] == name), default)


def tag(element: Any) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


class Styles:
    """The styles of `content.xml` and `styles.xml`."""

    def __init__(self, archive: Archive) -> None:
        self._styles: dict[str, Any] = {}
        self._lists: dict[str, Any] = {}
        for part in ("styles.xml", "content.xml"):
            if part in archive.names:
                for element in archive.xml(part).iter("{*}style", "{*}list-style", "{*}outline-style"):
                    kind = self._styles if tag(element) == "style" else self._lists
                    kind[attribute(element, "name")] = element

    def is_hidden(self, name: str) -> bool:
        return self._property(name, "display") == "none"

    def position(self, name: str) -> int:
        """1 for raised text, -1 for lowered text, else 0."""
        first = self._property(name, "text-position").split(" ")[0]
        if first in {"super", "sub"}:
            return 1 if first == "super" else -1
        share = first.rstrip("%").lstrip("-")
        nonzero = share.isdigit() and int(share) > 0
        return (-1 if first.startswith("-") else 1) if nonzero else 0

    def number(self, style: str, level: int, counts: dict[int, int]) -> str | None:
        """The text of a list number such as `2.1.`; None if entries of this level have none."""
        levels = [one for one in self._lists.get(style, ()) if attribute(one, "level") == str(level)]
        if not levels or tag(levels[0]) != "list-level-style-number" or not attribute(levels[0], "num-format"):
            return None
        shown = int(attribute(levels[0], "display-levels", "1"))
        parts = [str(counts.get(one, 1)) for one in range(max(1, level - shown + 1), level)]
        parts.append(_formed(counts[level], attribute(levels[0], "num-format")))
        return f"{attribute(levels[0], 'num-prefix')}{'.'.join(parts)}{attribute(levels[0], 'num-suffix')}"

    def first_number(self, style: str, level: int) -> int:
        levels = [one for one in self._lists.get(style, ()) if attribute(one, "level") == str(level)]
        return int(attribute(levels[0], "start-value", "1")) if levels else 1

    def _property(self, name: str, wanted: str) -> str:
        """A property of a style, or of one that it is based on."""
        for _ in range(20):
            style = self._styles.get(name)
            if style is None:
                return ""
            for properties in style.iter("{*}text-properties"):
                if value := attribute(properties, wanted):
                    return value
            name = attribute(style, "parent-style-name")
        return ""


def _formed(number: int, form: str) -> str:
    if form in {"a", "A"} and 1 <= number <= 26:
        return chr(ord(form) + number - 1)
    if form in {"i", "I"} and 0 < number < 4000:
        roman = _roman(number)
        return roman if form == "i" else roman.upper()
    return str(number)


_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


def _roman(number: int) -> str:
    parts = ""
    for value, letters in _ROMAN:
        count, number = divmod(number, value)
        parts += letters * count
    return parts
