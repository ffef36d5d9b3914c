"""Tables of AsciiDoc."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from retrieval.conversion.converted import MarkdownWriter
from retrieval.conversion.html.tables import MAX_PLACES
from retrieval.conversion.office.grid import Grid

# Before a cell: how often it is repeated, or how many columns and rows it covers, its alignment and style.
_CELL = re.compile(
    r"(?:(?P<wide>\d{1,4})?(?:\.(?P<high>\d{1,4}))?(?P<kind>[+*]))?(?:[<^>](?:\.[<^>])?|\.[<^>])?(?P<style>[adehlmsv])?"
)
# The word right before a separator, with white space before it: "Chad|" does not end with a style.
_LAST_WORD = re.compile(r"(?<=\s)\S+\Z")
_LONGEST_WORD = 20
_COLUMNS = re.compile(r"cols=(?:\"([^\"]*)\"|'([^']*)'|([^,\s]+))")
_FORMAT = re.compile(r"format=[\"']?(\w+)")
_SEPARATOR = re.compile(r"separator=(?:\"([^\"]+)\"|(\S))")
_FORMATS = {",": "csv", ":": "dsv"}
_DELIMITERS = {"csv": ",", "tsv": "\t", "dsv": ":"}
_BLOCKS = "a"
_MOST = 1000


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    high: int = 1
    wide: int = 1
    style: str = ""


def write_table(
    lines: Sequence[str],
    style: str,
    separator: str,
    text: Callable[[str], str],
    blocks: Callable[[str], str],
    writer: MarkdownWriter,
) -> None:
    """Write the rows of a table.

    Args:
        lines: those between its marks.
        style: the attributes before it, such as `cols="1,2"`.
        separator: the character of its marks: a bar, or a comma or colon for tables of values.
        text: the text of a cell without markup.
        blocks: the same of a cell that holds lists, code or other blocks.
        writer: gets a row for each row.
    """
    lines = [line for line in lines if not line.startswith("//") or line.startswith("///")]
    named = _FORMAT.search(style)
    values = _DELIMITERS.get(named[1] if named else _FORMATS.get(separator, ""))
    if chosen := _SEPARATOR.search(style):
        separator = "\t" if chosen[1] == "\\t" else (chosen[1] or chosen[2])[0]
        values = values and separator
    if values:
        writer.end_group()
        for record in _values(lines, values):
            writer.row([text(value) for value in record])
        writer.end_group()
        return
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    styles = _columns(style)
    in_first = sum(cell.wide for cell in islice(_cells(lines[first : first + 1], separator), _MOST))
    columns = min(max(1, len(styles) or in_first), _MOST)
    grid, taken, place = Grid(), set[tuple[int, int]](), 0
    for cell in islice(_cells(lines, separator), MAX_PLACES):
        while (place // columns, place % columns) in taken:
            place += 1
        row, column = divmod(place, columns)
        high, wide = cell.high, min(cell.wide, columns - column)
        if len(taken) + high * wide > MAX_PLACES:
            high = wide = 1
        taken |= {(row + y, column + x) for y in range(high) for x in range(wide)}
        has_blocks = (cell.style or (styles[column] if styles else "")) == _BLOCKS
        grid.set(row, column, blocks(cell.text) if has_blocks else text(cell.text), high, wide)
        place += wide
    grid.write(writer)


def _values(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The rows of a table of values. A value in quotes may go on in the next line."""
    try:
        return list(csv.reader([f"{line}\n" for line in lines], delimiter=delimiter))
    except csv.Error:
        # As for a quote that is never closed before an endless text.
        return [line.split(delimiter) for line in lines]


def _columns(style: str) -> list[str]:
    """The style of each column that the attributes name; none if they name no columns."""
    found = _COLUMNS.search(style)
    if found is None:
        return []
    named = next(filter(None, found.groups()), "").strip()
    if named.isdecimal():
        return [""] * min(int(named[:4]), _MOST)
    styles: list[str] = []
    for part in re.split("[,;]", named):
        times, _, column = part.strip().rpartition("*")
        last = column[-1:] if column[-1:].isalpha() else ""
        styles += [last] * (min(int(times), _MOST) if re.fullmatch(r"\d{1,4}", times) else 1)
    return styles[:_MOST]


def _cells(lines: Sequence[str], separator: str) -> Iterator[_Cell]:
    """The text of each cell, with the rows and columns that it covers."""
    mark = re.escape(separator)
    parts = re.split(rf"(?<!\\){mark}", "\n".join(lines))
    about = _about_next(f"\n{parts[0]}")
    for number, part in enumerate(parts[1:], 1):
        # Characters right before a separator, as `2+` in `2+|wide`, set the span of the cell behind it.
        following = _about_next(part) if number < len(parts) - 1 else None
        content = part[: len(part) - len(following[0])] if following else part
        content = content.replace(f"\\{separator}", separator)
        wide, high, kind, style = about.group("wide", "high", "kind", "style") if about else (None,) * 4
        count = min(int(wide or 1), _MOST)
        if kind == "*":
            yield from [_Cell(content, style=style or "")] * count
        else:
            yield _Cell(content, min(int(high or 1), _MOST), count if kind else 1, style or "")
        about = following


def _about_next(part: str) -> re.Match[str] | None:
    """The last word before a separator if it is about the cell behind it."""
    word = _LAST_WORD.search(part, max(0, len(part) - _LONGEST_WORD))
    return _CELL.fullmatch(word[0]) if word else None
