"""The header of a CSV file: one name per column, also where a name is missing or given twice, or the header itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from retrieval.conversion.converted import one_line
from retrieval.conversion.rows.naming import KNOWN

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?")
_YEAR = re.compile(r"(?:19|20)\d\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d\b.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
# What stands in rows and not in a header: addresses, amounts, and sentences of some length.
_DATA = re.compile(r"\S*://.*|\S+@\S+\.\w+|[$€£¥]\s?\d.*|\d[\d.,]*\s?[$€£¥]|(?:\S+\s+){4}.*[.!。！]", re.DOTALL)


def has_header(cells: Sequence[str]) -> bool:
    """Whether the first row of a file names its columns.

    Years are names, and so are rising numbers or dates, such as sizes above the prices for each.
    """
    stripped = [cell.strip() for cell in cells]
    if any(cell.casefold() in KNOWN for cell in stripped):
        return True
    if any(_DATA.fullmatch(cell) for cell in stripped):
        return False
    numbers = [float(cell) for cell in stripped if _NUMBER.fullmatch(cell) and not _YEAR.fullmatch(cell)]
    return _may_be_names(numbers) and _may_be_names([cell for cell in stripped if _DATE.fullmatch(cell)])


def _may_be_names(values: Sequence[float] | Sequence[str]) -> bool:
    """Whether there are no such values, or several that rise."""
    rising = len(values) > 1 and all(a < b for a, b in pairwise(values))  # type: ignore[operator]
    return not values or rising


def is_title_row(cell: str) -> bool:
    """Whether the only cell of a row may be a title of the table, and not the header of a single column."""
    return " " in cell.strip() and cell.strip().casefold() not in KNOWN


def column_names(cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of all columns, and those that were given twice. Names with a meaning are in lower case.

    A column without a name is named by its place, and a name that is taken gets a number ("price (2)").
    """
    names: list[str] = []
    twice: list[str] = []
    for place, cell in enumerate(cells, start=1):
        name = one_line(cell) or f"column {place}"
        name = name.casefold() if name.casefold() in KNOWN else name
        if name in names:
            twice.append(name)
            name = next(new for number in range(2, place + 2) if (new := f"{name} ({number})") not in names)
        names.append(name)
    return names, twice


def numeric_columns(rows: Iterable[Sequence[str]], width: int) -> set[int]:
    """The places of columns whose cells are all numbers, so that a filter can compare them as such.

    Numbers with leading zeros, such as postcodes, are text.
    """
    other = set[int]()
    filled = set[int]()
    for cells in rows:
        for place, cell in enumerate(cells[:width]):
            if place not in other and (value := cell.strip()):
                filled.add(place)
                if not _NUMBER.fullmatch(value):
                    other.add(place)
    return filled - other


def number_of(cell: str) -> int | float:
    return float(cell) if "." in cell else int(cell)
