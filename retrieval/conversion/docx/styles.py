"""What the styles of a DOCX say about the meaning of text: headings, lists, hidden and raised text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from retrieval.conversion.docx.markup import Element, as_number, is_on, number, switch, value, w

# Word stores the English names of built-in styles in every language; other programs may store their own.
_HEADING = re.compile(
    r"(?:heading|überschrift|titre|título|titulo|titolo|kop|rubrik|overskrift|otsikko|nagłówek|nadpis|заголовок|"
    r"見出し|标题|標題|제목)\s*([1-9])"
)
_LIST_DEPTH = re.compile(r"list\b.*\s([2-5])$")
_MAX_CHAIN = 32
# A run that is raised by this many half-points has a smaller number beside the text, not on its line.
_MIN_RAISE = 4


@dataclass(frozen=True, slots=True)
class RunStyle:
    """Hidden text, and text that is raised ("superscript") or lowered ("subscript"). None: not said."""

    hidden: bool | None = None
    position: str | None = None

    def over(self, base: RunStyle) -> RunStyle:
        """This style where it says something, otherwise `base`."""
        return RunStyle(
            self.hidden if self.hidden is not None else base.hidden,
            self.position if self.position is not None else base.position,
        )


@dataclass(frozen=True, slots=True)
class Style:
    """A style together with those it is based on.

    Attributes:
        heading: the heading level from 1; 0 for other text.
        list_name: the lower-case name of a list style ("list bullet 2"); otherwise "".
        num_id: the numbering of its paragraphs; None if it has none.
        list_level: the level of that numbering, from 0.
    """

    heading: int = 0
    list_name: str = ""
    num_id: str | None = None
    list_level: int | None = None
    run: RunStyle = field(default_factory=RunStyle)

    @property
    def list_depth(self) -> int:
        """The depth in the names of the built-in styles, such as "List Bullet 2"."""
        match = _LIST_DEPTH.match(self.list_name)
        return int(match[1]) - 1 if match else 0


PLAIN = Style()


class Styles:
    """The styles of `word/styles.xml` by their id. A missing style is that of plain text."""

    def __init__(self, root: Element | None) -> None:
        styles = root.findall(w("style")) if root is not None else []
        self._elements = {style.get(w("styleId"), ""): style for style in styles}
        self._resolved: dict[str | None, Style] = {}
        self._default = next(
            (id_ for id_, style in self._elements.items() if _is_default(style)),
            None,
        )

    def paragraph(self, style_id: str | None) -> Style:
        """The style of a paragraph; None is the default style."""
        return self._get(style_id if style_id is not None else self._default)

    def run(self, style_id: str | None) -> RunStyle:
        return self._get(style_id).run

    def _get(self, style_id: str | None) -> Style:
        if style_id not in self._resolved:
            self._resolved[style_id] = self._resolve(style_id)
        return self._resolved[style_id]

    def _resolve(self, style_id: str | None) -> Style:
        heading: int | None = None
        list_name, num_id = "", None
        level: int | None = None
        run = RunStyle()
        for id_, style in self._chain(style_id):
            properties = style.find(w("pPr")) if style is not None else None
            name = (value(style, "name") or id_ if style is not None else id_).lower()
            if heading is None:
                heading = _heading_level(name, number(properties, "outlineLvl"))
            if not list_name and name.startswith("list"):
                list_name = name
            numbering = properties.find(w("numPr")) if properties is not None else None
            if num_id is None:
                num_id = value(numbering, "numId")
            if level is None:
                level = number(numbering, "ilvl")
            if style is not None:
                run = run.over(run_style(style.find(w("rPr"))))
        return Style(heading or 0, list_name, num_id, level, run)

    def _chain(self, style_id: str | None) -> list[tuple[str, Element | None]]:
        """A style and those it is based on, with their ids. A damaged file may have a circle."""
        chain: list[tuple[str, Element | None]] = []
        while style_id and len(chain) < _MAX_CHAIN and all(style_id != id_ for id_, _ in chain):
            style = self._elements.get(style_id)
            chain.append((style_id, style))
            style_id = value(style, "basedOn")
        return chain


def run_style(properties: Element | None) -> RunStyle:
    """What the properties of a run say, without its style."""
    if properties is None or not len(properties):
        return RunStyle()
    position = value(properties, "vertAlign")
    raise_by = as_number(value(properties, "position")) or 0
    if position is None and abs(raise_by) >= _MIN_RAISE:
        position = "superscript" if raise_by > 0 else "subscript"
    return RunStyle(switch(properties, "vanish"), position)


def _is_default(style: Element) -> bool:
    return style.get(w("type")) == "paragraph" and is_on(style.get(w("default"), "0"))


def _heading_level(name: str, outline: int | None) -> int | None:
    """The level that one style gives; 0: no heading, whatever the styles below; None: it does not say."""
    if match := _HEADING.fullmatch(name):
        return int(match[1])
    if name == "title":
        return 1
    if outline is None:
        return None
    return outline + 1 if 0 <= outline <= 8 else 0
