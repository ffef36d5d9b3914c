"""The regions of a PDF page in reading order: running text, columns of text, and tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

from retrieval.conversion.pdf.rows import Line

Rows: TypeAlias = Sequence[list[Line]]

# Relative to the size of the text.
_GUTTER = 0.6
_FAR_BELOW = 3.5
_SAME_ROW_BELOW = 1.35
# Columns of text have lines that fill them; the cells of a table have few words.
_MIN_COLUMN_LINES = 4
_MIN_COLUMN_CHARACTERS = 15
_FULL_LINE = 0.7
_MAX_DEPTH = 3
# Of the rows of a table, at least this share has more than one cell.
_MIN_ROWS_WITH_CELLS = 0.4


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the same number of cells; the text of a cell may have the markers of `raised`."""

    rows: list[list[str]]
    size: float


Region: TypeAlias = list[Line] | Table


def read_regions(rows: Rows) -> list[Region]:
    """The regions of a page, whose rows are given from top to bottom."""
    if not rows:
        return []
    if all(len(row) == 1 for row in rows):
        # The order of the file is that of the author.
        return [_in_edges(sorted((row[0] for row in rows), key=lambda line: line.order))]
    regions: list[Region] = []
    _read(list(rows), regions, depth=0)
    return regions


def _read(rows: list[list[Line]], regions: list[Region], depth: int) -> None:
    edges = _edges([line for row in rows for line in row])
    text: list[list[Line]] = []
    at = 0
    while at < len(rows):
        if len(rows[at]) == 1:
            text.append(rows[at])
            at += 1
            continue
        end, gutter = _gutter_run(rows, at)
        start = at
        while text and depth < _MAX_DEPTH and _stands_aside(text[-1], gutter, rows[start]):
            start -= 1
            text.pop()
        columns = _columns(rows[start:end]) if depth < _MAX_DEPTH else []
        if len(columns) > 1 and all(map(_is_text, columns)):
            _add_text(text, edges, regions)
            is_rtl = statistics.fmean(line.is_rtl for line in columns[0]) > 0.5
            for column in reversed(columns) if is_rtl else columns:
                _read(_restricted(rows[start:end], column), regions, depth + 1)
            at, text = end, []
            continue
        text += rows[start:at]
        end = _end_of_table(rows, at, end)
        if end - at <= 2 and text and _is_stretched([text[-1], *rows[at:end]], edges):
            text += [[_as_one(row)] for row in rows[at:end]]
        elif sum(len(row) > 1 for row in rows[at:end]) >= _MIN_ROWS_WITH_CELLS * (end - at):
            _add_text(text, edges, regions)
            regions.append(_table(rows[at:end]))
            text = []
        else:
            text += rows[at:end]
        at = end
    _add_text(text, edges, regions)


def _add_text(rows: Rows, edges: tuple[float, float], regions: list[Region]) -> None:
    lines = [line for row in rows for line in row]
    if not lines:
        return
    if len(rows) < len(lines):
        lines.sort(key=lambda line: line.order)
    for line in lines:
        line.edges = edges
    # A sentence may go on in the next column.
    if regions and isinstance(regions[-1], list):
        regions[-1] += lines
    else:
        regions.append(lines)


def _in_edges(lines: list[Line]) -> list[Line]:
    edges = _edges(lines)
    for line in lines:
        line.edges = edges
    return lines


def _edges(lines: Sequence[Line]) -> tuple[float, float]:
    return min(line.left for line in lines), max(line.right for line in lines)


def _gutter_run(rows: Rows, start: int) -> tuple[int, tuple[float, float]]:
    """The end of the longest run of rows, from `start`, that leave a gap of its first row free; and that gap."""
    best = (start + 1, (0.0, 0.0))
    for before, after in pairwise(rows[start]):
        low, high = before.right, after.left
        middle = (low + high) / 2
        end = start + 1
        while end < len(rows) and _drop(rows, end) <= _FAR_BELOW * rows[end][0].size:
            new_low = max([low, *(line.right for line in rows[end] if (line.left + line.right) / 2 <= middle)])
            new_high = min([high, *(line.left for line in rows[end] if (line.left + line.right) / 2 > middle)])
            if new_high - new_low < _GUTTER * rows[end][0].size:
                break
            low, high = new_low, new_high
            end += 1
        if end > best[0] or best[1] == (0.0, 0.0):
            best = (end, (low, high))
    return best


def _drop(rows: Rows, at: int) -> float:
    return rows[at - 1][0].base - rows[at][0].base


def _stands_aside(row: list[Line], gutter: tuple[float, float], below: list[Line]) -> bool:
    """Whether a row above columns belongs to one of them."""
    is_near = row[0].base - below[0].base <= _FAR_BELOW * row[0].size
    return is_near and all(line.right <= gutter[0] + 1 or line.left >= gutter[1] - 1 for line in row)


def _columns(rows: Rows) -> list[list[Line]]:
    """The lines in columns from left to right: those whose widths overlap are in one."""
    columns: list[list[Line]] = []
    right = 0.0
    for line in sorted((line for row in rows for line in row), key=lambda line: line.left):
        if columns and line.left < right + _GUTTER * line.size:
            columns[-1].append(line)
            right = max(right, line.right)
        else:
            columns.append([line])
            right = line.right
    return columns


def _is_text(column: Sequence[Line]) -> bool:
    if len(column) < _MIN_COLUMN_LINES:
        return False
    left, right = _edges(column)
    full = sum(line.right - line.left >= _FULL_LINE * (right - left) for line in column)
    text = "".join(line.text for line in column)
    letters = sum(character.isalpha() for character in text)
    return (
        full >= 0.5 * len(column)
        and len(text) >= _MIN_COLUMN_CHARACTERS * len(column)
        and letters >= 0.6 * sum(not character.isspace() for character in text)
    )


def _is_stretched(rows: Rows, edges: tuple[float, float]) -> bool:
    """Whether rows are lines of a paragraph whose words were spread to fill the width."""
    return all(
        row[-1].right >= edges[1] - 0.5 * row[-1].size and row[0].left <= edges[0] + 3 * row[0].size for row in rows
    ) and all(_drop(rows, at) <= _SAME_ROW_BELOW * rows[at][0].size for at in range(1, len(rows)))


def _as_one(row: list[Line]) -> Line:
    text = " ".join(line.text for line in row)
    return replace(row[0], text=text, right=row[-1].right)


def _restricted(rows: Rows, column: Sequence[Line]) -> list[list[Line]]:
    chosen = set(map(id, column))
    cut = ([line for line in row if id(line) in chosen] for row in rows)
    return [row for row in cut if row]


def _end_of_table(rows: Rows, start: int, end: int) -> int:
    """The end of the table in a run: after its last row with cells, and the wrapped lines of that row."""
    last = max(at for at in range(start, end) if len(rows[at]) > 1)
    columns = [line.left for row in rows[start : last + 1] if len(row) > 1 for line in row[1:]]
    while last + 1 < end and len(rows[last + 1]) == 1:
        line = rows[last + 1][0]
        # The wrapped line of a cell other than the first stands below that cell.
        is_near = _drop(rows, last + 1) <= _SAME_ROW_BELOW * line.size
        if not is_near or all(abs(line.left - left) > line.size for left in columns):
            break
        last += 1
    return last + 1


def _table(rows: Rows) -> Table:
    spans = _spans(rows)
    cells = [_cells(row, spans) for row in rows]
    if all(line.is_rtl for row in rows for line in row):
        cells = [row[::-1] for row in cells]
    drops = [_drop(rows, at) for at in range(1, len(rows))]
    size = min(line.size for row in rows for line in row)
    # If some rows are further apart than lines, the others are lines of one row.
    loose = [drop for drop in drops if drop > _SAME_ROW_BELOW * size]
    tight = [drop for drop in drops if drop <= _SAME_ROW_BELOW * size]
    joined: list[list[str]] = []
    for number, row in enumerate(cells):
        filled = sum(map(bool, row))
        is_wrapped = number > 0 and loose and tight and drops[number - 1] <= _SAME_ROW_BELOW * size
        # A row is never joined to one with fewer cells, such as a heading above it.
        if joined and is_wrapped and filled <= sum(map(bool, joined[-1])):
            joined[-1] = [" ".join(filter(None, pair)) for pair in zip(joined[-1], row, strict=True)]
        else:
            joined.append(row)
    return Table(joined, size)


def _spans(rows: Rows) -> list[tuple[float, float]]:
    """The columns of a table. Those of its fullest rows come first: a line across several columns makes none."""
    spans: list[tuple[float, float]] = []
    for row in sorted(rows, key=lambda row: -len(row)):
        for line in row:
            over = [span for span in spans if line.left < span[1] and line.right > span[0]]
            if not over:
                spans.append((line.left, line.right))
            elif len(over) == 1:
                spans.remove(over[0])
                spans.append((min(line.left, over[0][0]), max(line.right, over[0][1])))
    return sorted(spans)


def _cells(row: Sequence[Line], spans: Sequence[tuple[float, float]]) -> list[str]:
    cells = [""] * len(spans)
    for line in row:
        over = [number for number, (left, right) in enumerate(spans) if line.left < right and line.right > left]
        place = over[0] if over else 0
        cells[place] = f"{cells[place]} {line.text}".strip()
    return cells
