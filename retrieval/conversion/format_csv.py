"""CSV: one document per row, with a header that names the columns.

The column `text` is the document's text; `title`, `id` and `group` are optional. Other columns are appended to the text
as "name: value" lines, and are metadata; without a column `text` these lines are the text.
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

from retrieval.conversion.converted import SourceRow, SourceRows, valid_rows
from retrieval.conversion.rows.documents import EmptyRowError, RowReader, UnreadableRowError, refuse_empty
from retrieval.conversion.rows.encoding import decode_rows
from retrieval.conversion.rows.header import column_names, has_header, is_title_row, numeric_columns
from retrieval.errors import ConversionError

VERSION = "csv/2"

_DELIMITERS = (",", ";", "\t", "|")
# For a file with one column, which none of the delimiters separates: a control character that no text holds.
_NO_DELIMITER = "\x1f"
_SAMPLE_ROWS = 50
# A line above the header counts as a title only if this many regular rows follow, the header included.
_ROWS_UNDER_TITLE = 2
_SAMPLE_CHARACTERS = 65536
# The csv module's default limit is 131,072 characters per cell, and an article is longer. The file size is limited.
_MAX_CELL_CHARACTERS = 2**31 - 1

_Row = tuple[int, int, list[str]]


def read_rows(data: bytes, name: str) -> SourceRows:
    """All non-empty rows under the header. The delimiter is detected from the first rows.

    A row without an id is named after the file and the row number ("prices#2" is the first row under the header). Rows
    with too few or too many cells are read with a note, rows without anything to read are left out with a note. Raises
    ConversionError if the file is invalid, an id occurs twice, or all rows are empty.
    """
    return _read(_dialect_of(decode_rows(data, name)), name)


def read_tab_rows(data: bytes, name: str) -> SourceRows:
    """`read_rows` of a file whose cells are separated by tabs, as its suffix says."""
    return _read(_Dialect(decode_rows(data, name), 0, "\t", spaced=False), name)


def _read(dialect: _Dialect, name: str) -> SourceRows:
    rows = list(dialect.rows(name))
    if not rows:
        return SourceRows([])
    reader = RowReader(PurePosixPath(name), as_text=True)
    notes = []
    if _has_title(rows):
        notes.append(f"line {rows[0][0]}: a title above the header was left out")
        del rows[0]
    cells = rows[0][2]
    if has_header(cells):
        names, twice = column_names(cells)
        del rows[0]
        notes += [f"the column {one!r} occurs twice; the second is read as {one + ' (2)'!r}" for one in twice]
    else:
        names, _ = column_names([""] * len(cells))
        notes.append("there is no header, so the columns are named by their place ('column 1')")
    reader.numeric = {names[place] for place in numeric_columns((cells for _, _, cells in rows), len(names))}
    valid = valid_rows(_documents(rows, names, reader, dialect.separator), name, "rows with unique ids")
    refuse_empty(valid, reader, name)
    return SourceRows(valid, (*notes, *reader.notes()))


def _has_title(rows: Sequence[_Row]) -> bool:
    """Whether the first row has one cell, and the next ones have several."""
    first, *others = ([cell for cell in cells if cell.strip()] for _, _, cells in rows[: _ROWS_UNDER_TITLE + 1])
    wide = [cells for cells in others if len(cells) > 1]
    return len(wide) == _ROWS_UNDER_TITLE and len(first) == 1 and is_title_row(first[0])


def _documents(
    rows: Sequence[_Row], names: Sequence[str], reader: RowReader, separator: str
) -> Iterator[tuple[int, SourceRow | str]]:
    # Whether a cell is a number in the metadata depends on the other rows.
    numeric = sorted(reader.numeric)
    for line, number, cells in rows:
        columns = _columns(names, cells, line, reader, separator)
        try:
            yield line, reader.read(columns, number, json.dumps([columns, numeric]).encode())
        except EmptyRowError as empty:
            reader.leave_out(line, str(empty))
        except UnreadableRowError as error:
            yield line, str(error)


def _columns(
    names: Sequence[str], cells: Sequence[str], line: int, reader: RowReader, separator: str
) -> dict[str, str]:
    """The cells of a row by their names. What is missing is empty; what is too much belongs to a text before it."""
    stripped = [cell.strip() for cell in cells]
    surplus = stripped[len(names) :]
    columns = dict(zip(names, [*stripped, *[""] * len(names)], strict=False))
    count = f"{len(cells)} cells under a header of {len(names)}"
    if any(surplus):
        if names[-1] == "text":
            columns["text"] = separator.join(cells[len(names) - 1 :]).strip().rstrip(separator)
            reader.remark(line, f"{count}; they were read as one text")
        else:
            extra = {f"column {place}": cell for place, cell in enumerate(surplus, start=len(names) + 1) if cell}
            columns |= {name: cell for name, cell in extra.items() if name not in columns}
            reader.remark(line, f"{count}; those beyond it were read as 'column {len(names) + 1}'")
    elif len(cells) < len(names):
        reader.remark(line, f"{count}; the others were read as empty")
    return columns


def csv_rows(data: bytes, name: str) -> Iterator[_Row]:
    """The rows that are not empty, header included: first line, number in a spreadsheet (from 1) and cells.

    The delimiter is detected. Raises ConversionError if the data is not text or a quotation mark does not close.
    """
    return _dialect_of(decode_rows(data, name)).rows(name)


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How the cells of a text are separated.

    Attributes:
        body: the text without a line that declares the delimiter.
        before: the number of lines before the body.
        spaced: spaces after a delimiter do not belong to the cell, as a quotation mark may follow them.
    """

    body: str
    before: int
    delimiter: str
    spaced: bool

    def rows(self, name: str) -> Iterator[_Row]:
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
        reader = csv.reader(io.StringIO(self.body), delimiter=self.delimiter, strict=True, skipinitialspace=self.spaced)
        line = 1 + self.before
        try:
            for number, cells in enumerate(reader, start=1):
                if any(cell.strip() for cell in cells):
                    yield line, number, cells
                line = reader.line_num + 1 + self.before
        except csv.Error as error:
            raise ConversionError(
                found=f"{name}, line {line}: a quotation mark does not close properly ({error})",
                expected="cells in double quotation marks, with those inside doubled",
                next_step=f"correct that line of {name}, or save it as CSV again",
            ) from error

    @property
    def separator(self) -> str:
        """What stood between two cells."""
        return f"{self.delimiter} " if self.spaced else self.delimiter


def _dialect_of(text: str) -> _Dialect:
    # A spreadsheet may declare the delimiter in a line before the header.
    declared = re.match(r"sep=(.)\n", text)
    body = text[declared.end() :] if declared else text
    delimiter = declared[1] if declared else _delimiter(body)
    spaced = re.search(rf'{re.escape(delimiter)} +"', body[:_SAMPLE_CHARACTERS]) is not None
    return _Dialect(body, 1 if declared else 0, delimiter, spaced)


def _delimiter(text: str) -> str:
    """The delimiter that gives most rows as many cells as the header; among equals, that with most columns.

    If the first row has one cell only, it may be a title above the header.
    """
    widths = {one: _widths(text, one) for one in _DELIMITERS}

    def fitness(delimiter: str, first: int = 0) -> tuple[float, int]:
        found = widths[delimiter][first:]
        if not found or found[0] < 2:
            return 0.0, 0
        return sum(width == found[0] for width in found) / len(found), found[0]

    best = max(_DELIMITERS, key=fitness)
    if fitness(best)[1]:
        return best
    under_title = max(_DELIMITERS, key=lambda one: fitness(one, 1))
    regular = fitness(under_title, 1)[0] == 1 and len(widths[under_title]) > _ROWS_UNDER_TITLE
    return under_title if regular and is_title_row(text.split("\n", 1)[0]) else _NO_DELIMITER


def _widths(text: str, delimiter: str) -> list[int]:
    reader = csv.reader(io.StringIO(text[:_SAMPLE_CHARACTERS]), delimiter=delimiter, skipinitialspace=True)
    return [len(cells) for cells in islice(reader, _SAMPLE_ROWS) if any(cell.strip() for cell in cells)]
