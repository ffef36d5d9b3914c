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
from itertools import islice
from pathlib import PurePosixPath

from retrieval.conversion.converted import SourceRow, SourceRows, valid_rows
from retrieval.conversion.rows.documents import EmptyRowError, RowReader, UnreadableRowError, refuse_empty
from retrieval.conversion.rows.encoding import decode_rows
from retrieval.conversion.rows.header import column_names, has_header, numeric_columns
from retrieval.errors import ConversionError

VERSION = "csv/2"

_DELIMITERS = (",", ";", "\t", "|")
# For a file with one column, which none of the delimiters separates: a control character that no text holds.
_NO_DELIMITER = "\x1f"
_SAMPLE_ROWS = 50
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
    rows = list(csv_rows(data, name))
    if not rows:
        return SourceRows([])
    reader = RowReader(PurePosixPath(name), as_text=True)
    cells = rows[0][2]
    notes = []
    if has_header(cells):
        names, twice = column_names(cells)
        del rows[0]
        notes += [f"the column {one!r} occurs twice; the second is read as {one + ' (2)'!r}" for one in twice]
    else:
        names, _ = column_names([""] * len(cells))
        notes.append("there is no header, so the columns are named by their place ('column 1')")
    reader.numeric = {names[place] for place in numeric_columns((cells for _, _, cells in rows), len(names))}
    valid = valid_rows(_documents(rows, names, reader), name, "rows with unique ids")
    refuse_empty(valid, reader, name)
    return SourceRows(valid, (*notes, *reader.notes()))


def _documents(rows: Sequence[_Row], names: Sequence[str], reader: RowReader) -> Iterator[tuple[int, SourceRow | str]]:
    # Whether a cell is a number in the metadata depends on the other rows.
    numeric = sorted(reader.numeric)
    for line, number, cells in rows:
        columns = _columns(names, cells, line, reader)
        try:
            yield line, reader.read(columns, number, json.dumps([columns, numeric]).encode())
        except EmptyRowError as empty:
            reader.leave_out(line, str(empty))
        except UnreadableRowError as error:
            yield line, str(error)


def _columns(names: Sequence[str], cells: Sequence[str], line: int, reader: RowReader) -> dict[str, str]:
    """The cells of a row by their names. What is missing is empty; what is too much belongs to a text before it."""
    stripped = [cell.strip() for cell in cells]
    surplus = stripped[len(names) :]
    columns = dict(zip(names, [*stripped, *[""] * len(names)], strict=False))
    count = f"{len(cells)} cells under a header of {len(names)}"
    if any(surplus):
        if names[-1] == "text":
            columns["text"] = ", ".join(stripped[len(names) - 1 :]).rstrip(", ")
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

    The delimiter is detected. Raises ConversionError if the data is no text or a quotation mark does not close.
    """
    text = decode_rows(data, name)
    # A spreadsheet may declare the delimiter in a line before the header.
    declared = re.match(r"sep=(.)\n", text)
    before = 1 if declared else 0
    body = text[declared.end() :] if declared else text
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    delimiter = declared[1] if declared else _delimiter(body)
    reader = csv.reader(io.StringIO(body), delimiter=delimiter, strict=True, skipinitialspace=True)
    line = 1 + before
    try:
        for number, cells in enumerate(reader, start=1):
            if any(cell.strip() for cell in cells):
                yield line, number, cells
            line = reader.line_num + 1 + before
    except csv.Error as error:
        raise ConversionError(
            found=f"{name}, line {line}: a quotation mark does not close properly ({error})",
            expected="cells in double quotation marks, with those inside doubled",
            next_step=f"correct that line of {name}, or save it as CSV again",
        ) from error


def _delimiter(text: str) -> str:
    """The delimiter that gives most rows as many cells as the header; among equals, that with most columns."""

    def fitness(delimiter: str) -> tuple[float, int]:
        reader = csv.reader(io.StringIO(text[:_SAMPLE_CHARACTERS]), delimiter=delimiter, skipinitialspace=True)
        widths = [len(cells) for cells in islice(reader, _SAMPLE_ROWS) if cells]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return sum(width == widths[0] for width in widths) / len(widths), widths[0]

    best = max(_DELIMITERS, key=fitness)
    return best if fitness(best)[1] else _NO_DELIMITER
