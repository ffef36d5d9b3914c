"""The layout of a PDF: printed lines back to headings and paragraphs.

A sentence that was wrapped is on one line again, so that quotes of it can be found.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from retrieval.conversion.converted import Converted, MarkdownWriter, joined, one_line

_BULLET = re.compile(r"^\s*(?:[•◦▪‣∙●○■·–]|[-*])\s+")
_NUMBERED = re.compile(r"^\s*(?:\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+")
_SENTENCE_END = re.compile(r"""[.!?:;。！？；：]["'”’)\]]*$""")
_MARKED_HYPHEN = re.compile("(\\w*)\ufffe\\s*(\\w*)")
_WORD = re.compile(r"\w+(?:-\w+)*")

_MAX_HEADING_CHARACTERS = 120
_HEADING_GROWTH = 1.12  # minimum size of a heading, relative to the body
_SAME_SIZE = 0.06  # maximum relative difference of equal sizes
_PARAGRAPH_GAP = 1.35  # gap between paragraphs, relative to the usual line distance
_SHORT_LINE = 0.8  # a shorter line, relative to the width, ends its paragraph if its sentence ends


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line. Coordinates in points; y grows upwards, so `top >= bottom`.

    `top` and `bottom` are the lower edges of the first and last character. They differ if PDFium joined a hyphenated
    line with the next one.
    """

    text: str
    size: float
    left: float
    right: float
    top: float
    bottom: float


def lay_out(pages: Sequence[Sequence[Line]]) -> Converted:
    """The text of all pages, separated by blank lines, with the offset of each page in code points."""
    words = _Words(pages)
    body = _body_size(pages)
    levels = _heading_levels(pages, body)
    texts: list[str] = []
    starts: list[int] = []
    title: str | None = None
    offset = 0
    for page in pages:
        writer = MarkdownWriter()
        for group in _paragraphs(page, body):
            level = _heading_level(group, levels)
            text = words.join([line.text for line in group])
            if level:
                writer.heading(level, text)
            elif _BULLET.match(text):
                writer.entry(_BULLET.sub("", text, count=1))
            else:
                writer.paragraph(text)
        title = title or writer.title
        page_text = writer.text()
        starts.append(offset)
        if page_text:
            texts.append(page_text)
            offset += len(page_text) + 1
    return Converted(text=joined(texts), title=title, page_starts=tuple(starts))


def _body_size(pages: Sequence[Sequence[Line]]) -> float:
    characters: Counter[float] = Counter()
    for line in chain.from_iterable(pages):
        characters[round(line.size, 1)] += len(line.text)
    return characters.most_common(1)[0][0] if characters else 0.0


def _heading_levels(pages: Sequence[Sequence[Line]], body: float) -> dict[float, int]:
    """Font size -> heading level; the largest is level 1."""
    if body <= 0:
        return {}
    sizes = sorted({round(line.size, 1) for page in pages for line in page}, reverse=True)
    larger = [size for size in sizes if size >= body * _HEADING_GROWTH]
    return {size: min(level, 6) for level, size in enumerate(larger, start=1)}


def _heading_level(group: Sequence[Line], levels: dict[float, int]) -> int:
    level = levels.get(round(group[0].size, 1), 0)
    text = " ".join(line.text for line in group)
    short = len(text) <= _MAX_HEADING_CHARACTERS and any(character.isalpha() for character in text)
    return level if level and short else 0


def _paragraphs(page: Sequence[Line], body: float) -> list[list[Line]]:
    if not page:
        return []
    pitch = _usual_pitch(page, body)
    right_edge = max(line.right for line in page)
    left_edge = min(line.left for line in page)
    groups: list[list[Line]] = [[page[0]]]
    for previous, line in pairwise(page):
        if _starts_paragraph(previous, line, pitch, left_edge, right_edge):
            groups.append([line])
        else:
            groups[-1].append(line)
    return groups


def _usual_pitch(page: Sequence[Line], body: float) -> float:
    pitches = [
        previous.bottom - line.top
        for previous, line in pairwise(page)
        if 0 < previous.bottom - line.top < 3 * max(body, 1.0)
        and _same_size(previous, line)
        and round(line.size, 1) == body
    ]
    # The low quartile: a page of short paragraphs has more gaps between than within them.
    return statistics.quantiles(pitches, n=4)[0] if len(pitches) > 1 else 1.2 * body


def _same_size(one: Line, other: Line) -> bool:
    return abs(one.size - other.size) <= _SAME_SIZE * max(one.size, other.size)


def _starts_paragraph(previous: Line, line: Line, pitch: float, left_edge: float, right_edge: float) -> bool:
    if not _same_size(previous, line) or _BULLET.match(line.text) or _NUMBERED.match(line.text):
        return True
    drop = previous.bottom - line.top
    # Larger type has a larger pitch. A negative drop is the next column, where a sentence may continue.
    if drop > _PARAGRAPH_GAP * max(pitch, pitch * line.size / max(previous.size, 1.0), 1.15 * line.size):
        return True
    width = max(right_edge - left_edge, 1.0)
    ends_early = previous.right < left_edge + _SHORT_LINE * width
    return ends_early and drop > 0 and _SENTENCE_END.search(previous.text) is not None


class _Words:
    """Joins lines, and decides from the rest of the document whether to keep a hyphen at the end of a line."""

    def __init__(self, pages: Sequence[Sequence[Line]]) -> None:
        text = "\n".join(line.text for page in pages for line in page)
        self._known = {word.lower() for word in _WORD.findall(text.replace("\ufffe", "\n"))}
        lines = max(1, text.count("\n") + 1)
        # If many lines break inside words, the typesetter hyphenated. Otherwise the author wrote the hyphens.
        self._hyphenated = (text.count("\ufffe") + text.count("-\n")) / lines >= 0.05

    def join(self, lines: Sequence[str]) -> str:
        joined = lines[0]
        for line in lines[1:]:
            if re.search(r"\w-$", joined) and re.match(r"\w", line):
                joined = f"{joined[:-1]}\ufffe{line}"
            else:
                joined = f"{joined} {line}"
        return one_line(_MARKED_HYPHEN.sub(self._join_word, joined)).replace("\u00ad", "")

    def _join_word(self, match: re.Match[str]) -> str:
        head, tail = match.group(1), match.group(2)
        plain, hyphenated = f"{head}{tail}", f"{head}-{tail}"
        if not head.isalpha() or not tail[:1].islower():
            return hyphenated
        known = next((word for word in (hyphenated, plain) if word.lower() in self._known), None)
        return known or (plain if self._hyphenated else hyphenated)
