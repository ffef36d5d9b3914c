"""A JSON schema in which everything has an end.

A small model that is held to a grammar tends to go on as long as the grammar lets it: a string of one repeated word, a
number of a hundred digits. So what a schema leaves open gets a limit. What the schema says itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_STRING = 240
MAX_ITEMS = 16
MAX_PROPERTIES = 16
MAX_NUMBER = 10**15
DECIMALS = 1e-6

# Keys under which schemas stand: one, a list of them, or a mapping of names to them.
_ONE = ("additionalProperties", "items", "not")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPPINGS = ("$defs", "definitions", "patternProperties", "properties")
# The formats that llguidance writes; another one says nothing about the text's form that could be held.
_FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "unknown", "uri", "uuid"}


def bounded(schema: Any, longest: int = MAX_STRING) -> Any:
    """The schema with a limit wherever it has none.

    Strings get `longest` as `maxLength`, lists `maxItems`, numbers a range and at most six decimals, objects with named
    properties no others, and objects without any `maxProperties`. What is no schema is given back as it is.
    """
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _inside(key, value, longest) for key, value in schema.items()}
    if made.get("format", "unknown") not in _FORMATS:
        del made["format"]
    if "enum" in made or "const" in made:
        return made
    kinds = made.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if limit := _LIMITS.get(str(kind)):
            limit(made)
        elif kind == "string" and "pattern" not in made and "format" not in made:
            made.setdefault("maxLength", max(longest, int(made.get("minLength", 0))))
    return made


def _inside(key: str, value: Any, longest: int) -> Any:
    if key in _ONE:
        return bounded(value, longest)
    if key in _LISTS and isinstance(value, list):
        return [bounded(entry, longest) for entry in value]
    if key in _MAPPINGS and isinstance(value, Mapping):
        return {name: bounded(entry, longest) for name, entry in value.items()}
    return value


def _array(schema: dict[str, Any]) -> None:
    if "prefixItems" not in schema:
        schema.setdefault("maxItems", max(MAX_ITEMS, int(schema.get("minItems", 0))))


def _object(schema: dict[str, Any]) -> None:
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    elif schema.get("additionalProperties") is not False:
        schema.setdefault("maxProperties", max(MAX_PROPERTIES, int(schema.get("minProperties", 0))))


def _integer(schema: dict[str, Any]) -> None:
    if "minimum" not in schema and "exclusiveMinimum" not in schema:
        schema["minimum"] = min(-MAX_NUMBER, schema.get("maximum", 0), schema.get("exclusiveMaximum", 0))
    if "maximum" not in schema and "exclusiveMaximum" not in schema:
        schema["maximum"] = max(MAX_NUMBER, schema.get("minimum", 0), schema.get("exclusiveMinimum", 0))


def _number(schema: dict[str, Any]) -> None:
    _integer(schema)
    schema.setdefault("multipleOf", DECIMALS)


_LIMITS = {"array": _array, "integer": _integer, "number": _number, "object": _object}
