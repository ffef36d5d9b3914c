"""The regions of a PDF page in reading order: running text, columns of text, and tables."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TypeAlias

from retrieval.conversion.pdf.line import Line
from retrieval.conversion.pdf.rules import Rules
from retrieval.conversion.pdf.tables import LINE_DROP, Rows, Table, build_table, drop
from retrieval.conversion.pdf.words import HYPHEN, LEADER, LOWER_START, SENTENCE_END, has_index_entries

# Relative to the size of the text.
_GUTTER = 0.6
_FAR_BELOW = 3.5
# Columns of text have lines that fill them; the cells of a table have few words.
_MIN_COLUMN_LINES = 4
_MIN_COLUMN_CHARACTERS = 15
_MIN_PROSE_CHARACTERS = 20
_OTHER_SIZE = 0.06
_PROSE_DROP = 1.6
_FULL_STOP = re.compile(r"""[.!?]["'”’)]*(?:\s|$)""")
# The number in the running head of a page, and how far the page is below it.
_PAGE_NUMBER = re.compile(r"\d{1,4}|[ivxlc]{1,7}")
_HEAD_DROP = 2.3
_FULL_LINE = 0.7
# The parts of a displayed formula: their distance relative to the size of the text, and their names.
_MAX_FORMULA_ROWS, _FORMULA_DROP, _MAX_NAME = 8, 0.85, 2.5
_NAME = re.compile(r"[^\W\d_]+")
_OPERATOR = re.compile("[=+−×·√∫∑∏≤≥<>±]")
_MIN_INDEX_LINES = 6
_MAX_DEPTH = 3
# Of the rows of a table, at least this share has more than one cell.
_MIN_ROWS_WITH_CELLS = 0.4


Region: TypeAlias = list[Line] | Table


def read_regions(rows: Rows, rules: Callable[[], Rules] = Rules) -> list[Region]:
    """The regions of a page, whose rows are given from top to bottom. `rules` reads its ruled lines."""
    if not rows:
        return []
    if _is_running_head(rows):
        rows = [[_as_one(rows[0])], *rows[1:]]
    if all(len(row) == 1 for row in rows):
        return [_in_edges(_ordered([row[0] for row in rows]))]
    regions: list[Region] = []
    _read(list(rows), regions, cache(rules), depth=0)
    return regions


def _read(rows: list[list[Line]], regions: list[Region], rules: Callable[[], Rules], depth: int) -> None:
    edges = _edges([line for row in rows for line in row])
    text: list[list[Line]] = []
    at = 0
    while at < len(rows):
        if len(rows[at]) == 1:
            text.append(rows[at])
            at += 1
            continue
        end, gutter = _gutter_run(rows, at)
        start, columns = at, list[list[Line]]()
        if depth < _MAX_DEPTH:
            while at - start < len(text) and _stands_aside(text[start - at - 1], gutter, rows[start]):
                start -= 1
            columns = _columns(rows[start:end])
            if not all(map(_is_text, columns)) and _is_short_prose(rows[at:end], rules):
                start, columns = at, _columns(rows[at:end])
            elif not all(map(_is_text, columns)):
                columns = []
        if len(columns) > 1:
            del text[len(text) - (at - start) :]
            _add_text(text, edges, regions)
            is_rtl = statistics.fmean(line.is_rtl for line in columns[0]) > 0.5
            for column in reversed(columns) if is_rtl else columns:
                _read(_restricted(rows[start:end], column), regions, rules, depth + 1)
            at, text = end, []
            continue
        end = _end_of_table(rows, at, end)
        is_formula = _is_formula(rows[at:end])
        if is_formula or (end - at <= 2 and text and _is_stretched([text[-1], *rows[at:end]], edges)):
            text += [[_as_one(row)] for row in rows[at:end]]
        elif sum(len(row) > 1 for row in rows[at:end]) >= _MIN_ROWS_WITH_CELLS * (end - at):
            _add_text(text, edges, regions)
            regions.append(build_table(rows[at:end], rules()))
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


def _is_running_head(rows: Rows) -> bool:
    """Whether the first row of a page is a page number with the words beside it, apart from what is below."""
    if not 1 < len(rows[0]) <= 3 or len(rows) < 3:
        return False
    below = drop(rows, 1)
    has_number = any(_PAGE_NUMBER.fullmatch(rows[0][at].text) for at in (0, -1))
    return has_number and below > max(_HEAD_DROP * rows[0][0].size, 1.5 * drop(rows, 2))


def _ordered(lines: list[Line]) -> list[Line]:
    """Lines, given from top to bottom, in the order of the file, unless that goes up within one column."""
    drawn = sorted(lines, key=lambda line: line.order)
    jumps = [(one, other) for one, other in pairwise(drawn) if other.base > one.base + 0.5 * one.size]
    aside = [pair for pair in jumps if pair[0].right <= pair[1].left or pair[1].right <= pair[0].left]
    return drawn if aside or not jumps else lines


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
        while end < len(rows) and drop(rows, end) <= _FAR_BELOW * rows[end][0].size:
            new_low = max([low, *(line.right for line in rows[end] if (line.left + line.right) / 2 <= middle)])
            new_high = min([high, *(line.left for line in rows[end] if (line.left + line.right) / 2 > middle)])
            if new_high - new_low < _GUTTER * rows[end][0].size:
                break
            low, high = new_low, new_high
            end += 1
        if end > best[0] or best[1] == (0.0, 0.0):
            best = (end, (low, high))
    return best


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
    return len(column) >= _MIN_COLUMN_LINES and (_has_full_lines(column, _MIN_COLUMN_CHARACTERS) or _is_index(column))


def _is_index(column: Sequence[Line]) -> bool:
    """Whether most lines are entries of an index: words, and after dots or a comma the numbers of their pages."""
    with_dots = sum(LEADER.search(line.text[-200:]) is not None for line in column)
    return with_dots >= 0.5 * len(column) or (
        len(column) >= _MIN_INDEX_LINES and has_index_entries([line.text for line in column])
    )


def _has_full_lines(column: Sequence[Line], least: int) -> bool:
    """Whether half of the lines are as wide as their column, with `least` characters per line on average."""
    left, right = _edges(column)
    full = sum(line.right - line.left >= _FULL_LINE * (right - left) for line in column)
    text = "".join(line.text for line in column)
    letters = sum(character.isalpha() for character in text)
    return (
        full >= 0.5 * len(column)
        and len(text) >= least * len(column)
        and letters >= 0.6 * sum(not character.isspace() for character in text)
    )


def _is_short_prose(rows: Rows, rules: Callable[[], Rules]) -> bool:
    """Whether few rows are columns of sentences that go on from line to line, rather than cells of a table."""
    columns = _columns(rows)
    if min(len(rows), len(columns)) < 2 or any(
        len(column) < 2 or not _has_full_lines(column, _MIN_PROSE_CHARACTERS) for column in columns
    ):
        return False
    drops = [drop(rows, at) for at in range(1, len(rows))]
    if max(drops) > min(_PROSE_DROP * rows[0][0].size, 1.15 * min(drops)):
        return False
    if not all(map(_flows, columns)):
        return False
    edges = _edges([line for column in columns for line in column])
    bottom, top = rows[-1][0].base, rows[0][0].base
    return not (
        rules().has_columns(*edges, bottom, top) or any(bottom < height < top for height in rules().heights(*edges))
    )


def _flows(column: Sequence[Line]) -> bool:
    """Whether each line ends a sentence or goes on in the next one, and some line goes on.

    The cells of a table seldom end with a full stop.
    """
    if not any(_FULL_STOP.search(line.text) for line in column):
        return False
    goes_on = 0
    for one, other in pairwise(column):
        if one.text.endswith(HYPHEN) or (not SENTENCE_END.search(one.text) and LOWER_START.match(other.text)):
            goes_on += 1
        elif not SENTENCE_END.search(one.text) or abs(one.size - other.size) > _OTHER_SIZE * one.size:
            return False
    return goes_on > 0


def _is_stretched(rows: Rows, edges: tuple[float, float]) -> bool:
    """Whether rows are lines of a paragraph whose words were spread to fill the width."""
    return all(
        row[-1].right >= edges[1] - 0.5 * row[-1].size and row[0].left <= edges[0] + 3 * row[0].size for row in rows
    ) and all(drop(rows, at) <= LINE_DROP * rows[at][0].size for at in range(1, len(rows)))


def _is_formula(rows: Rows) -> bool:
    """Whether a few rows are the parts of a displayed formula: nearer than lines, with an operator and short names."""
    if not 1 < len(rows) <= _MAX_FORMULA_ROWS:
        return False
    text = " ".join(line.text for row in rows for line in row)
    names = _NAME.findall(text)
    return (
        any(drop(rows, at) < _FORMULA_DROP * rows[at][0].size for at in range(1, len(rows)))
        and _OPERATOR.search(text) is not None
        and sum(map(len, names)) <= _MAX_NAME * len(names)
    )


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
    drops = [drop(rows, at) for at in range(start + 1, last + 1)]
    usual = 1.1 * statistics.median(drops) if drops else 0.0
    while last + 1 < end and len(rows[last + 1]) == 1:
        line = rows[last + 1][0]
        # A line below a cell other than the first is wrapped, or a row of which the first cells are empty.
        is_near = drop(rows, last + 1) <= max(LINE_DROP * line.size, usual)
        if not is_near or all(abs(line.left - left) > line.size for left in columns):
            break
        last += 1
    return last + 1
