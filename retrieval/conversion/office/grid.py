"""A table with merged cells, as lines of text."""

from __future__ import annotations

from retrieval.conversion.converted import MarkdownWriter


class Grid:
    """Cells by row and column. A merged cell is at each of its places, so that each row can be read alone."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], str] = {}
        self._merged: list[tuple[int, int, int, int]] = []

    def set(self, row: int, column: int, text: str, high: int = 1, wide: int = 1) -> None:
        if not text.strip():
            return
        self._cells[row, column] = text
        if (high, wide) != (1, 1):
            self._merged.append((row, column, high, wide))

    def write(self, writer: MarkdownWriter) -> None:
        """Write the rows. An empty row starts a new table, and empty columns at the edges are left out."""
        writer.end_group()
        rows, columns = sorted({y for y, _ in self._cells}), sorted({x for _, x in self._cells})
        last = rows[0] if rows else 0
        for row in rows:
            if row > last + 1:
                writer.end_group()
            # A merged range may span millions of cells: only columns with text count.
            spans = [one for one in self._merged if one[0] <= row < one[0] + one[2]]
            cells = {x: self._cells[row, x] for x in columns if (row, x) in self._cells}
            for top, left, _, wide in spans:
                cells |= {x: self._cells[top, left] for x in columns if left <= x < left + wide and x not in cells}
            writer.row([cells.get(x, "") for x in range(columns[0], columns[-1] + 1)])
            last = row
        writer.end_group()
