"""What a DOCX is read as: headings, list entries, paragraphs and tables, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from retrieval.conversion.converted import MarkdownWriter, one_line
from retrieval.conversion.docx.numbering import BULLET
from retrieval.conversion.raised import in_line, leading_mark

Kind: TypeAlias = Literal["paragraph", "heading", "entry", "continued"]
# A longer "heading" is a paragraph with an outline level.
_MAX_HEADING_CHARACTERS = 200
# A longer text stands in the first of the cells that it spans only, so that a small file stays a small text.
_MAX_REPEATED = 200
_MAX_COLUMNS = 64
# A nested table with more text is read after its row, not within a cell.
_MAX_CELL_TABLE = 300


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. `level` is that of a heading (from 1) or the depth of a list entry (from 0).

    `label` is the number of a heading or entry, or `BULLET`. The text may have the markers of `raised`.
    """

    text: str
    kind: Kind = "paragraph"
    level: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, each with as many cells as it covers columns."""

    rows: list[list[str]]


Block: TypeAlias = Text | Table


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with the number of columns that it covers; `continues` the cell above it."""

    blocks: list[Block]
    columns: int = 1
    continues: bool = False
    continues_left: bool = False


class Rows:
    """Collects the rows of a table. A row with headings or large tables in it is page layout, and is read as blocks."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._rows: list[list[str]] = []
        self._above: dict[int, str] = {}
        self._row: list[Cell] = []
        # The blocks of the only cell so far.
        self._box: list[Block] | None = None
        self._count = 0

    def start_row(self, empty_columns: int = 0) -> None:
        self._row = [Cell([], columns=empty_columns)] if empty_columns > 0 else []

    def add(self, cell: Cell) -> None:
        self._row.append(cell)

    def end_row(self) -> None:
        row, self._row = self._row, []
        self._count += 1
        self._box = row[0].blocks if len(row) == self._count == 1 else None
        if any(map(_is_layout, row)):
            self._end_table()
            for cell in row:
                self._blocks += cell.blocks
            return
        cells: list[str] = []
        for cell in row:
            columns = min(max(cell.columns, 1), _MAX_COLUMNS)
            text = _flat(cell.blocks)
            if cell.continues:
                text = self._above.get(len(cells), text) or text
            elif cell.continues_left and cells:
                text = text or cells[-1]
            repeated = text if len(text) <= _MAX_REPEATED else ""
            for column in range(len(cells), len(cells) + columns):
                self._above[column] = repeated
            cells += ["" if cell.continues and not repeated else text, *[repeated] * (columns - 1)]
            if len(cells) > _MAX_COLUMNS:
                break
        self._rows.append(cells)

    def blocks(self) -> list[Block]:
        """The table; a single cell is a box around its paragraphs."""
        if self._box is not None:
            return self._box
        self._end_table()
        return self._blocks

    def _end_table(self) -> None:
        if self._rows:
            self._blocks.append(Table(self._rows))
            self._rows = []
        self._above = {}


def _is_layout(cell: Cell) -> bool:
    return any(
        block.kind == "heading" if isinstance(block, Text) else _size(block) > _MAX_CELL_TABLE for block in cell.blocks
    )


def _size(table: Table) -> int:
    return sum(len(cell) for row in table.rows for cell in row)


def _flat(blocks: Sequence[Block]) -> str:
    """The text of a cell, each paragraph on a line."""
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Table):
            rows = (", ".join(cell for cell in row if cell) for row in block.rows)
            lines.append("; ".join(row for row in rows if row))
        else:
            lines.append(f"{block.label} {block.text}" if block.label else block.text)
    return "\n".join(line for line in lines if line.strip())


def write(writer: MarkdownWriter, blocks: Iterable[Block]) -> None:
    """Write the blocks of a document, with raised and lowered text as `raised` says."""
    blocks = list(blocks)
    marks = {leading_mark(block.text) for block in blocks if isinstance(block, Text)} - {""}
    in_list = False
    for block in blocks:
        if isinstance(block, Table):
            writer.end_group()
            for row in block.rows:
                writer.row([in_line(cell, marks) for cell in row])
            writer.end_group()
            in_list = False
            continue
        text = "\n".join(filter(None, map(one_line, in_line(block.text, marks).split("\n"))))
        if not text:
            continue
        labelled = one_line(f"{block.label} {text}")
        if block.kind == "heading" and len(labelled) <= _MAX_HEADING_CHARACTERS:
            writer.heading(block.level, labelled.removeprefix(f"{BULLET} "))
        elif block.kind == "entry" and block.label:
            writer.entry(text, block.level, marker="- " if block.label == BULLET else f"{one_line(block.label)} ")
        elif block.kind in {"entry", "continued"} and in_list:
            writer.entry(text, block.level, continued=True)
        else:
            writer.paragraph(text if not block.label else labelled)
        in_list = block.kind in {"entry", "continued"} and (in_list or bool(block.label))
