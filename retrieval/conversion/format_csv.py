"""CSV: one document per row, with a header that names the columns.

The column `text` is the document's text; `title`, `id` and `group` are optional. Other columns are appended to the text
as "name: value" lines; without a column `text` these lines are the text.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath

from retrieval.conversion.columns import likely_meant
from retrieval.conversion.converted import SourceRow, SourceRows, decode_utf8, one_line, valid_rows
from retrieval.errors import ConversionError

VERSION = "csv/1"

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_ROWS = 50
_SAMPLE_CHARACTERS = 65536
_KNOWN = ("id", "title", "text", "group")
# The csv module's default limit is 131,072 characters per cell, and an article is longer. The file size is limited.
_MAX_CELL_CHARACTERS = 2**31 - 1


def read_rows(data: bytes, name: str) -> SourceRows:
    """All non-empty rows under the header. The delimiter is detected from the first rows.

    A row without an id is named after the file and the row number ("prices#2" is the first row under the header), a
    row without a title after the file. Raises ConversionError if the file, its header or a row is invalid.
    """
    rows = csv_rows(data, name)
    first = next(rows, None)
    if first is None:
        return SourceRows([])
    names = _column_names(first[2], name)
    documents = ((line, _source_row(names, cells, number, PurePosixPath(name))) for line, number, cells in rows)
    valid = valid_rows(documents, name, "a header, and rows with the same number of cells")
    missing = [known for known in _KNOWN if known not in names]
    notes = (
        f"the column {one!r} became text; did you mean {m!r}?" for one in names if (m := likely_meant(one, missing))
    )
    return SourceRows(valid, tuple(notes))


def _column_names(cells: Sequence[str], file: str) -> list[str]:
    """The names of all columns; those with a meaning are in lower case."""
    names = [one_line(cell) or f"column {number}" for number, cell in enumerate(cells, start=1)]
    names = [name.casefold() if name.casefold() in _KNOWN else name for name in names]
    known = [name for name in names if name in _KNOWN]
    for position, name in enumerate(known):
        if name in known[:position]:
            raise _header_error(f"{file} has the column {name!r} twice")
    if "text" not in known and len(known) == len(names):
        raise _header_error(f"{file} has no column with text, only {' and '.join(known)}")
    return names


def _source_row(names: Sequence[str], cells: Sequence[str], number: int, file: PurePosixPath) -> SourceRow | str:
    """The document of a row, or what is wrong with it."""
    if len(cells) < len(names) or any(cells[len(names) :]):
        return f"{len(cells)} cells under a header of {len(names)}"
    columns = [(name, cell.strip()) for name, cell in zip(names, cells, strict=False)]
    known = {name: cell for name, cell in columns if name in _KNOWN}
    if known.get("text") == "":
        return "'text' is empty"
    others = "\n".join(f"{name}: {cell}" for name, cell in columns if cell and name not in _KNOWN)
    text = "\n\n".join(part for part in (known.get("text"), others) if part)
    if not text:
        return "there is nothing but " + " and ".join(known)
    id_ = known.get("id") or f"{file.with_suffix('')}#{number}"
    title = known.get("title") or file.stem
    group = known.get("group") or id_
    return SourceRow(id_, title, text, group, json.dumps([title, text, group]).encode())


def csv_rows(data: bytes, name: str) -> Iterator[tuple[int, int, list[str]]]:
    """The rows that are not empty, header included: first line, number in a spreadsheet (from 1) and cells.

    The delimiter is detected. Raises ConversionError if the data is no UTF-8 text or a quotation mark does not close.
    """
    text = decode_utf8(data, name)
    # A spreadsheet may declare the delimiter in a line before the header.
    declared = re.match(r"sep=(.)\n", text)
    before = 1 if declared else 0
    body = text[declared.end() :] if declared else text
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    reader = csv.reader(io.StringIO(body), delimiter=declared[1] if declared else _delimiter(body), strict=True)
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
        reader = csv.reader(io.StringIO(text[:_SAMPLE_CHARACTERS]), delimiter=delimiter)
        widths = [len(cells) for cells in islice(reader, _SAMPLE_ROWS) if cells]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return sum(width == widths[0] for width in widths) / len(widths), widths[0]

    return max(_DELIMITERS, key=fitness)


def _header_error(found: str) -> ConversionError:
    return ConversionError(
        found=found,
        expected="one header row, with a column `text` or other columns that make up the text",
        next_step="correct the first row of the file",
    )
