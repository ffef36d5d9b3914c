"""Headings and tables in the Markdown-like text that a reader returns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser

from benchmarks.documents.words import words

_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t#]*$")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_RULE = re.compile(r"^[ \t|:+-]*-{2,}[ \t|:+-]*$")
_NAMED = re.compile(r"^([^:|]{1,60}): ?(.*)$")
_Grid = list[list[str]]


def headings(text: str) -> list[tuple[int, str]]:
    """Level and words of the `#` lines outside code blocks."""
    found: list[tuple[int, str]] = []
    fence = ""
    for line in text.splitlines():
        if (mark := _FENCE.match(line)) is not None:
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        elif not fence and (heading := _HEADING.match(line)) is not None:
            found.append((len(heading[1]), " ".join(words(heading[2]))))
    return found


def records(text: str) -> list[dict[str, str]]:
    """The rows of all tables as column to value, with the first or the second row as the header.

    Tables are lines with `|` or tabs between cells, tables of HTML, or lines of `column: value` pairs. Names and values
    are compared as words.
    """
    found = list(_named_records(text))
    for grid in [*_line_tables(text), *_html_tables(text)]:
        for first in range(min(2, len(grid) - 1)):
            # A cell of the first row may reach down into the second.
            header = [
                _key(cell or above) for cell, above in zip(grid[first], _padded(grid[0], grid[first]), strict=True)
            ]
            found += [dict(zip(header, map(_key, row), strict=False)) for row in grid[first + 1 :]]
    return found


def _padded(row: Sequence[str], other: Sequence[str]) -> list[str]:
    return [*row, *[""] * len(other)][: len(other)]


def has_cell(rows: Sequence[dict[str, str]], row: Sequence[tuple[str, str]], column: str, value: str) -> bool:
    """Whether a record has the row's first cell, and the value under the column."""
    key, name = row[0]
    return any(_at(one, key) == _key(name) and _at(one, column) == _key(value) for one in rows)


def _at(record: dict[str, str], column: str) -> str | None:
    """The value under a column. A header of several rows may have been joined: the last words count."""
    wanted = _key(column)
    if wanted in record:
        return record[wanted]
    return next((value for name, value in record.items() if wanted and name.endswith(" " + wanted)), None)


def _key(text: str) -> str:
    return " ".join(words(text, list_marks=True))


def _line_tables(text: str) -> Iterator[_Grid]:
    grid: _Grid = []
    for line in [*text.splitlines(), ""]:
        cells = _cells(line)
        if cells is not None:
            grid += [cells] if cells else []
        elif grid:
            yield grid
            grid = []


def _cells(line: str) -> list[str] | None:
    """The cells of a line; none for a rule between header and rows. None if the line is not part of a table."""
    if "|" in line:
        if _RULE.match(line):
            return []
        inner = line.strip()
        inner = inner[1:] if inner.startswith("|") else inner
        inner = inner[:-1] if inner.endswith("|") and line.strip().startswith("|") else inner
        return [cell.strip() for cell in re.split(r"(?<!\\)\|", inner)]
    return [cell.strip() for cell in line.split("\t")] if "\t" in line.strip() else None


def _named_records(text: str) -> Iterator[dict[str, str]]:
    """Records written as `column: value` pairs, in one line or in consecutive lines."""
    lines: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        parts = [_NAMED.match(part.strip(" -")) for part in re.split(r"[|;]", line)]
        pairs = {_key(part[1]): _key(part[2]) for part in parts if part is not None}
        if len(pairs) > 1 and len(pairs) == len(parts):
            yield pairs
        if len(pairs) == 1 and len(parts) == 1:
            lines |= pairs
        elif lines:
            yield lines
            lines = {}


class _Tables(HTMLParser):
    """The cells of HTML tables, with a merged cell at each of its places."""

    def __init__(self) -> None:
        super().__init__()
        self.grids: list[dict[tuple[int, int], str]] = []
        self._span: list[tuple[int, int]] = []
        self._row = -1
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "table":
            self.grids.append({})
            self._row = -1
        elif tag == "tr":
            self._row += 1
        elif tag in {"td", "th"} and self.grids:
            self._cell = []
            grid, column = self.grids[-1], 0
            while (self._row, column) in grid:
                column += 1
            high, wide = int(values.get("rowspan") or 1), int(values.get("colspan") or 1)
            self._span = [(self._row + y, column + x) for y in range(min(high, 50)) for x in range(min(wide, 50))]

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"} and self._cell is not None:
            self.grids[-1].update(dict.fromkeys(self._span, "".join(self._cell).strip()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


def _html_tables(text: str) -> Iterator[_Grid]:
    if "<table" not in text:
        return
    parser = _Tables()
    parser.feed(text)
    for grid in parser.grids:
        height, width = max((y for y, _ in grid), default=-1) + 1, max((x for _, x in grid), default=-1) + 1
        yield [[grid.get((y, x), "") for x in range(width)] for y in range(height)]
