"""Tables of a PDF page: their columns, and the printed rows that are lines of one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from retrieval.conversion.pdf.line import Line
from retrieval.conversion.pdf.rules import Rules
from retrieval.conversion.pdf.words import LEADER

Rows: TypeAlias = Sequence[list[Line]]
# The left and right edge of each column.
Spans: TypeAlias = Sequence[tuple[float, float]]

# The most that lines of one paragraph are apart, and the least that rows are, relative to the size of the text.
LINE_DROP = 1.35
_HALF_LINE = 0.85
_TOUCHES = 0.12
_ROWS_NEAR = 3
# Rows that are as close as lines of text are rows of a table if at least two of them, and 70%, have all their cells.
_MIN_FULL_ROWS, _MOST = 2, 0.7
# In a table of five rows or more, a column with a single cell is part of a formula, not a column.
_MIN_ROWS_OF_COLUMN = 5
# A frame around at least this many printed rows may have no rules between them.
_MIN_ROWS_OF_FRAME = 5
# In points: how far a rule may reach into the lines above and below it.
_OVERLAP = 2.0


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the same number of cells; the text of a cell may have the markers of `raised`."""

    rows: list[list[str]]
    size: float


def build_table(rows: Rows, rules: Rules) -> Table:
    """The table of printed rows with their cells, from top to bottom."""
    spans = _spans(rows)
    cells = [_cells(row, spans) for row in rows]
    if all(line.is_rtl for row in rows for line in row):
        cells = [row[::-1] for row in cells]
    bands = _bands(rows, cells, rules, spans)
    joined: list[list[str]] = []
    for number, row in enumerate(cells):
        if number and bands[number] == bands[number - 1]:
            joined[-1] = [" ".join(filter(None, pair)) for pair in zip(joined[-1], row, strict=True)]
        else:
            joined.append(row)
    firsts = [at for at in range(len(rows)) if not at or bands[at] != bands[at - 1]]
    _fill_merged(joined, [_merged(rules, spans, *_beside(rows, bands, at)) for at in firsts[1:]])
    joined = _without_single_cells(_with_headers(joined, spans))
    return Table(joined, min(line.size for row in rows for line in row))


def drop(rows: Rows, at: int) -> float:
    """The distance from the row above to a row."""
    return rows[at - 1][0].base - rows[at][0].base


def _bands(rows: Rows, cells: list[list[str]], rules: Rules, spans: Spans) -> list[int]:
    """For each printed row, the number of the row of the table that it is a line of."""
    left, right = spans[0][0], spans[-1][1]
    top, bottom = rows[0][0].base + rows[0][0].size, rows[-1][0].base
    heights = [y for y in rules.heights(left, right) if bottom - rows[-1][0].size < y < top + rows[0][0].size]
    by_rules = [sum(y > row[0].base + 0.3 * row[0].size for y in heights) for row in rows]
    is_grid = rules.has_columns(left, right, bottom, top)
    by_distance = _by_distance(rows, spans)
    bands = [0]
    between: dict[int, list[int]] = {}
    for at, number in enumerate(by_rules):
        between.setdefault(number, []).append(at)
    # The answers are the same for all printed rows between two rules.
    are_rows = {
        number: is_grid and len(same) >= _MIN_ROWS_OF_FRAME and _are_lines_of_rows(rows, same, spans)
        for number, same in between.items()
    }
    is_one = {number: is_grid or _is_one_row([cells[at] for at in same]) for number, same in between.items()}
    for at in range(1, len(rows)):
        if are_rows[by_rules[at]]:
            is_new = by_distance[at]
        elif len(between) > 2 and is_one[by_rules[at]]:
            is_new = by_rules[at] != by_rules[at - 1]
        else:
            is_new = by_distance[at]
        if is_grid and not is_new and len(between) > 2:
            is_new = True in _merged(rules, spans, rows[at - 1], rows[at])
        bands.append(bands[-1] + is_new)
    if is_grid:
        # The text of a cell that covers two rows may be printed between them: it is no row of its own.
        for at in range(1, len(rows) - 1):
            if bands[at - 1] < bands[at] < bands[at + 1]:
                merged = _merged(rules, spans, rows[at - 1], rows[at + 1])
                if all(merged[_column(line, spans)] for line in rows[at]):
                    bands[at] = bands[at + 1]
    return bands


def _beside(rows: Rows, bands: Sequence[int], at: int) -> tuple[list[Line], list[Line]]:
    """The printed rows above and below the start of a row of the table.

    The text of a cell that covers both may stand between them, right on the rule that parts the other cells.
    """
    above = [rows[near] for near in (at - 1, at - 2) if near >= 0 and bands[near] == bands[at - 1]]
    below = [rows[near] for near in (at, at + 1) if near < len(rows) and bands[near] == bands[at]]
    return max(above, key=len), max(below, key=len)


def _merged(rules: Rules, spans: Spans, above_row: list[Line], below_row: list[Line]) -> list[bool | None]:
    """For each column, whether its cell goes on from the row above although rules part other cells there.

    None if a rule parts it.
    """
    below, above = below_row[0].base + below_row[0].size, above_row[0].base
    bottom, top = min(above, below) - _OVERLAP, max(above, below) + _OVERLAP
    parted = [rules.parts(left, right, bottom, top) for left, right in spans]
    is_known = None not in parted and any(parted)
    return [None if part else is_known for part in parted]


def _fill_merged(rows: list[list[str]], merged: Sequence[Sequence[bool | None]]) -> None:
    """Write the text of a cell that covers several rows in each of them. `merged`: for each row after the first."""
    for column in range(len(rows[0])):
        start = 0
        for end in range(1, len(rows) + 1):
            if end < len(rows) and merged[end - 1][column] is not None:
                continue
            texts = [row[column] for row in rows[start:end] if row[column]]
            if len(texts) == 1 and all(merged[at - 1][column] for at in range(start + 1, end)):
                for row in rows[start:end]:
                    row[column] = texts[0]
            start = end


def _with_headers(rows: list[list[str]], spans: Spans) -> list[list[str]]:
    """The rows with each name that stands beside the cells of its column, as to the left of numbers, above them."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    places = list(spans)
    at = 0
    while len(rows) > 1 and at < len(columns):
        is_name = bool(columns[at][0]) and not any(columns[at][1:])
        beside = [
            near
            for near in (at - 1, at + 1)
            if 0 <= near < len(columns) and not columns[near][0] and any(columns[near])
        ]
        if is_name and beside:
            near = min(beside, key=lambda near: max(places[near][0] - places[at][1], places[at][0] - places[near][1]))
            columns[near][0] = columns[at][0]
            places[near] = min(places[near][0], places[at][0]), max(places[near][1], places[at][1])
            del columns[at], places[at]
        else:
            at += 1
    return [list(row) for row in zip(*columns, strict=True)]


def _without_single_cells(rows: list[list[str]]) -> list[list[str]]:
    """The rows with each cell that is alone in its column, and that follows another one, in the column before it."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    at = len(columns) - 1
    while len(rows) >= _MIN_ROWS_OF_COLUMN and at > 1:
        filled = [number for number, cell in enumerate(columns[at]) if cell]
        if len(filled) == 1 and filled[0] and columns[at - 1][filled[0]]:
            columns[at - 1][filled[0]] += f" {columns[at][filled[0]]}"
            del columns[at]
        at -= 1
    return [list(row) for row in zip(*columns, strict=True)]


def _is_one_row(cells: list[list[str]]) -> bool:
    """Whether printed rows between two rules may be one: some column has one line, and others have more."""
    return any(sum(map(bool, column)) == 1 for column in zip(*cells, strict=True))


def _by_distance(rows: Rows, spans: Spans) -> list[bool]:
    """For each printed row, whether it begins a row of the table, judged by the distance to the row above."""
    # A sign of a formula, such as that of a root, is printed above or below the row that it belongs to.
    parts = _parts(rows, [len(row) for row in rows])
    mains = [at for at in range(len(rows)) if at not in parts]
    whole = {at: [*rows[at]] for at in mains}
    for at, main in parts.items():
        whole[main] += rows[at]
    cells = {at: _cells(sorted(row, key=_left), spans) for at, row in whole.items()}
    drops = {at: rows[before][0].base - rows[at][0].base for before, at in pairwise(mains)}
    tight = {at for at in drops if drops[at] <= LINE_DROP * rows[at][0].size}
    # A row with one cell may be a wrapped line; it does not show how near the rows are.
    near = [pair for pair in pairwise(mains) if pair[1] in tight and min(sum(map(bool, cells[at])) for at in pair) > 1]
    has_wider = len(tight) < len(drops)
    has_loose = has_wider and not _are_rows(whole, near, spans)
    begins = [True] * len(rows)
    filled = 0
    for before, at in pairwise([mains[0], *mains]):
        count = sum(map(bool, cells[at]))
        # If some rows are further apart than lines, the others are lines of one row. One with more cells than the rows
        # above it, as below a heading, begins a row.
        if at != before and has_loose and at in tight and count <= filled:
            begins[at] = False
            filled = max(filled, count)
        elif has_wider and at in tight and count == 1 < filled and _is_wrapped(whole[before], whole[at], spans):
            begins[at] = False
        else:
            filled = count
    for at, main in sorted(parts.items()):
        begins[at] = at < main and begins[main] and (at - 1 not in parts or parts[at - 1] != main)
    for main in {main for at, main in parts.items() if at < main}:
        begins[main] = False
    begins[0] = True
    return begins


def _parts(rows: Rows, counts: Sequence[int]) -> dict[int, int]:
    """Printed rows that are parts of another one because they are nearer to it than lines are, by their number.

    `counts`: the number of cells of each. The fuller of two rows is the whole.
    """
    parts: dict[int, int] = {}
    mains: set[int] = set()
    for at in sorted(range(len(rows)), key=lambda at: (-counts[at], at)):
        near = [
            other
            for other in range(at - _ROWS_NEAR, at + _ROWS_NEAR + 1)
            if other in mains and abs(rows[other][0].base - rows[at][0].base) < _HALF_LINE * rows[at][0].size
        ]
        if near:
            parts[at] = min(near, key=lambda other: _distance(rows[other], rows[at]))
        else:
            mains.add(at)
    return parts


def _are_lines_of_rows(rows: Rows, same: Sequence[int], spans: Spans) -> bool:
    """Whether the printed rows between two rules are rows of their own."""
    return _are_rows({at: rows[at] for at in same}, list(pairwise(same)), spans)


def _distance(row: list[Line], part: list[Line]) -> tuple[bool, float]:
    """How far a part is from a row: a part that touches a cell of the row is nearest."""
    size = part[0].size
    touches = any(
        -_TOUCHES * size < cell.left - line.right < _TOUCHES * size
        or -_TOUCHES * size < line.left - cell.right < _TOUCHES * size
        for line in part
        for cell in row
    )
    return not touches, abs(row[0].base - part[0].base)


def _left(line: Line) -> float:
    return line.left


def _are_rows(rows: Mapping[int, list[Line]], near: Sequence[tuple[int, int]], spans: Spans) -> bool:
    """Whether pairs of rows as near as lines are rows of their own rather than wrapped cells.

    They are if most begin in the same column and share another one, and the next word would have fitted into a cell
    above.
    """
    cells = {at: _by_column(row, spans) for at, row in rows.items()}
    both = [(cells[before], cells[at]) for before, at in near]
    both = [(above, below) for above, below in both if min(above) == min(below) and len(above.keys() & below) > 1]
    if len(both) < _MIN_FULL_ROWS or len(both) < _MOST * len(near):
        return False
    return sum(_has_room(above, below, spans) for above, below in both) >= 0.5 * len(both)


def _is_wrapped(above: list[Line], below: list[Line], spans: Spans) -> bool:
    """Whether the only cell of a row goes on from the cell above, which had no room for its first word."""
    above_cells, below_cells = _by_column(above, spans), _by_column(below, spans)
    return (
        min(below_cells) > 0
        and below_cells.keys() <= above_cells.keys()
        and not (_has_room(above_cells, below_cells, spans))
    )


def _has_room(above: Mapping[int, Line], below: Mapping[int, Line], spans: Spans) -> bool:
    """Whether some cell ended although the first word of the cell below would have fitted into it."""
    return any(
        spans[column][1] - spans[column][0] - (above[column].right - above[column].left)
        > below[column].first_width + 0.5 * below[column].size
        or LEADER.search(above[column].text[-200:])
        for column in above.keys() & below
    )


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


def _by_column(row: Sequence[Line], spans: Spans) -> dict[int, Line]:
    """The first line in each column of a row."""
    found: dict[int, Line] = {}
    for line in sorted(row, key=_left):
        found.setdefault(_column(line, spans), line)
    return found


def _cells(row: Sequence[Line], spans: Spans) -> list[str]:
    cells = [""] * len(spans)
    for line in row:
        place = _column(line, spans)
        cells[place] = f"{cells[place]} {line.text}".strip()
    return cells


def _column(line: Line, spans: Spans) -> int:
    """The first column that a line stands in."""
    return next((number for number, (left, right) in enumerate(spans) if line.left < right and line.right > left), 0)
