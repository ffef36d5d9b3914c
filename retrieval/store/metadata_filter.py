"""Metadata filters as SQL conditions. Keys and values are bound parameters, never part of the statement.

    {"lang": "en"}                          equal
    {"tag": ["a", "b"]}                     any of these, as {"tag": {"$in": ["a", "b"]}}
    {"year": {"$gte": 2020, "$lt": 2024}}   all of these
    {"$or": [{"lang": "en"}, {"$not": {"year": {"$lt": 2000}}}]}

Operators are $eq, $ne, $in, $nin, $gt, $gte, $lt, $lte, $exists and $not on a key, and $and, $or and $not on whole
filters. Types are distinct: 1 equals 1.0, but neither "1" nor true. Text is ordered by code point, numbers by value. A
list in the metadata matches if one of its elements does. A missing key equals null, so $ne and $nin match it. A dot in
a key has no special meaning.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retrieval.errors import FilterError

# SQLite's parser stack has 100 entries, and each level here needs several.
_MAX_DEPTH = 10
_MAX_PARAMETERS = 500
_RANGES = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_KEY_OPERATORS = ("$eq", "$ne", "$in", "$nin", *_RANGES, "$exists", "$not")
_WHOLE_OPERATORS = ("$and", "$or", "$not")
_ORDERED = {"text": "= 'text'", "number": "IN ('integer', 'real')"}


@dataclass(frozen=True, slots=True)
class Condition:
    """A WHERE expression and the values of its placeholders in order."""

    sql: str
    parameters: tuple[str, ...] = ()


EVERYTHING = Condition("1")


def parse_filter(given: object) -> Condition:
    """The condition that matches the JSON object in the column `metadata`.

    Raises FilterError if the filter uses anything that the module docstring does not describe.
    """
    condition = _whole(given, 0)
    if len(condition.parameters) > _MAX_PARAMETERS:
        raise _invalid(
            "a filter with too many conditions", f"at most {_MAX_PARAMETERS // 5}; use $in for many values of one key"
        )
    return condition


def _whole(given: object, depth: int) -> Condition:
    _check_depth(depth)
    if not isinstance(given, Mapping):
        raise _invalid(f"a filter of type {type(given).__name__}", 'a dict such as {"lang": "en"}')
    return _all_of([_entry(key, value, depth) for key, value in given.items()])


def _entry(key: object, value: object, depth: int) -> Condition:
    if not isinstance(key, str):
        raise _invalid(f"the key {key!r} in a filter", "keys that are text")
    if not key.startswith("$"):
        return _key(key, value, depth)
    if key == "$not":
        return _not(_whole(value, depth + 1))
    if key not in _WHOLE_OPERATORS:
        raise _invalid(f"the operator {key!r} instead of a key", f"a key, or one of {', '.join(_WHOLE_OPERATORS)}")
    if not isinstance(value, list | tuple):
        raise _invalid(f"{key} with a {type(value).__name__}", f'a list of filters, {{"{key}": [...]}}')
    parts = [_whole(one, depth + 1) for one in value]
    return _all_of(parts) if key == "$and" else _any_of(parts)


def _key(key: str, value: object, depth: int) -> Condition:
    _check_depth(depth)
    if not isinstance(value, Mapping):
        return _equal_to_one(key, value if isinstance(value, list | tuple) else [value])
    if not value:
        raise _invalid(f"no operator for {key!r}", f"one of {', '.join(_KEY_OPERATORS)}")
    return _all_of([_operator(key, name, operand, depth) for name, operand in value.items()])


def _operator(key: str, name: object, operand: object, depth: int) -> Condition:
    match name:
        case "$eq":
            return _equal_to_one(key, [operand])
        case "$ne":
            return _not(_equal_to_one(key, [operand]))
        case "$in" | "$nin":
            if not isinstance(operand, list | tuple):
                raise _invalid(f"{name} with a {type(operand).__name__} for {key!r}", "a list of values")
            condition = _equal_to_one(key, operand)
            return condition if name == "$in" else _not(condition)
        case "$gt" | "$gte" | "$lt" | "$lte":
            type_ = _json_type(key, operand)
            if type_ not in _ORDERED:
                raise _invalid(f"{name} with {operand!r} for {key!r}", "a number or text; nothing else is ordered")
            return _matches(key, _compared(type_, f"{_RANGES[name]} json_extract(?, '$')"), operand)
        case "$exists":
            if not isinstance(operand, bool):
                raise _invalid(f"$exists with {operand!r} for {key!r}", "true or false")
            return _exists(key) if operand else _not(_exists(key))
        case "$not":
            return _not(_key(key, operand, depth + 1))
    raise _invalid(f"the operator {name!r} for {key!r}", f"one of {', '.join(_KEY_OPERATORS)}")


def _equal_to_one(key: str, values: Sequence[object]) -> Condition:
    by_type: dict[str, list[object]] = {}
    for value in values:
        by_type.setdefault(_json_type(key, value), []).append(value)
    parts = []
    for type_, operands in by_type.items():
        if type_ in _ORDERED:
            parts.append(_matches(key, _compared(type_, "IN (SELECT value FROM json_each(?))"), operands))
        else:
            parts.append(_matches(key, f"ROW.type = '{type_}'"))
        if type_ == "null":
            parts.append(_not(_exists(key)))
    return _any_of(parts)


def _exists(key: str) -> Condition:
    return Condition("EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ?)", (_text(key),))


def _matches(key: str, test: str, *operand: object) -> Condition:
    """The value of a key, or an element of it if it is a list, passes a test of ROW, a row of json_each."""
    own, items = test.replace("ROW", "field"), test.replace("ROW", "item")
    sql = (
        f"EXISTS (SELECT 1 FROM json_each(metadata) AS field WHERE field.key = ? AND ({own} "
        f"OR field.type = 'array' AND EXISTS (SELECT 1 FROM json_each(field.value) AS item WHERE {items})))"
    )
    # As JSON: SQLite then parses both sides of a comparison identically.
    values = tuple(json.dumps(one, ensure_ascii=False) for one in operand)
    return Condition(sql, (_text(key), *values, *values))


def _compared(type_: str, comparison: str) -> str:
    return f"(ROW.type {_ORDERED[type_]} AND ROW.value {comparison})"


def _json_type(key: str, value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            _text(value)
            return "text"
        case int() if value.bit_length() <= 1024:
            return "number"
        case float() if math.isfinite(value):
            return "number"
    raise _invalid(f"the value {value!r} for {key!r}", "text, a finite number, true, false or null, or a list of these")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _invalid(f"{value!r} in a filter", "text without unpaired surrogates") from error
    # SQLite's JSON functions ignore the text after it, and metadata cannot contain it.
    if "\0" in value:
        raise _invalid(f"{value!r} in a filter", "text without the character U+0000")
    return value


def _all_of(parts: Iterable[Condition]) -> Condition:
    return _joined(parts, " AND ", EVERYTHING)


def _any_of(parts: Iterable[Condition]) -> Condition:
    return _joined(parts, " OR ", Condition("0"))


def _joined(parts: Iterable[Condition], word: str, empty: Condition) -> Condition:
    # SQLite limits the size of an expression, so each condition occurs once in it.
    distinct = list(dict.fromkeys(parts))
    if len(distinct) < 2:
        return distinct[0] if distinct else empty
    sql = word.join(part.sql for part in distinct)
    return Condition(f"({sql})", tuple(value for part in distinct for value in part.parameters))


def _not(condition: Condition) -> Condition:
    return Condition(f"NOT {condition.sql}", condition.parameters)


def _check_depth(depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise _invalid("a filter nested too deeply", f"at most {_MAX_DEPTH} levels")


def _invalid(found: str, expected: str) -> FilterError:
    return FilterError(found=found, expected=expected, next_step="correct the filter and search again")
