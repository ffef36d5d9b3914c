"""Metadata filters: compared with a simple model, and invalid filters."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retrieval import FilterError
from retrieval.store.metadata_filter import parse_filter

# Left out of `make check`.
pytestmark = pytest.mark.heavy

KEYS = ["lang", "year", "tag", 'a"b', "a'b", "a.b", "$odd"[1:], "", "é\\"]
TEXTS = st.sampled_from(["", "en", "EN", "é", "1", "true", "a'; DROP TABLE passages; --", "x" * 50, "𝕏", "\u2028"])
NUMBERS = st.one_of(
    st.integers(-3, 3), st.sampled_from([2**53 + 1, 2**63, -(2**64), 0.1 + 0.2, 0.3, -0.0, 1.0, 1e300, 5e-324])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
METADATA = st.dictionaries(
    st.sampled_from(KEYS),
    st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.just({"nested": 1}), st.just([[1], {"lang": "en"}])),
    max_size=5,
)
RANGE = st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.one_of(NUMBERS, TEXTS))
EQUAL = st.tuples(st.sampled_from(["$eq", "$ne"]), SCALARS)
ONE_OF = st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, max_size=3))
EXISTS = st.tuples(st.just("$exists"), st.booleans())
OPERATORS = st.lists(st.one_of(RANGE, EQUAL, ONE_OF, EXISTS), min_size=1, max_size=2).map(dict)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), OPERATORS, OPERATORS.map(lambda inner: {"$not": inner}))
FILTERS = st.recursive(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: {"$and": parts}),
        st.lists(inner, max_size=3).map(lambda parts: {"$or": parts}),
        inner.map(lambda part: {"$not": part}),
    ),
    max_leaves=4,
)


def matched(metadata: list[dict[str, Any]], given_filter: object) -> list[int]:
    condition = parse_filter(given_filter)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, metadata TEXT)")
    texts = [(json.dumps(one, ensure_ascii=False),) for one in metadata]
    connection.executemany("INSERT INTO rows (metadata) VALUES (?)", texts)
    results = connection.execute(f"SELECT number - 1 FROM rows WHERE {condition.sql}", condition.parameters).fetchall()
    connection.close()
    return sorted(row[0] for row in results)


def model(metadata: dict[str, Any], wanted: dict[str, Any]) -> bool:
    def entry(key: str, value: Any) -> bool:
        match key:
            case "$and":
                return all(model(metadata, part) for part in value)
            case "$or":
                return any(model(metadata, part) for part in value)
            case "$not":
                return not model(metadata, value)
        return on_key(key, value)

    def on_key(key: str, value: Any) -> bool:
        if isinstance(value, dict):
            return all(operator(key, name, operand) for name, operand in value.items())
        return equal(key, value if isinstance(value, list) else [value])

    def operator(key: str, name: str, operand: Any) -> bool:
        match name:
            case "$eq" | "$ne":
                return equal(key, [operand]) == (name == "$eq")
            case "$in" | "$nin":
                return equal(key, operand) == (name == "$in")
            case "$exists":
                return (key in metadata) == operand
            case "$not":
                return not on_key(key, operand)
        order = {"$gt": (1,), "$gte": (0, 1), "$lt": (-1,), "$lte": (-1, 0)}[name]
        return any(
            kind(value) == kind(operand) and ((value > operand) - (value < operand)) in order for value in held(key)
        )

    def held(key: str) -> list[Any]:
        if key not in metadata:
            return []
        value = metadata[key]
        return [value, *value] if isinstance(value, list) else [value]

    def equal(key: str, values: list[Any]) -> bool:
        there = held(key) if key in metadata else [None]
        return any(kind(one) == kind(value) and one == value for one in there for value in values)

    return all(entry(key, value) for key, value in wanted.items())


def kind(value: object) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


@settings(max_examples=200, deadline=None)
@given(st.lists(METADATA, min_size=1, max_size=6), FILTERS)
@example([{"tag": ["a", "x"]}, {"tag": "a"}, {"tag": []}, {}], {"tag": {"$ne": "a"}})
@example([{"year": 1}, {"year": True}, {"year": "1"}, {"year": 1.0}], {"year": 1})
@example([{"lang": None}, {}, {"lang": [None]}, {"lang": "en"}], {"lang": None})
def test_each_filter_matches_the_right_records(metadata: list[dict[str, Any]], wanted: dict[str, Any]) -> None:
    # SQLite integers have 64 bits; larger numbers are compared as floating point on both sides.
    assert matched(metadata, wanted) == [n for n, one in enumerate(metadata) if model(rounded(one), rounded(wanted))]


def rounded(value: Any) -> Any:
    match value:
        case dict():
            return {key: rounded(inner) for key, inner in value.items()}
        case list():
            return [rounded(inner) for inner in value]
        case int() if not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            return float(value)
    return value


def test_keys_and_values_are_bound() -> None:
    condition = parse_filter({"k' OR 1 --": "v' OR 1 --", "year": {"$gte": 2020}})
    assert "OR 1" not in condition.sql
    assert "2020" not in condition.sql
    assert condition.sql.count("?") == len(condition.parameters)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"year": {"$near": 3}}, r"the operator '\$near' for 'year'"),
        ({"year": {"gte": 3}}, "the operator 'gte' for 'year'"),
        ({"year": {}}, "no operator for 'year'"),
        ({"$nor": []}, r"the operator '\$nor' instead of a key"),
        ({"$and": {"a": 1}}, r"\$and with a dict"),
        ({"$not": [1]}, "a filter of type list"),
        ({"year": {"$in": "abc"}}, r"\$in with a str"),
        ({"year": {"$gt": True}}, r"\$gt with True"),
        ({"year": {"$lt": None}}, r"\$lt with None"),
        ({"year": {"$exists": 1}}, r"\$exists with 1"),
        ({"year": float("nan")}, "the value nan"),
        ({"year": 10**400}, "the value 1000"),
        ({"year": [[1]]}, r"the value \[1\]"),
        ({"year": {"$eq": {"a": 1}}}, "the value {'a': 1}"),
        ({"year": object()}, "the value <object"),
        ({1: 2}, "the key 1"),
        ("lang = en", "a filter of type str"),
        (lambda document: True, "a filter of type function"),
        ({"lang": "\ud800"}, "in a filter"),
        ({"\ud800": "en"}, "in a filter"),
        # SQLite ignores the text after U+0000, so "en" would match.
        ({"lang": "en\0de"}, "in a filter"),
        ({"lang": {"$gte": "en\0"}}, "in a filter"),
        ({"la\0ng": "en"}, "in a filter"),
        ({"$or": [{"a": n} for n in range(400)]}, "too many conditions"),
    ],
)
def test_invalid_filters_are_refused(wanted: object, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        parse_filter(wanted)
    assert caught.value.next_step == "correct the filter and search again"


def test_the_largest_filter_is_accepted() -> None:
    deep: dict[str, Any] = {"a": {"$not": {"$gte": 2}}}
    for _ in range(3):
        deep = {"b": None, "$not": {"b": None, "$or": [{"c": 1}, {"$and": [{"b": None}, deep]}]}}
    assert matched([{"a": 1}, {"a": 2}], deep) == [1]
    with pytest.raises(FilterError, match="nested too deeply"):
        parse_filter({"$not": {"$not": deep}})
    wide = {"$or": [{"a": {"$exists": True}} for _ in range(450)]}
    assert matched([{"a": 1}, {}], wide) == [0]
    assert matched([{"a": 3}, {"a": 10**5}], {"a": list(range(50_000))}) == [0]
    assert matched([{}, {"a": 1}], {"$or": [{}] * 5000}) == [0, 1]
