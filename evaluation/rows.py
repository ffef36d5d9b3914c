"""Rows of a data file, JSONL or CSV, whose columns need not all be known.

Names are compared without regard to case, hyphens and spaces. Unknown columns are ignored and listed once per file. One
that is probably a misspelt known one is an error: ignoring it would silently lose data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from evaluation.errors import ItemsError
from retrieval import ConversionError
from retrieval.conversion.columns import likely_meant
from retrieval.conversion.format_csv import csv_rows
from retrieval.regular_files import open_regular

SUFFIXES = (".jsonl", ".csv")
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class RowFormat(Generic[_Model]):
    """What the rows of a file should hold.

    Attributes:
        model: its fields are the known columns.
        expected: of an error: the format in words.
        aliases: other names of columns.
        unused: known columns that nothing uses, for which no other one is taken.
    """

    model: type[_Model]
    expected: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    unused: frozenset[str] = frozenset()

    def column(self, name: str) -> str:
        """The known name of a column, or the name as it is."""
        plain = "_".join(name.casefold().replace("-", " ").split())
        plain = self.aliases.get(plain, plain)
        return plain if plain in self.model.model_fields else name


@dataclass(frozen=True)
class DataFile(Generic[_Model]):
    """The rows of a file, each with its line, and the names of the columns that nothing uses."""

    path: Path
    rows: tuple[tuple[int, _Model], ...]
    ignored: tuple[str, ...]


def split_file(folder: Path, split: str) -> Path:
    """The file of a split, such as `train.jsonl` or `train.csv`; the first of them if neither exists.

    Raises:
        ItemsError: if both exist, or one is no regular file.
    """
    paths = [folder / f"{split}{suffix}" for suffix in SUFFIXES]
    existing = [path for path in paths if path.exists()]
    # It must not count as missing: dev would be cut from train.
    for path in existing:
        if not path.is_file():
            raise ItemsError(
                found=f"{path} is a folder, a pipe, a device or a socket",
                expected="a regular file",
                next_step=f"move {path} away",
            )
    if len(existing) > 1:
        raise ItemsError(
            found=" and ".join(map(str, existing)),
            expected="one file for each of train, dev and test",
            next_step="keep one of them",
        )
    return existing[0] if existing else paths[0]


def read_data_file(path: Path, row_format: RowFormat[_Model], *, create: str) -> DataFile[_Model]:
    """Read and validate all rows of a file; empty lines and rows are skipped.

    `create` is the next step if the file cannot be read.

    Raises:
        ItemsError: if the file cannot be read, a row is malformed, or a column is probably misspelt.
    """
    try:
        with open_regular(path) as file:
            data = file.read()
        rows = _csv_values(data, path) if path.suffix.lower() == ".csv" else _json_values(data, path, row_format)
        ignored: dict[str, None] = {}
        validated = tuple((line, _validated(line, values, path, row_format, ignored)) for line, values in rows)
    except (OSError, UnicodeDecodeError) as error:
        found = f"{path} cannot be read: {error}"
        raise ItemsError(found=found, expected=row_format.expected, next_step=create) from error
    return DataFile(path, validated, tuple(ignored))


def _validated(
    line: int, values: Mapping[str, Any], path: Path, row_format: RowFormat[_Model], ignored: dict[str, None]
) -> _Model:
    """The row as the model. Names of unknown columns are added to `ignored`."""
    known: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in values.items():
        column = row_format.column(name)
        if column not in row_format.model.model_fields:
            unknown.append(name)
        elif column in known:
            raise _error(line, path, f"the column {column} twice", row_format.expected)
        # An empty cell, and null in JSON, are no value.
        elif value is not None:
            known[column] = value
    missing = row_format.model.model_fields.keys() - known.keys() - row_format.unused
    _refuse_misspelt(line, path, unknown, missing, row_format.expected)
    ignored.update(dict.fromkeys(unknown))
    try:
        return row_format.model.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(map(str, first["loc"]))
        problem = f"{location + ': ' if location else ''}{first['msg']}"
        raise _error(line, path, problem, row_format.expected) from error


def _refuse_misspelt(line: int, path: Path, unknown: Iterable[str], missing: Collection[str], expected: str) -> None:
    for name in unknown:
        if meant := likely_meant(name, missing):
            raise ItemsError(
                found=f"line {line} of {path}: the unknown column {name!r}; did you mean {meant!r}?",
                expected=expected,
                next_step=f"rename it to {meant}, or to _{name.lstrip('_')} if it should be ignored",
            )


def _json_values(data: bytes, path: Path, row_format: RowFormat[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    # Not splitlines(): JSON strings may contain U+2028 and other characters that it treats as line breaks.
    for number, line in enumerate(data.decode("utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            raise _error(number, path, f"Invalid JSON: {error}", row_format.expected) from error
        if not isinstance(values, dict):
            raise _error(number, path, "Input should be a JSON object", row_format.expected)
        if not _is_finite(values):
            raise _error(number, path, "a number beyond the largest one", row_format.expected)
        yield number, values


def _is_finite(value: Any) -> bool:
    """Whether no number in a JSON value is infinite, as 1e999 is."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, list) else not isinstance(value, float) or isfinite(value)


def _csv_values(data: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows under the header, as texts; empty cells are None."""
    header: list[str] | None = None
    try:
        for line, _, cells in csv_rows(data, str(path)):
            if header is None:
                header = [cell.strip() for cell in cells]
                if twice := {name for name in header if name and header.count(name) > 1}:
                    raise _error(line, path, f"the column {min(twice)} twice", "a header with one name per column")
                continue
            if len(cells) < len(header) or any(cells[len(header) :]):
                problem = f"{len(cells)} cells under a header of {len(header)}"
                raise _error(line, path, problem, "as many cells in every row as in the header")
            # A column without a name holds nothing that could be known.
            yield line, {n: c.strip() or None for n, c in zip(header, cells, strict=False) if n}
    except ConversionError as error:
        raise ItemsError(found=error.found, expected=error.expected, next_step=error.next_step) from error


def _error(line: int, path: Path, problem: str, expected: str) -> ItemsError:
    return ItemsError(
        found=f"line {line} of {path}: {problem}", expected=expected, next_step=f"correct line {line} of {path}"
    )
