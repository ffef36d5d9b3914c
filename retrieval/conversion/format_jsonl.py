"""JSONL: one document per row. `text` is its text; `id`, `title` and `group` are optional.

Other keys become metadata; in a row without `text` they are the text, as lines of the form "name: value".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from pydantic_core import from_json

from retrieval.conversion.converted import SourceRow, SourceRows, valid_rows
from retrieval.conversion.rows.documents import EmptyRowError, RowReader, UnreadableRowError, refuse_empty
from retrieval.conversion.rows.encoding import decode_rows

VERSION = "jsonl/2"


def read_rows(data: bytes, name: str) -> SourceRows:
    """All rows of a file, without blank lines. A row without an id is named after the file and the line ("docs#2").

    Rows without anything to read are left out with a note. Raises ConversionError for lines that are not JSON objects,
    duplicate ids, and a file whose rows are all empty.
    """
    reader = RowReader(PurePosixPath(name), as_text=False)
    found = valid_rows(_rows(decode_rows(data, name), reader), name, "one JSON object per line")
    refuse_empty(found, reader, name)
    return SourceRows(found, tuple(reader.notes()))


def _rows(text: str, reader: RowReader) -> Iterator[tuple[int, SourceRow | str]]:
    # Not splitlines(): JSON strings may contain U+2028 and other characters that it treats as line breaks.
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if not line:
            continue
        values = _values(line)
        if isinstance(values, str):
            yield number, values
            continue
        try:
            yield number, reader.read(values, number, line.encode())
        except EmptyRowError as empty:
            reader.leave_out(number, str(empty))
        except UnreadableRowError as error:
            yield number, str(error)


def _values(line: str) -> dict[str, Any] | str:
    """The values of a row, or what is wrong with the line."""
    try:
        # Python writes a missing number as NaN.
        values = from_json(line, allow_inf_nan=True)
    except ValueError as error:
        return f"not JSON ({error})"
    return values if isinstance(values, dict) else "not a JSON object"
