"""JSON schemas with a limit on everything.

A small model that follows a grammar tends to continue as long as the grammar allows: a string of one repeated word, a
number of a hundred digits. So everything that a schema leaves open gets a limit. Limits in the schema itself stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_STRING = 240
MAX_ITEMS = 16
MAX_PROPERTIES = 16
MAX_NUMBER = 10**15
DECIMALS = 1e-6

# Keys whose value is a schema, a list of schemas, or a mapping of names to schemas.
_ONE = ("additionalProperties", "items", "not")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPPINGS = ("$defs", "definitions", "patternProperties", "properties")
# The formats that llguidance supports. Others are dropped, since it would refuse the schema.
_FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "unknown", "uri", "uuid"}


def bounded(schema: Any, max_string_length: int = MAX_STRING) -> Any:
    """The schema with a limit wherever it has none.

    Strings get `max_string_length` as `maxLength`, lists get `maxItems`, numbers a range and at most six decimals.
    Objects with named properties get no others, and objects without any get `maxProperties`. Other values are returned
    unchanged, also invalid ones, which llguidance refuses.
    """
    if not isinstance(schema, Mapping):
        return schema
    result = {key: _bounded_value(key, value, max_string_length) for key, value in schema.items()}
    if isinstance(format_ := result.get("format"), str) and format_ not in _FORMATS:
        del result["format"]
    if "enum" in result or "const" in result:
        return result
    types = result.get("type")
    for type_ in types if isinstance(types, list) else [types]:
        if limit := _LIMITS.get(str(type_)):
            limit(result)
        elif type_ == "string" and "pattern" not in result and "format" not in result:
            result.setdefault("maxLength", max(max_string_length, int(_number_at(result, "minLength"))))
    return result


def _bounded_value(key: str, value: Any, max_string_length: int) -> Any:
    if key in _ONE:
        return bounded(value, max_string_length)
    if key in _LISTS and isinstance(value, list):
        return [bounded(entry, max_string_length) for entry in value]
    if key in _MAPPINGS and isinstance(value, Mapping):
        return {name: bounded(entry, max_string_length) for name, entry in value.items()}
    return value


def _number_at(schema: Mapping[str, Any], key: str) -> float:
    """A limit of the schema; 0 if there is none, or it is no finite number."""
    value = schema.get(key)
    return value if isinstance(value, (int, float)) and math.isfinite(value) else 0


def _array(schema: dict[str, Any]) -> None:
    if "prefixItems" not in schema:
        schema.setdefault("maxItems", max(MAX_ITEMS, int(_number_at(schema, "minItems"))))


def _object(schema: dict[str, Any]) -> None:
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    elif schema.get("additionalProperties") is not False:
        schema.setdefault("maxProperties", max(MAX_PROPERTIES, int(_number_at(schema, "minProperties"))))


def _integer(schema: dict[str, Any]) -> None:
    if "minimum" not in schema and "exclusiveMinimum" not in schema:
        schema["minimum"] = min(-MAX_NUMBER, _number_at(schema, "maximum"), _number_at(schema, "exclusiveMaximum"))
    if "maximum" not in schema and "exclusiveMaximum" not in schema:
        schema["maximum"] = max(MAX_NUMBER, _number_at(schema, "minimum"), _number_at(schema, "exclusiveMinimum"))


def _number(schema: dict[str, Any]) -> None:
    _integer(schema)
    schema.setdefault("multipleOf", DECIMALS)


_LIMITS = {"array": _array, "integer": _integer, "number": _number, "object": _object}
