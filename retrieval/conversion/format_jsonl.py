"""JSONL: one document per row, `{"text"}` with an optional `id`, `title` and `group`. Other keys are ignored."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from retrieval.conversion.columns import likely_meant
from retrieval.conversion.converted import SourceRow, SourceRows, valid_rows

VERSION = "jsonl/1"


class _JsonRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    id: str | None = Field(default=None, min_length=1)
    text: str = Field(pattern=r"\S")
    title: str | None = None
    group: str | None = None


_KNOWN = tuple(_JsonRow.model_fields)


def read_rows(data: bytes, name: str) -> SourceRows:
    """All rows of a file, without blank lines. A row without an id is named after the file and the line ("docs#2").

    Raises ConversionError for lines that are not JSON, rows without text, and duplicate ids.
    """
    lines = enumerate(map(bytes.strip, data.removeprefix(codecs.BOM_UTF8).split(b"\n")), start=1)
    # Names of ignored keys, in the order of their first occurrence.
    ignored: dict[str, None] = {}
    rows = ((number, _read_row(line, number, PurePosixPath(name), ignored)) for number, line in lines if line)
    valid = valid_rows(rows, name, 'one JSON object per line with "text", and optionally "id", "title" and "group"')
    return SourceRows(valid, tuple(ignored_note(ignored)))


def ignored_note(ignored: Mapping[str, None]) -> list[str]:
    """One note on all keys that are ignored, with the known name of each that is probably misspelt."""
    named = (f"{name} (did you mean {meant}?)" if (meant := likely_meant(name, _KNOWN)) else name for name in ignored)
    return [f"unused columns: {', '.join(named)}"] if ignored else []


def _read_row(line: bytes, number: int, file: PurePosixPath, ignored: dict[str, None]) -> SourceRow | str:
    try:
        values = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        return f"not JSON ({error})"
    if not isinstance(values, dict):
        return "not a JSON object"
    known: dict[str, Any] = {}
    for key, value in values.items():
        if (name := key.strip().casefold()) in _KNOWN and name not in known:
            known[name] = value
        else:
            ignored[key] = None
    try:
        row = _JsonRow.model_validate(known)
    except ValidationError as error:
        return _describe(error, values)
    id_ = row.id or f"{file.with_suffix('')}#{number}"
    return SourceRow(id_, row.title or id_, row.text, row.group or id_, line)


def _describe(error: ValidationError, values: Mapping[str, Any]) -> str:
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(str(step) for step in problem["loc"])
        match problem["type"]:
            case "missing":
                misspelt = next((name for name in values if likely_meant(name, [key])), None)
                parts.append(f"no key {key!r}" + (f"; did you mean it by {misspelt!r}?" if misspelt else ""))
            case "string_pattern_mismatch" | "string_too_short":
                parts.append(f"{key!r} is empty")
            case _:
                parts.append(f"{key!r}: {problem['msg']}" if key else problem["msg"])
    return ", ".join(parts)
