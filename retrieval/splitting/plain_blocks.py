"""The headings and blocks of text without markup: those that a converter recorded, and paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from retrieval.documents import Mark
from retrieval.splitting.blocks import Block, Heading, Lines, Structure
from retrieval.splitting.markdown_blocks import read_markdown
from retrieval.splitting.tables import read_table

# What a converter writes before a heading.
_MARKER = re.compile(r"#{1,6} ")
# A longer heading stays in the text.
_MAX_HEADING_CHARACTERS = 200
# A line of the form "name: value"; an entry of a list or a heading may have a colon as well.
FIELD = re.compile(r"(?![-*+>][ \t]|\d+[.)][ \t])(?P<name>[^\s:][^:\n]{0,100}):[ \t]+\S")


def read_plain(text: str, marks: Sequence[Mark]) -> Structure:
    """Headings, lists, tables and code stand where the marks say; everything else is paragraphs."""
    lines = Lines(text)
    headings: list[Heading] = []
    blocks: list[Block] = []
    covered = 0
    for mark in marks:
        first, last = lines.at(mark.start), lines.at(mark.end)
        blocks.extend(lines.paragraphs(covered, first))
        covered = last
        if mark.kind == "heading":
            marker = _MARKER.match(text, mark.start)
            text_start = marker.end() if marker is not None else mark.start
            if mark.end - text_start <= _MAX_HEADING_CHARACTERS:
                headings.append(Heading(mark.level, text[text_start : mark.end], mark.start, mark.end, text_start))
            else:
                blocks.append(Block(text_start, mark.end))
        else:
            blocks.append(_block(mark, text, lines, first, last))
    blocks.extend(lines.paragraphs(covered, len(lines)))
    return Structure(tuple(headings), tuple(blocks))


def read_fields(text: str) -> Structure:
    """Markdown, or nothing, and then lines of the form "name: value", which are split at their ends."""
    lines = Lines(text)
    first = _first_field(lines)
    if first is None:
        return read_markdown(text)
    before = read_markdown(text[: lines.start(first)])
    fields = [
        Block(block.start, block.end, lines.spans(_field_bounds(lines, lines.at(block.start), lines.at(block.end))))
        for block in lines.paragraphs(first, len(lines))
    ]
    return Structure(before.headings, (*before.blocks, *fields), lines.start(first))


def _first_field(lines: Lines) -> int | None:
    """The first line of the paragraphs at the end that begin with a field; None if there are none."""
    if not any(map(lines.is_blank, range(len(lines) - 1))) and all(
        _is_field(lines, line) for line in range(len(lines)) if not lines.is_blank(line)
    ):
        # Nothing but fields, so that a number sign belongs to a name.
        return 0 if lines.text.strip().count("\n") else None
    found = None
    end = len(lines)
    while end:
        while end and lines.is_blank(end - 1):
            end -= 1
        first = end
        while first and not lines.is_blank(first - 1):
            first -= 1
        if first == end or lines.text.startswith("#", lines.start(first)) or not _is_field(lines, first):
            break
        found, end = first, first
    # One such line after a text may be a sentence of it.
    alone = found is not None and lines.text.count("\n", lines.start(found)) == 0
    return None if found and alone else found


def _is_field(lines: Lines, line: int) -> bool:
    return FIELD.match(lines.text, lines.start(line)) is not None


def _field_bounds(lines: Lines, first: int, last: int) -> list[int]:
    """The lines at which fields begin; a value may have several lines."""
    fields = [line for line in range(first, last) if _is_field(lines, line)]
    return sorted({first, *fields, last})


def _block(mark: Mark, text: str, lines: Lines, first: int, last: int) -> Block:
    if mark.kind == "table":
        table = read_table(text, lines.starts(first, last), mark.end, "plain")
        rows = lines.spans(list(range(first, last + 1)))
        return Block(mark.start, mark.end, rows, (table,) if table is not None else ())
    if mark.kind == "code":
        start, end = lines.span(first, last) or (mark.start, mark.end)
        return Block(start, end, lines.spans(list(range(first, last + 1))))
    entries = list(_entries(text, lines, first, last))
    return Block(mark.start, mark.end, lines.spans(sorted({first, *entries, last})))


def _entries(text: str, lines: Lines, first: int, last: int) -> Iterator[int]:
    """The lines at which entries of the outer list begin; those of inner ones are indented."""
    for line in range(first, last):
        if not text.startswith(" ", lines.start(line)):
            yield line
