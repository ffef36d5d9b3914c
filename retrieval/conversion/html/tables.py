"""Tables: every cell under its columns, with the text of a spanned cell under each column and row that it covers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retrieval.conversion.html.left_out import LeftOut

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

# As in browsers.
_MAX_COLUMNS = 1000
_MAX_ROWS = 65_534
# Together in one document: places in tables that spanned cells fill, and characters written again there.
MAX_PLACES = 500_000
MAX_REPEATED = 2**20
# A row with blocks in it is page layout rather than a row of data, and is read as blocks.
_HEAVY = "table, h1, h2, h3, h4, h5, h6, p + p"
_LISTS = "ul, ol, dl"
_BLOCKS = f"{_HEAVY}, {_LISTS}"
_LONG_ROW, _LONG_ROW_UNDER_HEADER = 400, 1000
_INTEGER = re.compile(r"\s*\+?(\d+)")


@dataclass(slots=True)
class Budget:
    """What spans may still add to a document."""

    places: int = MAX_PLACES
    characters: int = MAX_REPEATED


@dataclass(slots=True)
class Row:
    """A row of the page: its element, and the cell in each column, as an index of the table's cells."""

    node: LexborNode
    places: dict[int, int]
    is_layout: bool = False


@dataclass(slots=True)
class Table:
    captions: list[LexborNode] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    cells: list[LexborNode] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    columns: list[int] = field(default_factory=list)
    has_rows: bool = False

    def title(self, row: Row) -> LexborNode | None:
        """The cell of a row that stands over the whole table, if no row with columns comes before it."""
        cells = set(row.places.values())
        if self.has_rows or len(cells) > 1 or len(self.columns) == 1:
            return None
        return self.cells[cells.pop()]

    def row_texts(self, row: Row, read: Callable[[LexborNode], str], budget: Budget) -> list[str]:
        """The texts of a row by column. A cell that covers the whole row is written once."""
        self.has_rows = True
        if len(set(row.places.values())) == 1:
            (cell,) = set(row.places.values())
            return [self._text(cell, read, budget)]
        last = max(row.places)
        columns = (column for column in self.columns if column <= last)
        return [self._text(row.places[at], read, budget) if at in row.places else "" for at in columns]

    def _text(self, cell: int, read: Callable[[LexborNode], str], budget: Budget) -> str:
        known = self.texts.get(cell)
        if known is None:
            known = self.texts[cell] = read(self.cells[cell])
            return known
        budget.characters -= len(known)
        return known if budget.characters >= 0 else ""


def read_table(root: LexborNode, left_out: LeftOut, budget: Budget, *, nested: bool) -> Table:
    """The grid of a table. `nested`: it stands deep within other tables."""
    table = Table()
    has_header = (root.attributes.get("role") or "").lower() in {"table", "grid"}
    groups: dict[str, list[tuple[LexborNode, list[LexborNode]]]] = {"thead": [], "tbody": [], "tfoot": []}
    for child in root.iter():
        tag = child.tag or ""
        if left_out.passes_over(child):
            continue
        if tag == "caption":
            table.captions.append(child)
        elif tag in groups:
            rows = [row for row in child.iter() if row.tag == "tr" and not left_out.passes_over(row)]
            groups[tag].append((child, rows))
        elif tag == "tr":
            groups["tbody"].append((child, [child]))
    has_header = has_header or bool(groups["thead"] or table.captions)
    starts: set[int] = set()
    with_blocks: set[int] = set()
    # A browser shows the head first and the foot last, wherever they stand.
    for node, rows in (group for kind in groups.values() for group in kind):
        has_header = _place(rows, table, starts, left_out, budget) or has_header
        if node.css_first(_BLOCKS) is not None:
            with_blocks.update(row.mem_id for row in rows)
    # Only columns in which a cell starts count.
    table.columns = sorted(starts)
    for row in table.rows:
        if len(row.places) > 1:
            row.places = {column: row.places[column] for column in row.places if column in starts}
        row.is_layout = nested or (row.node.mem_id in with_blocks and _is_layout(row.node, has_header))
    return table


def _place(rows: list[LexborNode], table: Table, starts: set[int], left_out: LeftOut, budget: Budget) -> bool:
    """Place the cells of a row group; spans end with it. Returns whether a cell is a header."""
    has_header = False
    # By column: the cell that covers it from above, and the first row that it does not cover.
    covered: dict[int, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        covered = {at: (cell, end) for at, (cell, end) in covered.items() if end > number}
        budget.places -= len(covered)
        if budget.places < 0:
            covered = {}
        places = {at: cell for at, (cell, _) in covered.items()}
        column, has_cells = 0, False
        for cell in _cells(row, left_out):
            while column in places:
                column += 1
            width, height = _spans(cell, len(rows) - number)
            budget.places -= width - 1
            if budget.places < 0:
                width = height = 1
            has_cells, has_header = True, has_header or cell.tag == "th"
            starts.add(column)
            for at in range(column, column + width):
                if at not in places:
                    places[at] = len(table.cells)
                    if height > 1:
                        covered[at] = (len(table.cells), number + height)
            table.cells.append(cell)
            column += width
        if has_cells:
            table.rows.append(Row(row, places))
    return has_header


def _cells(row: LexborNode, left_out: LeftOut) -> Iterator[LexborNode]:
    return (cell for cell in row.iter() if cell.tag in {"td", "th"} and not left_out.passes_over(cell))


def _spans(cell: LexborNode, rows_left: int) -> tuple[int, int]:
    attributes = cell.attributes
    if not attributes or ("colspan" not in attributes and "rowspan" not in attributes):
        return 1, 1
    width = min(max(_integer(attributes.get("colspan"), 1), 1), _MAX_COLUMNS)
    height = min(_integer(attributes.get("rowspan"), 1), _MAX_ROWS)
    # A row span of 0 goes to the end of the group.
    return width, min(height, rows_left) if height else rows_left


def _integer(value: str | None, default: int) -> int:
    found = _INTEGER.match(value or "")
    if found is None:
        return default
    # Longer numbers are above every limit.
    return int(found.group(1)[:9])


def _is_layout(row: LexborNode, has_header: bool) -> bool:
    if row.css_first(_HEAVY) is not None:
        return not has_header or len(row.text()) > _LONG_ROW_UNDER_HEADER
    if row.css_first(_LISTS) is not None:
        return len(row.text()) > (_LONG_ROW_UNDER_HEADER if has_header else _LONG_ROW)
    return False
