"""The numbers of list entries and headings, which a DOCX does not store as text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from retrieval.conversion.docx.markup import Element, number, switch, value, w
from retrieval.conversion.docx.number_formats import formatted

BULLET = "-"
_LEVELS = 9
_PLACE = re.compile(r"%([1-9])")


@dataclass(frozen=True, slots=True)
class _Level:
    """One level of a list. `restarts_after` is the level, from 1, whose entries restart it; 0: none does."""

    start: int = 1
    format: str = "decimal"
    text: str = ""
    restarts_after: int | None = None
    is_legal: bool = False
    style: str | None = None


@dataclass(slots=True)
class _List:
    """A numbering (`w:num`): its levels, and the counters, which it shares with numberings of the same definition."""

    levels: dict[int, _Level]
    counters: list[int | None]
    restarts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """The lists of `word/numbering.xml`, counted in the order of the document."""

    def __init__(self, root: Element | None) -> None:
        definitions = {one.get(w("abstractNumId")): one for one in _children(root, "abstractNum")}
        by_style = {value(one, "styleLink"): one for one in definitions.values() if value(one, "styleLink")}
        counters: dict[str | None, list[int | None]] = {}
        self._lists: dict[str | None, _List] = {}
        for num in _children(root, "num"):
            definition = definitions.get(value(num, "abstractNumId"))
            linked = by_style.get(value(definition, "numStyleLink")) if definition is not None else None
            definition = linked if linked is not None else definition
            if definition is None:
                continue
            levels = _levels(definition)
            shared = counters.setdefault(definition.get(w("abstractNumId")), [None] * _LEVELS)
            restarts: dict[int, int] = {}
            for override in _children(num, "lvlOverride"):
                level = _level_number(override)
                levels.update(_levels(override))
                start = number(override, "startOverride")
                if start is not None:
                    restarts[level] = start
            self._lists[num.get(w("numId"))] = _List(levels, shared, restarts)

    def level_of_style(self, num_id: str | None, style_id: str | None) -> int | None:
        """The level that a list gives to the paragraphs of a style."""
        one = self._lists.get(num_id)
        levels = one.levels.items() if one is not None and style_id else ()
        return next((level for level, properties in levels if properties.style == style_id), None)

    def next_label(self, num_id: str, level: int) -> str:
        """The label of the next entry, such as "3." or "1.2", or `BULLET`; "" for an entry without a label."""
        one = self._lists.get(num_id)
        level = min(max(level, 0), _LEVELS - 1)
        if one is None:
            return BULLET
        _count(one, level)
        properties = one.levels.get(level, _Level())
        if properties.format == "bullet":
            return BULLET

        def place(match: re.Match[str]) -> str:
            above = int(match[1]) - 1
            source = one.levels.get(above, _Level())
            count = one.counters[above]
            format_ = "decimal" if properties.is_legal and source.format != "none" else source.format
            return formatted(count if count is not None else source.start, format_)

        return " ".join(_PLACE.sub(place, properties.text).split())


def _count(one: _List, level: int) -> None:
    counters = one.counters
    # An entry below levels without an entry counts as the first of each.
    for above in range(level):
        if counters[above] is None:
            counters[above] = one.restarts.pop(above, one.levels.get(above, _Level()).start)
    start = one.restarts.pop(level, None)
    before = counters[level]
    if start is not None:
        counters[level] = start
    else:
        counters[level] = before + 1 if before is not None else one.levels.get(level, _Level()).start
    for below in range(level + 1, _LEVELS):
        restarts_after = one.levels.get(below, _Level()).restarts_after
        if restarts_after is None or level + 1 <= restarts_after:
            counters[below] = None


def _levels(parent: Element) -> dict[int, _Level]:
    return {_level_number(level): _level(level) for level in _children(parent, "lvl")}


def _level(element: Element) -> _Level:
    start = number(element, "start")
    format_ = value(element, "numFmt") or "decimal"
    hidden = switch(element.find(w("rPr")), "vanish")
    return _Level(
        start=start if start is not None else 1,
        format=format_,
        text="" if hidden else value(element, "lvlText") or "",
        restarts_after=number(element, "lvlRestart"),
        is_legal=bool(switch(element, "isLgl")),
        style=value(element, "pStyle"),
    )


def _level_number(element: Element) -> int:
    level = element.get(w("ilvl"), "0")
    return int(level) if level.isdecimal() and len(level) < 3 else 0


def _children(parent: Element | None, name: str) -> list[Element]:
    return parent.findall(w(name)) if parent is not None else []
