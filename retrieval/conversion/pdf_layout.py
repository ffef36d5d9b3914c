"""The layout of a PDF: printed lines back to headings, paragraphs, lists, tables and code.

A sentence that was wrapped is on one line again, so that quotes of it can be found. A line that ends although the next
word would have fitted stays a line of its own.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from retrieval.conversion.converted import Converted, MarkdownWriter, joined
from retrieval.conversion.pdf.hyphens import Hyphens
from retrieval.conversion.pdf.line import Line
from retrieval.conversion.pdf.listings import is_one_listing, leave_words_in_prose, listing_text
from retrieval.conversion.pdf.regions import Region
from retrieval.conversion.pdf.tables import Table
from retrieval.conversion.pdf.words import HYPHEN, INDEX_ENTRY, LEADER, LOWER_START, SENTENCE_END, has_index_entries
from retrieval.conversion.raised import in_line, leading_mark, raised

_BULLET = re.compile(r"^\s*(?:[•◦▪‣∙●○■·–]|[-*])\s+")
_NUMBERED = re.compile(r"^\s*(?:\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+")
_SMALL_NOTE = re.compile(r"(\d{1,3})[.)]?\s+(?=\S)")
_GOES_ON = re.compile(r"[,&/(]$|\w-$|\b(?:and|or|the|a|an|of|to|in|for|with|und|oder|der|die|das|et|ou|de|la|le)$")
_START = re.compile(r"[\W_]*(?:\d|[A-ZÀ-ÖØ-ÞА-Я])")

_MAX_HEADING_CHARACTERS = 120
_HEADING_GROWTH = 1.12  # minimum size of a heading, relative to the body
_SAME_SIZE = 0.06  # maximum relative difference of equal sizes
_PARAGRAPH_GAP = 1.35  # gap between paragraphs, relative to the usual line distance
_SHORT_LINE = 0.8  # a shorter line, relative to the width, ends its paragraph if its sentence ends
_FREE_WIDTH = 0.15  # a line with more free width, relative to the column, and room for the next word was ended
_MIN_INDEX_LINES = 3  # of the entries of an index in one paragraph
_NARROW = 0.55  # a narrower paragraph, relative to the column, may be a list of short lines


def lay_out(pages: Sequence[Sequence[Region]]) -> Converted:
    """The text of all pages, separated by blank lines, with the offset of each page in code points."""
    texts: list[str] = []
    starts: list[int] = []
    title: str | None = None
    offset = 0
    document = _Document(pages)
    for page in pages:
        writer = MarkdownWriter()
        document.write(page, writer)
        title = title or writer.title
        page_text = writer.text()
        starts.append(offset)
        if page_text:
            texts.append(page_text)
            offset += len(page_text) + 1
    return Converted(text=joined(texts), title=title, page_starts=tuple(starts))


class _Document:
    """What the pages of a document have in common: the size of its text, its headings and its words."""

    def __init__(self, pages: Sequence[Sequence[Region]]) -> None:
        for region in chain.from_iterable(pages):
            if isinstance(region, list):
                leave_words_in_prose(region)
        lines = [line for page in pages for line in _lines(page) if not line.advance]
        self._body = _body_size(lines)
        self._levels = _heading_levels(lines, self._body)
        cells = (cell for page in pages for table in page if isinstance(table, Table) for cell in chain(*table.rows))
        self._hyphens = Hyphens([*(line.text for line in lines), *cells])

    def write(self, page: Sequence[Region], writer: MarkdownWriter) -> None:
        marks = _mark_notes([line for line in _lines(page) if not line.advance], self._body)
        pitch = _usual_pitch(page, self._body)
        for region in page:
            if isinstance(region, Table):
                self._write_table(region, writer, marks)
                continue
            for group in _paragraphs(region, pitch):
                self._write_group(group, writer, marks)

    def _write_group(self, group: Sequence[Line], writer: MarkdownWriter, marks: set[str]) -> None:
        if group[0].advance:
            writer.code(listing_text(group))
            return
        level = self._heading_level(group)
        if level:
            writer.heading(level, in_line(self._hyphens.join([line.text for line in group]), marks))
            return
        parts = [in_line(self._hyphens.join([line.text for line in part]), marks) for part in _kept_lines(group)]
        if _BULLET.match(parts[0]):
            writer.entry(_BULLET.sub("", parts[0], count=1))
            for part in parts[1:]:
                writer.entry(part, continued=True)
        else:
            writer.paragraph("\n".join(parts))

    def _write_table(self, table: Table, writer: MarkdownWriter, marks: set[str]) -> None:
        rows = [[in_line(self._hyphens.join([cell]), marks) for cell in row] for row in table.rows]
        level = self._levels.get(round(table.size, 1), 0)
        if len(rows) == 1 and level:
            writer.heading(level, " ".join(rows[0]))
        elif all(len(row) == 2 for row in rows) and 2 * sum(row[0].endswith(":") for row in rows) >= len(rows):
            # Names and values, as in a form.
            writer.paragraph("\n".join(" ".join(filter(None, row)) for row in rows))
        else:
            writer.end_group()
            for row in rows:
                writer.row(row)
            writer.end_group()

    def _heading_level(self, group: Sequence[Line]) -> int:
        level = self._levels.get(round(group[0].size, 1), 0)
        text = " ".join(line.text for line in group)
        short = len(text) <= _MAX_HEADING_CHARACTERS and any(character.isalpha() for character in text)
        return level if level and short else 0


def _mark_notes(lines: Sequence[Line], body: float) -> set[str]:
    """The numbers of the notes of a page. Marks the number before a note that is printed smaller, but not raised."""
    text = "\n".join(line.text for line in lines)
    for line in lines:
        match = _SMALL_NOTE.match(line.text) if line.size < body else None
        if match is not None and raised(match[1]) in text:
            line.text = f"{raised(match[1])} {line.text[match.end() :]}"
    return {leading_mark(line.text) for line in lines} - {""}


def _lines(page: Sequence[Region]) -> Iterator[Line]:
    return chain.from_iterable(region for region in page if isinstance(region, list))


def _body_size(lines: Sequence[Line]) -> float:
    characters: Counter[float] = Counter()
    for line in lines:
        characters[round(line.size, 1)] += len(line.text)
    return characters.most_common(1)[0][0] if characters else 0.0


def _heading_levels(lines: Sequence[Line], body: float) -> dict[float, int]:
    """Font size -> heading level; the largest is level 1."""
    if body <= 0:
        return {}
    sizes = sorted({round(line.size, 1) for line in lines if not line.field}, reverse=True)
    larger = [size for size in sizes if size >= body * _HEADING_GROWTH]
    return {size: min(level, 6) for level, size in enumerate(larger, start=1)}


def _paragraphs(lines: Sequence[Line], pitch: float) -> list[list[Line]]:
    if not lines:
        return []
    groups: list[list[Line]] = [[lines[0]]]
    for previous, line in pairwise(lines):
        if _starts_paragraph(previous, line, pitch):
            groups.append([line])
        else:
            groups[-1].append(line)
    return groups


def _usual_pitch(page: Sequence[Region], body: float) -> float:
    pitches = [
        previous.base - line.base
        for region in page
        if isinstance(region, list)
        for previous, line in pairwise(region)
        if 0 < previous.base - line.base < 3 * max(body, 1.0)
        and _same_size(previous, line)
        and not previous.advance
        and round(line.size, 1) == body
    ]
    # The low quartile: a page of short paragraphs has more gaps between than within them.
    return statistics.quantiles(pitches, n=4)[0] if len(pitches) > 1 else 1.2 * body


def _same_size(one: Line, other: Line) -> bool:
    return abs(one.size - other.size) <= _SAME_SIZE * max(one.size, other.size)


def _starts_paragraph(previous: Line, line: Line, pitch: float) -> bool:
    if previous.advance or line.advance:
        return not is_one_listing(previous, line)
    if not _same_size(previous, line) or leading_mark(line.text):
        return True
    if _BULLET.match(line.text) or _NUMBERED.match(line.text):
        return True
    drop = previous.base - line.base
    # Larger type has a larger pitch. A negative drop is the next column, where a sentence may continue.
    if drop > _PARAGRAPH_GAP * max(pitch, pitch * line.size / max(previous.size, 1.0), 1.15 * line.size):
        return True
    width = max(previous.edges[1] - previous.edges[0], 1.0)
    ends_early = previous.room > (1 - _SHORT_LINE) * width
    return (ends_early or drop < 0) and SENTENCE_END.search(previous.text) is not None


def _kept_lines(group: Sequence[Line]) -> list[list[Line]]:
    """The lines of a paragraph, cut where the author ended a line."""
    left, right = min(line.left for line in group), max(line.right for line in group)
    width = max(group[0].edges[1] - group[0].edges[0], 1.0)
    is_list = right - left < _NARROW * width and _is_list(group, left, right)
    # Most lines of a paragraph with an edge of its own end there.
    ends = [line.left - left if line.is_rtl else right - line.right for line in group[:-1]]
    inset = min(line.room for line in group) if 2 * sum(end < 0.03 * width for end in ends) > len(ends) else 0.0
    is_narrow = right - left < _NARROW * width
    is_index = len(group) >= _MIN_INDEX_LINES and has_index_entries([line.text for line in group])
    parts = [[group[0]]]
    for previous, line in pairwise(group):
        room = previous.room - inset
        would_fit = room > max(line.first_width + 2 * line.size, _FREE_WIDTH * width)
        ends_line = is_list if is_narrow else would_fit
        ends_entry = is_index and INDEX_ENTRY.fullmatch(previous.text[-200:]) and not previous.text.endswith(",")
        if (
            ends_entry
            or LEADER.search(previous.text[-200:])
            or (ends_line and _may_end(previous, line, is_list=is_list))
        ):
            parts.append([line])
        else:
            parts[-1].append(line)
    return parts


def _is_list(group: Sequence[Line], left: float, right: float) -> bool:
    """Whether a narrow paragraph is a list of short lines: they begin like lines, and do not fill its width."""
    pairs = [pair for pair in pairwise(group) if not SENTENCE_END.search(pair[0].text)]
    begin = sum(_START.match(line.text) is not None for _, line in pairs)
    ragged = any(
        (one.left - left if one.is_rtl else right - one.right) > 1.3 * two.first_width for one, two in pairwise(group)
    )
    return bool(pairs) and (
        begin >= 0.8 * len(pairs) or (ragged and not any(LOWER_START.match(o.text) for _, o in pairs))
    )


def _may_end(previous: Line, line: Line, *, is_list: bool) -> bool:
    if previous.text.endswith(HYPHEN) or _GOES_ON.search(previous.text) or previous.base <= line.base:
        return False
    return not (is_list and LOWER_START.match(line.text))
