"""JSONL: one document per row, `{"id", "text"}` with an optional `title` and `group`."""

from __future__ import annotations

import codecs

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retrieval.conversion.converted import SourceRow, valid_rows

VERSION = "jsonl/1"


class _JsonRow(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str = Field(min_length=1)
    text: str = Field(pattern=r"\S")
    title: str | None = None
    group: str | None = None


def read_rows(data: bytes, name: str) -> list[SourceRow]:
    """All rows of a file, without blank lines.

    Raises ConversionError for lines that are not JSON, missing or unknown keys, and duplicate ids.
    """
    lines = enumerate(map(bytes.strip, data.removeprefix(codecs.BOM_UTF8).split(b"\n")), start=1)
    rows = ((number, _read_row(line)) for number, line in lines if line)
    return valid_rows(rows, name, 'one JSON object per line with "id" and "text", and optionally "title" and "group"')


def _read_row(line: bytes) -> SourceRow | str:
    try:
        row = _JsonRow.model_validate_json(line)
    except ValidationError as error:
        return _describe(error)
    return SourceRow(row.id, row.title or row.id, row.text, row.group or row.id, line)


def _describe(error: ValidationError) -> str:
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(str(step) for step in problem["loc"])
        match problem["type"]:
            case "json_invalid":
                parts.append(f"not JSON ({problem['msg'].removeprefix('Invalid JSON: ')})")
            case "extra_forbidden":
                parts.append(f"unknown key {key!r}")
            case "missing":
                parts.append(f"no key {key!r}")
            case "string_pattern_mismatch" | "string_too_short":
                parts.append(f"{key!r} is empty")
            case _:
                parts.append(f"{key!r}: {problem['msg']}" if key else problem["msg"])
    return ", ".join(parts)
