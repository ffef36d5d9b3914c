"""CSV: one document a row, under a header that names the columns.

A column `text` is the document's text, and `title`, `id` and `group` are what they say; what stands in other columns
follows the text as "name: value" lines. Without a column `text` these lines are the text.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from retrieval.conversion.converted import Row, decode_utf8, one_line, refuse_lines
from retrieval.errors import ConversionError

VERSION = "csv/1"

_DELIMITERS = (",", ";", "\t", "|")
_ROWS_TRIED = 50
_CHARACTERS_TRIED = 65536
_KNOWN = ("id", "title", "text", "group")
# The module's own limit is 131,072 characters a cell, and an article is longer; the size of the whole file is limited.
_LONGEST_CELL = 2**31 - 1  # characters
_EXPECTED = "a header, and under it rows of as many cells"


@dataclass(frozen=True, slots=True)
class _Record:
    """One row of cells, the line it begins in, and its number, from 1, as a spreadsheet shows it."""

    cells: list[str]
    line: int
    number: int


def read_rows(data: bytes, name: str) -> list[Row]:
    """All rows under the header; empty ones are passed over. The delimiter is found from the first rows.

    A row without an id of its own is called after the file and the row's number ("prices#2" is the first
    one under the header), one without a title after the file.

    Raises ConversionError for binary data, other encodings than UTF-8, quotation marks that do not close,
    a header that holds no text or a name twice, and, naming the first five bad lines, for rows of another
    length than the header, an empty text, and an id that stands twice.
    """
    records = _records(decode_utf8(data, name), name)
    first = next(records, None)
    if first is None:
        return []
    header = _Header.read(first.cells, name)
    rows: list[Row] = []
    problems: list[str] = []
    first_line: dict[str, int] = {}
    for record in records:
        found = header.row(record)
        if isinstance(found, str):
            problems.append(f"line {record.line}: {found}")
        elif found.id in first_line:
            problems.append(f"line {record.line}: the id {found.id!r} already stands in line {first_line[found.id]}")
        else:
            first_line[found.id] = record.line
            rows.append(found)
    refuse_lines(name, problems, _EXPECTED)
    return rows


@dataclass(frozen=True, slots=True)
class _Header:
    """The names of the columns, and where those with a meaning of their own stand."""

    file: PurePosixPath
    names: tuple[str, ...]
    known: dict[str, int]
    others: tuple[int, ...]

    @classmethod
    def read(cls, cells: Sequence[str], file: str) -> _Header:
        names = tuple(one_line(cell) or f"column {number}" for number, cell in enumerate(cells, start=1))
        known: dict[str, int] = {}
        for position, cell in enumerate(names):
            key = cell.casefold()
            if key in _KNOWN and key in known:
                raise _bad_header(f"{file} has the column {key!r} twice")
            if key in _KNOWN:
                known[key] = position
        others = tuple(position for position in range(len(names)) if position not in known.values())
        if "text" not in known and not others:
            raise _bad_header(f"{file} has no column with text, only {' and '.join(known)}")
        return cls(PurePosixPath(file), names, known, others)

    def row(self, record: _Record) -> Row | str:
        """The document of a row, or what is wrong with it."""
        cells = record.cells
        if len(cells) < len(self.names) or any(cells[len(self.names) :]):
            return f"{len(cells)} cells under a header of {len(self.names)}"
        told = "\n".join(f"{self.names[at]}: {cells[at].strip()}" for at in self.others if cells[at].strip())
        if "text" in self.known and not self._cell(cells, "text"):
            return "'text' is empty"
        text = "\n\n".join(part for part in (self._cell(cells, "text"), told) if part)
        if not text:
            return "there is nothing but " + " and ".join(self.known)
        name = self._cell(cells, "id") or f"{self.file.with_suffix('')}#{record.number}"
        title = self._cell(cells, "title") or self.file.stem
        group = self._cell(cells, "group") or name
        return Row(name, title, text, group, json.dumps([title, text, group]).encode())

    def _cell(self, cells: Sequence[str], key: str) -> str:
        return cells[self.known[key]].strip() if key in self.known else ""


def _records(text: str, name: str) -> Iterator[_Record]:
    """The rows in which something stands."""
    # A spreadsheet's own way to name the delimiter, in a line before the header.
    declared = re.match(r"sep=(.)\n", text)
    body = text[declared.end() :] if declared is not None else text
    skipped = 1 if declared is not None else 0
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(io.StringIO(body), delimiter=declared[1] if declared else _delimiter(body), strict=True)
    started, number = 1, 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ConversionError(
                found=f"{name}, line {started + skipped}: a quotation mark does not close properly ({error})",
                expected="cells in double quotation marks, with those inside doubled",
                next_step=f"mend that line of {name}, or save it as CSV again",
            ) from error
        if cells is None:
            return
        number += 1
        if any(cell.strip() for cell in cells):
            yield _Record(cells, started + skipped, number)
        started = reader.line_num + 1


def _delimiter(text: str) -> str:
    """The one that most rows have as often as the header has, and of several such the one with most columns."""

    def fitness(delimiter: str) -> tuple[float, int]:
        reader = csv.reader(io.StringIO(text[:_CHARACTERS_TRIED]), delimiter=delimiter)
        widths = [len(cells) for cells in islice(reader, _ROWS_TRIED) if cells]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return sum(width == widths[0] for width in widths) / len(widths), widths[0]

    return max(_DELIMITERS, key=fitness)


def _bad_header(found: str) -> ConversionError:
    return ConversionError(
        found=found,
        expected="one header row, with a column `text` or columns to make a text of",
        next_step="mend the first row of the file",
    )
