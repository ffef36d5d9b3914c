"""JSONL: one document a row, `{"id", "text"}` with an optional `title` and `group`."""

from __future__ import annotations

import codecs

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retrieval.conversion.converted import Row, refuse_lines

VERSION = "jsonl/1"


class _RowModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str = Field(min_length=1)
    text: str = Field(pattern=r"\S")
    title: str | None = None
    group: str | None = None


def read_rows(data: bytes, name: str) -> list[Row]:
    """All rows of a file; blank lines are passed over.

    Raises ConversionError that names every bad line (the first five of them): no JSON, a missing or
    unknown key, an id that stands twice.
    """
    rows: list[Row] = []
    problems: list[str] = []
    first_line: dict[str, int] = {}
    for number, raw in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        line = raw.strip()
        if not line:
            continue
        try:
            row = _RowModel.model_validate_json(line)
        except ValidationError as error:
            problems.append(f"line {number}: {_describe(error)}")
            continue
        if row.id in first_line:
            problems.append(f"line {number}: the id {row.id!r} already stands in line {first_line[row.id]}")
            continue
        first_line[row.id] = number
        rows.append(Row(row.id, row.title or row.id, row.text, row.group or row.id, line))
    refuse_lines(name, problems, 'on each line one JSON object with "id" and "text", and if wanted "title" and "group"')
    return rows


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
