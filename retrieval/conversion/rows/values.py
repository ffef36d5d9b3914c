"""Values of a row as text: numbers, lists and nested objects become what a reader would write."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retrieval.conversion.converted import one_line

# Longer lists of numbers, such as vectors, tell a reader nothing.
_MAX_NUMBERS = 32
_MAX_INTEGER_BITS = 1024
_LINE_END = re.compile(r"[^\S\r\n]*[\r\n]\s*")


def is_empty(value: object) -> bool:
    """Whether a value says nothing: null, white space, NaN or infinity, or a list or object of these."""
    match value:
        case None:
            return True
        case str():
            return not value.strip()
        case float():
            return not math.isfinite(value)
        case list():
            return all(map(is_empty, value))
        case dict():
            return all(map(is_empty, value.values()))
    return False


def is_vector(value: object) -> bool:
    """Whether a value is a long list of numbers, or of such lists."""
    if not isinstance(value, list) or not value:
        return False
    numbers = len(value) > _MAX_NUMBERS and all(isinstance(item, int | float) for item in value)
    return numbers or all(map(is_vector, value))


def fields_of(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values that are not empty, those of nested objects under joined names ("address.city")."""
    for name, value in values.items():
        if is_empty(value):
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", item) for inner, item in fields_of(value))
        else:
            yield name, value


def value_text(value: object) -> str:
    """A value in one line. Entries of a list are separated by commas, fields of an object as in "day: Monday"."""
    match value:
        case str():
            return _LINE_END.sub(" ", value.strip())
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(value_text(item) for item in value if not is_empty(item))
        case dict():
            return ", ".join(f"{one_line(name)}: {value_text(item)}" for name, item in fields_of(value))
    return str(value)


def lines_of(fields: Sequence[tuple[str, Any]]) -> str:
    """The fields as lines "name: value". Objects of a list have a line each."""
    lines = []
    for name, value in fields:
        items = value if isinstance(value, list) and any(isinstance(item, dict | list) for item in value) else [value]
        prefix = f"{one_line(name)}: " if name.strip() else ""
        lines += [prefix + value_text(item) for item in items if not is_empty(item)]
    return "\n".join(lines)


def long_text(value: object) -> str:
    """The text of a document, with its own line ends. Entries of a list are paragraphs, fields of an object lines."""
    match value:
        case str():
            return value
        case list():
            return "\n\n".join(long_text(item) for item in value if not is_empty(item))
        case dict():
            return lines_of(list(fields_of(value)))
    return value_text(value)


def metadata_value(value: object) -> Any:
    """A value that a filter can compare: text, a number, true or false, or a list of these."""
    match value:
        case str():
            # A filter in SQLite would compare what stands before U+0000 only.
            return value.replace("\0", "")
        case bool() | float():
            return value
        case int():
            return value if value.bit_length() <= _MAX_INTEGER_BITS else str(value)
        case list():
            return [metadata_value(item) for item in value if not is_empty(item)]
    return value_text(value).replace("\0", "")
