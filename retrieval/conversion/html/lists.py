"""The marks of list entries: `- `, or the number that a browser shows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

BULLET = "- "
_INTEGER = re.compile(r"\s*([-+]?\d{1,9})(?!\d)")
_STYLE = re.compile(
    r"list-style(?:-type)?\s*:[^;]*?\b(none|disc|circle|square|decimal|(?:lower|upper)-(?:alpha|latin|roman))\b"
)
_TYPES = {
    "lower-alpha": "a",
    "lower-latin": "a",
    "upper-alpha": "A",
    "upper-latin": "A",
    "lower-roman": "i",
    "upper-roman": "I",
    "decimal": "1",
}
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


@dataclass(slots=True)
class _List:
    number: int = 1
    step: int = 1
    type: str = ""


@dataclass(slots=True)
class Entry:
    """An open entry: its mark, how many lists it is in, and whether some of its text is written."""

    marker: str
    depth: int
    started: bool = False


@dataclass(slots=True)
class Lists:
    """The open lists and their open entries."""

    entries: list[Entry] = field(default_factory=list)
    _open: list[_List] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return len(self._open)

    @property
    def entry(self) -> Entry | None:
        return self.entries[-1] if self.entries else None

    def open_list(self, node: LexborNode) -> None:
        attributes = node.attributes
        if node.tag != "ol":
            self._open.append(_List())
            return
        kind = _type(attributes, "1")
        start, reverse = _integer(attributes.get("start")), "reversed" in attributes
        if start is None:
            start = sum(child.tag == "li" for child in node.iter()) if reverse else 1
        self._open.append(_List(start, -1 if reverse else 1, kind))

    def close_list(self) -> None:
        if self._open:
            self._open.pop()

    def open_entry(self, node: LexborNode) -> None:
        marker = BULLET
        if self._open and self._open[-1].type:
            of, attributes = self._open[-1], node.attributes
            value = _integer(attributes.get("value"))
            of.number = of.number if value is None else value
            kind = _type(attributes, of.type)
            marker = f"{numeral(of.number, kind)}. " if kind else BULLET
            of.number += of.step
        self.entries.append(Entry(marker, max(0, len(self._open) - 1)))

    def close_entry(self) -> None:
        if self.entries:
            self.entries.pop()


def numeral(number: int, kind: str) -> str:
    """The number as digits, letters (`a`, `A`) or Roman numerals (`i`, `I`), which have no zero."""
    if kind in {"a", "A"} and number > 0:
        letters = ""
        while number:
            number, digit = divmod(number - 1, 26)
            letters = chr(ord(kind) + digit) + letters
        return letters
    if kind in {"i", "I"} and 0 < number < 4000:
        letters = ""
        for value, letter in _ROMAN:
            count, number = divmod(number, value)
            letters += letter * count
        return letters.upper() if kind == "I" else letters
    return str(number)


def _type(attributes: dict[str, str | None], default: str) -> str:
    """The type of the numbers; empty for a list that shows none."""
    style = _STYLE.search((attributes.get("style") or "").lower())
    if style is not None:
        return _TYPES.get(style.group(1), "")
    kind = (attributes.get("type") or "").strip()
    return kind if kind in {"1", "a", "A", "i", "I"} else default


def _integer(value: str | None) -> int | None:
    found = _INTEGER.match(value or "")
    return None if found is None else int(found.group(1))
