"""Tables of AsciiDoc."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from retrieval.conversion.converted import MarkdownWriter
from retrieval.conversion.html.tables import MAX_PLACES
from retrieval.conversion.office.grid import Grid

# Before a cell: how often it is repeated, or how many columns and rows it covers, its alignment and style.
_CELL = re.compile(r"(?:(?P<wide>\d+)?(?:\.(?P<high>\d+))?(?P<kind>[+*]))?[<^>]?(?:\.[<^>])?[adehlmsv]?$")
_COLUMNS = re.compile(r"cols=(?:\"([^\"]*)\"|(\d+))")
_FORMATS = {",": ",", ":": ":"}
_MOST = 1000

_Cell = tuple[str, int, int]


def write_table(
    lines: Sequence[str], style: str, separator: str, text: Callable[[str], str], writer: MarkdownWriter
) -> None:
    """Write the rows of a table.

    Args:
        lines: those between its marks.
        style: the attributes before it, such as `cols="1,2"`.
        separator: the character of its marks: a bar, or a comma or colon for tables of values.
        text: the text of a cell without markup.
        writer: gets a row for each row.
    """
    if separator in _FORMATS or "format=csv" in style:
        for values in csv.reader(lines, delimiter=_FORMATS.get(separator, ",")):
            writer.row([text(value) for value in values])
        writer.end_group()
        return
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    columns = max(1, _columns(style) or len(list(islice(_cells(lines[first : first + 1], separator), _MOST))))
    grid, taken, place = Grid(), set[tuple[int, int]](), 0
    for content, high, wide in islice(_cells(lines, separator), MAX_PLACES):
        while (place // columns, place % columns) in taken:
            place += 1
        row, column = divmod(place, columns)
        wide = min(wide, columns - column)
        if len(taken) + high * wide > MAX_PLACES:
            high = wide = 1
        taken |= {(row + y, column + x) for y in range(high) for x in range(wide)}
        grid.set(row, column, text(content), high, wide)
        place += wide
    grid.write(writer)


def _columns(style: str) -> int:
    """How many columns the attributes name; 0 if none."""
    found = _COLUMNS.search(style)
    if found is None:
        return 0
    if found[2]:
        return min(int(found[2]), _MOST)
    parts = [part.strip() for part in found[1].split(",")]
    return min(sum(int(part.split("*")[0]) if re.match(r"\d{1,3}\*", part) else 1 for part in parts), _MOST)


def _cells(lines: Sequence[str], separator: str) -> Iterator[_Cell]:
    """The text of each cell, with the rows and columns that it covers."""
    parts = re.split(rf"(?<!\\)\{separator}", "\n".join(lines))
    before = parts[0] if parts else ""
    for number, part in enumerate(parts[1:], 1):
        found = _CELL.search(before.rsplit(None, 1)[-1] if before.strip() and not before[-1:].isspace() else "")
        wide, high, kind = (found["wide"], found["high"], found["kind"]) if found else (None, None, None)
        content = part
        if number < len(parts) - 1:
            # What stands right before the next separator is about the next cell.
            following = _CELL.search(part.rsplit(None, 1)[-1] if part.strip() and not part[-1:].isspace() else "")
            if following and following[0]:
                content = part[: len(part) - len(following[0])]
        before = part
        count = min(int(wide or 1), _MOST)
        if kind == "*":
            for _ in range(count):
                yield content, 1, 1
        else:
            yield content, min(int(high or 1), _MOST), count if kind else 1
